"""Agents with a known preference and noise, to see what estimation makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from moralfit.errors import EstimationError
from moralfit.estimate._choices import Array, Choices
from moralfit.estimate._plans import Situation, belief_text, from_plans, game_key, plan_features
from moralfit.games import GAMES
from moralfit.preferences import SocialPreferences

if TYPE_CHECKING:
    import pandas as pd


def choice_probabilities(
    preference: SocialPreferences | Mapping[str, float], noise: float, situations: Sequence[Situation]
) -> list[Array]:
    """For each situation (plans,) the logit probability of every pure plan, in the order of :meth:`Game.plans`.

    Args:
        preference: Or a mapping with alpha, beta and kappa, which unlike a preference may have any values.
        noise: lambda, the scale of the noise in payoff points.

    Raises:
        EstimationError: The noise is not positive.
    """
    if not noise > 0:
        raise EstimationError(f"noise is a scale in payoff points and must be positive, got {noise}")
    if isinstance(preference, SocialPreferences):
        weights = [float(preference.kappa), float(preference.alpha), float(preference.beta)]
    else:
        weights = [float(preference.get(name, 0.0)) for name in ("kappa", "alpha", "beta")]
    found = []
    for game, belief in situations:
        v = plan_features(game, belief) @ np.array([1.0, *weights]) / noise
        p = np.exp(v - v.max())
        found.append(p / p.sum())
    return found


def _draw(
    preference: SocialPreferences | Mapping[str, float],
    noise: float,
    situations: Sequence[Situation],
    agents: int,
    repeats: int,
    seed: int,
) -> list[Array]:
    if agents < 1 or repeats < 1 or not situations:
        raise EstimationError(f"{agents} agents, {repeats} repeats and {len(situations)} situations: each must be at least one")
    rng = np.random.default_rng(seed)
    return [
        rng.multinomial(repeats, p, size=agents).astype(np.float64) for p in choice_probabilities(preference, noise, situations)
    ]


def simulate_choices(
    preference: SocialPreferences | Mapping[str, float],
    noise: float,
    situations: Sequence[Situation],
    agents: int = 1,
    repeats: int = 1,
    seed: int = 0,
    prefix: str = "agent",
) -> Choices:
    """:func:`simulate` without the table, for studies of many samples."""
    counts = _draw(preference, noise, situations, agents, repeats, seed)
    return from_plans(situations, counts, [f"{prefix} {k + 1}" for k in range(agents)])


def simulate(
    preference: SocialPreferences | Mapping[str, float],
    noise: float,
    situations: Sequence[Situation],
    agents: int = 1,
    repeats: int = 1,
    seed: int = 0,
    prefix: str = "agent",
) -> pd.DataFrame:
    """Plans drawn with logit probabilities, as a table that :func:`read_choices` reads.

    Games that are not registered are called by :func:`game_key`; pass `{game_key(g): g}` as `games` to read them.

    Args:
        preference: See :func:`choice_probabilities`. noise: lambda, payoff points. situations: What everyone faces.
        agents: How many, called `prefix` 1, 2, ... repeats: Choices of each in each situation. seed: Of the draws.
    """
    import pandas as pd

    rows = []
    for (game, belief), drawn in zip(situations, _draw(preference, noise, situations, agents, repeats, seed), strict=True):
        letters = dict(game.parameters)
        registered = (
            game.name in GAMES and set(letters) == set("TRPS") and GAMES[game.name](*(letters[name] for name in "TRPS")) == game
        )
        common = {"game": game.name, **letters} if registered else {"game": game_key(game)}
        said, plans = belief_text(game, belief), game.plans()
        rows += [
            {"agent": f"{prefix} {k + 1}", **common, "plan": ",".join(plans[p]), "belief": said, "count": int(drawn[k, p])}
            for k, p in np.argwhere(drawn).tolist()
        ]
    return pd.DataFrame(rows)


def pool(*many: Choices) -> Choices:
    """The choices of several groups of agents who faced the same situations in the same order, as one.

    Raises:
        EstimationError: The situations differ.
    """
    first = many[0]
    for other in many[1:]:
        if other.situations != first.situations or other.counts.shape[1] != first.counts.shape[1]:
            raise EstimationError("only choices in the same situations can be pooled; put their tables together instead")
    return Choices(
        names=first.names,
        features=first.features,
        situation_starts=first.situation_starts,
        cell_starts=first.cell_starts,
        cell_members=first.cell_members,
        counts=np.concatenate([choices.counts for choices in many]),
        agents=tuple(agent for choices in many for agent in choices.agents),
        situations=first.situations,
        games=first.games,
        notes=tuple(note for choices in many for note in choices.notes),
    )
