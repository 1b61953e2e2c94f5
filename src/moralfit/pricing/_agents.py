"""Who sets prices: the interface between agents and experiments, and agents that follow a rule of one line.

A rule is one function and one line of `SCRIPTED`. It sees many runs at once, so that :func:`simulate` can play thousands of
them side by side; :meth:`ScriptedAgent.decide` asks the same function.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from moralfit.errors import GameError
from moralfit.pricing._benchmarks import benchmarks, best_reply
from moralfit.pricing._market import LogitMarket

Array = NDArray[np.float64]

#: Grim trigger forgives prices below joint monopoly by this part of the way to Nash: rounding is no betrayal.
GRIM_SLACK = 0.05
#: Random prices reach this part of the way from Nash to joint monopoly beyond both: the range of Calvano et al. (2020).
RANGE_SLACK = 0.1


@dataclass(frozen=True)
class Period:
    """What happened in one period of one run, as all firms saw it in hindsight; one entry for each firm, in money and units."""

    prices: tuple[float, ...]
    quantities: tuple[float, ...]
    profits: tuple[float, ...]


@dataclass(frozen=True)
class Decision:
    """What a firm decided.

    Attributes:
        price: In money.
        status: `answered`, `retried` or `fallback`; only language models are ever anything but `answered`.
        retries: How often the agent was asked again.
        reply: What a language model said, as it said it.
        plans: A note to itself, and
        insights: another.
        history_shown: Number of periods of history in the prompt.
        prompt_tokens: Length of the prompt.
    """

    price: float
    status: str = "answered"
    retries: int = 0
    reply: str | None = None
    plans: str = ""
    insights: str = ""
    history_shown: int | None = None
    prompt_tokens: int | None = None


@dataclass(frozen=True)
class View:
    """What one firm of one run knows when it decides.

    Attributes:
        run: Id of the run, unique in the experiment.
        firm: Which firm decides, 0 to n - 1.
        period: Number of the period, from 1.
        market: The market. Language models are not told it.
        ceiling: A price above which nobody buys, in money, as told to the firm.
        history: All earlier periods of the run, oldest first.
        notes: The (plans, insights) that the firm wrote last, empty at first.
        seed: Unique to experiment seed, run, firm and period: the source of all chance.
    """

    run: str
    firm: int
    period: int
    market: LogitMarket
    ceiling: float
    history: Sequence[Period]
    notes: tuple[str, str]
    seed: str


class PricingAgent(Protocol):
    """Sets prices.

    Attributes:
        key: Unique among the agents of an experiment.
        name: For tables and figures.
    """

    @property
    def key(self) -> str: ...

    @property
    def name(self) -> str: ...

    def decide(self, views: Sequence[View]) -> list[Decision]:
        """One decision for each view, in their order.

        A pure function of the views: an agent may remember what it computed, but one that is rebuilt and sees the same views
            decides the
        same. All firms and runs of an agent come in one call each period.
        """
        ...


@dataclass(frozen=True)
class Past:
    """What a rule knows of `runs` runs of the same market.

    Attributes:
        last: Prices of the last period, shape (runs, n), or None in the first period.
        lowest: The lowest price that each firm ever asked, shape (runs, n), or None in the first period.
        draws: One number in [0, 1) for each run, drawn anew each period. Shape (runs,).
    """

    last: Array | None
    lowest: Array | None
    draws: Array


#: (market, firm, past) -> the firm's price in each run, shape (runs,).
Rule = Callable[[LogitMarket, int, Past], Array]


def _nash(market: LogitMarket, firm: int, past: Past) -> Array:
    """Always the static Bertrand-Nash price."""
    return np.full(len(past.draws), benchmarks(market).nash.prices[firm])


def _monopoly(market: LogitMarket, firm: int, past: Past) -> Array:
    """Always the joint monopoly price."""
    return np.full(len(past.draws), benchmarks(market).monopoly.prices[firm])


def _best_reply(market: LogitMarket, firm: int, past: Past) -> Array:
    """The best reply to the others' last prices, joint monopoly at first: Cournot's adjustment, which leads to Nash."""
    return _monopoly(market, firm, past) if past.last is None else best_reply(market, firm, past.last)


def _grim_trigger(market: LogitMarket, firm: int, past: Past) -> Array:
    """Joint monopoly until anyone, itself included, has ever asked clearly less (`GRIM_SLACK`), then Nash for ever."""
    marks = benchmarks(market)
    price = _monopoly(market, firm, past)
    if past.lowest is None:
        return price
    monopoly, nash = np.array(marks.monopoly.prices), np.array(marks.nash.prices)
    betrayed = (past.lowest < monopoly - GRIM_SLACK * (monopoly - nash)).any(-1)
    return np.where(betrayed, nash[firm], price)


def _price_matching(market: LogitMarket, firm: int, past: Past) -> Array:
    """Tit-for-tat: joint monopoly at first, then the cheapest rival's last price, within own Nash and joint monopoly price."""
    if past.last is None:
        return _monopoly(market, firm, past)
    marks = benchmarks(market)
    cheapest = np.delete(past.last, firm, axis=-1).min(-1)
    return np.asarray(np.clip(cheapest, marks.nash.prices[firm], marks.monopoly.prices[firm]))


def _random(market: LogitMarket, firm: int, past: Past) -> Array:
    """Any price from a little below Nash to a little above joint monopoly (`RANGE_SLACK`), all equally likely."""
    marks = benchmarks(market)
    low, high = marks.nash.prices[firm], marks.monopoly.prices[firm]
    return low + (high - low) * (past.draws * (1 + 2 * RANGE_SLACK) - RANGE_SLACK)


#: Name of a rule, for recipes: its name for tables and the rule.
SCRIPTED: dict[str, tuple[str, Rule]] = {
    "nash": ("Nash price", _nash),
    "monopoly": ("joint monopoly price", _monopoly),
    "best-reply": ("best reply to last prices", _best_reply),
    "grim-trigger": ("grim trigger", _grim_trigger),
    "price-matching": ("tit-for-tat price matching", _price_matching),
    "random": ("random prices", _random),
}


@dataclass(frozen=True)
class ScriptedAgent:
    """Follows one of the rules of `SCRIPTED`, in any market.

    Args:
        rule: Its name in `SCRIPTED`.
        key: Unique in an experiment; the rule if left out.
        name: For tables and figures; the rule in words if left out.

    Raises:
        GameError: There is no such rule.
    """

    rule: str
    key: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if self.rule not in SCRIPTED:
            raise GameError(f"unknown scripted agent {self.rule!r}; choose one of {', '.join(SCRIPTED)}")
        object.__setattr__(self, "key", self.key or self.rule)
        object.__setattr__(self, "name", self.name or SCRIPTED[self.rule][0])

    def prices(self, market: LogitMarket, firm: int, past: Past) -> Array:
        """The firm's prices in many runs at once, shape (runs,), in money."""
        return SCRIPTED[self.rule][1](market, firm, past)

    def decide(self, views: Sequence[View]) -> list[Decision]:
        """One decision for each view; no price is above the ceiling that the firm was told."""
        groups = defaultdict(list)
        for position, view in enumerate(views):
            groups[view.market, view.firm, bool(view.history)].append(position)
        found: dict[int, float] = {}
        for (market, firm, has_history), positions in groups.items():
            draws = np.array([Random(f"{views[p].seed}/price").random() for p in positions])
            last = lowest = None
            if has_history:
                paths = [np.array([period.prices for period in views[p].history]) for p in positions]
                last, lowest = np.array([path[-1] for path in paths]), np.array([path.min(0) for path in paths])
            prices = self.prices(market, firm, Past(last, lowest, draws))
            found.update(zip(positions, prices.tolist(), strict=True))
        return [Decision(min(found[position], view.ceiling)) for position, view in enumerate(views)]


@dataclass(frozen=True)
class Paths:
    """What happened in many runs; arrays of shape (runs, periods, n), in money and units."""

    prices: Array
    quantities: Array
    profits: Array


def simulate(market: LogitMarket, agents: Sequence[ScriptedAgent], runs: int, periods: int, seed: int = 0) -> Paths:
    """Plays scripted agents against each other in many runs side by side.

    Args:
        agents: One for each firm.
        seed: Of the random rule's draws. They differ from those of :meth:`ScriptedAgent.decide`, which draws from the seed of
            each view.

    Raises:
        GameError: The number of agents is not that of firms, or runs or periods are below 1.
    """
    if len(agents) != market.n:
        raise GameError(f"agents has {len(agents)} entries for a market of {market.n} firms; give one for each firm")
    for what, number in (("runs", runs), ("periods", periods)):
        if number < 1:
            raise GameError(f"{what} must be at least 1, got {number}")
    rng = np.random.default_rng(seed)
    prices, quantities = np.empty((2, periods, runs, market.n))
    last = lowest = None
    for t in range(periods):
        draws = rng.random((market.n, runs))
        for i, agent in enumerate(agents):
            prices[t, :, i] = agent.prices(market, i, Past(last, lowest, draws[i]))
        last = prices[t]
        lowest = last if lowest is None else np.minimum(lowest, last)
        quantities[t] = market.quantities(last)
    profits = (prices - market.unit_costs) * quantities
    return Paths(*(np.swapaxes(values, 0, 1) for values in (prices, quantities, profits)))
