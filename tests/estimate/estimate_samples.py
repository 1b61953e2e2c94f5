"""Games and choices that several test files use."""

import random

import numpy as np

from moralfit.estimate import from_plans, plan_features, situations_of
from moralfit.games import GAMES, Chance, Decision, Game, PayoffGrid, Terminal, sample_payoffs

TRUE = {"alpha": 0.3, "beta": 0.2, "kappa": 0.4}


def grid_situations(each=4, beliefs=(0.5, 0.2, 0.8), seed=1):
    rng = random.Random(seed)
    games = [GAMES[name](*sample_payoffs(rng, PayoffGrid(1, 20))) for name in GAMES for _ in range(each)]
    return situations_of(games, beliefs)


def three_roles_with_chance():
    """Two roles share an information set, nature moves, and there are three actions somewhere."""

    def last(a):
        return Decision(2, f"last {a}", ("x", "y", "z"), tuple(Terminal((a + k, 3 - k, 2 * k)) for k in range(3)))

    def second(k):
        return Decision(1, "shared", ("l", "r"), (last(k), Terminal((k, 5, 1))))

    first = Decision(0, "shared", ("l", "r"), (second(4), second(1)))
    return Game("odd", Chance((0.25, 0.75), (first, Terminal((2, 2, 7)))), roles=("a", "b", "c"))


def deterministic(situations, weights):
    """Every situation's best plan under weights on the features, once; ties go to the first."""
    counts = []
    for game, belief in situations:
        u = plan_features(game, belief) @ np.array([1.0, weights["kappa"], weights["alpha"], weights["beta"]])
        counts.append(np.eye(len(u))[int(np.argmax(np.round(u, 9)))])
    return from_plans(situations, counts)
