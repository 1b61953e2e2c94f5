"""A symmetric game of simultaneous moves as a table: own actions in rows, the others' in columns, own payoffs in cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moralfit.games._parameters import label
from moralfit.games._style import INK, LETTER, MARGIN, PALE, ROW, TITLE, colour_of, letters_of, number_as_text, title_of
from moralfit.games._tree import Game, Number, Strategy, exact

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class PayoffTable:
    """Own payoffs in points, `cells[own action][column]`; with two players the other's payoffs in `others`, else empty."""

    heading: str
    columns: tuple[str, ...]
    cells: tuple[tuple[Number, ...], ...]
    others: tuple[tuple[Number, ...], ...]


def payoff_table(game: Game) -> PayoffTable | None:
    """The payoffs of a symmetric game in which everybody moves once at the same information set; None for other games.

    With three or more players a column stands for a number of others for each action, or for their total where actions are
    numbers and payoffs depend on nothing else.
    """
    roles = range(len(game.roles))
    if len(game.information_sets) != 1 or any([m.role for m in o.moves] != list(roles) for o in game.outcomes):
        return None
    actions = game.information_sets[0].actions
    found: dict[tuple[int, tuple[int, ...]], Number] = {}
    for outcome in game.outcomes:
        for role in roles:
            theirs = tuple(sorted(move.action for move in outcome.moves if move.role != role))
            if found.setdefault((outcome.moves[role].action, theirs), outcome.payoffs[role]) != outcome.payoffs[role]:
                return None
    groups = sorted({theirs for _, theirs in found})
    if len(game.roles) == 2:
        cells = tuple(tuple(found[own, theirs] for theirs in groups) for own in range(len(actions)))
        return PayoffTable("the other", actions, cells, tuple(zip(*cells, strict=True)))
    totals = _by_total(actions, found)
    if totals is not None:
        return totals
    cells = tuple(tuple(found[own, theirs] for theirs in groups) for own in range(len(actions)))
    names = tuple(", ".join(actions[action] for action in theirs) for theirs in groups)
    return PayoffTable("the others", names, cells, ())


def _by_total(actions: tuple[str, ...], found: dict[tuple[int, tuple[int, ...]], Number]) -> PayoffTable | None:
    if not all(action.replace(".", "", 1).isdigit() for action in actions):
        return None
    amounts = [exact(float(action)) for action in actions]
    merged: dict[tuple[int, Number], Number] = {}
    for (own, theirs), payoff in found.items():
        if merged.setdefault((own, sum(amounts[action] for action in theirs)), payoff) != payoff:
            return None
    totals = sorted({total for _, total in merged})
    cells = tuple(tuple(merged[own, total] for total in totals) for own in range(len(actions)))
    return PayoffTable("the others together", tuple(map(label, totals)), cells, ())


def draw_table(game: Game, table: PayoffTable, strategy: Strategy | None) -> Figure:
    """The table as a figure; with a strategy, the rows that it plays are bold and say with which probability."""
    from matplotlib.figure import Figure

    actions = game.information_sets[0].actions
    shares = strategy[0] if strategy else (0,) * len(actions)
    heads = [
        f"{action}  ({float(share):.4g})" if share not in (0, 1) else action
        for action, share in zip(actions, shares, strict=True)
    ]
    texts = [
        [
            number_as_text(cell) + (f", {number_as_text(table.others[i][j])}" if table.others else "")
            for j, cell in enumerate(row)
        ]
        for i, row in enumerate(table.cells)
    ]
    column = LETTER * max(len(text) for row in [table.columns, *texts] for text in row) + 0.3
    left = MARGIN + LETTER * max(4, *map(len, heads)) + 0.3
    middle = left + column * len(table.columns) / 2
    title, letters = title_of(game), letters_of(game)
    heading = f"{table.heading} ({', '.join(game.roles[1:])})" if len(game.roles) == 2 else table.heading
    width = max(
        left + column * len(table.columns),
        middle + LETTER * len(heading) / 2,
        MARGIN + LETTER * (1.2 * len(title) + len(letters)) + 0.2,
    )
    row_height = 0.7 * ROW
    top = TITLE + 0.9
    height = top + row_height * len(actions) + 0.1
    figure = Figure(figsize=(width + 0.1, height), dpi=150, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width + 0.1), ylim=(0, height))
    axes.axis("off")

    def write(x: float, y: float, text: str, **style: Any) -> Any:
        style = {"fontsize": 10, "color": INK, "ha": "center", "va": "center", **style}
        return axes.text(x, height - y, text, parse_math=False, **style)

    written = write(MARGIN, TITLE, title, fontsize=11, fontweight="bold", ha="left")
    beside: dict[str, Any] = {"xycoords": written, "xytext": (10, 0), "textcoords": "offset points"}
    axes.annotate(letters, (1, 0.5), **beside, fontsize=9, color=PALE, va="center", parse_math=False)
    write(max(middle, left + LETTER * len(heading) / 2), TITLE + 0.35, heading, fontsize=9, color=colour_of(1))
    write(MARGIN, TITLE + 0.65, "own", fontsize=9, color=colour_of(0), ha="left")
    for j, name in enumerate(table.columns):
        write(left + column * (j + 0.5), TITLE + 0.65, name, color=colour_of(1))
    axes.plot([MARGIN, left + column * len(table.columns)], [height - top + 0.08] * 2, color=PALE, linewidth=0.7)
    for i, (head, row, share) in enumerate(zip(heads, texts, shares, strict=True)):
        y = top + row_height * (i + 0.5)
        weight = "bold" if share else "normal"
        write(MARGIN, y, head, color=colour_of(0), ha="left", fontweight=weight)
        for j, text in enumerate(row):
            write(left + column * (j + 0.5), y, text, fontweight=weight)
    return figure
