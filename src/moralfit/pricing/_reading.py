"""A price and two notes out of what a language model wrote.

What can be read one way only is read; what cannot (a range, two prices, words) is no answer, and the firm is asked again.
Numbers are English, as the prompt is, except that a comma that cannot separate thousands is a decimal comma: `1,50` is 1.5 and
`1,500` is 1500.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from math import isfinite


@dataclass(frozen=True)
class Answer:
    """What was read.

    Attributes:
        price: In money; None if there is no valid one.
        problem: Why there is none, as one would say it to the author: "it named no price".
        plans: The note; None where the reply has none, and
        insights: likewise.
    """

    price: float | None
    problem: str | None = None
    plans: str | None = None
    insights: str | None = None


def read_reply(reply: str, ceiling: float) -> Answer:
    """Reads a reply.

    The last answer line that states something counts. A reply without one is read as a whole if it is a single line, as when a
    model says no more than "$1.50". Notes are those that stand last before the answer line that counts.

    Args:
        ceiling: The highest valid price.
    """
    lines = [_plain(line) for line in _RUN_ON.sub("\n", _simple(reply)).splitlines()]
    sections = list(_sections(lines))
    stated = [place for place, (label, text) in enumerate(sections) if label == "price" and text]
    notes = {label: text for label, text in sections[: stated[-1] if stated else len(sections)] if text}
    said = [line for line in lines if line]
    if stated:
        # An explanation below the answer line is none of the price's business.
        value = sections[stated[-1]][1].split("\n")[0]
    elif len(said) == 1 and not notes and _says_a_price(said[0]):
        value = said[0]
    elif any(label == "price" for label, _ in sections):
        return Answer(None, "nothing stood on its price line", notes.get("plans"), notes.get("insights"))
    else:
        return Answer(None, "it had no price line", notes.get("plans"), notes.get("insights"))
    price, problem = read_price(value)
    if price is not None and price > ceiling * (1 + 1e-9):
        price, problem = None, "its price was above what anyone pays"
    return Answer(price, problem, notes.get("plans"), notes.get("insights"))


def read_price(text: str) -> tuple[float | None, str | None]:
    """The price that a phrase such as "about $1.50 per unit, since ..." states, or None and why there is none."""
    text = _plain(_simple(text))
    inside = re.fullmatch(r"\(([^()]*)\)\.?", text)
    text = inside[1] if inside else re.sub(r"\([^()]*\)", " ", text)
    text = _WHEN.sub(" ", _CURRENCY.sub(" ", text))
    # What follows a reason or the end of a sentence is about the price, and may name others.
    text = _REASON.split(text)[0].lstrip(" :=").rstrip(" .:=;!")
    numbers = list(_NUMBER.finditer(text))
    if not numbers:
        return None, "its price was not a number"
    if len(numbers) > 1:
        return None, "it named more than one number as its price"
    before, digits, after = text[: numbers[0].start()].strip(), numbers[0][0], text[numbers[0].end() :]
    if re.search(r"-\s*$|\b(?:minus|negative)\b", before):
        return None, "its price was negative"
    if _OTHER_UNIT.match(after) or _BOUND.search(before) or (_CHANGE.search(before) and not re.search(r"\b(?:to|at)$", before)):
        return None, "its price was not a plain amount of money"
    number = _number(digits)
    if number is None:
        return None, "its price was not a number"
    return number, None


#: Where a section begins, and what its label may look like besides the one that was asked for.
_LABEL = re.compile(
    r"(?:\d{1,2}[.)]\s*)?(?:(?:my|our|the|new|updated|final|chosen|next|proposed|selected|set)\s+){0,3}"
    r"(?P<label>thoughts?|observations?|plans?|insights?|price|answer)"
    r"(?:\s+(?:for|in|of)\s+(?:this|the|next|my|our|period)[\w ]{0,20})?(?:\s*\([^()]{0,30}\))?"
    # Without a colon it is a label only where it stands alone, as headings do, or says a number.
    r"\s*(?::|=|$|\bis(?=\s+[$€£]?\s*\d))\s*",
    re.IGNORECASE,
)
#: Where a new line was meant: a sentence ends (not the number of a list), and a label as asked for follows; a price only as the
#: last words of its line.
_RUN_ON = re.compile(
    r"(?<=[^\n]{3}[.!?;\"”])[ \t]+(?=(?:Plans|Insights):[ \t]|Price:[ \t]*[$€£]?[ \t]*\d+(?:[.,]\d+)?\.?[ \t]*$)", re.MULTILINE
)
#: What a line that says no more than a price may hold beside it; a number in other company may be anything.
_ASIDE = frozenset({
    "a", "about", "again", "answer", "approx", "approximately", "around", "ask", "asking", "at", "be", "charge",
    "charging", "choose", "choosing", "chosen", "d", "each", "final", "for", "go", "i", "is", "it", "its", "let", "lets",
    "ll", "m", "maybe", "my", "new", "next", "now", "of", "our", "per", "period", "price", "roughly", "s", "say",
    "selling", "set", "setting", "the", "then", "this", "to", "unit", "us", "will", "with", "would",
})  # fmt: skip
_SECTIONS = {"plan": "plans", "insight": "insights", "price": "price", "answer": "price"}

_CURRENCY = re.compile(r"\\?[$€£¥₹]|(?<![a-z])(?:us\s?)?(?:dollars?|usd|euros?|eur|gbp|pounds?|points?)\b", re.IGNORECASE)
_WHEN = re.compile(r"\b(?:for|in)\s+(?:the\s+)?(?:next\s+)?period\s+\d+", re.IGNORECASE)
_REASON = re.compile(
    r"\s(?:because|since|as|which|so|in order|given|gives|yields|earns|while|this|that|but|though|and then)\b|;|[.!]\s"
    r"|,\s+(?=[a-z])|\s-{1,3}\s+(?=[a-z])",
    re.IGNORECASE,
)
#: Digits with separators: 1.5, .5, 1,50, 1,234.5, 1.234,5, 1 234.5, 1'234.5.
_NUMBER = re.compile(r"(?<![\w.,])(?:\d[\d.,']*(?: \d{3}(?!\d))*(?:[.,]\d+)?|\.\d+)")
#: What makes of the number before it something else than a price.
_OTHER_UNIT = re.compile(
    r"[\w^*+~⁄-]|\s*(?:%|\+|\*|x\b|percent|cents?\b|thousand|million|times\b|or (?:more|less|higher|lower)\b|to\b|-$)",
    re.IGNORECASE,
)
#: What makes of the number after it a bound or a change.
_BOUND = re.compile(
    r"\b(?:not|never)\b|(?:\b(?:between|from|above|below|over|under|than|least|most|up to|by|no|plus|times)|[<>≤≥+*/^≠])$",
    re.IGNORECASE,
)
_CHANGE = re.compile(r"\b(?:rais|increas|lower|reduc|decreas|cut|drop)", re.IGNORECASE)


def _says_a_price(line: str) -> bool:
    return _ASIDE.issuperset(re.findall(r"[^\W\d_]+", _CURRENCY.sub(" ", line).lower()))


def _simple(text: str) -> str:
    """Digits, spaces and full-width signs as a keyboard has them; signs such as 1/2 in one character stay what they are."""
    if text.isascii():
        return text
    return "".join(map(_simple_character, text))


def _simple_character(character: str) -> str:
    if character.isascii():
        return character
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if unicodedata.category(character) == "Zs":
        return " "
    if character in "‐‑‒–—−":
        return "-"
    return unicodedata.normalize("NFKC", character) if "\uff00" <= character <= "\uffef" else character


def _plain(line: str) -> str:
    """A line without the marks of Markdown, LaTeX and quotation."""
    line = re.sub(r"\\(?:boxed|text|mathbf)\b|\\[()\[\]]", " ", line)
    line = re.sub(r"<([^<>]*)>", r" \1 ", line)
    line = re.sub(r"[*_`#|\[\]{}\"“”„«»‘’]", " ", line)
    line = re.sub(r"^\s*(?:[->•]\s+)+(?=[a-z])", "", line, flags=re.IGNORECASE)
    return " ".join(line.split())


def _sections(lines: list[str]) -> list[tuple[str, str]]:
    """The labelled parts in their order, each with its text; what stands before the first label belongs to none."""
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        if match := _LABEL.match(line):
            label = match["label"].lower().rstrip("s")
            found.append((_SECTIONS.get(label, "thoughts"), [line[match.end() :]]))
        elif found and line:
            found[-1][1].append(line)
    return [(label, "\n".join(part for part in parts if part)) for label, parts in found]


def _number(digits: str) -> float | None:
    """A number in English or, where that cannot be, with a decimal comma; None if the separators make no sense."""
    digits = digits.rstrip(".,'")
    compact = re.sub(r"[ ']", "", digits)
    if re.search(r"[ ']", digits) and not re.fullmatch(r"\d{1,3}(?:[ ']\d{3})+(?:[.,]\d+)?", digits):
        return None
    if re.fullmatch(r"\d*\.?\d+", compact):
        plain = compact
    elif re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?", compact):
        plain = compact.replace(",", "")
    elif re.fullmatch(r"\d+,\d+", compact):
        plain = compact.replace(",", ".")
    elif re.fullmatch(r"[1-9]\d{0,2}(?:\.\d{3})+,\d+|[1-9]\d{0,2}(?:\.\d{3}){2,}", compact):
        plain = compact.replace(".", "").replace(",", ".")
    else:
        return None
    value = float(plain)
    return value if isfinite(value) else None
