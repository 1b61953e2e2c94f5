"""What the pictures say: texts, where they stand, which branches are bold, which nodes are joined."""

import itertools
import subprocess
import sys
from fractions import Fraction
from xml.etree import ElementTree

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from moralfit.errors import GameError
from moralfit.games import Chance, Decision, Game, Terminal, sequential_prisoners_dilemma, trust_game, ultimatum_game

FIRST, SECOND = "#0072b2", "#d55e00"


def texts(figure: Figure) -> list[Text]:
    """In reading order."""
    found = [text for text in figure.axes[0].texts if text.get_text()]
    return sorted(found, key=lambda text: (-round(text.get_position()[1], 3), text.get_position()[0]))


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in texts(figure)]


def payoff_rows(figure: Figure, roles: int = 2) -> list[tuple[str, ...]]:
    """The numbers at the ends, row by row: those in the colour of a role that are numbers."""
    numbers = [t for t in texts(figure) if t.get_text().lstrip("\N{MINUS SIGN}").replace(".", "").replace("/", "").isdigit()]
    rows = [tuple(t.get_text() for t in row) for _, row in itertools.groupby(numbers, key=lambda t: t.get_position()[1])]
    return [row for row in rows if len(row) == roles]


def bold_branches(figure: Figure) -> list[tuple[str, float]]:
    """Colour and width of what is thicker than the branches that are not chosen; nodes have no line."""
    lines = [line for line in figure.axes[0].lines if line.get_marker() == "None" and line.get_linewidth() > 1]
    return [(to_hex(line.get_color()), line.get_linewidth()) for line in lines]


def simultaneous() -> Game:
    moves = ("swerve", "straight")
    pays = ((3, 3), (1, 7)), ((7, 1), (0, 0))
    second = tuple(Decision(1, "move", moves, tuple(Terminal(pay) for pay in row)) for row in pays)
    return Game("chicken", Decision(0, "move", moves, second), ("row player", "column player"))


def awkward() -> Game:
    """Nature, three roles, hidden information across ends of play, long names, dollars and angle brackets."""
    low = Decision(2, "third", ("fine", "pass"), (Terminal((1, 1, -10)), Terminal((2, 2, 2))))
    good = Decision(1, "firm", ("a", "b"), (Terminal((1.5, Fraction(2, 3), 3)), Terminal((2, 1, 0))))
    bad = Decision(1, "firm", ("a", "b"), (Terminal((1, 2, 3)), low))
    root = Chance(
        (1 / 3, 2 / 3),
        (
            Decision(0, "good", ("invest $5 or $6", "<b>keep</b> & go"), (good, Terminal((0, 0, 0)))),
            Decision(0, "bad", ("invest", "keep"), (bad, Terminal((0, 0, 0)))),
        ),
    )
    return Game("a_lottery", root, ("investor", "firm", "state <regulator>"), {"L": 12.5})


GAMES = {
    "spd": sequential_prisoners_dilemma(90, 45, 15, 10),
    "trust": trust_game(80, 60, 30, 20),
    "ultimatum": ultimatum_game(60, 50, 40, 10),
    "simultaneous": simultaneous(),
    "awkward": awkward(),
}


def test_sequential_prisoners_dilemma() -> None:
    figure = GAMES["spd"].draw()
    assert "Sequential prisoners dilemma" in words(figure)
    assert "T = 90, R = 45, P = 15, S = 10" in words(figure)
    assert payoff_rows(figure) == [("45", "45"), ("10", "90"), ("90", "10"), ("15", "15")]
    assert words(figure).count("C") == words(figure).count("D") == 3
    assert words(figure).count("first mover") == 1
    assert words(figure).count("second mover") == 2
    assert {"first\nmover", "second\nmover"} < set(words(figure))
    assert {to_hex(t.get_color()) for t in texts(figure) if t.get_text().split() == ["first", "mover"]} == {FIRST}
    assert {to_hex(t.get_color()) for t in texts(figure) if t.get_text().split() == ["second", "mover"]} == {SECOND}
    assert bold_branches(figure) == []


def test_other_games() -> None:
    assert payoff_rows(GAMES["trust"].draw()) == [("60", "60"), ("20", "80"), ("30", "30")]
    assert payoff_rows(GAMES["ultimatum"].draw()) == [("50", "50"), ("60", "40"), ("10", "10")]
    rows = payoff_rows(GAMES["awkward"].draw(), roles=3)
    assert rows[0] == ("1.5", "2/3", "3")
    assert rows[4] == ("1", "1", "\N{MINUS SIGN}10")
    assert len(rows) == 7
    assert {"chance", "1/3", "2/3", "invest $5 or $6", "<b>keep</b> & go", "L = 12.5"} < set(words(GAMES["awkward"].draw()))


def test_a_plan_is_bold_in_the_colours_of_its_roles() -> None:
    figure = GAMES["spd"].draw(plan=("D", "D", "C"))
    assert bold_branches(figure) == [(FIRST, 3.5), (SECOND, 3.5), (SECOND, 3.5)]
    assert [t.get_text() for t in texts(figure) if t.get_fontweight() == "bold"][1:] == ["D", "D", "C"]
    mixed = GAMES["trust"].draw(plan=(0.2, 1))
    assert sorted(bold_branches(mixed)) == [(FIRST, pytest.approx(1.5)), (FIRST, pytest.approx(3)), (SECOND, 3.5)]
    with pytest.raises(GameError, match="trust_game, decision 'first': unknown action 'X'"):
        GAMES["trust"].draw(plan=("X", "G"))


def joined(figure: Figure) -> list[str]:
    """Colours of the dashed lines between nodes of one information set."""
    lines = [text for text in figure.axes[0].texts if isinstance(text, Annotation) and text.arrow_patch]
    assert all(line.arrow_patch.get_linestyle() != "-" for line in lines)  # type: ignore[union-attr]
    return [to_hex(line.arrow_patch.get_edgecolor()) for line in lines]  # type: ignore[union-attr]


def test_nodes_of_one_information_set_are_joined() -> None:
    assert joined(GAMES["spd"].draw()) == []
    # Both roles move at the set "move", but only the second cannot tell two nodes apart.
    figure = GAMES["simultaneous"].draw()
    assert joined(figure) == [SECOND]
    (line,) = [t for t in figure.axes[0].texts if isinstance(t, Annotation) and t.arrow_patch]
    columns = [t.get_position()[0] for t in texts(figure) if t.get_text() == "column player"]
    assert line.xy[0] == line.get_position()[0] > max(columns)
    assert joined(GAMES["awkward"].draw()) == [SECOND]


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_no_text_covers_another_or_leaves_the_page(game: Game) -> None:
    figure = game.draw(plan=tuple(i.actions[0] for i in game.information_sets))
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    boxes = {text: text.get_window_extent(renderer) for text in texts(figure)}
    for text, box in boxes.items():
        assert min(box.x0, box.y0, figure.bbox.x1 - box.x1, figure.bbox.y1 - box.y1) >= 0, text.get_text()
    for (one, a), (other, b) in itertools.combinations(boxes.items(), 2):
        assert not a.overlaps(b), (one.get_text(), other.get_text())


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_html_is_well_formed_and_says_the_payoffs(game: Game) -> None:
    html = game._repr_html_()
    root = ElementTree.fromstring(html)
    cells = [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]
    assert cells[0] == ["play", *game.roles]
    assert len(cells) == 1 + len(game.outcomes)
    drawn = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {action for i in game.information_sets for action in i.actions} <= set(drawn)
    assert html == game._repr_html_()


def test_html_escapes_what_games_are_called() -> None:
    html = GAMES["awkward"]._repr_html_()
    assert "<b>keep</b>" not in html
    assert "state <regulator>" not in html
    assert "<td>&lt;b&gt;keep&lt;/b&gt; &amp; go (chance 1/3)</td><td>0</td>" in html
    assert "4 decisions, 16 plans, 7 outcomes" in html
    assert "3 decisions, 8 plans, 4 outcomes" in GAMES["spd"]._repr_html_()


def test_drawing_leaves_pyplot_and_settings_alone() -> None:
    program = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy()\n"
        "from moralfit.games import trust_game\n"
        "game = trust_game(80, 60, 30, 20); game.draw(); game._repr_html_()\n"
        "assert matplotlib.rcParams.copy() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
