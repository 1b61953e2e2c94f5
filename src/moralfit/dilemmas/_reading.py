"""From a reply to an answer: a number from 0 to 100, or one of two options. Nothing is guessed.

What follows the last "Answer:" decides; without one, a statement such as "I would say 70", a line that holds nothing but the
answer, or a reply that begins with it. Ranges, bounds, two numbers and numbers that count people are no answer. A reply that
declines to answer is `refused`, which is a finding; any other without an answer is `unparseable`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from moralfit.dilemmas._design import LETTERS
from moralfit.games import Decision, Game, Terminal
from moralfit.words import BOX, NUMBER_NAMES, Frame, Scene, parse_reply, plain

Status = Literal["answered", "refused", "unparseable"]


@dataclass(frozen=True)
class Answer:
    """What a reply says: `value` is the number stated, or the place of the option taken, 0 or 1; None unless answered."""

    status: Status
    value: float | None = None


# --- Numbers

_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = {name: number for number, name in enumerate(NUMBER_NAMES)} | {"hundred": 100, "a hundred": 100, "one hundred": 100}
_WORDS |= {ten: 10 * place for place, ten in enumerate(_TENS, 2)}
_WORDS |= {f"{ten} {NUMBER_NAMES[n]}": 10 * place + n for place, ten in enumerate(_TENS, 2) for n in range(1, 10)}
_NAMED = "|".join(name.replace(" ", "[ -]") for name in sorted(_WORDS, key=len, reverse=True))
_NUMBER = rf"(?:\d+(?:[.,]\d+)*|\.\d+|\b(?:{_NAMED})\b)"
_FILLERS = (
    r"about|around|approximately|roughly|circa|ca|maybe|probably|perhaps|likely|nearly|almost|exactly|precisely|simply|just|clearly"
    r"|i|we|would|will|should|could|d|ll|say|rate|give|choose|pick|put|go|with|estimate|guess|think|believe|that|it|this|the|a|an|my|our"
    r"|final|rating|score|number|value|answer|is|be|at|of|as|to|let|me|likelihood|support|agreement|so|therefore|then|how|moral"
    r"|morality|car|on|scale|level|percentage|probability|chance|equals?"
)
_LEAD = rf"(?:\W|\b(?:{_FILLERS})\b)*?(?<![\w.,-])"
_UNIT = r"(?:\ ?(?:/\ ?|out\ of\ |of\ |in\ )100(?!\w|\.\d)|\ ?%|\ ?percent\b|\ ?per\ cent\b|\ ?points?\b)"
_PHRASE = re.compile(rf"{_LEAD}(?P<sign>-\ ?)?(?P<number>{_NUMBER})(?![\w])(?P<unit>{_UNIT})?", re.IGNORECASE | re.VERBOSE)
#: What makes of the number before it a range, a bound, another scale, a sum or a count of people.
_SPOILED = re.compile(
    rf"""\ ?(?:[-\u2014/+x*]|\b(?:to|through|or|and|plus|minus|give\ or\ take)\b)\ ?(?:\w+\ )?(?:or\ )?{_NUMBER}
      | \ ?,?\ ?(?:bound\ )?{_NUMBER}
      | \ ?\+
      | \ ?(?:,\ )?(?:or|and)\ (?:more|less|fewer|higher|lower|above|below|up|over|under)\b
      | \ (?:people|persons?|lives|life|pedestrians?|passengers?|others?|deaths?|days?|years?|minutes?|cars?|times?)\b
      | \ (?:in|out|of)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_BOUND = re.compile(r"[<>\u2264\u2265]=?\s*(?=\d)|\u00b1")
_STRONG = re.compile(
    rf"{BOX}|\banswers?(?: ?\(s\))? ?(?:[:=]|-(?=\s)|\bis\b ?:?|\bwould be\b)"
    r"|(?:^|(?<=\n))(?:(?:my|the|final) )*answers?(?=\n|$)",
    re.IGNORECASE,
)
_SOFT = re.compile(
    r"\b(?:(?:I|we)(?:'d| would| will|'ll)? (?:\w+ly )?(?:say|rate|give|choose|pick|put|go with|estimate|answer|score)"
    r"|(?:rating|score|number|value|likelihood|probability|support|agreement)(?: (?:is|of|would be)\b|:))",
    re.IGNORECASE,
)
_ECHO = re.compile(r"\W*(?:number|letter)\W*(?:\n|$)", re.IGNORECASE)
_REVISED = re.compile(
    rf"\b(?:wait|actually|correction|scratch that|i mean|on second thoughts?|oops|sorry|no(?=,))\b[^.\n]{{0,60}}?{_NUMBER}",
    re.IGNORECASE,
)


def read_number(reply: str) -> Answer:
    """The number from 0 to 100 that a reply states.

    "75", "75/100", "75 %", "around 75" and "seventy-five" are 75. Ranges ("70-80"), bounds ("at least 75", "75+"), other scales
    ("7/10"), alternatives and numbers outside the scale are unparseable.
    """
    text = plain(_BOUND.sub(" bound ", reply))
    value = _number_in(text)
    if value is not None:
        return Answer("answered", value)
    return Answer("refused" if _declines(reply, text) else "unparseable")


def _number_in(text: str) -> float | None:
    marks = [mark for mark in _STRONG.finditer(text) if not _ECHO.match(text, mark.end())]
    if marks:
        return _stated(text, marks[-1].end())
    if soft := list(_SOFT.finditer(text)):
        return _stated(text, soft[-1].end())
    lines = text.split("\n")
    # A list begins with "1."; no other number at the start numbers anything.
    begins = re.match(rf"{_PHRASE.pattern}(?=\ ?(?:[.,;:!(\n\u2014]|\ -\ |$))", text, re.IGNORECASE | re.VERBOSE)
    if begins and not re.match(r"\W*1[.:)]\ ?\S", text):
        return _stated(text, 0)
    return _stated(lines[-1], 0) if re.fullmatch(rf"{_PHRASE.pattern}\W*", lines[-1], re.IGNORECASE | re.VERBOSE) else None


def _stated(text: str, start: int) -> float | None:
    """The number that stands at `start`, after words that say nothing; None if what follows spoils it."""
    found = _PHRASE.match(text, start)
    if found is None or found["sign"] or "\n" in text[start : found.start("number")].strip():
        return None
    if _SPOILED.match(text, found.end()) or _REVISED.search(text, found.end()):
        return None
    written = re.sub(r"[ -]", " ", found["number"].casefold())
    if written in _WORDS:
        return float(_WORDS[written])
    if re.fullmatch(r"\d+(?:[.,]\d{1,2})?|\.\d+", written) is None:
        return None
    value = float(written.replace(",", "."))
    return value if 0 <= value <= 100 else None


# --- Options


def read_choice(reply: str, options: tuple[str, str]) -> Answer:
    """Which of two options a reply takes, by its letter or in its words. A letter with the other's words is unparseable.

    Options that are only listed again, as the prompt lists them, are no answer.
    """
    reply = _LISTED.sub("\n", reply)
    parsed = parse_reply(_scene(), reply)
    text = plain(reply)
    said = [line for mark in _STRONG.finditer(text) for line in [text[mark.end() :].strip().split("\n")[0]]]
    # The words of an option count where the answer stands, or in a reply or a first line that says nothing else.
    begins = text.split("\n")[0]
    place = said[-1] if said else text if _only(text, options) else begins if _only(begins, options) else ""
    named = _named(place, options)
    if parsed.status == "answered":
        taken = LETTERS.index(parsed.actions[0])
        return Answer("unparseable") if named == 1 - taken else Answer("answered", taken)
    if named is not None and _letters(place, options) <= {LETTERS[named]} and (said or not _contradicted(text, place, named)):
        return Answer("answered", named)
    return Answer("refused" if parsed.status == "refused" or _declines(reply, text) else "unparseable")


_LISTED = re.compile(r"(?:^|(?<=\n))[^\w\n]*A ?[:.)-][^\n]+\n+[^\w\n]*B ?[:.)-][^\n]+(?:\n|$)")
#: What may stand around the words of an option in a statement that takes it.
_AROUND = (
    r"i|we|you|would|will|should|could|d|ll|shall|must|want|wants|prefer|choose|pick|take|buy|say|think|want|to|the|a|an|that|it|this"
    r"|my|our|answer|choice|option|decision|is|be|for|car|cars|person|people|they|others|other|everybody|everyone|somebody|there|else"
    r"|model|have|has|do|get|go|with|of|them|these|right|thing|moral|best|vote|so|therefore|letter|them|what|which|one|b"
)


def _words(text: str) -> str:
    """The words of a text alone, in small letters."""
    return " ".join(re.findall(r"[\w']+", text.casefold()))


def _only(text: str, options: tuple[str, str]) -> bool:
    """Whether a text says nothing but what one takes."""
    rest = _words(text)
    for option in sorted(options, key=len, reverse=True):
        rest = re.sub(rf"\b{re.escape(_words(option))}\b", " ", rest)
    return re.fullmatch(rf"\s*(?:(?:{_AROUND})\b\s*)*", rest) is not None


def _contradicted(text: str, place: str, named: int) -> bool:
    """Whether what follows a first line that takes an option speaks for the other's letter."""
    return bool(re.search(rf"(?<![\w']){LETTERS[1 - named]}(?![\w'])", text[len(place) :]))


def _named(text: str, options: tuple[str, str]) -> int | None:
    """The one option whose words stand in `text`, not denied."""
    rest = _words(text)
    found = set()
    for place in sorted((0, 1), key=lambda option: -len(options[option])):
        rest, count = re.subn(rf"\b{re.escape(_words(options[place]))}\b", " ", rest)
        if count:
            found.add(place)
    if len(found) != 1 or re.search(r"\b(?:not|never|no|nor|neither|or|rather|instead|either|both|\w+n't)\b", rest):
        return None
    return found.pop()


def _letters(text: str, options: tuple[str, str]) -> set[str]:
    """The letters that stand for options; "A" before any word but an option's is an article."""
    article = "|".join(re.escape(option.split()[0]) for option in options)
    return set(re.findall(rf"(?<![\w'])(?:A(?! (?!(?:{article})\b)[a-z])|B)(?![\w'])", text))


@cache
def _scene() -> Scene:
    """A choice between A and B, for the reader of choices in games."""
    ends = tuple(Terminal((0, 0)) for _ in LETTERS)
    # Roles that no reply mentions: whoever names its own role speaks of itself.
    game = Game("dilemma", Decision(0, "first", LETTERS, ends), ("role one of none", "role two of none"))
    frame = Frame("dilemma", (), (), (), ())
    return Scene(game, frame, (LETTERS,), ((0, 1),), "", game.roles, "", (0, 0, 0), None, None)


# --- Refusals

_UNABLE = (
    r"(?:can't|cannot|can\ not|won't|will\ not|would\ not|wouldn't"
    r"|(?:'m|am)\ (?:unable|not\ (?:able|willing|going|comfortable))(?:\ to)?)"
)
_RATING = r"(?:rate|rating|judge|put\ a\ number|quantify|assign|score|weigh|say|take\ (?:a\ )?sides?)"
_NOTHING = (
    r"(?:n\ ?/\ ?a|none|neither|no\ (?:answer|comment|opinion|rating)|prefer\ not|declined?|refused?|abstain|pass|unable)"
)
_REFUSAL = re.compile(
    rf"""\b(?:I|we)\ ?{_UNABLE}\ (?:\w+\ ){{0,2}}?{_RATING}\b
      | \b(?:I|we)\ ?(?:do\ not|don't)\ (?:\w+\ )?(?:think\ it\ is\ (?:my\ place|appropriate)|{_RATING})\b
      | \b(?:would|'d)\ (?:rather|prefer)\ (?:to\ )?not\b
      | \b(?:no|not)\ (?:an?\ )?(?:number|rating|score)\ (?:can|could|should|may)\b
      | \bas\ an?\ (?:AI|artificial|language\ model)\b.{{0,80}}\b(?:do\ not|don't|cannot|can't|unable|no)\b
      | \banswers?\ ?:\ ?{_NOTHING}\b""",
    re.IGNORECASE | re.VERBOSE,
)


def _declines(reply: str, text: str) -> bool:
    return bool(_REFUSAL.search(text)) or parse_reply(_scene(), reply).status == "refused"
