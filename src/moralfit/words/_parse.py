"""From a reply to actions: the last stated answer counts, however it is dressed; a refusal is not a mistake in form.

1. The reply is made plain text.
   Amounts are spelt in one way, and the long names that decisions have in games of several moves become numbers.
2. The last mark of an answer is found. "Answer:" and a LaTeX box decide whatever follows them; "the answer is", "my choice is"
   and "I choose" count where a label follows. Without any mark, closing lines made of nothing but choices count.
3. What is stated there is read as a list of choices, possibly with the decisions they are for ("after A: B", "(2) B").

Where two readings are possible, or prose leaves a doubt, the reply is unparseable: nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from unicodedata import normalize

from moralfit.words._amounts import DOUBT, NUMBERED, asks_amounts, has_amounts, verbs
from moralfit.words._plain import BOX
from moralfit.words._scene import Scene
from moralfit.words._terms import in_terms_of


@dataclass(frozen=True)
class Parsed:
    """What a reply says.

    Attributes:
        status: `answered`; `refused`, the reply declines to choose; `unparseable`, anything else.
        actions: Tree actions in the order of :attr:`Scene.asked`; empty unless answered.
    """

    status: Literal["answered", "refused", "unparseable"]
    actions: tuple[str, ...] = ()


def parse_reply(scene: Scene, reply: str) -> Parsed:
    """The actions stated by `reply` for the decisions that `scene` asks about.

    The last answer line decides, unless it is empty or cut off, in which case the reply is unparseable: an earlier draft of an
    answer is not the answer. Where nothing is marked as the answer, choices may be stated in prose ("I choose A").
    """
    labels = _as_taught(scene, reply)
    if labels is None:
        text = in_terms_of(scene, reply)
        marks = tuple(_MARK.finditer(text))
        labels = _Reader(scene, text, marks, exact=True).answer() or _Reader(scene, text, marks, exact=False).answer()
        if labels is None:
            return Parsed("refused" if _declines(scene, text) else "unparseable")
    return Parsed("answered", tuple(scene.action(d, label) for d, label in zip(scene.asked, labels, strict=True)))


def _as_taught(scene: Scene, reply: str) -> Sequence[str] | None:
    """The common case, for speed: the very last line is the one that training teaches. The long way reads it alike."""
    mark, _, stated = reply[reply.rfind("\n") + 1 :].partition(": ")
    labels = stated.split(", ")
    if mark != "Answer" or len(labels) != len(scene.asked) or "<" in reply:
        return None
    return labels if all(label in scene.labels[d] for d, label in zip(scene.asked, labels, strict=True)) else None


# --- Where the answer stands

_STATED = r"(?:is|are|would\ be|should\ be|will\ be|must\ be|remains)"
_NOUN = r"(?:choices?|decisions?|plan|strategy|action|move|recommendation)"
_MARK = re.compile(
    rf"""(?P<strong>{BOX}
        | \banswers?(?:\ ?\(s\)|\ ?\(?1\)?)?\ ?(?:[:=]|-(?=\s))
        | (?:^|(?<=\n))(?:(?:my|our|the|final)\ )*answers?(?=\n|$))
      | (?P<soft>\banswers?(?:\ (?:to|for)\ [^.:\n]{{1,60}}?)?\ {_STATED}\b
        | \b{_NOUN}(?:\ {_STATED})?\ ?:
        | \bmy\ (?:\w+\ )?{_NOUN}\ {_STATED}\b
        | \b(?:I|we)(?:'d|'ll|(?:'m|\ am)\ going\ to|\ (?:would|will|shall|should|must|have\ to|want\ to))?
          (?:\ (?:\w+ly|also|then|therefore|thus|still|just|first))?
          \ (?:choose|pick|select|take|play|prefer|go\ with|go\ for|opt\ for)\b)""",
    re.IGNORECASE | re.VERBOSE,
)
#: "End with: Answer: choice 1, choice 2", repeated from the prompt.
_ECHO = re.compile(r" ?choice(?: 1(?:, choice \d)*)?[ .]*(?:\n|$)")
_HYPOTHETICAL = re.compile(r"\b(?:if|when|whenever|suppose|supposing|assuming|were|had|imagine)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?](?=\S)[^.!?\n]*)*")
#: How far a stated answer, and second thoughts after it, are followed, in characters.
_REACH = 800
#: How many of the last statements in prose are looked at.
_STATEMENTS = 20


@dataclass(frozen=True)
class _Item:
    """A choice, with what separates it from the one before, or the decision that a choice is for."""

    label: str = ""
    after: str = ""
    decision: int = -1
    numbered: bool = False


class _Reader:
    """Finds and reads the answer to one scene in plain text.

    Args:
        marks: Where an answer may begin.
        exact: Whether single letters keep their case. Otherwise a small letter counts as a label where no word could be meant.
    """

    def __init__(self, scene: Scene, text: str, marks: Sequence[re.Match[str]], exact: bool) -> None:
        self.asked, self.text, self.marks, self.exact = scene.asked, text, marks, exact
        self.labels = [{_fold(label): label for label in labels} for labels in scene.labels]
        self.names = _names(scene)
        self.steps = {tuple(map(_fold, history)): d for d, history in enumerate(scene.histories)}
        self.verbs = verbs(scene) if has_amounts(scene) else None
        self.grammar = _grammar(self.names, exact, self.verbs)

    def answer(self) -> list[str] | None:
        """The labels stated for the decisions asked about."""
        if not self.grammar.label.search(self.text) or (not self.exact and len(self.names[-1]) > 1):
            return None
        return self._marked()

    def _marked(self) -> list[str] | None:
        text, marks = self.text, self.marks
        strong = [mark for mark in marks if mark["strong"] and not _ECHO.match(text, mark.end())]
        start = strong[-1].end() if strong else -1
        if strong and strong[-1][0] == BOX:
            # Boxes on one line are one answer, whatever marked the first.
            line = text.rfind("\n", 0, start) + 1
            boxed = [mark for mark in strong if mark.start() >= line]
            words = [mark for mark in boxed if mark[0] != BOX]
            start = words[-1].end() if words else boxed[0].end()
        for mark in [mark for mark in marks if mark["soft"] and mark.start() > start][: -_STATEMENTS - 1 : -1]:
            silent, found = self._statement(mark)
            # A plan is often told in several sentences, none of which states it alone.
            if found is not None or (not silent and len(self.asked) == 1):
                return found if self.exact else None
        return self._read(start) if start >= 0 else self._unmarked()

    def _statement(self, mark: re.Match[str]) -> tuple[bool, list[str] | None]:
        """What "I choose A" states; silent (True) where it names no label or speaks of a case that is not asked about."""
        text, start = self.text, mark.start()
        before = text[max(text.rfind(end, max(0, start - _REACH), start) for end in (". ", "? ", "! ", "\n")) + 1 : start]
        case: list[_Item] = []
        if _HYPOTHETICAL.search(before) or self.grammar.condition.search(before):
            decisions = [self._decision(found) for found in self.grammar.condition.finditer(before)]
            if not decisions or decisions[-1] not in self.asked:
                return True, None
            case = [_Item(decision=decisions[-1])]
        sentence = _SENTENCE.match(text, mark.end(), mark.end() + _REACH)
        if sentence is None or not self.grammar.label.search(sentence[0]):
            return True, None
        return False, self._read(mark.end(), case)

    def _unmarked(self) -> list[str] | None:
        """Closing lines that hold nothing but choices, or a short reply that holds nothing else."""
        text = self.text
        if not self.exact:
            return self._read(0, closed=True) if re.fullmatch(rf"(?:\W*{self.grammar.label.pattern})+\W*", text) else None
        lines = text[-_REACH:].split("\n")
        first = len(lines)
        while first and self.grammar.label.search(lines[first - 1]) and self._items(lines[first - 1], 0, [], True) is not None:
            first -= 1
        closing = "\n".join(lines[first:])
        found = self._read(len(text) - len(closing), closed=True) if closing else None
        return self._read(0, closed=True) if found is None and len(text) < _REACH / 2 else found

    # --- What is stated

    def _read(self, start: int, case: Sequence[_Item] = (), closed: bool = False) -> list[str] | None:
        """The choices stated from `start` on; None unless exactly one reading fits.

        Args:
            case: The decision that the first choice is known to be for.
            closed: Whether there must be nothing but choices up to the end of the reply.
        """
        read = self._items(self.text, start, case, closed)
        labels = self._resolve(read[0]) if read else None
        if read is None or labels is None or self._doubted(labels, self.text[read[1] : read[1] + _REACH]):
            return None
        return [self.labels[d][label] for d, label in zip(self.asked, labels, strict=True)]

    def _items(self, text: str, start: int, case: Sequence[_Item], closed: bool) -> tuple[list[_Item], int] | None:
        """Choices and the decisions named with them, and where they end; None where prose or a hedge leaves a doubt."""
        items = list(case)
        gap = ""
        prose = False
        stop = min(len(text), start + _REACH)
        for token in self.grammar.token.finditer(text, start, stop):
            kind = token.lastgroup
            ends = (kind == "remark" and not prose) or (kind in ("line", "end") and not closed)
            if ends and self._resolve(items) is not None:
                if token[0] in "(\u2014" and self.grammar.label.match(text[token.end() :].lstrip()):
                    return None
                return items, token.start()
            if kind == "label":
                if prose:
                    return None
                listed = re.search(r"[,;|\n&+.]|and|then|next", gap, re.IGNORECASE)
                items.append(_Item(_fold(token[0]), "list" if listed else gap.strip()[:1]))
                gap = ""
            elif kind in ("condition", "number") and not prose and (decision := self._decision(token)) is not None:
                if items and items[-1].numbered and kind == "condition":
                    items.pop()  # "2. After A: B": the name of the step says more than its number.
                items.append(_Item(decision=decision, numbered=kind == "number"))
                gap = ""
            elif kind in ("separator", "line", "end"):
                gap += token[0]
            elif kind in ("hedge", "against") or (closed and self.verbs and token[0].casefold() in self.verbs):
                return None  # "I give 5" without the mark of an answer may be a case that is weighed.
            elif kind in ("word", "condition", "number"):
                if closed or not self.exact or self._resolve(items) is None:
                    return None
                prose = True
        return items, stop

    def _decision(self, token: re.Match[str]) -> int | None:
        """The decision that a condition ("first", "after A") or a number ("(2)", "choice 2:") speaks of."""
        if token.lastgroup == "number":
            number = int(re.sub(r"\D", "", token[0]))
            return self.asked[number - 1] if number <= len(self.asked) else None
        return self.steps.get(tuple(map(_fold, self.grammar.label.findall(token[0]))))

    def _resolve(self, items: Sequence[_Item]) -> list[str] | None:
        """One label for each asked decision, if the choices and the decisions named with them fit together in one way."""
        asked = self.asked
        labels = [item.label for item in items if item.label]
        decisions = [item.decision for item in items if not item.label]
        shape = "".join("L" if item.label else "D" for item in items)
        pairs: list[tuple[int, str]] = []
        if not decisions:
            between = {item.after for item in items[1:]}
            same = len(asked) == 2 and self.labels[asked[0]] == self.labels[asked[1]]
            if between & {"/", "-"} and (same or len(between) > 1):
                return None  # "A/B, A" leaves the first choice open.
            if len(asked) == 1:
                pairs = [(asked[0], label) for label in labels]
            elif len(labels) == len(asked):
                pairs = list(zip(asked, labels, strict=True))
                if any(label not in self.labels[d] for d, label in pairs):
                    # In another order: fine if every label belongs to one decision only.
                    pairs = [(d, label) for d in asked for label in labels if label in self.labels[d]]
        elif shape == "D" * len(labels) + "L" * len(labels) or set(re.findall("..?", shape)) <= {"DL", "LD"}:
            pairs = list(zip(decisions, labels, strict=True))
        elif shape == "L" + "DL" * len(decisions) and 0 not in decisions:
            pairs = list(zip([0, *decisions], labels, strict=True))
        read = {d: label for d, label in pairs if label in self.labels[d]}
        return [read[d] for d in asked] if set(read) >= set(asked) and set(read.items()) == set(pairs) else None

    def _doubted(self, labels: Sequence[str], after: str) -> bool:
        """Whether what follows the answer takes it back: a cue with another label, or a choice left over.

        Where the answer is one label, a verdict for another takes it back too; a plan of both is explained with such verdicts.
        """
        alike = len(set(labels)) == 1
        others = tuple(name for name in self.names if not alike or _fold(name) != labels[0])
        return bool(after) and bool(_second_thought(others, alike).search(after))


# --- The tokens of a stated answer


@dataclass(frozen=True)
class _Grammar:
    label: re.Pattern[str]
    condition: re.Pattern[str]
    token: re.Pattern[str]


_VERBS = "(?:choos(?:es?|ing)|chose|pick(?:s|ing|ed)?|tak(?:es?|ing)|took|play(?:s|ing|ed)?|select(?:s|ing|ed)?)"
_FILLERS = (
    r"i|we|you|my|our|your|the|it|that|this|d|ll|m|s|would|will|shall|should|must|to|prefer|go|going|with|opt|for|option|action"
    r"|choices?|move|strategy|plan|decision|is|be|are|am|clearly|definitely|simply|just|again|then|here|therefore|thus|hence|so"
    r"|best|optimal|right|correct|final|dominant|rational|think|believe|guess|in|role|mover|player|as|probably|likely|maybe"
    r"|perhaps|okay|ok|sure|yes|certainly|obviously|label|answers?|me|on|at|by|but|end"
)
_SECOND_THOUGHTS = (
    r"wait|actually|correction|scratch that|reconsider\w*|rethink\w*|second thoughts?|i mean|mistaken?|oops|sorry"
    r"|chang\w+ my mind|no(?=,)"
)


def _fold(label: str) -> str:
    return normalize("NFKC", label).casefold()


def _names(scene: Scene) -> tuple[str, ...]:
    """All labels of a scene, long ones first, in an order that does not depend on which action has which."""
    names = {normalize("NFKC", label) for labels in scene.labels for label in labels}
    return tuple(sorted(names, key=lambda name: (-len(name), name)))


@lru_cache(maxsize=1024)
def _label(names: tuple[str, ...], exact: bool) -> str:
    """A label that stands by itself. If `exact`, single letters keep their case, and "A" or "I" before a word is a word."""
    before_word = (
        r"(?!\ (?!(?:is|gives?|would|will|has|yields|and|or|then|not|rather|instead|over|because|since|as|if|when|after|given"
        r"|with|for|but|at|first"
        rf"|{'|'.join(map(re.escape, names))})\b)[a-z])"
    )
    ways = [
        re.escape(name) + (before_word if name in ("A", "I") else "") if exact and len(name) == 1 else f"(?i:{re.escape(name)})"
        for name in names
    ]
    return rf"(?<![\w'])(?:{'|'.join(ways)})(?!\w|'\w)"


@lru_cache(maxsize=256)
def _grammar(names: tuple[str, ...], exact: bool, verbs: tuple[str, ...] | None) -> _Grammar:
    """The tokens for these labels. Where there are amounts (`verbs` is not None), a bare digit never numbers a choice."""
    numbering = r"\(?(?<![\w.])[1-9]\ ?(?:\)|[.:](?!\d))" if verbs is None else rf"{NUMBERED}[1-9]"
    fillers = "|".join((_FILLERS, *(verbs or ())))
    label = _label(names, exact)
    bare = rf"(?<![\w'])(?:{'|'.join(map(re.escape, names))})(?!\w|'\w)" if exact else label
    step = (
        rf"(?i:\b(?:first|1st|initially)(?:\ (?:mover|move|step|choice|decision|role|player))?\b)"
        rf"|(?i:\b(?:after|if|when|given|upon|following|seeing)\b)(?:\ (?!{bare})[\w']+){{0,6}}?\ {label}(?:-{label})*"
        rf"(?i:\ (?:is|was|has\ been|had\ been)\ (?:chosen|picked|taken|played|selected))?"
    )
    condition = rf"(?:\(\ ?(?:{step})\ ?\)|{step})"
    token = rf"""
        (?P<negated>\b(?i:\w+n't|not|never|rather\ than|instead\ of|over|than|without|avoid(?:ing)?|except
            |(?:any|every)thing\ but|all\ but)\b(?:\ (?i:to|the|option|action|just|{_VERBS})){{0,4}}\ {label})
      | (?P<condition>{condition})
      | (?P<number>(?i:\b(?:choice|answer|step|decision|part|question)\ ?\(?[1-9]\b(?![.]\d)\ ?[):.]?)
          | {numbering})
      | (?P<label>{label})
      | (?P<hedge>[%{DOUBT}]|(?i:\b(?:or|either|neither|nor|probability|percent|random\w*|mix\w*|sometimes|depend\w*|unsure
          |uncertain)\b))
      | (?P<against>(?i:\b(?:\w+n't|not|never|no|worse|worst|bad|inferior|dominated|wrong|lower|less|smaller|tempting
          |incorrect)\b))
      | (?P<line>\n)
      | (?P<end>[.!?](?=\s|$))
      | (?P<remark>[(\u2014]|(?i:\b(?:because|since|as|due|while|whereas|although|though|which)\b))
      | (?P<separator>[,;|&+/-]|(?i:\b(?:and|then|next)\b))
      | (?P<filler>(?i:\b(?:{fillers}|{_VERBS})\b)|\W)
      | (?P<word>[\w']+)"""
    return _Grammar(re.compile(label), re.compile(condition), re.compile(token, re.VERBOSE))


@lru_cache(maxsize=1024)
def _second_thought(others: tuple[str, ...], verdicts: bool) -> re.Pattern[str]:
    label = _label(others, True)
    cues = _SECOND_THOUGHTS + ("|instead|should (?:be|have been|choose|pick)" if verdicts else "")
    verdict = rf"|{label}(?i: (?:is|would be) (?:the )?(?:better|best|right|correct|optimal))" if verdicts else ""
    return re.compile(rf"(?i:\b(?:{cues})\b[^.\n]{{0,80}}?){label}{verdict}|\A\n\W*{label}\W*(?:\n|\Z)")


# --- Declining to choose

_UNABLE = r"(?:am|'m|be)\ (?:unable|not\ (?:able|allowed|willing|going|comfortable))(?:\ to|\ with)?"
_CHOOSING = (
    "help|assist|answer|choos(?:e|ing)|pick|select|decide|participate|comply|say|determine|recommend|advise|engage|respond|state"
    r"|commit|take\ part|do\ (?:that|this|it)|(?:make|making|give|provide|offer)\ (?:an?|this|that|such|the|any|you|my)\b"
)
_DECLINE = re.compile(
    rf"""\A\W*(?:I'm|I\ am|we're|we\ are)\ sorry\b
      | \b(?:can't|cannot|can\ not|won't|will\ not|{_UNABLE}|must\ decline\ to|prefer\ not\ to|rather\ not|choose\ not\ to)
        \ (?:\w+\ ){{0,2}}?(?:{_CHOOSING})
      | \b(?:I|we)(?:\ must|\ have\ to|\ will|'ll|\ would)?(?:\ \w+ly)?\ (?:refuse|decline|abstain)\b
      | \b(?:do\ not|don't)\ (?:feel\ comfortable|make\ (?:\w+\ )?(?:choices|decisions)
          |have\ (?:an?\ |any\ )?(?:personal\ |own\ )?(?:preferences?|opinions?|views?|stake|desires?|feelings?|interests?))
      | \banswers?\ ?:\ ?(?:neither|(?P<perhaps_zero>none|nothing)|no\ (?:choice|answer)|abstain|decline|refuse|pass)\b""",
    re.IGNORECASE | re.VERBOSE,
)


def _declines(scene: Scene, text: str) -> bool:
    """Whether the reply declines to choose. "I will not choose A" is about A, not about choosing; no amount may be 0."""
    label = re.compile(rf"\s*(?:the |option |to )*{_label(_names(scene), True)}")
    ends = text if len(text) < 2 * _REACH else f"{text[:_REACH]}\n{text[-_REACH:]}"
    declined = [found for found in _DECLINE.finditer(ends) if not (found["perhaps_zero"] and asks_amounts(scene))]
    return any(not label.match(ends, found.end()) for found in declined)
