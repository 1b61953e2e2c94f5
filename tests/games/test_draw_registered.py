"""Pictures of every registered game: nothing overlaps, and large simultaneous games are tables."""

import itertools
from random import Random
from xml.etree import ElementTree

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from moralfit.games import (
    GAMES,
    TRANSFER_GAMES,
    Game,
    centipede,
    concave_public_good,
    gift_exchange,
    linear_public_good,
    make_game,
    repeated_trust_game,
    simultaneous_game,
    trust_amounts,
    ultimatum_amounts,
)

REGISTERED = {
    **{name: make_game(name, 90, 45, 15, 10) for name in GAMES},
    **{name: family.sample(Random(2)) for name, family in TRANSFER_GAMES.items()},
}
LARGE = {
    "ultimatum": ultimatum_amounts(100, 10, 8),
    "trust": trust_amounts(40, 10, 3, 4),
    "gift exchange": gift_exchange(wages=4, efforts=4),
    "centipede": centipede(8),
    "three rounds": repeated_trust_game(12, 7, 5, 2, rounds=3),
    "concave public good": concave_public_good(r=3, top=6, tokens=6, scale=72),
    "five players": linear_public_good(5, 3, 3, 1),
}


def written(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def dashed(figure: Figure) -> int:
    return sum(isinstance(text, Annotation) and text.arrow_patch is not None for text in figure.axes[0].texts)


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in figure.axes[0].texts if t.get_text()]
    page = figure.bbox
    outside = [(text, "page") for text, b in boxes if min(b.x0, b.y0, page.x1 - b.x1, page.y1 - b.y1) < 0]
    return outside + [(one, other) for (one, a), (other, b) in itertools.combinations(boxes, 2) if a.overlaps(b)]


@pytest.mark.parametrize("game", [*REGISTERED.values(), *LARGE.values()], ids=[*REGISTERED, *LARGE])
def test_nothing_overlaps_or_leaves_the_page(game: Game) -> None:
    assert overlaps(game.draw()) == []
    assert overlaps(game.draw(plan=game.uniform)) == []


@pytest.mark.parametrize("game", REGISTERED.values(), ids=REGISTERED)
def test_everything_is_on_the_page(game: Game) -> None:
    figure = game.draw()
    texts = written(figure)
    assert {action for i in game.information_sets for action in i.actions} <= set(texts)
    assert any(str(value) in text for text in texts for value in game.parameters.values())
    root = ElementTree.fromstring(game._repr_html_())
    drawn = {"".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {action for i in game.information_sets for action in i.actions} <= drawn
    rows = [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]
    assert [row[1:] for row in rows[1:]] == [[str(payoff) for payoff in outcome.payoffs] for outcome in game.outcomes]


def test_shared_information_sets_are_dashed() -> None:
    """One line for each pair of neighbouring nodes of one role that cannot be told apart."""
    expected = {"prisoners_dilemma": 1, "stag_hunt": 1, "chicken": 1, "repeated_prisoners_dilemma": 1 + 4}
    assert {name: dashed(REGISTERED[name].draw()) for name in expected} == expected
    assert dashed(linear_public_good(3, 1, 3, 2).draw()) == 1 + 3
    assert all(dashed(game.draw()) == 0 for name, game in REGISTERED.items() if game.multilinear)


def test_large_simultaneous_games_are_tables() -> None:
    texts = written(concave_public_good(3, top=4, tokens=4, scale=32, base=20).draw(plan=[(0, 0, 0.25, 0.75, 0)]))
    assert {
        "own",
        "the other (player 2)",
        "2  (0.25)",
        "3  (0.75)",
        "20, 20",
        "65, 41",
        "\N{MINUS SIGN}12, \N{MINUS SIGN}12",
    } <= set(texts)
    assert "41, 65" in texts
    texts = written(linear_public_good(4, 2, kept=5, shared=2).draw())
    assert "the others together" in texts
    assert texts[-8:] == ["2", "4", "6", "8", "10", "12", "14", "16"]  # own 2, then 2 x (2 + total) for totals 0 to 6


def test_tables_of_games_that_are_not_about_totals() -> None:
    majority = simultaneous_game("majority", ("left", "right", "stay"), lambda own, others: others.count(own), 3)
    figure = majority.draw()
    assert "the others" in written(figure)
    assert {"left, left", "left, right", "stay, stay"} <= set(written(figure))
    assert overlaps(figure) == []
    # The third digit is not a number of anything: 0 and 1 differ although 1 + 1 = 0 + 2.
    odd = simultaneous_game("odd", ("0", "1", "2"), lambda own, others: others.count(1), 3)
    assert {"0, 2", "1, 1"} <= set(written(odd.draw()))
