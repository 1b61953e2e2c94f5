"""Amounts in replies: each number that is on offer in one spelling, every other number made a doubt.

Applied to the plain text of a reply in scenes where some choices are amounts, before it is read:

1. "$5", "5 coins", "5.0" and "5 of 10" are 5; so is "five", where the line that is marked as the answer has nothing else in it.
2. "(2) 5", "2. 5" and "choice 2: 5" number the choices of a plan; in a question about one decision nothing is numbered.
3. A range ("4-5", "4 to 5"), a calculation ("2+3", "5/10"), a bound ("> 5", "~5") and a number that is not on offer are doubts:
   an answer that has one in it cannot be read.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from moralfit.words._numbers import NUMBER_NAMES, number
from moralfit.words._scene import Scene

#: Stands for a number that is no amount on offer, and before the number of a choice.
DOUBT, NUMBERED = "\x02", "\x03"

_NUMBER = r"(?<![\w.])(?:-(?=\d))?\d+(?:\.\d+)?(?!\w|\.\d)"
#: Anything that begins like a number: 5, .5, 5.5.5, 5k.
_LIKE_A_NUMBER = re.compile(rf"(?<![\w.{NUMBERED}])-?\.?\d(?:\w|\.\d)*")
_THOUSANDS = re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w,]|\.\d)")
_BOUND = re.compile(r"(?<![-=~])(?:[\u2264\u2265\u2248\u00b1~]|(?<=[^\n>])(?:>|<(?!\W?\d[\d.]*>))=?)\ ?(?=[$\u20ac\u00a3]?\d)")
_OUT_OF = re.compile(rf"({_NUMBER})\ (?:out\ )?of\ (?:(?:the|my|our|a\ total\ of)\ )?{_NUMBER}")
_CALCULATION = re.compile(
    rf"{_NUMBER}(?:(?:\ ?(?:[-+*/x^]|\b(?:to|through|or|times|plus|minus)\b)\ ?\d+(?:\.\d+)?(?!\w))+|\ ?\+)"
)
_NAMES = re.compile(rf"\b(?:{'|'.join(NUMBER_NAMES)})\b", re.IGNORECASE)
_LINE = re.compile(r"(\banswers?\ ?(?:[:=]|\bis\b)\ ?)([^\n]{1,200})", re.IGNORECASE)
_CURRENCIES = ("dollar", "dollars", "euro", "euros", "coin", "coins", "token", "tokens", "point", "points", "unit", "units")


def asks_amounts(scene: Scene) -> bool:
    """Whether an amount is among what is asked."""
    return any(scene.in_amounts(decision) for decision in scene.asked)


def has_amounts(scene: Scene) -> bool:
    """Whether some decision of the game is between amounts."""
    return any(map(scene.in_amounts, range(len(scene.labels))))


def mark_bounds(reply: str) -> str:
    """A reply, before it is made plain, with "about" for signs such as > and ~ before a number."""
    return _BOUND.sub(" about ", reply)


def verbs(scene: Scene) -> tuple[str, ...]:
    """What one may say of an amount: the frame's verbs."""
    return tuple(
        sorted({word for deed in scene.frame.deeds for form in (deed.do, deed.does, deed.did) for word in form.split()})
    )


def with_amounts(scene: Scene, text: str) -> str:
    """Plain text in which labels are the only numbers left, apart from those that number the choices of a plan."""
    offered = {
        Fraction(label): label for decision, labels in enumerate(scene.labels) if scene.in_amounts(decision) for label in labels
    }
    text = _THOUSANDS.sub(lambda found: _joined(found[0], offered), text)
    text = re.sub(rf"(?<=\d)\ ?(?:{_units(scene)})\b", "", text, flags=re.IGNORECASE)
    text = _LINE.sub(lambda found: found[1] + _in_digits(scene, found[2]), text)
    if len(scene.asked) > 1:
        text = _numbering(len(scene.asked)).sub(_numbered, text)
    text = _OUT_OF.sub(r"\1", text)
    text = _CALCULATION.sub(DOUBT, text)
    return _LIKE_A_NUMBER.sub(lambda found: _on_offer(found[0], offered), text)


def _on_offer(written: str, offered: dict[Fraction, str]) -> str:
    try:
        return offered.get(Fraction(written), DOUBT)
    except ValueError:
        return DOUBT


def _joined(digits: str, offered: dict[Fraction, str]) -> str:
    """1,000 is a thousand if a thousand is on offer, and otherwise a list."""
    together = digits.replace(",", "")
    return together if Fraction(together) in offered else digits


def _units(scene: Scene) -> str:
    """What may follow an amount: the scene's units, and common ones."""
    plurals = [scene.unit, *(deed.of.format(unit=scene.unit) for deed in scene.frame.deeds)]
    nouns = {*_CURRENCIES, *plurals}
    for plural in plurals:
        noun, space, rest = plural.partition(" ")
        singular = f"{noun.removesuffix('ies')}y" if noun.endswith("ies") else noun.removesuffix("s")
        nouns |= {noun, singular, singular + space + rest}
    return "|".join(sorted(map(re.escape, nouns), key=lambda noun: -len(noun)))


def _in_digits(scene: Scene, line: str) -> str:
    """An answer line with its numbers in digits, if it is made of nothing but choices."""
    known = {*NUMBER_NAMES, "and", "then", "i", "to", *_units(scene).replace("\\", "").split("|"), *verbs(scene)}
    known |= {label.casefold() for labels in scene.labels for label in labels}
    if all(word.casefold() in known or word.isdigit() for word in re.findall(r"[\w']+", line)):
        return _NAMES.sub(lambda found: number(NUMBER_NAMES.index(found[0].casefold())), line)
    return line


@lru_cache(maxsize=16)
def _numbering(asked: int) -> re.Pattern[str]:
    """The number of a choice, with something after it on its line. "5: 10" is left alone: 5 may be what was seen before."""
    return re.compile(
        rf"""(?:\b(?P<word>answer|choice|step|decision|part|question)\ ?|(?<![\w.]))
        \(?(?P<k>[1-{min(asked, 9)}])
        (?(word)(?!\w|\.\d)\ ?[):.]?|\ ?(?:\)|\.(?=\ )))
        \ ?[:=-]?\ ?(?=[^\s,;.)])""",
        re.IGNORECASE | re.VERBOSE,
    )


def _numbered(found: re.Match[str]) -> str:
    """The number of a choice in the form that is kept. "Answer 1:" marks the answer too."""
    marks = (found["word"] or "").casefold() == "answer" and found["k"] == "1"
    return f"{'answer: ' * marks}{NUMBERED}{found['k']} "
