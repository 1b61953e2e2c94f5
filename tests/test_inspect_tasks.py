"""The evaluation in Inspect, for real: its own runner, its mock provider and its logs, and no network."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tiny_model import Recipes

pytest.importorskip("inspect_ai")

from inspect_ai import eval as inspect_eval
from inspect_ai.log import EvalLog, read_eval_log
from inspect_ai.model import ModelOutput, ModelUsage, get_model

from moralfit.agents import Asked
from moralfit.chat import Reply
from moralfit.errors import RecipeError
from moralfit.evaluate import items, summarise, target
from moralfit.evaluate._play import play
from moralfit.inspect_tasks import games
from moralfit.preferences import HomoMoralis
from moralfit.recipe import Recipe, load_recipe
from moralfit.words import Scene, parse_reply

MORALIS = HomoMoralis(1)


def says(scene: Scene, seed: str) -> str:
    """An answer that is right more often than not, cannot be read one time in five, and is declined one time in ten."""
    rng = Random(f"says/{seed}")
    if (luck := rng.random()) < 0.2:
        return "Well, who knows."
    if luck < 0.3:
        return "I'm sorry, but I cannot make this choice."
    solved = target(scene, MORALIS)
    right = [wanted[0] if wanted else i.actions[0] for wanted, i in zip(solved.optimum, _sets(scene), strict=True)]
    actions = [a if rng.random() < 0.7 else rng.choice(i.actions) for a, i in zip(right, _sets(scene), strict=True)]
    return f"Hm.\nAnswer: {', '.join(scene.label(d, a) for d, a in zip(scene.asked, actions, strict=True))}"


def _sets(scene: Scene) -> list[Any]:
    return [scene.game.information_sets[decision] for decision in scene.asked]


class Scripted:
    """The same answers as an agent of our own evaluation."""

    key = name = "scripted"
    kind = "adapter"

    def replies(self, asked: Asked, seeds: Any, probabilities: bool = False) -> Iterator[Reply]:
        for position, ((scene, _), seed) in enumerate(zip(asked, seeds, strict=True)):
            yield Reply(position, says(scene, seed))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Records every address that is connected to; logs and caches go to the test's own folder."""
    reached: list[Any] = []
    connect = socket.socket.connect

    def watched(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            reached.append(address)
            raise OSError("no network in tests")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watched)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return reached


def evaluated(path: Path, recipe: Recipe, part: Any, place: Path, **options: Any) -> EvalLog:
    """Inspect's log of a model that gives the scripted answers, read back from its file."""
    answers = {item.messages[-1]["content"]: says(item.scene, item.seed) for item in items(recipe, part)}
    assert len(answers) == len(items(recipe, part)), "prompts tell items apart"

    def answer(messages: Any, *_: Any) -> ModelOutput:
        found = next(reply for text, reply in answers.items() if messages[-1].text.endswith(text))
        output = ModelOutput.from_content("mockllm/model", found)
        # Else the mock counts tokens with a vocabulary that it would fetch.
        output.usage = ModelUsage()
        return output

    model = get_model("mockllm/model", custom_outputs=answer, memoize=False)
    (log,) = inspect_eval(games(str(path), part, **options), model=model, log_dir=str(place / "logs"), display="none")
    assert log.status == "success", log.error
    return read_eval_log(log.location)


def metrics(log: EvalLog) -> dict[str, float]:
    assert log.results is not None
    return {name: found.value for score in log.results.scores for name, found in score.metrics.items()}


@pytest.mark.parametrize("part", ["payoffs", "words", "games"])
def test_same_figures_as_our_own_evaluation(part: Any, write_recipe: Recipes, tmp_path: Path, offline: list[Any]) -> None:
    """The same replies: the same agreement, the same interval, the same shares of what cannot be read."""
    path = write_recipe(
        evaluation={"prompts": 40, "transfer_prompts": 36},
        data={"beliefs": {"unstated": 1, "certain": 1, "halves": 1, "tenths": 0}, "plan_share": 0.6},
    )
    recipe = load_recipe(path)
    log = evaluated(path, recipe, part, tmp_path)
    records = play(
        tmp_path / "ours", [Scripted()], {"scripted": "x"}, items(recipe, part), {MORALIS.name: MORALIS}, False, lambda *_: None
    )
    (row,) = [r for r in summarise(records, [MORALIS.name]) if r["game"] == "all"]
    found = metrics(log)
    assert 0.3 < row["agreement"]["estimate"] < 0.9
    assert found["agreement"] == pytest.approx(row["agreement"]["estimate"])
    assert found["low"] == pytest.approx(row["agreement"]["low"])
    assert found["high"] == pytest.approx(row["agreement"]["high"])
    assert len(log.samples or []) == len(items(recipe, part))
    # Ours are shares of decisions, Inspect's of prompts.
    by_prompt = {record["prompt_id"]: record["status"] for record in records}
    for status in ("unparseable", "refused"):
        assert found[status] == pytest.approx(sum(s == status for s in by_prompt.values()) / len(by_prompt)), status
        assert found[status] > 0
    for sample in log.samples or []:
        (score,) = (sample.scores or {}).values()
        mine = [r for r in records if r["prompt_id"] == sample.id]
        decided = [r for r in mine if 0 < len(r["optimum"][MORALIS.name]) < len(r["actions"])]
        agreed = sum(r["action"] in r["optimum"][MORALIS.name] for r in decided)
        assert score.value == {
            "agreed": agreed, "decided": len(decided), "unparseable": int(mine[0]["status"] == "unparseable"),
            "refused": int(mine[0]["status"] == "refused"),
        }  # fmt: skip
        expected = mine[0]["status"]
        if expected == "answered":
            expected = "undecided" if not decided else "agrees" if agreed == len(decided) else "differs"
        assert (score.metadata or {})["status"] == expected
    assert offline == []


def test_standard_error_is_clustered_by_game(write_recipe: Recipes, tmp_path: Path) -> None:
    """Against the definition: decisions in one game move together."""
    path = write_recipe(evaluation={"prompts": 60}, data={"payoffs": {"low": 1, "high": 7, "step": 1}})
    recipe = load_recipe(path)
    log = evaluated(path, recipe, "payoffs", tmp_path)
    sums: dict[str, list[float]] = {}
    for sample in log.samples or []:
        (score,) = (sample.scores or {}).values()
        counts: Any = score.value
        sums.setdefault(sample.metadata["cluster"], []).extend(
            [1.0] * counts["agreed"] + [0.0] * (counts["decided"] - counts["agreed"])
        )
    sums = {name: values for name, values in sums.items() if values}
    assert len(sums) < len(log.samples or []), "small grids repeat payoffs"
    everything = [value for values in sums.values() for value in values]
    mean = sum(everything) / len(everything)
    squares = sum(sum(value - mean for value in values) ** 2 for values in sums.values())
    expected = (squares * len(sums) / (len(sums) - 1)) ** 0.5 / len(everything)
    assert metrics(log)["agreement_stderr"] == pytest.approx(expected)


def test_what_the_model_reads(write_recipe: Recipes, tmp_path: Path) -> None:
    path = write_recipe(data={"system": "Be brief."})
    recipe = load_recipe(path)
    log = evaluated(path, recipe, "payoffs", tmp_path)
    for item, sample in zip(items(recipe, "payoffs"), log.samples or [], strict=True):
        assert [(m.role, m.text) for m in sample.messages[:2]] == [(m["role"], m["content"]) for m in item.messages]
        stated = str(sample.target)
        solved = target(item.scene, MORALIS)
        assert parse_reply(item.scene, stated).status == "answered" or any(len(wanted) != 1 for wanted in solved.optimum)
    assert log.eval.model_generate_config.temperature == 0 or log.plan.config.temperature == 0
    assert log.eval.metadata == {"preference": "homo moralis (kappa = 1)", "part": "payoffs", "told": False}
    told = evaluated(path, recipe, "payoffs", tmp_path, told=True)
    first = (told.samples or [])[0].messages[1].text
    assert first.endswith(items(recipe, "payoffs")[0].messages[-1]["content"])
    assert len(first) > len(items(recipe, "payoffs")[0].messages[-1]["content"]) + 20


def test_what_makes_no_sense(write_recipe: Recipes) -> None:
    path = str(write_recipe())
    with pytest.raises(RecipeError, match="there are the parts payoffs, words, games"):
        games(path, "payoff")
    with pytest.raises(RecipeError, match=r"evaluation\.transfer_prompts=48"):
        games(path, "games")
    with pytest.raises(RecipeError, match="unknown key"):
        games(path, overrides="evaluation.prompt=3")


def test_entry_point() -> None:
    """As `pip install` registers it."""
    (found,) = [e for e in entry_points(group="inspect_ai") if e.name == "moralfit"]
    assert found.value == "moralfit.inspect_tasks"


@pytest.mark.slow
def test_command_line(write_recipe: Recipes, workplace: Path) -> None:
    """`inspect eval moralfit/games` in a process of its own, then its log, then the log scored again."""
    write_recipe()
    # The mock counts tokens with a vocabulary that it would fetch.
    offline = "import inspect_ai.model._model as m; m.count_text_tokens = len; from inspect_ai._cli.main import main; main()"
    command = [sys.executable, "-c", offline]
    environment = {
        **os.environ,
        "INSPECT_LOG_DIR": "logs",
        "INSPECT_LOG_FORMAT": "json",
        "XDG_DATA_HOME": str(workplace / "data"),
    }
    arguments = [
        "eval", "moralfit/games", "--model", "mockllm/model", "-T", "recipe=recipe.yaml", "-T",
        "overrides=evaluation.prompts=5", "--display", "none",
    ]  # fmt: skip
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (workplace / "logs").glob("*.json")
    log = json.loads(file.read_text())
    assert log["eval"]["task"] == "moralfit/games"
    assert log["status"] == "success"
    assert len(log["samples"]) == 5
    found = {name: m["value"] for score in log["results"]["scores"] for name, m in score["metrics"].items()}
    assert found["unparseable"] == 1.0, "the mock says nothing that could be read"
    assert found["agreement"] == 0.0
