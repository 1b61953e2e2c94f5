"""What theory says about prices: Bertrand-Nash, joint monopoly, homo moralis, and where observed play lies between them.

**Homo moralis in a market.** As everywhere in moralfit, a strategy is a plan for every role: here x = (x_1, ..., x_n), the
price that one would ask as firm 1, ..., n, each role being equally likely (Alger and Weibull 2013 treat asymmetric interactions
so). Against y,

    u(x, y) = (1 - kappa) 1/n sum_i pi_i(x_i, y_-i) + kappa 1/n W(x),

where W(x) is what "everyone" gets if all follow x: the firms' profits, or those and the buyers' surplus. In equilibrium
x = y = p, and

    (1 - kappa) d pi_i / d p_i + kappa dW / d p_i = 0    for each i.

With equal firms the first-order condition of "everyone asks my price" follows, since d pi_j / d p_i = d pi_i / d p_j; so this
is no second definition, but the same one where firms differ. kappa = 0 is Bertrand-Nash; kappa = 1 maximises joint profits (no
side payments) or, with buyers, welfare, whose maximum is at p = c. Ours: nobody published it for markets to our knowledge. In
between it is what the literature on conduct writes as firm i maximising pi_i + kappa sum of the others' profits. With buyers, a
weak firm may raise its price as kappa rises: it stops taking buyers from a rival who serves them at a higher margin.

**Solution.** In logit, with margins m_i = p_i - c_i (at scale 1), shares S_i, A = sum_j m_j S_j and r = mu (firms) or
(1 - kappa) mu (firms and consumers), both conditions are

    m_i (1 - (1 - kappa) S_i) = r + kappa A.

Given the others' prices the left side minus the right crosses zero once, from below, so that each firm's condition has one root
and it is a maximum; it is in closed form (Lambert's W). Sweeps over firms find the neighbourhood, and Newton's method the
solution.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moralfit.errors import GameError
from moralfit.pricing._market import LogitMarket

#: Who "everyone" is when homo moralis asks what happens if everyone does the same.
Universe = Literal["firms", "firms+consumers"]

#: Error bound for a margin, relative to 1 + itself: the last Newton step must be smaller.
TOLERANCE = 1e-11
MAX_STEPS = 500


@dataclass(frozen=True)
class Conduct:
    """Prices and what follows from them: one entry for each firm, in money and units; the surplus is all buyers' together."""

    prices: tuple[float, ...]
    quantities: tuple[float, ...]
    profits: tuple[float, ...]
    consumer_surplus: float


@dataclass(frozen=True)
class Benchmarks:
    """The reference points of a market.

    Attributes:
        nash: The static Bertrand-Nash equilibrium.
        monopoly: Prices that maximise the sum of profits.
        alone: The price that each firm would ask if it were the only one.
    """

    nash: Conduct
    monopoly: Conduct
    alone: tuple[float, ...]


def conduct_at(market: LogitMarket, prices: ArrayLike) -> Conduct:
    """What follows from `prices` (n,)."""
    p = np.asarray(prices, dtype=float)
    return Conduct(
        tuple(p.tolist()),
        tuple(market.quantities(p).tolist()),
        tuple(market.profits(p).tolist()),
        float(market.consumer_surplus(p)),
    )


@lru_cache(maxsize=1024)
def moralis_equilibrium(market: LogitMarket, kappa: float, universe: Universe = "firms") -> Conduct:
    """The equilibrium between firms that are homo moralis with the same kappa; see the module for what that means.

    Args:
        kappa: Degree of morality in [0, 1].
        universe: Who "everyone" is: `firms` leads from Nash to joint monopoly, `firms+consumers` from Nash to prices equal to
            cost.

    Returns:
        Prices with a relative error of the margins below 1e-10.

    Raises:
        GameError: kappa lies outside [0, 1], the universe is unknown, or no solution was found.
    """
    if not 0 <= kappa <= 1:
        raise GameError(f"kappa must lie between 0 and 1, got {kappa}")
    if universe not in get_args(Universe):
        raise GameError(f"unknown universe {universe!r}; choose one of {', '.join(get_args(Universe))}")
    r = 1.0 if universe == "firms" else 1.0 - kappa
    return conduct_at(market, market.unit_costs + market.scale * market.mu * _margins(_value(market), float(kappa), r))


def bertrand_nash(market: LogitMarket) -> Conduct:
    """The static Nash equilibrium in prices; unique in logit (Anderson, de Palma and Thisse 1992)."""
    return moralis_equilibrium(market, 0.0)


def joint_monopoly(market: LogitMarket) -> Conduct:
    """Prices that maximise the sum of profits; in logit all firms then have the same margin."""
    return moralis_equilibrium(market, 1.0)


def monopoly_alone(market: LogitMarket, firm: int = 0) -> float:
    """The price of a monopolist that has only `firm`'s product, the others being absent."""
    value = _value(market)[_checked_firm(market, firm)]
    return float(market.unit_costs[firm] + market.scale * market.mu * (1 + _omega(value - 1)))


@lru_cache(maxsize=1024)
def benchmarks(market: LogitMarket) -> Benchmarks:
    """Nash, joint monopoly and single-product monopoly of a market; remembered, since agents ask every period."""
    alone = tuple(monopoly_alone(market, i) for i in range(market.n))
    return Benchmarks(bertrand_nash(market), joint_monopoly(market), alone)


def best_reply(market: LogitMarket, firm: int, prices: ArrayLike) -> NDArray[np.float64]:
    """The price that maximises `firm`'s profit of one period against the others' `prices`.

    Args:
        prices: Shape (..., n), in money; the firm's own entry does not matter.

    Returns:
        Shape (...), in money. In closed form: `m (1 - S) = mu` has the solution `m / mu = 1 + W(exp(v - 1) / D)`, D the others'
        weight.
    """
    i = _checked_firm(market, firm)
    p = market.checked_prices(prices)
    x = (p - market.unit_costs) / (market.scale * market.mu)
    rest = np.delete(_value(market) - x, i, axis=-1)
    weight = np.logaddexp(np.logaddexp.reduce(rest, axis=-1), 0.0)
    return np.asarray(market.unit_costs[i] + market.scale * market.mu * (1 + _omega(_value(market)[i] - 1 - weight)))


def profit_gain(market: LogitMarket, profits: ArrayLike, firm: int | None = None) -> NDArray[np.float64]:
    """Delta = (profit - Nash) / (monopoly - Nash), in mean profits of a firm as Calvano et al. (2020) define it.

    Args:
        profits: Shape (..., n), in money; average over periods first or afterwards, it makes no difference.
        firm: Look at the gain of this firm alone.

    Returns:
        Shape (...). 0 is Nash and 1 joint monopoly; weak players overshoot both ways.

    Raises:
        GameError: Shapes do not fit, or joint monopoly pays (this firm) no more than Nash, as it may where firms differ.
    """
    marks = benchmarks(market)
    return _position(market, profits, marks.nash.profits, marks.monopoly.profits, firm, "profits")


def price_index(market: LogitMarket, prices: ArrayLike, firm: int | None = None) -> NDArray[np.float64]:
    """Where mean prices lie between Nash (0) and joint monopoly (1), as :func:`profit_gain` says it of profits.

    Ours. Unlike Delta it tells prices above monopoly, where profits fall again, from prices below it.
    """
    marks = benchmarks(market)
    return _position(market, prices, marks.nash.prices, marks.monopoly.prices, firm, "prices")


def _position(
    market: LogitMarket, found: ArrayLike, low: tuple[float, ...], high: tuple[float, ...], firm: int | None, what: str
) -> NDArray[np.float64]:
    values = np.asarray(found, dtype=float)
    if values.ndim == 0 or values.shape[-1] != market.n:
        raise GameError(
            f"{what} must have {market.n} entries, one for each firm, in the last axis; their shape is {values.shape}"
        )
    of = slice(None) if firm is None else slice(_checked_firm(market, firm), firm + 1)
    nash, monopoly = float(np.mean(low[of])), float(np.mean(high[of]))
    if monopoly - nash <= 1e-9 * abs(nash):
        whose = "the firms'" if firm is None else f"firm {firm}'s"
        raise GameError(
            f"no scale from Nash to joint monopoly: {whose} {what} are {nash:.6g} and {monopoly:.6g} there; "
            + ("the products hardly compete" if firm is None else "look at all firms together (firm=None)")
        )
    return np.asarray((values[..., of].mean(-1) - nash) / (monopoly - nash))


def _checked_firm(market: LogitMarket, firm: int) -> int:
    if not 0 <= firm < market.n:
        raise GameError(f"firm must lie between 0 and {market.n - 1}, got {firm}")
    return firm


def _value(market: LogitMarket) -> NDArray[np.float64]:
    """(a_i - c_i - a_0) / mu: what a product at cost is worth to buyers above the outside good. Shape (n,)."""
    return np.asarray((np.array(market.qualities) - np.array(market.costs) - market.outside) / market.mu)


def _omega(z: ArrayLike) -> NDArray[np.float64]:
    """W(exp(z)), Lambert's W without overflow."""
    from scipy.special import wrightomega  # half of the import time of this package

    omega: NDArray[np.float64] = np.asarray(wrightomega(np.asarray(z, dtype=float)))
    return omega


def _margins(value: NDArray[np.float64], kappa: float, r: float) -> NDArray[np.float64]:
    """Solves `x_i (1 - (1 - kappa) S_i) = r + kappa sum_j x_j S_j` for x = m / mu; `value` (n,) is what :func:`_value` says."""
    n = len(value)
    together = 1 + float(_omega(np.logaddexp.reduce(value) - 1))  # the common margin of joint monopoly
    if kappa == 1:
        return np.full(n, together if r > 0 else 0.0)

    def system(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        weights = value - x
        total = np.logaddexp(np.logaddexp.reduce(weights), 0.0)
        shares = np.exp(weights - total)
        z = x * shares
        slope = np.diag(shares - z) + np.outer(z, shares)  # d z_j / d x_l
        # The condition with 1 - S_i written as a sum of the other shares: nothing cancels where a firm has nearly all buyers.
        error = x * np.exp(-total) + (x[:, None] - kappa * x) @ shares - (1 - kappa) * z - r
        return error, np.eye(n) - (1 - kappa) * slope - kappa * slope.sum(0)

    def sweep(x: NDArray[np.float64]) -> NDArray[np.float64]:
        x = x.copy()
        for i in range(n):
            weights = np.delete(value - x, i)
            rest = np.logaddexp(np.logaddexp.reduce(weights), 0.0)
            base = r + kappa * float(np.exp(weights - rest) @ np.delete(x, i))
            x[i] = base + float(_omega(np.log(r) + value[i] - base - rest))
        return x

    step = np.inf
    for start in (np.full(n, r), np.full(n, together)):  # from below and from above
        x = sweep(start)
        for _ in range(MAX_STEPS):
            error, slope = system(x)
            nearer = sweep(x)  # always in the right direction; Newton's step is taken where it comes nearer
            try:
                newton = x - np.linalg.solve(slope, error)
            except np.linalg.LinAlgError:
                newton = nearer
            if np.abs(system(newton)[0]).max() <= np.abs(system(nearer)[0]).max():
                nearer = newton
            step = float(np.max(np.abs(nearer - x) / (1 + np.abs(nearer))))
            x = nearer
            if step <= TOLERANCE and np.max(np.abs(system(x)[0]) / (1 + x)) <= TOLERANCE:
                return x
    raise GameError(
        f"no equilibrium found in {MAX_STEPS} steps for kappa = {kappa:g}: the last step changed a margin by {step:.1e} "
        f"of itself; the market's values at cost, (a - c - a0) / mu, are {np.round(value, 3).tolist()}: a larger mu is easier"
    )
