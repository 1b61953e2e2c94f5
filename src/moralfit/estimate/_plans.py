"""Pure plans: their features, their names, and choices between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any, TypeAlias

import numpy as np

from moralfit.errors import EstimationError
from moralfit.estimate._choices import Array, Choices, collect
from moralfit.games import Game, Strategy
from moralfit.solve import MOST_PLANS

#: A game with what the player believes about others, as :meth:`Game.strategy` takes it.
Situation: TypeAlias = tuple[Game, Any]

#: The features of a plan: own payoff, and what kappa, alpha and beta multiply.
PREFERENCE_FEATURES = ("payoff", "kappa", "alpha", "beta")


def plan_features(game: Game, belief: Any) -> Array:
    """What utility is linear in, for every pure plan x of a game and a belief y, in payoff points.

    Returns:
        (plans, 4) in the order of :meth:`Game.plans`: pi(x, y), pi(x, x) - pi(x, y), -E[max(0, other - own)] and
        -E[max(0, own - other)], so that u = (column 0) + kappa (1) + alpha (2) + beta (3). See :mod:`moralfit.preferences`.

    Raises:
        GameError: The belief does not fit the game.
        EstimationError: The game has more than :data:`moralfit.solve.MOST_PLANS` plans.
    """
    return _features(game, game.strategy(belief))


@lru_cache(maxsize=4096)
def _features(game: Game, y: Strategy) -> Array:
    sizes = [len(information.actions) for information in game.information_sets]
    if prod(sizes) > MOST_PLANS:
        raise EstimationError(f"{game.name}: {prod(sizes):,} pure plans; at most {MOST_PLANS:,} can be estimated on")
    plans = np.indices(sizes).reshape(len(sizes), -1)
    payoff, universal, behind, ahead = np.zeros((4, plans.shape[1]))
    others = len(game.roles) - 1
    for outcome in game.outcomes:
        chance = float(outcome.chance)
        followed = [plans[i] == action for _, i, action in outcome.moves]
        payoffs = [float(p) for p in outcome.payoffs]
        # Everyone follows x: the mean payoff over roles, which are equally likely.
        universal += chance * sum(payoffs) * np.logical_and.reduce(followed, axis=0) if followed else chance * sum(payoffs)
        for role, own in enumerate(payoffs):
            weight = np.full(plans.shape[1], chance)
            for (mover, i, action), mine in zip(outcome.moves, followed, strict=True):
                weight *= mine if mover == role else float(y[i][action])
            payoff += weight * own
            behind += weight * sum(p - own for p in payoffs if p > own) / others
            ahead += weight * sum(own - p for p in payoffs if p < own) / others
    found = np.stack([payoff, universal - payoff, -behind, -ahead], axis=1) / len(game.roles)
    found.setflags(write=False)  # shared by everyone who asks
    return found


def game_key(game: Game) -> str:
    """A name that tells games of different payoffs apart: `trust_game(T=80, R=60, P=30, S=20)`."""
    return f"{game.name}({', '.join(f'{k}={v}' for k, v in game.parameters.items())})" if game.parameters else game.name


def belief_text(game: Game, belief: Any) -> str:
    """The belief as JSON that :func:`moralfit.estimate.read_choices` reads."""
    return str([[round(float(p), 12) for p in entry] for entry in game.strategy(belief)])


def from_plans(situations: Sequence[Situation], counts: Any, agents: Sequence[str] | None = None) -> Choices:
    """Choices from how often each pure plan was chosen.

    Args:
        situations: Games with beliefs. counts: For each situation (agents, plans), or (plans,) for a single agent, in the order
            of :meth:`Game.plans`. agents: Their names.

    Raises:
        EstimationError: The counts do not fit the situations.
    """
    features = [plan_features(game, belief) for game, belief in situations]
    blocks = [np.atleast_2d(np.asarray(block, dtype=np.float64)) for block in counts]
    labels = [f"{game_key(game)} believing {belief_text(game, belief)}" for game, belief in situations]
    if len(blocks) != len(features):
        raise EstimationError(f"counts for {len(blocks)} situations, but there are {len(features)}")
    for label, f, block in zip(labels, features, blocks, strict=True):
        if block.shape != (len(blocks[0]), len(f)):
            raise EstimationError(f"{label}: counts have shape {block.shape}, not {(len(blocks[0]), len(f))}")
    people = agents if agents is not None else [f"agent {u + 1}" for u in range(len(blocks[0]))]
    cells = [(s, (a,)) for s, f in enumerate(features) for a in range(len(f))]
    return collect(
        PREFERENCE_FEATURES, features, cells, np.concatenate(blocks, axis=1), people, labels, [g.name for g, _ in situations]
    )


def plan_number(game: Game, plan: Any) -> int:
    """The position in :meth:`Game.plans` of a plan written as `CCD`, `C,C,D` or a sequence of actions.

    Raises:
        EstimationError: It is no pure plan of the game.
    """
    sets = game.information_sets
    entries: list[str] = []
    if isinstance(plan, str):
        text = plan.strip()
        entries = [part.strip() for part in text.split(",")] if "," in text else [text] if len(sets) == 1 else list(text)
    elif isinstance(plan, Sequence):
        entries = [str(part) for part in plan]
    if len(entries) != len(sets) or any(a not in s.actions for a, s in zip(entries, sets, strict=True)):
        wanted = " then ".join("/".join(s.actions) for s in sets)
        raise EstimationError(f"unknown plan {plan!r} of {game.name}: a plan says {wanted}")
    number = 0
    for action, information in zip(entries, sets, strict=True):
        number = number * len(information.actions) + information.actions.index(action)
    return number


def answering(game: Game, answers: Mapping[str, str]) -> tuple[int, ...]:
    """The plans (positions in :meth:`Game.plans`) that take these actions at these decisions.

    Raises:
        EstimationError: A decision or an action is unknown.
    """
    sets = game.information_sets
    names = [information.name for information in sets]
    plans = np.indices([len(information.actions) for information in sets]).reshape(len(sets), -1)
    fits = np.ones(plans.shape[1], dtype=bool)
    for decision, action in answers.items():
        if decision not in names:
            raise EstimationError(f"unknown decision {decision!r} of {game.name}: the decisions are {', '.join(names)}")
        place = names.index(decision)
        if action not in sets[place].actions:
            known = " or ".join(sets[place].actions)
            raise EstimationError(f"unknown action {action!r} at {decision!r} of {game.name}: it is {known}")
        fits &= plans[place] == sets[place].actions.index(action)
    return tuple(np.flatnonzero(fits).tolist())
