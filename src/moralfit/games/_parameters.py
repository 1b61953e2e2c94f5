"""Checks that the constructors of games share: payoffs in order, counts that are counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from moralfit.errors import GameError
from moralfit.games._tree import Number, exact


def ordered(game: str, order: str, payoffs: Mapping[str, Number]) -> dict[str, Number]:
    """The payoffs in the order of `order`, such as `R > T >= P > S`, after checking that they satisfy it.

    Raises:
        GameError: A payoff is not a finite number, or they are not in this order.
    """
    letters = re.findall(r"\w+", order)
    signs = re.findall(r">=?", order)
    named = {letter: payoffs[letter] for letter in letters}
    numbers = [exact(value, f"{game}: {letter}") for letter, value in named.items()]
    if any(a < b or (a == b and sign == ">") for (a, b), sign in zip(pairwise(numbers), signs, strict=True)):
        given = ", ".join(f"{letter} = {value}" for letter, value in named.items())
        raise GameError(f"{game}: payoffs must satisfy {order}, got {given}")
    return named


def whole(game: str, what: str, value: Any, least: int, most: int) -> int:
    """`value` as a count between `least` and `most`.

    Raises:
        GameError: It is not a whole number or lies outside.
    """
    number = exact(value, f"{game}: {what}")
    if number.denominator != 1 or not least <= number <= most:
        raise GameError(f"{game}: {what} must be a whole number from {least} to {most}, got {value}")
    return int(number)


def positive(game: str, what: str, value: Any) -> Number:
    """`value` as an exact number above zero.

    Raises:
        GameError: It is not a number above zero.
    """
    number = exact(value, f"{game}: {what}")
    if number <= 0:
        raise GameError(f"{game}: {what} must be above zero, got {value}")
    return int(number) if number.denominator == 1 else number


def label(amount: Number) -> str:
    """An amount as the name of an action: 2, 2.5 or 1/3."""
    fraction = exact(amount)
    return f"{float(fraction):.10g}" if 10_000 % fraction.denominator == 0 else str(fraction)
