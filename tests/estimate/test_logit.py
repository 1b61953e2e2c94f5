import numpy as np
import pytest
from estimate_samples import TRUE, grid_situations, three_roles_with_chance
from scipy.optimize import minimize

from moralfit.estimate import choice_probabilities, estimate, plan_features, read_choices, simulate, simulate_choices
from moralfit.estimate._diagnose import penalised
from moralfit.estimate._logit import maximise
from moralfit.estimate._model import reduce
from moralfit.games import sequential_prisoners_dilemma, trust_game
from moralfit.preferences import SocialPreferences


@pytest.mark.parametrize(
    "game", [sequential_prisoners_dilemma(9, 6, 3, 1), trust_game(80, 60, 30, 20), three_roles_with_chance()]
)
@pytest.mark.parametrize("belief", ["first", 0.5, "mixed"])
def test_features_give_the_utility_that_preferences_define(game, belief):
    if belief == "mixed":
        belief = [[k + 1 for k, _ in enumerate(s.actions)] for s in game.information_sets]
        belief = [[p / sum(entry) for p in entry] for entry in belief]
    elif belief == "first":
        belief = game.plans()[1]
    elif any(len(s.actions) > 2 for s in game.information_sets):
        belief = [[1 / len(s.actions)] * len(s.actions) for s in game.information_sets]
    preference = SocialPreferences(0.7, -0.2, 0.35)
    expected = [float(preference.utility(game, plan, belief)) for plan in game.plans()]
    found = plan_features(game, belief) @ [1, 0.35, 0.7, -0.2]
    assert found == pytest.approx(expected, abs=1e-12)


def decisions_and_plans():
    """Cells of one plan, of several plans, and fractional counts."""
    frame = simulate(TRUE, 1.0, grid_situations(2), agents=2, repeats=3, seed=5)
    parts = []
    for number, row in enumerate(frame.to_dict("records")):
        if number % 3:
            first = row["plan"].split(",")[0]
            row |= {"plan": None, "decision": "first", "action": first}
        row["count"] = row["count"] + 0.25
        parts.append(row)
    import pandas as pd

    return read_choices(pd.DataFrame(parts))


def naive(choices, fixed=()):
    """The log-likelihood from its formula, situation by situation, without anything from the package's logit."""
    bounds = [*choices.situation_starts, len(choices.features)]
    ends = [*choices.cell_starts[1:], len(choices.cell_members)]
    weights = choices.counts.sum(axis=0)

    def value(theta):
        total = 0.0
        for cell, weight in enumerate(weights):
            members = choices.cell_members[choices.cell_starts[cell] : ends[cell]]
            s = choices.situation_of_cell[cell]
            u = {a: choices.features[a] @ [1, *theta[:3]] / theta[3] for a in range(bounds[s], bounds[s + 1])}
            total += weight * (np.log(sum(np.exp(u[a]) for a in members)) - np.log(sum(np.exp(v) for v in u.values())))
        return total

    return value


def test_gradient_and_hessian_are_those_of_finite_differences():
    choices = decisions_and_plans()
    assert not choices.complete
    reduced = reduce(choices, {"beta": 0.1})
    logit, weights = reduced.logit, choices.counts.sum(axis=0)
    c = np.array([0.4, -0.7, 0.2])
    at, h = logit.derivatives(c, weights), 1e-5
    for k in range(3):
        step = h * np.eye(3)[k]
        up, down = logit.derivatives(c + step, weights), logit.derivatives(c - step, weights)
        assert (up.value - down.value) / (2 * h) == pytest.approx(at.gradient[k], rel=1e-6)
        assert (up.gradient - down.gradient) / (2 * h) == pytest.approx(at.hessian[k], rel=1e-6, abs=1e-6)
    assert weights @ logit.scores(c) == pytest.approx(at.gradient)
    assert weights @ logit.log_cells(c) == pytest.approx(at.value)
    theta = reduced.structural(c)
    assert naive(choices)([theta["kappa"], theta["alpha"], theta["beta"], theta["lambda"]]) == pytest.approx(at.value)


def test_coefficients_and_parameters_are_inverse_and_the_jacobian_is_their_derivative():
    reduced = reduce(decisions_and_plans(), {"alpha": 0.2})
    c, h = np.array([0.8, -0.3, 0.5]), 1e-6
    assert reduced.coefficients(reduced.structural(c)) == pytest.approx(c)
    for k in range(3):
        up, down = (reduced.structural(c + sign * h * np.eye(3)[k]) for sign in (1, -1))
        slope = [(up[name] - down[name]) / (2 * h) for name in reduced.free]
        assert reduced.jacobian(c)[:, k] == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("mixed", [False, True])
def test_the_estimate_maximises_a_naive_likelihood(mixed):
    choices = decisions_and_plans() if mixed else simulate_choices(TRUE, 1.0, grid_situations(2), 2, 3, seed=5)
    found = estimate(choices)
    value = naive(choices.units(range(len(choices.agents))))
    options = {"xatol": 1e-7, "fatol": 1e-10, "maxiter": 4000}
    solved = minimize(lambda t: -value(t), [0.2, 0.2, 0.2, 1.5], method="Nelder-Mead", options=options)
    names = ("kappa", "alpha", "beta", "lambda")
    assert found.converged
    assert found.loglik == pytest.approx(-solved.fun, abs=1e-6)
    assert [found.parameters[n] for n in names] == pytest.approx(solved.x, abs=1e-3)
    # Standard errors from a numerical Hessian in the parameters themselves.
    theta, h = np.array([found.parameters[n] for n in names]), 1e-4
    hessian = np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            a, b = h * np.eye(4)[i], h * np.eye(4)[j]
            hessian[i, j] = (value(theta + a + b) - value(theta + a - b) - value(theta - a + b) + value(theta - a - b)) / (
                4 * h * h
            )
    se = np.sqrt(np.diag(np.linalg.inv(-hessian)))
    assert [found.se[n] for n in names] == pytest.approx(se, rel=1e-3)


def test_the_penalised_estimate_is_the_mode_under_jeffreys_prior():
    situations = grid_situations(1)
    choices = simulate_choices(TRUE, 1.0, situations, 1, 1, seed=2)
    choices = choices.units([0])
    reduced = reduce(choices, {"alpha": 0.0, "beta": 0.0})
    weights = choices.counts.sum(axis=0)
    c = penalised(reduced, weights)
    assert c is not None

    def objective(point):
        at = reduced.logit.derivatives(np.asarray(point), weights)
        # Cells are complete plans: the information is minus the Hessian.
        return -(at.value + 0.5 * np.linalg.slogdet(-at.hessian)[1])

    solved = minimize(objective, [0.1, 0.1], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 4000})
    assert c == pytest.approx(solved.x, abs=1e-4)


def test_newton_reaches_the_top_to_rounding_error():
    choices = simulate_choices(TRUE, 1.0, grid_situations(2), 2, 5, seed=0)
    reduced = reduce(choices, {})
    found = maximise(reduced.logit, choices.counts.sum(axis=0))
    assert found.converged
    assert found.iterations < 15
    assert np.abs(found.gradient).max() < 1e-9


def test_choice_probabilities_are_the_logit():
    game = trust_game(8, 6, 3, 2)
    preference = SocialPreferences(0.1, 0.2, 0.5)
    u = np.array([float(preference.utility(game, plan, 0.5)) for plan in game.plans()])
    expected = np.exp(u / 0.7) / np.exp(u / 0.7).sum()
    assert choice_probabilities(preference, 0.7, [(game, 0.5)])[0] == pytest.approx(expected)
