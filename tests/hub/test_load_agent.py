"""Agents from runs, folders and the Hub: what loads, what is asked, and what is refused before it is read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hub_server import EXPIRED, Hub
from tiny_model import TINY

import moralfit
from moralfit.errors import GameError, ModelError, RunError
from moralfit.evaluate import find_adapter, own_folder
from moralfit.games import prisoners_dilemma, sequential_prisoners_dilemma
from moralfit.hub import TunedAgent, push_run
from moralfit.models import hub_place
from moralfit.preferences import HomoMoralis
from moralfit.recipe import HubSection

GAME = sequential_prisoners_dilemma(T=9, R=6, P=3, S=1)


class TestAsked:
    @pytest.fixture(scope="class")
    def agent(self, trained: Path) -> TunedAgent:
        import os

        before = Path.cwd()
        os.chdir(trained.parents[1])
        try:
            return moralfit.load_agent("runs/tiny-moralis-1")
        finally:
            os.chdir(before)

    def test_what_it_is(self, agent: TunedAgent) -> None:
        assert agent.preference == HomoMoralis(1)
        assert agent.base.adapters["tuned"] > 0

    def test_play(self, agent: TunedAgent, monkeypatch: pytest.MonkeyPatch) -> None:
        from moralfit.chat import Reply

        asked = []

        def replies(conversations, seeds, mark=None, line=None):  # type: ignore[no-untyped-def]
            asked.extend(conversations)
            prompt = conversations[0][-1]["content"]
            # The labels of the three decisions in the order of the question, all the first that is listed.
            listed = re.search(r"picks? (\w+) or (\w+)|(\w+) or (\w+)", prompt)
            assert listed is not None
            label = next(group for group in listed.groups() if group)
            yield Reply(0, f"Answer: {label}, {label}, {label}")

        monkeypatch.setattr(type(agent.chat), "replies", lambda self, *a, **k: replies(*a, **k))
        play = agent.play(GAME, belief=0.5, seed=1)
        assert asked[0][-1] == {"role": "user", "content": play.prompt}
        assert "You expect of others" in play.prompt
        assert play.decisions == tuple(information.name for information in GAME.information_sets)
        assert len(play.plan) == 3
        assert set(play.plan) <= {"C", "D"}
        # (1 - kappa) falls away at kappa = 1: what if everyone did this, T + S < 2R.
        assert play.optimum[0] == ("C",)
        assert play.optimal == all(taken in best for taken, best in zip(play.plan, play.optimum, strict=True))
        assert play.prompt in str(play)
        assert "optimal" in str(play)
        assert agent.play(GAME, belief=0.5, seed=1).prompt == play.prompt
        assert agent.play(GAME, belief=0.5, seed=2).prompt != play.prompt
        assert "You expect of others" not in agent.play(GAME).prompt
        assert len(agent.play(GAME, belief=0.5, decision=GAME.information_sets[2].name).decisions) == 1

    def test_reply_that_cannot_be_read(self, agent: TunedAgent) -> None:
        # Eight tokens of an untrained model.
        play = agent.play(GAME, belief=0.5)
        assert play.plan == ()
        assert not play.optimal
        assert "(not readable)" in str(play)

    def test_other_games(self, agent: TunedAgent) -> None:
        assert agent.play(prisoners_dilemma(9, 6, 3, 1), belief=0.5).optimum == (("C",),)

    def test_unknown_decision(self, agent: TunedAgent) -> None:
        with pytest.raises(GameError, match="no decision 'third'; it has first"):
            agent.play(GAME, decision="third")

    def test_free_question(self, agent: TunedAgent) -> None:
        assert isinstance(agent.ask("What do you want?"), str)


def test_adapter_folder(run: Path) -> None:
    assert moralfit.load_agent(run / "adapter").preference == HomoMoralis(1)


def test_nothing_of_that_name() -> None:
    with pytest.raises(RunError, match=r"^/nowhere: no such run or adapter folder$"):
        moralfit.load_agent("/nowhere")
    with pytest.raises(ModelError, match=r"^someone/moralis: no such run or adapter folder here; .*HF_HUB_OFFLINE"):
        moralfit.load_agent("someone/moralis")


def test_unknown_device(run: Path) -> None:
    with pytest.raises(ModelError, match="device: 'gpu' is none of auto, cpu"):
        moralfit.load_agent(run, device="gpu")


def test_importing_the_package_stays_light() -> None:
    code = "import sys, moralfit; print(*{'torch', 'transformers', 'huggingface_hub', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
    with pytest.raises(AttributeError, match="no attribute 'load_agents'"):
        _ = moralfit.load_agents  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("user/name", ("user/name", None)),
        (Path("user/name"), ("user/name", None)),
        ("user/name@v1.0", ("user/name", "v1.0")),
        ("user/name@refs/pr/1", ("user/name", "refs/pr/1")),
        ("name", None),
        ("/user/name", None),
        ("../name", None),
        ("a/b/c", None),
        ("user/na me", None),
        ("user/name@", None),
    ],
)
def test_hub_place(place: str | Path, found: tuple[str, str | None] | None) -> None:
    assert hub_place(place) == found


class TestRefused:
    """Nothing is loaded: the base is taken away, so that any attempt would fail in another way."""

    @pytest.fixture
    def folder(self, run: Path) -> Path:
        (Path.cwd() / TINY).unlink()
        return run / "adapter"

    @pytest.mark.parametrize("name", ["adapter_model.bin", "training_args.bin", "weights.pt", "x.PKL", "y.pickle", "z.ckpt"])
    def test_pickles(self, name: str, folder: Path) -> None:
        (folder / name).write_bytes(b"")
        with pytest.raises(ModelError, match=rf"holds {re.escape(name)}; pickled weights are not loaded"):
            moralfit.load_agent(folder)

    def test_pickled_weights_alone(self, folder: Path) -> None:
        (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
        with pytest.raises(ModelError, match="can run code"):
            moralfit.load_agent(folder)

    @pytest.mark.parametrize(
        ("name", "size"),
        [("adapter_model.safetensors", (4 << 30) + 1), ("adapter_config.json", 1 << 21), ("moralfit.yaml", 1 << 21)],
    )
    def test_too_large(self, name: str, size: int, folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.truncate(size)
        with pytest.raises(ModelError, match=rf"{name} has {size:,} bytes; more than"):
            moralfit.load_agent(folder)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"peft_type": "IA3"}, "peft_type is 'IA3'; only LORA"),
            (
                {"auto_mapping": {"parent_library": "os", "base_model_class": "system"}},
                "sets auto_mapping, which imports modules",
            ),
            ({"megatron_config": {"a": 1}}, "sets megatron_config, which imports modules"),
            ({"r": 10**9}, "states a rank"),
            ({"rank_pattern": {"q_proj": 10**9}}, "states a rank"),
            ({"base_model_name_or_path": "maker/other"}, f"was made for maker/other, and its recipe says {TINY}"),
        ],
    )
    def test_settings(self, change: dict[str, object], said: str, folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(ModelError, match=re.escape(said)):
            moralfit.load_agent(folder)

    def test_recipe_that_runs_code(self, folder: Path) -> None:
        (folder / "moralfit.yaml").write_text("!!python/object/apply:os.system ['touch ran']")
        with pytest.raises(RunError, match="damaged, it holds no recipe"):
            moralfit.load_agent(folder)
        assert not Path("ran").exists()


def test_other_revision_of_the_base(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from moralfit.hub import _agent

    path = run / "adapter/adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "revision": "a" * 40}))
    load = _agent.load_base

    def moved_on(section, **options):  # type: ignore[no-untyped-def]
        assert section.revision == "a" * 40
        base = load(section, **options)
        base.revision = "b" * 40
        return base

    monkeypatch.setattr(_agent, "load_base", moved_on)
    with pytest.raises(ModelError, match=rf"trained on {TINY} at a{{40}}, but b{{40}} was loaded"):
        moralfit.load_agent(run)


def test_chat_template_of_an_adapter_is_not_used(run: Path) -> None:
    evil = "{{ raise_exception('used') }}"
    (run / "adapter/chat_template.jinja").write_text(evil)
    (run / "adapter/tokenizer_config.json").write_text(json.dumps({"chat_template": evil}))
    agent = moralfit.load_agent(run / "adapter")
    assert "raise_exception" not in agent.base.tokenizer.chat_template
    assert isinstance(agent.ask("Hello"), str)


def test_code_of_a_base_runs_only_if_asked(run: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where transformers would copy the code to, and import it from.
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(Path.cwd() / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path(TINY).unlink()
    shutil.copytree(tiny, TINY)
    config = json.loads(Path(TINY, "config.json").read_text())
    config |= {"model_type": "odd", "auto_map": {"AutoConfig": "odd.OddConfig", "AutoModelForCausalLM": "odd.OddModel"}}
    Path(TINY, "config.json").write_text(json.dumps(config))
    Path(TINY, "odd.py").write_text(
        f"open({str(Path.cwd() / 'ran')!r}, 'w').close()\n"
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class OddConfig(LlamaConfig):\n    model_type = 'odd'\n"
        "class OddModel(LlamaForCausalLM):\n    config_class = OddConfig\n"
    )
    with pytest.raises(ModelError, match="cannot be loaded"):
        moralfit.load_agent(run)
    assert not Path("ran").exists()
    moralfit.load_agent(run, remote_code=True)
    assert Path("ran").exists()


class TestFromTheHub:
    @pytest.fixture
    def pushed(self, run: Path, online: Hub, to: HubSection) -> Hub:
        push_run(run, to)
        online.requests.clear()
        shutil.rmtree("runs")
        return online

    def test_found(self, pushed: Hub) -> None:
        folder, recipe = find_adapter("someone/moralis")
        assert recipe.preference.build() == HomoMoralis(1)
        assert recipe.model.base == f"maker/{TINY}"
        # The commit that was trained on, whatever the base's main has become.
        assert recipe.model.revision == pushed.repos["model", f"maker/{TINY}"].head
        assert {file.name for file in folder.iterdir()} == {"adapter_config.json", "adapter_model.safetensors", "moralfit.yaml"}
        assert own_folder([Path("someone/moralis")]) == Path.cwd() / "runs/someone--moralis"

    def test_a_second_time_from_the_cache(self, pushed: Hub) -> None:
        find_adapter("someone/moralis")
        gets = [path for method, path in pushed.requests if method == "GET" and "/resolve/" in path]
        assert len(gets) == 3
        find_adapter("someone/moralis")
        assert [path for method, path in pushed.requests if method == "GET" and "/resolve/" in path] == gets

    def test_offline_from_the_cache(self, pushed: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        there = find_adapter("someone/moralis")[0]
        pushed.requests.clear()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert find_adapter("someone/moralis")[0] == there
        assert pushed.requests == []

    def test_at_a_revision(self, pushed: Hub) -> None:
        repo = pushed.repos["model", "someone/moralis"]
        first = repo.head
        recipe = yaml.safe_load(repo.files["moralfit.yaml"])
        repo.commit({**repo.files, "moralfit.yaml": yaml.safe_dump({**recipe, "seed": 77}).encode()}, "seed 77")
        assert find_adapter("someone/moralis")[1].seed == 77
        assert find_adapter(f"someone/moralis@{first}")[1].seed == recipe["seed"] != 77
        with pytest.raises(ModelError, match=r"someone/moralis@v9: .*it has no such revision"):
            find_adapter("someone/moralis@v9")

    def test_not_there(self, pushed: Hub) -> None:
        with pytest.raises(ModelError, match=r"someone/nothing: .*there is no such repository, or it is private"):
            find_adapter("someone/nothing")

    def test_private_without_a_token(self, pushed: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HF_TOKEN")
        with pytest.raises(ModelError, match=r"someone/moralis: .*`hf auth login`, or HF_TOKEN"):
            find_adapter("someone/moralis")

    def test_expired_token(self, pushed: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", EXPIRED)
        with pytest.raises(ModelError, match=r"401: .*expired") as error:
            find_adapter("someone/moralis")
        assert EXPIRED not in str(error.value)

    @pytest.mark.parametrize("name", ["adapter_model.bin", "training_args.bin", "data.pkl"])
    def test_pickles_are_not_fetched(self, name: str, pushed: Hub) -> None:
        repo = pushed.repos["model", "someone/moralis"]
        repo.commit({**repo.files, name: b"\x80\x04."}, "a pickle")
        with pytest.raises(ModelError, match=rf"someone/moralis: holds {name}"):
            find_adapter("someone/moralis")
        assert not any("/resolve/" in path for _, path in pushed.requests)

    def test_what_is_too_large_is_not_fetched(self, pushed: Hub) -> None:
        pushed.lies["adapter_model.safetensors"] = 5 << 30
        with pytest.raises(ModelError, match="5,368,709,120 bytes"):
            find_adapter("someone/moralis")
        assert not any("/resolve/" in path for _, path in pushed.requests)

    def test_other_files_are_left_alone(self, pushed: Hub) -> None:
        repo = pushed.repos["model", "someone/moralis"]
        repo.commit({**repo.files, "modeling.py": b"import os", "chat_template.jinja": b"{{ 1 }}"}, "more")
        folder, _ = find_adapter("someone/moralis")
        assert not (folder / "modeling.py").exists()
        assert not (folder / "chat_template.jinja").exists()

    def test_base_in_a_folder(self, pushed: Hub) -> None:
        repo = pushed.repos["model", "someone/moralis"]
        recipe = yaml.safe_load(repo.files["moralfit.yaml"])
        recipe["model"]["base"] = "/etc/models"
        repo.commit({**repo.files, "moralfit.yaml": yaml.safe_dump(recipe).encode()}, "a folder")
        with pytest.raises(ModelError, match="names the base /etc/models, which is no repository"):
            find_adapter("someone/moralis")

    @pytest.mark.slow
    def test_the_three_lines_of_the_card(self, pushed: Hub) -> None:
        """In a new process, which has nothing but the hub: the agent and its base are fetched from it."""
        card = pushed.repos["model", "someone/moralis"].files["README.md"].decode()
        blocks = re.findall(r"```python\n(.+?)```", card, re.S)
        lines = blocks[0].strip()
        assert len(lines.splitlines()) == 3
        Path(TINY).unlink()
        done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert "You expect of others" in done.stdout
        assert "optimal " in done.stdout
        base = pushed.repos["model", f"maker/{TINY}"].head
        assert ("GET", f"/maker/{TINY}/resolve/{base}/model.safetensors") in pushed.requests


@pytest.mark.slow
def test_evaluate_takes_a_repository(run: Path, online: Hub, to: HubSection) -> None:
    push_run(run, to)
    shutil.rmtree("runs")
    Path(TINY).unlink()
    command = [
        sys.executable,
        "-m",
        "moralfit.evaluate",
        "someone/moralis",
        "evaluation.prompts=1",
        "evaluation.compare=[random]",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(Path("runs/someone--moralis/evaluation/summary.json").read_text())["rows"]
