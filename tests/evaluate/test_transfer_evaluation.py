"""The transfer test: games that no data set holds, judged by the solver, counted by family."""

from __future__ import annotations

from io import StringIO
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest
from rich.console import Console
from scripted_agents import Player
from tiny_model import VALUES

from moralfit.agents import RandomAgent
from moralfit.dataset import samples
from moralfit.errors import RecipeError
from moralfit.evaluate import PARTS, Item, by_family, items, overview, summarise, target
from moralfit.evaluate._play import play
from moralfit.games import GAMES, TRANSFER_GAMES, Game, Strategy, chicken, dictator_game, trust_amounts
from moralfit.preferences import HomoEconomicus, HomoMoralis, SocialPreferences
from moralfit.recipe import Recipe, parse_recipe
from moralfit.solve import assumed_belief
from moralfit.words import frames, sample_scene, transfer_frames

KAPPAS = (0, 0.25, 0.5, 0.75, 1)


def recipe(prompts: int = 36, preference: Any = "economicus", **data: Any) -> Recipe:
    values = {**VALUES, "preference": preference, "evaluation": {"prompts": 2, "transfer_prompts": prompts}}
    return parse_recipe({**values, "data": {**VALUES["data"], **data}}, "test")


@pytest.fixture(scope="module")
def drawn() -> list[Item]:
    return items(recipe(48, plan_share=0.6), "games")


def test_families_take_turns_and_nothing_depends_on_a_preference(drawn: list[Item]) -> None:
    assert [item.scene.game.name for item in drawn] == list(TRANSFER_GAMES) * 4
    assert {item.split for item in drawn} == {"games"}
    assert len({item.messages[-1]["content"] for item in drawn}) == len(drawn)
    other = recipe(48, {"kind": "moralis", "kappa": 1.0}, plan_share=0.6)
    assert [item.messages for item in items(other, "games")] == [item.messages for item in drawn]
    asked = [item.scene for item in drawn if len(item.scene.game.information_sets) > 1]
    assert {scene.decision is None for scene in asked} == {True, False}


def test_none_are_asked_by_default_and_the_other_parts_stay() -> None:
    assert items(parse_recipe({"name": "x", "preference": "economicus"}, "x"), "games") == []
    for part in ("payoffs", "words"):
        assert items(recipe(0), part) == items(recipe(24), part)  # type: ignore[arg-type]


def test_a_belief_is_unstated_only_where_convention_gives_one(drawn: list[Item]) -> None:
    unstated = [item.scene.game for item in drawn if item.scene.belief is None]
    assert 0 < len(unstated) < len(drawn) / 2
    for game in unstated:
        assert all(assumed_belief(game, HomoMoralis(kappa)) is not None for kappa in KAPPAS)
    always = items(recipe(12, beliefs={"unstated": 1, "certain": 0, "halves": 0, "tenths": 0}), "games")
    assert {item.scene.belief is None for item in always} == {True, False}
    for item in always:
        for preference in (HomoEconomicus(), HomoMoralis(0.5), HomoMoralis(1)):
            assert all(target(item.scene, preference).optimum), item.id


def test_no_transfer_game_can_be_trained_on() -> None:
    assert not set(TRANSFER_GAMES) & set(GAMES)
    for name in TRANSFER_GAMES:
        with pytest.raises(RecipeError, match=f"unknown game '{name}'"):
            recipe(0, games=["trust_game", name])
    made = recipe(24)
    taught = {sample.scene.game.name for split in ("train", "heldout_words") for sample in samples(made, split, 9)}  # type: ignore[arg-type]
    assert taught == set(GAMES)


# --- targets ------------------------------------------------------------------------------------------------------------------


def scene_of(game: Game, belief: Any, decision: int | None = None) -> Any:
    stories = frames(True) if game.name in GAMES else transfer_frames(game)
    return sample_scene(Random(1), game, stories, None if belief is None else game.strategy(belief), decision)


def test_known_optima_and_what_kind_they_are() -> None:
    # If all swerve with probability p, each gets 6 p^2 + 13 p (1 - p), which is highest at 13/14.
    mixed = target(scene_of(chicken(T=12, R=6, S=1, P=0), 0.5), HomoMoralis(1))
    assert (mixed.optimum, mixed.kinds, mixed.advantage) == ((("swerve", "straight"),), ("mixed",), (None,))
    own = target(scene_of(chicken(T=8, R=6, S=1, P=0), [1]), HomoEconomicus())
    assert (own.optimum, own.kinds) == ((("straight",),), ("unique",))
    assert own.advantage == (6 - 8,)
    keep = target(scene_of(dictator_game(pie=8, step=2), None), HomoEconomicus())
    assert (keep.optimum, keep.kinds, keep.advantage) == ((("0",),), ("unique",), (None,))
    any_sum = target(scene_of(dictator_game(pie=8, step=2), None), HomoMoralis(1))
    assert (set(any_sum.optimum[0]), any_sum.kinds) == ({"0", "2", "4", "6", "8"}, ("tied",))
    game = trust_amounts(endowment=4, step=2, factor=3, returns=3)
    back = target(scene_of(game, game.strategy(("4", "0", "0")), 2), HomoEconomicus())
    assert (back.optimum, back.kinds) == ((("0",),), ("unique",))


def best_actions(game: Game, preference: SocialPreferences, belief: Strategy, decision: int) -> set[str]:
    """Actions of the best strategies on a grid: pure plans, and mixtures in tenths where roles share the only decision."""
    sizes = [len(information.actions) for information in game.information_sets]
    candidates: list[Strategy] = [game.strategy(plan) for plan in game.plans()]
    if len(sizes) == 1 and sizes[0] == 2:
        candidates = [game.strategy([n / 100]) for n in range(101)]
    values = [preference.of_strategies(game, x, belief) for x in candidates]
    best = [x for x, value in zip(candidates, values, strict=True) if value == max(values)]
    actions = game.information_sets[decision].actions
    return {actions[a] for x, a in product(best, range(len(actions))) if x[decision][a]}


@pytest.mark.parametrize("kappa", [0, 0.5, 1])
def test_targets_are_among_the_best_by_brute_force(drawn: list[Item], kappa: float) -> None:
    preference = HomoMoralis(kappa)
    checked = 0
    for item in drawn:
        game, belief = item.scene.game, item.scene.belief
        pure = game.multilinear or not kappa or (len(game.information_sets) == 1 and len(game.plans()) == 2)
        if belief is None or not pure or len(game.plans()) > 32:
            continue
        found = target(item.scene, preference)
        for place, decision in enumerate(item.scene.asked):
            assert set(found.optimum[place]) <= best_actions(game, preference, belief, decision), item.id
            assert (found.kinds[place] == "unique") == (len(found.optimum[place]) == 1)
            checked += 1
    assert checked > 20


# --- counting -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def played(drawn: list[Item], tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Records of a perfect player, a selfish one and a random one in all parts, and their summary."""
    moral = HomoMoralis(0.5)
    agents = [RandomAgent(), Player("base", HomoEconomicus(), kind="base"), Player("tuned", moral)]
    prompts = [*drawn, *(item for part in PARTS[:2] for item in items(recipe(0), part))]
    folder = tmp_path_factory.mktemp("evaluation")
    records = play(folder, agents, dict.fromkeys(["random", "base", "tuned"], "x"), prompts, {moral.name: moral}, True, _quiet)
    described = [
        {"key": a.key, "name": a.name, "kind": a.kind, "preference": moral.name if a.key == "tuned" else None} for a in agents
    ]
    return records, {"schema": 1, "agents": described, "rows": summarise(records, [moral.name])}


def _quiet(key: str, done: int) -> None: ...


def test_a_perfect_player_agrees_everywhere_and_others_do_not(played: Any) -> None:
    _, summary = played
    rows = {(r["agent"], r["game"]): r for r in summary["rows"] if r["split"] == "games"}
    assert {r["decision"] for r in rows.values()} == {"all"}
    assert {game for _, game in rows} == {"all", *TRANSFER_GAMES}
    judged = [game for game in TRANSFER_GAMES if rows["tuned", game]["n"]]
    assert len(judged) >= 10
    assert all(rows["tuned", game]["agreement"]["estimate"] == 1 for game in judged)
    assert rows["tuned", "all"]["sensitivity"]["estimate"] == 1
    assert rows["base", "all"]["agreement"]["high"] < 0.95
    assert rows["random", "all"]["agreement"]["high"] < 0.8
    assert rows["tuned", "all"]["clusters"] <= 48
    for agent in ("random", "base", "tuned"):
        assert rows[agent, "all"]["cooperation"] is rows[agent, "all"]["amount"] is None
    keeps = rows["base", "dictator_game"]
    assert (keeps["amount"]["estimate"], keeps["cooperation"]) == (0, None)
    assert rows["tuned", "centipede"]["amount"] is None
    assert rows["tuned", "centipede"]["cooperation"]["estimate"] == rows["tuned", "centipede"]["optimal_cooperation"]


def test_any_action_of_a_tied_or_mixed_optimum_agrees_but_only_where_some_does_not() -> None:
    record = {
        "agent": "a", "split": "games", "game": "dictator_game", "decision": "give", "actions": ["0", "2", "4"],
        "status": "answered", "probabilities": [0.5, 0.3, 0.2], "optimum": {"t": ["0", "2"]}, "payoffs": {"pie": 8, "step": 2},
    }  # fmt: skip
    records = [
        {**record, "prompt_id": "games/0", "action": "0", "payoffs": {"pie": 16, "step": 2}},
        {**record, "prompt_id": "games/1", "action": "2"},
        {**record, "prompt_id": "games/2", "action": "4"},
        {**record, "prompt_id": "games/3", "action": "4", "optimum": {"t": ["0", "2", "4"]}},
        {**record, "prompt_id": "games/4", "action": "4", "optimum": {"t": []}},
    ]
    (row,) = [r for r in summarise(records, ["t"]) if r["game"] == "dictator_game"]
    assert row["n"] == 3
    assert row["agreement"]["estimate"] == pytest.approx(2 / 3)
    assert row["probability"]["estimate"] == pytest.approx(0.8)
    assert row["amount"]["estimate"] == pytest.approx((0 + 0.5 + 1 + 1 + 1) / 5)
    assert row["optimal_amount"] == pytest.approx(0.25)
    assert row["sensitivity"] is None


def test_records_say_which_kind_of_optimum(played: Any) -> None:
    records, _ = played
    kinds = {kind for record in records for kind in record["optimum_kind"].values()}
    assert kinds == {"unique", "mixed"}
    for record in records:
        ((name, kind),) = record["optimum_kind"].items()
        assert (kind == "unique") == (len(record["optimum"][name]) == 1)
        assert record["split"] != "games" or record["region"] is None


def test_tables_have_the_transfer_test_and_fit(played: Any) -> None:
    _, summary = played
    console = Console(width=100, record=True, file=StringIO())
    console.print(overview(summary), by_family(summary))
    text = console.export_text()
    assert "other games" in text
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    for name in TRANSFER_GAMES:
        assert f" {name.replace('_', ' ')} " in text
    (line,) = [line for line in text.splitlines() if line.strip().startswith("dictator game")]
    assert line.split()[-1].endswith("+")
    without = {**summary, "rows": [r for r in summary["rows"] if r["split"] != "games"]}
    console.print(overview(without), by_family(without))
    assert "other games" not in console.export_text().split("Agreement")[-1]


def test_an_interrupted_transfer_test_goes_on(drawn: list[Item], tmp_path: Path) -> None:
    moral = HomoMoralis(0.5)
    few, agents = drawn[:14], [Player("tuned", moral)]
    whole = play(tmp_path / "a", agents, {"tuned": "x"}, few, {moral.name: moral}, False, _quiet)
    play(tmp_path / "b", agents, {"tuned": "x"}, few, {moral.name: moral}, False, _quiet)
    file = tmp_path / "b/records.jsonl"
    text = file.read_bytes()
    file.write_bytes(text[: len(text) // 2])
    assert play(tmp_path / "b", agents, {"tuned": "x"}, few, {moral.name: moral}, False, _quiet) == whole
    assert file.read_bytes() == text
