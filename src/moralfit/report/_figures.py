"""Figures as inline SVG: drawn by matplotlib, coloured by the page's style sheet, so that they follow light and dark.

Every panel is 360 pixels wide, which a phone shows at full size; the page sets panels side by side where there is room.
"""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import Literal
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from moralfit.report._format import clean
from moralfit.report._load import Estimate

WIDTH = 360
_LABELS = 128
_RIGHT = 14
_AXIS = 40
_HEADING = 24
_AGENT = 27
_GAP = 8

#: Colours that matplotlib draws with, and the custom properties of the style sheet that take their place.
_INKS = {
    "ink": "#010101",
    "muted": "#020202",
    "grid": "#030303",
    "paper": "#040404",
    "base": "#050505",
    "prompted": "#060606",
    "random": "#070707",
    "adapter-1": "#080808",
    "adapter-2": "#090909",
    "adapter-3": "#0a0a0a",
    "adapter-4": "#0b0b0b",
}
_MARKERS = {"base": "o", "prompted": "^", "random": "s", "adapter-1": "D", "adapter-2": "v", "adapter-3": "p", "adapter-4": "h"}
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"


@dataclass(frozen=True)
class Line:
    """One agent within a group of a forest plot.

    Attributes:
        style: Its colour and marker, a key of the palette.
        values: One estimate for each part of the evaluation.
        theory: What the solver does on the same decisions, in the same order.
    """

    label: str
    style: str
    values: tuple[Estimate | None, ...]
    theory: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Group:
    """The agents at one decision."""

    heading: str
    lines: tuple[Line, ...]


def forest(slug: str, title: str, groups: Sequence[Group], axis: str, scale: Literal["share", "difference"]) -> Markup:
    """Estimates with intervals, one line for each agent and part of the evaluation (filled, then open markers).

    Args:
        slug: Prefix of the identifiers within the drawing, unique on its page. title: Its text alternative.
        axis: What the horizontal axis counts.
    """
    height = sum(_HEADING + _AGENT * len(group.lines) + _GAP for group in groups) + _AXIS
    with _quiet():
        figure, axes = _axes(height)
        low, ticks, names = {
            "share": (0.0, (0, 0.25, 0.5, 0.75, 1), ("0%", "25", "50", "75", "100%")),
            "difference": (-1.0, (-1, -0.5, 0, 0.5, 1), ("−1", "−0.5", "0", "+0.5", "+1")),
        }[scale]
        axes.set_xlim(low, 1)
        top = 0.0
        for group in groups:
            _text(axes, 0, top + _HEADING / 2, group.heading, size=12, weight="bold")
            top += _HEADING
            for tick in ticks:
                strong = scale == "difference" and tick == 0
                colour = _INKS["muted" if strong else "grid"]
                _stroke(axes, (tick, tick), (top, top + _AGENT * len(group.lines)), colour, 1)
            for line in group.lines:
                _draw_line(axes, line, top + _AGENT / 2, low)
                top += _AGENT
            top += _GAP
        _bottom_axis(axes, ticks, names, axis, top)
        return _svg(figure, slug, title)


def ladder(slug: str, title: str, lines: Sequence[tuple[str, str, Estimate, str]]) -> Markup:
    """Each agent's label and value above its estimate on a full-width scale from 0 to 100%.

    Args:
        lines: (label, style, estimate, value as text) from top to bottom.
    """
    row = 44
    height = row * len(lines) + 24
    with _quiet():
        figure, axes = _axes(height, left=4, right=4)
        axes.set_xlim(-0.012, 1.012)
        end = row * len(lines)
        for tick in (0, 0.25, 0.5, 0.75, 1):
            _stroke(axes, (tick, tick), (22, end), _INKS["grid"], 1)
            align: Literal["left", "center", "right"] = "left" if tick == 0 else "right" if tick == 1 else "center"
            axes.text(tick, end + 14, f"{100 * tick:.0f}%", size=11, color=_INKS["muted"], ha=align, va="center_baseline")
        for number, (label, style, estimate, value) in enumerate(lines):
            top = number * row
            weight = "bold" if style.startswith("adapter") else "normal"
            text = label if len(label) <= 30 else f"{label[:29]}…"
            _text(axes, 4, top + 12, text, size=13 if len(label) <= 24 else 12, weight=weight)
            _text(axes, WIDTH - 4, top + 12, value, size=13, weight=weight, ha="right")
            _stroke(axes, (0, 1), (top + 31, top + 31), _INKS["grid"], 1)
            _mark(axes, estimate, top + 31, style, filled=True, size=9, width=5, low=0)
        return _svg(figure, slug, title)


def curve(slug: str, title: str, steps: Sequence[int], values: Sequence[float], scale: str, style: str = "adapter-1") -> Markup:
    """A training log: the logged values, and their running mean where there are enough to smooth."""
    height = 230
    with _quiet():
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, facecolor="none")
        axes = figure.add_axes((52 / WIDTH, 44 / height, 1 - 66 / WIDTH, 1 - 58 / height), facecolor="none")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(_INKS["muted"])
        axes.tick_params(colors=_INKS["muted"], labelsize=11, length=3)
        axes.grid(axis="y", color=_INKS["grid"], lw=1)
        axes.set_axisbelow(True)
        colour = _INKS[style]
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
        axes.set_xlabel("step", size=12, color=_INKS["muted"])
        return _svg(figure, slug, title)


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
    place = blended_transform_factory(axes.get_figure(root=True).transFigure, axes.transData)  # type: ignore[union-attr]
    axes.text(
        x / WIDTH,
        y,
        clean(text),
        size=size,
        weight=weight,
        color=_INKS["ink"],
        ha=ha,
        va="center_baseline",
        transform=place,
        parse_math=False,
        linespacing=1.0,
    )


def _draw_line(axes: Axes, line: Line, middle: float, low: float) -> None:
    words = textwrap.wrap(line.label, 16, max_lines=2, placeholder="…")
    weight = "bold" if line.style.startswith("adapter") else "normal"
    size = 12 if len(line.label) <= 14 else 11
    for number, text in enumerate(words):
        _text(axes, 8, middle + 12 * (number - (len(words) - 1) / 2), text, size=size, weight=weight)
    parts = len(line.values)
    for part, estimate in enumerate(line.values):
        y = middle + 10 * (part - (parts - 1) / 2)
        if part < len(line.theory) and (optimal := line.theory[part]) is not None:
            _stroke(axes, (optimal, optimal), (y - 4.6, y + 4.6), _INKS["ink"], 2.4, zorder=3)
        if estimate is not None:
            _mark(axes, estimate, y, line.style, filled=part == 0, size=6.4, width=2.2, low=low)
    if not any(line.values):
        axes.text(
            (1 + low) / 2, middle, "no choices to count", size=11, color=_INKS["muted"], ha="center", va="center_baseline"
        )


def _mark(axes: Axes, estimate: Estimate, y: float, style: str, *, filled: bool, size: float, width: float, low: float) -> None:
    colour = _INKS[style]

    def inside(value: float) -> float:
        return min(max(value, low), 1.0)

    if estimate.low is not None and estimate.high is not None:
        _stroke(axes, (inside(estimate.low), inside(estimate.high)), (y, y), colour, width, zorder=2, alpha=0.55)
    face = colour if filled else _INKS["paper"]
    marker = Line2D(
        [inside(estimate.estimate)], [y], color=colour, marker=_MARKERS[style], ms=size, mew=1.6, mfc=face, zorder=4
    )
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
        axes.text(tick, top + 8, name, size=11, color=_INKS["muted"], ha="center", va="center_baseline")
    axes.text(sum(axes.get_xlim()) / 2, top + 26, label, size=11.5, color=_INKS["muted"], ha="center", va="center_baseline")


@contextmanager
def _quiet() -> Iterator[None]:
    """Matplotlib as it comes out of the box while we draw, whatever style the caller's notebook has set."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # The page's fonts draw the text, so a glyph that matplotlib's own font lacks does not matter.
        warnings.simplefilter("ignore")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "moralfit"})
        yield


def _svg(figure: Figure, slug: str, title: str) -> Markup:
    """The drawing as an element of an HTML page: no prologue or namespaces, identifiers of its own, the page's colours."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in root.iter():
        for child in list(parent):
            if (
                child.tag == f"{_SVG}metadata"
                or child.tag == f"{_SVG}style"
                or (child.tag == f"{_SVG}defs" and _only_style(child))
            ):
                parent.remove(child)
    used = {
        match for element in root.iter() for value in element.attrib.values() for match in re.findall(r"#([\w-]+)\)?$", value)
    }
    width, height = (float(number) for number in root.attrib["viewBox"].split()[2:])
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        attributes = dict(element.attrib)
        element.attrib.clear()
        for name, value in attributes.items():
            if name == "id":
                if value in used:
                    element.set("id", f"{slug}-{value}")
            elif name == _HREF:
                element.set("href", f"#{slug}-{value.removeprefix('#')}")
            elif name == "clip-path":
                element.set("clip-path", value.replace("#", f"#{slug}-"))
            elif name == "d":
                element.set("d", re.sub(r"(\.\d\d)\d+", r"\1", " ".join(value.split())))
            elif name == "style":
                element.set("style", _themed(value))
            elif name != "transform" or "rotate(-0 " not in value:
                element.set(name, value)
        if element.text is not None and element.tag not in ("text", "tspan"):
            element.text = None
        element.tail = None
    root.attrib.clear()
    root.attrib.update(
        {"viewBox": f"0 0 {width:g} {height:g}", "width": f"{width:g}", "role": "img", "aria-labelledby": f"{slug}-title"}
    )
    heading = ElementTree.Element("title", {"id": f"{slug}-title"})
    heading.text = clean(title)
    root.insert(0, heading)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _only_style(element: ElementTree.Element) -> bool:
    return len(element) > 0 and all(child.tag == f"{_SVG}style" for child in element)


def _themed(style: str) -> str:
    kept = [part.strip() for part in style.split(";") if part.strip() and not part.strip().startswith("font-family")]
    themed = "; ".join(kept)
    for name, colour in _INKS.items():
        themed = themed.replace(colour, f"var(--{name})")
    return themed
