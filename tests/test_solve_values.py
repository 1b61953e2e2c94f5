"""The solver against the stated check values and against closed formulas with trembles as power series."""

import time
from fractions import Fraction
from itertools import combinations
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.polynomial import Polynomial
from solve_oracles import digits

from moralfit.games import (
    GAMES,
    Decision,
    Game,
    PayoffGrid,
    Terminal,
    make_game,
    sample_payoffs,
    sequential_prisoners_dilemma,
    trust_game,
    ultimatum_game,
)
from moralfit.preferences import HomoEconomicus, HomoMoralis, SocialPreferences
from moralfit.solve import assumed_belief, equilibrium_belief, equilibrium_strategies, optimal_plans, solve, subgame_perfect

KAPPAS = (0, 0.25, 0.5, 0.75, 1)


def solved(game: Game, preference: SocialPreferences, belief: Any = 0.5) -> set[str]:
    return {digits(game, plan) for plan in optimal_plans(game, preference, belief).plans}


@pytest.mark.parametrize(
    ("game", "expected"),
    [
        (sequential_prisoners_dilemma(90, 45, 15, 10), ["000", "001", "001", "001", "101"]),
        (sequential_prisoners_dilemma(80, 65, 25, 20), ["000", "001", "110", "110", "111"]),
        (trust_game(80, 60, 30, 20), ["10", "10", "11", "11", "11"]),
        (trust_game(80, 50, 30, 20), ["10", "10", "10", "10", "10 11"]),
        (ultimatum_game(60, 50, 40, 10), ["11", "11", "11", "11", "11"]),
    ],
    ids=lambda value: f"{value.name} {list(value.parameters.values())}" if isinstance(value, Game) else "",
)
def test_check_values_with_uniform_belief(game: Game, expected: list[str]) -> None:
    assert [solved(game, HomoMoralis(kappa)) for kappa in KAPPAS] == [set(plans.split()) for plans in expected]


def test_off_path_ties_at_kappa_one_are_found_and_broken() -> None:
    game = sequential_prisoners_dilemma(80, 65, 25, 20)
    solution = optimal_plans(game, HomoMoralis(1), 0.5)
    assert [digits(game, plan) for plan in solution.tied] == ["111", "110"]
    assert [digits(game, plan) for plan in solution.plans] == ["111"]
    assert solution.unique
    assert solution.utility == 65
    assert solution.belief == ((Fraction(1, 2), Fraction(1, 2)),) * 3
    # With T + S < 2P, punishing a tremble pays.
    assert solved(sequential_prisoners_dilemma(80, 65, 60, 20), HomoMoralis(1)) == {"110"}


def test_taking_turns_ties_until_hands_tremble() -> None:
    """T + S > 2R: who starts does not matter, but a failure to defect costs T + S - 2R, one to give in T + S - 2P."""
    game = sequential_prisoners_dilemma(90, 45, 15, 10)
    solution = optimal_plans(game, HomoMoralis(1), 0.5)
    assert {digits(game, plan) for plan in solution.tied} == {"101", "100", "001", "011"}
    assert solution.utility == 50
    assert not any(optimal_plans(game, HomoMoralis(kappa), 0.5).tied[1:] for kappa in (0.25, 0.5, 0.75))


def test_a_tie_that_survives_is_reported() -> None:
    game = trust_game(80, 50, 30, 20)
    solution = optimal_plans(game, HomoMoralis(1), 0.5)
    assert not solution.unique
    assert solution.actions(0) == ("I",)
    assert solution.actions(1) == ("G", "K")
    assert equilibrium_belief(game, HomoMoralis(1)) is None


def test_a_belief_in_a_plan_leaves_the_other_way_to_trembles() -> None:
    """Nobody invests: giving back is never asked for, but a trembling hand may ask."""
    game = trust_game(80, 60, 30, 20)
    solution = optimal_plans(game, HomoEconomicus(), ("N", "K"))
    assert {digits(game, plan) for plan in solution.tied} == {"00", "01"}
    assert solution.plans == (("N", "K"),)


def test_each_action_trembles_alike() -> None:
    """Both ways are worth 2. Left, two trembles cost 2 and win 1, at eps each; right, the only tremble costs nothing."""
    left = Decision(1, "left", ("a", "b", "c"), (Terminal((2, 0)), Terminal((0, 0)), Terminal((3, 0))))
    right = Decision(1, "right", ("a", "b"), (Terminal((2, 0)), Terminal((2, 0))))
    game = Game("hands", Decision(0, "first", ("left", "right"), (left, right)))
    solution = optimal_plans(game, HomoEconomicus(), ("left", "a", "a"))
    assert {plan[0] for plan in solution.tied} == {"left", "right"}
    assert solution.actions(0) == ("right",)


def test_ultimatum_conventions_are_one_game() -> None:
    ours, theirs = ultimatum_game(60, 50, 40, 10), ultimatum_game(60, 50, 10, 40, convention="TRSP")
    for preference in (HomoEconomicus(), HomoMoralis(0.5), SocialPreferences(2, 0.5, 0.25)):
        assert optimal_plans(ours, preference, 0.3) == optimal_plans(theirs, preference, 0.3)


@pytest.mark.parametrize(("alpha", "answers"), [(1.4, {"A"}), (1.5, {"A", "N"}), (1.6, {"N"})])
def test_an_envious_responder_rejects(alpha: float, answers: set[str]) -> None:
    """Accepting pays P - alpha (T - P), rejecting S: indifferent at alpha = (P - S) / (T - P) = 30 / 20."""
    game = ultimatum_game(60, 50, 40, 10)
    assert {plan[1] for plan in subgame_perfect(game, SocialPreferences(alpha=alpha))} == answers
    assert set(optimal_plans(game, SocialPreferences(alpha=alpha), ("U", "A")).actions(1)) == answers


@pytest.mark.parametrize("kappa", [0.1, Fraction(1, 10), 1 - 0.9, 0.3 - 0.2, np.float32(0.1)], ids=repr)
def test_a_tie_at_a_decimal_kappa_is_exact(kappa: Any) -> None:
    """After I: (1 - kappa) (T - R) / 4 against kappa (2R - T - S) / 2 is .9 * 2 / 4 against .1 * 9 / 2."""
    game = trust_game(22, 20, 10, 9)
    assert {digits(game, plan) for plan in optimal_plans(game, HomoMoralis(kappa), 0.5).tied} == {"10", "11"}
    assert solved(game, HomoMoralis(Fraction(99, 1000))) == {"10"}
    assert solved(game, HomoMoralis(Fraction(101, 1000))) == {"11"}


def test_subgame_perfect_play_of_the_three_games() -> None:
    for name, expected in zip(GAMES, ("000", "00", "01"), strict=True):
        game = make_game(name, 9, 6, 4, 1)
        assert [digits(game, plan) for plan in subgame_perfect(game)] == [expected]
        belief = equilibrium_belief(game, HomoEconomicus())
        assert belief is not None
        assert digits(game, belief) == expected


def test_best_equilibrium_is_expected() -> None:
    """After C, 3/4 (T - R) / 2 is just worth 1/4 (R - (T + S) / 2): cooperating and taking turns are both self-fulfilling."""
    game = sequential_prisoners_dilemma(6, 5, 2, 1)
    found = equilibrium_strategies(game, HomoMoralis(0.25))
    assert {(x, game.payoff(x, x)) for x in found} == {(game.strategy("110"), 5), (game.strategy("001"), Fraction(7, 2))}
    assert equilibrium_belief(game, HomoMoralis(0.25)) == ("C", "C", "D")


@pytest.mark.parametrize("name", GAMES)
def test_prompts_and_estimates_assume_the_same_of_others(name: str) -> None:
    """Samples are derived from one function and estimates from the other: in every game of a grid they say the same."""
    points, unclear = (1, 2, 3, 4, 5, 7), 0
    for S, P, R, T in combinations(points, 4):
        game = make_game(name, T, R, P, S)
        for kappa in (0, Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), 1):
            plan, belief = equilibrium_belief(game, HomoMoralis(kappa)), assumed_belief(game, HomoMoralis(kappa))
            if plan is None:
                unclear += 1
                assert belief == (game.uniform if kappa == 1 else None)
            else:
                assert belief == game.strategy(plan)
    # T + S = 2R: homo kantiensis does not mind who exploits whom.
    assert (unclear > 0) == (name != "ultimatum_game")


def test_homo_kantiensis_expects_its_own_plan() -> None:
    game = sequential_prisoners_dilemma(80, 65, 25, 20)
    assert assumed_belief(game, HomoMoralis(1)) == game.strategy("111")
    found = solve(game, HomoMoralis(1))
    assert found.belief == found.strategies[0] == assumed_belief(game, HomoMoralis(1))
    assert found.utilities == optimal_plans(game, HomoMoralis(1), 0.5).utilities


def test_some_games_have_no_pure_equilibrium() -> None:
    """Best replies go round: exploit who cooperates, defect on who exploits, cooperate first with who defects."""
    game, preference = sequential_prisoners_dilemma(5, 4, 2, 1), HomoMoralis(0.25)
    assert solved(game, preference, "110") == {"100"}
    assert solved(game, preference, "100") == {"001"}
    assert solved(game, preference, "001") == {"000"}
    assert solved(game, preference, "000") == {"110"}
    assert equilibrium_strategies(game, preference) == ()
    assert equilibrium_belief(game, preference) is None


def _formula(name: str, letters: tuple[int, ...], x: Any, y: Any) -> Any:
    T, R, P, S = letters
    if name == "sequential_prisoners_dilemma":
        return 0.5 * (x[0] * y[1] * R + x[0] * (1 - y[1]) * S + (1 - x[0]) * y[2] * T + (1 - x[0]) * (1 - y[2]) * P) + 0.5 * (
            y[0] * x[1] * R + y[0] * (1 - x[1]) * T + (1 - y[0]) * x[2] * S + (1 - y[0]) * (1 - x[2]) * P
        )
    if name == "trust_game":
        return 0.5 * (x[0] * y[1] * R + x[0] * (1 - y[1]) * S + (1 - x[0]) * P) + 0.5 * (
            y[0] * x[1] * R + y[0] * (1 - x[1]) * T + (1 - y[0]) * P
        )
    return 0.5 * (x[0] * R + (1 - x[0]) * (y[1] * T + (1 - y[1]) * S)) + 0.5 * (
        y[0] * R + (1 - y[0]) * (x[1] * P + (1 - x[1]) * S)
    )


@pytest.mark.parametrize("name", GAMES)
def test_trembles_are_the_lexicographic_order_of_power_series(name: str) -> None:
    """Closed formulas with numpy polynomials in eps in place of probabilities, on a small grid that has every kind of tie."""
    rng = Random(11)
    ties = 0
    for _ in range(100):
        letters = sample_payoffs(rng, PayoffGrid(1, 7), rng.choice(("above", "at", "below")))
        game = make_game(name, *letters)
        kappa, belief = rng.choice(KAPPAS), tuple(rng.choice((0, 0.5, 1)) for _ in game.information_sets)
        y = [Polynomial([p, 1 - 2 * p]) for p in belief]
        series = {}
        for plan in game.plans():
            x = [Polynomial([p, 1 - 2 * p]) for p in map(int, digits(game, plan))]
            u = (1 - kappa) * _formula(name, letters, x, y) + kappa * _formula(name, letters, x, x)
            series[plan] = tuple(np.round(np.pad(u.coef, (0, 6 - len(u.coef))), 9))
        solution = optimal_plans(game, HomoMoralis(kappa), belief)
        assert set(solution.tied) == {plan for plan in series if series[plan][0] == max(series.values())[0]}
        assert set(solution.plans) == {plan for plan in series if series[plan] == max(series.values())}
        ties += len(solution.tied) > len(solution.plans)
    assert ties > 10


def test_selection_is_by_utility_not_by_points() -> None:
    """Two self-fulfilling plans: (9, 1) by turns earns 5 points a head, (4, 4) earns 4 and nobody is ahead."""
    second = {
        "high": Decision(1, "after high", ("yes", "no"), (Terminal((9, 1)), Terminal((0, 0)))),
        "even": Decision(1, "after even", ("yes", "no"), (Terminal((4, 4)), Terminal((0, 0)))),
    }
    game = Game("split", Decision(0, "first", ("high", "even"), (second["high"], second["even"])))
    preference = SocialPreferences(alpha=Fraction(1, 16), beta=Fraction(5, 8))
    # As proposers, high is worth 9 - 5 and even 4: they tie and both remain in equilibrium. As responder high costs 1/2.
    found = equilibrium_strategies(game, preference)
    assert {(x[0], preference.utility(game, x, x), game.payoff(x, x)) for x in found} == {
        ((1, 0), Fraction(4) / 2 + Fraction(1, 2) / 2, 5),
        ((0, 1), 4, 4),
    }
    assert equilibrium_belief(game, preference) == ("even", "yes", "yes")


def test_a_dataset_of_games_is_solved_in_its_budget() -> None:
    """100,000 games, belief and optimum, are to take less than two minutes of one core."""
    rng = Random(0)
    start = time.process_time()
    for _ in range(300):
        game = sequential_prisoners_dilemma(*sample_payoffs(rng, PayoffGrid(1, 99)))
        preference = HomoMoralis(rng.choice((0.25, 0.5, 1)))
        belief = equilibrium_belief(game, preference)
        optimal_plans(game, preference, 0.5 if belief is None else belief)
    assert (time.process_time() - start) / 300 < 120 / 100_000
