"""The design: which prompts are asked how often, in which words and in which order of options, balanced and seeded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import Any, Literal

from moralfit.agents import ANSWER
from moralfit.dilemmas._family import Cell, DilemmaFamily, Level, Size
from moralfit.models import Messages

#: How an answer is given: a number from 0 to 100, or one of two options.
Format = Literal["scale", "choice"]
FORMATS: tuple[Format, ...] = ("scale", "choice")
LETTERS = ("A", "B")
#: Short, since small models answer before they talk or not at all; it names no answer, which they would repeat.
_FORM = "Reply with one line:"
NUMBERS = tuple(str(number) for number in range(101))


@dataclass(frozen=True)
class Item:
    """One prompt, asked once.

    Attributes:
        cell: Its factor levels and question. format: How it is answered. sample: Its number among the cell's.
        paraphrase: Which wording. approve_first: Whether approval is the first option, or the upper end of the scale.
        options: For a forced choice the texts behind A and B. prompt: What is asked. seed: What sampling starts from.
    """

    family: str
    cell: dict[str, Level]
    scenario: str
    format: Format
    sample: int
    paraphrase: int
    approve_first: bool
    options: tuple[str, str] | None
    prompt: str
    seed: str

    @property
    def id(self) -> str:
        """Unique in the design."""
        return f"{self.family}/{self.scenario} question={self.cell['question']} {self.format} {self.sample}"

    @property
    def story(self) -> str:
        """The situation as it was told: the scenario in one of its paraphrases. Replies to one story are a cluster."""
        return f"{self.family}/{self.scenario} {self.paraphrase}"


def design(family: DilemmaFamily, which: Size, samples: int, seed: int) -> list[Item]:
    """All prompts of a family, `samples` for each cell and format.

    A scenario's samples take the paraphrases in turn and the two orders in turn, going on where the scenario before stopped, in
    a drawn order of scenarios. So within a cell both orders come equally often if `samples` is even, and all paraphrases if it
    is a multiple of their number; over the design paraphrases differ by a few scenarios' samples at most. All questions about a
    scenario share its paraphrases: what others should do and what one does oneself are compared on the same words.
    """
    cells = list(family.cells(which))
    questions = Counter(family.scenario(cell) for cell in cells)
    drawn = Random(f"{seed}/{family.key}/design").sample(list(questions), len(questions))
    # Those with as many questions follow each other, since they weigh the same in the balance of words.
    start = {scenario: place * samples for place, scenario in enumerate(sorted(drawn, key=lambda name: questions[name]))}
    found = []
    for cell in cells:
        scenario = family.scenario(cell)
        for form in FORMATS:
            for sample in range(samples):
                paraphrase, approve_first = _variant(start[scenario] + sample, family.paraphrases)
                found.append(_item(family, cell, scenario, form, sample, paraphrase, approve_first, seed))
    return found


def _variant(number: int, paraphrases: int) -> tuple[int, bool]:
    """Paraphrase and order of a running number: each changes at every step, and all pairs come in one round."""
    turn = number // paraphrases if paraphrases % 2 == 0 else 0
    return number % paraphrases, (number + turn) % 2 == 0


def _item(
    family: DilemmaFamily, cell: Cell, scenario: str, form: Format, sample: int, paraphrase: int, approve_first: bool, seed: int
) -> Item:
    words = family.wording(cell, paraphrase)
    lines = [family.story(cell, paraphrase)]
    options = None
    if form == "scale":
        low, high = (words.low, words.high) if approve_first else (words.high, words.low)
        lines += [words.scale, f"Give a number from 0 ({low}) to 100 ({high}).", f"{_FORM} {ANSWER} number"]
    else:
        options = (words.approve, words.reject) if approve_first else (words.reject, words.approve)
        lines += [words.choice, *(f"{letter}: {text}" for letter, text in zip(LETTERS, options, strict=True))]
        lines += [f"{_FORM} {ANSWER} letter"]
    item = Item(
        family.key, dict(cell), scenario, form, sample, paraphrase, approve_first, options, "\n".join(lines), seed=""
    )  # fmt: skip
    return Item(**{**vars(item), "seed": f"{seed}/dilemmas/{item.id}"})


def messages(item: Item, system: str | None) -> Messages:
    """The conversation of an item, with the system message that agents were trained with."""
    opening = [] if system is None else [{"role": "system", "content": system}]
    return [*opening, {"role": "user", "content": item.prompt}]


def fingerprint(items: Sequence[Item], system: str | None) -> str:
    """A SHA-256 of all that is asked."""
    digest = sha256(repr(system).encode())
    for item in items:
        digest.update(f"\n{item.id}\n{item.prompt}\n{item.seed}".encode())
    return digest.hexdigest()


def balance(items: Sequence[Item]) -> dict[str, Any]:
    """How often each paraphrase and each order is used, over the design, and the largest difference within a cell."""
    worst = 0
    cells: dict[str, list[bool]] = {}
    for item in items:
        cells.setdefault(f"{item.scenario} {item.cell['question']} {item.format}", []).append(item.approve_first)
    for orders in cells.values():
        worst = max(worst, abs(2 * sum(orders) - len(orders)))
    paraphrases = sorted({item.paraphrase for item in items})
    return {
        "paraphrases": {str(p + 1): sum(item.paraphrase == p for item in items) for p in paraphrases},
        "approval first": sum(item.approve_first for item in items),
        "approval last": sum(not item.approve_first for item in items),
        "largest difference of orders in a cell": worst,
    }
