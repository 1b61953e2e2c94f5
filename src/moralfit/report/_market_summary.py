"""The summaries that pricing experiments leave, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from moralfit.errors import RunError
from moralfit.report._load import Agent, Bounds, ShareEstimate, Stored, load_json

_Share = Annotated[float, Field(ge=-1e-9, le=1 + 1e-9)]
_Count = Annotated[int, Field(ge=0)]
ALL = "all"
REMEDY = "run the experiment's command again to rewrite it"


class Measure(Bounds):
    """A mean over runs with its 95% interval, or the reason why there is none."""

    reason: str = ""


class ShareMeasure(ShareEstimate):
    """A share of runs, or the reason why there is none."""

    estimate: _Share | None = None  # type: ignore[assignment]
    reason: str = ""


class Place(Stored):
    """A point of reference: price and profit of each firm at scale 1."""

    price: tuple[float, ...]
    profit: tuple[float, ...]

    @property
    def mean_price(self) -> float:
        """Over firms."""
        return sum(self.price) / len(self.price)

    @property
    def mean_profit(self) -> float:
        """Over firms."""
        return sum(self.profit) / len(self.profit)


class Moralis(Place):
    """The equilibrium of homo moralis for one kappa and one idea of who everyone is."""

    universe: str
    kappa: _Share


class Marks(Stored):
    """Reference points at scale 1."""

    cost: tuple[float, ...]
    nash: Place
    monopoly: Place
    moralis: tuple[Moralis, ...] = ()


class Pairing(Stored):
    """Who met whom."""

    key: str
    agents: tuple[str, ...]


class MarketRow(Stored):
    """What one agent of a pairing (or all firms) did in one cell of the design (or all runs)."""

    pairing: str
    agent: str
    scale: float | Literal["all"]
    wording: str
    runs: _Count
    price: Measure
    profit: Measure
    index: Measure
    delta: Measure
    surplus: Measure | None = None
    converged: ShareMeasure
    decisions: _Count = 0
    worded: _Count = 0
    retried: _Share | None = None
    fallback: _Share | None = None
    shortened: _Share | None = None
    tokens: float | None = None

    @property
    def total(self) -> bool:
        """Whether all runs of the pairing count."""
        return self.scale == ALL and self.wording == ALL


class MarketRun(Stored):
    """One run: by firm, mean price and profit at its end at scale 1."""

    run: str
    pairing: str
    scale: float
    wording: str
    price: tuple[float, ...]
    profit: tuple[float, ...]


class Test(Stored):
    """Welch's test between two pairings."""

    measure: str
    first: str
    second: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    statistic: float | None = None
    df: float | None = None
    p: _Share | None = None
    p_holm: _Share | None = None
    reason: str = ""


class Slope(Measure):
    """A coefficient with its clustered standard error."""

    se: float | None = None
    p: _Share | None = None


class Reaction(Stored):
    """A firm's price on lagged prices, in levels or differences."""

    pairing: str
    agent: str
    form: str
    runs: _Count
    n: _Count
    own: Slope
    rival: Slope


class Span(Stored):
    """From one period to another, both counted."""

    first: Annotated[int, Field(ge=1)]
    last: Annotated[int, Field(ge=1)]

    @property
    def length(self) -> int:
        """In periods."""
        return self.last - self.first + 1


class Quiet(Span):
    """Over which periods, and how closely, prices must stay together to count as converged."""

    near: float
    least: int


class MarketSummary(Stored):
    """`summary.json` of a pricing experiment; `notes` warn of what a reader must know before trusting the numbers."""

    format: Literal[1] = Field(alias="schema")
    experiment: str
    periods: Annotated[int, Field(ge=1)]
    planned: int | None = None
    window: Span
    convergence: Quiet
    market: dict[str, Any]
    benchmarks: Marks
    agents: tuple[Agent, ...]
    pairings: tuple[Pairing, ...]
    rows: tuple[MarketRow, ...]
    tests: tuple[Test, ...] = ()
    regressions: tuple[Reaction, ...] = ()
    runs: tuple[MarketRun, ...] = ()
    notes: tuple[str, ...] = ()

    def total(self, pairing: str, agent: str = ALL) -> MarketRow | None:
        """All runs of a pairing."""
        return next((row for row in self.rows if (row.pairing, row.agent) == (pairing, agent) and row.total), None)


def load_market(path: Path) -> MarketSummary:
    """Reads the summary of an experiment.

    Raises:
        RunError: It is missing, or damaged; the message names the file.
    """
    summary = load_json(path, MarketSummary, REMEDY)
    if summary is None:
        raise RunError(f"{path}: not there; {REMEDY}")
    known = {agent.key for agent in summary.agents}
    pairings = {pairing.key: pairing for pairing in summary.pairings}
    firms = len(summary.benchmarks.cost)
    problems = [f"pairing {p.key!r} has an agent that is not listed" for p in summary.pairings if not set(p.agents) <= known]
    problems += [f"pairing {p.key!r} does not have {firms} firms" for p in summary.pairings if len(p.agents) != firms]
    spoken = [(row.pairing, row.agent) for row in summary.rows]
    spoken += [(found.pairing, found.agent) for found in summary.regressions] + [(run.pairing, ALL) for run in summary.runs]
    for key, agent in spoken:
        if key not in pairings:
            problems.append(f"a row speaks of pairing {key!r}, which is not listed")
        elif agent not in (ALL, *pairings[key].agents):
            problems.append(f"a row of pairing {key!r} speaks of agent {agent!r}, which is not in it")
    if any(not len(run.price) == len(run.profit) == firms for run in summary.runs):
        problems.append("a run lacks the price or profit of some firm")
    if problems:
        raise RunError(f"{path}: damaged ({problems[0]}); {REMEDY}")
    return summary
