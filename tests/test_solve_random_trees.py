"""The solver against brute force written differently, on random trees."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solve_oracles import (
    CHICKEN,
    TINY,
    behaviour,
    brute_force,
    envies,
    examples,
    games,
    kappas,
    mix,
    oracle_utility,
    preferences,
    simultaneous,
    transformed,
)

from moralfit.errors import GameError
from moralfit.games import Chance, Game, Node, Plan, Terminal, trust_game
from moralfit.preferences import HomoEconomicus, HomoMoralis, SocialPreferences
from moralfit.solve import equilibrium_belief, equilibrium_strategies, optimal_plans, subgame_perfect


@examples
@given(st.data(), games(shared=True), preferences)
def test_utility_of_random_strategies(data: st.DataObject, game: Game, preference: SocialPreferences) -> None:
    x, y = data.draw(behaviour(game)), data.draw(behaviour(game))
    assert preference.utility(game, x, y) == oracle_utility(game, preference, mix(game, x), mix(game, y))


@examples
@given(st.data(), games(), preferences)
def test_optimal_plans_by_brute_force(data: st.DataObject, game: Game, preference: SocialPreferences) -> None:
    belief = data.draw(behaviour(game))
    solution = optimal_plans(game, preference, belief)
    tied, best = brute_force(game, preference, belief, Fraction(0))
    assert set(solution.tied) == tied
    assert solution.utility == best
    assert all(preference.utility(game, plan, belief) == solution.utility for plan in solution.tied)
    # Every plan that is best under a tiny tremble is tied without it, and these are the plans that are kept.
    assert set(solution.plans) == brute_force(game, preference, belief, TINY)[0] <= tied


@examples
@given(st.data(), games(shared=True), envies, envies)
def test_shared_information_sets_without_morality(data: st.DataObject, game: Game, alpha: Any, beta: Any) -> None:
    preference = SocialPreferences(alpha, beta)
    belief = data.draw(behaviour(game))
    solution = optimal_plans(game, preference, belief)
    assert (set(solution.tied), solution.utility) == brute_force(game, preference, belief, Fraction(0))
    assert set(solution.plans) == brute_force(game, preference, belief, TINY)[0]


@examples
@given(games(limit=2), preferences)
def test_symmetric_equilibria_by_brute_force(game: Game, preference: SocialPreferences) -> None:
    expected = [p for p in game.plans() if p in brute_force(game, preference, game.strategy(p), TINY)[0]]
    assert equilibrium_strategies(game, preference) == tuple(map(game.strategy, expected))
    worth = {p: preference.utility(game, p, p) for p in expected}
    best = [p for p in expected if worth[p] == max(worth.values())]
    assert equilibrium_belief(game, preference) == (best[0] if len(best) == 1 else None)


@examples
@given(
    st.data(),
    games(),
    preferences,
    st.fractions(Fraction(1, 10), 10, max_denominator=10),
    st.fractions(-9, 9, max_denominator=10),
)
def test_rescaled_payoffs_leave_optima_alone(
    data: st.DataObject, game: Game, preference: SocialPreferences, slope: Fraction, shift: Fraction
) -> None:
    belief = data.draw(behaviour(game))
    before = optimal_plans(game, preference, belief)
    common = Game("rescaled", transformed(game.root, lambda p: tuple(slope * v + shift for v in p), {}), game.roles)
    after = optimal_plans(common, preference, belief)
    assert (after.plans, after.tied) == (before.plans, before.tied)
    # alpha and beta scale with payoffs; the shift falls on the material payoff alone.
    assert after.utility == slope * before.utility + shift


@examples
@given(st.data(), games(), kappas)
def test_without_envy_each_role_can_be_shifted_alone(data: st.DataObject, game: Game, kappa: Any) -> None:
    belief = data.draw(behaviour(game))
    before = optimal_plans(game, HomoMoralis(kappa), belief)
    uneven = Game("shifted", transformed(game.root, lambda p: tuple(3 * v + 5 * r for r, v in enumerate(p)), {}), game.roles)
    after = optimal_plans(uneven, HomoMoralis(kappa), belief)
    assert (after.plans, after.tied) == (before.plans, before.tied)


@examples
@given(st.data(), games(), preferences)
def test_the_order_of_actions_does_not_matter(data: st.DataObject, game: Game, preference: SocialPreferences) -> None:
    belief = data.draw(behaviour(game))
    orders = {i.name: data.draw(st.permutations(range(len(i.actions)))) for i in game.information_sets}
    other = Game("permuted", transformed(game.root, lambda p: p, orders), game.roles)
    by_name = {i.name: dict(zip(i.actions, entry, strict=True)) for i, entry in zip(game.information_sets, belief, strict=True)}
    names = [i.name for i in other.information_sets]

    def named(of: Game, plans: tuple[Plan, ...]) -> set[frozenset[tuple[str, str]]]:
        return {frozenset(zip((i.name for i in of.information_sets), plan, strict=True)) for plan in plans}

    before, after = optimal_plans(game, preference, belief), optimal_plans(other, preference, {n: by_name[n] for n in names})
    assert named(other, after.plans) == named(game, before.plans)
    assert named(other, after.tied) == named(game, before.tied)
    assert after.utility == before.utility


def one_shot(node: Node, preference: SocialPreferences, plan: Mapping[str, str]) -> tuple[list[Fraction], bool]:
    """Utilities by role when everyone follows the plan from here, and whether no mover below gains by one deviation."""
    if isinstance(node, Terminal):
        pay = np.array([Fraction(p) for p in node.payoffs], dtype=object)
        gaps = np.subtract.outer(pay, pay).T  # [role, other]
        envy = Fraction(preference.alpha) * np.maximum(gaps, 0) + Fraction(preference.beta) * np.maximum(-gaps, 0)
        return list(pay - envy.sum(axis=1) / (len(pay) - 1)), True
    below = [one_shot(child, preference, plan) for child in node.children]
    fine = all(ok for _, ok in below)
    if isinstance(node, Chance):
        mean = [
            sum(Fraction(p) * u[r] for p, (u, _) in zip(node.probabilities, below, strict=True))
            for r in range(len(below[0][0]))
        ]
        return [Fraction(v) for v in mean], fine
    chosen = below[node.actions.index(plan[node.information])][0]
    return chosen, fine and all(u[node.role] <= chosen[node.role] for u, _ in below)


@examples
@given(games(hidden=False), envies, envies)
def test_subgame_perfect_plans_have_no_profitable_deviation(game: Game, alpha: Any, beta: Any) -> None:
    preference = SocialPreferences(alpha, beta)
    names = [i.name for i in game.information_sets]
    expected = {p for p in game.plans() if one_shot(game.root, preference, dict(zip(names, p, strict=True)))[1]}
    assert set(subgame_perfect(game, preference)) == expected


@examples
@given(games(hidden=False, nature=False, distinct=True))
def test_without_payoff_ties_equilibrium_is_subgame_perfection(game: Game) -> None:
    (plan,) = subgame_perfect(game)
    assert equilibrium_strategies(game, HomoEconomicus()) == (game.strategy(plan),)
    assert equilibrium_belief(game, HomoEconomicus()) == plan


@examples
@given(games(hidden=False), envies, envies)
def test_trembles_refine_subgame_perfection(game: Game, alpha: Any, beta: Any) -> None:
    preference = SocialPreferences(alpha, beta)
    assert set(equilibrium_strategies(game, preference)) <= set(map(game.strategy, subgame_perfect(game, preference)))


def test_subgame_perfection_needs_perfect_information_and_no_morality() -> None:
    with pytest.raises(GameError, match="chicken: backward induction needs perfect information"):
        subgame_perfect(simultaneous("chicken", CHICKEN))
    with pytest.raises(GameError, match="kappa = 0; use equilibrium_strategies"):
        subgame_perfect(trust_game(9, 6, 4, 1), HomoMoralis(0.5))
