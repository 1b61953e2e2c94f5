"""Logit demand with an outside good for firms that set prices.

    q_i = B exp((a_i - p_i / s) / mu) / (sum_j exp((a_j - p_j / s) / mu) + exp(a_0 / mu)),    profit_i = (p_i - s c_i) q_i

Source: Calvano, Calzolari, Denicolo and Pastorello (AER 2020); the price scale s and the market size B as in Fish, Gonczarowski
and Shorrer (2024). Prices, profits and surplus are in money, in which costs are s c_i; a_i, c_i and mu are in money at scale 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moralfit.errors import GameError

#: A firm that would win a smaller part of the market than this at a price equal to its cost, alone, has no demand.
SMALLEST_SHARE = 1e-6


@dataclass(frozen=True)
class LogitMarket:
    """A market of n >= 2 firms; the defaults are the duopoly of Calvano et al. (2020).

    Args:
        costs: Marginal cost c_i of each firm, n numbers >= 0 (money at scale 1).
        qualities: Quality a_i of each firm's product, n numbers.
        outside: Quality a_0 of the outside good.
        mu: Horizontal differentiation, > 0; products become perfect substitutes as it goes to 0.
        scale: Price scale s > 0: what money is called. Prices and profits are proportional to it, quantities do not
            depend on it.
        size: Market size B > 0: the quantity that all buyers together would buy.

    Raises:
        GameError: A field makes no sense; the message names it and says what to do.
    """

    costs: tuple[float, ...] = (1.0, 1.0)
    qualities: tuple[float, ...] = (2.0, 2.0)
    outside: float = 0.0
    mu: float = 0.25
    scale: float = 1.0
    size: float = 100.0

    def __post_init__(self) -> None:
        for name in ("costs", "qualities"):
            value = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
                raise GameError(f"{name} must be a list with one number for each firm, got {value!r}")
            # Plain floats, so that equal markets are equal, hash alike and can be written as JSON.
            object.__setattr__(self, name, tuple(_number(f"{name}[{i}]", item) for i, item in enumerate(value)))
        for name in ("outside", "mu", "scale", "size"):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        if len(self.costs) != len(self.qualities):
            raise GameError(
                f"costs has {len(self.costs)} entries and qualities has {len(self.qualities)}: give one of each for every firm"
            )
        if self.n < 2:
            raise GameError(f"a market needs at least two firms, got {self.n} in costs; add another cost and quality")
        for name, why in (("mu", "products would not be differentiated"), ("scale", "prices"), ("size", "quantities")):
            if getattr(self, name) <= 0:
                reason = why if name == "mu" else f"{why} are proportional to it"
                raise GameError(f"{name} must be above 0, got {getattr(self, name):g}: {reason}")
        for i, (cost, quality) in enumerate(zip(self.costs, self.qualities, strict=True)):
            if cost < 0:
                raise GameError(f"costs[{i}] must not be negative, got {cost:g}; use 0 for a firm without costs")
            excess = (self.outside + cost - quality) / self.mu
            if excess > -np.log(SMALLEST_SHARE):
                raise GameError(
                    f"costs[{i}] = {cost:g} leaves firm {i} without demand: nobody would pay it for quality {quality:g} "
                    f"with an outside good of quality {self.outside:g} and mu = {self.mu:g}; "
                    "lower the cost or raise the quality"
                )

    @property
    def n(self) -> int:
        """The number of firms."""
        return len(self.costs)

    @property
    def unit_costs(self) -> NDArray[np.float64]:
        """What a unit costs each firm, s c_i, in money. Shape (n,)."""
        return self.scale * np.array(self.costs)

    @property
    def symmetric(self) -> bool:
        """Whether all firms have the same cost and quality."""
        return len(set(self.costs)) == len(set(self.qualities)) == 1

    def shares(self, prices: ArrayLike) -> NDArray[np.float64]:
        """The part of the market that each firm serves at `prices` (..., n). Shape (..., n), positive, sum below 1."""
        value, top = self._values(prices)
        weights = np.exp(value - top)
        return np.asarray(weights / (weights.sum(-1, keepdims=True) + np.exp(self.outside / self.mu - top)))

    def quantities(self, prices: ArrayLike) -> NDArray[np.float64]:
        """What each firm sells.

        Args:
            prices: Shape (..., n): one price for each firm in the last axis, in money; the axes before it are periods, runs and
                so on.

        Returns:
            Quantities of the same shape.

        Raises:
            GameError: The last axis does not have length n, or a price is not a finite number.
        """
        return self.size * self.shares(prices)

    def profits(self, prices: ArrayLike) -> NDArray[np.float64]:
        """What each firm earns at `prices` (..., n), in money; negative below cost. Raises as :meth:`quantities` does."""
        return (self.checked_prices(prices) - self.unit_costs) * self.quantities(prices)

    def consumer_surplus(self, prices: ArrayLike) -> NDArray[np.float64]:
        """What all buyers together gain from the existence of the firms at `prices` (..., n), in money. Shape (...).

        The log-sum formula of Small and Rosen (1981), which leaves a constant open. Ours: no surplus when only the outside good
        is left, `B s (mu log(sum_j exp((a_j - p_j / s) / mu) + exp(a_0 / mu)) - a_0)`. Its derivative in p_i is -q_i.
        """
        value, _ = self._values(prices)
        gains = np.logaddexp(np.logaddexp.reduce(value - self.outside / self.mu, axis=-1), 0.0)
        return np.asarray(self.size * self.scale * self.mu * gains)

    def checked_prices(self, prices: ArrayLike) -> NDArray[np.float64]:
        """`prices` (..., n) as an array, or the GameError that :meth:`quantities` raises."""
        try:
            p = np.asarray(prices, dtype=float)
        except (TypeError, ValueError):
            raise GameError(f"prices must be numbers, one for each of {self.n} firms, got {prices!r}") from None
        if p.ndim == 0 or p.shape[-1] != self.n:
            raise GameError(f"prices must have {self.n} entries, one for each firm, in the last axis; their shape is {p.shape}")
        if not np.isfinite(p).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(p))[0])
            raise GameError(
                f"prices must be finite numbers, got {p[where]} at {list(where)}; a firm that stays out asks a high price"
            )
        return p

    def _values(self, prices: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(a - p / s) / mu, shape (..., n), and the largest of it and the outside good's value, shape (..., 1)."""
        value = (np.array(self.qualities) - self.checked_prices(prices) / self.scale) / self.mu
        return value, np.maximum(value.max(-1, keepdims=True), self.outside / self.mu)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool | str | bytes):  # float("1") would pass, and hide a recipe's quotes
        raise GameError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise GameError(f"{name} must be a number, got {value!r}") from None
    if not isfinite(number):
        raise GameError(f"{name} must be a finite number, got {number}")
    return number
