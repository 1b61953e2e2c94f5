import numpy as np
import pytest
from estimate_samples import TRUE, deterministic, grid_situations
from scipy.optimize import minimize
from scipy.stats import binom

from moralfit.estimate import (
    MODELS,
    EstimationError,
    choice_probabilities,
    compare,
    draw_estimates,
    estimate,
    estimate_by_agent,
    from_plans,
    plan_features,
    pool,
    read_choices,
    simulate,
    simulate_choices,
    situations_of,
)
from moralfit.games import GAMES, Game, trust_game
from moralfit.preferences import HomoMoralis

SITUATIONS = grid_situations()


@pytest.fixture(scope="module")
def clean():
    return simulate_choices(TRUE, 1.0, SITUATIONS, agents=6, repeats=2, seed=3)


def test_clean_data_give_an_ordinary_estimate_without_warnings(clean):
    found = estimate(clean)
    assert found.converged
    assert found.warnings == ()
    assert found.penalised is None
    assert found.region is None
    for name, value in {**TRUE, "lambda": 1.0}.items():
        low, high = found.interval(name, 0.999)
        assert low < value < high
        assert found.interval(name, 0.5)[0] > low
    assert "NOT" not in str(found)
    assert found.to_frame().set_index("parameter").loc["kappa", "estimate"] == found.parameters["kappa"]
    assert next(column.header for column in found.table().columns) == "parameter"


def test_intervals_cover_the_truth_as_often_as_they_say():
    samples, covered = 40, dict.fromkeys([*TRUE, "lambda"], 0)
    for seed in range(samples):
        found = estimate(simulate_choices(TRUE, 1.0, SITUATIONS, agents=4, seed=seed))
        assert found.converged
        for name, value in {**TRUE, "lambda": 1.0}.items():
            low, high = found.intervals[name]
            covered[name] += low <= value <= high
    least = int(binom.ppf(0.001, samples, 0.95))
    assert min(covered.values()) >= least, covered
    assert sum(covered.values()) < 4 * samples  # intervals as wide as the sky would cover always


def test_probabilities_as_weights_give_back_the_preference_exactly():
    shares = choice_probabilities(TRUE, 1.3, SITUATIONS)
    found = estimate(from_plans(SITUATIONS, shares))
    assert {name: found.parameters[name] for name in TRUE} == pytest.approx(TRUE, abs=1e-8)
    assert found.parameters["lambda"] == pytest.approx(1.3)


def test_affine_payoffs_scale_lambda_and_nothing_else(clean):
    rescaled = []
    for game, belief in SITUATIONS:
        letters = {name: 7 * value + 100 for name, value in game.parameters.items()}
        rescaled.append((GAMES[game.name](**letters), belief))
    starts = [*np.cumsum([len(game.plans()) for game, _ in SITUATIONS])[:-1]]
    other = estimate(from_plans(rescaled, np.split(clean.counts, starts, axis=1)))
    first = estimate(clean)
    for name in TRUE:
        assert other.parameters[name] == pytest.approx(first.parameters[name])
        assert other.se[name] == pytest.approx(first.se[name])
    assert other.parameters["lambda"] == pytest.approx(7 * first.parameters["lambda"])
    assert other.loglik == pytest.approx(first.loglik)


def test_fixing_at_the_estimate_changes_nothing_else(clean):
    full = estimate(clean)
    for name in full.parameters:
        held = estimate(clean, fixed={name: full.parameters[name]})
        assert held.loglik == pytest.approx(full.loglik)
        assert dict(held.parameters) == pytest.approx(dict(full.parameters))
        assert np.isnan(held.se[name])
        assert held.remark(name) == "fixed"
    everything = estimate(clean, fixed=dict(full.parameters))
    assert everything.loglik == pytest.approx(full.loglik)


def test_bounds_agree_with_a_constrained_optimiser_and_are_reported(clean):
    free = estimate(clean)
    assert estimate(clean, bounds={"kappa": (0, 1), "alpha": (None, 5)}).parameters == free.parameters
    bounds = {"kappa": (0.0, 0.2), "beta": (0.3, None)}
    found = estimate(clean, bounds=bounds)

    def negative(theta):
        held = dict(zip(("kappa", "alpha", "beta", "lambda"), theta, strict=True))
        return -estimate(clean, fixed=held).loglik

    solved = minimize(negative, [0.1, 0.1, 0.4, 1.0], method="L-BFGS-B", bounds=[(0, 0.2), (-2, 2), (0.3, 2), (0.2, 5)])
    assert found.loglik == pytest.approx(-solved.fun, abs=1e-4)
    assert set(found.at_bound) == {"kappa", "beta"}
    assert found.parameters["kappa"] == 0.2
    assert np.isnan(found.intervals["kappa"]).all()
    assert np.isfinite(found.intervals["alpha"]).all()
    assert any("bound" in warning for warning in found.warnings)
    assert "on its bound" in str(found)


def test_clustered_errors_are_those_of_leaving_clusters_out(clean):
    """The jackknife by fitting anew without each agent; the library takes one Newton step instead."""
    many = simulate_choices(TRUE, 1.0, SITUATIONS, agents=40, repeats=1, seed=5)
    full = estimate(many, standard_errors="cluster")
    without = [estimate(many.of(*(name for name in many.agent_names if name != left))) for left in many.agent_names]
    away = np.array([[one.parameters[n] - full.parameters[n] for n in full.free] for one in without])
    assert full.covariance == pytest.approx(away.T @ away * 39 / 40, rel=0.05, abs=1e-5)
    z = (full.interval("kappa")[1] - full.parameters["kappa"]) / full.se["kappa"]
    assert z == pytest.approx(2.0227, abs=1e-4)  # Student's t, 39 degrees of freedom
    found = estimate(clean, standard_errors="cluster")
    assert found.clusters == 6
    assert any("only 6 clusters" in warning for warning in found.warnings)
    # Doubling every observation within its cluster must not make the estimate look more precise.
    twice = from_plans(SITUATIONS, np.split(2 * clean.counts, np.cumsum([len(g.plans()) for g, _ in SITUATIONS])[:-1], axis=1))
    assert estimate(twice, standard_errors="cluster").se["kappa"] == pytest.approx(found.se["kappa"])
    assert estimate(clean, standard_errors="cluster", cluster="situation").clusters == len(SITUATIONS)
    assert estimate(clean, standard_errors="cluster", cluster="game").clusters == 3


def test_bootstrap_is_seeded_and_near_the_other_errors(clean):
    options = {"standard_errors": "bootstrap", "cluster": "situation", "replications": 100}
    found = estimate(clean, seed=1, **options)
    assert found.draws.shape == (100, 4)
    assert found.se == estimate(clean, seed=1, **options).se
    assert found.se != estimate(clean, seed=2, **options).se
    plain = estimate(clean)
    for name in plain.se:
        assert 0.6 < found.se[name] / plain.se[name] < 1.6
    low, high = found.intervals["kappa"]
    assert low < found.parameters["kappa"] < high


def test_likelihood_ratio_tests(clean):
    compared = compare(clean)
    assert set(compared.estimates) == set(MODELS)
    tests = {(t.restricted, t.general): t for t in compared.tests}
    assert len(tests) == 5  # homo moralis and the inequity-averse are not nested
    one = tests["homo moralis", "full"]
    assert one.df == 2
    assert one.statistic == pytest.approx(2 * (compared.estimates["full"].loglik - compared.estimates["homo moralis"].loglik))
    assert one.p_value < 1e-6
    selfish = compare(simulate_choices({}, 1.0, SITUATIONS, agents=6, repeats=2, seed=8))
    assert all(t.p_value > 0.001 for t in selfish.tests if t.restricted == "homo economicus")
    assert "homo moralis against full" in str(compared)


def test_by_agent():
    many = pool(
        simulate_choices({}, 0.5, SITUATIONS, agents=1, repeats=8, seed=0, prefix="selfish"),
        simulate_choices({"kappa": 0.8}, 0.5, SITUATIONS, agents=1, repeats=8, seed=1, prefix="kantian"),
    )
    found = estimate_by_agent(many, fixed=MODELS["homo moralis"])
    assert abs(found["selfish 1"].parameters["kappa"]) < 0.1
    assert abs(found["kantian 1"].parameters["kappa"] - 0.8) < 0.15
    alone = estimate(many.of("kantian 1"), fixed=MODELS["homo moralis"])
    assert found["kantian 1"].parameters == alone.parameters


def test_a_deterministic_agent_is_separated_and_set_identified():
    weights = {"alpha": 0.21, "beta": 0.13, "kappa": 0.37}
    choices = deterministic(SITUATIONS, weights)
    found = estimate(choices)
    assert found.status == "separated"
    assert not found.converged
    assert all(np.isnan(value) for value in found.parameters.values())
    assert all(np.isnan(bound) for pair in found.intervals.values() for bound in pair)
    assert np.isnan(found.bic)
    assert "NOT an ordinary estimate" in str(found)
    assert "NOT" in found.table().title
    assert any("complete separation" in warning for warning in found.warnings)
    assert all(np.isfinite(value) for value in found.penalised.values())
    assert found.share_predicted == 1
    assert found.loglik > -0.1
    for name, (low, high) in found.region.limits.items():
        assert low - 1e-6 <= weights[name] <= high + 1e-6
        assert high - low < 1
    # The inside point rationalises everything, and preferences outside the limits do not.
    assert np.array_equal(deterministic(SITUATIONS, found.region.example).counts, choices.counts)
    for name, (low, high) in found.region.limits.items():
        for outside in (low - 0.01, high + 0.01):
            other = {**found.region.example, name: outside}
            assert not np.array_equal(deterministic(SITUATIONS, other).counts, choices.counts)


def test_the_region_is_that_of_a_brute_force_grid():
    choices = deterministic(SITUATIONS, {"alpha": 0.0, "beta": 0.0, "kappa": 0.37})
    low, high = estimate(choices, fixed=MODELS["homo moralis"]).region.limits["kappa"]
    grid = np.linspace(0, 1, 1001)
    chosen = np.flatnonzero(choices.counts[0])
    utility = choices.features[:, :1] + choices.features[:, 1:2] * grid
    best = np.maximum.reduceat(utility, choices.situation_starts)
    fits = (utility[chosen] >= best - 1e-9).all(axis=0)
    assert low == pytest.approx(grid[fits].min(), abs=1.5e-3)
    assert high == pytest.approx(grid[fits].max(), abs=1.5e-3)


def test_single_decisions_of_a_deterministic_agent():
    import pandas as pd

    weights = {"alpha": 0.0, "beta": 0.0, "kappa": 0.37}
    rows = []
    for game, belief in SITUATIONS[::2]:
        u = plan_features(game, belief) @ [1, 0.37, 0, 0]
        plan = game.plans()[int(np.argmax(np.round(u, 9)))]
        rows += [
            {"agent": "a", "game": game.name, **game.parameters, "decision": s.name, "action": action, "belief": belief}
            for s, action in zip(game.information_sets, plan, strict=True)
        ]
    found = estimate(read_choices(pd.DataFrame(rows)), fixed=MODELS["homo moralis"])
    assert found.status == "separated"
    low, high = found.region.limits["kappa"]
    assert low - 1e-6 <= weights["kappa"] <= high + 1e-6
    whole = estimate(deterministic(SITUATIONS[::2], weights), fixed=MODELS["homo moralis"]).region.limits["kappa"]
    assert low <= whole[0] + 1e-6
    assert high >= whole[1] - 1e-6


def test_quasi_separation_without_a_rationalising_preference():
    """Two games that only alpha tells apart are played without exception, all else noisily."""
    choices = simulate_choices({"kappa": 0.4}, 1.0, SITUATIONS, agents=1, repeats=4, seed=1)
    features = choices.features.copy()
    features[:, 2] = 0
    chosen = [int(m) for m, n in zip(choices.cell_members, choices.counts[0], strict=True) if n]
    features[chosen, 2] = 5.0
    from dataclasses import replace

    odd = replace(choices, features=features)
    found = estimate(odd)
    assert found.status == "separated"
    assert found.region is None
    assert any("partial separation" in warning for warning in found.warnings)
    assert found.penalised is not None


def test_trust_games_with_T_plus_S_at_2R_do_not_identify_kappa_with_inequity_aversion():
    games = [trust_game(T, (T + S) // 2, P, S) for T, P, S in ((20, 8, 4), (18, 5, 2), (12, 6, 4), (16, 8, 6), (14, 4, 2))]
    situations = situations_of(games, (0.5, 0.3))
    choices = simulate_choices(TRUE, 1.0, situations, repeats=40)
    found = estimate(choices)
    assert found.status == "unidentified"
    assert all(np.isnan(value) for value in found.parameters.values())
    assert any("kappa" in warning and "fix 1" in warning for warning in found.warnings)
    assert np.isfinite(found.loglik)
    held = estimate(choices, fixed=MODELS["homo moralis"])
    assert held.converged
    assert "not identified" in str(found)


def test_parameters_that_are_identified_are_estimated_where_others_are_not(clean):
    from dataclasses import replace

    features = clean.features.copy()
    features[:, 2] = 0.0
    found = estimate(replace(clean, features=features))
    assert found.status == "unidentified"
    assert np.isnan(found.parameters["alpha"])
    other = estimate(clean, fixed={"alpha": 0.0})
    for name in ("kappa", "beta", "lambda"):
        assert found.parameters[name] == pytest.approx(other.parameters[name], rel=1e-6)
        assert found.se[name] == pytest.approx(other.se[name], rel=1e-6)


def test_play_against_utility_has_no_preference():
    choices = simulate_choices({}, 1.0, SITUATIONS, agents=4, repeats=2, seed=3)
    worst = from_plans(
        SITUATIONS, [np.exp(-plan_features(g, b)[:, 0]) / np.exp(-plan_features(g, b)[:, 0]).sum() for g, b in SITUATIONS]
    )
    found = estimate(worst, fixed=MODELS["homo economicus"])
    assert found.status == "undefined"
    assert not found.converged
    assert np.isnan(found.parameters["lambda"])
    assert estimate(choices, fixed=MODELS["homo economicus"]).converged


def test_play_at_random_has_no_preference_and_no_huge_lambda():
    even = from_plans(SITUATIONS, [np.full(len(game.plans()), 1 / len(game.plans())) for game, _ in SITUATIONS])
    for fixed in MODELS.values():
        found = estimate(even, fixed=fixed)
        assert found.status == "undefined"
        assert np.isnan(found.parameters["lambda"])
        assert any("1/lambda is not above zero" in warning for warning in found.warnings)
        assert "standard errors" not in found.summary()
    faint = estimate(simulate_choices({}, 12.0, SITUATIONS, agents=2, repeats=1, seed=6), fixed=MODELS["homo economicus"])
    assert faint.status == "undefined" or any("1/lambda is imprecise" in warning for warning in faint.warnings)


def test_too_few_and_weak_and_missing_data(clean):
    one = from_plans(SITUATIONS[:1], [np.eye(8)[0]] if len(SITUATIONS[0][0].plans()) == 8 else [np.eye(4)[0]])
    few = estimate(one)
    assert few.status == "too few"
    assert "1 observations for 4 free parameters" in few.warnings[0]
    assert any("intervals are rough" in w for w in estimate(clean.of("agent 1")).warnings) == (clean.of("agent 1").n < 40)
    small = simulate_choices(TRUE, 3.0, SITUATIONS[::2], agents=1, seed=1)
    assert any("intervals are rough" in w for w in estimate(small).warnings)
    from dataclasses import replace

    nearly = clean.features.copy()
    nearly[:, 2] = nearly[:, 3] + 1e-4 * nearly[:, 2]
    weak = estimate(replace(clean, features=nearly))
    assert any("alpha and beta move together" in warning for warning in weak.warnings)
    with pytest.raises(EstimationError, match="no observations"):
        estimate(replace(clean, counts=0 * clean.counts))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fixed": {"gamma": 1}}, "unknown parameter gamma"),
        ({"fixed": {"kappa": float("nan")}}, "must be finite"),
        ({"fixed": {"lambda": 0}}, "must be positive"),
        ({"bounds": {"kappa": (1, 0)}}, "must rise"),
        ({"bounds": {"gamma": (0, 1)}}, "unknown parameter 'gamma'"),
        ({"bounds": {"kappa": (0, 1)}, "fixed": {"kappa": 0}}, "is fixed"),
        ({"level": 1.5}, "between 0 and 1"),
        ({"standard_errors": "cluster", "cluster": "session"}, "unknown cluster 'session'; Known are agent, situation, game"),
        ({"cluster": "agents"}, "unknown cluster 'agents'; did you mean 'agent'\\? Known are"),
        (
            {"standard_errors": "clustered"},
            "unknown standard_errors 'clustered'; did you mean 'cluster'\\? Known are hessian, cluster, bootstrap",
        ),
        ({"standard_errors": None}, "unknown standard_errors None"),
    ],
)
def test_senseless_requests(clean, options, message):
    # Whatever becomes of the likelihood: ordinary, separated, too few observations.
    robot = deterministic(SITUATIONS, {"alpha": 0.0, "beta": 0.0, "kappa": 0.37})
    for choices in (clean, robot, from_plans(SITUATIONS[:1], [np.eye(len(SITUATIONS[0][0].plans()))[0]])):
        with pytest.raises(EstimationError, match=message):
            estimate(choices, **options)


def test_one_agent_cannot_be_clustered_by_agent(clean):
    with pytest.raises(EstimationError, match="all choices are of one agent"):
        estimate(clean.of("agent 1"), standard_errors="cluster")


def test_the_figure_shows_estimates_regions_and_targets(clean):
    estimates = {
        "noisy": estimate(clean),
        "deterministic": estimate(deterministic(SITUATIONS, {"alpha": 0, "beta": 0, "kappa": 0.37})),
        "too few": estimate(from_plans(SITUATIONS[:1], [np.eye(len(SITUATIONS[0][0].plans()))[0]])),
    }
    figure = draw_estimates(estimates, targets={"noisy": TRUE, "deterministic": HomoMoralis(0.37)})
    assert [axis.get_title() for axis in figure.axes] == ["alpha", "beta", "kappa"]
    kappa = figure.axes[2]
    drawn = {(line.get_marker(), round(float(line.get_xdata()[0]), 6)) for line in kappa.lines if len(line.get_xdata()) == 1}
    assert ("o", round(estimates["noisy"].parameters["kappa"], 6)) in drawn
    assert ("x", 0.37) in drawn
    assert ("o", round(estimates["deterministic"].penalised["kappa"], 6)) in drawn
    assert [text.get_text() for text in kappa.texts] == ["too few"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(estimates)
    with pytest.raises(EstimationError, match="at least one"):
        draw_estimates({})
    with pytest.raises(EstimationError, match="no parameter delta"):
        draw_estimates(estimates, parameters=("delta",))


def test_simulated_tables_say_what_simulated_choices_say():
    frame = simulate(TRUE, 1.0, SITUATIONS, agents=3, repeats=4, seed=9)
    direct = simulate_choices(TRUE, 1.0, SITUATIONS, agents=3, repeats=4, seed=9)
    assert frame["count"].sum() == direct.n
    assert dict(estimate(read_choices(frame)).parameters) == pytest.approx(dict(estimate(direct).parameters))
    assert isinstance(SITUATIONS[0][0], Game)
    with pytest.raises(EstimationError, match="must be positive"):
        simulate(TRUE, 0, SITUATIONS)
