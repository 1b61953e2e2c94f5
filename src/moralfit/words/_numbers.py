"""Numbers as prompts write them."""

from __future__ import annotations

from typing import Any

from moralfit.errors import WordsError
from moralfit.games import exact

_MOST_DECIMALS = 6

#: Zero to twenty in words.
NUMBER_NAMES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)


def number(value: Any) -> str:
    """A payoff as people write it: integers plain, others as decimals, never rounded.

    Raises:
        WordsError: It has more than six decimals.
    """
    if type(value) is int:
        return str(value)
    fraction = exact(value)
    if fraction.denominator == 1:
        return str(fraction.numerator)
    for decimals in range(1, _MOST_DECIMALS + 1):
        scaled = fraction * 10**decimals
        if scaled.denominator == 1:
            digits = str(abs(scaled.numerator)).rjust(decimals + 1, "0")
            return f"{'-' * (fraction < 0)}{digits[:-decimals]}.{digits[-decimals:]}"
    raise WordsError(f"{fraction} cannot be put in words exactly: use payoffs of at most {_MOST_DECIMALS} decimals")
