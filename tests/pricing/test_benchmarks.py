"""Benchmarks against theory.md's table, first-order conditions by differences, brute-force grids and closed forms."""

from __future__ import annotations

from contextlib import suppress
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize, root

from moralfit.errors import GameError
from moralfit.pricing import (
    LogitMarket,
    benchmarks,
    best_reply,
    conduct_at,
    moralis_equilibrium,
    price_index,
    profit_gain,
)
from moralfit.pricing._benchmarks import bertrand_nash, joint_monopoly, monopoly_alone

BASE = LogitMarket()
ASYMMETRIC = LogitMarket(costs=(1, 1.3), qualities=(2, 2.6), outside=0.1)
THREE = LogitMarket(costs=(1, 1.2, 0.8), qualities=(2, 2.1, 1.9), mu=0.35, scale=3.2)
UNIVERSES = ["firms", "firms+consumers"]


def markets(equal=False):
    """Markets whose products are worth between -8 and 16 mu more than they cost."""

    def build(n, mu, values, costs, scale, outside):
        if equal:
            values, costs = values[:1] * 4, costs[:1] * 4
        qualities = [outside + c + mu * v for c, v in zip(costs[:n], values[:n], strict=True)]
        return LogitMarket(costs[:n], qualities, outside, mu, scale)

    four = lambda low, high: st.lists(st.floats(low, high), min_size=4, max_size=4)  # noqa: E731
    return st.builds(
        build, st.integers(2, 4), st.floats(0.05, 2), four(-8, 16), four(0, 3), st.floats(0.1, 50), st.floats(-1, 1)
    )


def utility(market, kappa, universe, x, y):
    """u(x, y) of the module's docstring, term by term."""
    n = market.n
    actual = sum(market.profits([*y[:i], x[i], *y[i + 1 :]])[i] for i in range(n)) / n
    everyone = market.profits(x).sum() + (market.consumer_surplus(x) if universe == "firms+consumers" else 0)
    return (1 - kappa) * actual + kappa * everyone / n


@pytest.mark.parametrize(
    ("kappa", "price", "gain"),
    [(0, 1.4729, 0), (0.25, 1.5829, 0.379), (0.5, 1.7106, 0.734), (0.75, 1.8293, 0.944), (1, 1.9250, 1)],
)
def test_the_table_of_theory(kappa, price, gain):
    found = moralis_equilibrium(BASE, kappa)
    assert found.prices == pytest.approx([price] * 2, abs=0.00005)
    assert profit_gain(BASE, found.profits) == pytest.approx(gain, abs=0.0005)


def test_other_numbers_of_theory():
    assert bertrand_nash(BASE).profits == pytest.approx([22.29] * 2, abs=0.005)
    assert joint_monopoly(BASE).profits == pytest.approx([33.75] * 2, abs=0.005)
    assert benchmarks(BASE).alone == pytest.approx([1.8020] * 2, abs=0.00005)
    assert moralis_equilibrium(BASE, 0.5, "firms+consumers").prices == pytest.approx([1.435] * 2, abs=0.0005)
    assert moralis_equilibrium(BASE, 1, "firms+consumers").prices == (1, 1)


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("kappa", [0, 0.3, 0.8, 1])
def test_equal_firms_solve_the_equation_of_one_price(n, kappa):
    """The symmetric definition of theory.md, solved by bisection: what if everyone asked my price?"""
    market = LogitMarket((1,) * n, (2,) * n)

    def share(p):
        return market.shares([p] * n)[0]

    firms = brentq(lambda p: (p - 1) * (1 - (1 + (n - 1) * kappa) * share(p)) - 0.25, 1, 6, xtol=1e-13)
    assert moralis_equilibrium(market, kappa).prices == pytest.approx([firms] * n, abs=1e-10)

    def slope(p, h=1e-6):
        own = [(market.profits([p + d, *[p] * (n - 1)])[0]) for d in (h, -h)]
        all_gain = [market.profits([p + d] * n).sum() + market.consumer_surplus([p + d] * n) for d in (h, -h)]
        return ((1 - kappa) * (own[0] - own[1]) + kappa / n * (all_gain[0] - all_gain[1])) / h

    consumers = brentq(slope, 0.9, 6, xtol=1e-13)
    assert moralis_equilibrium(market, kappa, "firms+consumers").prices == pytest.approx([consumers] * n, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(markets(), st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1)), st.sampled_from(UNIVERSES))
def test_first_order_conditions_in_random_markets(market, kappa, universe):
    p = np.array(moralis_equilibrium(market, kappa, universe).prices)
    h = 1e-4 * market.mu * market.scale
    for i in range(market.n):
        step = h * np.eye(market.n)[i]
        high, low = utility(market, kappa, universe, p + step, p), utility(market, kappa, universe, p - step, p)
        here = utility(market, kappa, universe, p, p)
        # Both neighbours are worse, and equally so: a maximum, and p is in the middle.
        assert max(high, low) <= here + 1e-12 * abs(here)
        quantity = market.quantities(p)[i] * h / market.n
        assert abs(high - low) <= 1e-3 * quantity + 1e-12 * (abs(here) + market.size * market.scale)


@settings(max_examples=60, deadline=None)
@given(markets(), st.floats(0.1, 10))
def test_joint_monopoly_has_a_common_margin_and_scales(market, factor):
    """The closed form of logit: with the common margin m, m (1 - all shares) = mu."""
    found = joint_monopoly(market)
    margins = (np.array(found.prices) - market.unit_costs) / market.scale
    assert margins == pytest.approx([margins[0]] * market.n, rel=1e-12)
    outside = 1 - market.shares(found.prices).sum()
    assert margins[0] * outside == pytest.approx(market.mu, rel=1e-7)
    other = LogitMarket(market.costs, market.qualities, market.outside, market.mu, market.scale * factor)
    for kappa in (0, 0.4, 1):
        here = np.array(moralis_equilibrium(market, kappa).prices)
        assert moralis_equilibrium(other, kappa).prices == pytest.approx(factor * here, rel=1e-10)


@pytest.mark.parametrize("scale", [1, 3.2, 10])
def test_scale_of_the_design(scale):
    market = LogitMarket(scale=scale)
    for kappa, universe in product((0, 0.25, 0.5, 0.75, 1), UNIVERSES):
        one, other = moralis_equilibrium(BASE, kappa, universe), moralis_equilibrium(market, kappa, universe)
        assert other.prices == pytest.approx(scale * np.array(one.prices), rel=1e-12)
        assert other.quantities == pytest.approx(one.quantities, rel=1e-12)
        assert profit_gain(market, other.profits) == pytest.approx(profit_gain(BASE, one.profits), abs=1e-9)


@pytest.mark.parametrize("market", [BASE, ASYMMETRIC], ids=["equal firms", "different firms"])
@pytest.mark.parametrize("universe", UNIVERSES)
@pytest.mark.parametrize("kappa", [0, 0.2, 0.5, 0.9, 1])
def test_no_plan_on_a_grid_is_better(market, kappa, universe):
    """Global: against the equilibrium, no pair of prices for the two roles gives homo moralis more."""
    p = np.array(moralis_equilibrium(market, kappa, universe).prices)
    axis = np.arange(0.5, 3.5, 0.01)
    first, second = np.meshgrid(axis, axis, indexing="ij")
    x = np.stack([first, second], -1)
    actual = market.profits(np.stack([first, np.full_like(first, p[1])], -1))[..., 0]
    actual = actual + market.profits(np.stack([np.full_like(second, p[0]), second], -1))[..., 1]
    everyone = market.profits(x).sum(-1) + (market.consumer_surplus(x) if universe == "firms+consumers" else 0)
    worth = ((1 - kappa) * actual + kappa * everyone) / 2
    best = np.unravel_index(worth.argmax(), worth.shape)
    assert worth.max() <= utility(market, kappa, universe, p, p) + 1e-9
    assert axis[list(best)] == pytest.approx(p, abs=0.011)


@pytest.mark.parametrize("market", [ASYMMETRIC, THREE])
def test_joint_monopoly_is_what_an_optimiser_finds(market):
    found = minimize(lambda p: -market.profits(p).sum(), 2 * market.unit_costs, options={"gtol": 1e-9})
    assert joint_monopoly(market).prices == pytest.approx(found.x, rel=1e-4)
    assert sum(joint_monopoly(market).profits) >= -found.fun


@pytest.mark.parametrize("market", [ASYMMETRIC, THREE])
def test_what_everyone_gets_rises_with_kappa(market):
    """Prices rise together in one universe. In the other a weak firm may first raise its own: it no longer takes buyers from a
    rival who serves them at a higher margin. Welfare rises all the same.
    """
    up = np.array([moralis_equilibrium(market, k).prices for k in np.linspace(0, 1, 21)])
    down = np.array([moralis_equilibrium(market, k, "firms+consumers").prices for k in np.linspace(0, 1, 21)])
    assert (np.diff(up, axis=0) > 0).all()
    assert (np.diff(market.profits(up).sum(-1)) > 0).all()
    assert (np.diff(market.profits(down).sum(-1) + market.consumer_surplus(down)) > 0).all()
    assert down[-1] == pytest.approx(market.unit_costs, abs=1e-12)
    assert up[0] == pytest.approx(down[0], rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("universe", UNIVERSES)
def test_no_second_equilibrium_is_found_from_elsewhere(seed, universe):
    """A general root finder, from ten places, on the conditions written with demand and its derivatives."""
    rng = np.random.default_rng(seed)
    n, kappa = 2 + seed % 3, rng.random()
    costs = rng.uniform(0.5, 2, n)
    market = LogitMarket(costs, costs + 0.3 * rng.uniform(-2, 7, n), mu=0.3)
    solution = np.array(moralis_equilibrium(market, kappa, universe).prices)

    def conditions(p):
        share, margin = market.shares(p), (p - costs) / 0.3
        cross = np.outer(share, share) - np.diag(share)  # mu d S_j / d p_i
        own = share + margin * np.diag(cross)
        everyone = cross @ margin + (share if universe == "firms" else 0)
        return ((1 - kappa) * own + kappa * everyone) / share

    assert conditions(solution) == pytest.approx(np.zeros(n), abs=1e-9)
    met = 0
    for _ in range(10):
        start = costs + rng.uniform(0, 2) * rng.uniform(0.5, 1.5, n) * (solution - costs)
        with suppress(GameError), np.errstate(all="ignore"):  # it may wander off to prices that are no numbers
            found = root(conditions, start)
            if found.success:
                assert found.x == pytest.approx(solution, abs=1e-5)
                met += 1
    assert met >= 5


@settings(max_examples=40, deadline=None)
@given(markets(), st.data())
def test_best_reply_beats_a_fine_grid(market, data):
    firm = data.draw(st.integers(0, market.n - 1))
    prices = np.array(data.draw(st.lists(st.floats(0.1, 5), min_size=market.n, max_size=market.n))) * market.scale
    reply = float(best_reply(market, firm, prices))
    prices[firm] = reply
    here = market.profits(prices)[firm]
    others = np.tile(prices, (400, 1))
    others[:, firm] = market.unit_costs[firm] + (reply - market.unit_costs[firm]) * np.linspace(0, 3, 400)
    assert here >= market.profits(others)[:, firm].max() * (1 - 1e-12)


def test_best_reply_leads_to_nash_and_takes_many_at_once():
    prices = np.array([[1.2, 3.0, 2.0], [9.0, 9.0, 9.0]])
    replies = best_reply(THREE, 1, prices)
    assert replies == pytest.approx([float(best_reply(THREE, 1, p)) for p in prices])
    for _ in range(60):
        prices = np.stack([best_reply(THREE, i, prices) for i in range(3)], -1)
    assert prices == pytest.approx(np.tile(bertrand_nash(THREE).prices, (2, 1)), abs=1e-10)


def test_single_product_monopoly_by_grid():
    market = ASYMMETRIC
    axis = np.arange(1, 4, 0.0005)
    for firm in range(2):
        prices = np.full((len(axis), 2), 1e4)
        prices[:, firm] = axis
        best = axis[market.profits(prices)[:, firm].argmax()]
        assert monopoly_alone(market, firm) == pytest.approx(best, abs=0.0005)


def test_gain_and_index():
    marks = benchmarks(THREE)
    for measure, low, high in (
        (profit_gain, marks.nash.profits, marks.monopoly.profits),
        (price_index, marks.nash.prices, marks.monopoly.prices),
    ):
        middle = (np.array(low) + np.array(high)) / 2
        path = np.array([low, middle, high, 2 * np.array(high) - np.array(low)])
        assert measure(THREE, path) == pytest.approx([0, 0.5, 1, 2])
        assert measure(BASE, [[1e3, 0.0]]).shape == (1,)
    assert price_index(THREE, marks.monopoly.prices, firm=2) == pytest.approx(1)
    low, high = marks.nash.profits[1], marks.monopoly.profits[1]
    assert profit_gain(THREE, [0, low + 0.3 * (high - low), 0], firm=1) == pytest.approx(0.3)


def test_conduct_is_consistent():
    found = moralis_equilibrium(THREE, 0.5)
    assert found == conduct_at(THREE, found.prices)
    assert found.profits == pytest.approx(THREE.profits(found.prices))
    assert found.consumer_surplus == pytest.approx(float(THREE.consumer_surplus(found.prices)))


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: moralis_equilibrium(BASE, 1.2), ["kappa", "1.2"]),
        (lambda: moralis_equilibrium(BASE, float("nan")), ["kappa", "nan"]),
        (lambda: moralis_equilibrium(BASE, 0.5, "all"), ["'all'", "firms+consumers"]),
        (lambda: best_reply(BASE, 2, [1, 1]), ["firm", "2"]),
        (lambda: monopoly_alone(BASE, -1), ["firm", "-1"]),
        (lambda: profit_gain(BASE, [1, 2, 3]), ["profits", "(3,)"]),
        (lambda: price_index(BASE, 1.5), ["prices", "()"]),
        # Firm 1 is so weak that joint monopoly takes its buyers.
        (lambda: profit_gain(LogitMarket(costs=(0.2, 1.5)), [1, 2], firm=1), ["firm 1", "firm=None"]),
        (lambda: profit_gain(LogitMarket(costs=(5, 5)), [1, 2]), ["hardly compete"]),
    ],
)
def test_bad_input(call, names):
    with pytest.raises(GameError) as error:
        call()
    for name in names:
        assert name in str(error.value)


def test_an_impossible_solution_is_refused(monkeypatch):
    monkeypatch.setattr("moralfit.pricing._benchmarks.MAX_STEPS", 1)
    with pytest.raises(GameError, match=r"no equilibrium found in 1 steps for kappa = 0.123"):
        moralis_equilibrium(ASYMMETRIC, 0.123)
