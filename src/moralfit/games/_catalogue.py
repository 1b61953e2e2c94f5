"""The three games that the agents are trained on, after Lu, Dhanda, Chen and Hansen (arXiv 2507.20796): T > R > P > S."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Literal

from moralfit.errors import GameError
from moralfit.games._parameters import ordered
from moralfit.games._tree import Decision, Game, Number, Terminal


def sequential_prisoners_dilemma(T: Number, R: Number, P: Number, S: Number) -> Game:
    """First mover plays C or D; the second sees it and plays C or D.

    Payoffs in points (first, second): CC (R, R), CD (S, T), DC (T, S), DD (P, P). A plan is (first, after C, after D).

    Raises:
        GameError: The payoffs do not satisfy T > R > P > S.
    """
    name = "sequential_prisoners_dilemma"
    parameters = ordered(name, "T > R > P > S", {"T": T, "R": R, "P": P, "S": S})
    after_c = Decision(1, "after C", ("C", "D"), (Terminal((R, R)), Terminal((S, T))))
    after_d = Decision(1, "after D", ("C", "D"), (Terminal((T, S)), Terminal((P, P))))
    return Game(name, Decision(0, "first", ("C", "D"), (after_c, after_d)), parameters=parameters)


def trust_game(T: Number, R: Number, P: Number, S: Number) -> Game:
    """First mover invests (I) or not (N); after I the second gives back (G) or keeps (K).

    Payoffs in points (first, second): N (P, P), IG (R, R), IK (S, T). A plan is (first, after I).

    Raises:
        GameError: The payoffs do not satisfy T > R > P > S.
    """
    name = "trust_game"
    parameters = ordered(name, "T > R > P > S", {"T": T, "R": R, "P": P, "S": S})
    after_i = Decision(1, "after I", ("G", "K"), (Terminal((R, R)), Terminal((S, T))))
    return Game(name, Decision(0, "first", ("I", "N"), (after_i, Terminal((P, P)))), parameters=parameters)


def ultimatum_game(T: Number, R: Number, P: Number, S: Number, convention: Literal["TRPS", "TRSP"] = "TRPS") -> Game:
    """First mover offers an equal (E) or an unequal (U) split; after U the second accepts (A) or rejects (N).

    Payoffs in points (first, second) with the default convention, ours: E (R, R), UA (T, P), UN (S, S) and T > R > P > S, so
    that rejecting costs both. With `convention="TRSP"`, the letters of van Leeuwen and Alger (2024): E (R, R), UA (T, S),
    UN (P, P) and T > R > S > P. A plan is (first, after U).

    Raises:
        GameError: The payoffs are not in the order of the convention, or the convention is unknown.
    """
    name = "ultimatum_game"
    if convention == "TRPS":
        parameters = ordered(name, "T > R > P > S", {"T": T, "R": R, "P": P, "S": S})
        accepted, rejected = Terminal((T, P)), Terminal((S, S))
    elif convention == "TRSP":
        parameters = ordered(name, "T > R > S > P", {"T": T, "R": R, "P": P, "S": S})
        accepted, rejected = Terminal((T, S)), Terminal((P, P))
    else:
        raise GameError(f"{name}: convention must be 'TRPS' or 'TRSP', got {convention!r}")
    after_u = Decision(1, "after U", ("A", "N"), (accepted, rejected))
    return Game(name, Decision(0, "first", ("E", "U"), (Terminal((R, R)), after_u)), parameters=parameters)


#: Every game that recipes, words and evaluation know by name.
GAMES: dict[str, Callable[[Number, Number, Number, Number], Game]] = {
    "sequential_prisoners_dilemma": sequential_prisoners_dilemma,
    "trust_game": trust_game,
    "ultimatum_game": ultimatum_game,
}


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """A question for the middle of a message, naming the known name that is nearest; empty where none is near."""
    near = get_close_matches(str(name), list(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def make_game(name: str, T: Number, R: Number, P: Number, S: Number) -> Game:
    """The registered game `name` with these payoffs.

    Raises:
        GameError: The name is unknown (the nearest known one is named) or the payoffs are out of order.
    """
    if name not in GAMES:
        raise GameError(f"unknown game {name!r}; {did_you_mean(name, GAMES)}Known games: {', '.join(GAMES)}")
    return GAMES[name](T, R, P, S)
