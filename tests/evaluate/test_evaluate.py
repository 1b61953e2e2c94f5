"""Evaluations of the tiny model: going on after an interruption, several adapters, and what may not be mixed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console
from safetensors.torch import load_file, save_file
from tiny_model import TINY, VALUES

from moralfit.agents import LanguageAgent
from moralfit.chat import Reply
from moralfit.console import run_cli
from moralfit.errors import ModelError, RunError
from moralfit.evaluate import evaluate, find_adapter
from moralfit.evaluate.__main__ import app
from moralfit.recipe import load_recipe
from moralfit.train import Run


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `moralis` and `economicus`, trained and not evaluated beyond the least."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("runs")
    (place / TINY).symlink_to(tiny)
    (place / "recipe.yaml").write_text(yaml.safe_dump(VALUES))
    before = Path.cwd()
    os.chdir(place)
    try:
        for preference in ("{kind: moralis, kappa: 1.0}", "economicus"):
            run = Run(load_recipe("recipe.yaml", [f"preference={preference}"]), Console(file=StringIO()))
            run._claim(False)
            run._data()
            run._train()
    finally:
        os.chdir(before)
    return place


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(trained, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


RUN, OTHER = Path("runs/tiny-moralis-1"), Path("runs/tiny-economicus")


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "records.jsonl").read_text().split("\n") if line]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompts that language agents are asked from now on."""
    asked: list[str] = []
    replies = LanguageAgent.replies

    def watched(self: Any, given: Sequence[Any], seeds: Sequence[str], probabilities: bool = False) -> Any:
        asked.extend(f"{self.key} {seed}" for seed in seeds)
        return replies(self, given, seeds, probabilities)

    monkeypatch.setattr(LanguageAgent, "replies", watched)
    return asked


def test_goes_on_where_it_was_cut_off(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluate([RUN], Path("whole"))
    lines = (Path("whole") / "records.jsonl").read_bytes().split(b"\n")
    found = records(Path("whole"))
    # In the middle of a line in the middle of a prompt with several decisions of the prompted agent.
    same = [n for n in range(1, len(found)) if found[n]["prompt_id"] == found[n - 1]["prompt_id"]]
    cut = max(n for n in same if found[n]["agent"] == "prompted")
    torn = f"prompted {found[cut]['seed']}"
    shutil.copytree("whole", "cut")
    (Path("cut") / "records.jsonl").write_bytes(b"\n".join(lines[:cut]) + b"\n" + lines[cut][: len(lines[cut]) // 2])
    asked = counted(monkeypatch)
    again = evaluate([RUN], Path("cut"))
    assert records(Path("cut")) == found
    assert again == whole
    done = {f"{r['agent']} {r['seed']}" for r in found[:cut]} - {torn}
    assert asked
    assert not set(asked) & done
    assert set(asked) == {f"{r['agent']} {r['seed']}" for r in found} - done - {f"random {r['seed']}" for r in found}
    asked.clear()
    assert evaluate([RUN], Path("cut")) == whole
    assert not asked, "a finished evaluation asks nothing"


def test_replies_with_odd_line_ends_and_cut_characters_survive(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "one\u2028two\x85three\x0bfour\nAnswer: caf\u00e9"

    def odd(self: Any, given: Sequence[Any], seeds: Sequence[str], probabilities: bool = False) -> Any:
        yield from (Reply(n, text) for n in range(len(given)))

    monkeypatch.setattr(LanguageAgent, "replies", odd)
    evaluate([RUN], Path("out"))
    file = Path("out/records.jsonl")
    before = file.read_bytes()
    file.write_bytes(before[: before.rindex("é".encode()) + 1])
    asked = counted(monkeypatch)
    evaluate([RUN], Path("out"))
    assert file.read_bytes() == before
    assert len(asked) == 1


def test_another_adapter_needs_overwrite(place: Path) -> None:
    evaluate([RUN], Path("out"))
    before = Path("out/records.jsonl").read_bytes()
    file = RUN / "adapter/adapter_model.safetensors"
    stored = {name: value * (3 if "lora_B" in name else 1) for name, value in load_file(file).items()}
    save_file(stored, file, metadata={"format": "pt"})
    with pytest.raises(RunError, match=r"out: holds an evaluation of another tuned; pass --overwrite"):
        evaluate([RUN], Path("out"))
    assert Path("out/records.jsonl").read_bytes() == before
    evaluate([RUN], Path("out"), overwrite=True)
    after = records(Path("out"))
    assert len(after) == len(before.splitlines())


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_overwriting_begins_when_everything_is_loaded(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = ["evaluation.prompts=2", "evaluation.compare=[base]", "evaluation.elicit_beliefs=true"]
    evaluate([RUN], Path("out"), overrides=changes)
    before = contents(Path("out"))
    assert set(before) == {"records.jsonl", "settings.json", "summary.json", "beliefs.jsonl"}
    weights = RUN / "adapter" / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    with pytest.raises(ModelError, match="the adapter cannot be loaded"):
        evaluate([RUN], Path("out"), overwrite=True, overrides=changes)
    assert contents(Path("out")) == before
    weights.write_bytes(whole)
    with monkeypatch.context() as unsolvable:
        unsolvable.setattr("moralfit.evaluate._play.target", lambda scene, preference: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            evaluate([RUN], Path("out"), overwrite=True, overrides=changes)
    assert contents(Path("out")) == before
    beliefs = Path("out/beliefs.jsonl")
    beliefs.write_bytes(before["beliefs.jsonl"].replace(b'"reply": "', b'"reply": "earlier '))
    evaluate([RUN], Path("out"), overwrite=True, overrides=changes)
    assert contents(Path("out")) == before, "all of it was asked anew"


def test_other_prompts_need_overwrite(place: Path) -> None:
    evaluate([RUN], Path("out"))
    values = yaml.safe_load((RUN / "recipe.yaml").read_text())
    values["evaluation"]["prompts"] = 4
    (RUN / "recipe.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(RunError, match="other prompts or targets"):
        evaluate([RUN], Path("out"))


def test_two_runs_side_by_side_play_as_each_alone(place: Path) -> None:
    both = evaluate([RUN, OTHER], Path("both"))
    assert [a["key"] for a in both["agents"]] == [
        "random", "base", "prompted-moralis-1", "prompted-economicus", "tuned-moralis-1", "tuned-economicus"
    ]  # fmt: skip
    assert {r["target"] for r in both["rows"]} == {"homo moralis (kappa = 1)", "homo economicus"}
    said = {}
    for out, places in (("both", None), ("one", [RUN]), ("two", [OTHER])):
        if places:
            evaluate(places, Path(out))
        for r in records(Path(out)):
            said[out, r["agent"], r["prompt_id"], r["decision"]] = (r["reply"], r["probabilities"])
    for (out, agent, *which), value in said.items():
        if out == "both":
            alone = "two" if agent.endswith("economicus") else "one"
            key = agent.split("-")[0]
            assert said[alone, key, *which][0] == value[0], (agent, which)
            assert said[alone, key, *which][1] == pytest.approx(value[1], abs=1e-5)
    assert any(
        said["both", "tuned-moralis-1", *which] != said["both", "base", *which]
        for out, agent, *which in said if (out, agent) == ("both", "base")
    )  # fmt: skip


def test_compare_without_base(place: Path) -> None:
    for recipe in (RUN / "recipe.yaml", RUN / "adapter/moralfit.yaml"):
        values = yaml.safe_load(recipe.read_text())
        values["evaluation"]["compare"] = []
        recipe.write_text(yaml.safe_dump(values))
    from moralfit.evaluate._run import evaluate_and_report

    summary, report = evaluate_and_report([RUN], RUN / "evaluation", False, Console(file=StringIO()))
    assert [a["key"] for a in summary["agents"]] == ["tuned"]
    assert report.stat().st_size > 10_000


def test_bare_adapter_stays_as_it_is(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(p.name for p in (RUN / "adapter").iterdir())
    code, _text = cli(monkeypatch, capsys, str(RUN / "adapter"))
    assert code == 0
    assert sorted(p.name for p in (RUN / "adapter").iterdir()) == before
    assert (RUN / "adapter-evaluated/evaluation/records.jsonl").exists()


def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["moralfit.evaluate", *arguments])
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        run_cli(app)
    out = capsys.readouterr()
    return int(stop.value.code or 0), out.err if stop.value.code else out.out


def test_overrides_add_the_transfer_test_and_what_others_are_expected_to_do(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ["evaluation.transfer_prompts=12", "evaluation.elicit_beliefs=true", "evaluation.compare=[base]"]
    code, text = cli(monkeypatch, capsys, str(RUN), *changes)
    assert code == 0
    assert "Other games, never trained on" in text
    assert "What does each agent want?" in text
    out = RUN / "evaluation"
    found = records(out)
    assert {r["split"] for r in found} == {"payoffs", "words", "games"}
    assert len({r["prompt_id"] for r in found if r["split"] == "games"}) == 12
    summary = json.loads((out / "summary.json").read_text())
    assert {e["agent"] for e in summary["estimates"]} == {"base", "tuned"}
    said = (out / "beliefs.jsonl").read_text()
    assert len(said.splitlines()) == 2 * len({r["prompt_id"] for r in found if r["belief"] is None})
    assert "What does each agent want?" in (RUN / "report.html").read_text()
    asked = counted(monkeypatch)
    assert cli(monkeypatch, capsys, str(RUN), *changes)[0] == 0
    assert not asked, "a finished evaluation asks nothing"
    assert (out / "beliefs.jsonl").read_text() == said
    code, error = cli(monkeypatch, capsys, str(RUN), *changes[1:])
    assert code == 2
    assert "holds an evaluation of other prompts" in error
    assert records(out) == found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lora.r=8"], "'lora.r=8': only keys of the evaluation section can be changed here"),
        (["preference=economicus"], "runs/tiny-moralis-1 was trained with the rest"),
        (["evaluation={prompts: 3}"], "only keys of the evaluation section"),
        (["evaluation.promts=3"], "evaluation.promts: unknown key, did you mean 'prompts'?"),
        (["evaluation.transfer_prompts=-1"], "evaluation.transfer_prompts: input should be greater than or equal to 0"),
        (["evaluation.transfer_prompts=many"], "evaluation.transfer_prompts: input should be a valid integer"),
    ],
)
def test_overrides_that_make_no_sense(
    arguments: list[str], message: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = cli(monkeypatch, capsys, str(RUN), *arguments)
    assert code == 2
    assert message in error
    assert not (RUN / "evaluation").exists()


def test_overrides_alone_are_not_enough(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = cli(monkeypatch, capsys, "evaluation.prompts=3")
    assert (code, error) == (2, "moralfit: name a run folder or an adapter folder to evaluate, or a recipe\n")


@pytest.mark.parametrize("fault", ["nowhere", "unfinished", "no recipe", "bad recipe", "pickle", "other base"])
def test_errors_are_one_message(
    fault: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter, arguments = RUN / "adapter", [str(RUN)]
    if fault == "nowhere":
        arguments, message = ["runs/none"], "runs/none: no such run or adapter folder"
    elif fault == "unfinished":
        shutil.rmtree(adapter)
        message = "the run has no adapter yet"
    elif fault == "no recipe":
        (adapter / "moralfit.yaml").unlink()
        arguments, message = [str(adapter)], "an adapter without moralfit.yaml"
    elif fault == "bad recipe":
        (RUN / "recipe.yaml").write_text("just words")
        message = "recipe.yaml: damaged, it holds no recipe"
    elif fault == "pickle":
        (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
        message = "pickled weights are not loaded"
    else:
        config = json.loads((OTHER / "adapter/adapter_config.json").read_text())
        (OTHER / "adapter/adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "some/base"}))
        (OTHER / "recipe.yaml").write_text((OTHER / "recipe.yaml").read_text().replace(f"base: {TINY}", "base: some/base"))
        arguments, message = [str(RUN), str(OTHER)], "different bases cannot share one: tiny-llama and some/base"
    code, error = cli(monkeypatch, capsys, *arguments)
    assert code == 2
    assert error.startswith("moralfit: ")
    assert message in error
    assert error.count("\n") == 1
    assert "Traceback" not in error


def test_find_adapter(place: Path) -> None:
    folder, recipe = find_adapter(RUN)
    assert folder == RUN / "adapter"
    assert recipe.preference.slug == "moralis-1"
    assert find_adapter(RUN / "adapter")[1].model == recipe.model
    with pytest.raises(RunError):
        find_adapter(place / TINY / "nothing")
    with pytest.raises(ModelError):
        find_adapter(place / TINY)


class TestMissingFolders:
    """What looks like a folder that is not there is not looked for on the Hub."""

    @pytest.fixture(autouse=True)
    def runs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        for name in ("quickstart-moralis-1", "quickstart-economicus", "other"):
            (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / "quickstart-moralis-3").touch()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("moralfit.evaluate._loading.fetch_adapter", self.fetch)
        return tmp_path / "runs"

    @staticmethod
    def fetch(repository: str, revision: str | None = None) -> Path:
        raise ModelError(f"asked the Hub for {repository} at {revision}")

    @pytest.mark.parametrize("kind", [str, Path])
    @pytest.mark.parametrize(
        ("place", "near"),
        [
            ("runs/quickstart-moralis-2", "runs/quickstart-moralis-1"),
            ("./runs/quickstart-moralis-2", "runs/quickstart-moralis-1"),
            ("runs/othr", "runs/other"),
            ("runs/nothing-like-it", None),
        ],
    )
    def test_where_the_parent_is_there(self, kind: Any, place: str, near: str | None) -> None:
        asked = kind(place)
        hub = "" if str(asked).startswith(".") else f" (a repository of the Hub would be {Path(place)}@main)"
        with pytest.raises(RunError) as error:
            find_adapter(asked)
        said = str(error.value).removeprefix(f"{asked}: no such run or adapter folder")
        assert said.endswith(hub)
        assert ("a repository of the Hub" in said) == bool(hub)
        assert ("did you mean" in said) == (near is not None)
        assert near is None or said.startswith(f"; did you mean {near}")
        assert "quickstart-moralis-3" not in said, "it is a file"

    def test_where_the_name_says_so(self, runs: Path) -> None:
        for place in ("./user/name", "../user", "~/runs/x", "/nowhere/x"):
            with pytest.raises(RunError, match=r"no such run or adapter folder$"):
                find_adapter(place)
        with pytest.raises(RunError, match=rf"no such run or adapter folder; did you mean {runs / 'other'}\?$"):
            find_adapter(runs / "othe")
        with pytest.raises(RunError, match=r"; did you mean runs\?$"):
            find_adapter("run")

    def test_a_repository_is_one(self) -> None:
        for place, asked in (
            ("someone/moralis", "someone/moralis at None"),
            ("someone/moralis@v1", "someone/moralis at v1"),
            ("runs/othr@main", "runs/othr at main"),
        ):
            with pytest.raises(ModelError, match=f"asked the Hub for {asked}"):
                find_adapter(place)
            with pytest.raises(ModelError, match=f"asked the Hub for {asked}"):
                find_adapter(Path(place))
