"""Optimal plans for a belief, ties broken by trembles, subgame-perfect play and symmetric equilibrium, pure or mixed. Exact.

:func:`solve` answers for every class of games; the other functions are its parts.

Conventions that are ours, not the literature's:

- A tie between optimal plans is broken by small trembles: every action is played with probability at least eps, by the agent
  and by the others, and the plans that stay optimal in the limit are kept. A tie that survives is reported.
- An unstated belief is the symmetric equilibrium of the same preference: a strategy that is optimal, trembles included, when
  everyone else follows it too. Of several, the one that gives them the highest utility u(x, x). Where that leaves none or
  several, there is no belief; but homo kantiensis, whose utility does not depend on it, is given even play.
"""

from moralfit.solve._benchmarks import (
    concave_public_good_contribution,
    concave_public_good_equilibrium,
    linear_public_good_threshold,
)
from moralfit.solve._mixed import equilibrium_strategies, equilibrium_strategy, optimal_strategies
from moralfit.solve._plans import Solution, equilibrium_belief, optimal_plans
from moralfit.solve._solve import Optimum, assumed_belief, solve
from moralfit.solve._subgame import subgame_perfect
from moralfit.solve._utility import MOST_PLANS

__all__ = [
    "MOST_PLANS",
    "Optimum",
    "Solution",
    "assumed_belief",
    "concave_public_good_contribution",
    "concave_public_good_equilibrium",
    "equilibrium_belief",
    "equilibrium_strategies",
    "equilibrium_strategy",
    "linear_public_good_threshold",
    "optimal_plans",
    "optimal_strategies",
    "solve",
    "subgame_perfect",
]
