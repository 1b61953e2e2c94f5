"""Drawings of an experiment: price paths, and prices against profits, in the look of a run's report.

Every panel is as wide as a phone shows at full size; colours are the style sheet's, so that they follow light and dark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from moralfit.report._figures import MARKERS, WIDTH
from moralfit.report._market_summary import Marks, Place
from moralfit.report._svg import INKS, quiet, svg

Array = npt.NDArray[np.float64]

#: A path is drawn with at most this many points; of a longer one the means over equal blocks of periods.
POINTS = 150
#: Prices above the monopoly's by more than this many times its distance to Nash are drawn at the edge.
_FAR = 7.0


@dataclass(frozen=True)
class Limits:
    """The part of the price axis that all panels of an experiment share, and of the profit axis."""

    price: tuple[float, float]
    profit: tuple[float, float]


def limits(prices: Sequence[float], profits: Sequence[float], marks: Marks) -> Limits:
    """Axes that hold these and the marks, within reason."""
    nash, monopoly = marks.nash.mean_price, marks.monopoly.mean_price
    gap = monopoly - nash
    low = min([*marks.cost, *prices])
    high = min(max([monopoly + 0.4 * gap, *prices]), monopoly + _FAR * gap)
    top, bottom = max([1.15 * marks.monopoly.mean_profit, *profits]), min([0.0, *profits])
    margin, rise = 0.04 * (high - low), 0.06 * (top - bottom)
    return Limits((low - margin, high + margin), (bottom - rise, top + rise))


def price_paths(
    slug: str, title: str, paths: Mapping[str, Sequence[Array]], styles: Mapping[str, str], marks: Marks, on: Limits
) -> Markup:
    """One thin line for each run and a thick one for the mean, beside cost, Nash and monopoly.

    Args:
        slug: Prefix of the identifiers within the drawing, unique on its page. title: Its text alternative.
        paths: For each agent the (periods,) prices of each run at scale 1. styles: Each agent's colour.
    """
    with _panel(slug, title, "period", right=62) as (axes, drawn):
        periods = max((len(path) for of_agent in paths.values() for path in of_agent), default=1)
        known = {"cost": float(np.mean(marks.cost)), "Nash": marks.nash.mean_price, "monopoly": marks.monopoly.mean_price}
        for name, price in known.items():
            axes.axhline(price, color=INKS["muted"], lw=1.2, ls=(0, (4, 3)), zorder=1)
            axes.annotate(
                name, (1, price), (5, 0), xycoords=axes.get_yaxis_transform(), textcoords="offset points", size=11,
                color=INKS["muted"], va="center_baseline", annotation_clip=False,
            )  # fmt: skip
        for agent, of_agent in paths.items():
            colour = INKS[styles[agent]]
            shown = [blocks(path) for path in of_agent]
            for x, y in shown if len(shown) > 1 else ():
                axes.plot(x, y, color=colour, lw=0.8, alpha=min(0.5, 0.2 + 2 / len(shown)), zorder=2)
            for x, y in [(shown[0][0], np.mean([y for _, y in shown], axis=0))] if shown else ():
                marker = MARKERS[styles[agent]] if len(x) < 3 else ""
                axes.plot(x, y, color=colour, lw=2.4, marker=marker, ms=5, zorder=3)
        axes.set_ylim(*on.price)
        axes.set_xlim(1, max(2, periods))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1f}")
    return drawn[0]


def blocks(path: Array) -> tuple[Array, Array]:
    """The middle period and mean price of equal blocks of periods, at most :data:`POINTS` of them; (points,) each."""
    size = -(-len(path) // POINTS)
    starts = np.arange(0, len(path), size)
    counts = np.diff(np.append(starts, len(path)))
    return starts + (counts + 1) / 2, np.asarray(np.add.reduceat(path, starts) / counts)


def price_profit(
    slug: str,
    title: str,
    points: Mapping[str, Sequence[tuple[float, float]]],
    styles: Mapping[str, str],
    marks: Marks,
    on: Limits,
) -> Markup:
    """Mean price and profit of each run, beside Nash, monopoly and the equilibria of homo moralis.

    Args:
        points: For each agent the (price, profit) of each run at scale 1, means of its firms over the periods that count.
    """
    with _panel(slug, title, "mean price", left=44) as (axes, drawn):
        for universe, line in (("firms", "-"), ("firms+consumers", (0, (2, 2)))):
            curve = sorted((p for p in marks.moralis if p.universe == universe), key=lambda p: p.kappa)
            prices, profits = [point.mean_price for point in curve], [point.mean_profit for point in curve]
            axes.plot(prices, profits, color=INKS["ink"], lw=1.4, ls=line, zorder=2)
            for point in curve:
                if any(abs(point.kappa - kappa) < 1e-9 for kappa in (0.25, 0.5, 0.75, 1)):
                    axes.plot(point.mean_price, point.mean_profit, ".", color=INKS["ink"], ms=5, zorder=2)
        known = (("Nash", marks.nash, (7, -9), "left"), ("monopoly", marks.monopoly, (0, 10), "center"))
        for name, place, shift, align in known:
            axes.plot(place.mean_price, place.mean_profit, "P", color=INKS["ink"], mec=INKS["paper"], ms=9, mew=1, zorder=5)
            _label(axes, name, place, shift, align)
        for agent, of_agent in points.items():
            style = styles[agent]
            for price, profit in of_agent:
                axes.plot(
                    min(max(price, on.price[0]), on.price[1]), profit, MARKERS[style], color=INKS[style], ms=5.5, alpha=0.7,
                    mew=0, zorder=4, clip_on=False,
                )  # fmt: skip
        axes.set_xlim(*on.price)
        axes.set_ylim(*on.profit)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_ylabel("mean profit", size=12, color=INKS["muted"], labelpad=2)
    return drawn[0]


def _label(axes: Axes, name: str, place: Place, shift: tuple[int, int], align: str) -> None:
    axes.annotate(
        name, (place.mean_price, place.mean_profit), shift, textcoords="offset points", size=11, color=INKS["ink"],
        ha=align, va="center_baseline", zorder=6,
    )  # fmt: skip


@contextmanager
def _panel(
    slug: str, title: str, axis: str, left: int = 40, right: int = 14, height: int = 230
) -> Iterator[tuple[Axes, list[Markup]]]:
    """Axes in the page's colours; what was drawn is in the list afterwards."""
    drawn: list[Markup] = []
    with quiet():
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, facecolor="none")
        axes = figure.add_axes((left / WIDTH, 44 / height, 1 - (left + right) / WIDTH, 1 - 56 / height), facecolor="none")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(INKS["muted"])
        axes.tick_params(colors=INKS["muted"], labelsize=11, length=3)
        axes.grid(axis="y", color=INKS["grid"], lw=1)
        axes.set_axisbelow(True)
        axes.set_xlabel(axis, size=12, color=INKS["muted"])
        yield axes, drawn
        drawn.append(svg(figure, slug, title))
