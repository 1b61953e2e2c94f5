"""What a family of moral dilemmas is: factors, questions in words, what theory answers, and what people were found to answer.

Every family asks the same four questions about one act that helps others at a cost to whoever does it:

- `moral`: how moral the act is;
- `own`: whether one would do or buy it oneself;
- `others`: whether others should;
- `rule`: whether everyone should be made to.

The social dilemma is the gap between `others` and `own` (Bonnefon, Shariff and Rahwan 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from typing import Literal, TypeAlias

Level: TypeAlias = int | str
#: A level for each factor of a family, and the question.
Cell: TypeAlias = Mapping[str, Level]
Question: TypeAlias = Literal["moral", "own", "others", "rule"]
QUESTIONS: tuple[Question, ...] = ("moral", "own", "others", "rule")
#: How many cells a design has: two of its questions at the ends of the gradient, for a trial; the chief ones; all.
Size: TypeAlias = Literal["few", "small", "full"]
SIZES: tuple[Size, ...] = ("few", "small", "full")
#: How the weight on one's own payoff is read: in the role that the prompt gives, or over all roles that one might have had.
Standpoint: TypeAlias = Literal["role known", "veil"]
STANDPOINTS: tuple[Standpoint, ...] = ("role known", "veil")


@dataclass(frozen=True)
class Stakes:
    """By how much approving is better than not approving, in the family's payoff units.

    `u = (1 - kappa) own + kappa universal` (Alger and Weibull 2013), so one approves where
    `(1 - kappa) * own + kappa * universal > 0`.

    Attributes:
        own: The advantage for oneself, given what others do. universal: The advantage if everyone did the same.
    """

    own: Fraction
    universal: Fraction

    def advantage(self, kappa: Fraction | int) -> Fraction:
        """Utility of approving less that of not approving."""
        return (1 - kappa) * self.own + kappa * self.universal

    def answer(self, kappa: Fraction | int) -> float:
        """1 approves, 0 does not, 0.5 is indifferent."""
        advantage = self.advantage(kappa)
        return 0.5 if advantage == 0 else float(advantage > 0)

    @property
    def switch(self) -> Fraction | None:
        """The kappa at which the answer changes; None where it is the same for all kappa strictly between 0 and 1."""
        if self.own * self.universal >= 0:
            return None
        return self.own / (self.own - self.universal)

    @property
    def approves(self) -> str:
        """The kappas between 0 and 1 at which one approves, in a word: "> 0.55", "< 0.7", "always", "never", "either"."""
        if self.switch is not None:
            return f"{'>' if self.universal > 0 else '<'} {float(self.switch):.3g}"
        return {1.0: "always", 0.0: "never", 0.5: "either"}[self.answer(Fraction(1, 2))]


@dataclass(frozen=True)
class Wording:
    """A question in words, as a scale and as a forced choice.

    Attributes:
        scale: A question that a number answers. low, high: What the ends of its scale mean; `high` approves.
        choice: A question that one of two options answers. approve, reject: The options.
    """

    scale: str
    low: str
    high: str
    choice: str
    approve: str
    reject: str


@dataclass(frozen=True)
class HumanLine:
    """What people were found to answer.

    Attributes:
        question: Which question it is about. says: The finding in one sentence. source: Who found it, in full.
        where: The factor levels that it is about. value: The approval in [0, 1], for figures; None for a finding without one.
    """

    question: Question
    says: str
    source: str
    where: Mapping[str, Level] = field(default_factory=dict)
    value: float | None = None


@dataclass(frozen=True)
class DilemmaFamily:
    """A family of dilemmas: one file that makes one of these, and one line in `_catalogue.py`.

    Attributes:
        key, title: For files and for people. act: What is approved of, such as "swerving". source: The literature.
        factors: Levels of each factor, the first being the one that figures have on their x axis. axis: That one in words.
        main: Levels that tables and figures are about unless they are about that factor, such as the passenger's perspective.
        titles: Each question in a few words.
        paraphrases: How many ways there are of saying everything; at least three.
        story: The situation of a cell in words, by paraphrase from 0. wording: The question of a cell in words.
        stakes: What theory says about a cell. human: What people answered.
        asked: Whether a cell makes sense. small: Whether it is in the small design too.
        theory: The payoff model in a few sentences.
    """

    key: str
    title: str
    act: str
    source: str
    factors: Mapping[str, tuple[Level, ...]]
    axis: str
    main: Mapping[str, Level]
    titles: Mapping[Question, str]
    paraphrases: int
    story: Callable[[Cell, int], str]
    wording: Callable[[Cell, int], Wording]
    stakes: Callable[[Cell, Standpoint], Stakes]
    human: tuple[HumanLine, ...]
    asked: Callable[[Cell], bool]
    small: Callable[[Cell], bool]
    theory: str

    @property
    def gradient(self) -> str:
        """The factor on the x axis."""
        return next(iter(self.factors))

    def cells(self, which: Size) -> Iterator[dict[str, Level]]:
        """The cells of a design, questions varying fastest; "few" is the ends of the gradient, for others and for oneself."""
        kept: dict[str, Level] | None = None
        ends = [self.factors[self.gradient][place] for place in (0, -1)]
        for levels in product(*self.factors.values(), QUESTIONS):
            cell = dict(zip((*self.factors, "question"), levels, strict=True))
            if not self.asked(cell) or (which != "full" and not self.small(cell)):
                continue
            if which == "few":
                if kept is None and all(cell[factor] == level for factor, level in self.main.items()):
                    kept = {factor: cell[factor] for factor in self.factors if factor != self.gradient}
                alike = kept is not None and all(cell[factor] == level for factor, level in kept.items())
                if not alike or cell[self.gradient] not in ends or cell["question"] not in ("own", "others"):
                    continue
            yield cell

    def scenario(self, cell: Cell) -> str:
        """A cell without its question, such as `people=10 aboard=alone perspective=passenger`."""
        return " ".join(f"{factor}={cell[factor]}" for factor in self.factors)
