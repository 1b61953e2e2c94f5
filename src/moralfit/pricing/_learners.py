"""Q-learning as an agent: one that plays what a session taught it, and one that goes on learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import exp
from random import Random

import numpy as np
from numpy.typing import NDArray

from moralfit.errors import GameError
from moralfit.pricing._agents import Decision, Period, View
from moralfit.pricing._learning import LearnedSession, QLearning, initial_tables, nearest, price_grid, state_of
from moralfit.pricing._market import LogitMarket

Array = NDArray[np.float64]
_Seat = tuple[str, int, LogitMarket]  # run, firm, market


@dataclass(frozen=True, eq=False)
class LearnedAgent:
    """Plays greedily what a session of Q-learning ended with: firm i follows the session's table of firm i.

    Last prices are read as the nearest points of the grid, so that it can meet anyone; in the first period it goes on from the
    session's last state. Price scale and size of the market may differ from the session's, since neither changes what is
    learned.
    """

    learned: LearnedSession
    key: str = "q-learned"
    name: str = "Q-learning, learned"

    def decide(self, views: Sequence[View]) -> list[Decision]:
        """One decision for each view.

        Raises:
            GameError: A view's market differs from the session's in more than scale and size.
        """
        return [Decision(min(self._price(view), view.ceiling)) for view in views]

    def _price(self, view: View) -> float:
        grid = _grid_for(self.learned, view.market)
        state = _last_state(grid, view.history) if view.history else self.learned.state
        return float(grid[view.firm, self.learned.strategy[view.firm, state]])


@dataclass(eq=False)
class OnlineLearner:
    """Goes on learning while it plays, against anyone: Q-learning of one firm, with the others' prices as it sees them.

    Its table follows from the run's history alone, and whether it explores from the seed of the view, so that it decides the
    same when it is rebuilt in the middle of a run. The first period has no state before it and teaches nothing.

    Args:
        parameters: As for :func:`learn`; `stable` and `max_periods` play no role. The default `beta` makes it explore for a
            million
            periods: in a run of 300, a `beta` of 0.02 explores half of the time after 35 periods and 5 in 100 times after 150.
        start: Start from this session's tables and rate of exploration instead of from scratch; its parameters are taken too.
    """

    parameters: QLearning = field(default_factory=QLearning)
    start: LearnedSession | None = None
    key: str = "q-learning"
    name: str = "Q-learning, online"
    _tables: dict[tuple[str, int, LogitMarket], tuple[list[Period], Array]] = field(
        default_factory=dict, init=False, repr=False
    )

    def __post_init__(self) -> None:
        if self.start is not None:
            self.parameters = self.start.parameters

    def decide(self, views: Sequence[View]) -> list[Decision]:
        """One decision for each view.

        Raises:
            GameError: There is a session to start from and a view's market differs from it in more than scale and size.
        """
        return [Decision(min(self._price(view), view.ceiling)) for view in views]

    def table(self, view: View) -> Array:
        """What the firm has learned from the view's history: shape (states, prices), in profit per buyer at scale 1."""
        grid = self._grid(view.market)
        remembered, q = self._tables.get((view.run, view.firm, view.market), ([], None))
        # Only a history that goes on from the remembered one may use its table.
        if q is None or list(view.history[: len(remembered)]) != remembered:
            start = initial_tables(view.market, self.parameters) if self.start is None else self.start.q
            remembered, q = [], start[view.firm].copy()
        p, unit = self.parameters, view.market.scale * view.market.size
        for t in range(max(1, len(remembered)), len(view.history)):
            before, now = view.history[t - 1], view.history[t]
            state, following = _last_state(grid, [before]), _last_state(grid, [now])
            action = nearest(grid[view.firm], now.prices[view.firm])
            target = now.profits[view.firm] / unit + p.delta * q[following].max()
            q[state, action] += p.alpha * (target - q[state, action])
        self._tables[view.run, view.firm, view.market] = (list(view.history), q)
        return q

    def _price(self, view: View) -> float:
        grid, q = self._grid(view.market), self.table(view)
        rng = Random(f"{view.seed}/q-learning")
        periods = view.period - 1 + (self.start.periods if self.start else 0)
        if rng.random() < exp(-self.parameters.beta * periods):
            return float(grid[view.firm, rng.randrange(self.parameters.points)])
        first = self.start.state if self.start else 0  # from scratch all states hold the same
        state = _last_state(grid, view.history) if view.history else first
        return float(grid[view.firm, q[state].argmax()])

    def _grid(self, market: LogitMarket) -> Array:
        return price_grid(market, self.parameters) if self.start is None else _grid_for(self.start, market)


def _last_state(grid: Array, history: Sequence[Period]) -> int:
    return state_of([nearest(points, price) for points, price in zip(grid, history[-1].prices, strict=True)], grid.shape[1])


def _grid_for(learned: LearnedSession, market: LogitMarket) -> Array:
    """The session's prices in the money of `market`."""
    if replace(market, scale=learned.market.scale, size=learned.market.size) != learned.market:
        raise GameError(
            f"Q-learning was done for {learned.market} and cannot play in {market}: "
            "only scale and size may differ; learn in that market"
        )
    return learned.grid / learned.market.scale * market.scale
