"""Exact maxima of a quadratic over behaviour strategies, by their realisation weights.

A *sequence* is what a player did up to some point; its realisation weight is the product of the own probabilities on the way
(von Stengel 1996). Where every decision has one sequence leading to it (perfect recall, for all roles that can be there), the
expected payoff of two roles is bilinear in their weights even if a role moves several times, so that pi(x, x) is quadratic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, product
from math import prod
from typing import TypeAlias

from moralfit.errors import GameError
from moralfit.games import Game, Strategy, exact
from moralfit.preferences import SocialPreferences

#: Realisation weights by number of the sequence; number 0 is the empty sequence, whose weight is one.
Realisation: TypeAlias = list[Fraction]
_Matrix: TypeAlias = list[list[Fraction]]
#: Beyond this many faces (sets of actions that are played at all) an answer takes too long.
_MOST_FACES = 1100


@dataclass(frozen=True)
class Quadratic:
    """u(x, y) = x' actual y + x' universal x in realisation weights x and y.

    Attributes:
        name: Of the game, for messages.
        parents: For each information set the number of the sequence that leads to it.
        first: For each information set the number of the sequence that ends in its first action.
        sizes: For each information set how many actions there are.
        actual, universal: Square matrices over sequences.
    """

    name: str
    parents: list[int]
    first: list[int]
    sizes: list[int]
    actual: _Matrix
    universal: _Matrix

    @property
    def count(self) -> int:
        """Number of sequences."""
        return 1 + sum(self.sizes)

    def value(self, x: Realisation, y: Realisation) -> Fraction:
        """u(x, y)."""
        gradient = [a + b for a, b in zip(_times(self.actual, y), _times(self.universal, x), strict=True)]
        return sum((p * g for p, g in zip(x, gradient, strict=True) if p), Fraction(0))

    def realisation(self, strategy: Strategy) -> Realisation:
        """The weights of a behaviour strategy."""
        weights = [Fraction(1)] * self.count
        for parent, first, entry in zip(self.parents, self.first, strategy, strict=True):
            for action, p in enumerate(entry):
                weights[first + action] = weights[parent] * p
        return weights

    def strategy(self, x: Realisation) -> Strategy:
        """The behaviour strategy with these weights, even where own play never leads."""
        return tuple(
            tuple(x[first + action] / x[parent] if x[parent] else Fraction(1, size) for action in range(size))
            for parent, first, size in zip(self.parents, self.first, self.sizes, strict=True)
        )

    def maxima(self, y: Realisation) -> list[Realisation]:
        """The corners of the set of x that maximise u(x, y)."""
        points = list(self._stationary(_plus_transposed(self.universal), _times(self.actual, y)))
        values = [self.value(x, y) for x in points]
        return [x for x, value in zip(points, values, strict=True) if value == max(values)]

    def fixed_points(self) -> list[Realisation]:
        """Every isolated x that maximises u(., x)."""
        matrix = [
            [a + b for a, b in zip(*rows, strict=True)]
            for rows in zip(self.actual, _plus_transposed(self.universal), strict=True)
        ]
        found = []
        for x in self._stationary(matrix, [Fraction(0)] * self.count):
            gradient = _times(matrix, x)
            here = sum((p * g for p, g in zip(x, gradient, strict=True)), Fraction(0))
            # No small step may pay before all steps are looked at.
            if here == self._highest_linear(gradient) and self.value(x, x) == self.value(self.maxima(x)[0], x):
                found.append(x)
        return found

    def _highest_linear(self, gradient: Sequence[Fraction]) -> Fraction:
        """The maximum of a linear function: backwards, the best action at each information set."""
        value = list(gradient)
        for i in reversed(range(len(self.sizes))):
            value[self.parents[i]] += max(value[self.first[i] : self.first[i] + self.sizes[i]])
        return value[0]

    def _faces(self) -> list[dict[int, tuple[int, ...]]]:
        """Every choice of a set of actions at each information set that is then reached, as sequence numbers."""

        def count(sequence: int) -> int:
            total = 1
            for i, parent in enumerate(self.parents):
                if parent == sequence:
                    total *= prod(1 + count(self.first[i] + action) for action in range(self.sizes[i])) - 1
            return total

        if count(0) > _MOST_FACES:
            raise GameError(
                f"{self.name}: a mixed optimum may use any of {count(0):,} sets of actions, and at most {_MOST_FACES:,} are "
                "compared; take a game with fewer actions"
            )

        def below(sequences: tuple[int, ...]) -> list[dict[int, tuple[int, ...]]]:
            options = []
            for i, parent in enumerate(self.parents):
                if parent in sequences:
                    actions = range(self.first[i], self.first[i] + self.sizes[i])
                    supports = [s for size in range(1, self.sizes[i] + 1) for s in combinations(actions, size)]
                    options.append([{i: support, **further} for support in supports for further in below(support)])
            return [{k: v for part in parts for k, v in part.items()} for parts in product(*options)]

        return below((0,))

    def _stationary(self, matrix: _Matrix, linear: Sequence[Fraction]) -> Iterator[Realisation]:
        """The isolated points x where `matrix x + linear` is normal to the face that x lies inside.

        At a maximum that is not isolated on its face, utility is constant along a line to a smaller face, so that the isolated
        points of all faces include a maximum.
        """
        for face in self._faces():
            sequences = [s for support in face.values() for s in support]
            reached = list(face)
            rows = []
            for i, support in face.items():
                for s in support:
                    # Marginal utility is the multiplier of the set that s belongs to, less those of the sets that it leads to.
                    multipliers = [Fraction((self.parents[j] == s) - (j == i)) for j in reached]
                    rows.append([*(matrix[s][t] for t in sequences), *multipliers, -linear[s] - matrix[s][0]])
            for i in reached:
                row = [Fraction((s in face[i]) - (s == self.parents[i])) for s in sequences]
                rows.append([*row, *([Fraction(0)] * len(reached)), Fraction(self.parents[i] == 0)])
            solution = solve_linear(rows)
            if solution is not None and all(p > 0 for p in solution[: len(sequences)]):
                x = [Fraction(1)] + [Fraction(0)] * (self.count - 1)
                for s, p in zip(sequences, solution, strict=False):
                    x[s] = p
                yield x


def quadratic_utility(game: Game, preference: SocialPreferences) -> Quadratic | None:
    """The preference's utility in a game of two roles as a :class:`Quadratic`; None without perfect recall."""
    if len(game.roles) != 2:
        return None
    sizes = [len(information.actions) for information in game.information_sets]
    first = [1 + sum(sizes[:i]) for i in range(len(sizes))]
    parents: dict[int, int] = {}
    ends: list[tuple[int, int]] = []
    for outcome in game.outcomes:
        last = [0, 0]
        for role, information, action in outcome.moves:
            if parents.setdefault(information, last[role]) != last[role]:
                return None
            last[role] = first[information] + action
        ends.append((last[0], last[1]))
    actual, universal = ([[Fraction(0)] * (1 + sum(sizes)) for _ in range(1 + sum(sizes))] for _ in range(2))
    kappa, alpha, beta = exact(preference.kappa), exact(preference.alpha), exact(preference.beta)
    for outcome, last_of in zip(game.outcomes, ends, strict=True):
        for role, other in ((0, 1), (1, 0)):
            own, gap = outcome.payoffs[role], outcome.payoffs[other] - outcome.payoffs[role]
            value = (1 - kappa) * own - alpha * max(0, gap) - beta * max(0, -gap)
            actual[last_of[role]][last_of[other]] += outcome.chance * value / 2
            universal[last_of[0]][last_of[1]] += outcome.chance * kappa * own / 2
    return Quadratic(game.name, [parents[i] for i in range(len(sizes))], first, sizes, actual, universal)


def _times(matrix: _Matrix, vector: Realisation) -> Realisation:
    nonzero = [(j, v) for j, v in enumerate(vector) if v]
    return [sum((row[j] * v for j, v in nonzero if row[j]), Fraction(0)) for row in matrix]


def _plus_transposed(matrix: _Matrix) -> _Matrix:
    return [[matrix[i][j] + matrix[j][i] for j in range(len(matrix))] for i in range(len(matrix))]


def solve_linear(rows: list[list[Fraction]]) -> list[Fraction] | None:
    """Gauss-Jordan elimination of an augmented square system; None where it is singular."""
    size = len(rows)
    for column in range(size):
        pivot = next((r for r in range(column, size) if rows[r][column] != 0), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        if rows[column][column] != 1:
            rows[column] = [v / rows[column][column] if v else v for v in rows[column]]
        for r in range(size):
            if r != column and rows[r][column] != 0:
                factor = rows[r][column]
                rows[r] = [a - factor * b if b else a for a, b in zip(rows[r], rows[column], strict=True)]
    return [row[-1] for row in rows]
