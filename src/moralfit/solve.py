"""Optimal plans for a belief, ties broken by trembles, subgame-perfect play and symmetric equilibrium. All exact.

Conventions that are ours, not the literature's:

- A tie between optimal plans is broken by small trembles: every action is played with probability at least eps, by the agent
  and by the others, and the plans that stay optimal in the limit are kept. A tie that survives is reported.
- An unstated belief is the symmetric equilibrium of the same preference: a plan that is optimal, trembles included, when
  everyone else follows it too. Of several, the one that gives them the highest utility u(x, x).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, pairwise, product
from math import lcm
from typing import Any, TypeAlias

from moralfit.errors import GameError
from moralfit.games import Chance, Decision, Game, Node, Plan, Strategy, Terminal, exact
from moralfit.preferences import HomoEconomicus, SocialPreferences

#: A strategy in integers over a common denominator: for each information set a weight for each action.
_Weights: TypeAlias = list[list[int]]
#: Moves as (information set, action).
_Moves: TypeAlias = frozenset[tuple[int, int]]


@dataclass(frozen=True)
class Solution:
    """The optimal pure plans of one preference in one game for one belief.

    Attributes:
        plans: Optimal after trembles; more than one means that a tie survived.
        tied: Optimal without trembles, a superset of `plans`.
        utility: Their utility in payoff points, exact.
        utilities: The utility of every plan, in the order of :meth:`Game.plans`.
        belief: The others' strategy that was assumed.
    """

    plans: tuple[Plan, ...]
    tied: tuple[Plan, ...]
    utility: Fraction
    utilities: tuple[Fraction, ...]
    belief: Strategy

    @property
    def unique(self) -> bool:
        """Whether trembles left one plan."""
        return len(self.plans) == 1

    def actions(self, decision: int) -> tuple[str, ...]:
        """The actions that optimal plans take at information set number `decision`, in order of first appearance."""
        return tuple(dict.fromkeys(plan[decision] for plan in self.plans))


class _Utility:
    """u(x, y) of one preference in one game, in integers: the definition is :meth:`SocialPreferences.utility`.

    A strategy is written as integer weights over a common denominator, its *unit*. As a function of own play x, utility is a
    sum of coefficients times products of entries of x, one product for each set of own moves on a way through the tree.
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
        self.choices = [frozenset(enumerate(plan)) for plan in product(*map(range, self.sizes))]
        #: (value, own moves, others' moves) for each outcome and each role of one's own.
        self.actual: list[tuple[int, _Moves, tuple[tuple[int, int], ...]]] = []
        #: The value of the outcomes with these moves when everyone plays x; nature can make several of them.
        self.universal: dict[_Moves, int] = {}
        for outcome in game.outcomes:
            chance = int(outcome.chance * nature)
            payoffs = [int(payoff * point) for payoff in outcome.payoffs]
            for role, own in enumerate(payoffs):
                value = (scale - kappa) * others * own
                if alpha or beta:
                    value -= alpha * sum(p - own for p in payoffs if p > own) + beta * sum(own - p for p in payoffs if p < own)
                mine = frozenset([(i, action) for mover, i, action in outcome.moves if mover == role])
                theirs = tuple([(i, action) for mover, i, action in outcome.moves if mover != role])
                self.actual.append((chance * value, mine, theirs))
            if kappa:
                everyone = frozenset([(i, action) for _, i, action in outcome.moves])
                self.universal[everyone] = self.universal.get(everyone, 0) + chance * kappa * others * sum(payoffs)

    def given(self, y: _Weights, unit: int) -> list[tuple[int, _Moves]]:
        """The coefficients and products of own moves that utility consists of when the others play `y`."""
        powers = [unit**missing for missing in range(self.depth + 1)]
        coefficients = {moves: value * powers[-1] for moves, value in self.universal.items()}
        for value, mine, theirs in self.actual:
            for information, action in theirs:
                value *= y[information][action]
            if value:
                coefficients[mine] = coefficients.get(mine, 0) + value * powers[self.depth - len(theirs)]
        return [(coefficient, moves) for moves, coefficient in coefficients.items()]

    def of_plans(self, y: _Weights, unit: int) -> list[int]:
        """Utility of every pure plan, times `denominator * unit**depth`."""
        terms = self.given(y, unit)
        return [sum([coefficient for coefficient, moves in terms if moves <= plan]) for plan in self.choices]

    def best_under_trembles(self, plans: Sequence[int], y: _Weights, unit: int) -> list[int]:
        """Those of `plans` that are optimal in the limit when everybody plays each action with probability eps or more.

        Utility is then a polynomial in eps whose coefficients here are integers of at most `largest`, so that at
        eps = 1 / (2 largest + 2) the sign of a difference of two of them is that of its lowest power: one exact comparison at
        this eps is the comparison as eps goes to zero.
        """
        ways = unit * max(self.sizes)  # p + (1 - n p) eps has coefficients that sum, in absolute value, to n at most
        summed = sum(abs(value) for value, _, _ in self.actual) + sum(map(abs, self.universal.values()))
        largest = summed * ways**self.depth
        tiny = 2 * largest + 2
        trembling = [[p * (tiny - len(entry)) + unit for p in entry] for entry in y]
        terms = self.given(trembling, unit * tiny)
        values = []
        for plan in (self.choices[number] for number in plans):
            total = 0
            for coefficient, moves in terms:
                for move in moves:
                    coefficient *= tiny + 1 - self.sizes[move[0]] if move in plan else 1
                total += coefficient * tiny ** (self.depth - len(moves))
            values.append(total)
        return [plans[number] for number in _highest(values)]


def _highest(values: Sequence[int]) -> list[int]:
    """The positions of the highest value."""
    highest = max(values)
    return [position for position, value in enumerate(values) if value == highest]


def _weights(strategy: Strategy) -> tuple[_Weights, int]:
    """The strategy's probabilities over their common denominator, and that denominator."""
    unit = lcm(*(p.denominator for entry in strategy for p in entry))
    return [[int(p * unit) for p in entry] for entry in strategy], unit


def _require_pure_optimum(game: Game, preference: SocialPreferences) -> None:
    if not game.multilinear and preference.kappa:
        raise GameError(f"{game.name}: roles share an information set; the optimum may be mixed, use optimal_strategies")


def optimal_plans(game: Game, preference: SocialPreferences, belief: Any) -> Solution:
    """Every pure plan that maximises u(x, belief), ties broken by trembles.

    Args:
        game: Any game; roles may share an information set only if kappa is zero.
        preference: Whose utility is maximised.
        belief: The others' strategy, as :meth:`Game.strategy` takes it (`0.5`: everyone randomises evenly everywhere).

    Raises:
        GameError: Roles share an information set and kappa is positive, so that u is not linear in each entry of x and the
            optimum may be mixed: use :func:`optimal_strategies`.
    """
    _require_pure_optimum(game, preference)
    strategy = game.strategy(belief)
    y, unit = _weights(strategy)
    utility = _Utility(game, preference)
    values = utility.of_plans(y, unit)
    tied = _highest(values)
    kept = tied if len(tied) == 1 else utility.best_under_trembles(tied, y, unit)
    plans = game.plans()
    scale = utility.denominator * unit**utility.depth
    return Solution(
        plans=tuple(plans[number] for number in kept),
        tied=tuple(plans[number] for number in tied),
        utility=Fraction(values[tied[0]], scale),
        utilities=tuple(Fraction(value, scale) for value in values),
        belief=strategy,
    )


def optimal_strategies(game: Game, preference: SocialPreferences, belief: Any) -> tuple[Strategy, ...]:
    """The strategies that maximise u(x, belief) where roles share the game's only information set; they can be mixed.

    1. With two roles u is quadratic in one probability vector x. On each support the first-order conditions are linear and are
       solved exactly; the best stationary point over all supports is the maximum.
    2. With more roles and two actions u is a polynomial in the probability of the first. Its stationary points are exact where
       they are rational with a denominator up to a million, and otherwise right to 18 digits.

    Returns:
        Every optimal strategy; where a whole set of mixtures is optimal, its corners.

    Raises:
        GameError: The game has more than one information set, or kappa is positive with more than two roles and actions.
    """
    if len(game.information_sets) != 1:
        raise GameError(f"{game.name}: mixed optima are known for games with one shared information set only")
    y = game.strategy(belief)
    count = len(game.information_sets[0].actions)

    def value(x: Sequence[Fraction]) -> Fraction:
        return Fraction(preference.of_strategies(game, (tuple(x),), y))

    degree = max(len(outcome.moves) for outcome in game.outcomes) if preference.kappa else 1
    if degree <= 2:
        points = _stationary_points_of_quadratic(value, count)
    elif count == 2:
        points = [[p, 1 - p] for p in _stationary_points_of_polynomial(lambda p: value([p, 1 - p]), degree)]
    else:
        raise GameError(f"{game.name}: with three or more roles, mixed optima are known for two actions only")
    values = [value(x) for x in points]
    return tuple((tuple(x),) for x, reached in zip(points, values, strict=True) if reached == max(values))


def _stationary_points_of_quadratic(value: Callable[[Sequence[Fraction]], Fraction], count: int) -> list[list[Fraction]]:
    """The isolated points of the simplex where `value`, of degree two, is stationary on the face that they lie in."""
    # value(x) = constant + sum_i linear_i x_i + 1/2 sum_ij hessian_ij x_i x_j: read off from its values at 0, e_i, e_i + e_j.
    zero = [Fraction(0)] * count
    unit = [[Fraction(int(i == j)) for j in range(count)] for i in range(count)]
    constant = value(zero)
    at_unit = [value(e) for e in unit]
    hessian = [
        [
            value([a + b for a, b in zip(unit[i], unit[j], strict=True)]) - at_unit[i] - at_unit[j] + constant
            for j in range(count)
        ]
        for i in range(count)
    ]
    linear = [at_unit[i] - constant - hessian[i][i] / 2 for i in range(count)]
    points = []
    for size in range(1, count + 1):
        for support in combinations(range(count), size):
            # Equal marginal utility mu on the support, probabilities summing to one.
            rows = [[hessian[i][j] for j in support] + [Fraction(-1), -linear[i]] for i in support]
            rows.append([Fraction(1)] * size + [Fraction(0), Fraction(1)])
            solution = _solve_linear(rows)
            if solution is not None and all(p > 0 for p in solution[:size]):
                x = list(zero)
                for i, p in zip(support, solution, strict=False):
                    x[i] = p
                points.append(x)
    return points


def _stationary_points_of_polynomial(value: Callable[[Fraction], Fraction], degree: int) -> list[Fraction]:
    """The points of [0, 1] where a polynomial of this degree may have a maximum: both ends and where its slope changes sign."""
    nodes = [Fraction(k, degree) for k in range(degree + 1)]
    coefficients = _solve_linear([[*(p**k for k in range(degree + 1)), value(p)] for p in nodes])
    assert coefficients is not None  # a Vandermonde matrix of different nodes
    inner = [p for p in _sign_changes(_derivative(coefficients)) if 0 < p < 1]
    return [Fraction(0), *inner, Fraction(1)]


def _derivative(polynomial: Sequence[Fraction]) -> list[Fraction]:
    return [k * coefficient for k, coefficient in enumerate(polynomial)][1:]


def _sign_changes(polynomial: Sequence[Fraction]) -> list[Fraction]:
    """Where a polynomial, lowest power first, changes sign in [0, 1]: it does so at most once between turning points."""
    if len(polynomial) < 2:
        return []

    def at(p: Fraction) -> Fraction:
        return sum((coefficient * p**k for k, coefficient in enumerate(polynomial)), Fraction(0))

    found = []
    for low, high in pairwise([Fraction(0), *_sign_changes(_derivative(polynomial)), Fraction(1)]):
        if at(high) == 0:
            found.append(high)
        elif at(low) * at(high) < 0:
            for _ in range(64):
                middle = (low + high) / 2
                low, high = (middle, high) if at(low) * at(middle) > 0 else (low, middle)
            simple = high.limit_denominator(1_000_000)
            found.append(simple if at(simple) == 0 else high)
    return found


def _solve_linear(rows: list[list[Fraction]]) -> list[Fraction] | None:
    """Gauss-Jordan elimination of an augmented square system; None where it is singular."""
    size = len(rows)
    for column in range(size):
        pivot = next((r for r in range(column, size) if rows[r][column] != 0), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [v / rows[column][column] for v in rows[column]]
        for r in range(size):
            if r != column and rows[r][column] != 0:
                factor = rows[r][column]
                rows[r] = [a - factor * b for a, b in zip(rows[r], rows[column], strict=True)]
    return [row[-1] for row in rows]


def subgame_perfect(game: Game, preference: SocialPreferences | None = None) -> tuple[Plan, ...]:
    """Every pure subgame-perfect plan of a game with perfect information, by backward induction.

    Args:
        game: A game in which every information set is one node.
        preference: Homo economicus if None. Inequity aversion is applied to the payoffs at each end of the tree.

    Raises:
        GameError: kappa is positive (what everyone would do is not a property of one subgame) or the game hides information.
    """
    preference = preference or HomoEconomicus()
    if preference.kappa:
        raise GameError("subgame-perfect play is defined here for kappa = 0; use symmetric_equilibria for homo moralis")
    names = [information.name for information in game.information_sets]
    if len(names) != _decision_nodes(game.root):
        raise GameError(f"{game.name}: backward induction needs perfect information")
    continuations = _continuations(game.root, preference, range(len(game.roles)))
    return tuple(dict.fromkeys(tuple(actions[name] for name in names) for actions, _ in continuations))


def _continuations(
    node: Node, preference: SocialPreferences, roles: range
) -> list[tuple[dict[str, str], tuple[Fraction, ...]]]:
    """All subgame-perfect ways to go on from a node: the action at each information set, and the utilities by role."""
    if isinstance(node, Terminal):
        return [({}, tuple(_utility_at_end(preference, [exact(p) for p in node.payoffs], role) for role in roles))]
    found: list[tuple[dict[str, str], tuple[Fraction, ...]]] = []
    for branches in product(*(_continuations(child, preference, roles) for child in node.children)):
        actions = {name: action for below, _ in branches for name, action in below.items()}
        values = [utilities for _, utilities in branches]
        if isinstance(node, Chance):
            weights = [exact(p) for p in node.probabilities]
            mean = [sum((w * v[role] for w, v in zip(weights, values, strict=True)), Fraction(0)) for role in roles]
            found.append((actions, tuple(mean)))
        else:
            best = max(utilities[node.role] for utilities in values)
            found += [
                ({**actions, node.information: action}, utilities)
                for action, utilities in zip(node.actions, values, strict=True)
                if utilities[node.role] == best
            ]
    return found


def _utility_at_end(preference: SocialPreferences, payoffs: Sequence[Fraction], role: int) -> Fraction:
    gaps = [payoff - payoffs[role] for payoff in payoffs]
    behind = sum((gap for gap in gaps if gap > 0), Fraction(0)) / (len(gaps) - 1)
    ahead = sum((-gap for gap in gaps if gap < 0), Fraction(0)) / (len(gaps) - 1)
    return payoffs[role] - exact(preference.alpha) * behind - exact(preference.beta) * ahead


def _decision_nodes(node: Node) -> int:
    if isinstance(node, Terminal):
        return 0
    return isinstance(node, Decision) + sum(_decision_nodes(child) for child in node.children)


def symmetric_equilibria(game: Game, preference: SocialPreferences) -> tuple[Plan, ...]:
    """Every pure plan that is optimal, trembles included, against itself. Empty where only mixed equilibria exist.

    Raises:
        GameError: As :func:`optimal_plans`.
    """
    return tuple(plan for plan, _ in _equilibria(game, preference))


def equilibrium_belief(game: Game, preference: SocialPreferences) -> Plan | None:
    """What an agent of this preference expects of others when the prompt states no belief: they are like itself.

    Returns:
        The symmetric equilibrium plan with the highest utility u(x, x), which without inequity aversion is the material payoff
        pi(x, x); for homo economicus that is subgame-perfect play. None where there is no pure one or where the highest utility
        is reached by several.

    Raises:
        GameError: As :func:`optimal_plans`.
    """
    found = _equilibria(game, preference)
    best = [plan for plan, value in found if value == max(value for _, value in found)]
    return best[0] if len(best) == 1 else None


def assumed_belief(game: Game, preference: SocialPreferences) -> Strategy | None:
    """The belief that the convention gives where a prompt states none.

    Returns:
        :func:`equilibrium_belief` as a strategy. For homo kantiensis (kappa = 1 and no inequity aversion) what others do does
        not enter utility, so any belief serves and even play is returned. None where the convention gives no belief.
    """
    if preference.kappa == 1 and not (preference.alpha or preference.beta):
        return tuple((Fraction(1, len(i.actions)),) * len(i.actions) for i in game.information_sets)
    plan = equilibrium_belief(game, preference)
    return None if plan is None else game.strategy(plan)


def _equilibria(game: Game, preference: SocialPreferences) -> list[tuple[Plan, int]]:
    """The symmetric equilibria and what they are worth, in units of their own that allow comparison."""
    _require_pure_optimum(game, preference)
    utility = _Utility(game, preference)
    found = []
    for number, plan in enumerate(game.plans()):
        y, unit = _weights(game.strategy(plan))
        values = utility.of_plans(y, unit)
        tied = _highest(values)
        if number in tied and number in utility.best_under_trembles(tied, y, unit):
            found.append((plan, values[number]))
    return found
