"""What the pictures of games share: colours, lengths in inches, and how numbers are written."""

from __future__ import annotations

from moralfit.games._tree import Game, Number, exact

#: Okabe and Ito (2008): told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
INK, PALE = "#333333", "#8C8C8C"
MARGIN, ROW, LINE, LETTER = 0.25, 0.5, 0.17, 0.085
TITLE = 0.22


def colour_of(role: int) -> str:
    """The colour of a role."""
    return COLOURS[role % len(COLOURS)]


def title_of(game: Game) -> str:
    """The name of a game as a heading."""
    return game.name.replace("_", " ").capitalize()


def letters_of(game: Game) -> str:
    """The parameters of a game in one line."""
    return ", ".join(f"{letter.replace('_', ' ')} = {number_as_text(value)}" for letter, value in game.parameters.items())


def number_as_text(value: Number) -> str:
    """A payoff as people write it: a short decimal if it is one, else a fraction."""
    fraction = exact(value)
    text = f"{float(fraction):.10g}" if 10_000 % fraction.denominator == 0 else str(fraction)
    return text.replace("-", "\N{MINUS SIGN}")
