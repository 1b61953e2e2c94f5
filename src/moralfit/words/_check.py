"""The checker: reads a finished prompt and reply back as text and proves every number and the answer, or says what is wrong.

It shares no arithmetic with the writer of derivations:

1. The prompt is the one that the scene gives, and its table and its belief, read back as text, are the game's and the scene's.
2. The lead says whose payoffs count how much, and what others are assumed to do.
3. Each line compares all options of one decision. The terms must be the payoffs that count there, as often as they count; every
   equation must hold; differences between values must be differences in the utility of whole plans, as the solver computes it.
4. No line that the answer rests on is missing, no other is there, and each rests on earlier ones only.
5. The answer is what the lines arrive at, and the solver's one optimum.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from math import lcm
from typing import Any, Literal, NoReturn, TypeAlias

from moralfit.errors import WordsError
from moralfit.preferences import SocialPreferences
from moralfit.solve import Solution, optimal_plans
from moralfit.words._grammar import END, FIRST_ALL, LEAD, LINE, OPTION, OPTION_ALL, OPTION_OWN, WORTH
from moralfit.words._parse import parse_reply
from moralfit.words._prompt import expected_play, number, path_name, render_prompt, step_name
from moralfit.words._read import read_belief, read_payoffs, value
from moralfit.words._scene import Scene

#: Payoffs with how often they count.
_Terms: TypeAlias = list[tuple[int, Any]]
#: What a line about a second move supposes of the own start: nothing, that it is this one, or that it is another.
_Case: TypeAlias = Literal["", "on", "off"]


def check_sample(scene: Scene, preference: SocialPreferences, belief: object, prompt: str, reply: str) -> Solution:
    """Proves a finished sample.

    Args:
        belief: The others' strategy, stated in the prompt or assumed by convention.
        prompt: The text shown. reply: The text to be learned.

    Returns:
        The solver's solution, whose unique action at each asked decision is what the reply answers.

    Raises:
        WordsError: Something in the text is wrong or not the optimum; the message quotes it.
    """
    return _Checker(scene, preference, belief, prompt, reply).check()


def _whole(numerator: int, denominator: int) -> int | Fraction:
    """A quotient; as int, which is faster, where it is one."""
    quotient, rest = divmod(numerator, denominator)
    return Fraction(numerator, denominator) if rest else quotient


class _Checker:
    def __init__(self, scene: Scene, preference: SocialPreferences, belief: object, prompt: str, reply: str) -> None:
        self.scene, self.prompt, self.reply = scene, prompt, reply
        self.solution = optimal_plans(scene.game, preference, belief)
        self.optimum = [scene.label(d, action) for d, action in enumerate(self.solution.plans[0])]
        self.payoffs = read_payoffs(prompt)
        self.inequity = bool(preference.alpha or preference.beta)
        kappa = Fraction(preference.kappa)
        #: Utility weights as integers: own payoff counts w, the sum of both counts a.
        self.w, self.a = kappa.denominator - kappa.numerator, kappa.numerator
        self.mixed = bool(self.w and self.a)
        #: For each first move that a second move answers: the decision of the second mover.
        self.replies = {history[0]: d for d, history in enumerate(scene.histories) if history}
        #: Beliefs in whole games: how often in `whole` games others choose a label.
        shares = self.solution.belief
        self.whole = lcm(*(p.denominator for entry in shares for p in entry))
        self.often = [
            {label: p.numerator * (self.whole // p.denominator) for label, p in zip(labels, entry, strict=True)}
            for labels, entry in zip(scene.labels, shares, strict=True)
        ]
        #: The games that the reply counts in: as few as make the shares whole that matter to it.
        matter = shares if self.mixed else shares[1:] if self.w else ()
        self.q = lcm(*(p.denominator for entry in matter for p in entry))
        # u counts each role half, weights that sum to one and shares: this makes differences in it whole.
        scale = 2 * (self.w + self.a) * self.whole
        self.utilities = {
            plan: _whole(u.numerator * scale, u.denominator)
            for plan, u in zip(product(*scene.labels), self.solution.utilities, strict=True)
        }
        #: What the lines so far arrived at: for a decision and what is supposed of the own start, the label.
        self.chosen: dict[tuple[int, _Case], str] = {}
        #: The first moves that end the game of which the reply has said what they give.
        self.ended: set[str] = set()
        #: Whether the reply has said what others do.
        self.expects = False

    def fail(self, why: str, quote: str) -> NoReturn:
        raise WordsError(f"{self.scene.game.name}: {why}: {quote!r}")

    def check(self) -> Solution:
        """Goes through the text from top to bottom."""
        if self.inequity:
            self.fail("derivations are written for homo economicus and homo moralis, not for alpha or beta", self.reply)
        lead, *lines = self.reply.split("\n")
        self._prompt()
        self._lead(lead)
        for line in lines[:-1]:
            if line.startswith("Others"):
                self._others(line)
            elif end := END.fullmatch(line):
                self._end(end, line)
            elif line.startswith("First:") and not self.w:
                self._first_for_all(line)
            else:
                self._line(line)
        self._answer(lines[-1] if lines else "")
        return self.solution

    def _prompt(self) -> None:
        scene = self.scene
        if self.payoffs != {scene.path(outcome): outcome.payoffs for outcome in scene.game.outcomes}:
            self.fail("the prompt's table does not state the game's payoffs", self.prompt)
        steps = tuple(step_name(scene, d) for d in scene.sequence)
        said = read_belief(self.prompt, steps)
        if (said is None) != (scene.belief is None) or scene.belief not in (None, self.solution.belief):
            self.fail("the prompt and the scene do not state the same belief", self.prompt)
        meant = [{label: part for label, part in self.often[d].items() if part} for d in scene.sequence]
        if said is not None and [{label: share * self.whole for label, share in shares.items()} for shares in said] != meant:
            self.fail("the prompt does not state the belief that the optimum is for", self.prompt)
        if self.prompt != render_prompt(scene):
            self.fail("the prompt is not the scene's", self.prompt)

    def _lead(self, line: str) -> None:
        lead = LEAD.fullmatch(line)
        if lead is None:
            self.fail("the first line does not say what counts", line)
        weights = (1, 0) if lead["own"] else (0, 1) if lead["all"] else (int(lead["w"]), int(lead["a"]))
        if weights != (self.w, self.a):
            self.fail("the first line does not say how much the own payoff and the sum for both count", line)
        # Where both count, the answer rests on what others do: stated in the prompt, or the agent's own plan.
        assumed = self.mixed and self.scene.belief is None
        others = [self.optimum[d] for d in self.scene.sequence] if assumed else None
        if (lead["others"].split(", ") if lead["others"] else None) != others:
            self.fail("the first line does not say what others are assumed to do: what the optimal plan does", line)
        if assumed and any(shares[label] != self.whole for shares, label in zip(self.often, self.optimum, strict=True)):
            self.fail("the belief is not that others act alike", line)

    def _others(self, line: str) -> None:
        """What is expected of others, said once, before the first moves of a homo economicus are compared."""
        if self.a or self.expects or 0 not in self.scene.asked or (0, "") in self.chosen:
            self.fail("what others do does not matter here, or was said before", line)
        told = self.scene.belief is not None
        parts = []
        for d in self.scene.sequence[1:]:
            reply = expected_play(self.scene, d) if told else self.chosen.get((d, ""))
            parts.append(f"{step_name(self.scene, d)}: {reply}")
        if line != f"Others{'' if told else ', like me,'} {'; '.join(parts)}.":
            self.fail("what is expected of others is not what the prompt states, or what they would do", line)
        self.expects = True

    # --- One comparison

    def _line(self, line: str) -> None:
        said = LINE.fullmatch(line)
        if said is None:
            self.fail("a line is not a comparison", line)
        history = said["history"]
        decision = 0 if history is None else self.replies.get(history, -1)
        if decision < 0:
            self.fail("a line speaks of a decision that does not exist", line)
        case = self._case(said, history, line)
        if (decision, case) in self.chosen:
            self.fail("a line is there twice", line)
        pattern = OPTION_OWN if history is None and not self.a else OPTION
        options = list(pattern.finditer(said["options"]))
        ends = [*(option.start() for option in options[1:]), len(said["options"])]
        listed = self._listed(decision)
        if [option["row"] for option in options] != [self._named(history, label) for label in listed]:
            self.fail("a line does not compare the options in the order of the prompt, each by its name", line)
        values = {}
        for option, label, end in zip(options, listed, ends, strict=True):
            worth = WORTH.fullmatch(said["options"], option.end(), end)
            if worth is None:
                self.fail(f"what {label} gives is not an equation", line)
            self._quoted(option["pays"], history, label, line)
            values[label] = self._worth(worth, history, case, label, line)
        self._utilities(decision, history, case, values, line)
        best = max(values.values())
        if [label for label in listed if values[label] == best] != [said["label"]]:
            self.fail("the option named as larger is not", line)
        if said["by"] != (None if history is None else self._named(history, said["label"])):
            self.fail("the row named as larger is not the one that is chosen, or is named where no rows are compared", line)
        if value(said["value"]) != best:
            self.fail("the value named as larger is not", line)
        self.chosen[decision, case] = said["label"]
        self._slip(said["left"], history, self._slips_count() and history is not None, line)

    def _listed(self, decision: int) -> list[str]:
        """Labels in the order of the prompt."""
        return [self.scene.labels[decision][i] for i in self.scene.order[decision]]

    def _slips_count(self) -> bool:
        """Slips are told where everyone's play alone counts and first moves are compared."""
        return not self.w and 0 in self.scene.asked

    def _named(self, history: str | None, label: str) -> str:
        """What a line calls an option: a row of the table, or a first move with what surely follows it."""
        if history is not None:
            return path_name(self.scene, (history, label))
        follows = self._follows(label)
        if follows is None:
            return label
        return f"{label} then {follows}" if self.mixed else path_name(self.scene, (label, follows))

    def _quoted(self, text: str | None, history: str | None, label: str, line: str) -> None:
        """Where only the own payoff counts, a second move's row is quoted in full before the own payoff is taken from it."""
        row = None if self.a or history is None else self.payoffs[history, label]
        if (text or None) != (None if row is None else ", ".join(map(number, row))):
            self.fail(f"what {label} leads to is not quoted from the table", line)

    def _end(self, said: re.Match[str], line: str) -> None:
        """A first move that ends the game: the sum for both, which no slip changes."""
        start = said["start"]
        if not self._slips_count() or (start,) not in self.payoffs or start in self.ended:
            self.fail("a line speaks of an end of play that is not there, was there before or does not matter", line)
        self._equation(said["total"], [(1, payoff) for payoff in self.payoffs[start,]], line)
        if "+" not in said["total"]:
            self.fail("a sum is not derived", line)
        self._slip(said["left"], start, True, line)
        self.ended.add(start)

    def _first_for_all(self, line: str) -> None:
        """First moves by what everyone then gets, as derived before; equal ones by what a slip leaves."""
        said = FIRST_ALL.fullmatch(line)
        if said is None:
            self.fail("a line is not a comparison of first moves", line)
        if not self._slips_count() or (0, "") in self.chosen:
            self.fail("a line is there twice, or not needed", line)
        texts = said["options"].split(", ")
        options = [match for text in texts if (match := OPTION_ALL.fullmatch(text))]
        listed = self._listed(0)
        if [option["label"] for option in options] != listed:
            self.fail("a line does not compare the options in the order of the prompt", line)
        values, worths = {}, {}
        for option, label in zip(options, listed, strict=True):
            if label not in self.replies and label not in self.ended:
                self.fail(f"what {label} gives was not derived before", line)
            values[label] = value(option["value"])
            if values[label] != sum(self.payoffs[self._path(label, line)]):
                self.fail(f"{label} gives something else", line)
            worths[label] = (values[label], self._slip(option["slip"], label, True, line))
        self._utilities(0, None, "", values, line)
        best = max(worths.values())
        if [label for label in listed if worths[label] == best] != [said["label"]]:
            self.fail("the option named as larger is not", line)
        if said["larger"] != texts[listed.index(said["label"])]:
            self.fail("the value named as larger is not", line)
        self.chosen[0, ""] = said["label"]

    def _case(self, said: re.Match[str], history: str | None, line: str) -> _Case:
        """Checks what the line says about itself: roles, games, start and slip."""
        if history is None:
            games = ("over" if self.mixed else "in", str(self.q)) if self.q > 1 else (None, None)
            if bool(said["both"]) != self.mixed or (said["games"], said["q"]) != games:
                self.fail("a line does not say for which roles or how many games it counts", line)
            return ""
        case: _Case = "" if not said["start"] else "off" if said["off"] else "on"
        if bool(case) != self.mixed or said["start"] not in (None, history):
            self.fail("a line does not say what it supposes of the own start", line)
        if bool(said["slip"]) != (case == "off" and not self.often[0][history]):
            self.fail("a slip is spoken of where none is needed, or the other way round", line)
        return case

    def _follows(self, start: str) -> str | None:
        """The reply to a first move that a line about first moves may name: one's own for all, or the one expected for sure."""
        decision = self.replies.get(start)
        if decision is None:
            return None
        if self.a or self.scene.belief is None:
            return self.chosen.get((decision, "on" if self.mixed else ""))
        return next((label for label, part in self.often[decision].items() if part == self.whole), None)

    def _worth(self, said: re.Match[str], history: str | None, case: _Case, label: str, line: str) -> Any:
        """Checks the equations of one option against the payoffs that count, and returns its value."""
        own, both, w, a = self._counting(history, case, label, line)
        if own and both:
            mine, sums = self._equation(said["me"], own, line), self._equation(said["both"], both, line)
            return self._equation(said["total"], [(w, mine), (a, sums)], line, ordered=True)
        if both and self.w:
            return self._equation(said["total"], [(a, self._equation(said["both"], both, line))], line, said["me"])
        terms = both or [(times * w, payoff) for times, payoff in own]
        return self._equation(said["total"], terms, line, said["me"] or said["both"])

    def _counting(self, history: str | None, case: _Case, label: str, line: str) -> tuple[_Terms, _Terms, int, int]:
        """The payoffs that the value of an option consists of: own, both, and the weights of their sums."""
        w, a, q = self.w, self.a, self.q
        if history is not None:
            first, second = self.payoffs[history, label]
            both = [(1, first), (1, second)]
            if case == "off":
                return [(1, second)], [] if self.often[0][history] else both, w, a
            times = self._games(0, history) if self.mixed else w
            return [(times, second)] if times else [], both if a else [], w, a * q
        path = self._path(label, line) if a else (label,)
        both = [(1, payoff) for payoff in self.payoffs[path]] if a else []
        own: _Terms = []
        if w:
            own = self._as_first(label, line)
        if self.mixed:
            own += [(self._games(0, start), self._as_second(start, label, line)) for start in self.scene.labels[0]]
        return [(times, payoff) for times, payoff in own if times], both, w, a * q

    def _path(self, start: str, line: str, case: _Case = "on") -> tuple[str, ...]:
        """What happens after a start according to the lines so far."""
        if start not in self.replies:
            return (start,)
        reply = self.chosen.get((self.replies[start], case if self.mixed else ""))
        if reply is None:
            self.fail(f"what follows {start} was not derived before", line)
        return start, reply

    def _as_first(self, start: str, line: str) -> _Terms:
        """The first mover's payoffs after a start, in q games: expected replies, or the ones derived where none are stated."""
        if start not in self.replies:
            return [(self.q, self.payoffs[start,][0])]
        if self.scene.belief is None and not self.a:
            return [(self.q, self.payoffs[self._path(start, line)][0])]
        decision = self.replies[start]
        return [(self._games(decision, reply), self.payoffs[start, reply][0]) for reply in self.scene.labels[decision]]

    def _games(self, decision: int, label: str) -> int:
        """In how many of the q games others choose a label."""
        often: int = self.often[decision][label]
        return often * self.q // self.whole

    def _as_second(self, start: str, own_start: str, line: str) -> Any:
        """The second mover's payoff after the others' start, by the reply that goes with the own start."""
        return self.payoffs[self._path(start, line, "on" if start == own_start else "off")][1]

    def _equation(
        self, text: str | None, terms: _Terms, line: str, superfluous: str | None = None, ordered: bool = False
    ) -> Any:
        """The value of an equation, whose terms must be `terms`; payoffs may stand in any order."""
        if text is None or superfluous is not None:
            self.fail("an option does not say what it gives me, or both, and only that", line)
        left, equals, right = text.partition("=")
        said = []
        for term in left.split("+"):
            times, x, payoff = term.rpartition("x")
            said.append((int(times) if x else 1, value(payoff)))
        if said != terms and (ordered or sorted(said) != sorted(terms)):
            self.fail(f"{left} should be made of {' + '.join(f'{times} x {payoff}' for times, payoff in terms)}", line)
        total = sum(times * payoff for times, payoff in said)
        if (value(right) if equals else value(left)) != total:
            self.fail(f"{text} is false", line)
        return total

    def _utilities(self, decision: int, history: str | None, case: _Case, values: dict[str, Any], line: str) -> None:
        """Values differ as the utilities of plans do that differ in this decision, and in what the agent does after it."""
        first = next(iter(values))
        utilities = {}
        for label in values:
            plan = [*self.optimum]
            plan[decision] = label
            if history is None:
                for start, d in self.replies.items():
                    reply = self.chosen.get((d, "" if not self.mixed else "on" if start == label else "off"))
                    plan[d] = reply or plan[d]
            else:
                plan[0] = history if case != "off" else next(start for start in self.scene.labels[0] if start != history)
            utilities[label] = self.utilities[tuple(plan)]
        # The own payoff alone after a start of the others counts in their share; the rest counts in each of the q games.
        alone = history is not None and (case == "off" or not self.a)
        times = self.often[0][history] if alone and history is not None else self.whole // self.q
        for label, worth in values.items():
            if (worth - values[first]) * times != utilities[label] - utilities[first]:
                self.fail("a comparison does not agree with the utilities", line)

    def _slip(self, text: str | None, start: str | None, told: bool, line: str) -> Any:
        """What both get after a first move if the second mover, where there is one, slips from what was derived; zero where it
        is not told.
        """
        if (text is not None) != told:
            self.fail("a slip is spoken of where none is needed, or the other way round", line)
        if text is None or start is None:
            return 0
        left = value(text.removeprefix(" (slip ").removesuffix(")"))
        derived = self._path(start, line)
        ends = [sum(pair) for path, pair in self.payoffs.items() if path[0] == start and (len(path) == 1 or path != derived)]
        if ends != [left]:
            self.fail(f"a slip after {start} leaves something else", line)
        return left

    # --- The answer

    def _answer(self, line: str) -> None:
        missing = self._needed() ^ self.chosen.keys()
        if not self.a and 0 in self.scene.asked and not self.expects:
            self.fail("what others do is not said", self.reply)
        if missing:
            steps = ", ".join(sorted(step_name(self.scene, d) for d, _ in missing))
            self.fail(f"lines are missing, or not needed, for {steps}", self.reply)
        asked = self.scene.asked
        ends = {label for label in self.scene.labels[0] if label not in self.replies} if self._slips_count() else set()
        if ends != self.ended:
            self.fail("lines are missing for first moves that end the game", self.reply)
        derived = [self._derived(d) for d in asked]
        if line != f"Answer: {', '.join(derived)}":
            self.fail("the answer is not what was derived", line)
        parsed = parse_reply(self.scene, self.reply)
        for decision, label in zip(asked, derived, strict=True):
            if self.solution.actions(decision) != (self.scene.action(decision, label),):
                self.fail(f"{step_name(self.scene, decision)}: {label} is not the one optimal choice", line)
        if parsed.actions != tuple(self.scene.action(d, label) for d, label in zip(asked, derived, strict=True)):
            self.fail("the answer is not read as it was meant", line)

    def _needed(self) -> set[tuple[int, _Case]]:
        """The comparisons that the answer rests on."""
        asked: Sequence[int] = self.scene.asked
        if self.mixed:
            cases: tuple[_Case, ...] = ("on", "off")
            return {(0, ""), *((d, case) for d in self.replies.values() for case in cases)}
        needed: set[tuple[int, _Case]] = {(d, "") for d in asked}
        if 0 in asked and (self.a or self.scene.belief is None):
            needed |= {(d, "") for d in self.replies.values()}
        return needed

    def _derived(self, decision: int) -> str:
        """The label that the lines arrived at; where it depends on the own start, the start they chose decides."""
        if (decision, "") in self.chosen:
            return self.chosen[decision, ""]
        same = self.scene.histories[decision][0] == self.chosen[0, ""]
        return self.chosen[decision, "on" if same else "off"]
