"""Finite extensive-form games as one generic tree, and expectations over it.

A game is symmetrised: every player is as likely to act in each role, so a *strategy* covers every decision of every role.
All arithmetic works on whatever numbers it is given; with integers and fractions it is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import product
from math import isfinite
from numbers import Integral, Rational, Real
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from moralfit.errors import GameError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Number: TypeAlias = int | float | Fraction
#: One action name for each information set, in the order of :attr:`Game.information_sets`.
Plan: TypeAlias = tuple[str, ...]
#: A behaviour strategy: one probability distribution over actions for each information set, in the same order.
Strategy: TypeAlias = tuple[tuple[Any, ...], ...]


def exact(value: Any, what: str = "value") -> Fraction:
    """The number a person meant: 0.1 becomes 1/10 and 1 / 3 a third, not the binary doubles nearest to them.

    A float within rounding error of a fraction with a denominator of at most 10,000 becomes that fraction, so that 0.1 + 0.2
    is 3/10 and ties stay ties; any other float becomes the decimal it prints as. Integers, fractions and decimals are exact.

    Args:
        value: Any real number, NumPy scalars included.
        what: What to call it in the error message.

    Raises:
        GameError: `value` is not a finite real number.
    """
    if type(value) is int or type(value) is Fraction:
        return Fraction(value)
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        raise GameError(f"{what} must be a number, got {value!r}")
    if isinstance(value, Integral):
        return Fraction(int(value))
    if isinstance(value, Rational):
        return Fraction(int(value.numerator), int(value.denominator))
    if not isfinite(value):
        raise GameError(f"{what} must be finite, got {value}")
    return Fraction(value) if isinstance(value, Decimal) else _meant(float(value), str(value))


@lru_cache(maxsize=4096)
def _meant(value: float, printed: str) -> Fraction:
    double = Fraction(value)
    simple = double.limit_denominator(10_000)
    # Two units in the last place: what a short float computation loses.
    return simple if abs(simple - double) <= abs(double) / 2**51 else Fraction(printed)


@dataclass(frozen=True, slots=True)
class Terminal:
    """The end of play; `payoffs` are payoff points by role."""

    payoffs: tuple[Number, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """A choice of `role` between `actions`, each leading to the child at the same index.

    Nodes with the same `information` name belong to one information set: whoever moves there cannot tell them apart and has
    one probability distribution for all of them. Two *roles* may share one, as in a simultaneous symmetric game.
    """

    role: int
    information: str
    actions: tuple[str, ...]
    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Chance:
    """A move of nature with known `probabilities`."""

    probabilities: tuple[Number, ...]
    children: tuple[Node, ...]


Node: TypeAlias = Terminal | Decision | Chance


class Move(NamedTuple):
    """One step on the way to an outcome: `role` takes action number `action` at information set number `information`."""

    role: int
    information: int
    action: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A terminal node with the way to it. `chance` is the probability of nature's moves on that way."""

    moves: tuple[Move, ...]
    chance: int | Fraction
    payoffs: tuple[int | Fraction, ...]


@dataclass(frozen=True, slots=True)
class InformationSet:
    """Where a strategy has to say something: who can be there, what can be done, and the actions seen before (if unique)."""

    name: str
    roles: tuple[int, ...]
    actions: tuple[str, ...]
    history: tuple[str, ...]


class Expectation(NamedTuple):
    """Role-symmetrised expectations for a pair of strategies, in payoff points.

    `behindness` is E[max(0, other - own)] and `aheadness` E[max(0, own - other)]; with more than two roles both average over
    the others (Fehr and Schmidt 1999).
    """

    payoff: Any
    behindness: Any
    aheadness: Any


@dataclass(frozen=True)
class Game:
    """A finite game in extensive form whose roles are filled at random.

    Args:
        name: Registry name, such as `trust_game`.
        root: First node of the tree.
        roles: What each role is called.
        parameters: The letters the payoffs were built from, for example `{"T": 80, "R": 60, "P": 30, "S": 20}`.

    Raises:
        GameError: The tree is malformed; the message names the node.
    """

    name: str
    root: Node
    roles: tuple[str, ...] = ("first mover", "second mover")
    parameters: Mapping[str, Number] = field(default_factory=dict, hash=False)
    information_sets: tuple[InformationSet, ...] = field(init=False, repr=False, compare=False)
    outcomes: tuple[Outcome, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.roles) < 2:
            raise GameError(f"{self.name}: a game needs two or more roles, got {self.roles}")
        sets: dict[str, InformationSet] = {}
        outcomes = tuple(self._walk(self.root, (), (), 1, sets))
        if not sets:
            raise GameError(f"{self.name}: nobody has anything to decide")
        object.__setattr__(self, "information_sets", tuple(sets.values()))
        object.__setattr__(self, "outcomes", outcomes)

    def _walk(
        self,
        node: Node,
        moves: tuple[Move, ...],
        history: tuple[str, ...],
        chance: int | Fraction,
        sets: dict[str, InformationSet],
    ) -> Iterator[Outcome]:
        """The one walk of the tree: checks it, numbers its information sets and yields its outcomes."""
        where = f"{self.name}, after {' '.join(history) or 'the start'}"
        if isinstance(node, Terminal):
            if len(node.payoffs) != len(self.roles):
                raise GameError(f"{where}: {len(node.payoffs)} payoffs for {len(self.roles)} roles")
            payoffs = tuple(_plain(exact(p, f"{where}: a payoff")) for p in node.payoffs)
            yield Outcome(moves, chance, payoffs)
        elif isinstance(node, Chance):
            if len(node.probabilities) != len(node.children):
                raise GameError(f"{where}: {len(node.probabilities)} chance probabilities but {len(node.children)} branches")
            probabilities = _probabilities(node.probabilities, where)
            for number, (probability, child) in enumerate(zip(probabilities, node.children, strict=True)):
                yield from self._walk(child, moves, (*history, f"chance {number + 1}"), chance * probability, sets)
        elif isinstance(node, Decision):
            if not 0 <= node.role < len(self.roles):
                raise GameError(f"{where}: role {node.role} does not exist")
            if len(node.actions) < 2 or len(set(node.actions)) != len(node.actions):
                raise GameError(f"{where}: a decision needs two or more different actions, got {node.actions}")
            if len(node.actions) != len(node.children):
                raise GameError(f"{where}: {len(node.actions)} actions but {len(node.children)} branches")
            known = sets.get(node.information)
            if known is None:
                sets[node.information] = InformationSet(node.information, (node.role,), node.actions, history)
            else:
                if known.actions != node.actions:
                    raise GameError(f"{where}: information set {node.information!r} has other actions elsewhere")
                roles = tuple(sorted({*known.roles, node.role}))
                seen = known.history if known.history == history else ()
                sets[node.information] = InformationSet(node.information, roles, node.actions, seen)
            index = list(sets).index(node.information)
            if any(move.role == node.role and move.information == index for move in moves):
                raise GameError(f"{where}: {self.roles[node.role]} passes information set {node.information!r} twice")
            for action, (label, child) in enumerate(zip(node.actions, node.children, strict=True)):
                yield from self._walk(child, (*moves, Move(node.role, index, action)), (*history, label), chance, sets)
        else:
            raise GameError(f"{where}: expected a Terminal, Decision or Chance, got {node!r}")

    def plans(self) -> tuple[Plan, ...]:
        """Every pure plan, in lexicographic order of the tree's actions; `len` is the product of the action counts."""
        return tuple(product(*(information.actions for information in self.information_sets)))

    def strategy(self, spec: Any) -> Strategy:
        """A behaviour strategy from what is convenient to write.

        Args:
            spec: A plan of action names (`("C", "C", "D")` or `"CCD"`); one number or one distribution for each information
                set, where a number is the probability of the *first* action of a two-action set (`(1, 1, 0)`, `"110"`); a
                mapping from information set names to any of these; or one number for all sets (`0.5`).

        Raises:
            GameError: It does not fit the game, or some probabilities are negative or do not sum to one.
        """
        sets = self.information_sets
        if isinstance(spec, Real):
            entries: list[Any] = [exact(spec, f"{self.name}: a probability")] * len(sets)
        elif isinstance(spec, Mapping):
            unknown = set(spec) - {information.name for information in sets}
            missing = [information.name for information in sets if information.name not in spec]
            if unknown or missing:
                raise GameError(f"{self.name}: strategy has unknown decisions {sorted(map(str, unknown))} and lacks {missing}")
            entries = [spec[information.name] for information in sets]
        elif isinstance(spec, Iterable):
            entries = list(spec)
        else:
            raise GameError(f"{self.name}: {spec!r} is not a strategy: give a plan, numbers, a mapping or one number")
        if len(entries) != len(sets):
            needed = ", ".join(information.name for information in sets)
            raise GameError(f"{self.name}: a strategy has {len(sets)} entries ({needed}), got {len(entries)}")
        if isinstance(spec, str) and any(letter not in i.actions for letter, i in zip(spec, sets, strict=True)):
            entries = [int(letter) if letter in "01" else letter for letter in spec]
        return tuple(_distribution(self.name, i, entry) for i, entry in zip(sets, entries, strict=True))

    def expectation(self, x: Strategy, y: Strategy) -> Expectation:
        """Role-symmetrised payoff, behindness and aheadness of playing `x` when everybody else plays `y`.

        Args:
            x: Own strategy, as :meth:`strategy` returns it. y: The others' strategy.

        Source: `pi(x, y)` of Alger and Weibull (2013); behindness and aheadness of Fehr and Schmidt (1999).
        """
        payoff: Any = 0
        behind: Any = 0
        ahead: Any = 0
        for outcome, role, weight in self._reached(x, y):
            own = outcome.payoffs[role]
            payoff = payoff + weight * own
            for other in outcome.payoffs:
                if other > own:
                    behind = behind + weight * (other - own)
                elif other < own:
                    ahead = ahead + weight * (own - other)
        share = Fraction(1, len(self.roles))
        per_other = share / (len(self.roles) - 1)
        return Expectation(payoff * share, behind * per_other, ahead * per_other)

    def material(self, x: Strategy, y: Strategy) -> Any:
        """Only the payoff of :meth:`expectation`, for solvers that need nothing else."""
        total: Any = 0
        for outcome, role, weight in self._reached(x, y):
            total = total + weight * outcome.payoffs[role]
        return total * Fraction(1, len(self.roles))

    def _reached(self, x: Strategy, y: Strategy) -> Iterator[tuple[Outcome, int, Any]]:
        """Outcomes with positive probability when one role follows `x` and the others `y`, with that role and probability."""
        for outcome in self.outcomes:
            for role in range(len(self.roles)):
                weight: Any = outcome.chance
                for mover, information, action in outcome.moves:
                    weight = weight * (x if mover == role else y)[information][action]
                    if not weight:
                        break
                else:
                    yield outcome, role, weight

    def payoff(self, x: Any, y: Any) -> Any:
        """Expected material payoff `pi(x, y)` in points; `x` and `y` as :meth:`strategy` takes them."""
        return self.material(self.strategy(x), self.strategy(y))

    def behindness(self, x: Any, y: Any) -> Any:
        """E[max(0, other - own)] in points; `x` and `y` as :meth:`strategy` takes them."""
        return self.expectation(self.strategy(x), self.strategy(y)).behindness

    def aheadness(self, x: Any, y: Any) -> Any:
        """E[max(0, own - other)] in points; `x` and `y` as :meth:`strategy` takes them."""
        return self.expectation(self.strategy(x), self.strategy(y)).aheadness

    @cached_property
    def multilinear(self) -> bool:
        """Whether no information set is shared between roles, so that `pi(x, x)` is linear in every entry of `x`."""
        return all(len(information.roles) == 1 for information in self.information_sets)

    @cached_property
    def uniform(self) -> Strategy:
        """Even play: every action of an information set is equally likely."""
        return tuple(
            (Fraction(1, len(information.actions)),) * len(information.actions) for information in self.information_sets
        )

    def draw(self, plan: Any = None) -> Figure:
        """The tree as a matplotlib figure: roles at the nodes, actions on the branches, payoffs at the ends.

        Args:
            plan: A strategy to show in bold, as :meth:`strategy` takes it; mixed branches are drawn in proportion.
        """
        from moralfit.games._draw import draw_game

        return draw_game(self, plan)

    def _repr_html_(self) -> str:
        from moralfit.games._draw import game_as_html

        return game_as_html(self)


def _plain(value: Fraction) -> int | Fraction:
    """Integers as int: they print as people write them and multiply faster."""
    return value.numerator if value.denominator == 1 else value


def _probabilities(values: Sequence[Any], where: str) -> tuple[int | Fraction, ...]:
    """A checked distribution. Floats that a computation left a rounding error away from summing to one are meant to do so."""
    probabilities = [exact(value, f"{where}: a probability") for value in values]
    total = sum(probabilities, Fraction(0))
    if min(probabilities, default=-1) < 0 or abs(total - 1) > Fraction(1, 10**9):
        raise GameError(f"{where}: probabilities {list(map(float, probabilities))} must be non-negative and sum to one")
    return tuple([_plain(p if total == 1 else p / total) for p in probabilities])


def _finished(entry: Any, actions: int) -> bool:
    """Whether this is a distribution as :meth:`Game.strategy` returns it: most are, and the long way is slow."""
    return (
        type(entry) is tuple
        and len(entry) == actions
        and all(type(p) is int or (type(p) is Fraction and p.denominator > 1) for p in entry)
        and min(entry) >= 0
        and sum(entry) == 1
    )


def _distribution(game: str, information: InformationSet, entry: Any) -> tuple[int | Fraction, ...]:
    actions = information.actions
    if _finished(entry, len(actions)):
        return tuple(entry)
    if isinstance(entry, str) and entry in actions:
        return tuple(int(action == entry) for action in actions)
    where = f"{game}, decision {information.name!r}"
    if isinstance(entry, str):
        raise GameError(f"{where}: unknown action {entry!r}; the actions are {', '.join(actions)}")
    if isinstance(entry, Mapping):
        if unknown := set(entry) - set(actions):
            raise GameError(f"{where}: unknown actions {sorted(map(str, unknown))}; the actions are {', '.join(actions)}")
        return _probabilities([entry.get(action, 0) for action in actions], where)
    if isinstance(entry, Iterable):
        values = list(entry)
        if len(values) != len(actions):
            raise GameError(f"{where}: {len(values)} probabilities for {len(actions)} actions")
        return _probabilities(values, where)
    first = exact(entry, f"{where}: a probability")
    if len(actions) != 2:
        raise GameError(f"{where}: one number does not say how {len(actions)} actions are mixed")
    if not 0 <= first <= 1:
        raise GameError(f"{where}: {float(first):g} is not a probability")
    return _plain(first), _plain(1 - first)
