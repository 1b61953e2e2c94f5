import numpy as np
import pytest
from estimate_samples import grid_situations

from moralfit.estimate import (
    EstimationError,
    choice_probabilities,
    design,
    estimate,
    from_plans,
    identification,
    payoff_games,
    situations_of,
)
from moralfit.games import PayoffGrid, sequential_prisoners_dilemma, trust_game, ultimatum_game

AT = {"alpha": 0.1, "beta": 0.2, "kappa": 0.5, "lambda": 2.0}


def test_expected_errors_are_those_of_an_estimate_on_expected_choices():
    situations = grid_situations(2)
    games, beliefs = [game for game, _ in situations[::3]], (0.5, 0.2, 0.8)
    assert situations_of(games, beliefs) == situations
    report = identification(games, beliefs, at=AT, observations=len(situations))
    found = estimate(from_plans(situations, choice_probabilities(AT, 2.0, situations)))
    assert report.identified
    assert report.se == pytest.approx({name: found.se[name] for name in report.free}, rel=1e-4)
    assert report.d_criterion == pytest.approx(-np.linalg.slogdet(found.covariance * len(situations))[1], rel=1e-4)
    four = identification(games, beliefs, at=AT, observations=4 * len(situations))
    assert four.se["kappa"] == pytest.approx(report.se["kappa"] / 2)
    assert "identify" in str(report)


def test_rank_names_what_is_lost():
    trust = [trust_game(T, (T + S) // 2, P, S) for T, P, S in ((20, 8, 4), (18, 5, 2), (12, 6, 4), (16, 8, 6))]
    report = identification(trust, (0.5, 0.3))
    assert report.rank == 3
    assert "kappa" in report.lost
    assert "not identified" in str(report)
    assert np.isnan(report.se["kappa"])
    assert report.d_criterion == -np.inf
    assert identification(trust, (0.5, 0.3), parameters=("kappa", "lambda")).identified
    # One ultimatum game has three contrasts at most.
    assert identification([ultimatum_game(60, 50, 40, 10)]).rank < 4


def test_a_design_beats_random_ones_and_no_exchange_improves_it():
    candidates = situations_of(payoff_games(["trust_game", "ultimatum_game"], PayoffGrid(1, 8)), (0.5,))
    found = design(candidates, 5, at=AT)
    assert len(set(found.chosen)) == 5
    assert found.efficiency < 0.9
    assert [candidates[k] for k in found.chosen] == list(found.situations)

    def criterion(places):
        matrices = []
        for k in places:
            game, belief = candidates[k]
            p = choice_probabilities(AT, 2.0, [candidates[k]])[0]
            x = from_plans([(game, belief)], [np.ones(len(p))]).features
            away = x - p @ x
            matrices.append(away.T @ (p[:, None] * away))
        return np.linalg.slogdet(sum(matrices))[1]

    best = criterion(found.chosen)
    rng = np.random.default_rng(0)
    assert all(criterion(rng.choice(len(candidates), 5, replace=False)) < best for _ in range(100))
    for place in range(5):
        for new in rng.choice(len(candidates), 20, replace=False):
            if new not in found.chosen:
                assert criterion([*found.chosen[:place], new, *found.chosen[place + 1 :]]) <= best + 1e-6


def test_a_design_may_serve_several_preferences():
    candidates = situations_of(payoff_games(["sequential_prisoners_dilemma"], (1, 4, 6, 9, 12)), (0.5, 0.2))
    points = [{"kappa": 0.0, "lambda": 1.0}, {"kappa": 1.0, "lambda": 1.0}]
    both = design(candidates, 4, at=points)
    alone = [design(candidates, 4, at=point).report for point in points]
    served = [identification_of(both.situations, point) for point in points]
    assert sum(served) <= sum(one.d_criterion for one in alone) + 1e-9
    assert all(np.isfinite(served))


def identification_of(situations, at):
    from moralfit.estimate._design import _report

    return _report(situations, at, ("alpha", "beta", "kappa", "lambda"), 100).d_criterion


def test_payoff_games_are_the_whole_grid():
    games = payoff_games(["trust_game"], (1, 2, 3, 4, 5))
    assert len(games) == 5
    assert all(g.parameters["T"] > g.parameters["R"] > g.parameters["P"] > g.parameters["S"] for g in games)


def test_senseless_requests():
    game = sequential_prisoners_dilemma(9, 6, 3, 1)
    with pytest.raises(EstimationError, match="no situations"):
        identification([])
    with pytest.raises(EstimationError, match="unknown parameters gamma"):
        identification([game], parameters=("gamma",))
    with pytest.raises(EstimationError, match="at least one parameter"):
        identification([game], parameters=())
    with pytest.raises(EstimationError, match="cannot choose 3 of 1"):
        design([(game, 0.5)], 3)
    with pytest.raises(EstimationError, match="do not identify"):
        design([(game, 0.5)], 1)
    with pytest.raises(EstimationError, match="unknown game 'chess'; Known games: seq"):
        payoff_games(["chess"], PayoffGrid())
