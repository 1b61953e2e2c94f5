"""Games: one generic tree, the three training games, and payoff samplers. Imports neither torch nor transformers."""

from moralfit.games._catalogue import (
    GAMES,
    make_game,
    sequential_prisoners_dilemma,
    trust_game,
    ultimatum_game,
)
from moralfit.games._payoffs import REGIONS, PayoffGrid, Region, region, sample_payoffs
from moralfit.games._tree import (
    Chance,
    Decision,
    Expectation,
    Game,
    InformationSet,
    Move,
    Node,
    Number,
    Outcome,
    Plan,
    Strategy,
    Terminal,
    exact,
)

__all__ = [
    "GAMES",
    "REGIONS",
    "Chance",
    "Decision",
    "Expectation",
    "Game",
    "InformationSet",
    "Move",
    "Node",
    "Number",
    "Outcome",
    "PayoffGrid",
    "Plan",
    "Region",
    "Strategy",
    "Terminal",
    "exact",
    "make_game",
    "region",
    "sample_payoffs",
    "sequential_prisoners_dilemma",
    "trust_game",
    "ultimatum_game",
]
