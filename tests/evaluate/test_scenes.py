"""What is played: payoffs that do not come twice, beliefs, and how much the prompts can tell about a preference."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import combinations
from math import sqrt
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from tiny_model import VALUES

from moralfit.dataset import draw_belief, held_out
from moralfit.errors import RecipeError
from moralfit.estimate import plan_features
from moralfit.evaluate import HELD, Item, items
from moralfit.games import GAMES, PayoffGrid, make_game, region, ultimatum_amounts
from moralfit.recipe import BELIEF_SHARES, Recipe, load_recipe, parse_recipe

RECIPES = Path(__file__).parents[2] / "recipes"


def recipe(prompts: int, **payoffs: int) -> Recipe:
    values = {**VALUES, "evaluation": {"prompts": prompts}, "data": {**VALUES["data"], "payoffs": payoffs}}
    return parse_recipe(values, "test")


def payoffs_of(item: Item) -> tuple[int, ...]:
    return tuple(int(item.scene.game.parameters[letter]) for letter in "TRPS")


@pytest.mark.parametrize("name", ["quickstart", "moralis"])
@pytest.mark.parametrize("part", HELD)
def test_no_game_comes_twice_in_a_part(name: str, part: Any) -> None:
    found = items(load_recipe(RECIPES / f"{name}.yaml"), part)
    assert max(Counter((item.scene.game.name, payoffs_of(item)) for item in found).values()) == 1
    for item in found:
        T, R, P, S = payoffs_of(item)
        assert item.region == region(T, R, S)
        assert held_out((T, R, P, S))


def test_small_grids_are_used_up_before_anything_is_repeated() -> None:
    grid = PayoffGrid(1, 9)
    held = [
        (region(T, R, S), (T, R, P, S))
        for S, P, R, T in combinations(range(grid.low, grid.high + 1), 4)
        if held_out((T, R, P, S))
    ]
    sizes = Counter(where for where, _ in held)
    prompts = 3 * 3 * (max(sizes.values()) + 2)
    found = items(recipe(prompts, low=1, high=9), "payoffs")
    assert len(found) == prompts
    for name in GAMES:
        for where, size in sizes.items():
            counts = Counter(payoffs_of(item) for item in found if (item.scene.game.name, item.region) == (name, where))
            assert set(counts) == {payoffs for at, payoffs in held if at == where}
            assert len(counts) == size
    # Where a region has none that are held out, another region's stand in for them; where the grid has none, that is an error.
    for high in range(6, 9):
        grid_points = list(combinations(range(1, high + 1), 4))
        known = {(T, R, P, S) for S, P, R, T in grid_points if held_out((T, R, P, S))}
        if known:
            assert {payoffs_of(item) for item in items(recipe(30, low=1, high=high), "payoffs")} <= known
    bare = next(
        low for low in range(500) if not any(held_out((T, R, P, S)) for S, P, R, T in combinations(range(low, low + 6), 4))
    )
    with pytest.raises(RecipeError, match=r"data\.payoffs: no payoffs on this grid are kept out of training"):
        items(recipe(3, low=bare, high=bare + 5), "payoffs")


def test_beliefs_are_of_the_kinds_asked_for() -> None:
    two, many = make_game("trust_game", 9, 6, 4, 1), ultimatum_amounts(pie=12, step=2, offers=4)
    for kind, shares in enumerate(BELIEF_SHARES):
        weights = [float(place == kind) for place in range(4)]
        for game in (two, many):
            rng = Random(5)
            drawn = [draw_belief(rng, game, weights) for _ in range(60)]
            if shares is None:
                assert set(drawn) == {None}
                continue
            beliefs = [belief for belief in drawn if belief is not None]
            assert len(beliefs) == len(drawn)
            for belief in beliefs:
                assert belief == game.strategy(belief)
                assert all(sum(p > 0 for p in entry) <= 2 for entry in belief)
            assert {p for belief in beliefs for entry in belief for p in entry} == {Fraction(0), *shares}


def expected_errors(made: Recipe, kappa: float) -> list[float]:
    """Standard errors of kappa alone, and beside alpha and beta, then the condition number of the second, at noise 1.

    From the definition, for one whole plan in each situation that states a belief: the information about the parameters of the
    logit exp(u / lambda) is the variance of the derivatives of u / lambda under it.
    """
    scenes = [item.scene for part in HELD for item in items(made, part)]
    found = []
    for free in (("lambda", "kappa"), ("lambda", "kappa", "alpha", "beta")):
        information = np.zeros((len(free), len(free)))
        for scene in scenes:
            if scene.belief is not None:
                f = plan_features(scene.game, scene.belief)
                u = f[:, 0] + kappa * f[:, 1]
                p = np.exp(u - u.max())
                p /= p.sum()
                slopes = np.column_stack([-u, f[:, 1 : len(free)]])
                away = slopes - p @ slopes
                information += (p[:, None] * away).T @ away
        covariance = np.linalg.inv(information)
        size = np.sqrt(np.diag(covariance))
        found.append(sqrt(covariance[1, 1]))
    values = np.linalg.eigvalsh(covariance / np.outer(size, size))
    return [*found, float(values[-1] / values[0])]


@pytest.mark.parametrize(
    ("name", "prompts", "stated", "kappa", "printed"),
    [
        # The figures of the docstring of moralfit.evaluate._estimates.
        ("quickstart", 20, 22, 0, (0.14, 0.17, 14)),
        ("quickstart", 20, 22, 0.5, (0.145, 0.34, 32)),
        ("quickstart", 20, 22, 1, (0.21, 0.67, 61)),
        ("quickstart", 96, 103, 0, (0.071, 0.087, 10)),
        ("quickstart", 96, 103, 0.5, (0.072, 0.13, 15.5)),
        ("quickstart", 96, 103, 1, (0.10, 0.22, 27)),
        ("moralis", 300, 440, 0, (0.0096, 0.0115, 4.4)),
        ("moralis", 300, 440, 0.5, (0.018, 0.024, 5.4)),
        ("moralis", 300, 440, 1, (0.0145, 0.030, 18)),
    ],
)
def test_how_much_the_prompts_can_tell_is_as_documented(
    name: str, prompts: int, stated: int, kappa: float, printed: tuple[float, ...]
) -> None:
    made = load_recipe(RECIPES / f"{name}.yaml", [f"evaluation.prompts={prompts}"])
    assert sum(item.scene.belief is not None for part in HELD for item in items(made, part)) == stated
    assert expected_errors(made, kappa) == pytest.approx(list(printed), rel=0.1)
