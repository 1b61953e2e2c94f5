"""A game as a picture: root at the left, one colour for each role, payoffs in a column for each role at the right.

Lengths are in inches, so that letters and gaps keep their size whatever the size of the tree. Matplotlib is imported when a
picture is wanted, never with the games, and pyplot is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from io import StringIO
from itertools import count, pairwise
from math import prod
from typing import TYPE_CHECKING, Any

from moralfit.games._style import INK, LETTER, LINE, MARGIN, PALE, ROW, TITLE, colour_of, letters_of, number_as_text, title_of
from moralfit.games._table import draw_table, payoff_table
from moralfit.games._tree import Chance, Decision, Game, Node, Outcome, Strategy, Terminal, exact

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

#: A game of simultaneous moves with more ends than this is a table.
_MOST_ENDS = 9
#: White behind a text, where lines pass.
_PATCH = {"facecolor": "white", "edgecolor": "none", "boxstyle": "square,pad=0.12"}


@dataclass(frozen=True)
class _Spot:
    """A node and its place: `row` counts the ends of the tree from the top; what branches off is half-way between its own."""

    node: Node
    depth: int
    row: float
    branches: tuple[_Spot, ...]

    def all(self) -> Iterator[_Spot]:
        """This spot and all below it."""
        yield self
        for branch in self.branches:
            yield from branch.all()


def _arrange(node: Node, depth: int, rows: Iterator[int]) -> _Spot:
    if isinstance(node, Terminal):
        return _Spot(node, depth, next(rows), ())
    branches = tuple(_arrange(child, depth + 1, rows) for child in node.children)
    return _Spot(node, depth, (branches[0].row + branches[-1].row) / 2, branches)


def draw_game(game: Game, plan: Any = None) -> Figure:
    """The tree of `game` as a figure that belongs to no window; save it with `figure.savefig(path)`.

    A dashed line joins the nodes that a role cannot tell apart. A symmetric game in which all move at once and which ends in
    more than nine ways is drawn as a table of payoffs instead.

    Args:
        game: What to draw.
        plan: A strategy to show in bold, as :meth:`Game.strategy` takes it; mixed branches are drawn in proportion.

    Raises:
        GameError: The plan does not fit the game.
    """
    strategy = None if plan is None else game.strategy(plan)
    table = payoff_table(game) if len(game.outcomes) > _MOST_ENDS else None
    return _Picture(game, strategy).figure if table is None else draw_table(game, table, strategy)


class _Picture:
    """Draws one game; each method adds one kind of thing."""

    def __init__(self, game: Game, strategy: Strategy | None) -> None:
        from matplotlib.figure import Figure

        self.game = game
        self.strategy = strategy
        self.numbers = {information.name: i for i, information in enumerate(game.information_sets)}
        root = _arrange(game.root, 0, count())
        self.spots = list(root.all())
        self.columns = self._columns()
        self.table = self.columns[-1] + 0.15
        self.payoff_width = max(0.6, *(LETTER * len(word) + 0.15 for role in game.roles for word in role.split()))
        heading = TITLE + 0.25 + LINE * max(len(role.split()) for role in game.roles)
        self.top = heading + ROW / 2
        title, letters = title_of(game), letters_of(game)
        title_width = MARGIN + LETTER * (1.2 * len(title) + len(letters)) + 0.2
        width = max(self.table + self.payoff_width * len(game.roles), title_width) + 0.1
        self.height = self.top + ROW * sum(isinstance(spot.node, Terminal) for spot in self.spots) - ROW / 2 + 0.05
        self.figure = Figure(figsize=(width, self.height), dpi=150, facecolor="white")
        self.axes = self.figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, self.height))
        self.axes.axis("off")
        written = self._write(MARGIN, self.height - TITLE, title, fontsize=11, fontweight="bold", ha="left")
        beside: dict[str, Any] = {"xycoords": written, "xytext": (10, 0), "textcoords": "offset points"}
        self.axes.annotate(letters, (1, 0.5), **beside, fontsize=9, color=PALE, va="center", parse_math=False)
        for role, name in enumerate(game.roles):
            lines = "\n".join(name.split())
            self._write(self._payoff_column(role), self.height - heading, lines, fontsize=9, color=colour_of(role), va="bottom")
        self._information_sets()
        for spot in self.spots:
            self._node(spot)
        self._movers(root, 0.0)

    def _columns(self) -> list[float]:
        """Where each depth of the tree lies, wide enough for the labels of branches and of the movers that they lead to."""
        depths = range(max(spot.depth for spot in self.spots) + 1)
        movers = [max((len(self._mover(s.node)) for s in self.spots if s.depth == depth), default=0) for depth in depths]
        labels = [
            max((len(label) for s in self.spots if s.depth == depth for label in self._labels(s.node)), default=0)
            for depth in depths
        ]
        columns = [MARGIN + LETTER * movers[0] + 0.15]
        for depth in depths[1:]:
            columns.append(columns[-1] + max(1.2, 0.75 + LETTER * (labels[depth - 1] + movers[depth])))
        return columns

    def _at(self, spot: _Spot) -> tuple[float, float]:
        return self.columns[spot.depth], self.height - self.top - ROW * spot.row

    def _payoff_column(self, role: int) -> float:
        return self.table + self.payoff_width * (role + 0.5)

    def _mover(self, node: Node) -> str:
        if isinstance(node, Terminal):
            return ""
        return self.game.roles[node.role] if isinstance(node, Decision) else "chance"

    def _labels(self, node: Node) -> tuple[str, ...]:
        if isinstance(node, Chance):
            return tuple(str(exact(p).limit_denominator(10_000)) for p in node.probabilities)
        return node.actions if isinstance(node, Decision) else ()

    def _write(self, x: float, y: float, text: str, **style: Any) -> Text:
        style = {"fontsize": 10, "color": INK, "ha": "center", "va": "center", "zorder": 5, **style}
        return self.axes.text(x, y, text, parse_math=False, **style)

    def _information_sets(self) -> None:
        """Dashed lines, bent where another node lies in between. Roles that share an information set are not joined."""
        members: dict[tuple[str, int], list[_Spot]] = {}
        for spot in self.spots:
            if isinstance(spot.node, Decision):
                members.setdefault((spot.node.information, spot.node.role), []).append(spot)
        for (_, role), spots in members.items():
            for above, below in pairwise(spots):
                between = any(s.depth == above.depth and above.row < s.row < below.row for s in self.spots)
                self.axes.annotate(
                    "",
                    xy=self._at(below),
                    xytext=self._at(above),
                    arrowprops={
                        "arrowstyle": "-",
                        "linestyle": (0, (4, 3)),
                        "color": colour_of(role),
                        "connectionstyle": f"arc3,rad={0.2 if between or above.depth != below.depth else 0}",
                        "shrinkA": 0,
                        "shrinkB": 0,
                    },
                    zorder=1,
                )

    def _node(self, spot: _Spot) -> None:
        """The node itself and its branches, or its payoffs."""
        x, y = self._at(spot)
        node = spot.node
        if isinstance(node, Terminal):
            self.axes.plot([x, self.table], [y, y], color=PALE, linewidth=0.7, linestyle=(0, (1, 3)), zorder=1)
            self.axes.plot([x], [y], marker="o", markersize=3, color=INK, zorder=4)
            for role, payoff in enumerate(node.payoffs):
                self._write(self._payoff_column(role), y, number_as_text(payoff), color=colour_of(role))
            return
        colour, marker = (PALE, "D") if isinstance(node, Chance) else (colour_of(node.role), "o")
        self.axes.plot([x], [y], marker=marker, markersize=7, color=colour, zorder=4)
        for number, (label, branch) in enumerate(zip(self._labels(node), spot.branches, strict=True)):
            chosen = 0.0
            if self.strategy is not None and isinstance(node, Decision):
                chosen = float(self.strategy[self.numbers[node.information]][number])
            end_x, end_y = self._at(branch)
            self.axes.plot(
                [x, end_x], [y, end_y], color=colour if chosen else PALE, linewidth=1 + 2.5 * chosen, zorder=3 if chosen else 2
            )
            self._write(
                x + 0.45 * (end_x - x),
                y + 0.45 * (end_y - y),
                label,
                fontweight="bold" if chosen else "normal",
                bbox=_PATCH,
            )

    def _movers(self, spot: _Spot, side: float) -> None:
        """Who moves, written on the side of the node that the branch to it leaves free: above for an upper branch."""
        if isinstance(spot.node, Terminal):
            return
        x, y = self._at(spot)
        colour = PALE if isinstance(spot.node, Chance) else colour_of(spot.node.role)
        away = 0.06 if side else 0.12
        self._write(x - away, y + 0.15 * side, self._mover(spot.node), fontsize=9, color=colour, ha="right", bbox=_PATCH)
        for branch in spot.branches:
            self._movers(branch, 1 if branch.row <= spot.row else -1)


def _way(game: Game, outcome: Outcome) -> str:
    actions = ", ".join(game.information_sets[information].actions[action] for _, information, action in outcome.moves)
    return actions if outcome.chance == 1 else f"{actions} (chance {outcome.chance})"


def game_as_html(game: Game) -> str:
    """What a notebook shows for a game: the tree as inline SVG, and its payoffs as a table for readers without pictures."""
    from matplotlib import rc_context

    drawn = StringIO()
    # Letters stay letters, and the same game gives the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": game.name}):
        draw_game(game).savefig(drawn, format="svg", metadata={"Date": None})
    picture = drawn.getvalue()
    picture = picture[picture.index("<svg") :]
    sets = game.information_sets
    plans = prod(len(information.actions) for information in sets)
    rows = "".join(
        f"<tr><td>{escape(_way(game, outcome))}</td>"
        + "".join(f"<td>{number_as_text(payoff)}</td>" for payoff in outcome.payoffs)
        + "</tr>"
        for outcome in game.outcomes
    )
    heads = "".join(f"<th>{escape(role)}</th>" for role in game.roles)
    return (
        f'<div role="figure" aria-label="{escape(title_of(game))}">{picture}'
        f"<details><summary>{len(sets)} decisions, {plans} plans, {len(game.outcomes)} outcomes</summary>"
        f"<table><thead><tr><th>play</th>{heads}</tr></thead><tbody>{rows}</tbody></table></details></div>"
    )
