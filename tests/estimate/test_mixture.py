from dataclasses import replace

import numpy as np
import pytest
from estimate_samples import deterministic, grid_situations

from moralfit.estimate import EstimationError, choose_types, estimate, from_plans, mixture, pool, simulate_choices
from moralfit.estimate._mixture import _likelihood
from moralfit.estimate._model import reduce

SITUATIONS = grid_situations(3, (0.5, 0.2))
TYPES = ({"kappa": 0.8}, {}, {"alpha": 0.6, "beta": 0.5})
SIZES = (20, 12, 8)


@pytest.fixture(scope="module")
def population():
    return pool(
        *(
            simulate_choices(one, 1.0, SITUATIONS, agents=size, repeats=3, seed=k, prefix=f"type {k + 1}:")
            for k, (one, size) in enumerate(zip(TYPES, SIZES, strict=True))
        )
    )


@pytest.fixture(scope="module")
def three(population):
    return mixture(population, 3, starts=6, seed=1)


def test_types_shares_and_memberships_are_recovered(three):
    assert three.converged
    assert three.warnings == ()
    assert three.shares == pytest.approx(np.array(SIZES) / 40, abs=0.02)
    for true, found, se in zip(TYPES, three.types, three.se, strict=True):
        for name in ("alpha", "beta", "kappa"):
            assert abs(found[name] - true.get(name, 0)) < 3.5 * se[name]
            assert se[name] < 0.2
        assert found["lambda"] == pytest.approx(1, abs=0.25)
    places = three.memberships().to_numpy().argmax(axis=1)
    own = [int(agent.split()[1].rstrip(":")) - 1 for agent in three.agents]
    assert (places == own).mean() == 1
    assert three.membership.sum(axis=1) == pytest.approx(1)
    assert "3 types: converged" in str(three)
    assert three.table().title == "3 types: converged"
    assert len(three.to_frame()) == 15


def test_standard_errors_of_shares_are_binomial_where_membership_is_certain(three):
    assert three.entropy < 0.5
    assert three.share_se == pytest.approx(np.sqrt(three.shares * (1 - three.shares) / 40), rel=0.05)


def test_criteria_find_the_number_of_types(population):
    found = choose_types(population, (1, 2, 3, 4), starts=4)
    bic = {k: m.bic for k, m in found.items() if m.converged}
    assert min(bic, key=bic.get) == 3
    blurred = replace(found[3], membership=np.full((40, 3), 1 / 3))
    assert blurred.icl - blurred.bic == pytest.approx(2 * 40 * np.log(3))
    assert found[3].bic == pytest.approx(14 * np.log(40) - 2 * found[3].loglik)
    pooled = estimate(population)
    assert found[1].loglik == pytest.approx(pooled.loglik)
    assert dict(found[1].types[0]) == pytest.approx(dict(pooled.parameters))
    assert dict(found[1].se[0]) == pytest.approx(dict(pooled.se), rel=1e-6)
    clustered = mixture(population, 1, starts=1, standard_errors="cluster").se[0]
    assert clustered == pytest.approx(dict(estimate(population, standard_errors="cluster").se), rel=1e-6)


def test_clustered_errors_are_those_of_leaving_agents_out(population, three):
    """The jackknife by fitting anew without each agent, from where the types are; the library takes one Newton step instead."""
    found = mixture(population, 3, starts=6, seed=1, standard_errors="cluster")
    assert found.shares == pytest.approx(three.shares)
    logit = reduce(population, {}).logit
    size, agents = logit.x.shape[1], len(population.agents)
    start = np.concatenate([
        *(reduce(population, {}).coefficients(values) for values in found.types), np.log(found.shares[1:] / found.shares[0])
    ])  # fmt: skip
    away = []
    for left in range(agents):
        counts, theta = np.delete(population.counts, left, axis=0), start
        for _ in range(6):
            _, gradient, hessian, _ = _likelihood(logit, counts, theta, 3, size)
            theta = theta - np.linalg.solve(hessian, gradient)
        assert np.abs(gradient).max() < 1e-3
        away.append([reduce(population, {}).structural(c)["kappa"] for c in theta[: 3 * size].reshape(3, size)])
    spread = np.sqrt(((np.array(away) - [values["kappa"] for values in found.types]) ** 2).sum(axis=0) * (agents - 1) / agents)
    assert [errors["kappa"] for errors in found.se] == pytest.approx(spread.tolist(), rel=0.12)
    alone = population.of("type 1: 1")
    with pytest.raises(EstimationError, match="all choices are of one agent"):
        mixture(alone, 1, standard_errors="cluster")


def test_derivatives_are_those_of_finite_differences(population):
    reduced = reduce(population, {"beta": 0.0})
    theta = np.random.default_rng(3).normal(size=3 * 3 + 2) * 0.5
    value, gradient, hessian, scores = _likelihood(reduced.logit, population.counts, theta, 3, 3)
    h = 1e-5
    for k, e in enumerate(np.eye(len(theta))):
        up = _likelihood(reduced.logit, population.counts, theta + h * e, 3, 3)
        down = _likelihood(reduced.logit, population.counts, theta - h * e, 3, 3)
        assert (up[0] - down[0]) / (2 * h) == pytest.approx(gradient[k], rel=1e-5, abs=1e-4)
        assert (up[1] - down[1]) / (2 * h) == pytest.approx(hessian[k], rel=1e-4, abs=1e-3)
    assert scores.sum(axis=0) == pytest.approx(gradient)
    # The value, from the definition.
    weights = np.exp(np.append(0, theta[9:]))
    joint = sum(
        share * np.exp(population.counts @ reduced.logit.log_cells(c))
        for share, c in zip(weights / weights.sum(), theta[:9].reshape(3, 3), strict=True)
    )
    assert value == pytest.approx(np.log(joint).sum())


def test_the_seed_decides(population, three):
    again = mixture(population, 3, starts=6, seed=1)
    assert again.loglik == three.loglik
    assert (again.membership == three.membership).all()


def test_a_deterministic_type_does_not_look_converged():
    robot = deterministic(SITUATIONS, {"alpha": 0.05, "beta": 0.03, "kappa": 0.47})
    plans = [np.zeros(len(game.plans())) for game, _ in SITUATIONS]
    position = 0
    for block in plans:
        block += [1.0 if position + k in robot.cell_members[robot.counts[0] > 0] else 0.0 for k in range(len(block))]
        position += len(block)
    robots = from_plans(SITUATIONS, [np.tile(5 * block, (6, 1)) for block in plans], [f"robot {k}" for k in range(6)])
    people = simulate_choices({}, 2.0, SITUATIONS, agents=10, repeats=3)
    found = mixture(pool(people, robots), 2, starts=3)
    assert not found.converged
    assert "NOT CONVERGED" in str(found)
    assert np.isnan(found.bic)
    assert all(np.isnan(value) for errors in found.se for value in errors.values())
    assert any("try fewer types" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("k", "options", "message"),
    [
        (41, {}, "k, the number of types, must lie between 1 and the number of agents, 40, got 41"),
        (0, {}, "must lie between 1 and the number of agents, 40, got 0"),
        (2, {"starts": 0}, "starts must be"),
        (2, {"standard_errors": "bootstrap"}, "unknown standard_errors 'bootstrap'; Known are hessian, cluster"),
        (2, {"standard_errors": "clusters"}, r"did you mean 'cluster'\?"),
    ],
)
def test_senseless_requests(population, k, options, message):
    with pytest.raises(EstimationError, match=message):
        mixture(population, k, **options)
