"""Figures as inline SVG: drawn by matplotlib, coloured by the page's style sheet, so that they follow light and dark.

Every panel is 360 pixels wide, which a phone shows at full size; the page sets panels side by side where there is room.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite
from typing import Literal, Protocol

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from moralfit.report._format import clean, number
from moralfit.report._load import Estimate
from moralfit.report._svg import INKS, quiet, svg

WIDTH = 360
_LABELS = 128
_RIGHT = 14
_AXIS = 40
_HEADING = 24
_AGENT = 27
_GAP = 8

MARKERS = {"base": "o", "prompted": "^", "random": "s", "adapter-1": "D", "adapter-2": "v", "adapter-3": "p", "adapter-4": "h"}
MARKERS |= {"other-1": "X", "other-2": "P", "other-3": "*", "other-4": "<", "other-5": ">"}


class Interval(Protocol):
    """What a mark is drawn from. Without an estimate, a set of values that are all as good."""

    @property
    def estimate(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


@dataclass(frozen=True)
class Scale:
    """A horizontal axis: its ends, its ticks with their names, and whether zero stands out."""

    low: float
    high: float
    ticks: tuple[float, ...]
    names: tuple[str, ...]
    zero: bool


SCALES = {
    "share": Scale(0.0, 1.0, (0, 0.25, 0.5, 0.75, 1), ("0%", "25", "50", "75", "100%"), False),
    "difference": Scale(-1.0, 1.0, (-1, -0.5, 0, 0.5, 1), ("−1", "−0.5", "0", "+0.5", "+1"), True),
}


def weights_scale(bounds: Sequence[Interval]) -> Scale:
    """An axis in steps of a half on which these stand, at least from 0 to 1 and at most from -2 to 3."""
    known = [value for one in bounds for value in (one.estimate, one.low, one.high) if value is not None]
    low = max(-2.0, min(0.0, *(floor(2 * value) / 2 for value in known)) if known else 0.0)
    high = min(3.0, max(1.0, *(ceil(2 * value) / 2 for value in known)) if known else 1.0)
    step = 0.5 if high - low <= 2 else 1.0
    ticks = tuple(step * n for n in range(ceil(low / step), int(high / step) + 1))
    return Scale(low, high, ticks, tuple(number(tick).removesuffix("0").removesuffix(".0") for tick in ticks), True)


@dataclass(frozen=True)
class Line:
    """One agent within a group of a forest plot.

    Attributes:
        style: Its colour and marker, a key of the palette.
        values: One estimate for each part of the evaluation.
        theory: What the solver does on the same decisions, in the same order.
        empty: What is said where there are no estimates.
    """

    label: str
    style: str
    values: tuple[Interval | None, ...]
    theory: tuple[float | None, ...] = ()
    empty: str = "no choices to count"


@dataclass(frozen=True)
class Group:
    """The agents at one decision."""

    heading: str
    lines: tuple[Line, ...]


def forest(slug: str, title: str, groups: Sequence[Group], axis: str, scale: Literal["share", "difference"] | Scale) -> Markup:
    """Estimates with intervals, one line for each agent and part of the evaluation (filled, then open markers).

    Args:
        slug: Prefix of the identifiers within the drawing, unique on its page. title: Its text alternative.
        axis: What the horizontal axis counts. scale: Its ends and ticks.
    """
    on = SCALES[scale] if isinstance(scale, str) else scale
    heights = [_HEADING if group.heading else 0 for group in groups]
    height = sum(heights) + sum(_AGENT * len(group.lines) + _GAP for group in groups) + _AXIS
    with quiet():
        figure, axes = _axes(height)
        axes.set_xlim(on.low, on.high)
        top = 0.0
        for group, heading in zip(groups, heights, strict=True):
            if heading:
                _text(axes, 0, top + heading / 2, group.heading, size=12, weight="bold")
            top += heading
            for tick in on.ticks:
                strong = on.zero and tick == 0
                colour = INKS["muted" if strong else "grid"]
                _stroke(axes, (tick, tick), (top, top + _AGENT * len(group.lines)), colour, 1)
            for line in group.lines:
                _draw_line(axes, line, top + _AGENT / 2, on)
                top += _AGENT
            top += _GAP
        _bottom_axis(axes, on.ticks, on.names, axis, top)
        return svg(figure, slug, title)


def ladder(slug: str, title: str, lines: Sequence[tuple[str, str, Estimate, str]]) -> Markup:
    """Each agent's label and value above its estimate on a full-width scale from 0 to 100%.

    Args:
        lines: (label, style, estimate, value as text) from top to bottom.
    """
    row = 44
    height = row * len(lines) + 24
    with quiet():
        figure, axes = _axes(height, left=4, right=4)
        axes.set_xlim(-0.012, 1.012)
        end = row * len(lines)
        for tick in (0, 0.25, 0.5, 0.75, 1):
            _stroke(axes, (tick, tick), (22, end), INKS["grid"], 1)
            align: Literal["left", "center", "right"] = "left" if tick == 0 else "right" if tick == 1 else "center"
            axes.text(tick, end + 14, f"{100 * tick:.0f}%", size=11, color=INKS["muted"], ha=align, va="center_baseline")
        for place, (label, style, estimate, value) in enumerate(lines):
            top = place * row
            weight = "bold" if style.startswith("adapter") else "normal"
            text = label if len(label) <= 30 else f"{label[:29]}…"
            _text(axes, 4, top + 12, text, size=13 if len(label) <= 24 else 12, weight=weight)
            _text(axes, WIDTH - 4, top + 12, value, size=13, weight=weight, ha="right")
            _stroke(axes, (0, 1), (top + 31, top + 31), INKS["grid"], 1)
            _mark(axes, estimate, top + 31, style, SCALES["share"], filled=True, size=9, width=5)
        return svg(figure, slug, title)


def curve(slug: str, title: str, steps: Sequence[int], values: Sequence[float], scale: str, style: str = "adapter-1") -> Markup:
    """A training log: the logged values, and their running mean where there are enough to smooth."""
    height = 230
    with quiet():
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, facecolor="none")
        axes = figure.add_axes((52 / WIDTH, 44 / height, 1 - 66 / WIDTH, 1 - 58 / height), facecolor="none")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(INKS["muted"])
        axes.tick_params(colors=INKS["muted"], labelsize=11, length=3)
        axes.grid(axis="y", color=INKS["grid"], lw=1)
        axes.set_axisbelow(True)
        colour = INKS[style]
        smooth = scale != "rate" and len(values) >= 40
        axes.plot(steps, values, color=colour, lw=1 if smooth else 2, alpha=0.4 if smooth else 1)
        if smooth:
            axes.plot(steps, _running_mean(values, 4), color=colour, lw=2.2)
        finite = [value for value in values if isfinite(value)]
        if scale == "accuracy":
            axes.set_ylim(min([0.5, *finite]) - 0.02, 1.01)
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
        else:
            axes.set_ylim(0, 1.06 * max([*finite, 1e-12]))
            if scale == "rate":
                axes.yaxis.set_major_formatter(lambda value, _: f"{value:.2g}".replace("e-0", "e-"))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel("step", size=12, color=INKS["muted"])
        return svg(figure, slug, title)


def _running_mean(values: Sequence[float], reach: int) -> list[float]:
    """Means over as many values before as after, so that the ends of a steep curve are not pulled inwards."""
    means = []
    for place in range(len(values)):
        half = min(reach, place, len(values) - 1 - place)
        near = [value for value in values[place - half : place + half + 1] if isfinite(value)]
        means.append(sum(near) / len(near) if near else float("nan"))
    return means


def _axes(height: int, left: int = _LABELS, right: int = _RIGHT) -> tuple[Figure, Axes]:
    """A figure whose vertical data coordinates are pixels from the top."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, facecolor="none")
    axes = figure.add_axes((left / WIDTH, 0, 1 - (left + right) / WIDTH, 1), facecolor="none")
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    return figure, axes


def _text(
    axes: Axes, x: float, y: float, text: str, size: float, weight: str = "normal", ha: Literal["left", "right"] = "left"
) -> None:
    """Text at pixel x of the figure and y of the axes."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    place = blended_transform_factory(figure.transFigure, axes.transData)
    axes.text(
        x / WIDTH,
        y,
        clean(text),
        size=size,
        weight=weight,
        color=INKS["ink"],
        ha=ha,
        va="center_baseline",
        transform=place,
        parse_math=False,
        linespacing=1.0,
    )


def _draw_line(axes: Axes, line: Line, middle: float, on: Scale) -> None:
    words = textwrap.wrap(line.label, 16, max_lines=2, placeholder="…")
    weight = "bold" if line.style.startswith("adapter") else "normal"
    size = 12 if len(line.label) <= 14 else 11
    for row, text in enumerate(words):
        _text(axes, 8, middle + 12 * (row - (len(words) - 1) / 2), text, size=size, weight=weight)
    parts = len(line.values)
    for part, estimate in enumerate(line.values):
        y = middle + 10 * (part - (parts - 1) / 2)
        if part < len(line.theory) and (optimal := line.theory[part]) is not None:
            _stroke(axes, (optimal, optimal), (y - 4.6, y + 4.6), INKS["ink"], 2.4, zorder=3)
        if estimate is not None:
            _mark(axes, estimate, y, line.style, on, filled=part == 0, size=6.4, width=2.2)
    if not any(line.values):
        centre = (on.low + on.high) / 2
        # On paper of its own, since theory may stand where the words do.
        paper = {"facecolor": INKS["paper"], "edgecolor": "none", "pad": 1.5}
        axes.text(
            centre,
            middle,
            clean(line.empty),
            size=11,
            color=INKS["muted"],
            ha="center",
            va="center_baseline",
            bbox=paper,
            zorder=5,
        )


def _mark(axes: Axes, estimate: Interval, y: float, style: str, on: Scale, *, filled: bool, size: float, width: float) -> None:
    """An estimate on its interval; an interval that leaves the axis ends in an arrow, a set without an estimate in bars."""
    colour = INKS[style]

    def inside(value: float) -> float:
        return min(max(value, on.low), on.high)

    if (estimate.low is not None and estimate.high is not None) or estimate.estimate is None:
        low = on.low - 1 if estimate.low is None else estimate.low
        high = on.high + 1 if estimate.high is None else estimate.high
        _stroke(axes, (inside(low), inside(high)), (y, y), colour, width, zorder=2, alpha=0.55)
        for end, beyond, arrow in ((low, low < on.low - 1e-6, "<"), (high, high > on.high + 1e-6, ">")):
            if beyond or estimate.estimate is None:
                cap = arrow if beyond else "|"
                _add(axes, Line2D([inside(end)], [y], color=colour, marker=cap, ms=5, mew=1.6, mfc=colour, zorder=3))
    if estimate.estimate is None or (on.zero and not on.low <= estimate.estimate <= on.high):
        return
    face = colour if filled else INKS["paper"]
    marker = Line2D([inside(estimate.estimate)], [y], color=colour, marker=MARKERS[style], ms=size, mew=1.6, mfc=face, zorder=4)
    _add(axes, marker)


def _stroke(
    axes: Axes,
    x: tuple[float, float],
    y: tuple[float, float],
    colour: str,
    width: float,
    zorder: float = 0,
    alpha: float | None = None,
) -> None:
    _add(axes, Line2D(x, y, color=colour, lw=width, alpha=alpha, zorder=zorder, solid_capstyle="butt"))


def _add(axes: Axes, line: Line2D) -> None:
    """Without the bookkeeping of `axes.plot`, which looks for limits that we have already set. Markers may pass the edge."""
    line.set_clip_on(False)
    line.set_transform(axes.transData)
    axes.add_artist(line)


def _bottom_axis(axes: Axes, ticks: Sequence[float], names: Sequence[str], label: str, top: float) -> None:
    for tick, name in zip(ticks, names, strict=True):
        axes.text(tick, top + 8, name, size=11, color=INKS["muted"], ha="center", va="center_baseline")
    axes.text(sum(axes.get_xlim()) / 2, top + 26, label, size=11.5, color=INKS["muted"], ha="center", va="center_baseline")
