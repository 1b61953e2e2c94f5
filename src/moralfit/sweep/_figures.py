"""The figures of sweeps. The same numbers give the same bytes, whoever draws them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moralfit.files import new_folder
from moralfit.games._style import COLOURS, INK, PALE
from moralfit.sweep._cells import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^vP"
#: Keys that make no series of their own: they are an axis, or tell repetitions apart.
_AXES = ("preference.kappa", "preference.kind", "preference", "data.train_samples", "seed")


def draw_grid(summary: Mapping[str, Any]) -> Figure:
    """Estimated against target kappa with 95% intervals and the 45-degree line, and dataset size against agreement."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    done = [row for row in summary["rows"] if row["status"] == "done"]
    _kappas(left, _series(done, summary["keys"], False))
    _sizes(right, _series(done, summary["keys"], len({row["train_samples"] for row in done}) > 1))
    for axes in (left, right):
        if len(axes.get_legend_handles_labels()[1]) > 1:
            axes.legend(frameon=False, fontsize=8)
    return figure


def _series(rows: Sequence[Row], keys: Sequence[str], by_preference: bool) -> dict[str, list[Row]]:
    """Rows by what varies beside the number of samples, the seed and, unless asked for, the preference."""
    named = [key for key in keys if key not in _AXES]
    found: dict[str, list[Row]] = {}
    for row in rows:
        parts = [row["preference"]] * by_preference + [f"{key.rsplit('.', 1)[-1]} = {row['settings'][key]}" for key in named]
        found.setdefault(", ".join(parts) or "cells", []).append(row)
    return found


def _kappas(axes: Axes, series: Mapping[str, Sequence[Row]]) -> None:
    known = [row for rows in series.values() for row in rows]
    axes.plot([0, 1], [0, 1], color=PALE, lw=1, zorder=1)
    axes.text(
        0.6, 0.57, "estimated = target", color=PALE, fontsize=9, va="top", rotation=45, rotation_mode="anchor",
        transform_rotates_text=True,
    )  # fmt: skip
    ends = [row[key] for row in known for key in ("kappa", "kappa_low", "kappa_high") if row[key] is not None]
    # An interval of a handful of choices may be as wide as a page.
    low, high = max(-1.0, min([0.0, *ends])), min(2.0, max([1.0, *ends]))
    margin = 0.06 * (high - low)
    missing = []
    for place, (label, rows) in enumerate(series.items()):
        targets = [row["target_kappa"] for row in rows]
        x = [target + d for target, d in zip(targets, _dodges(targets, place, len(series), 0.08), strict=True)]
        for at, row in zip(x, rows, strict=True):
            if row["kappa"] is None and row["kappa_low"] is None:
                missing.append((at, row))
                continue
            bounds = [row[key] for key in ("kappa_low", "kappa_high")]
            if None not in bounds:
                axes.plot([at, at], bounds, color=_colour(place), lw=1.4, alpha=0.8, zorder=2)
            if row["kappa"] is not None:
                axes.plot([at], [row["kappa"]], _marker(place), color=_colour(place), ms=6, zorder=3)
            elif None not in bounds:
                # A set of values that explain every choice has ends, but no best one.
                axes.plot([at, at], bounds, _marker(place), color=_colour(place), mfc="white", ms=6, zorder=3)
        axes.plot([], [], _marker(place), color=_colour(place), label=label)
    for at, _ in missing:
        axes.plot([at], [low - margin / 2], "x", color=INK, ms=6, clip_on=False)
    if missing:
        axes.text(0.02, 0.98, f"x: no estimate ({len(missing)})", transform=axes.transAxes, va="top", color=INK, fontsize=9)
    axes.set(
        xlim=(-0.06, 1.06), ylim=(low - margin, high + margin), xlabel="target kappa", ylabel="estimated kappa, 95% interval",
        title="What was trained for, and what choices imply",
    )  # fmt: skip
    _plain(axes)


def _sizes(axes: Axes, series: Mapping[str, Sequence[Row]]) -> None:
    sizes = sorted({row["train_samples"] for rows in series.values() for row in rows})
    wide = len(sizes) > 1 and sizes[-1] >= 4 * sizes[0]
    for place, (label, rows) in enumerate(series.items()):
        axes.plot([], [], _marker(place), color=_colour(place), label=label)
        known = [row for row in rows if row["agreement_payoffs"] is not None]
        counts = [row["train_samples"] for row in known]
        x = [count * (1 + d) for count, d in zip(counts, _dodges(counts, place, len(series), 0.1), strict=True)]
        for at, row in zip(x, known, strict=True):
            axes.plot(
                [at, at], [row["agreement_payoffs_low"], row["agreement_payoffs_high"]], color=_colour(place), lw=1, alpha=0.6
            )
            axes.plot([at], [row["agreement_payoffs"]], _marker(place), color=_colour(place), ms=5)
        means = {
            size: [row["agreement_payoffs"] for row in known if row["train_samples"] == size] for size in sorted(set(counts))
        }
        if len(means) > 1:
            axes.plot(list(means), [sum(v) / len(v) for v in means.values()], color=_colour(place), lw=1.2)
    if wide:
        axes.set_xscale("log")
    if len(sizes) == 1:
        axes.set_xlim(0.7 * sizes[0], 1.3 * sizes[0])
    if sizes:
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
    axes.set(
        ylim=(-0.02, 1.02), xlabel="training samples", ylabel="agreement with the solver, held-out payoffs",
        title="Dataset size and agreement",
    )  # fmt: skip
    _plain(axes)


def draw_matrices(summary: Mapping[str, Any]) -> Figure:
    """One matrix for each arena: what the row gets against the column, darker for more, with its 95% interval."""
    from matplotlib.figure import Figure

    arenas = list(dict.fromkeys(row["arena"] for row in summary["rows"])) or ["games"]
    most = max([len(_players(summary, arena)) for arena in arenas] + [1])
    figure = Figure(figsize=(max(3.6, 1.15 * most + 1.6) * len(arenas), max(3.0, 0.75 * most + 1.6)), layout="constrained")
    for axes, arena in zip(figure.subplots(1, len(arenas), squeeze=False)[0], arenas, strict=True):
        players = _players(summary, arena)
        own = {
            (row["agent"], row["opponent"]): row
            for row in summary["rows"]
            if row["arena"] == arena and row["value"] is not None
        }
        values = [row["value"] for row in own.values()]
        low, high = min(values, default=0.0), max(values, default=1.0)
        for i, agent in enumerate(players):
            for j, opponent in enumerate(players):
                row = own.get((agent, opponent))
                share = 0.0 if row is None or high == low else (row["value"] - low) / (high - low)
                axes.fill_between([j - 0.48, j + 0.48], i - 0.48, i + 0.48, color=COLOURS[0], alpha=0.06 + 0.5 * share, lw=0)
                text = "-" if row is None else f"{row['value']:.2f}"
                if row is not None and row["low"] is not None:
                    text += f"\n[{row['low']:.2f}, {row['high']:.2f}]"
                axes.text(j, i, text, ha="center", va="center", fontsize=8, color=INK)
        axes.set_xticks(range(len(players)), players, rotation=30, ha="right")
        axes.set_yticks(range(len(players)), players)
        axes.set(
            xlim=(-0.5, len(players) - 0.5), ylim=(len(players) - 0.5, -0.5), xlabel="against", title=_heading(summary, arena)
        )
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)
    return figure


def _players(summary: Mapping[str, Any], arena: str) -> list[str]:
    rows = [row for row in summary["rows"] if row["arena"] == arena]
    return list(dict.fromkeys([row["agent"] for row in rows]))


def _heading(summary: Mapping[str, Any], arena: str) -> str:
    return f"{arena}: {summary['measures'][arena]}"


def write_figure(figure: Figure, folder: Path) -> None:
    """Writes `figure.png` and `figure.svg` into `folder`, without dates or random names."""
    import matplotlib

    with new_folder(folder) as temporary, matplotlib.rc_context({"svg.hashsalt": "moralfit"}):
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
            (temporary / f"figure.{kind}").write_bytes(buffer.getvalue())


def _dodges(values: Sequence[float], place: int, of: int, width: float) -> list[float]:
    """For values that would lie on one another how far to move each aside, at most half of `width`."""
    seen: dict[float, int] = {}
    found = []
    for value in values:
        number = seen[value] = seen.get(value, -1) + 1
        slots = of * values.count(value)
        found.append(width * ((number * of + place + 0.5) / slots - 0.5))
    return found


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _marker(place: int) -> str:
    return _MARKERS[place % len(_MARKERS)]


def _plain(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK)
