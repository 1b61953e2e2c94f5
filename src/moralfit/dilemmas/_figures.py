"""Figures of an experiment, drawn from its summary alone; each is a PNG and an SVG that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moralfit.dilemmas._family import QUESTIONS
from moralfit.dilemmas._table import MEASURE_NAMES
from moralfit.errors import RunError
from moralfit.evaluate import short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's (2008) colours, which people with colour blindness tell apart.
_COLOURS = ("#7a7a7a", "#e69f00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
_MARKS = ("o", "s", "D", "^", "v", "P", "X")
_THEORY = "#303030"
#: The types of theory that are drawn, by kappa, in colour and dashes.
_TYPES = {0.0: ("#b03a2e", (0, (5, 2))), 0.5: ("#888888", (0, (1, 1.5))), 1.0: ("#1e8449", "-")}
_MEASURES = {"stated": "in replies", "logits": "in the logits"}
_MARKED = {"scale": "o", "choice": "s", "expected": "x", "probability": "+"}


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
    """Approval by the gradient, a column for each question: in replies, in the logits, and where theory changes its answer."""
    from matplotlib.figure import Figure

    look = _look(summary)
    levels = family["levels"]
    found = {(r["agent"], r["question"], r["measure"], r["factor"], r["level"]): r for r in family["rows"]}
    figure = Figure(figsize=(13, 9.2), layout="constrained")
    axes = figure.subplots(len(_MEASURES) + 1, len(QUESTIONS), sharex=True, sharey="row")
    handles: dict[str, Any] = {}
    for column, question in enumerate(QUESTIONS):
        for row, (measure, how) in enumerate(_MEASURES.items()):
            ax = axes[row][column]
            _theory_lines(ax, family, question, levels, handles)
            for number, (key, (name, colour, mark)) in enumerate(look.items()):
                shift = (number - (len(look) - 1) / 2) * 0.12
                cells = [found.get((key, question, measure, family["gradient"], level)) for level in levels]
                drawn = _points(ax, shift, [cell and cell["approval"] for cell in cells], colour, mark)
                handles.setdefault(name, drawn)
            for line in family["human"]:
                at = line["where"].get(family["gradient"])
                if line["question"] == question and line["value"] is not None and at in levels:
                    people = ax.plot(levels.index(at), line["value"], "*", color="#c00000", markersize=13, zorder=5)
                    handles.setdefault("people", people[0])
            if all(found[key, question, measure, None, "all"]["approval"] is None for key in look):
                ax.text(0.5, 0.5, "no reply can be read", transform=ax.transAxes, ha="center", color=_THEORY)
            _share_axis(ax)
            if column == 0:
                ax.set_ylabel(f"approval in %, {how}")
        axes[0][column].set_title(family["questions"][question], fontsize=10)
        _switching_points(axes[-1][column], summary, family, question, handles)
        axes[-1][column].set_xlabel(family["axis"])
        axes[-1][column].set_xticks(range(len(levels)), [str(level) for level in levels])
        axes[-1][column].set_xlim(-0.5, len(levels) - 0.5)
    axes[-1][0].set_ylabel("kappa at which theory approves")
    where = ", ".join(f"{factor}: {level}" for factor, level in family["main"].items())
    figure.suptitle(f"{family['title']} ({where}); bars are 95 % intervals clustered by story", fontsize=11)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False)
    return figure


def _theory_lines(ax: Axes, family: Mapping[str, Any], question: str, levels: Sequence[Any], handles: dict[str, Any]) -> None:
    """What homo economicus, kappa = 1/2 and homo kantiensis answer, one's role being known."""
    known = {
        (t["kappa"], t["level"]): t["approval"]
        for t in family["theory"]
        if (t["question"], t["standpoint"]) == (question, "role known")
    }
    for number, (kappa, (colour, dashes)) in enumerate(_TYPES.items()):
        values = [answer for level in levels if (answer := known.get((kappa, level))) is not None]
        if len(values) < len(levels):
            continue
        # A little apart, so that lines that agree are all seen.
        lift = 0.014 * (number - 1)
        (line,) = ax.step(
            range(len(levels)), [value + lift for value in values], where="mid", color=colour, linestyle=dashes,
            linewidth=1.3, zorder=1,
        )  # fmt: skip
        handles.setdefault(f"theory, kappa = {kappa:g}, role known", line)


def _switching_points(
    ax: Axes, summary: Mapping[str, Any], family: Mapping[str, Any], question: str, handles: dict[str, Any]
) -> None:
    """The kappas at which theory changes its answer in the cells of each level, and those of the agents."""
    for kappa in dict.fromkeys(agent["kappa"] for agent in summary["agents"] if agent["kappa"] is not None):
        handles.setdefault("kappa of an agent", ax.axhline(kappa, color="#c8c8c8", linewidth=1, zorder=0))
    found = {(s["standpoint"], s["level"]): s for s in family["switching"] if s["question"] == question}
    for standpoint, (mark, shift) in {"role known": ("o", -0.1), "veil": ("d", 0.1)}.items():
        for place, level in enumerate(family["levels"]):
            for text in found[standpoint, level]["approves"]:
                sign, _, kappa = text.partition(" ")
                height = float(kappa) if kappa else {"always": 0.0, "never": _NEVER}.get(text)
                if height is None:
                    continue
                below = sign == "<"
                face = _THEORY if standpoint == "role known" else "white"
                (line,) = ax.plot(
                    place + shift,
                    height,
                    "v" if below else mark,
                    color=_THEORY,
                    markerfacecolor=face,
                    markersize=6,
                    clip_on=False,
                )
                handles.setdefault(f"approves {'below' if below else 'from here on'}, {standpoint}", line)
    ax.set_ylim(-0.05, _NEVER + 0.05)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1, _NEVER], ["0", ".25", ".5", ".75", "1", "never"])
    _plain(ax)


#: Where a type of theory is drawn that approves at no kappa.
_NEVER = 1.15


def draw_dilemma(summary: Mapping[str, Any], family: Mapping[str, Any]) -> Figure:
    """The gap between what others should do and what one does, for each agent, with what theory says."""
    from matplotlib.figure import Figure

    look = _look(summary)
    rows = {(row["agent"], row["measure"]): row for row in family["dilemma"]}
    types = family["dilemma"][0]["theory"]
    figure = Figure(figsize=(10, 1.7 + 0.55 * len(look) + 0.33 * len(types)), layout="constrained")
    ax = figure.subplots()
    labels: dict[float, str] = {}
    place = 0.0
    for key, (name, colour, _) in look.items():
        labels[place] = name
        for offset, (measure, mark) in {-0.17: ("stated", "D"), 0.17: ("logits", "o")}.items():
            gap = rows[key, measure]["gap"]
            y = place + offset
            if gap is None:
                ax.text(0.02, y, "no replies to compare", va="center", color=colour, fontsize=8)
                continue
            ax.plot([gap["low"], gap["high"]], [y, y], color=colour, linewidth=2.2 if measure == "stated" else 1.2)
            face = colour if measure == "stated" else "white"
            ax.plot(gap["estimate"], y, mark, color=colour, markersize=7, markerfacecolor=face)
        place += 1
    for kappa, gaps in types.items():
        labels[place] = f"theory, kappa = {kappa}"
        for standpoint, gap in gaps.items():
            if gap is not None:
                known = standpoint == "role known"
                aside = place + (-0.12 if known else 0.12)
                ax.plot(gap, aside, "|" if known else "d", color=_THEORY, markersize=9 if known else 6, markerfacecolor="white")
        place += 0.6
    for mark, text, size in (
        ("D", "replies", 7), ("o", "logits", 7), ("|", "theory, role known", 9), ("d", "theory, veil", 6)
    ):  # fmt: skip
        face = _THEORY if mark == "D" else "white"
        ax.plot([], [], mark, color=_THEORY, markersize=size, markerfacecolor=face, label=text)
    ax.axvline(0, color="#b0b0b0", linewidth=0.8, zorder=0)
    ax.set_yticks(list(labels), list(labels.values()))
    ax.set_ylim(place - 0.1, -0.6)
    ax.set_xlim(-1.05, 1.05)
    ax.set_xticks([-1, -0.5, 0, 0.5, 1], ["-100", "-50", "0", "+50", "+100"])
    ax.set_xlabel("approval of others' doing it less approval of doing it oneself, in percentage points")
    ax.set_title(f"{family['title']}: the social dilemma of {family['act']}, with 95 % intervals", fontsize=10)
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
    left.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
    left.set_xlabel("share of replies in %")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    _plain(left)
    for number, (key, (_, colour, _)) in enumerate(look.items()):
        for offset, (measure, mark) in enumerate(_MARKED.items()):
            shift = next(o["shift"] for o in family["order"] if o["agent"] == key and o["measure"] == measure)
            if shift is not None:
                y = number + 0.2 * (offset - 1.5)
                right.plot([shift["low"], shift["high"]], [y, y], color=colour, linewidth=1.2)
                right.plot(shift["estimate"], y, mark, color=colour, markersize=6)
    for measure, mark in _MARKED.items():
        right.plot([], [], mark, color=_THEORY, label=MEASURE_NAMES[measure])
    right.axvline(0, color="#b0b0b0", linewidth=0.8, zorder=0)
    right.set_yticks(range(len(look)), [name for name, _, _ in look.values()])
    right.set_ylim(len(look) - 0.5, -0.5)
    right.set_xlim(-1.05, 1.05)
    right.set_xticks([-1, -0.5, 0, 0.5, 1], ["-100", "-50", "0", "+50", "+100"])
    right.set_xlabel("approval where it is listed first, or at 100, less where last, or at 0, in points")
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)
    _plain(right)
    return figure


def _points(ax: Axes, shift: float, estimates: Sequence[Mapping[str, float] | None], colour: str, mark: str) -> Any:
    """Estimates by level with their intervals; a line joins neighbours."""
    for place, estimate in enumerate(estimates):
        if estimate is not None:
            ax.plot([place + shift] * 2, [estimate["low"], estimate["high"]], color=colour, linewidth=1, alpha=0.7)
    values = [nan if estimate is None else estimate["estimate"] for estimate in estimates]
    places = [place + shift for place in range(len(values))]
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
