"""Optimal pure plans for a belief, and pure symmetric equilibria, by enumeration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeVar

from moralfit.errors import GameError
from moralfit.games import Game, Plan, Strategy
from moralfit.preferences import SocialPreferences
from moralfit.solve._utility import Utility, highest, weights

T = TypeVar("T")


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


def has_pure_optimum(game: Game, preference: SocialPreferences) -> bool:
    """Whether u is linear in each entry of x, so that some pure plan is optimal."""
    return game.multilinear or not preference.kappa


def _require_pure_optimum(game: Game, preference: SocialPreferences) -> None:
    if not has_pure_optimum(game, preference):
        raise GameError(
            f"{game.name}: roles share an information set; the optimum may be mixed, use solve or optimal_strategies"
        )


def optimal_plans(game: Game, preference: SocialPreferences, belief: Any) -> Solution:
    """Every pure plan that maximises u(x, belief), ties broken by trembles.

    Args:
        game: Any game; roles may share an information set only if kappa is zero.
        preference: Whose utility is maximised.
        belief: The others' strategy, as :meth:`Game.strategy` takes it (`0.5`: everyone randomises evenly everywhere).

    Raises:
        GameError: Roles share an information set and kappa is positive, so that u is not linear in each entry of x and the
            optimum may be mixed: use :func:`solve` or :func:`optimal_strategies`. Or there are too many plans to compare.
    """
    _require_pure_optimum(game, preference)
    return best_plans(game, preference, game.strategy(belief))


def best_plans(game: Game, preference: SocialPreferences, belief: Strategy) -> Solution:
    """The best among pure plans; where roles share an information set, a mixed strategy can be better still."""
    y, unit = weights(belief)
    utility = Utility(game, preference)
    values = utility.of_plans(y, unit)
    tied = highest(values)
    kept = tied if len(tied) == 1 else utility.best_under_trembles(tied, y, unit)
    plans = game.plans()
    scale = utility.denominator * unit**utility.depth
    return Solution(
        plans=tuple(plans[number] for number in kept),
        tied=tuple(plans[number] for number in tied),
        utility=Fraction(values[tied[0]], scale),
        utilities=tuple(Fraction(value, scale) for value in values),
        belief=belief,
    )


def one_best(found: Sequence[tuple[T, Fraction]]) -> T | None:
    """Of equilibria with their utility u(x, x) the one where it is highest; None where there is none or not one alone."""
    best = [x for x, value in found if value == max(value for _, value in found)]
    return best[0] if len(best) == 1 else None


# A grid has some thousands of payoffs, and large data sets draw each many times.
@lru_cache(maxsize=2**15)
def equilibrium_belief(game: Game, preference: SocialPreferences) -> Plan | None:
    """What an agent of this preference expects of others when the prompt states no belief, if that is a pure plan.

    This is :func:`assumed_belief` for the games of the data set, whose prompts and replies speak of plans.

    Returns:
        The symmetric equilibrium plan with the highest utility u(x, x), which without inequity aversion is the material payoff
        pi(x, x); for homo economicus that is subgame-perfect play. None where there is no pure one or where the highest utility
        is reached by several.

    Raises:
        GameError: As :func:`optimal_plans`.
    """
    _require_pure_optimum(game, preference)
    return one_best(best_replies_to_themselves(game, preference))


def best_replies_to_themselves(game: Game, preference: SocialPreferences) -> list[tuple[Plan, Fraction]]:
    """The pure plans that, trembles included, no pure plan beats when everybody follows them, with their utility u(x, x)."""
    utility = Utility(game, preference)
    found = []
    for number, plan in enumerate(game.plans()):
        if not utility.withstands_one_change(number):
            continue
        y, unit = weights(game.strategy(plan))
        values = utility.of_plans(y, unit)
        tied = highest(values)
        if number in tied and number in utility.best_under_trembles(tied, y, unit):
            found.append((plan, Fraction(values[number], utility.denominator)))
    return found
