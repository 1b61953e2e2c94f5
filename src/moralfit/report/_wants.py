"""What each agent was estimated to want, side by side: drawings of kappa, alpha and beta, and a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from moralfit.estimate._diagnose import is_point
from moralfit.report._evaluation import Panel
from moralfit.report._figures import Group, Line, Scale, forest, weights_scale
from moralfit.report._format import number, pretty
from moralfit.report._load import Agent, Bounds, Summary, Want

_WEIGHTS = {
    "kappa": ("κ: what if everyone did this?", "weight on the universalised payoff"),
    "alpha": ("α: dislike of being behind", "points given up for one less behind"),
    "beta": ("β: dislike of being ahead", "points given up for one less ahead"),
}
_ALONE, _FULL = "homo moralis", "full"
_TITLES = {
    ("trained", "answers"): "Answers, games of the kind it was trained on",
    ("other", "answers"): "Answers, other games",
    ("trained", "probabilities"): "Option probabilities without reasoning",
    ("other", "probabilities"): "Option probabilities without reasoning, other games",
}
_NOTHING = Bounds()


@dataclass(frozen=True)
class WantLine:
    """One agent's estimates as the table prints them: each weight as (estimate, interval).

    Attributes:
        aim: What it was trained for or told. alone: Kappa with alpha = beta = 0. full: All three weights.
        remarks: Why there is no estimate, or what kind it is.
    """

    agent: Agent
    aim: str
    read: str
    alone: tuple[str, str]
    noise: str
    full: tuple[tuple[str, str], ...]
    remarks: str

    @property
    def nothing(self) -> bool:
        """Whether there is no estimate at all."""
        return not any(any(cell) for cell in (self.alone, *self.full))


@dataclass(frozen=True)
class WantBlock:
    """Lines that rest on the same kind of choices."""

    title: str
    lines: tuple[WantLine, ...]


@dataclass(frozen=True)
class Wants:
    """The section.

    Attributes:
        elicited: Whether beliefs are partly what agents said when asked; otherwise prompts state them all.
    """

    panels: tuple[Panel, ...]
    blocks: tuple[WantBlock, ...]
    elicited: bool


def wants(summary: Summary, labels: Mapping[str, str], styles: Mapping[str, str]) -> Wants | None:
    """The section's contents; None for evaluations from before there were estimates."""
    if not summary.estimates:
        return None
    elicited = any(want.beliefs == "elicited" for want in summary.estimates)
    used = [want for want in summary.estimates if want.beliefs == ("elicited" if elicited else "stated")]
    ranks = {"random": 0, "base": 1, "prompted": 2, "adapter": 4}
    agents = sorted(summary.agents, key=lambda agent: ranks.get(agent.kind, 3))
    known = {(want.agent, want.games, want.use, want.model): want for want in used}
    blocks = []
    for (games, use), title in _TITLES.items():
        lines = []
        for agent in agents:
            alone, full = (known.get((agent.key, games, use, model)) for model in (_ALONE, _FULL))
            if alone is not None and full is not None:
                lines.append(_line(agent, alone, full))
        if lines:
            blocks.append(WantBlock(title, tuple(lines)))
    trained = {(want.agent, want.model): want for want in used if (want.games, want.use) == ("trained", "answers")}
    shown = [agent for agent in agents if (agent.key, _FULL) in trained]
    drawn = [b for (key, _), want in trained.items() for b in want.weights.values() if any(a.key == key for a in shown)]
    scale = weights_scale([bounds for bounds in drawn if bounds != _NOTHING])
    panels = tuple(_panel(name, shown, trained, labels, styles, scale) for name in _WEIGHTS) if shown else ()
    return Wants(panels, tuple(blocks), elicited)


def _panel(
    name: str,
    agents: list[Agent],
    known: Mapping[tuple[str, str], Want],
    labels: Mapping[str, str],
    styles: Mapping[str, str],
    scale: Scale,
) -> Panel:
    """One weight of every agent: alone where it is kappa, then beside the other two."""
    lines = []
    for agent in agents:
        models = (_ALONE, _FULL) if name == "kappa" else (_FULL,)
        found = [known[agent.key, model].weights.get(name) if (agent.key, model) in known else None for model in models]
        values = tuple(found) if name == "kappa" else (None, found[0])
        aim = _aims(agent).get(name)
        theory = (aim, aim if name == "kappa" else None)
        lines.append(Line(labels[agent.key], styles[agent.key], values, theory, "no estimate"))
    title, axis = _WEIGHTS[name]
    return Panel(title, (forest(f"wants-{name}", title, [Group("", tuple(lines))], axis, scale),))


def _aims(agent: Agent) -> dict[str, float]:
    """The weights that an agent was trained for or told, as far as its preference's name says them."""
    if agent.preference is None:
        return {}
    words = agent.preference.replace("(", " ").replace(")", " ").replace(",", " ").split()
    found = dict.fromkeys(_WEIGHTS, 0.0)
    for name, equals, value in zip(words, words[1:], words[2:], strict=False):
        if name in found and equals == "=":
            try:
                found[name] = float(value)
            except ValueError:
                return {}
    return found


def _line(agent: Agent, alone: Want, full: Want) -> WantLine:
    remarks = dict.fromkeys(remark for remark in (alone.remark, full.remark) if remark)
    if len(remarks) > 1 or bool(alone.remark) != bool(full.remark):
        said = (("κ alone", alone.remark), ("all three free", full.remark))
        remarks = dict.fromkeys(f"{model}: {remark}" for model, remark in said if remark)
    noise = "–" if alone.noise is None or alone.noise.estimate is None else number(alone.noise.estimate)
    return WantLine(
        agent=agent,
        aim="–" if agent.preference is None else pretty(agent.preference),
        read=f"{alone.read:,} of {alone.prompts:,}",
        alone=_cells(alone.weights.get("kappa")),
        noise=noise,
        full=tuple(_cells(full.weights.get(name)) for name in _WEIGHTS),
        remarks="; ".join(remarks),
    )


def _cells(bounds: Bounds | None) -> tuple[str, str]:
    if bounds is None or bounds == _NOTHING:
        return "", ""
    low, high = ("any" if end is None else number(end) for end in (bounds.low, bounds.high))
    if bounds.estimate is None and is_point(bounds.low, bounds.high):
        return "", f"only {low}"
    if bounds.estimate is None:
        return "", f"{low} to {high}"
    return number(bounds.estimate), "" if bounds.low is None else f"{low} to {high}"
