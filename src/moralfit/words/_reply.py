"""The reply that training teaches: a short derivation of the optimal plan, ending in one answer line.

Utility is scaled to integers. With kappa = a / (w + a) in lowest terms and q the common denominator of the belief, a plan's
utility times 2 q (w + a) is

    w * (own payoffs in both roles against the believed others, over q games) + a * q * (sum of both players' payoffs if both
    follow the plan),

so each comparison below is between two integers built from payoffs of the table. A second mover's choice counts through its
own payoff where only the others can bring it about, through the sum alone where kappa = 1, and through both on the agent's own
path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, partial
from math import lcm

from moralfit.errors import WordsError
from moralfit.games import Plan, Strategy
from moralfit.preferences import SocialPreferences
from moralfit.solve import equilibrium_belief
from moralfit.words._prompt import expected_play, number, path_name, step_name
from moralfit.words._scene import Scene

#: (multiplicity, payoff): the term of a sum.
Term = tuple[int, int | Fraction]


@dataclass(frozen=True)
class _Option:
    """One action of one step: its label, the row of the table it ends in if it is a reply, the words before its value, and the
    terms that count for the agent and for both.
    """

    label: str
    row: str
    says: str
    own: tuple[Term, ...]
    both: tuple[Term, ...]
    both_times: int
    slip: int | Fraction | None = None

    def value(self, w: int, a: int) -> int | Fraction:
        return w * _total(self.own) + a * self.both_times * _total(self.both)


@dataclass(frozen=True)
class Derivation:
    """A reply with what it answers: the optimal action at each asked decision, for the belief stated or assumed."""

    actions: Plan
    belief: Strategy
    write: Callable[[], str] = field(repr=False, compare=False)

    @cached_property
    def text(self) -> str:
        """The reply. Written at first use: of what is drawn for a data set, most is not kept."""
        return self.write()


def _total(terms: Iterable[Term]) -> int | Fraction:
    return sum([times * payoff for times, payoff in terms])


def _merge(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Without zero multiplicities; payoffs that stand alone keep their order."""
    return tuple((times, payoff) for times, payoff in terms if times)


def _sum(terms: Sequence[Term]) -> str:
    """`6+1`, `2x6+1`: the terms as written in a reply."""
    return "+".join(number(payoff) if times == 1 else f"{times}x{number(payoff)}" for times, payoff in terms)


def _equation(terms: Sequence[Term]) -> str:
    """`6+1=7`; a lone payoff is its own value."""
    return number(terms[0][1]) if len(terms) == 1 and terms[0][0] == 1 else f"{_sum(terms)}={number(_total(terms))}"


def _slip(left: int | Fraction | None) -> str:
    """What both get where the second mover, if there is one, slips: it decides between first moves of equal worth."""
    return "" if left is None else f" (slip {number(left)})"


def _capital(text: str) -> str:
    """Only the first letter: labels keep theirs."""
    return text[0].upper() + text[1:]


class _Deriver:
    """Works out one scene for one preference. Games of two moves at most: the first mover's, then the second's."""

    def __init__(self, scene: Scene, preference: SocialPreferences) -> None:
        if preference.alpha or preference.beta:
            raise WordsError("derivations are written for homo economicus and homo moralis; alpha and beta must be zero")
        if any(len(outcome.moves) > 2 for outcome in scene.game.outcomes):
            raise WordsError(f"{scene.game.name}: derivations are written for games of at most two moves")
        if any([move.role for move in outcome.moves] != [0, 1][: len(outcome.moves)] for outcome in scene.game.outcomes):
            raise WordsError(
                f"{scene.game.name}: derivations are written for games in which the first role moves, then the second"
            )
        for outcome in scene.game.outcomes:
            for payoff in outcome.payoffs:
                if type(payoff) is not int:
                    number(payoff)  # Too many decimals are an error here already, since the text is written later.
        kappa = Fraction(preference.kappa)
        self.scene, self.kappa = scene, kappa
        self.a, self.w = kappa.numerator, kappa.denominator - kappa.numerator
        self.ends = {tuple([move.action for move in outcome.moves]): outcome.payoffs for outcome in scene.game.outcomes}
        #: The second mover's information set after each first action that does not end the game.
        self.replies: dict[int, int] = {}
        answered = {o.moves[0].action: o.moves[1].information for o in scene.game.outcomes if len(o.moves) == 2}
        for first in self._listed(0):
            if first in answered:
                self.replies[first] = answered[first]
        belief: Strategy | None = scene.belief
        self.assumed: Plan | None = None
        if belief is None and kappa == 1:
            # What others do does not enter the utility at all; any belief gives the same optimum.
            belief = scene.game.strategy(Fraction(1, 2))
        if belief is None:
            self.assumed = equilibrium_belief(scene.game, preference)
            if self.assumed is None:
                raise WordsError(f"{scene.game.name}: no unique symmetric equilibrium to expect of others")
            belief = scene.game.strategy(self.assumed)
        self.belief = belief
        relevant = belief if 0 < kappa < 1 else belief[1:]
        self.q = 1 if kappa == 1 else lcm(*(p.denominator for d in relevant for p in d))
        self.lines: list[Callable[[], str]] = []

    def derive(self) -> Derivation:
        """All lines that the asked decisions need, in the order in which they follow from each other."""
        scene = self.scene
        wanted = scene.asked
        plan = self._mixed() if 0 < self.kappa < 1 else self._pure(wanted)
        if self.kappa == 0:
            lead = "Only my own payoff counts."
        elif self.kappa == 1:
            lead = "If all act as I do, the sum for both counts."
        else:
            lead = f"Own payoff counts {self.w}, the sum for both if all act as I do counts {self.a}."
        if self.assumed is not None and self.kappa:
            lead += f" Others act as I do: {', '.join(scene.label(d, self.assumed[d]) for d in scene.sequence)}."
        answer = ", ".join(scene.label(d, plan[d]) for d in wanted)

        def write() -> str:
            return "\n".join([lead, *(line() for line in self.lines), f"Answer: {answer}"])

        return Derivation(tuple(plan[d] for d in wanted), self.belief, write)

    def _pure(self, wanted: Sequence[int]) -> dict[int, str]:
        """kappa = 0 or 1: every second move is judged by itself, then the first move by what follows it."""
        own = self.kappa == 0
        # Said even where nothing hangs on it: a small model does not notice by itself when it has to be said.
        with_slips = not own and 0 in wanted
        plan: dict[int, str] = {}
        best: dict[int, int] = {}
        slips: dict[int, int | Fraction] = {}
        for first in self._listed(0):
            if first not in self.replies:
                if with_slips:
                    self._end(first)
                    slips[first] = sum(self.ends[first,])
                continue
            decision = self.replies[first]
            if decision in wanted or (0 in wanted and not (own and self.scene.belief is not None)):
                options = []
                for action in self._listed(decision):
                    payoffs = self.ends[first, action]
                    options.append(self._option(decision, action, payoffs[1:] if own else (), () if own else payoffs))
                if with_slips:
                    slips[first] = min(sum(self.ends[first, action]) for action in self._listed(decision))
                lead = f"{_capital(step_name(self.scene, decision))}:"
                best[first] = self._choose(decision, options, lead, slips.get(first))
                plan[decision] = self.scene.game.information_sets[decision].actions[best[first]]
        if 0 in wanted:
            if own:
                self._expect(best)
            options = []
            for first in self._listed(0):
                options.append(self._first_own(first, best) if own else self._first_both(first, best, slips))
            games = f", in {self.q} games" if self.q > 1 else ""
            chosen = self._choose(0, options, f"First{games}:")
            plan[0] = self.scene.game.information_sets[0].actions[chosen]
        return plan

    def _end(self, first: int) -> None:
        """What both get if play ends at once, which no slip changes."""
        label, pays = self.scene.labels[0][first], self.ends[first,]
        self.lines.append(lambda: f"After {label}: {label} gives {_equation([(1, p) for p in pays])}{_slip(sum(pays))}.")

    def _expect(self, best: dict[int, int]) -> None:
        """What others do after each first move: as stated, or their own best reply. A small model computes on what it wrote."""
        expected = [
            f"{step_name(self.scene, d)}: "
            f"{expected_play(self.scene, d) if self.scene.belief is not None else self.scene.labels[d][best[first]]}"
            for first, d in self.replies.items()
        ]
        like = ", like me," if self.scene.belief is None else ""
        line = f"Others{like} {'; '.join(expected)}."
        self.lines.append(lambda: line)

    def _quoted(self, *path: int) -> str:
        """The payoffs of a row of the table, from which the own one is then taken."""
        return f" ({', '.join(number(payoff) for payoff in self.ends[path])})"

    def _option(
        self, decision: int, action: int, own: Sequence[int | Fraction], both: Sequence[int | Fraction], own_times: int = 1
    ) -> _Option:
        label = self.scene.labels[decision][action]
        # Quoting the row of the table, rather than the reply alone, is what a small model needs to find the right numbers.
        before = self.scene.histories[decision][0]
        row = path_name(self.scene, (before, label))
        quoted = self._quoted(self.scene.labels[0].index(before), action) if self.kappa == 0 else ""
        return _Option(
            label, row, f"{row}{quoted} gives", _merge((own_times, p) for p in own), _merge((1, p) for p in both), self.q
        )

    def _first_own(self, first: int, best: dict[int, int]) -> _Option:
        """The first mover's own payoff against what it expects: stated shares, or the second mover's own best reply."""
        label = self.scene.labels[0][first]
        if first not in self.replies:
            return _Option(label, "", f"{label} gives me", ((self.q, self.ends[first,][0]),), (), self.q)
        decision = self.replies[first]
        if self.scene.belief is None:
            weights = [int(action == best[first]) * self.q for action in range(len(self.scene.labels[decision]))]
        else:
            weights = [int(self.q * p) for p in self.belief[decision]]
        own = _merge((weights[action], self.ends[first, action][0]) for action in self._listed(decision))
        follows = [action for action, weight in enumerate(weights) if weight]
        leads = label
        if len(follows) == 1:
            leads = path_name(self.scene, (label, self.scene.labels[decision][follows[0]]))
        # "me" sets the first mover's payoff apart from what the same row gave the second: a small model repeats that one else.
        return _Option(label, "", f"{leads} gives me", own, (), self.q)

    def _first_both(self, first: int, best: dict[int, int], slips: dict[int, int | Fraction]) -> _Option:
        """kappa = 1: the sum at the end of the path that everyone then takes, as written before."""
        label = self.scene.labels[0][first]
        total = sum(self.ends[first, best[first]] if first in self.replies else self.ends[first,])
        return _Option(label, "", "", (), ((1, total),), 1, slips[first])

    def _mixed(self) -> dict[int, str]:
        """0 < kappa < 1: replies on the agent's own path count for itself and for all, the others for itself alone."""
        reach = [int(self.q * p) for p in self.belief[0]]
        on_path: dict[int, int] = {}
        off_path: dict[int, int] = {}
        for first, decision in self.replies.items():
            start = self.scene.labels[0][first]
            step = _capital(step_name(self.scene, decision))
            both_options, own_options = [], []
            for action in self._listed(decision):
                payoffs = self.ends[first, action]
                both_options.append(self._option(decision, action, payoffs[1:], payoffs, reach[first]))
                if reach[first]:
                    own_options.append(self._option(decision, action, payoffs[1:], ()))
                else:
                    # Nobody is expected there; a slip of the others and of everyone weigh the same.
                    label = self.scene.labels[decision][action]
                    row = path_name(self.scene, (start, label))
                    own_options.append(
                        _Option(label, row, f"{row} gives", _merge([(1, payoffs[1])]), _merge((1, p) for p in payoffs), 1)
                    )
            on_path[first] = self._choose(decision, both_options, f"{step}, if I start {start}:")
            slip = "" if reach[first] else " by a slip"
            off_path[first] = self._choose(decision, own_options, f"{step}{slip}, if I do not start {start}:")
        options = []
        for first in self._listed(0):
            label = self.scene.labels[0][first]
            own: list[Term] = []
            if first in self.replies:
                decision = self.replies[first]
                shares = self.belief[decision]
                own += [(int(self.q * shares[action]), self.ends[first, action][0]) for action in self._listed(decision)]
                both = tuple((1, p) for p in self.ends[first, on_path[first]])
                leads = f"{label} then {self.scene.labels[decision][on_path[first]]}"
            else:
                own.append((self.q, self.ends[first,][0]))
                both = tuple((1, p) for p in self.ends[first,])
                leads = label
            for other in self._listed(0):
                if other in self.replies:
                    action = on_path[other] if other == first else off_path[other]
                    own.append((reach[other], self.ends[other, action][1]))
                else:
                    own.append((reach[other], self.ends[other,][1]))
            options.append(_Option(label, "", f"{leads} gives", _merge(own), both, self.q))
        games = f", over {self.q} games" if self.q > 1 else ""
        chosen = self._choose(0, options, f"First, both roles{games}:")
        actions = [information.actions for information in self.scene.game.information_sets]
        plan = {0: actions[0][chosen]}
        for first, decision in self.replies.items():
            plan[decision] = actions[decision][on_path[first] if first == chosen else off_path[first]]
        return plan

    def _listed(self, decision: int) -> tuple[int, ...]:
        """Actions in the order in which the prompt lists them, so that the order of the reply is no hint either."""
        return self.scene.order[decision]

    def _choose(self, decision: int, options: list[_Option], lead: str, slip: int | Fraction | None = None) -> int:
        """Notes the comparison of the options and returns the action number of the best; equal ones are compared by slips.

        Args:
            slip: What the worse option leaves, for a later comparison of first moves.

        Raises:
            WordsError: They are equal and a slip does not separate them: no unique answer can be derived.
        """
        values = [(option.value(self.w, self.a), option.slip or 0) for option in options]
        largest = max(values)
        if values.count(largest) > 1:
            raise WordsError(f"{self.scene.game.name}: {lead} the options are equal; no unique answer can be derived")
        winner = options[values.index(largest)]
        if winner.slip is None:
            self.lines.append(partial(self._comparison, options, lead, winner, largest[0], slip))
        else:
            self.lines.append(partial(self._by_sums, options, lead, winner))
        return self.scene.labels[decision].index(winner.label)

    def _comparison(
        self, options: list[_Option], lead: str, winner: _Option, largest: int | Fraction, slip: int | Fraction | None
    ) -> str:
        gives = ", ".join(f"{option.says} {self._worth(option)}" for option in options)
        # Asked for the reply alone, a small model begins with the move before it, and gets stuck there.
        row = f" by {winner.row}" if winner.row else ""
        return f"{lead} {gives}. Larger: {number(largest)}{row}, so {winner.label}{_slip(slip)}."

    def _by_sums(self, options: list[_Option], lead: str, winner: _Option) -> str:
        """First moves by what everyone then gets. The label comes last: a small model repeats what followed a number before,
        and seldom finds what stood before it.
        """
        gives = {option.label: f"{self._worth(option)}{_slip(option.slip)} if {option.label}" for option in options}
        return f"{lead} {', '.join(gives.values())}. Larger: {gives[winner.label]}, so {winner.label}."

    def _worth(self, option: _Option) -> str:
        """The value of an option as its reader can recompute it."""
        if not option.both or self.a == 0:
            scaled = tuple((times * self.w, payoff) for times, payoff in option.own)
            return _equation(option.own if self.kappa == 0 else scaled)
        both_times = self.a * option.both_times
        if not option.own:
            return _equation(option.both) if self.kappa == 1 else self._times(option.both, both_times)
        own, both = _total(option.own), _total(option.both)
        final: tuple[Term, ...] = ((self.w, own), (both_times, both))
        return f"me {_equation(option.own)}, both {_equation(option.both)}, {_equation(final)}"

    @staticmethod
    def _times(terms: Sequence[Term], times: int) -> str:
        return f"both {_equation(terms)}, {_equation(((times, _total(terms)),))}"


def derive(scene: Scene, preference: SocialPreferences) -> Derivation:
    """The optimal plan of `preference` in `scene` and the reply that derives it.

    Raises:
        WordsError: The optimum is not unique, no belief is stated and none follows from the convention, or the preference or
            the game is one that derivations are not written for.
    """
    return _Deriver(scene, preference).derive()
