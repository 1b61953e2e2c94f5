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
_CROWD = re.compile(
    rf"^(?P<own>[^:=,\n]+?), (?:others (?P<all>[^:=\n]+?)|(?P<many>\d+) others? (?P<what>[^:=\n]+?))"
    rf"(?:: | gives | = )(?P<payoff>{NUMBER})$",
    re.MULTILINE,
)
_JOINED = re.compile(r" then | and |-|/")
_BELIEF = re.compile(r"^You expect of (?:each of the )?others: (.+)\.$", re.MULTILINE)
_AMOUNT = re.compile(rf"[a-z ]+ ({NUMBER})")
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


def read_crowd_payoffs(prompt: str) -> dict[tuple[str, str], int | Fraction]:
    """The payoff table of a game of more than two: by the own label and what the others do, as the row has it after "others".

    "A, 2 others B: 5" is `("A", "2 B"): 5`; "0, others 3 = 7" is `("0", "3"): 7`.

    Raises:
        WordsError: Two rows speak of the same case.
    """
    rows = [
        ((row["own"], row["all"] or f"{row['many']} {row['what']}"), value(row["payoff"])) for row in _CROWD.finditer(prompt)
    ]
    payoffs = dict(rows)
    if len(payoffs) < len(rows):
        raise WordsError(f"the payoff table has two rows for the same case:\n{prompt}")
    return payoffs


def read_belief(prompt: str, steps: tuple[str, ...]) -> tuple[dict[str, Fraction], ...] | None:
    """What the prompt says is to be expected of others: for each of `steps` the share of each label; None if it says nothing.

    A game's only decision has the empty step. Of "half give 2, half give 4", the labels are 2 and 4.

    Raises:
        WordsError: The sentence does not speak of these steps, or speaks of them in a way that cannot be read.
    """
    sentence = _BELIEF.search(prompt)
    if sentence is None:
        return None
    said = sentence[1].split("; ")
    heads = [f"{step}: " if step else "" for step in steps]
    if len(said) != len(steps) or any(not part.startswith(head) for part, head in zip(said, heads, strict=True)):
        raise WordsError(f"the prompt should say what to expect of others at {steps}: {sentence[0]!r}")
    belief = []
    for part, head in zip(said, heads, strict=True):
        shares: dict[str, Fraction] = {}
        for words in part.removeprefix(head).split(", "):
            share = _SHARE.fullmatch(words)
            assert share is not None
            label = share["of"] or share["half"] or share["all"]
            if amount := _AMOUNT.fullmatch(label):
                label = amount[1]
            shares[label] = (
                Fraction(int(share["part"]), int(share["whole"])) if share["of"] else Fraction(1, 1 + bool(share["half"]))
            )
        belief.append(shares)
    return tuple(belief)
