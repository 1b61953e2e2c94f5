"""Optimal and equilibrium strategies where roles share information sets, so that they can be mixed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations_with_replacement
from typing import Any

from moralfit.errors import GameError
from moralfit.games import Game, Strategy
from moralfit.preferences import SocialPreferences
from moralfit.solve._plans import best_plans, best_replies_to_themselves, has_pure_optimum, one_best
from moralfit.solve._polynomial import derivative, interpolated, sign_changes, stationary_points
from moralfit.solve._quadratic import Quadratic, quadratic_utility

#: Utility in points that the rounding of an irrational root may cost.
_ROUNDING = Fraction(1, 10**12)


def optimal_strategies(game: Game, preference: SocialPreferences, belief: Any) -> tuple[Strategy, ...]:
    """The strategies that maximise u(x, belief) where roles share information sets; they can be mixed.

    1. With two roles and perfect recall u is quadratic in realisation weights (one shared information set: in one probability
       vector). On each face, that is for each choice of the actions that are played at all, the first-order conditions are
       linear and are solved exactly; the best stationary point of all faces is the maximum.
    2. With more roles, one information set and two actions u is a polynomial in the probability of the first. Its stationary
       points are exact where they are rational with a denominator up to a million, and otherwise right to 18 digits.
    3. With more roles and actions, u is solved as in 1 where it is in fact quadratic, as in public goods whose return is linear
       or quadratic in the total.

    Returns:
        Every optimal strategy; where a whole set of mixtures is optimal, its corners. At an information set that own play does
        not reach, where anything is as good, even mixing stands for that.

    Raises:
        GameError: The game is in none of these classes, or has too many actions to compare all sets of them.
    """
    if game.multilinear:
        raise GameError(
            f"{game.name}: no two roles share an information set, so that a pure plan is optimal; use optimal_plans"
        )
    y = game.strategy(belief)
    quadratic = quadratic_utility(game, preference)
    if quadratic is not None:
        return tuple(quadratic.strategy(x) for x in quadratic.maxima(quadratic.realisation(y)))
    if len(game.information_sets) != 1:
        raise GameError(
            f"{game.name}: mixed optima are known for two roles with perfect recall or one shared information set only"
        )
    count = len(game.information_sets[0].actions)

    def value(x: Sequence[Fraction]) -> Fraction:
        return Fraction(preference.of_strategies(game, (tuple(x),), y))

    degree = len(game.roles) if preference.kappa else 1
    if count == 2:
        points = [(p, 1 - p) for p in stationary_points(lambda p: value([p, 1 - p]), degree)]
        values = [value(x) for x in points]
        return tuple((x,) for x, reached in zip(points, values, strict=True) if reached == max(values))
    fitted = _fitted(game.name, value, count, degree)
    if fitted is None:
        raise GameError(
            f"{game.name}: with three or more roles and actions, mixed optima are known where payoffs are linear or quadratic "
            "in what all do together"
        )
    return tuple(fitted.strategy(x) for x in fitted.maxima([Fraction(1)] + [Fraction(0)] * count))


def mixes(game: Game, x: Strategy) -> bool:
    """Whether `x` mixes at a decision that it reaches itself."""
    reach: dict[tuple[tuple[int, int], ...], bool] = {(): True}
    mixing = False
    for outcome in game.outcomes:
        for role in range(len(game.roles)):
            own: tuple[tuple[int, int], ...] = ()
            for mover, information, action in outcome.moves:
                if mover == role:
                    p = x[information][action]
                    mixing = mixing or (reach[own] and p not in (0, 1))
                    own, reached = (*own, (information, action)), reach[own] and p != 0
                    reach[own] = reached
    return mixing


def _fitted(name: str, value: Any, count: int, degree: int) -> Quadratic | None:
    """A polynomial on the simplex as a quadratic form; None if its degree there is higher."""

    def at(shares: Sequence[int]) -> Fraction:
        return Fraction(value([Fraction(shares.count(i), len(shares)) for i in range(count)]))

    form = [[Fraction(0)] * (count + 1) for _ in range(count + 1)]
    for i in range(count):
        form[i + 1][i + 1] = at([i])
    for i in range(count):
        for j in range(i):
            form[i + 1][j + 1] = form[j + 1][i + 1] = 2 * at([i, j]) - (form[i + 1][i + 1] + form[j + 1][j + 1]) / 2
    # A polynomial is known on the simplex by its values at the points whose coordinates are multiples of 1 / degree.
    zero = [[Fraction(0)] * (count + 1) for _ in range(count + 1)]
    quadratic = Quadratic(name, [0], [1], [count], zero, form)
    for shares in combinations_with_replacement(range(count), degree):
        x = [Fraction(1), *(Fraction(shares.count(i), degree) for i in range(count))]
        if quadratic.value(x, x) != at(shares):
            return None
    return quadratic


def equilibrium_strategies(game: Game, preference: SocialPreferences) -> tuple[Strategy, ...]:
    """Strategies that are optimal when everyone else follows them too: symmetric equilibria.

    Where no two roles share an information set, these are pure: the plans that are optimal, trembles included, against
    themselves; there may be none. Elsewhere mixed ones are added: all isolated ones for two roles with perfect recall; for more
    roles those of games with one information set and two actions at which the gain from a small change changes sign. With more
    roles and more actions only pure ones are looked for.

    Raises:
        GameError: As :func:`optimal_strategies`.
    """
    pure = [game.strategy(plan) for plan, _ in best_replies_to_themselves(game, preference)]
    if game.multilinear:
        return tuple(pure)
    if not has_pure_optimum(game, preference):
        pure = [x for x in pure if _optimal_against_itself(game, preference, x)]
    quadratic = quadratic_utility(game, preference)
    if quadratic is not None:
        found = [quadratic.strategy(x) for x in quadratic.fixed_points()]
        # A pure point that trembles rule out is left out.
        mixed = [x for x in found if mixes(game, x)]
    elif len(game.information_sets) == 1 and len(game.information_sets[0].actions) == 2:
        candidates = ((p, 1 - p) for p in _balanced(game, preference) if 0 < p < 1)
        mixed = [(x,) for x in candidates if _optimal_against_itself(game, preference, (x,))]
    else:
        mixed = []
    return (*pure, *mixed)


def _optimal_against_itself(game: Game, preference: SocialPreferences, x: Strategy) -> bool:
    if has_pure_optimum(game, preference):
        best = best_plans(game, preference, x).utility
    else:
        best = preference.of_strategies(game, optimal_strategies(game, preference, x)[0], x)
    return bool(best - preference.of_strategies(game, x, x) <= _ROUNDING)


def _balanced(game: Game, preference: SocialPreferences) -> Iterator[Fraction]:
    """Probabilities of the first of two actions at which nobody gains by a small change when all use them."""
    degree = len(game.roles)
    first, second = ((Fraction(1), Fraction(0)),), ((Fraction(0), Fraction(1)),)

    def gain(p: Fraction) -> Fraction:
        y = ((p, 1 - p),)
        a, b = (preference.of_strategies(game, x, y) - preference.kappa * game.material(x, x) for x in (first, second))
        return Fraction(a - b)

    def everyone(p: Fraction) -> Fraction:
        x = ((p, 1 - p),)
        return Fraction(preference.kappa * game.material(x, x))

    slope = interpolated(gain, degree)
    for power, coefficient in enumerate(derivative(interpolated(everyone, degree))):
        slope[power] += coefficient
    yield from sign_changes(slope)


def equilibrium_strategy(game: Game, preference: SocialPreferences) -> Strategy | None:
    """Of the symmetric equilibria, the one with the highest utility u(x, x); None where there is none or not one best.

    Raises:
        GameError: As :func:`equilibrium_strategies`.
    """
    return one_best([(x, preference.of_strategies(game, x, x)) for x in equilibrium_strategies(game, preference)])
