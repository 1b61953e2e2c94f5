"""Figures of an experiment, drawn from its summary alone; each is a PNG and an SVG that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moralfit.dilemmas._family import QUESTIONS
from moralfit.errors import RunError
from moralfit.evaluate import short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's (2008) colours, which people with colour blindness tell apart.
_COLOURS = ("#7a7a7a", "#e69f00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
_MARKS = ("o", "s", "D", "^", "v", "P", "X")
_THEORY = "#303030"
_DASHES = {"role known": (0, (5, 2)), "veil": (0, (1, 2))}
_MEASURES = {"scale": "0-100 scale", "choice": "forced choice", "probability": "probability of the letter"}


def write_figures(summary: Mapping[str, Any], folder: Path) -> list[Path]:
    """Writes `FAMILY-approval`, `FAMILY-dilemma` and `FAMILY-quality` as `.png` and `.svg`.

    Raises:
        RunError: The folder cannot be written.
    """
    written = []
    for key, family in summary["families"].items():
        with _own_style():
            for name, draw in (("approval", draw_approval), ("dilemma", draw_dilemma), ("quality", draw_quality)):
                figure = draw(summary, family)
                # Arranged once: it is what takes the time, and every format would do it anew.
                figure.draw_without_rendering()
                figure.set_layout_engine("none")
                for kind in ("png", "svg"):
                    buffer = BytesIO()
                    metadata = {"Date": None} if kind == "svg" else {"Software": None}
                    figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
                    path = folder / f"{key}-{name}.{kind}"
                    try:
                        path.write_bytes(buffer.getvalue())
                    except OSError as error:
                        raise RunError(f"{path}: cannot be written ({error.strerror})") from None
                    written.append(path)
    return written


@contextmanager
def _own_style() -> Iterator[None]:
    """Matplotlib as it comes out of the box, with a fixed salt so that the same summary gives the same file."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"svg.hashsalt": "moralfit", "font.size": 9})
        yield


def _look(summary: Mapping[str, Any]) -> dict[str, tuple[str, str, str]]:
    """For each agent its short name, colour and marker; the base is grey."""
    names = short_names(summary)
    return {key: (name, _COLOURS[n % len(_COLOURS)], _MARKS[n % len(_MARKS)]) for n, (key, name) in enumerate(names.items())}


def draw_approval(summary: Mapping[str, Any], family: Mapping[str, Any]) -> Figure:
    """Approval by the gradient: a column for each question, a row for each way of answering; theory and people too."""
    from matplotlib.figure import Figure

    look = _look(summary)
    levels = family["levels"]
    found = {(r["agent"], r["question"], r["measure"], r["factor"], r["level"]): r for r in family["rows"]}
    figure = Figure(figsize=(13, 8.4), layout="constrained")
    axes = figure.subplots(len(_MEASURES), len(QUESTIONS), sharex=True, sharey=True)
    handles: dict[str, Any] = {}
    for row, (measure, how) in enumerate(_MEASURES.items()):
        for column, question in enumerate(QUESTIONS):
            ax = axes[row][column]
            _theory_lines(ax, family, question, levels, handles)
            for number, (key, (name, colour, mark)) in enumerate(look.items()):
                shift = (number - (len(look) - 1) / 2) * 0.12
                points = [
                    (place + shift, estimate["approval"])
                    for place, level in enumerate(levels)
                    if (estimate := found.get((key, question, measure, family["gradient"], level))) and estimate["approval"]
                ]
                handles.setdefault(name, _points(ax, points, colour, mark))
            for line in family["human"]:
                at = line["where"].get(family["gradient"])
                if line["question"] == question and line["value"] is not None and at in levels:
                    people = ax.plot(levels.index(at), line["value"], "*", color="#c00000", markersize=13, zorder=5)
                    handles.setdefault("people", people[0])
            if row == 0:
                ax.set_title(family["questions"][question], fontsize=10)
            if column == 0:
                ax.set_ylabel(f"approval, {how}")
            if row == len(_MEASURES) - 1:
                ax.set_xlabel(family["axis"])
            _share_axis(ax)
            ax.set_xticks(range(len(levels)), [str(level) for level in levels])
            ax.set_xlim(-0.5, len(levels) - 0.5)
    where = ", ".join(f"{factor}: {level}" for factor, level in family["main"].items())
    figure.suptitle(f"{family['title']} ({where}); bars are 95 % intervals clustered by story", fontsize=11)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _theory_lines(ax: Axes, family: Mapping[str, Any], question: str, levels: Sequence[Any], handles: dict[str, Any]) -> None:
    """What homo economicus, kappa = 1/2 and homo kantiensis answer, in both readings of one's own payoff."""
    known = {(t["standpoint"], t["kappa"], t["level"]): t for t in family["theory"] if t["question"] == question}
    kappas = sorted({kappa for _, kappa, _ in known})
    greys = dict(zip(kappas, ("#b03a2e", *(["#888888"] * (len(kappas) - 2)), "#1e8449"), strict=True))
    for standpoint, dashes in _DASHES.items():
        for kappa in kappas:
            values = [known[standpoint, kappa, level]["approval"] for level in levels]
            if 0 < kappa < 1 and kappa != 0.5:
                continue
            if any(value is None for value in values):
                continue
            # A little apart, so that lines that agree are all seen.
            lift = 0.012 * (kappas.index(kappa) - (len(kappas) - 1) / 2)
            (line,) = ax.step(
                range(len(levels)), [value + lift for value in values], where="mid", color=greys[kappa], linestyle=dashes,
                linewidth=1.3, zorder=1,
            )  # fmt: skip
            handles.setdefault(f"theory, kappa = {kappa:g}, {standpoint}", line)


def draw_dilemma(summary: Mapping[str, Any], family: Mapping[str, Any]) -> Figure:
    """The gap between what others should do and what one does, for each agent, with what theory says."""
    from matplotlib.figure import Figure

    look = _look(summary)
    rows = {(row["agent"], row["measure"]): row for row in family["dilemma"]}
    figure = Figure(figsize=(9, 1.6 + 0.62 * (len(look) + len(family["dilemma"][0]["theory"]))), layout="constrained")
    ax = figure.subplots()
    labels = []
    for place, (key, (name, colour, _)) in enumerate(look.items()):
        labels.append(name)
        for number, (measure, mark) in enumerate({"stated": "D", "scale": "o", "choice": "s", "probability": "x"}.items()):
            gap = rows[key, measure]["gap"]
            if gap is None:
                continue
            y = place + 0.19 * (number - 1.5)
            ax.plot([gap["low"], gap["high"]], [y, y], color=colour, linewidth=2.4 if measure == "stated" else 1)
            face = colour if mark in "Dx" else "white"
            ax.plot(gap["estimate"], y, mark, color=colour, markersize=8 if measure == "stated" else 5, markerfacecolor=face)
        if all(rows[key, measure]["gap"] is None for measure in ("stated", "probability")):
            ax.text(0.02, place, "no answers", va="center", color=colour)
    for place, (kappa, gaps) in enumerate(family["dilemma"][0]["theory"].items(), len(look)):
        labels.append(f"theory, kappa = {kappa}")
        for standpoint, gap in gaps.items():
            if gap is not None:
                face = _THEORY if standpoint == "role known" else "white"
                ax.plot(
                    gap, place, "|" if standpoint == "role known" else "d", color=_THEORY, markersize=12, markerfacecolor=face
                )
    for mark, text, size in (
        ("D", "scale and choice", 8), ("o", "scale", 5), ("s", "choice", 5), ("x", "probability", 5),
        ("|", "theory, role known", 12), ("d", "theory, veil", 9),
    ):  # fmt: skip
        face = "white" if mark in "osd" else _THEORY
        ax.plot([], [], mark, color=_THEORY, markersize=size, markerfacecolor=face, label=text)
    ax.axvline(0, color="#b0b0b0", linewidth=0.8, zorder=0)
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.set_xlim(-1.05, 1.05)
    ax.set_xlabel("approval of others' doing it less approval of doing it oneself")
    ax.set_title(f"{family['title']}: the social dilemma of {family['act']}", fontsize=10)
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    _plain(ax)
    return figure


def draw_quality(summary: Mapping[str, Any], family: Mapping[str, Any]) -> Figure:
    """What was answered, refused or unreadable, and by how much the order of options and the direction of the scale matter."""
    from matplotlib.figure import Figure

    look = _look(summary)
    figure = Figure(figsize=(11, 1.8 + 0.6 * len(look)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    places, labels = [], []
    for number, (key, (name, _, _)) in enumerate(look.items()):
        for offset, form in enumerate(("scale", "choice")):
            place = 2.4 * number + offset
            places.append(place)
            labels.append(f"{name}, {form}")
            outcome = next(o for o in family["outcomes"] if o["agent"] == key and o["format"] == form)
            start = 0.0
            for status, colour in (("answered", "#0072b2"), ("refused", "#e69f00"), ("unparseable", "#d0d0d0")):
                label = status if not number and not offset else None
                left.barh(place, outcome[status], left=start, color=colour, label=label, height=0.8)
                start += outcome[status]
    left.set_yticks(places, labels)
    left.invert_yaxis()
    left.set_xlim(0, 1)
    left.set_xlabel("share of replies")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    _plain(left)
    for number, (key, (_, colour, _)) in enumerate(look.items()):
        for offset, (measure, mark) in enumerate({"scale": "o", "choice": "s", "probability": "x"}.items()):
            shift = next(o["shift"] for o in family["order"] if o["agent"] == key and o["measure"] == measure)
            if shift is not None:
                y = number + 0.22 * (offset - 1)
                right.plot([shift["low"], shift["high"]], [y, y], color=colour)
                right.plot(shift["estimate"], y, mark, color=colour)
    for mark, measure in (("o", "scale"), ("s", "choice"), ("x", "probability")):
        right.plot([], [], mark, color=_THEORY, label=measure)
    right.axvline(0, color="#b0b0b0", linewidth=0.8, zorder=0)
    right.set_yticks(range(len(look)), [name for name, _, _ in look.values()])
    right.set_ylim(len(look) - 0.5, -0.5)
    right.set_xlim(-1.05, 1.05)
    right.set_xlabel("approval where it is listed first, or at 100, less where it is last, or at 0")
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    _plain(right)
    return figure


def _points(ax: Axes, points: Sequence[tuple[float, Mapping[str, float]]], colour: str, mark: str) -> Any:
    """Estimates with their intervals, joined by a line."""
    places = [place for place, _ in points]
    values = [estimate["estimate"] for _, estimate in points]
    for place, estimate in points:
        ax.plot([place, place], [estimate["low"], estimate["high"]], color=colour, linewidth=1, alpha=0.7)
    (line,) = ax.plot(places, values, color=colour, marker=mark, markersize=5, linewidth=1.4, zorder=3)
    return line


def _share_axis(ax: Axes) -> None:
    ax.set_ylim(-0.05, 1.05)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
    ax.grid(axis="y", color="#e8e8e8", linewidth=0.7, zorder=0)
    _plain(ax)


def _plain(ax: Axes) -> None:
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
