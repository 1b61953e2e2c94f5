"""The utility of plans in integers: what every enumeration here evaluates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import lcm, prod
from typing import TypeAlias

from moralfit.errors import GameError
from moralfit.games import Game, Strategy, exact
from moralfit.preferences import SocialPreferences

#: A strategy in integers over a common denominator: for each information set a weight for each action.
Weights: TypeAlias = list[list[int]]
#: One action, as (information set, action).
Step: TypeAlias = tuple[int, int]
#: More pure plans than this are not enumerated, neither here nor by the estimator.
MOST_PLANS = 2**16


class Utility:
    """u(x, y) of one preference in one game, in integers: the definition is :meth:`SocialPreferences.utility`.

    A strategy is written as integer weights over a common denominator, its *unit*. As a function of own play x, utility is a
    sum of coefficients times products of entries of x, one product for each way through the tree.
    Products with fewer factors than the longest way are filled up with units, so that all values share one denominator and can
    be compared as they are.
    """

    def __init__(self, game: Game, preference: SocialPreferences) -> None:
        others = len(game.roles) - 1
        weights = [exact(weight) for weight in (preference.alpha, preference.beta, preference.kappa)]
        scale = lcm(*(weight.denominator for weight in weights))
        alpha, beta, kappa = (int(weight * scale) for weight in weights)
        point = lcm(*(payoff.denominator for outcome in game.outcomes for payoff in outcome.payoffs))
        nature = lcm(*(outcome.chance.denominator for outcome in game.outcomes))
        self.denominator = len(game.roles) * others * scale * point * nature
        self.depth = max(len(outcome.moves) for outcome in game.outcomes)
        self.sizes = [len(information.actions) for information in game.information_sets]
        if prod(self.sizes) > MOST_PLANS:
            raise GameError(
                f"{game.name}: {prod(self.sizes):,} plans; at most {MOST_PLANS:,} are compared, take a smaller game"
            )
        self.choices = [frozenset(enumerate(plan)) for plan in product(*map(range, self.sizes))]
        #: (value, own moves, others' moves) for each outcome and each role of one's own.
        self.actual: list[tuple[int, tuple[Step, ...], tuple[Step, ...]]] = []
        #: The value of the outcomes with these moves when everyone plays x; a move of two roles is there twice.
        self.universal: dict[tuple[Step, ...], int] = {}
        for outcome in game.outcomes:
            chance = int(outcome.chance * nature)
            payoffs = [int(payoff * point) for payoff in outcome.payoffs]
            for role, own in enumerate(payoffs):
                value = (scale - kappa) * others * own
                if alpha or beta:
                    value -= alpha * sum(p - own for p in payoffs if p > own) + beta * sum(own - p for p in payoffs if p < own)
                mine = tuple([(i, action) for mover, i, action in outcome.moves if mover == role])
                theirs = tuple([(i, action) for mover, i, action in outcome.moves if mover != role])
                self.actual.append((chance * value, mine, theirs))
            if kappa:
                everyone = tuple([(i, action) for _, i, action in outcome.moves])
                self.universal[everyone] = self.universal.get(everyone, 0) + chance * kappa * others * sum(payoffs)

    def given(self, y: Weights, unit: int) -> list[tuple[int, tuple[Step, ...]]]:
        """The coefficients and products of own moves that utility consists of when the others play `y`."""
        powers = [unit**missing for missing in range(self.depth + 1)]
        coefficients = {moves: value * powers[-1] for moves, value in self.universal.items()}
        for value, mine, theirs in self.actual:
            for information, action in theirs:
                value *= y[information][action]
            if value:
                coefficients[mine] = coefficients.get(mine, 0) + value * powers[self.depth - len(theirs)]
        return [(coefficient, moves) for moves, coefficient in coefficients.items()]

    def of_plans(self, y: Weights, unit: int) -> list[int]:
        """Utility of every pure plan, times `denominator * unit**depth`."""
        terms = self.given(y, unit)
        return [sum([coefficient for coefficient, moves in terms if plan.issuperset(moves)]) for plan in self.choices]

    def best_under_trembles(self, plans: Sequence[int], y: Weights, unit: int) -> list[int]:
        """Those of `plans` that are optimal in the limit when everybody plays each action with probability eps or more.

        Utility is then a polynomial in eps whose coefficients here are integers of at most `largest`, so that at
        eps = 1 / (2 largest + 2) the sign of a difference of two of them is that of its lowest power: one exact comparison at
        this eps is the comparison as eps goes to zero.
        """
        value = self._trembling(y, unit)
        return [plans[number] for number in highest([value(self.choices[number]) for number in plans])]

    def _trembling(self, y: Weights, unit: int) -> Callable[[frozenset[Step]], int]:
        """Utility of a plan at the eps of :meth:`best_under_trembles`, in units that allow comparison."""
        ways = unit * max(self.sizes)  # p + (1 - n p) eps has coefficients that sum, in absolute value, to n at most
        summed = sum(abs(value) for value, _, _ in self.actual) + sum(map(abs, self.universal.values()))
        largest = summed * ways**self.depth
        tiny = 2 * largest + 2
        trembling = [[p * (tiny - len(entry)) + unit for p in entry] for entry in y]
        powers = [tiny**missing for missing in range(self.depth + 1)]
        terms = [(coefficient * powers[self.depth - len(m)], m) for coefficient, m in self.given(trembling, unit * tiny)]
        mainly = [tiny + 1 - size for size in self.sizes]

        def value(plan: frozenset[Step]) -> int:
            total = 0
            for coefficient, moves in terms:
                for move in moves:
                    if move in plan:
                        coefficient *= mainly[move[0]]
                total += coefficient
            return total

        return value

    def withstands_one_change(self, number: int) -> bool:
        """Whether no other action at one decision does better when everybody follows plan `number`, trembles included.

        Necessary for an equilibrium, and much quicker to see than that no other plan does better.
        """
        plan = self.choices[number]
        y = [[int((i, action) in plan) for action in range(size)] for i, size in enumerate(self.sizes)]
        terms = self.given(y, 1)

        def at_ease(value: Callable[[frozenset[Step]], int]) -> bool:
            own = value(plan)
            return all(
                value((plan - {(i, entry.index(1))}) | {(i, action)}) <= own
                for i, entry in enumerate(y)
                for action, chosen in enumerate(entry)
                if not chosen
            )

        return at_ease(lambda p: sum([c for c, moves in terms if p.issuperset(moves)])) and at_ease(self._trembling(y, 1))


def highest(values: Sequence[int]) -> list[int]:
    """The positions of the highest value."""
    top = max(values)
    return [position for position, value in enumerate(values) if value == top]


def weights(strategy: Strategy) -> tuple[Weights, int]:
    """The strategy's probabilities over their common denominator, and that denominator."""
    unit = lcm(*(p.denominator for entry in strategy for p in entry))
    return [[int(p * unit) for p in entry] for entry in strategy], unit
