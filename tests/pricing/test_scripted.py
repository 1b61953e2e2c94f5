"""Scripted agents: what each does in words, the same one by one and in bulk, in markets of any size and scale."""

from __future__ import annotations

import numpy as np
import pytest

from moralfit.errors import GameError
from moralfit.pricing import (
    SCRIPTED,
    Decision,
    LogitMarket,
    Period,
    PricingAgent,
    ScriptedAgent,
    View,
    benchmarks,
    best_reply,
    simulate,
)

MARKETS = {
    "duopoly": LogitMarket(),
    "duopoly, scale 10": LogitMarket(scale=10),
    "three different firms": LogitMarket(costs=(1, 1.2, 0.8), qualities=(2, 2.1, 1.9), mu=0.35, scale=3.2),
}


def period(market, prices):
    prices = np.asarray(prices, dtype=float)
    rows = (prices, market.quantities(prices), market.profits(prices))
    return Period(*(tuple(row.tolist()) for row in rows))


def view(market, firm, prices, run="run", ceiling=float("inf")):
    """What `firm` sees after the prices (periods, n)."""
    history = [period(market, p) for p in prices]
    number = len(history) + 1
    return View(run, firm, number, market, ceiling, history, ("", ""), f"seed/{run}/{firm}/{number}")


def play(market, agents, periods, run="run", forced=None):
    """Prices of one run, shape (periods, n), decided period by period; `forced` overrules (period, firm) with a price."""
    prices = []
    for t in range(1, periods + 1):
        now = [agent.decide([view(market, i, prices, run)])[0].price for i, agent in enumerate(agents)]
        for (when, firm), price in (forced or {}).items():
            if when == t:
                now[firm] = price
        prices.append(now)
    return np.array(prices)


@pytest.fixture(params=MARKETS.values(), ids=MARKETS)
def market(request):
    return request.param


def one(rule, market, firm, prices, **more):
    (decision,) = ScriptedAgent(rule).decide([view(market, firm, prices, **more)])
    assert decision == Decision(decision.price)  # nothing else is set
    return decision.price


def test_constant_prices(market):
    marks = benchmarks(market)
    for firm in range(market.n):
        for history in ([], [market.unit_costs] * 3):
            assert one("nash", market, firm, history) == marks.nash.prices[firm]
            assert one("monopoly", market, firm, history) == marks.monopoly.prices[firm]


def test_best_reply_answers_the_last_prices(market):
    early, last = 3 * market.unit_costs, 1.5 * market.unit_costs
    for firm in range(market.n):
        assert one("best-reply", market, firm, []) == benchmarks(market).monopoly.prices[firm]
        assert one("best-reply", market, firm, [early, last]) == pytest.approx(float(best_reply(market, firm, last)))
    agents = [ScriptedAgent("best-reply")] * market.n
    assert play(market, agents, 40)[-1] == pytest.approx(benchmarks(market).nash.prices, rel=1e-9)


def test_grim_trigger_never_forgives(market):
    marks = benchmarks(market)
    nash, monopoly = np.array(marks.nash.prices), np.array(marks.monopoly.prices)
    agents = [ScriptedAgent("grim-trigger")] * market.n
    assert play(market, agents, 5) == pytest.approx(np.tile(monopoly, (5, 1)))
    undercut = monopoly[0] - 0.06 * (monopoly[0] - nash[0])
    prices = play(market, agents, 8, forced={(3, 0): undercut})
    assert prices[:2] == pytest.approx(np.tile(monopoly, (2, 1)))
    assert prices[2] == pytest.approx([undercut, *monopoly[1:]])
    assert prices[3:] == pytest.approx(np.tile(nash, (5, 1)))
    # However long ago it was, whoever did it, and whatever all have asked since.
    for firm in range(market.n):
        once = np.where(np.arange(market.n) == market.n - 1, nash, monopoly)
        assert one("grim-trigger", market, firm, [monopoly, once, monopoly, monopoly]) == nash[firm]
    # Rounding and prices above monopoly are no betrayal.
    for harmless in (monopoly[0] - 0.04 * (monopoly[0] - nash[0]), 2 * monopoly[0]):
        prices = play(market, agents, 5, forced={(3, 0): harmless})
        assert prices[3:] == pytest.approx(np.tile(monopoly, (2, 1)))


def test_price_matching_follows_the_cheapest_rival_and_forgives(market):
    marks = benchmarks(market)
    nash, monopoly = np.array(marks.nash.prices), np.array(marks.monopoly.prices)
    for firm in range(market.n):
        assert one("price-matching", market, firm, []) == monopoly[firm]
        for position in (0.2, 0.7):
            rivals = nash[firm] + position * (monopoly[firm] - nash[firm])
            prices = np.full(market.n, 5 * monopoly[firm])
            prices[firm] = 0.5 * nash[firm]  # its own last price does not matter
            prices[(firm + 1) % market.n] = rivals
            assert one("price-matching", market, firm, [0.1 * prices, prices]) == pytest.approx(rivals)
        assert one("price-matching", market, firm, [0.1 * nash]) == nash[firm]
        assert one("price-matching", market, firm, [9 * nash]) == monopoly[firm]


def test_random_prices_fill_their_range_and_depend_on_the_seed_alone(market):
    marks = benchmarks(market)
    low, high = marks.nash.prices[0], marks.monopoly.prices[0]
    agent = ScriptedAgent("random")
    views = [view(market, 0, [], run=f"run {i}") for i in range(2000)]
    prices = np.array([decision.price for decision in agent.decide(views)])
    position = (prices - low) / (high - low)
    assert position.min() == pytest.approx(-0.1, abs=0.01)
    assert position.max() == pytest.approx(1.1, abs=0.01)
    assert position.mean() == pytest.approx(0.5, abs=0.03)
    assert [agent.decide([v])[0].price for v in views[:50]] == prices[:50].tolist()


def test_one_call_for_all_is_the_same_as_one_each():
    """Markets, firms and lengths of history mixed, in any order."""
    rng = np.random.default_rng(0)
    views = []
    for number, market in enumerate(MARKETS.values()):
        for firm in range(market.n):
            for length in (0, 1, 4):
                prices = rng.uniform(1, 2, (length, market.n)) * market.unit_costs
                views.append(view(market, firm, prices, run=f"{number}/{length}"))
    rng.shuffle(views)
    for rule in SCRIPTED:
        agent: PricingAgent = ScriptedAgent(rule)
        assert agent.decide(views) == [agent.decide([v])[0] for v in views]


def test_no_price_above_the_ceiling(market):
    price = one("monopoly", market, 0, [])
    assert one("monopoly", market, 0, [], ceiling=0.9 * price) == pytest.approx(0.9 * price)


@pytest.mark.parametrize("rules", [("grim-trigger", "best-reply", "nash"), ("price-matching", "best-reply", "grim-trigger")])
def test_bulk_simulation_is_what_the_agents_decide(market, rules):
    agents = [ScriptedAgent(rule) for rule in rules[: market.n]]
    paths = simulate(market, agents, runs=3, periods=12)
    expected = play(market, agents, 12)
    for run in range(3):
        assert paths.prices[run] == pytest.approx(expected, rel=1e-12)
        assert paths.quantities[run] == pytest.approx(market.quantities(expected), rel=1e-10)
        assert paths.profits[run] == pytest.approx(market.profits(expected), rel=1e-10)


def test_bulk_simulation_keeps_runs_apart(market):
    """Against random prices every run has a history of its own; replayed one by one, the reactions are the same."""
    agents = [ScriptedAgent("random"), ScriptedAgent("grim-trigger"), ScriptedAgent("price-matching")][: market.n]
    paths = simulate(market, agents, runs=6, periods=9, seed=5)
    assert len(set(paths.prices[:, 0, 0])) == 6
    for prices in paths.prices:
        for t in range(9):
            for firm in range(1, market.n):
                (decision,) = agents[firm].decide([view(market, firm, prices[:t])])
                assert decision.price == pytest.approx(prices[t, firm], rel=1e-12)
    assert (paths.prices[:, -1, 1] == benchmarks(market).nash.prices[1]).all()  # grim, after all those random prices
    again = simulate(market, agents, runs=6, periods=9, seed=5)
    assert np.array_equal(again.prices, paths.prices)
    assert not np.array_equal(simulate(market, agents, runs=6, periods=9, seed=6).prices, paths.prices)


def test_names():
    assert [ScriptedAgent(rule).key for rule in SCRIPTED] == list(SCRIPTED)
    assert len({ScriptedAgent(rule).name for rule in SCRIPTED}) == len(SCRIPTED)
    assert ScriptedAgent("nash", key="a", name="b").key == "a"
    assert ScriptedAgent("nash", name="b").name == "b"


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: ScriptedAgent("collude"), "'collude'; choose one of nash, monopoly"),
        (lambda: simulate(LogitMarket(), [ScriptedAgent("nash")], 1, 1), "1 entries for a market of 2"),
        (lambda: simulate(LogitMarket(), [ScriptedAgent("nash")] * 2, 0, 1), "runs must be at least 1, got 0"),
        (lambda: simulate(LogitMarket(), [ScriptedAgent("nash")] * 2, 1, 0), "periods must be at least 1"),
    ],
)
def test_bad_input(call, name):
    with pytest.raises(GameError, match=name):
        call()


def test_simulated_rules_see_last_prices_and_the_lowest_so_far(monkeypatch):
    seen = []

    def spy(market, firm, past):
        seen.append((past.last, past.lowest))
        return np.full(len(past.draws), 1.5)

    monkeypatch.setitem(SCRIPTED, "spy", ("spy", spy))
    paths = simulate(LogitMarket(), [ScriptedAgent("random"), ScriptedAgent("spy")], runs=4, periods=6)
    assert seen[0] == (None, None)
    for t, (last, lowest) in enumerate(seen[1:], 1):
        assert np.array_equal(last, paths.prices[:, t - 1])
        assert np.array_equal(lowest, paths.prices[:, :t].min(1))
    assert not all(np.array_equal(last, lowest) for last, lowest in seen[1:])
