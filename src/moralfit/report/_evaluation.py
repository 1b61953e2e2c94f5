"""From the rows of an evaluation to what the page shows of it: the headline, the figures and the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Literal

from markupsafe import Markup

from moralfit.report._figures import Group, Line, forest, ladder
from moralfit.report._format import decision_title, first_action, game_title, interval, percent, split_title
from moralfit.report._load import Agent, Estimate, Record, Row, Summary

_ALL = "all"
#: The part of the evaluation with games that no agent is trained on.
_TRANSFER = "games"
#: How many of its families one drawing holds.
_FAMILIES = 4
_Measure = Literal["agreement", "cooperation", "sensitivity"]
_AXES: dict[_Measure, str] = {
    "agreement": "agreement with the solver",
    "cooperation": "share taking this action",
    "sensitivity": "sensitivity to theory",
}


@dataclass(frozen=True)
class Panel:
    """Drawings under one title."""

    title: str
    figures: tuple[Markup, ...]
    note: str = ""


@dataclass(frozen=True)
class Change:
    """One adapter's agreement on one part of the evaluation, against the base model's.

    Attributes:
        verb: `up from`, `down from`, or what is honest where the intervals overlap or are missing.
    """

    split: str
    tuned: Estimate
    base: Estimate | None
    verb: str


@dataclass(frozen=True)
class Block:
    """Rows of a table that belong together: all agents at one decision on one part of the evaluation."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Judged:
    """Everything that the solver of one preference judged.

    Args:
        number: Tells the drawings of one preference from those of another.
        name: The preference. rows: Its rows. agents: From what knows nothing to what was taught.
        labels: What agents are called. styles: Their colours and markers.
        firsts: The tree's first action at each game's decisions, as far as it is on record.
    """

    number: int
    name: str
    rows: tuple[Row, ...]
    agents: tuple[Agent, ...]
    labels: Mapping[str, str]
    styles: Mapping[str, str]
    firsts: Mapping[tuple[str, str], str]

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """Parts of the evaluation in the order of the rows."""
        return tuple(dict.fromkeys(row.split for row in self.rows))

    @cached_property
    def _decisions(self) -> dict[str, list[str]]:
        """Games and their decisions in the order of the rows, without the totals over all games."""
        found: dict[str, dict[str, None]] = {}
        for row in self.rows:
            if row.game != _ALL:
                found.setdefault(row.game, {})[row.decision] = None
        return {game: list(decisions) for game, decisions in found.items()}

    @cached_property
    def _families(self) -> tuple[str, ...]:
        """The games of the transfer test."""
        return tuple(dict.fromkeys(row.game for row in self.rows if row.split == _TRANSFER and row.game != _ALL))

    @cached_property
    def _table(self) -> dict[tuple[str, str, str, str], Row]:
        return {(row.agent, row.split, row.game, row.decision): row for row in self.rows}

    def total(self, agent: Agent, split: str) -> Row | None:
        """The row over all games and decisions."""
        return self._table.get((agent.key, split, _ALL, _ALL))

    @cached_property
    def changes(self) -> tuple[tuple[str, tuple[Change, ...]], ...]:
        """For each adapter trained on this preference, its label and what training changed."""
        base = next((agent for agent in self.agents if agent.kind == "base"), None)
        found = []
        for agent in self.agents:
            if agent.kind == "adapter" and agent.preference in (self.name, None):
                changes = []
                for split in self.splits:
                    tuned, before = self.total(agent, split), self.total(base, split) if base else None
                    if tuned is not None and tuned.agreement is not None:
                        changes.append(_change(split, tuned.agreement, before.agreement if before else None))
                if changes:
                    found.append((self.labels[agent.key], tuple(changes)))
        return tuple(found)

    @cached_property
    def unread(self) -> tuple[tuple[str, float], ...]:
        """For each model, the share of decisions on the first part that no choice could be read from."""
        found = []
        for agent in self.agents:
            row = self.total(agent, self.splits[0])
            if agent.kind != "random" and row is not None and (row.invalid is not None or row.refused is not None):
                found.append((self.labels[agent.key], (row.invalid or 0) + (row.refused or 0)))
        return tuple(found)

    @cached_property
    def ladders(self) -> tuple[Panel, ...]:
        """Agreement of each agent on each part, and the probability of the optimal option on the first."""
        panels = []
        for place, split in enumerate(self.splits):
            rows = [(agent, row) for agent in self.agents if (row := self.total(agent, split)) is not None]
            note = _size({(row.n, row.clusters) for _, row in rows})
            agreements = [(agent, row.agreement) for agent, row in rows]
            panels.append(self._ladder(f"agreement-{place}", split_title(split), agreements, note))
        first = [(agent, row.probability) for agent in self.agents if (row := self.total(agent, self.splits[0])) is not None]
        note = f"probability of the optimal option, {split_title(self.splits[0]).lower()}"
        panels.append(self._ladder("probability", "At once, without reasoning", first, note))
        return tuple(panel for panel in panels if panel.figures)

    def _ladder(self, slug: str, title: str, estimates: Iterable[tuple[Agent, Estimate | None]], note: str) -> Panel:
        rungs = []
        for agent, estimate in estimates:
            if estimate is not None:
                bounds = interval(estimate)
                value = percent(estimate.estimate) + (f" ({bounds})" if bounds else "")
                rungs.append((self.labels[agent.key], self.styles[agent.key], estimate, value))
        return Panel(title, (ladder(f"p{self.number}-all-{slug}", title, rungs),) if rungs else (), note)

    @cached_property
    def games(self) -> tuple[Panel, ...]:
        """For each game, agreement above and the first action's share below."""
        panels = []
        for game in self._trained:
            figures = (self._forest(game, "agreement"), self._forest(game, "cooperation"))
            panels.append(Panel(game_title(game), tuple(figure for figure in figures if figure is not None)))
        return tuple(panel for panel in panels if panel.figures)

    @cached_property
    def sensitivities(self) -> tuple[Panel, ...]:
        """For each game, how far choices follow theory."""
        drawn = [(game, self._forest(game, "sensitivity")) for game in self._trained]
        return tuple(Panel(game_title(game), (figure,)) for game, figure in drawn if figure is not None)

    @cached_property
    def _trained(self) -> tuple[str, ...]:
        """The games that agents are trained on."""
        return tuple(game for game in self._decisions if game not in self._families)

    @cached_property
    def transfer(self) -> tuple[Markup, ...]:
        """Agreement in the games that no agent is trained on, some of them in each drawing."""
        figures = []
        for start in range(0, len(self._families), _FAMILIES):
            groups = []
            for game in self._families[start : start + _FAMILIES]:
                rows = [(agent, self._table.get((agent.key, _TRANSFER, game, _ALL))) for agent in self.agents]
                lines = [Line(self.labels[a.key], self.styles[a.key], (row.agreement,)) for a, row in rows if row is not None]
                count = max(row.n for _, row in rows if row is not None)
                groups.append(Group(f"{game_title(game)} ({count})", tuple(lines)))
            title = f"Other games: {_AXES['agreement']}"
            figures.append(forest(f"p{self.number}-transfer-{start}", title, groups, _AXES["agreement"], "share"))
        return tuple(figures)

    def _forest(self, game: str, measure: _Measure) -> Markup | None:
        groups = []
        for decision in self._decisions[game]:
            alone = self._decisions[game] == [_ALL]
            if decision == _ALL and not (alone and measure == "agreement"):
                continue
            lines = tuple(self._lines(game, decision, measure))
            if any(any(line.values) for line in lines):
                action = "" if measure == "agreement" else first_action(game, self.firsts.get((game, decision)))
                groups.append(Group(decision_title(decision) + (f": {action}" if action else ""), lines))
        if not groups:
            return None
        scale: Literal["share", "difference"] = "difference" if measure == "sensitivity" else "share"
        slug = f"p{self.number}-{measure}-{list(self._decisions).index(game)}"
        return forest(slug, f"{game_title(game)}: {_AXES[measure]}", groups, _AXES[measure], scale)

    def _lines(self, game: str, decision: str, measure: _Measure) -> Iterable[Line]:
        for agent in self.agents:
            splits = [split for split in self.splits if split != _TRANSFER]
            cells = [self._table.get((agent.key, split, game, decision)) for split in splits]
            if any(cells):
                values = tuple(getattr(cell, measure) if cell else None for cell in cells)
                theory = tuple(cell.optimal_cooperation if cell else None for cell in cells)
                theory = theory if measure == "cooperation" else ()
                yield Line(self.labels[agent.key], self.styles[agent.key], values, theory)

    @cached_property
    def overall(self) -> tuple[Block, ...]:
        """The totals, part by part."""
        return self._blocks([row for row in self.rows if row.game == row.decision == _ALL])

    @cached_property
    def details(self) -> tuple[tuple[str, tuple[Block, ...]], ...]:
        """For each game, everything else."""
        return tuple((game, self._blocks([row for row in self.rows if row.game == game])) for game in self._decisions)

    def _blocks(self, rows: list[Row]) -> tuple[Block, ...]:
        order = [agent.key for agent in self.agents]
        decisions = list(dict.fromkeys(row.decision for row in rows))

        def place(row: Row) -> tuple[int, int]:
            return decisions.index(row.decision), self.splits.index(row.split)

        blocks = []
        for _, group in groupby(sorted(rows, key=lambda row: (*place(row), order.index(row.agent))), key=place):
            block = tuple(group)
            title = split_title(block[0].split)
            if block[0].game != _ALL:
                title = f"{decision_title(block[0].decision)}, {title.lower()}"
            blocks.append(Block(title, block))
        return tuple(blocks)


@dataclass(frozen=True)
class Crossed:
    """Agreement of every agent with every preference on one part of the evaluation."""

    split: str
    lines: tuple[tuple[Agent, tuple[Estimate | None, ...]], ...]


@dataclass(frozen=True)
class Evaluation:
    """What was judged, by each preference and across them."""

    targets: tuple[Judged, ...]
    splits: tuple[str, ...]
    crossed: tuple[Crossed, ...]


def evaluation(
    summary: Summary, records: Iterable[Record], labels: Mapping[str, str], styles: Mapping[str, str]
) -> Evaluation | None:
    """Sorts the rows of a summary by the preference that judged; None if there are none."""
    if not summary.rows:
        return None
    ranks = {"random": 0, "base": 1, "prompted": 2, "adapter": 4}
    agents = tuple(sorted(summary.agents, key=lambda agent: ranks.get(agent.kind, 3)))
    firsts = {(record.game, record.decision): record.actions[0] for record in records if record.actions}
    names = tuple(dict.fromkeys(row.target for row in summary.rows))
    targets = []
    for number, name in enumerate(names, 1):
        rows = tuple(row for row in summary.rows if row.target == name)
        playing = tuple(agent for agent in agents if any(row.agent == agent.key for row in rows))
        targets.append(Judged(number, name, rows, playing, labels, styles, firsts))
    splits = tuple(dict.fromkeys(row.split for row in summary.rows))
    crossed = _crossed(summary, agents, names, splits) if len(names) > 1 else ()
    return Evaluation(tuple(targets), splits, crossed)


def agent_styles(agents: Iterable[Agent]) -> dict[str, str]:
    """Colour and marker for each agent's key; from the fifth adapter on they come round again."""
    styles, adapters = {}, 0
    for agent in agents:
        if agent.kind == "adapter":
            styles[agent.key] = f"adapter-{adapters % 4 + 1}"
            adapters += 1
        else:
            styles[agent.key] = agent.kind if agent.kind in ("base", "prompted", "random") else "random"
    return styles


def _change(split: str, tuned: Estimate, base: Estimate | None) -> Change:
    verb = "against"
    if base is not None and tuned.low is not None and tuned.high is not None and base.low is not None and base.high is not None:
        verb = "up from" if tuned.low > base.high else "down from" if tuned.high < base.low else "no clear change from"
    return Change(split, tuned, base, verb)


def _size(sizes: set[tuple[int, int | None]]) -> str:
    """How much was measured, if it was the same for all."""
    if len(sizes) != 1:
        return ""
    n, clusters = sizes.pop()
    return f"{n:,} decisions" + (f" from {clusters:,} prompts" if clusters is not None else "")


def _crossed(
    summary: Summary, agents: tuple[Agent, ...], targets: tuple[str, ...], splits: tuple[str, ...]
) -> tuple[Crossed, ...]:
    totals = {(r.split, r.agent, r.target): r.agreement for r in summary.rows if r.game == r.decision == _ALL}
    found = []
    for split in splits:
        lines = [(agent, tuple(totals.get((split, agent.key, target)) for target in targets)) for agent in agents]
        found.append(Crossed(split, tuple((agent, cells) for agent, cells in lines if any(cells))))
    return tuple(crossed for crossed in found if crossed.lines)
