"""The numbers of a finished prompt, read back from its text alone."""

from __future__ import annotations

import re
from fractions import Fraction

from moralfit.errors import WordsError

#: A number as :func:`moralfit.words.number` writes it.
NUMBER = r"-?(?:0|[1-9]\d*)(?:\.\d*[1-9])?"

_ROW = re.compile(
    rf"^(?P<path>[^:=\n]+?)(?:: | gives | = )(?P<first>{NUMBER})(?:, | and | / )(?P<second>{NUMBER})$", re.MULTILINE
)
_JOINED = re.compile(r" then |-|/")
_BELIEF = re.compile(r"^You expect of others: (.+)\.$", re.MULTILINE)
_SHARE = re.compile(r"(?P<part>[1-9]\d*) of (?P<whole>[1-9]\d*) (?P<of>.+)|half (?P<half>.+)|(?P<all>.+)")


def value(text: str) -> int | Fraction:
    """An exact number; integers as int, which are faster."""
    return Fraction(text) if "." in text else int(text)


def read_payoffs(prompt: str) -> dict[tuple[str, ...], tuple[int | Fraction, int | Fraction]]:
    """The payoff table as a reader of the prompt sees it: labels on the way to each end, payoffs of first and second role.

    Raises:
        WordsError: Two rows speak of the same end.
    """
    rows = [(tuple(_JOINED.split(row[1])), (value(row[2]), value(row[3]))) for row in _ROW.finditer(prompt)]
    payoffs = dict(rows)
    if len(payoffs) < len(rows):
        raise WordsError(f"the payoff table has two rows for the same end:\n{prompt}")
    return payoffs


def read_belief(prompt: str, steps: tuple[str, ...]) -> tuple[dict[str, Fraction], ...] | None:
    """What the prompt says is to be expected of others: for each of `steps` the share of each label; None if it says nothing.

    Raises:
        WordsError: The sentence does not speak of these steps, or speaks of them in a way that cannot be read.
    """
    sentence = _BELIEF.search(prompt)
    if sentence is None:
        return None
    said = sentence[1].split("; ")
    if len(said) != len(steps) or any(not part.startswith(f"{step}: ") for part, step in zip(said, steps, strict=True)):
        raise WordsError(f"the prompt should say what to expect of others at {steps}: {sentence[0]!r}")
    belief = []
    for part, step in zip(said, steps, strict=True):
        shares: dict[str, Fraction] = {}
        for words in part[len(step) + 2 :].split(", "):
            share = _SHARE.fullmatch(words)
            assert share is not None
            label = share["of"] or share["half"] or share["all"]
            shares[label] = (
                Fraction(int(share["part"]), int(share["whole"])) if share["of"] else Fraction(1, 1 + bool(share["half"]))
            )
        belief.append(shares)
    return tuple(belief)
