"""One question for every game: what does this preference do, given a belief or by convention?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from moralfit.errors import GameError
from moralfit.games import Game, Strategy
from moralfit.preferences import SocialPreferences
from moralfit.solve._mixed import equilibrium_strategy, mixes, optimal_strategies
from moralfit.solve._plans import best_plans, has_pure_optimum


@dataclass(frozen=True)
class Optimum:
    """What is optimal for one preference in one game and for one belief, pure or mixed.

    Attributes:
        strategies: The optimal strategies that are corners of the set of all, after trembles among pure plans.
        supports: For each information set the actions that optimal strategies take with positive probability.
        utility: Their utility in payoff points, exact unless a belief is a rounded irrational number.
        utilities: The utility of every pure plan in payoff points, in the order of :meth:`Game.plans`.
        belief: The others' strategy that was assumed.
    """

    strategies: tuple[Strategy, ...]
    supports: tuple[tuple[str, ...], ...]
    utility: Fraction
    utilities: tuple[Fraction, ...]
    belief: Strategy

    @property
    def unique(self) -> bool:
        """Whether one strategy alone is optimal."""
        return len(self.strategies) == 1

    @property
    def mixed(self) -> bool:
        """Whether every optimal strategy mixes somewhere: no pure plan is optimal."""
        return all(any(p not in (0, 1) for entry in x for p in entry) for x in self.strategies)

    def actions(self, decision: int) -> tuple[str, ...]:
        """The actions that are optimal, alone or as part of a mixture, at information set number `decision`."""
        return self.supports[decision]


def assumed_belief(game: Game, preference: SocialPreferences) -> Strategy | None:
    """The belief that the convention gives where a prompt states none: others are like oneself.

    Returns:
        The symmetric equilibrium with the highest utility, pure or mixed, as :func:`equilibrium_strategy`; for homo economicus
        with perfect information that is subgame-perfect play. Where there is none, or not one best: None, but even play for
        homo kantiensis (kappa = 1 and no inequity aversion). What others do does not enter its utility, so that its equilibria
        are its optima, the same for every belief; even play, which favours none of them, only fills the place.

    Raises:
        GameError: Equilibria of this class of games are not known, as :func:`equilibrium_strategies`.
    """
    if not _indifferent_to_others(preference):
        return equilibrium_strategy(game, preference)
    try:
        return solve(game, preference).belief
    except GameError:
        return game.uniform


def _indifferent_to_others(preference: SocialPreferences) -> bool:
    """Whether this is homo kantiensis: what others do does not enter utility."""
    return preference.kappa == 1 and not (preference.alpha or preference.beta)


def solve(game: Game, preference: SocialPreferences, belief: Any = None) -> Optimum:
    """The optimal actions at every decision, whatever the class of the game.

    Pure optima of games in which no two roles share an information set, or of kappa = 0, come from :func:`optimal_plans`; the
    others from :func:`optimal_strategies`. There, of pure plans that are optimal, trembles keep the best among pure plans.

    Args:
        game: Any game. preference: Whose utility is maximised.
        belief: The others' strategy, as :meth:`Game.strategy` takes it; None for the convention of :func:`assumed_belief`. A
            mixed equilibrium is then the optimal strategy, and all actions that do as well against it are in the supports.

    Raises:
        GameError: The game is in no class that is solved, or no belief is stated and the convention gives none.
    """
    if belief is None and _indifferent_to_others(preference):
        found = solve(game, preference, game.uniform)
        return replace(found, belief=found.strategies[0]) if found.unique else found
    y = equilibrium_strategy(game, preference) if belief is None else game.strategy(belief)
    if y is None:
        raise GameError(
            f"{game.name}: no symmetric equilibrium of {preference.name} is known, or several are equally good; state a belief"
        )
    pure = best_plans(game, preference, y)
    strategies = tuple(game.strategy(plan) for plan in pure.plans)
    utility = pure.utility
    if not has_pure_optimum(game, preference):
        corners = optimal_strategies(game, preference, y)
        best = Fraction(preference.of_strategies(game, corners[0], y))
        mixed = tuple(x for x in corners if mixes(game, x))
        strategies, utility = ((*strategies, *mixed) if best == utility else mixed), best
    played = strategies
    if belief is None and mixes(game, y):
        # Trembles say nothing about which of several actions keeps a mixed equilibrium in balance: it is its own optimum.
        tied = tuple(game.strategy(plan) for plan in pure.tied) if pure.utility == utility else ()
        played, strategies = (y, *strategies, *tied), (y,)
    supports = tuple(
        tuple(action for number, action in enumerate(information.actions) if any(x[i][number] for x in played))
        for i, information in enumerate(game.information_sets)
    )
    return Optimum(strategies, supports, utility, pure.utilities, y)
