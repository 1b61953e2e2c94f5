"""Tabular Q-learning of prices, after Calvano, Calzolari, Denicolo and Pastorello (AER 2020), "Artificial Intelligence,
Algorithmic Pricing, and Collusion".

Every firm chooses among `points` prices and remembers the prices of all firms of the last period (its state). It explores with
probability exp(-beta t), takes the best action in its table otherwise, and updates

    Q(s, a) <- (1 - alpha) Q(s, a) + alpha (profit + delta max_a' Q(s', a')).

Q starts at the discounted profit against rivals whose prices are uniformly random, the first state is random, and a session has
converged once no firm's greedy strategy changed for 100,000 consecutive periods: one to three million periods here.

The loop is compiled by numba, which is imported at the first session: a period depends on the last, so that numpy could only
work on many sessions side by side, at some 20 seconds for a million periods however few they are. Random numbers come from
numpy's generator outside the compiled loop, and every session has a seed of its own: results do not depend on
the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from itertools import product
from math import isfinite
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from moralfit.errors import GameError
from moralfit.pricing._benchmarks import benchmarks, best_reply, profit_gain
from moralfit.pricing._market import LogitMarket

Array = NDArray[np.float64]

#: Largest number of entries of all firms' tables together: 800 MB of memory.
LARGEST_TABLES = 100_000_000
CHUNK = 65_536


@dataclass(frozen=True)
class QLearning:
    """Parameters; the defaults are the representative experiment of Calvano et al. (2020).

    Args:
        points: Prices in the grid of each firm, at least 2.
        xi: The grid reaches this part of the distance from Nash to joint monopoly below Nash and above monopoly, at least 0.
        alpha: Learning rate in (0, 1].
        beta: Decay of exploration, above 0.
        delta: Discount factor in [0, 1).
        stable: Periods without a change of any greedy strategy after which a session has converged.
        max_periods: Periods after which a session ends in any case.

    Raises:
        GameError: One of them makes no sense.
    """

    points: int = 15
    xi: float = 0.1
    alpha: float = 0.15
    beta: float = 4e-6
    delta: float = 0.95
    stable: int = 100_000
    max_periods: int = 10_000_000

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
                raise GameError(f"{item.name} must be a finite number, got {value!r}")
        for name, least in (("points", 2), ("stable", 1), ("max_periods", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise GameError(f"{name} must be a whole number and at least {least}, got {value!r}")
        for name, fits, say in (
            ("xi", self.xi >= 0, "at least 0"),
            ("alpha", 0 < self.alpha <= 1, "above 0 and at most 1"),
            ("beta", self.beta > 0, "above 0"),
            ("delta", 0 <= self.delta < 1, "at least 0 and below 1"),
        ):
            if not fits:
                raise GameError(f"{name} must be {say}, got {getattr(self, name):g}")


@dataclass(frozen=True, eq=False)
class LearnedSession:
    """What one session of Q-learning ended with; k is the number of prices and k^n that of states.

    Attributes:
        market: Where it was learned. parameters: How. seed, session: The session's random numbers follow from these two.
        periods: How many it took. converged: Whether greedy strategies had settled.
        grid: Prices of each firm, shape (n, k), in money.
        q: The tables, shape (n, k^n, k), in profit per buyer at scale 1: the sum of discounted profits.
        strategy: Index of the greedy price in each state, shape (n, k^n). The state is the number whose digits in base k are
            the indices of last period's prices, firm 0 first.
        state: The last state.
        cycle: Prices in money of the cycle that greedy play runs into from there, shape (length, n); length 1 for constant
            prices.
        profit_gain: Delta of the mean profits over that cycle.
    """

    market: LogitMarket
    parameters: QLearning
    seed: int
    session: int
    periods: int
    converged: bool
    grid: Array
    q: Array
    strategy: NDArray[np.int64]
    state: int
    cycle: Array
    profit_gain: float


def price_grid(market: LogitMarket, parameters: QLearning | None = None) -> Array:
    """The equally spaced prices that each firm chooses from, shape (n, points), in money."""
    p = parameters or QLearning()
    marks = benchmarks(market)
    nash, monopoly = np.array(marks.nash.prices), np.array(marks.monopoly.prices)
    return np.asarray(np.linspace(nash - p.xi * (monopoly - nash), monopoly + p.xi * (monopoly - nash), p.points, axis=-1))


def initial_tables(market: LogitMarket, parameters: QLearning) -> Array:
    """Discounted profit of each price against rivals that draw uniformly, in every state. Shape (n, k^n, k); see
    :class:`LearnedSession` for the unit.
    """
    n, k = market.n, parameters.points
    profits = _profits(market, price_grid(market, parameters)).reshape(n, *[k] * n)
    means = [profits[i].mean(axis=tuple(j for j in range(n) if j != i)) for i in range(n)]
    return np.tile(np.array(means)[:, None] / (1 - parameters.delta), (1, k**n, 1))


def learn(market: LogitMarket, parameters: QLearning | None = None, seed: int = 0, session: int = 0) -> LearnedSession:
    """One session: all firms of `market` learn against each other from scratch.

    Args:
        seed: Of the experiment. session: Number of the session, whose random numbers follow from both.

    Raises:
        GameError: The tables of so many firms and prices would not fit into memory, or joint monopoly pays no more than Nash.
    """
    p = parameters or QLearning()
    n, k = market.n, p.points
    if n * k ** (n + 1) > LARGEST_TABLES:
        raise GameError(f"{n} firms with {k} prices need tables of {n * k ** (n + 1):,} entries; use fewer points")
    grid = price_grid(market, p)
    profits = _profits(market, grid)
    q = initial_tables(market, p)
    strategy, best = q.argmax(-1), q.max(-1)
    rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(session,)))
    state, periods, unchanged = int(rng.integers(k**n)), 0, 0
    advance = _compiled()
    while unchanged < p.stable and periods < p.max_periods:
        draws = rng.random((CHUNK, 2 * n))[: p.max_periods - periods]
        state, periods, unchanged = advance(
            q, strategy, best, profits, draws, state, periods, unchanged, p.alpha, p.beta, p.delta, p.stable
        )
    cycle = _cycle(strategy, state, k)
    gain = float(profit_gain(market, (profits * market.scale * market.size)[:, cycle].mean(1)))
    prices = grid[np.arange(n), np.array(np.unravel_index(cycle, [k] * n)).T]
    return LearnedSession(market, p, seed, session, periods, unchanged >= p.stable, grid, q, strategy, state, prices, gain)


def learn_sessions(
    market: LogitMarket, sessions: int, parameters: QLearning | None = None, seed: int = 0, workers: int = 1
) -> list[LearnedSession]:
    """Sessions 0, 1, ... of :func:`learn`, `workers` at a time in threads; the result does not depend on `workers`."""
    for what, number in (("sessions", sessions), ("workers", workers)):
        if number < 1:
            raise GameError(f"{what} must be at least 1, got {number}")
    _compiled()  # once, before there are threads
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda session: learn(market, parameters, seed, session), range(sessions)))


@dataclass(frozen=True, eq=False)
class ImpulseResponse:
    """What follows when one firm is forced to deviate for one period; the mean over the states of the cycle before.

    Attributes:
        firm: Who deviates.
        prices: Shape (1 + periods, n), in money: row 0 before, row 1 the deviation, then as all have learned to play.
        profits: The same of profits.
        gain: What the deviation is worth to the deviator: the sum of discounted profits over these periods divided by that
            without a deviation, minus 1.
    """

    firm: int
    prices: Array
    profits: Array
    gain: float


def impulse_response(learned: LearnedSession, firm: int = 0, periods: int = 15, price: float | None = None) -> ImpulseResponse:
    """Forces `firm` for one period off the path that the session ended with, as Calvano et al. (2020) do.

    Args:
        periods: How many to show, the deviation included.
        price: What the firm asks then, in money; its static best reply to the others' prices if left out. The nearest point of
            the grid is taken, which may be the firm's usual price.

    Raises:
        GameError: There is no such firm, or no period.
    """
    market, k, n = learned.market, learned.parameters.points, learned.market.n
    if not 0 <= firm < n:
        raise GameError(f"firm must lie between 0 and {n - 1}, got {firm}")
    if periods < 1:
        raise GameError(f"periods must be at least 1, got {periods}")
    paths = []
    for before in _cycle(learned.strategy, learned.state, k):
        path, state = [before], before
        for t in range(periods):
            actions = learned.strategy[:, state].copy()
            if t == 0:
                others = learned.grid[np.arange(n), actions]
                actions[firm] = nearest(learned.grid[firm], float(best_reply(market, firm, others)) if price is None else price)
            state = state_of(actions, k)
            path.append(state)
        paths.append(path)
    actions = np.moveaxis(np.array(np.unravel_index(np.array(paths), [k] * n)), 0, -1)  # (cycle, 1 + periods, n)
    prices = learned.grid[np.arange(n), actions]
    profits = market.profits(prices).mean(0)
    weights = learned.parameters.delta ** np.arange(periods)
    gain = float(weights @ profits[1:, firm] / (weights.sum() * profits[0, firm]) - 1)
    return ImpulseResponse(firm, prices.mean(0), profits, gain)


def nearest(grid: Array, price: float) -> int:
    """Index of the grid point next to `price`, the lower one of two; `grid` (k,)."""
    return int(np.abs(grid - price).argmin())


def _profits(market: LogitMarket, grid: Array) -> Array:
    """Profit per buyer at scale 1 of each firm for each combination of prices, shape (n, k^n): the same table for all scales
    and sizes.
    """
    combinations = np.array(list(product(*grid)))
    return np.ascontiguousarray((market.profits(combinations) / (market.scale * market.size)).T)


def state_of(actions: Iterable[int], k: int) -> int:
    """The number of a state: the indices of all firms' prices, shape (n,), as digits in base `k`, firm 0 first."""
    state = 0
    for action in actions:
        state = state * k + int(action)
    return state


def _cycle(strategy: NDArray[np.int64], state: int, k: int) -> list[int]:
    """The states that greedy play visits for ever from `state`, in order."""
    seen: dict[int, int] = {}
    while state not in seen:
        seen[state] = len(seen)
        state = state_of(strategy[:, state], k)
    return list(seen)[seen[state] :]


@cache
def _compiled() -> Callable[..., tuple[int, int, int]]:
    numba = cast(Any, import_module("numba"))
    try:
        return cast(Callable[..., tuple[int, int, int]], numba.njit(cache=True, nogil=True)(_advance))
    except RuntimeError:  # no folder to keep the compiled code in
        return cast(Callable[..., tuple[int, int, int]], numba.njit(nogil=True)(_advance))


def _advance(
    q: Array,
    strategy: NDArray[np.int64],
    best: Array,
    profits: Array,
    draws: Array,
    state: int,
    period: int,
    unchanged: int,
    alpha: float,
    beta: float,
    delta: float,
    stable: int,
) -> tuple[int, int, int]:
    """Plays one period for each row of `draws` (rows, 2 n), or fewer if the session converges; changes q, strategy and best.

    Column i of `draws` decides whether firm i explores, and column n + i which price it then takes. Written for numba, but
    plain Python.
    """
    n, _, k = q.shape
    actions = np.zeros(n, np.int64)
    for row in range(draws.shape[0]):
        explore = np.exp(-beta * period)
        following = 0
        for i in range(n):
            if draws[row, i] < explore:
                actions[i] = int(draws[row, n + i] * k)
            else:
                actions[i] = strategy[i, state]
            following = following * k + actions[i]
        unchanged += 1
        for i in range(n):
            target = profits[i, following] + delta * best[i, following]
            q[i, state, actions[i]] += alpha * (target - q[i, state, actions[i]])
            top = 0
            for a in range(1, k):
                if q[i, state, a] > q[i, state, top]:
                    top = a
            best[i, state] = q[i, state, top]
            if top != strategy[i, state]:
                strategy[i, state] = top
                unchanged = 0
        state = following
        period += 1
        if unchanged >= stable:
            break
    return state, period, unchanged
