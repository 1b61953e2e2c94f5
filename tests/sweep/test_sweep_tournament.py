"""Tournaments: what plans earn against each other, by hand and by theory; markets; going on; and what is not trusted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from random import Random
from statistics import mean, stdev
from typing import Any

import pytest
from scipy.stats import t
from sweep_tools import contents, sweep

from moralfit.agents import Asked
from moralfit.chat import Reply
from moralfit.dataset import held_out
from moralfit.errors import GameError, RunError
from moralfit.games import GAMES, make_game, sequential_prisoners_dilemma
from moralfit.preferences import HomoEconomicus, HomoMoralis, SocialPreferences
from moralfit.solve import solve
from moralfit.sweep import failed
from moralfit.sweep._plans import PlansCell, meeting, scenes
from moralfit.sweep._recipe import PlaySection

FOLDER = Path("runs/t")
MORALIS = {"kind": "moralis", "kappa": 1.0}
EXACT: dict[str, Any] = {
    "economicus": {"kind": "solver", "preference": "economicus"},
    "moralis": {"kind": "solver", "preference": MORALIS},
    "random": "random",
}


def tournament(agents: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "t", "tournament": {"agents": agents, "games": {"scenes": 30}, **more}}


class Scripted:
    """Says the plan of a solver; of some scenes it says nothing."""

    kind = "adapter"

    def __init__(self, key: str, preference: SocialPreferences, silent: float = 0.0) -> None:
        self.key = self.name = key
        self.preference, self.silent = preference, silent
        self.asked: list[str] = []

    def replies(self, asked: Asked, seeds: Any, probabilities: bool = False) -> Iterator[Reply]:
        for position, ((scene, messages), seed) in enumerate(zip(asked, seeds, strict=True)):
            assert "You expect" not in messages[-1]["content"], "no beliefs are stated"
            assert scene.decision is None, "whole plans are asked for"
            self.asked.append(seed)
            if Random(f"{self.key}{seed}").random() < self.silent:
                yield Reply(position, "Hm.")
                continue
            optimum = solve(scene.game, self.preference)
            labels = [scene.label(d, optimum.actions(d)[0]) for d in scene.asked]
            yield Reply(position, f"Answer: {', '.join(labels)}")


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, workplace: Path) -> dict[str, Scripted]:
    """Agents of kind `base` say what these say."""
    found: dict[str, Scripted] = {}
    monkeypatch.setattr(PlansCell, "_agent", lambda self: (found[self.agent], self.agent))
    return found


def of(summary: dict[str, Any], agent: str, opponent: str, arena: str = "games") -> dict[str, Any]:
    (row,) = [r for r in summary["rows"] if (r["arena"], r["agent"], r["opponent"]) == (arena, agent, opponent)]
    return dict(row)


class TestMeeting:
    def test_by_hand(self) -> None:
        game = sequential_prisoners_dilemma(T=9, R=6, P=3, S=1)
        retaliates, defects = (game.strategy(plan) for plan in ("CCD", "DDD"))
        assert meeting(game, (retaliates,), (defects,)) == (1, 3)
        assert meeting(game, (defects,), (retaliates,)) == (3, 9)
        assert meeting(game, (retaliates,), (retaliates,)) == (6, 6)
        # Half of the time one, half of the time the other.
        assert meeting(game, (retaliates, defects), (defects,)) == (2, 3)
        assert meeting(game, (defects,), None) is None
        assert meeting(game, None, (defects,)) is None

    @pytest.mark.parametrize("name", GAMES)
    def test_both_roles_together_are_the_payoff_of_theory(self, name: str) -> None:
        rng = Random(1)
        for _ in range(20):
            game = make_game(name, *sorted(rng.sample(range(1, 30), 4), reverse=True))
            x, y = (
                game.strategy([[Fraction(n, 7), Fraction(7 - n, 7)] for n in (rng.randrange(8) for _ in game.information_sets)])
                for _ in "xy"
            )
            found = meeting(game, (x,), (y,))
            assert found is not None
            assert sum(found) / 2 == game.payoff(x, y)


def test_scenes_are_those_that_no_agent_was_trained_on() -> None:
    found = scenes(PlaySection(scenes=30), 0)
    assert [item.scene.game.name for item in found[:3]] == list(GAMES)
    for item in found:
        assert item.scene.belief is None
        assert held_out(tuple(int(item.scene.game.parameters[letter]) for letter in "TRPS"))  # type: ignore[arg-type]
    assert scenes(PlaySection(scenes=30), 1)[0].messages != found[0].messages
    words = scenes(PlaySection(scenes=30, words="other"), 0)
    assert {item.scene.frame.name for item in words}.isdisjoint({item.scene.frame.name for item in found})


def test_solvers_and_a_die(workplace: Path) -> None:
    summary, said = sweep(tournament(EXACT))
    assert failed(summary) == []
    asked = scenes(PlaySection(scenes=30), 0)
    preferences = {"economicus": HomoEconomicus(), "moralis": HomoMoralis(1)}

    def strategies(agent: str, game: Any) -> list[Any]:
        if agent == "random":
            return [0.5]
        try:
            return list(solve(game, preferences[agent]).strategies)
        except GameError:
            return []

    for agent in EXACT:
        for opponent in EXACT:
            values = []
            for item in asked:
                game = item.scene.game
                pairs = [(x, y) for x in strategies(agent, game) for y in strategies(opponent, game)]
                if pairs:
                    values.append(mean(float(game.payoff(x, y)) for x, y in pairs))
            row = of(summary, agent, opponent)
            assert row["n"] == len(values)
            assert row["value"] == pytest.approx(mean(values))
            half = t.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5
            assert row["low"] == pytest.approx(mean(values) - half)
            assert row["high"] == pytest.approx(mean(values) + half)
            assert row["value"] == pytest.approx((row["first"] + row["second"]) / 2)
            assert row["sum"] == pytest.approx(row["value"] + of(summary, opponent, agent)["value"])
    # What Kant's maxim is for: among people alike, nobody does better than homo kantiensis.
    alike = {agent: of(summary, agent, agent)["value"] for agent in EXACT}
    assert alike["moralis"] > alike["economicus"] + 1
    assert max(alike, key=lambda agent: alike[agent]) == "moralis"
    # And what it costs among others.
    assert of(summary, "economicus", "moralis")["value"] > of(summary, "moralis", "moralis")["value"]
    assert "t, games: payoff in points" in said
    assert json.loads((FOLDER / "summary.json").read_text()) == summary
    assert (FOLDER / "figures/figure.svg").read_text().count("economicus") >= 1


def test_plans_in_words_are_what_solvers_do(scripted: dict[str, Scripted]) -> None:
    scripted["says_economicus"] = Scripted("says_economicus", HomoEconomicus())
    scripted["says_moralis"] = Scripted("says_moralis", HomoMoralis(1))
    summary, said = sweep(tournament({**EXACT, "says_economicus": "base", "says_moralis": "base"}))
    assert failed(summary) == []
    assert "1 of 2: games_says_economicus done" in said
    for opponent in EXACT:
        for agent in ("economicus", "moralis"):
            ours, theory = of(summary, f"says_{agent}", opponent), of(summary, agent, opponent)
            assert ours["value"] == pytest.approx(theory["value"], abs=0.35), "only ties may be broken in another way"
            assert ours["n"] == theory["n"] == 30
    assert summary["stated"] == dict.fromkeys(["economicus", "moralis", "random", "says_economicus", "says_moralis"], 30)


def test_plans_that_cannot_be_read_are_left_out_and_counted(scripted: dict[str, Scripted]) -> None:
    scripted["mumbles"] = Scripted("mumbles", HomoEconomicus(), silent=0.4)
    scripted["silent"] = Scripted("silent", HomoEconomicus(), silent=1.0)
    summary, said = sweep(tournament({"economicus": EXACT["economicus"], "mumbles": "base", "silent": "base"}))
    read = summary["stated"]["mumbles"]
    assert 10 < read < 25
    assert of(summary, "mumbles", "economicus")["n"] == of(summary, "mumbles", "mumbles")["n"] == read
    nothing = of(summary, "silent", "economicus")
    assert (nothing["n"], nothing["value"], nothing["low"]) == (0, None, None)
    assert f"of 30: mumbles {read}, silent 0" in said


def test_only_what_is_missing_is_asked(scripted: dict[str, Scripted]) -> None:
    scripted["one"] = Scripted("one", HomoEconomicus())
    scripted["two"] = Scripted("two", HomoMoralis(1))
    values = tournament({"one": "base", "two": "base"}, games={"scenes": 30, "batch_size": 2})
    sweep(values)
    before = contents(FOLDER)
    scripted["one"].asked.clear()
    scripted["two"].asked.clear()
    sweep(values)
    assert scripted["one"].asked == scripted["two"].asked == []
    assert contents(FOLDER) == before
    # As after a kill: no mark, and half a record at the end.
    cell = FOLDER / "cells/games_one"
    (cell / "finished.json").unlink()
    lines = (cell / "records.jsonl").read_text().splitlines(keepends=True)
    (cell / "records.jsonl").write_text("".join(lines[:40]) + lines[40][:30])
    sweep(values)
    assert 0 < len(scripted["one"].asked) < 30
    assert scripted["two"].asked == []
    assert contents(FOLDER) == before


def test_what_is_not_what_it_was_is_not_trusted(scripted: dict[str, Scripted]) -> None:
    scripted["one"] = Scripted("one", HomoEconomicus())
    values = tournament({"one": "base"})
    sweep(values)
    with pytest.raises(RunError, match="made from another prompts"):
        sweep(values, "seed=1")
    with pytest.raises(RunError, match="made from another kind and told"):
        sweep(tournament({"one": {"kind": "prompted", "preference": MORALIS}}))
    records = FOLDER / "cells/games_one/records.jsonl"
    records.write_text(records.read_text().replace('"answered"', '"refused"', 1))
    with pytest.raises(RunError, match="not those that were finished"):
        sweep(values)


def test_a_real_model(workplace: Path) -> None:
    """The tiny model says nothing that could be read, and that is what is reported."""
    agents = {"base": "base", "told": {"kind": "prompted", "preference": MORALIS}, "random": "random"}
    model = {"base": "tiny-llama", "device": "cpu", "dtype": "float32"}
    games = {"scenes": 4, "max_new_tokens": 8, "batch_size": 4}
    summary, _ = sweep(tournament(agents, model=model, games=games))
    assert failed(summary) == []
    assert summary["stated"] == {"base": 0, "told": 0, "random": 4}
    prompts = {
        name: [json.loads(line)["prompt"] for line in (FOLDER / f"cells/games_{name}/records.jsonl").read_text().splitlines()]
        for name in ("base", "told")
    }
    assert prompts["base"] == prompts["told"], "records hold the scene; what is told comes before it"


def test_a_base_that_is_not_there(workplace: Path) -> None:
    """A failed cell is recorded with its message, and the exact agents are still played."""
    model = {"base": "nowhere/at-all", "device": "cpu"}
    summary, said = sweep(tournament({**EXACT, "base": "base"}, model=model))
    assert failed(summary) == ["games_base"]
    assert "nowhere/at-all" in summary["cells"][0]["error"]
    assert "games_base failed" in said
    assert of(summary, "moralis", "moralis")["n"] == 30
    assert not [row for row in summary["rows"] if row["agent"] == "base"]


PRICING = """
name: rules
agents: {nash: {kind: nash}, monopoly: {kind: monopoly}}
periods: 4
runs: 3
"""


def market(**more: Any) -> dict[str, Any]:
    return tournament(EXACT, games=None, markets={"duopoly": {"recipe": "pricing.yaml", **more}})


def test_markets(workplace: Path) -> None:
    (workplace / "pricing.yaml").write_text(PRICING)
    summary, said = sweep(market())
    assert failed(summary) == []
    assert [cell["cell"] for cell in summary["cells"]] == [
        "duopoly-nash-nash", "duopoly-nash-monopoly", "duopoly-monopoly-monopoly"
    ]  # fmt: skip
    assert of(summary, "nash", "nash", "duopoly")["value"] == pytest.approx(0, abs=1e-9)
    assert of(summary, "monopoly", "monopoly", "duopoly")["value"] == pytest.approx(1, abs=1e-9)
    assert of(summary, "nash", "monopoly", "duopoly")["value"] > 1, "who undercuts a cartel earns more than its share"
    assert of(summary, "monopoly", "nash", "duopoly")["value"] < 0
    assert "t, duopoly: profit gain Delta" in said


def test_warnings_of_a_market_are_shown(workplace: Path) -> None:
    (workplace / "pricing.yaml").write_text(PRICING)
    sweep(market())
    path = FOLDER / "cells/duopoly-nash-nash/settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "notes": ["the server's nash gives other answers"]}))
    summary, said = sweep(market())
    assert [cell.get("notes") for cell in summary["cells"]] == [["the server's nash gives other answers"], None, None]
    assert said.count("Warning: duopoly-nash-nash: the server's nash gives other answers") == 1


def test_a_market_goes_on_where_it_was_cut_off(workplace: Path) -> None:
    (workplace / "pricing.yaml").write_text(PRICING)
    sweep(market())
    before = contents(FOLDER)
    records = FOLDER / "cells/duopoly-nash-monopoly/records.jsonl"
    whole = records.read_text()
    records.write_text(whole[: len(whole) // 2])
    _, said = sweep(market())
    assert "2 of 3 cells are finished" in said
    assert contents(FOLDER) == before
    summary, said = sweep(market(set={"market": {"mu": 0.5}}), "name=other")
    assert failed(summary) == []
    with pytest.raises(RunError, match=r"differs in market\.mu"):
        sweep(market(set={"market": {"mu": 0.5}}))


def test_names_of_the_market_and_of_the_tournament(workplace: Path) -> None:
    from moralfit.errors import RecipeError

    (workplace / "pricing.yaml").write_text(PRICING)
    values = market()
    values["tournament"]["agents"] = {"nash": "random"}
    with pytest.raises(RecipeError, match="both have an agent nash"):
        sweep(values)
    (workplace / "pricing.yaml").write_text("name: x\nagents: {a: {kind: bas}}\n")
    with pytest.raises(RecipeError, match=r"tournament\.markets\.duopoly: pricing\.yaml: .*\n.*unknown kind"):
        sweep(market())
