"""Logit demand against formulas written out, derivatives by differences, and bad input."""

from __future__ import annotations

from math import exp, inf, log, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from moralfit.errors import GameError
from moralfit.pricing import LogitMarket

ODD = LogitMarket(costs=(1, 1.2, 0.5), qualities=(2, 2.4, 1.4), outside=0.3, mu=0.4, scale=3.2, size=50)


def by_hand(market, prices):
    """Quantities as theory.md writes them, term by term."""
    weights = [exp((a - p / market.scale) / market.mu) for a, p in zip(market.qualities, prices, strict=True)]
    return [market.size * w / (sum(weights) + exp(market.outside / market.mu)) for w in weights]


def test_published_profits():
    market = LogitMarket()
    assert market.profits([1.4729, 1.4729]) == pytest.approx([22.29, 22.29], abs=0.005)
    assert market.profits([1.9250, 1.9250]) == pytest.approx([33.75, 33.75], abs=0.005)
    assert market.profits([1.8020, 1e6])[0] == pytest.approx(55.20, abs=0.005)


@given(arrays(float, 3, elements=st.floats(-2, 15)))
def test_demand_and_profit_are_the_formulas(prices):
    expected = by_hand(ODD, prices)
    assert ODD.quantities(prices) == pytest.approx(expected, rel=1e-12)
    margins = [p - 3.2 * c for p, c in zip(prices, ODD.costs, strict=True)]
    assert ODD.profits(prices) == pytest.approx([m * q for m, q in zip(margins, expected, strict=True)], rel=1e-12)
    total = sum(exp((a - p / 3.2) / 0.4) for a, p in zip(ODD.qualities, prices, strict=True)) + exp(0.3 / 0.4)
    assert ODD.consumer_surplus(prices) == pytest.approx(50 * 3.2 * (0.4 * log(total) - 0.3), rel=1e-9)


@given(arrays(float, 3, elements=st.floats(1, 8)), st.integers(0, 2))
def test_surplus_falls_by_the_quantity_when_a_price_rises(prices, firm):
    step = np.zeros(3)
    step[firm] = 1e-4
    slope = (ODD.consumer_surplus(prices + step) - ODD.consumer_surplus(prices - step)) / 2e-4
    assert slope == pytest.approx(-ODD.quantities(prices)[firm], rel=1e-5, abs=1e-7)


def test_leading_axes():
    prices = np.random.default_rng(1).uniform(2, 8, (4, 5, 3))
    one_by_one = np.array([[ODD.profits(p) for p in row] for row in prices])
    assert np.array_equal(ODD.profits(prices), one_by_one)
    assert ODD.consumer_surplus(prices).shape == (4, 5)


@pytest.mark.parametrize("scale", [1, 3.2, 10, 1e-6])
def test_scale_changes_the_money_and_nothing_else(scale):
    prices = np.array([1.4, 1.7])
    one, other = LogitMarket(), LogitMarket(scale=scale)
    assert other.quantities(scale * prices) == pytest.approx(one.quantities(prices))
    assert other.profits(scale * prices) == pytest.approx(scale * one.profits(prices))
    assert other.consumer_surplus(scale * prices) == pytest.approx(scale * one.consumer_surplus(prices))


def test_extreme_prices_are_safe():
    market = LogitMarket(mu=1e-3)
    with np.errstate(all="raise", under="ignore"):
        assert market.quantities([1e6, 1.5]).tolist() == [0, 100]
        assert market.quantities([-1e6, 1.5]).tolist() == [100, 0]
        assert market.quantities([1e6, 1e6]).tolist() == [0, 0]
        assert market.consumer_surplus([1e6, 1e6]) == 0
        assert market.consumer_surplus([-1e6, 1.5]) == pytest.approx(100 * (2 + 1e6))


def test_equal_markets_are_equal():
    assert LogitMarket(costs=[1, 1], qualities=np.array([2, 2])) == LogitMarket()
    assert hash(LogitMarket(mu=np.float64(0.25))) == hash(LogitMarket())
    assert LogitMarket().symmetric
    assert not LogitMarket(costs=(1, 1.1)).symmetric
    assert ODD.unit_costs == pytest.approx([3.2, 3.84, 1.6])


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"mu": -0.25}, ["mu", "-0.25", "above 0"]),
        ({"mu": 0}, ["mu", "above 0"]),
        ({"mu": nan}, ["mu", "nan"]),
        ({"scale": -1}, ["scale", "-1"]),
        ({"size": 0}, ["size", "got 0"]),
        ({"outside": inf}, ["outside", "inf"]),
        ({"mu": "0.25"}, ["mu", "'0.25'"]),
        ({"costs": (1, None)}, ["costs[1]", "None"]),
        ({"costs": (1, nan)}, ["costs[1]", "nan"]),
        ({"costs": 1}, ["costs", "list", "1"]),
        ({"costs": "11"}, ["costs", "list"]),
        ({"costs": (1, 1, 1)}, ["costs has 3", "qualities has 2"]),
        ({"costs": (1,), "qualities": (2,)}, ["two firms", "got 1"]),
        ({"costs": (1, -0.1)}, ["costs[1]", "-0.1"]),
        ({"costs": (1, 9)}, ["costs[1] = 9", "firm 1", "lower the cost"]),
    ],
)
def test_impossible_markets(fields, names):
    with pytest.raises(GameError) as error:
        LogitMarket(**fields)
    for name in names:
        assert name in str(error.value)


@pytest.mark.parametrize(
    ("prices", "name"),
    [([1.5], "(1,)"), (1.5, "()"), ([[1, 2, 3]], "(1, 3)"), ([1.5, nan], "nan at [1]"), (["a", 1], "numbers")],
)
def test_impossible_prices(prices, name):
    for method in (LogitMarket().quantities, LogitMarket().profits, LogitMarket().consumer_surplus):
        with pytest.raises(GameError) as error:
            method(prices)
        assert name in str(error.value)
