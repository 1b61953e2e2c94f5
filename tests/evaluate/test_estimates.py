"""Scripted agents go through play, and what they want comes out."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scripted_agents import Player
from tiny_model import VALUES

from moralfit.agents import RandomAgent
from moralfit.estimate import MODELS, estimate, from_plans
from moralfit.evaluate import Item, estimates, items, summarise, tables, wants
from moralfit.evaluate._beliefs import elicit
from moralfit.evaluate._play import play
from moralfit.evaluate._wants import weight
from moralfit.games import sequential_prisoners_dilemma
from moralfit.preferences import HomoEconomicus, HomoMoralis, SocialPreferences
from moralfit.recipe import parse_recipe

HALF = HomoMoralis(0.5)


def prompts(count: int, **data: Any) -> list[Item]:
    values = {**VALUES, "evaluation": {"prompts": count}, "data": {"plan_share": 0.7, **data}}
    recipe = parse_recipe(values, "test")
    return [item for part in ("payoffs", "words") for item in items(recipe, part)]  # type: ignore[arg-type]


def records_of(folder: Path, asked: list[Item], *agents: Any) -> list[dict[str, Any]]:
    return play(folder, agents, {a.key: "x" for a in agents}, asked, {HALF.name: HALF}, True, lambda key, done: None)


def one(entries: list[dict[str, Any]], model: str = "homo moralis", **wanted: str) -> dict[str, Any]:
    wanted = {"games": "trained", "use": "answers", "beliefs": "stated", "model": model, **wanted}
    (found,) = [entry for entry in entries if all(entry[key] == value for key, value in wanted.items())]
    return found


def covers(bounds: dict[str, Any], truth: float) -> bool:
    return bool(bounds["low"] <= truth <= bounds["high"])


def test_a_noisy_player_is_recovered_from_answers_and_from_probabilities(tmp_path: Path) -> None:
    records = records_of(tmp_path, prompts(80), Player("tuned", HALF, noise=1.0))
    found = estimates(records, {"tuned": HALF})
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    alone = one(found)
    assert (alone["status"], alone["remark"]) == ("converged", "")
    assert covers(alone["weights"]["kappa"], 0.5)
    assert alone["weights"]["kappa"]["high"] - alone["weights"]["kappa"]["low"] < 0.35
    assert covers(alone["noise"], 1.0)
    full = one(found, "full")
    for name, truth in (("kappa", 0.5), ("alpha", 0.0), ("beta", 0.0)):
        # Three intervals of 95% do not all cover in every sample: within three standard errors.
        bounds = full["weights"][name]
        assert abs(bounds["estimate"] - truth) < 3 * (bounds["high"] - bounds["low"]) / 3.92, name
    assert not covers(alone["weights"]["kappa"], 0)
    assert not covers(alone["weights"]["kappa"], 1)
    read = one(found, use="probabilities")
    assert read["weights"]["kappa"]["estimate"] == pytest.approx(0.5, abs=0.05)
    assert read["noise"]["estimate"] == pytest.approx(1.0, abs=0.15)
    more = one(found, beliefs="convention")
    assert more["prompts"] == 160 > one(found)["prompts"] > 80


def test_another_preference_gives_another_estimate(tmp_path: Path) -> None:
    records = records_of(tmp_path, prompts(60), Player("tuned", HomoEconomicus(), noise=0.7))
    found = one(estimates(records, {"tuned": HALF}))
    assert covers(found["weights"]["kappa"], 0)
    assert not covers(found["weights"]["kappa"], 0.5), "what it was trained for does not enter where beliefs are stated"


def test_a_player_without_slips_gets_the_set_that_explains_all(tmp_path: Path) -> None:
    records = records_of(tmp_path, prompts(30, plan_share=1.0), Player("tuned", HALF))
    found = one(estimates(records, {"tuned": HALF}))
    assert found["status"] == "separated"
    kappa = found["weights"]["kappa"]
    assert kappa["estimate"] is None
    assert covers(kappa, 0.5)
    assert 0 < kappa["high"] - kappa["low"] < 0.3
    assert "no slips" in found["remark"]
    assert found["noise"] is None


def test_a_kantian_without_slips_wants_only_kappa_one_and_the_table_says_so(tmp_path: Path) -> None:
    """What it does where its own play never leads is best at kappa = 1 alone: the set that explains every choice is a point."""
    kant = HomoMoralis(1)
    records = records_of(tmp_path, prompts(30, plan_share=1.0), Player("tuned", kant))
    summary = summary_of(records, {"tuned": ("adapter", kant)})
    found = one(summary["estimates"])
    kappa = found["weights"]["kappa"]
    assert found["status"] == "separated"
    assert kappa["estimate"] is None
    assert kappa["high"] == 1
    assert kappa["low"] == pytest.approx(1, abs=1e-6)
    assert found["remark"] == "no slips: this value alone explains every choice"
    (line,) = [line for line in printed(wants(summary)).splitlines() if line.strip().startswith("tuned") and "kappa" in line]
    assert "only 1.00" in line
    assert "no slips: only this fits" in line


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.4, 0.6, "all of [0.40, 0.60]"),
        (0.9978, 1.0, "all of [0.998, 1.000]"),
        (0.99951, 0.99958, "all of [0.9995, 0.9996]"),
        (0.5, 0.5, "only 0.50"),
        (1 - 1e-8, 1.0, "only 1.00"),
    ],
)
def test_a_set_is_printed_so_that_its_ends_differ(low: float, high: float, shown: str) -> None:
    assert weight({"weights": {"kappa": {"estimate": None, "low": low, "high": high}}}, "kappa") == shown


def test_a_set_that_is_a_point_is_called_one_by_the_estimator_too() -> None:
    game = sequential_prisoners_dilemma(9, 6, 4, 1)
    u = [float(HomoMoralis(1).utility(game, plan, plan)) for plan in game.plans()]
    chosen = [float(plan == ("C", "C", "C")) for plan in game.plans()]
    assert max(u) == u[0]
    found = estimate(from_plans([(game, 0.5), (game, 0.2)], [chosen, chosen]), fixed={**MODELS["homo moralis"], "lambda": 1.0})
    assert found.status == "separated"
    assert "explained by kappa = 1;" in found.warnings[-1]
    assert found.remark("kappa").endswith("only 1 explains all choices")


def test_clusters_are_games_with_their_payoffs(tmp_path: Path) -> None:
    """The same choices under other prompt numbers: each prompt asked five times more says nothing new about precision."""
    records = records_of(tmp_path, prompts(40), Player("tuned", HALF, noise=1.0))
    again = [{**r, "prompt_id": f"{r['prompt_id']} {n}"} for n in range(5) for r in records]
    first, more = one(estimates(records, {"tuned": HALF})), one(estimates(again, {"tuned": HALF}))
    assert more["read"] == 5 * first["read"]
    for end in ("estimate", "low", "high"):
        assert more["weights"]["kappa"][end] == pytest.approx(first["weights"]["kappa"][end], abs=1e-4)


def test_too_few_prompts_are_not_called_unreadable(tmp_path: Path) -> None:
    records = records_of(tmp_path, prompts(2, plan_share=1.0, beliefs={"unstated": 0, "certain": 1}), Player("tuned", HALF))
    summary = summary_of(records, {"tuned": ("adapter", HALF)})
    entry = one(summary["estimates"])
    assert (entry["status"], entry["read"], entry["prompts"]) == ("too few", 4, 4)
    assert entry["remark"] == "only 4 prompts"
    text = printed(wants(summary))
    (line,) = [line for line in text.splitlines() if "too few" in line and "kappa" in line]
    assert line.split()[-6:] == ["4", "of", "4", "too", "few", "prompts"]
    assert "readable" not in text


def test_who_says_nothing_readable_or_plays_like_chance_gets_a_reason_and_no_number(tmp_path: Path) -> None:
    agents = [Player("base", HALF, 0.5, talks=0.1, kind="base"), RandomAgent()]
    found = estimates(records_of(tmp_path, prompts(40), *agents), {"base": None, "random": None})
    silent = one(found, agent="base")
    assert silent["weights"] == {}
    assert silent["remark"] == f"only {silent['read']} of {silent['prompts']} replies readable"
    assert silent["read"] < 20
    assert one(found, agent="base", use="probabilities")["status"] == "converged"
    lots = one(found, agent="random")
    assert (lots["status"], lots["weights"], lots["read"]) == ("chance", {}, lots["prompts"])
    assert "no better than chance" in lots["remark"]
    assert not [e for e in found if e["beliefs"] == "convention"], "nobody told them a preference"


def test_other_games_are_estimated_apart(tmp_path: Path) -> None:
    values = {**VALUES, "evaluation": {"prompts": 1, "transfer_prompts": 60}}
    few = [item for item in items(parse_recipe(values, "test"), "games") if len(item.scene.game.plans()) <= 8]
    found = estimates(records_of(tmp_path, few, Player("tuned", HALF, noise=1.0)), {"tuned": HALF})
    assert {entry["games"] for entry in found} == {"other"}
    entry = one(found, games="other")
    assert entry["status"] == "converged"
    assert covers(entry["weights"]["kappa"], 0.5)


def test_beliefs_that_the_agent_stated_are_used(tmp_path: Path) -> None:
    asked = prompts(40, beliefs={"unstated": 1, "certain": 0, "halves": 0, "tenths": 0})
    # It expects of others what no convention says.
    player = Player("tuned", HALF, noise=0.5, expects=30)
    records = records_of(tmp_path, asked, player)
    beliefs = elicit(tmp_path, [player], {"tuned": "x"}, asked)
    found = estimates(records, {"tuned": HALF}, beliefs)
    assert one(found)["remark"] == "no prompt states a belief"
    entry = one(found, beliefs="elicited")
    assert entry["read"] == entry["prompts"] == 80
    assert entry["status"] == "converged"
    assert covers(entry["weights"]["kappa"], 0.5)


# --- tables -------------------------------------------------------------------------------------------------------------------


def printed(shown: Any) -> str:
    console = Console(width=100, record=True, file=StringIO())
    console.print(shown)
    return console.export_text()


def summary_of(records: list[dict[str, Any]], agents: dict[str, tuple[str, SocialPreferences | None]]) -> dict[str, Any]:
    described = [
        {"key": key, "kind": kind, "name": key, "preference": preference and preference.name}
        for key, (kind, preference) in agents.items()
    ]
    found = estimates(records, {key: preference for key, (_, preference) in agents.items()})
    return {"schema": 1, "agents": described, "rows": summarise(records, [HALF.name]), "estimates": found}


def test_the_table_prints_estimates_beside_aims(tmp_path: Path) -> None:
    agents = [RandomAgent(), Player("base", HALF, 1.0, 0.05, kind="base"), Player("tuned", HALF, 1.0)]
    summary = summary_of(
        records_of(tmp_path, prompts(30), *agents),
        {"random": ("random", None), "base": ("base", None), "tuned": ("adapter", HALF)},
    )
    text = printed(wants(summary))
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    kappa = one(summary["estimates"], agent="tuned")["weights"]["kappa"]
    shown = f"{kappa['estimate']:.2f} [{kappa['low']:.2f}, {kappa['high']:.2f}]"
    (line,) = [line for line in text.splitlines() if line.strip().startswith("tuned") and "kappa = 0.5" in line]
    assert shown in line
    (line,) = [line for line in text.splitlines() if "too few readable" in line]
    assert line.split()[:4] == ["base", "-", "-", "-"]
    assert any(line.strip().startswith("random") and "no better than chance" in line for line in text.splitlines())


def test_widest_estimates_fit_and_older_summaries_have_none() -> None:
    bounds = {"estimate": -12.34, "low": -99.99, "high": 88.88}
    entry = {
        "games": "trained", "use": "answers", "beliefs": "stated", "prompts": 600, "read": 600, "status": "converged",
        "weights": dict.fromkeys(("kappa", "alpha", "beta"), bounds), "noise": bounds, "remark": "",
    }  # fmt: skip
    sets = {"kappa": {"estimate": None, "low": 0.5, "high": None}, "alpha": {"estimate": None, "low": None, "high": 0.25}}
    apart = {**entry, "status": "separated", "weights": sets}
    agents = [{"key": key, "kind": "prompted", "name": key, "preference": HALF.name} for key in ("a", "b")]
    found = [
        {**e, "agent": key, "model": model} for key, e in (("a", entry), ("b", apart)) for model in ("homo moralis", "full")
    ]
    text = printed(wants({"agents": agents, "estimates": found}))
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    assert "at least 0.50" in text
    assert "at most 0.25" in text
    assert printed(wants({"agents": agents})).strip() == ""
    assert "What does each agent want?" not in printed(tables({"agents": [], "rows": []}))
