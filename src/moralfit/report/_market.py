"""What agents did in a market, as a run's page shows it: prices and profit gains by pairing, beside theory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from moralfit.report._evaluation import Panel, agent_styles
from moralfit.report._figures import Group, Line, Scale, forest
from moralfit.report._format import agent_labels, kappa_of
from moralfit.report._load import Agent
from moralfit.report._market_summary import ALL, MarketRow, MarketSummary, Marks, Pairing, Place, Span, load_market

_SPEAKING = ("base", "prompted", "adapter")
_OTHERS = ("random", "other-1", "other-2", "other-3", "other-4", "other-5")


@dataclass(frozen=True)
class MarketBlock:
    """One pairing in the table."""

    title: str
    rows: tuple[MarketRow, ...]


@dataclass(frozen=True)
class Market:
    """An experiment as the page shows it.

    Attributes:
        theory: Whether some pairing's agents share a stated preference, whose equilibrium is drawn.
    """

    summary: MarketSummary
    labels: Mapping[str, str]
    styles: Mapping[str, str]
    panels: tuple[Panel, ...]
    blocks: tuple[MarketBlock, ...]
    theory: bool

    def tuned(self, key: str) -> bool:
        """Whether an agent was fine-tuned."""
        return any(agent.key == key and agent.kind == "adapter" for agent in self.summary.agents)

    @property
    def references(self) -> list[tuple[str, float, float, float]]:
        """Homo moralis in equilibrium: name, price, profit and profit gain, from the lowest price to the highest."""
        marks = self.summary.benchmarks
        found = [("κ\xa0=\xa00: Nash", marks.nash), ("κ\xa0=\xa01: monopoly", marks.monopoly)]
        for kappa, universe in ((0.5, "firms"), (0.5, "firms+consumers"), (1.0, "firms+consumers")):
            who = "" if universe == "firms" else ", buyers too"
            if (place := moralis_at(marks, kappa, universe)) is not None:
                found.append((f"κ\xa0=\xa0{kappa:g}{who}", place))
        found.sort(key=lambda line: line[1].mean_price)
        return [(name, place.mean_price, place.mean_profit, _gain(place, marks)) for name, place in found]

    @property
    def converges(self) -> bool:
        """Whether there were periods enough to say of anybody's prices that they converge."""
        return any(row.converged.estimate is not None for block in self.blocks for row in block.rows)

    @property
    def columns(self) -> int:
        """Of the table."""
        return 8 + 2 * self.converges + 3 * self.speaks

    @property
    def speaks(self) -> bool:
        """Whether a language model decided anything."""
        return any(row.worded for block in self.blocks for row in block.rows)


def markets(folder: Path, agents: Iterable[Agent], styles: Mapping[str, str]) -> tuple[Market, ...]:
    """The experiments that a run's agents took part in, in the order of their names.

    Args:
        agents: Those that the rest of the page shows. styles: How it draws them; their like are drawn so here too.

    Raises:
        RunError: A summary is damaged; the message names the file.
    """
    paths = sorted(folder.glob("pricing/*/summary.json"))
    like = {(agent.kind, agent.preference): styles[agent.key] for agent in agents}
    return tuple(market(load_market(path), f"market-{number}", like) for number, path in enumerate(paths, 1))


def market(summary: MarketSummary, slug: str, like: Mapping[tuple[str, str | None], str] | None = None) -> Market:
    """What one experiment's section shows.

    Args:
        slug: Prefix of the identifiers of its drawings. like: How agents of a kind and preference are drawn elsewhere on the
            page.
    """
    labels = agent_labels(summary.agents)
    styles = market_styles(summary.agents, like or {})
    blocks, groups = [], {"price": list[Group](), "delta": list[Group]()}
    theory = False
    for pairing in summary.pairings:
        title = pairing_title(pairing, labels)
        rows = tuple(row for key in dict.fromkeys(pairing.agents) if (row := summary.total(pairing.key, key)) is not None)
        both = summary.total(pairing.key)
        if len(rows) > 1 and both is not None:
            rows = (*rows, both)
        blocks.append(MarketBlock(title, rows))
        place = _theory(pairing, summary)
        theory |= place is not None
        for name in groups:
            mark = None if place is None else place.mean_price if name == "price" else _gain(place, summary.benchmarks)
            lines = [
                Line(labels[row.agent], styles[row.agent], (getattr(row, name),), (mark,), getattr(row, name).reason)
                for row in rows
                if row.agent != ALL
            ]
            if lines:
                groups[name].append(Group(title, tuple(lines)))
    panels = []
    if groups["price"]:
        panels.append(Panel("Price", (_prices(summary, groups["price"], slug),)))
        panels.append(Panel("Profit gain Δ", (_gains(groups["delta"], slug),)))
    return Market(summary, labels, styles, tuple(panels), tuple(blocks), theory)


def pairing_title(pairing: Pairing, labels: Mapping[str, str]) -> str:
    """`base × tuned`; firms of the same agent are counted."""
    if len(set(pairing.agents)) == 1:
        label = labels[pairing.agents[0]]
        return f"{label} × itself" if len(pairing.agents) == 2 else f"{len(pairing.agents)} × {label}"
    return " × ".join(labels[key] for key in pairing.agents)


def market_styles(agents: Iterable[Agent], like: Mapping[tuple[str, str | None], str]) -> dict[str, str]:
    """Colour and marker for each agent's key; rules and learners have their own."""
    agents = list(agents)
    language = [agent for agent in agents if agent.kind in _SPEAKING]
    styles = agent_styles(language)
    known = {agent.key: like[agent.kind, agent.preference] for agent in language if (agent.kind, agent.preference) in like}
    # No two share a colour because one of them has it elsewhere.
    for key, style in known.items():
        other = next((other for other, taken in styles.items() if taken == style), key)
        styles[other], styles[key] = styles[key], style
    others = [agent for agent in agents if agent.key not in styles]
    return styles | {agent.key: _OTHERS[place % len(_OTHERS)] for place, agent in enumerate(others)}


def _theory(pairing: Pairing, summary: MarketSummary) -> Place | None:
    """The equilibrium among firms that have the preference which all agents of the pairing are said to have."""
    said = {agent.preference for agent in summary.agents if agent.key in pairing.agents}
    if len(said) != 1 or (name := said.pop()) is None or (kappa := kappa_of(name)) is None:
        return None
    return moralis_at(summary.benchmarks, kappa)


def moralis_at(marks: Marks, kappa: float, universe: str = "firms") -> Place | None:
    """The equilibrium for kappa, between the points that the summary holds."""
    points = sorted((point for point in marks.moralis if point.universe == universe), key=lambda point: point.kappa)
    for low, high in zip(points, points[1:] or points, strict=False):
        if low.kappa - 1e-9 <= kappa <= high.kappa + 1e-9:
            part = 0.0 if high.kappa == low.kappa else (kappa - low.kappa) / (high.kappa - low.kappa)
            return Place(price=_between(low.price, high.price, part), profit=_between(low.profit, high.profit, part))
    return None


def _between(low: Sequence[float], high: Sequence[float], part: float) -> tuple[float, ...]:
    return tuple(a + part * (b - a) for a, b in zip(low, high, strict=True))


def _gain(place: Place, marks: Marks) -> float:
    return (place.mean_profit - marks.nash.mean_profit) / (marks.monopoly.mean_profit - marks.nash.mean_profit)


def periods_words(span: Span, periods: int) -> str:
    """`the last 50 of 300 periods`; says so where an experiment is too short for the usual number."""
    if periods == 1:
        return "its one period"
    half = ", half of them" if span.length == max(1, (periods + 1) // 2) else ""
    which = f"the last {span.length} of" if span.length > 1 else "the last of"
    return f"{which} {periods:,} periods{half}"


def _known(groups: Sequence[Group]) -> list[float]:
    """Every number that is drawn."""
    bounds = [b for group in groups for line in group.lines for b in line.values if b is not None]
    return [value for b in bounds for value in (b.estimate, b.low, b.high) if value is not None]


def _prices(summary: MarketSummary, groups: Sequence[Group], slug: str) -> Markup:
    marks = summary.benchmarks
    cost, nash, monopoly = sum(marks.cost) / len(marks.cost), marks.nash.mean_price, marks.monopoly.mean_price
    gap, known = monopoly - nash, _known(groups)
    low = max(cost - gap, min([cost, *known]) - 0.1 * gap)
    high = min(monopoly + 7 * gap, max([monopoly + 0.35 * gap, *known]) + 0.1 * gap)
    # Where prices are far above monopoly, whole words would run into each other.
    names = ("cost", "Nash", "monopoly") if gap / (high - low) > 0.22 else ("", "N", "M")
    scale = Scale(low, high, (cost, nash, monopoly), names, False)
    axis = "mean price" + ("" if names[0] else "; N is Nash, M monopoly")
    return forest(f"{slug}-price", "Price at the end, by pairing", groups, axis, scale)


def _gains(groups: Sequence[Group], slug: str) -> Markup:
    known = _known(groups)
    low, high = max(-2.0, min([-0.25, *known])), min(2.0, max([1.25, *known]))
    scale = Scale(low, high, (0, 1), ("Nash 0", "monopoly 1"), True)
    return forest(f"{slug}-delta", "Profit gain, by pairing", groups, "profit gain Δ", scale)
