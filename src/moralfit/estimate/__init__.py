"""Structural estimation: from choices to alpha, beta, kappa and lambda. Imports neither torch nor transformers.

    u(x, y) = pi(x, y) + kappa (pi(x, x) - pi(x, y)) - alpha E[max(0, other - own)] - beta E[max(0, own - other)]

is linear in (kappa, alpha, beta); with type-I extreme-value noise of scale lambda (payoff points) over pure plans x, choices
follow a conditional logit. Start with :func:`read_choices`, :func:`from_records` or :func:`simulate`, then :func:`estimate`.
"""

from moralfit.errors import EstimationError
from moralfit.estimate._bruhin import (
    allocation_choices,
    load_bruhin2019,
    load_trust_games,
    predict_trust,
    score_predictions,
    trust_features,
)
from moralfit.estimate._choices import Choices
from moralfit.estimate._compare import Comparison, LikelihoodRatio, compare
from moralfit.estimate._design import Design, Identification, design, identification, payoff_games, situations_of
from moralfit.estimate._diagnose import Region
from moralfit.estimate._estimate import Estimate, Status
from moralfit.estimate._figure import draw_estimates
from moralfit.estimate._fit import estimate, estimate_by_agent
from moralfit.estimate._mixture import choose_types, mixture
from moralfit.estimate._model import MODELS
from moralfit.estimate._plans import Situation, from_plans, game_key, plan_features
from moralfit.estimate._read import read_choices
from moralfit.estimate._records import Assumption, from_records
from moralfit.estimate._simulate import choice_probabilities, pool, simulate, simulate_choices
from moralfit.estimate._types import Mixture

__all__ = [
    "MODELS",
    "Assumption",
    "Choices",
    "Comparison",
    "Design",
    "Estimate",
    "EstimationError",
    "Identification",
    "LikelihoodRatio",
    "Mixture",
    "Region",
    "Situation",
    "Status",
    "allocation_choices",
    "choice_probabilities",
    "choose_types",
    "compare",
    "design",
    "draw_estimates",
    "estimate",
    "estimate_by_agent",
    "from_plans",
    "from_records",
    "game_key",
    "identification",
    "load_bruhin2019",
    "load_trust_games",
    "mixture",
    "payoff_games",
    "plan_features",
    "pool",
    "predict_trust",
    "read_choices",
    "score_predictions",
    "simulate",
    "simulate_choices",
    "situations_of",
    "trust_features",
]
