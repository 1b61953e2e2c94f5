"""What a set of games can tell apart before anybody plays, and which payoffs tell most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from moralfit.errors import EstimationError
from moralfit.estimate._choices import Array, Choices, named
from moralfit.estimate._diagnose import WEAK, null_space
from moralfit.estimate._model import LAMBDA, Reduced, check_fixed, reduce
from moralfit.estimate._plans import PREFERENCE_FEATURES, Situation, from_plans
from moralfit.estimate._read import unknown_game
from moralfit.games import GAMES, Game, Number, PayoffGrid


@dataclass(frozen=True)
class Identification:
    """What situations identify.

    Attributes:
        free: The parameters asked about. rank: How many independent combinations of them are identified.
        lost: Those that are not identified: fix some or change the situations.
        moves: Directions of the coefficients (payoff, kappa, ...) that change no choice probability.
        condition: Ratio of extreme eigenvalues of the coefficients' correlations; above 1e4 they are hard to tell apart.
        d_criterion: Log determinant of the information about the free parameters, for one observation; -inf if rank is lacking.
        se: Expected standard errors with `observations` complete plans, spread evenly. at: Where the information was taken.
    """

    free: tuple[str, ...]
    rank: int
    lost: tuple[str, ...]
    moves: tuple[str, ...]
    condition: float
    d_criterion: float
    se: Mapping[str, float]
    observations: int
    situations: int
    at: Mapping[str, float]

    @property
    def identified(self) -> bool:
        """Whether all free parameters are."""
        return self.rank == len(self.free)

    def __str__(self) -> str:
        at = ", ".join(f"{name} = {value:.3g}" for name, value in self.at.items())
        if not self.identified:
            return (
                f"{self.situations} situations identify {self.rank} of {len(self.free)} combinations of parameters; "
                f"not identified: {', '.join(self.lost)} (moving by {'; '.join(self.moves)} changes no choice probability)"
            )
        weak = "; WEAK, some move together" if self.condition > WEAK else ""
        se = ", ".join(f"{name} {value:.3g}" for name, value in self.se.items())
        return (
            f"{self.situations} situations identify {', '.join(self.free)}{weak} (condition {self.condition:.3g}, D-criterion "
            f"{self.d_criterion:.2f}); expected standard errors with {self.observations} plans at {at}: {se}"
        )


def situations_of(games: Sequence[Game], beliefs: Sequence[Any] = (0.5,)) -> list[Situation]:
    """Every game with every belief; a belief is what :meth:`Game.strategy` takes, and 0.5 is even play everywhere."""
    return [(game, belief) for game in games for belief in beliefs]


def payoff_games(names: Sequence[str], grid: PayoffGrid | Sequence[Number]) -> list[Game]:
    """The registered games of these names with all payoffs T > R > P > S on a grid: candidates for :func:`design`.

    Raises:
        EstimationError: A name is not registered.
    """
    if unknown := [name for name in names if name not in GAMES]:
        raise unknown_game(unknown[0], list(GAMES))
    points: Sequence[Number] = range(grid.low, grid.high + 1, grid.step) if isinstance(grid, PayoffGrid) else sorted(grid)
    return [GAMES[name](T, R, P, S) for name in names for S, P, R, T in combinations(points, 4)]


def identification(
    games: Sequence[Game],
    beliefs: Sequence[Any] = (0.5,),
    *,
    at: Mapping[str, float] | None = None,
    parameters: Sequence[str] = ("alpha", "beta", "kappa", LAMBDA),
    observations: int = 100,
) -> Identification:
    """What these games, each with each of these beliefs, can tell apart from complete plans.

    Args:
        at: Parameter values at which the information is taken (rank does not depend on them): zero, and for lambda, which is in
            payoff points, the standard deviation of own payoffs between the plans of a game, where not given. Parameters not
            asked about are fixed there.
        parameters: Which are to be estimated. observations: Complete plans observed in all, for the expected standard errors.

    Raises:
        EstimationError: There are no situations, or a parameter makes no sense.
    """
    return _report(situations_of(games, beliefs), at or {}, parameters, observations)


def _report(
    situations: Sequence[Situation], at: Mapping[str, float], parameters: Sequence[str], observations: int
) -> Identification:
    if not situations:
        raise EstimationError("there are no situations: give games and beliefs")
    choices = _even(situations)
    values = _values(choices, at)
    reduced = _free(choices, values, parameters)
    matrices = _information(reduced, choices, values)
    null = null_space(reduced.logit)
    lost: tuple[str, ...] = ()
    moves: tuple[str, ...] = ()
    names = ["payoff" if name == LAMBDA else name for name in reduced.free]
    if null.shape[1]:
        touched = {name for name, part in zip(reduced.free, np.abs(null).max(axis=1), strict=True) if part > 0}
        lost = reduced.free if LAMBDA in touched else tuple(name for name in reduced.free if name in touched)
        raw = null / reduced.size[:, None]
        raw = raw / np.abs(raw).max(axis=0)
        moves = tuple(
            " ".join(f"{part:+.2g} {name}" for name, part in zip(names, vector, strict=True) if abs(part) > 1e-6)
            for vector in raw.T
        )
    mean = matrices.mean(axis=0)
    se = dict.fromkeys(reduced.free, float("nan"))
    condition, criterion = float("inf"), float("-inf")
    if not null.shape[1]:
        covariance = np.linalg.inv(mean)
        size = np.sqrt(np.diag(covariance))
        eigen = np.linalg.eigvalsh(covariance / np.outer(size, size))
        condition = float(eigen[-1] / max(eigen[0], 1e-300))
        criterion = float(np.linalg.slogdet(mean)[1])
        se = dict(zip(reduced.free, map(float, size / np.sqrt(observations)), strict=True))
    return Identification(
        free=reduced.free,
        rank=len(reduced.free) - null.shape[1],
        lost=lost,
        moves=moves,
        condition=condition,
        d_criterion=criterion,
        se=se,
        observations=observations,
        situations=len(situations),
        at=values,
    )


def _even(situations: Sequence[Situation]) -> Choices:
    """One observation in each situation; which one does not matter to the expected information."""
    return from_plans(situations, [np.eye(1, _plans(game))[0] for game, _ in situations])


def _plans(game: Game) -> int:
    return int(np.prod([len(information.actions) for information in game.information_sets]))


def _values(choices: Choices, at: Mapping[str, float]) -> dict[str, float]:
    values = {**dict.fromkeys(PREFERENCE_FEATURES[1:], 0.0), **check_fixed(choices, at)}
    if LAMBDA not in values:
        spread = reduce(choices, {}).size[0]
        values[LAMBDA] = float(spread)
    return values


def _free(choices: Choices, values: Mapping[str, float], parameters: Sequence[str]) -> Reduced:
    if unknown := [name for name in parameters if name not in values]:
        raise EstimationError(f"unknown parameters {named(unknown)}; there are {', '.join(values)}")
    if not parameters:
        raise EstimationError("name at least one parameter")
    return reduce(choices, {name: value for name, value in values.items() if name not in parameters})


def _information(reduced: Reduced, choices: Choices, values: Mapping[str, float]) -> Array:
    """(S, F, F), each situation's expected information about the free parameters for one complete plan."""
    c = reduced.coefficients(values)
    _, expected, away = reduced.logit.plan_information(c, choices.counts.sum(axis=0))
    inverse = np.linalg.inv(reduced.jacobian(c))
    away = away @ inverse
    outer = expected[:, None, None] * away[:, :, None] * away[:, None, :]
    return np.asarray(np.add.reduceat(outer, choices.situation_starts, axis=0))


@dataclass(frozen=True)
class Design:
    """Situations that identify best.

    Attributes:
        situations: The chosen ones. chosen: Their positions among the candidates. report: What they identify.
        efficiency: D-efficiency of spreading plans over all candidates, relative to these: 0.5 says that twice as many plans
            would be needed for the same precision.
    """

    situations: tuple[Situation, ...]
    chosen: tuple[int, ...]
    report: Identification
    efficiency: float


def design(
    candidates: Sequence[Situation],
    n: int,
    *,
    at: Mapping[str, float] | Sequence[Mapping[str, float]] | None = None,
    parameters: Sequence[str] = ("alpha", "beta", "kappa", LAMBDA),
    observations: int = 100,
    rounds: int = 50,
) -> Design:
    """The n candidates that are D-optimal: they maximise the log determinant of the information (Fedorov 1972).

    1. Greedily, the candidate that adds most. 2. Exchanges of a chosen for an unchosen candidate, until none helps.
    The result is a local optimum, in practice close to the best.

    Args:
        candidates: Different situations, such as `situations_of(payoff_games([...], PayoffGrid()))`.
        n: How many to choose. at: As in :func:`identification`; of several, the mean log determinant counts, so that a design
            serves for homo economicus and homo moralis alike. rounds: Most rounds of exchanges.

    Raises:
        EstimationError: There are fewer candidates than n, or together they do not identify the parameters.
    """
    points = [at or {}] if isinstance(at, Mapping) or at is None else list(at)
    if not 1 <= n <= len(candidates):
        raise EstimationError(f"cannot choose {n} of {len(candidates)} candidates")
    choices = _even(candidates)
    # One lambda for the candidates and for the chosen: the default depends on the situations.
    points = [_values(choices, point) for point in points]
    everything = _report(candidates, points[0], parameters, observations)
    if not everything.identified:
        raise EstimationError(f"the candidates do not identify what is asked for: {everything}")
    stacks = []
    for values in points:
        stack = _information(_free(choices, values, parameters), choices, values)
        # In units of what all candidates identify, so that the small ridge that starts the greedy choice is small for all.
        root = np.linalg.inv(np.linalg.cholesky(stack.mean(axis=0)))
        stacks.append(root @ stack @ root.T)
    blocks = np.stack(stacks)  # (points, candidates, F, F)
    size = blocks.shape[-1]
    chosen: list[int] = []

    def worth(total: Array, ridge: float) -> Array:
        """(candidates,), the criterion if each were added to `total`, (points, F, F)."""
        return np.asarray(np.linalg.slogdet(blocks + total[:, None] + ridge * np.eye(size))[1].mean(axis=0))

    total = np.zeros((len(points), size, size))
    for _ in range(n):
        value = worth(total, 1e-6)
        value[chosen] = -np.inf
        chosen.append(int(np.argmax(value)))
        total = total + blocks[:, chosen[-1]]
    for _ in range(rounds):
        improved = False
        for place, old in enumerate(chosen):
            without = total - blocks[:, old]
            value = worth(without, 1e-9)
            taken = [other for other in chosen if other != old]
            value[taken] = -np.inf
            new = int(np.argmax(value))
            if value[new] > value[old] + 1e-9:
                chosen[place], total, improved = new, without + blocks[:, new], True
        if not improved:
            break
    situations = tuple(candidates[k] for k in chosen)
    report = _report(situations, points[0], parameters, observations)
    # The stacks are in units of the candidates' mean, whose log determinant is therefore zero.
    gain = float(np.linalg.slogdet(total / n)[1].mean()) / size
    return Design(situations, tuple(chosen), report, float(np.exp(-gain)))
