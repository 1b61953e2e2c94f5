"""What agents answered to moral dilemmas, as a run's page shows it: approval and the social dilemma, beside theory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from markupsafe import Markup
from matplotlib.figure import Figure
from pydantic import Field

from moralfit.errors import RunError
from moralfit.report._evaluation import Panel, agent_styles
from moralfit.report._figures import MARKERS, WIDTH, Group, Line, forest
from moralfit.report._format import agent_labels, clean
from moralfit.report._load import Agent, Estimate, ShareEstimate, Stored, load_json
from moralfit.report._svg import INKS, quiet, svg

_Share = Annotated[float, Field(ge=-1e-9, le=1 + 1e-9)]
_Count = Annotated[int, Field(ge=0)]
_Level = int | str
_REMEDY = "run moralfit.dilemmas again to rewrite it"
#: What is drawn and tabulated, scales and forced choices together: what was replied, and what was read off the model.
_MEASURES = {"stated": "replies", "logits": "logits"}
#: The reading of one's own payoff by which theory is drawn: one knows the role that the prompt gives.
_STANDPOINT = "role known"
#: How bases that are told something look, after the first.
_TOLD = ("other-4", "other-5", "other-1", "other-2")


class DilemmaAgent(Agent):
    """Who answered, and the kappa that it was trained for or told."""

    kappa: float | None = None


class Approval(Stored):
    """How much one agent approves, by question, way of answering and level of a factor."""

    agent: str
    question: str
    measure: str
    factor: str | None = None
    level: _Level
    n: _Count
    answered: _Count
    approval: ShareEstimate | None = None


class Theory(Stored):
    """What theory answers."""

    kappa: _Share
    name: str
    standpoint: str
    question: str
    level: _Level
    approval: _Share | None = None


class Human(Stored):
    """What people answered."""

    question: str
    says: str
    source: str
    where: dict[str, _Level] = Field(default_factory=dict)
    value: _Share | None = None


class Gap(Stored):
    """The social dilemma: how much more an agent approves of others' doing it than of doing it itself."""

    agent: str
    measure: str
    gap: Estimate | None = None
    theory: dict[str, dict[str, float | None]] = Field(default_factory=dict)


class Outcome(Stored):
    """What replies were, by way of answering."""

    agent: str
    format: str
    n: _Count
    answered: _Share
    refused: _Share
    unparseable: _Share


class DilemmaFamily(Stored):
    """One kind of dilemma."""

    title: str
    act: str
    source: str
    model: str
    axis: str
    gradient: str
    levels: tuple[_Level, ...] = Field(min_length=1)
    main: dict[str, _Level] = Field(default_factory=dict)
    questions: dict[str, str]
    human: tuple[Human, ...] = ()
    theory: tuple[Theory, ...] = ()
    rows: tuple[Approval, ...]
    dilemma: tuple[Gap, ...] = ()
    outcomes: tuple[Outcome, ...] = ()


class DilemmaSummary(Stored):
    """`dilemmas/summary.json`; `notes` warn of what a reader must know before trusting the numbers."""

    format: Literal[1] = Field(alias="schema")
    settings: dict[str, Any]
    agents: tuple[DilemmaAgent, ...]
    families: dict[str, DilemmaFamily]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DilemmaLine:
    """One agent in the table, in replies or logits: approval of each question, the social dilemma, replies without answer."""

    agent: Agent
    by: str
    approvals: tuple[ShareEstimate | None, ...]
    gap: Estimate | None
    refused: float | None
    unparseable: float | None


@dataclass(frozen=True)
class DilemmaSection:
    """One kind of dilemma as the page shows it.

    Attributes:
        where: What the rows are about, such as "perspective: passenger". theory: Name, answers and gap of types of theory.
    """

    family: DilemmaFamily
    where: str
    panels: tuple[Panel, ...]
    lines: tuple[DilemmaLine, ...]
    theory: tuple[tuple[str, tuple[float | None, ...], float | None], ...]

    @property
    def human(self) -> list[tuple[str, list[Human]]]:
        """Findings about people by their source."""
        sources = dict.fromkeys(line.source for line in self.family.human)
        return [(source, [line for line in self.family.human if line.source == source]) for source in sources]


@dataclass(frozen=True)
class Dilemmas:
    """The section; `notes` are warnings above it."""

    labels: Mapping[str, str]
    styles: Mapping[str, str]
    sections: tuple[DilemmaSection, ...]
    theorists: tuple[float, ...]
    notes: tuple[str, ...] = ()


def dilemmas(folder: Path) -> Dilemmas | None:
    """What `dilemmas/summary.json` of a run folder says, or the one about it and other runs; None if there is neither.

    Raises:
        RunError: It is damaged; the message names the file.
    """
    own, compared = (folder / place / "summary.json" for place in ("dilemmas", "dilemmas-compared"))
    path = own if own.exists() else compared
    summary = load_json(path, DilemmaSummary, _REMEDY)
    if summary is None:
        return None
    known = {agent.key for agent in summary.agents}
    for key, family in summary.families.items():
        spoken = [row.agent for row in family.rows]
        spoken += [gap.agent for gap in family.dilemma] + [outcome.agent for outcome in family.outcomes]
        if unknown := [agent for agent in spoken if agent not in known]:
            raise RunError(f"{path}: damaged ({key} speaks of agent {unknown[0]!r}, which is not listed); {_REMEDY}")
    agents = sorted(summary.agents, key=lambda agent: {"base": 0, "prompted": 1}.get(agent.kind, 2))
    labels, styles = agent_labels(agents), agent_styles(agents)
    told = [agent.key for agent in agents if agent.kind == "prompted"]
    # Bases that are told different things would look the same.
    styles |= dict(zip(told[1:], _TOLD, strict=False))
    sections = tuple(
        _section(number, family, agents, labels, styles) for number, family in enumerate(summary.families.values(), 1)
    )
    return Dilemmas(labels, styles, sections, _kappas(agents), summary.notes)


def _kappas(agents: Sequence[DilemmaAgent]) -> tuple[float, ...]:
    """Whose answers theory gives: homo economicus, and homo moralis as the agents have it, or kantiensis."""
    own = {agent.kappa for agent in agents if agent.kappa}
    return (0.0, *sorted(own or {1.0}))


def _section(
    number: int,
    family: DilemmaFamily,
    agents: Sequence[DilemmaAgent],
    labels: Mapping[str, str],
    styles: Mapping[str, str],
) -> DilemmaSection:
    kappas = _kappas(agents)
    panels = []
    for place, (question, title) in enumerate(family.questions.items(), 1):
        drawing = _gradient(f"dilemma-{number}-{place}", family, question, agents, styles, kappas)
        panels.append(Panel(title[:1].upper() + title[1:], (drawing,)))
    gaps = {(line.agent, line.measure): line for line in family.dilemma if line.measure in _MEASURES}
    if gaps:
        panels.append(Panel("The social dilemma", (_gap_figure(number, family, agents, labels, styles, gaps),)))
    total = {(row.agent, row.question, row.measure): row for row in family.rows if row.factor is None}
    lines = []
    for agent in agents:
        outcomes = [outcome for outcome in family.outcomes if outcome.agent == agent.key]
        for measure, by in _MEASURES.items():
            found = [total.get((agent.key, question, measure)) for question in family.questions]
            gap = gaps.get((agent.key, measure))
            replied = outcomes if measure == "stated" else []
            lines.append(
                DilemmaLine(
                    agent,
                    by,
                    tuple(row.approval if row else None for row in found),
                    gap.gap if gap else None,
                    _weighted([(outcome.refused, outcome.n) for outcome in replied]),
                    _weighted([(outcome.unparseable, outcome.n) for outcome in replied]),
                )
            )
    where = ", ".join(f"{factor}: {level}" for factor, level in family.main.items())
    return DilemmaSection(family, where, tuple(panels), tuple(lines), _types(family, kappas, gaps))


def _weighted(shares: Sequence[tuple[float, int]]) -> float | None:
    count = sum(n for _, n in shares)
    return sum(share * n for share, n in shares) / count if count else None


def _types(
    family: DilemmaFamily, kappas: Sequence[float], gaps: Mapping[tuple[str, str], Gap]
) -> tuple[tuple[str, tuple[float | None, ...], float | None], ...]:
    """What theory answers over all that the totals are about."""
    found = []
    any_gap = next(iter(gaps.values()), None)
    for kappa in kappas:
        answers = [_answer(family, kappa, question, "all") for question in family.questions]
        name = next((line.name for line in family.theory if line.kappa == kappa), None)
        if name is not None:
            gap = any_gap.theory.get(f"{kappa:g}", {}).get(_STANDPOINT) if any_gap else None
            found.append((name, tuple(answers), gap))
    return tuple(found)


def _answer(family: DilemmaFamily, kappa: float, question: str, level: _Level) -> float | None:
    return next(
        (
            line.approval
            for line in family.theory
            if (line.kappa, line.question, line.level, line.standpoint) == (kappa, question, level, _STANDPOINT)
        ),
        None,
    )


def _gradient(
    slug: str,
    family: DilemmaFamily,
    question: str,
    agents: Sequence[Agent],
    styles: Mapping[str, str],
    kappas: Sequence[float],
) -> Markup:
    """Approval by the factor that figures have on their x axis: replies and, open, logits; theory as steps, people as stars."""
    height, places = 230, range(len(family.levels))
    with quiet():
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, facecolor="none")
        axes = figure.add_axes((44 / WIDTH, 44 / height, 1 - 58 / WIDTH, 1 - 56 / height), facecolor="none")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(INKS["muted"])
        axes.grid(axis="y", color=INKS["grid"], lw=1)
        axes.set_axisbelow(True)
        for kappa, dashes in zip(kappas, ((0, (2, 2)), *["-"] * len(kappas)), strict=False):
            found_answers = [_answer(family, kappa, question, level) for level in family.levels]
            answers = [answer for answer in found_answers if answer is not None]
            if len(answers) == len(found_answers):
                axes.step(places, answers, where="mid", color=INKS["ink"], lw=1.3, ls=dashes, zorder=1)
        found = {
            (row.agent, row.measure, row.level): row.approval
            for row in family.rows
            if (row.question, row.factor) == (question, family.gradient)
        }
        for number, agent in enumerate(agents):
            style = styles[agent.key]
            for measure in _MEASURES:
                stated = measure == "stated"
                shift = 0.13 * (number - (len(agents) - 1) / 2) + (-0.03 if stated else 0.03)
                estimates = [found.get((agent.key, measure, level)) for level in family.levels]
                for place, estimate in zip(places, estimates, strict=True):
                    if estimate is not None and estimate.low is not None and estimate.high is not None:
                        ends = (estimate.low, estimate.high)
                        axes.plot([place + shift] * 2, ends, color=INKS[style], lw=2 if stated else 1, alpha=0.5, zorder=2)
                if any(estimates):
                    values = [estimate.estimate if estimate else float("nan") for estimate in estimates]
                    face = INKS[style] if stated else INKS["paper"]
                    axes.plot(
                        [place + shift for place in places], values, MARKERS[style], color=INKS[style], mfc=face,
                        ls="-" if stated else "", lw=1, ms=6 if stated else 5, zorder=3,
                    )  # fmt: skip
        for line in family.human:
            at = line.where.get(family.gradient)
            if line.question == question and line.value is not None and at is not None and at in family.levels:
                place = family.levels.index(at)
                axes.plot(place, line.value, "*", color=INKS["ink"], mec=INKS["paper"], ms=14, mew=1, zorder=4)
        axes.set_ylim(-0.04, 1.04)
        axes.set_xlim(-0.5, len(family.levels) - 0.5)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25", "50", "75", "100%"])
        axes.set_xticks(places, [clean(str(level)) for level in family.levels], parse_math=False)
        axes.tick_params(colors=INKS["muted"], labelsize=11, length=3)
        axes.set_xlabel(clean(family.axis), size=12, color=INKS["muted"], parse_math=False)
        return svg(figure, slug, f"{family.title}: {family.questions[question]}, by {family.axis}")


def _gap_figure(
    number: int,
    family: DilemmaFamily,
    agents: Sequence[DilemmaAgent],
    labels: Mapping[str, str],
    styles: Mapping[str, str],
    gaps: Mapping[tuple[str, str], Gap],
) -> Markup:
    lines = []
    for agent in agents:
        known = [gaps.get((agent.key, measure)) for measure in _MEASURES]
        theory = None
        if known[0] is not None and agent.kappa is not None:
            theory = known[0].theory.get(f"{agent.kappa:g}", {}).get(_STANDPOINT)
        values = tuple(gap.gap if gap else None for gap in known)
        lines.append(Line(labels[agent.key], styles[agent.key], values, (theory,) * len(values), "no answers"))
    title = f"{family.title}: approval for others less for oneself"
    axis = "others should, less would oneself"
    return forest(f"dilemma-{number}-gap", title, [Group("", tuple(lines))], axis, "difference")
