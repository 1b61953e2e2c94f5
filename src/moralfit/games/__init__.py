"""Games: one generic tree, the three training games and the transfer games. Imports neither torch nor transformers."""

from moralfit.games._catalogue import (
    GAMES,
    make_game,
    sequential_prisoners_dilemma,
    trust_game,
    ultimatum_game,
)
from moralfit.games._payoffs import REGIONS, PayoffGrid, Region, region, sample_payoffs
from moralfit.games._sequences import centipede, repeat, repeated_prisoners_dilemma, repeated_trust_game
from moralfit.games._sharing import dictator_game, gift_exchange, trust_amounts, ultimatum_amounts
from moralfit.games._simultaneous import (
    chicken,
    concave_public_good,
    linear_public_good,
    prisoners_dilemma,
    simultaneous_game,
    stag_hunt,
)
from moralfit.games._transfer import TRANSFER_GAMES, GameFamily, make_transfer_game
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
    "TRANSFER_GAMES",
    "Chance",
    "Decision",
    "Expectation",
    "Game",
    "GameFamily",
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
    "centipede",
    "chicken",
    "concave_public_good",
    "dictator_game",
    "exact",
    "gift_exchange",
    "linear_public_good",
    "make_game",
    "make_transfer_game",
    "prisoners_dilemma",
    "region",
    "repeat",
    "repeated_prisoners_dilemma",
    "repeated_trust_game",
    "sample_payoffs",
    "sequential_prisoners_dilemma",
    "simultaneous_game",
    "stag_hunt",
    "trust_amounts",
    "trust_game",
    "ultimatum_amounts",
    "ultimatum_game",
]
