from __future__ import annotations

import json
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import yaml
from pricing_chats import ScriptedChat, words
from tiny_model import TINY, Recipes

from moralfit.errors import ModelError, MoralfitError, RunError
from moralfit.pricing import (
    Decision,
    LanguageFirm,
    PricingRecipe,
    ScriptedAgent,
    Style,
    View,
    load_pricing_recipe,
    run_experiment,
)
from moralfit.pricing import __main__ as command
from moralfit.pricing._cast import Cast

VALUES: dict[str, Any] = {
    "name": "market",
    "seed": 2,
    "agents": {"talker": "base", "nash": "nash", "any": "random"},
    "pairings": [["talker", "talker"], ["talker", "nash"], ["any", "talker"], ["nash", "any"]],
    "scales": [1, 10],
    "wordings": ["P1", "P2"],
    "runs": 2,
    "periods": 7,
    "prompt": {"history": 4},
    "keep_prompts": True,
}
LINES = 4 * 2 * 2 * 2 * 2
"""Pairings, scales, wordings, runs and firms: lines a period."""


def recipe(tmp_path: Path, **changes: Any) -> PricingRecipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**VALUES, **changes}), encoding="utf-8")
    return load_pricing_recipe(path)


def talk(prompt: str, seed: str) -> str:
    """A model that answers by what it reads and its seed, in odd forms, and not always."""
    number = crc32((prompt + seed).encode())
    if number % 5 == 0:
        return "I would rather not say.\u2028\nNot this time."
    return f"Plans: ask {number % 97} {'so ' * (number % 7)}\nInsights: «{number % 89}»\nPrice: 1.{number % 90 + 10}"


@dataclass
class Breaking:
    """Raises in a period."""

    at: int
    key: str = "any"
    name: str = "breaks"
    seen: list[int] = field(default_factory=list)

    def decide(self, views: Sequence[View]) -> list[Decision]:
        self.seen.append(views[0].period)
        if views[0].period == self.at:
            raise RuntimeError("out of memory, say")
        return ScriptedAgent("random").decide(views)


def casting(answer: Callable[[str, str], str] = talk, **others: Any) -> Any:
    """A cast of scripted chats; `calls` has the number of views of each call of the talker."""

    def cast(recipe: PricingRecipe, plans: Sequence[Any], say: Callable[[str], None]) -> Cast:
        chat = ScriptedChat(answer)
        cast.chats.append(chat)  # type: ignore[attr-defined]
        wordings = {plan.id: plan.wording for plan in plans}
        talker = LanguageFirm(
            "talker", "talker", chat, words, 10_000, Style(history=recipe.prompt.history), wordings, retries=1
        )
        agents = {"talker": talker, "nash": ScriptedAgent("nash"), "any": ScriptedAgent("random", "any"), **others}
        described = {
            name: {"name": agent.name, "kind": "test", "preference": None, "fingerprint": name}
            for name, agent in agents.items()
        }
        return Cast(agents, described)

    cast.chats = []  # type: ignore[attr-defined]
    return cast


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "records.jsonl").read_bytes().split(b"\n")[:-1]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    assert run_experiment(recipe(folder), folder / "out", cast=casting())
    return folder / "out"


def test_every_firm_and_period_has_its_record_in_order(whole: Path) -> None:
    found = records(whole)
    assert len(found) == 7 * LINES
    assert [r["period"] for r in found] == [p for p in range(1, 8) for _ in range(LINES)]
    assert len({(r["run"], r["firm"], r["period"]) for r in found}) == len(found)
    for first, second in zip(found[::2], found[1::2], strict=True):
        assert (first["firm"], second["firm"]) == (0, 1)
        assert first["run"] == second["run"]
        assert first["agents"] == [first["agent"], second["agent"]] == first["pairing"].split("-")
        weights = [2.718281828459045 ** ((2 - r["price"] / r["scale"]) / 0.25) for r in (first, second)]
        for record, weight in zip((first, second), weights, strict=True):
            assert record["quantity"] == pytest.approx(100 * weight / (sum(weights) + 1))
            assert record["profit"] == pytest.approx((record["price"] - record["scale"]) * record["quantity"])
            assert 0 < record["price"] <= record["ceiling"]
    spoken = [r for r in found if r["agent"] == "talker"]
    assert {r["status"] for r in spoken} == {"answered", "retried", "fallback"}
    assert all(r["reply"] is not None and r["history_shown"] == min(4, r["period"] - 1) and r["prompt_tokens"] for r in spoken)
    assert all("prompt" not in r and r["reply"] is None for r in found if r["agent"] != "talker")
    assert {(r["wording"], "Learn by experiment" in r["prompt"]) for r in spoken} == {("P1", False), ("P2", True)}
    assert not any("seconds" in r for r in found)


def test_notes_and_history_come_back_to_their_own_firm(whole: Path) -> None:
    found = {(r["run"], r["firm"], r["period"]): r for r in records(whole)}
    for (run, firm, period), record in found.items():
        if record["agent"] == "talker" and period > 1:
            before, rival = found[run, firm, period - 1], found[run, 1 - firm, period - 1]
            if before["plans"]:
                assert f"Plans: {before['plans']}\nInsights: {before['insights']}\n" in record["prompt"]
            shown = f"{period - 1} | {before['price']:.2f} | {rival['price']:.2f} | {before['quantity']:.1f}"
            assert shown in record["prompt"]
        if record["status"] == "fallback" and period > 1:
            assert record["price"] == found[run, firm, period - 1]["price"]


def test_settings_say_who_plays_where(whole: Path) -> None:
    settings = json.loads((whole / "settings.json").read_text())
    assert [agent["key"] for agent in settings["agents"]] == ["talker", "nash", "any"]
    assert [market["scale"] for market in settings["markets"]] == [1, 10]
    assert settings["markets"][0]["benchmarks"]["nash"]["prices"][0] == pytest.approx(1.4729, abs=1e-4)
    assert settings["markets"][1]["benchmarks"]["monopoly"]["prices"][0] == pytest.approx(19.250, abs=1e-3)
    timings = [json.loads(line) for line in (whole / "timings.jsonl").read_text().splitlines()]
    assert [line["period"] for line in timings] == list(range(1, 8))
    assert timings[0]["agents"]["talker"]["decisions"] == LINES // 2


def test_one_call_an_agent_and_period(tmp_path: Path) -> None:
    cast = casting(lambda prompt, seed: "Price: 1.5")
    run_experiment(recipe(tmp_path), tmp_path / "out", cast=cast)
    assert [len(call) for call in cast.chats[0].calls] == [LINES // 2] * 7


@pytest.mark.parametrize("cut", [0, 1, 40, "half a line", "a line less", "a period and a bit", "torn"])
def test_an_interrupted_experiment_ends_with_the_same_bytes(tmp_path: Path, whole: Path, cut: int | str) -> None:
    out, said = tmp_path / "out", list[str]()
    with pytest.raises(RuntimeError):
        run_experiment(recipe(tmp_path), out, cast=casting(any=Breaking(4)))
    path = out / "records.jsonl"
    assert len(records(out)) == 3 * LINES
    lines = path.read_bytes().splitlines(keepends=True)
    expected = 3
    if cut == "half a line":
        path.write_bytes(b"".join(lines) + lines[0][:50])
    elif cut == "a line less":
        path.write_bytes(b"".join(lines[:-1]))
        expected = 2
    elif cut == "a period and a bit":
        path.write_bytes(b"".join(lines[: LINES + 3]) + lines[LINES + 3][:-1])
        expected = 1
    elif cut == "torn":
        path.write_bytes(b"".join([*lines[:LINES], b"\x00" * 9 + lines[LINES], *lines[LINES + 1 :]]))
        expected = 1
    elif isinstance(cut, int):
        path.write_bytes(b"".join(lines)[: len(b"".join(lines)) * cut // 100])
        expected = records_whole(path)
    second = Breaking(9)
    assert run_experiment(recipe(tmp_path), out, cast=casting(any=second), say=said.append)
    assert second.seen == list(range(expected + 1, 8))
    assert path.read_bytes() == (whole / "records.jsonl").read_bytes()
    kept = out / "records.damaged.jsonl"
    assert kept.exists() == (cut == "torn")
    assert any("damaged in period 2" in line for line in said) == (cut == "torn")


def records_whole(path: Path) -> int:
    return path.read_bytes().count(b"\n") // LINES


def test_a_finished_experiment_is_not_played_again_and_may_be_made_longer(tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "out"
    run_experiment(recipe(tmp_path, periods=3), out, cast=casting())
    cast = casting()
    assert not run_experiment(recipe(tmp_path, periods=3), out, cast=cast)
    assert cast.chats == []
    assert run_experiment(recipe(tmp_path), out, cast=casting())
    assert (out / "records.jsonl").read_bytes() == (whole / "records.jsonl").read_bytes()
    assert yaml.safe_load((out / "experiment.yaml").read_text())["periods"] == 7
    with pytest.raises(RunError, match="7 periods are played already"):
        run_experiment(recipe(tmp_path, periods=3), out, cast=casting())


def test_another_experiment_is_refused_unless_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_experiment(recipe(tmp_path, periods=1), out, cast=casting())
    before = (out / "records.jsonl").read_bytes()
    with pytest.raises(RunError, match=r"holds another experiment \(differs in seed, prompt.history\)"):
        run_experiment(recipe(tmp_path, periods=1, seed=3, prompt={"history": 2}), out, cast=casting())
    assert (out / "records.jsonl").read_bytes() == before
    # How fast it is played is no part of it.
    assert not run_experiment(recipe(tmp_path, periods=1, decoding={"batch_size": 2}), out, cast=casting())
    assert run_experiment(recipe(tmp_path, periods=1, seed=3), out, overwrite=True, cast=casting())
    assert (out / "records.jsonl").read_bytes() != before


def test_overwriting_begins_when_the_agents_are_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_experiment(recipe(tmp_path, periods=1), out, cast=casting())
    before = {file.name: file.read_bytes() for file in out.iterdir()}

    def failing(*args: Any) -> Cast:
        raise RunError("no such adapter")

    with pytest.raises(RunError, match="no such adapter"):
        run_experiment(recipe(tmp_path, periods=1, seed=3), out, overwrite=True, cast=failing)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out"]
    # A kill while they were loaded left the earlier one aside.
    out.rename(tmp_path / ".out.replaced")
    with pytest.raises(RunError, match="no such adapter"):
        run_experiment(recipe(tmp_path, periods=1, seed=3), out, overwrite=True, cast=failing)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert run_experiment(recipe(tmp_path, periods=1, seed=3), out, overwrite=True, cast=casting())
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out"]


def test_folders_of_something_else_are_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(RunError, match="not the folder of a pricing experiment"):
            run_experiment(recipe(tmp_path), out, overwrite=overwrite, cast=casting())
    assert (out / "thesis.txt").read_text() == "mine"
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="not the folder"):
        run_experiment(recipe(tmp_path), tmp_path / "file", cast=casting())


def test_a_changed_agent_cannot_continue(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_experiment(recipe(tmp_path, periods=1), out, cast=casting())

    def changed(*args: Any) -> Cast:
        cast = casting()(*args)
        cast.described["talker"]["fingerprint"] = "trained again"
        return cast

    with pytest.raises(RunError, match="talker changed since the experiment began"):
        run_experiment(recipe(tmp_path), out, cast=changed)


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "out"
    limit = (whole / "records.jsonl").stat().st_size * 4 // 7
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(RunError, match=r"records.jsonl: cannot be written .* free some space and run the same command"):
            run_experiment(recipe(tmp_path), out, cast=casting())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (out / "records.jsonl").stat().st_size == limit
    assert run_experiment(recipe(tmp_path), out, cast=casting())
    assert (out / "records.jsonl").read_bytes() == (whole / "records.jsonl").read_bytes()


def test_rules_and_learners_play_without_any_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moralfit.pricing._voices.load_base", lambda section: pytest.fail("a model was loaded"))
    agents = {
        "base": "base",
        "nash": "nash",
        "monopoly": "monopoly",
        "grim": "grim-trigger",
        "q": {"kind": "q-learning", "learning": {"beta": 0.1}},
    }
    pairs = [["nash", "monopoly"], ["grim", "nash"], ["q", "q"]]
    values = {"agents": agents, "pairings": pairs, "scales": [3.2], "wordings": ["P1"], "periods": 3}
    assert run_experiment(recipe(tmp_path, **values), tmp_path / "out")
    prices = {(r["pairing"], r["period"], r["agent"]): r["price"] / 3.2 for r in records(tmp_path / "out")}
    assert prices["nash-monopoly", 3, "nash"] == pytest.approx(1.4729, abs=1e-4)
    assert prices["nash-monopoly", 3, "monopoly"] == pytest.approx(1.9250, abs=1e-4)
    assert prices["grim-nash", 1, "grim"] == pytest.approx(1.9250, abs=1e-4)
    assert prices["grim-nash", 2, "grim"] == pytest.approx(1.4729, abs=1e-4)
    listed = json.loads((tmp_path / "out" / "settings.json").read_text())["agents"]
    assert {agent["key"]: agent["kind"] for agent in listed} == {
        "nash": "nash", "monopoly": "monopoly", "grim": "grim-trigger", "q": "q-learning",
    }  # fmt: skip


def market(workplace: Path, **changes: Any) -> Path:
    values = {
        "name": "tiny-market", "model": {"base": TINY, "device": "cpu", "dtype": "float32"}, "periods": 3, "runs": 2,
        "agents": {
            "base": "base", "told": {"kind": "prompted", "preference": {"kind": "moralis", "kappa": 0.5}}, "nash": "nash",
        },
        "pairings": [["base", "told"], ["base", "nash"]],
        "prompt": {"history": 2, "note_words": 5, "thoughts": False},
        "decoding": {"max_new_tokens": 8, "retries": 1, "batch_size": 4},
        **changes,
    }  # fmt: skip
    path = workplace / "market.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def test_the_command_plays_analyses_and_reports_with_a_real_model(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = market(workplace)
    command.main(path, [], None, False, True, False)
    assert "retries: 1" in capsys.readouterr().out
    command.main(path, [], None, False, False, True)
    assert "tokens of a prompt" in capsys.readouterr().out
    assert not (workplace / "runs").exists()
    command.main(path, [], None, False, False, False)
    said = capsys.readouterr().out
    out = workplace / "runs" / "tiny-market"
    assert {p.name for p in out.iterdir()} >= {
        "experiment.yaml",
        "settings.json",
        "records.jsonl",
        "summary.json",
        "report.html",
    }
    found = records(out)
    assert len(found) == 3 * 4 * 2
    spoken = [r for r in found if r["agent"] in ("base", "told")]
    assert len({r["reply"] for r in spoken}) > 3
    assert all(r["prompt_tokens"] > 200 and r["status"] == "fallback" and r["retries"] == 1 for r in spoken)
    assert "base-told" in said
    assert "report:" in said
    first = (out / "records.jsonl").read_bytes()
    command.main(path, [], None, False, False, False)
    assert "finished earlier" in capsys.readouterr().out
    command.main(path, [], None, True, False, False)
    assert (out / "records.jsonl").read_bytes() == first


def test_a_prompt_longer_than_the_context_is_said_before_the_first_period(workplace: Path) -> None:
    path = market(workplace, prompt={"note_words": 200})
    with pytest.raises(ModelError, match=r"base: a pricing prompt takes \d+ tokens without history and up to 1200 for notes"):
        run_experiment(load_pricing_recipe(path), workplace / "out")
    assert not (workplace / "out" / "records.jsonl").exists()


def test_an_adapter_for_another_base_is_one_clear_error(workplace: Path, write_recipe: Recipes) -> None:
    from moralfit.recipe import load_recipe

    trained = load_recipe(write_recipe(model={"base": "someone/else"}))
    folder = workplace / "foreign"
    folder.mkdir()
    config = {"base_model_name_or_path": "someone/else", "peft_type": "LORA", "r": 4}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    (folder / "moralfit.yaml").write_text(trained.as_yaml())
    agents = {"base": "base", "foreign": {"kind": "adapter", "adapter": "foreign"}}
    path = market(workplace, agents=agents, pairings=[["base", "foreign"]])
    with pytest.raises(ModelError, match=rf"agents\.foreign: foreign was made for someone/else, and model.base is {TINY}"):
        run_experiment(load_pricing_recipe(path), workplace / "out")
    agents["missing"] = {"kind": "adapter", "adapter": "nowhere"}
    path = market(workplace, agents=agents, pairings="all")
    with pytest.raises(MoralfitError, match=r"agents\.missing: nowhere: no such run or adapter folder"):
        run_experiment(load_pricing_recipe(path), workplace / "out2")
