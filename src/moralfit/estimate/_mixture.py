"""A population of a few types: finite mixtures of preferences (McLachlan and Peel 2000; Bruhin, Fehr and Schunk 2019).

1. EM from many random starts: memberships given types, then one Newton step or more for each type given memberships.
2. Newton's method on the likelihood itself, in coefficients and logit shares, until the gradient is zero to rounding error.
3. The highest converged maximum in which every type has members and a noise scale wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from moralfit.errors import EstimationError
from moralfit.estimate._choices import Array, Choices, check_option
from moralfit.estimate._diagnose import null_space, runs_away
from moralfit.estimate._logit import FARTHEST, Logit, maximise
from moralfit.estimate._model import LAMBDA, Reduced, check_fixed, reduce
from moralfit.estimate._precision import jackknife
from moralfit.estimate._types import Mixture, Start

MixtureErrors: TypeAlias = Literal["hessian", "cluster"]

#: Newton steps after EM; a handful suffices unless the likelihood is flat.
_NEWTON_STEPS = 100


def mixture(
    choices: Choices,
    k: int,
    *,
    fixed: Mapping[str, float] | None = None,
    starts: int = 20,
    seed: int = 0,
    standard_errors: MixtureErrors = "hessian",
    steps: int = 500,
) -> Mixture:
    """K types of agents with their shares.

    Args:
        k: How many. fixed: Parameters that are the same known number for all types; lambda is in payoff points.
        starts: Random starts. seed: Of the starts. steps: Most EM steps of a start.
        standard_errors: `hessian`, the inverse information; `cluster`, the jackknife sandwich (CR3) clustered by agent, as in
            :func:`estimate`. A bootstrap would have to sort types into the same order in every replication; there is none.

    Raises:
        EstimationError: k is not between one and the number of agents, an option is misspelt, a parameter makes no sense, or
            the situations do not identify all free parameters.

    Source: EM, Dempster, Laird and Rubin (1977); the criterion ICL, Biernacki, Celeux and Govaert (2000).
    """
    check_option("standard_errors", standard_errors, get_args(MixtureErrors))
    held = check_fixed(choices, fixed)
    agents = choices.agent_names
    if not 1 <= k <= len(agents):
        raise EstimationError(f"k, the number of types, must lie between 1 and the number of agents, {len(agents)}, got {k}")
    if standard_errors == "cluster" and len(agents) < 2:
        raise EstimationError("all choices are of one agent; use standard_errors='hessian'")
    if starts < 1:
        raise EstimationError(f"starts must be at least 1, got {starts}")
    reduced = reduce(choices, held)
    if not reduced.free:
        raise EstimationError("all parameters are fixed: nothing tells types apart")
    if null_space(reduced.logit).shape[1]:
        raise EstimationError("the situations do not identify all free parameters: fix some, see identification()")
    place = np.unique(choices.agents, return_inverse=True)
    order = {name: n for n, name in enumerate(agents)}
    counts = np.zeros((len(agents), choices.counts.shape[1]))
    np.add.at(counts, np.array([order[name] for name in place[0]])[place[1]], choices.counts)
    if empty := [agent for agent, total in zip(agents, counts.sum(axis=1), strict=True) if total == 0]:
        raise EstimationError(f"no observations of {', '.join(empty[:5])}")

    pooled = maximise(reduced.logit, counts.sum(axis=0)).c
    rng = np.random.default_rng(seed)
    ended = []
    for _ in range(starts):
        origin = _origin(rng, pooled, k, reduced.logit, counts)
        ended.append(_climb(reduced.logit, counts, origin, np.full(k, 1 / k), steps))
    ended.sort(key=lambda end: (end.start.converged and not end.start.degenerate, end.start.loglik), reverse=True)
    best = ended[0]
    return _describe(reduced, counts, agents, best, [end.start for end in ended], standard_errors, choices)


def choose_types(choices: Choices, ks: Sequence[int] = (1, 2, 3, 4), **options: Any) -> dict[int, Mixture]:
    """:func:`mixture` for several K; compare their `bic` and `icl`, the lower the better."""
    return {k: mixture(choices, k, **options) for k in ks}


@dataclass(frozen=True)
class _End:
    c: Array  # (K, F)
    shares: Array  # (K,)
    theta: Array  # coefficients type by type, then the logs of the shares relative to the first
    hessian: Array
    scores: Array
    start: Start


def _origin(rng: np.random.Generator, pooled: Array, k: int, logit: Logit, counts: Array) -> Array:
    """Starting coefficients (K, F): each type is the estimate of a few random agents, pulled towards all."""
    found = []
    for _ in range(k):
        few = rng.choice(len(counts), size=max(1, len(counts) // (4 * k)), replace=False)
        weights = counts[few].sum(axis=0) + 0.05 * counts.sum(axis=0) * len(few) / len(counts)
        found.append(maximise(logit, weights, pooled, limit=8).c)
    return np.array(found)


def _posterior(logit: Logit, counts: Array, c: Array, shares: Array) -> tuple[Array, float]:
    """(agents, K) memberships, and the log-likelihood."""
    joint = counts @ np.array([logit.log_cells(one) for one in c]).T + np.log(shares)
    top = joint.max(axis=1, keepdims=True)
    total = np.exp(joint - top).sum(axis=1, keepdims=True)
    return np.exp(joint - top) / total, float((top + np.log(total)).sum())


def _climb(logit: Logit, counts: Array, c: Array, shares: Array, steps: int) -> _End:
    """EM, then Newton."""
    agents, k = len(counts), len(c)
    before = -np.inf
    step = 0
    while step < steps:
        step += 1
        membership, value = _posterior(logit, counts, c, shares)
        if value - before < 1e-3 or not isfinite(value):
            break
        before = value
        shares = np.clip(membership.mean(axis=0), 1e-12, None)
        weights = membership.T @ counts
        c = np.array([maximise(logit, w, one, limit=3).c for w, one in zip(weights, c, strict=True)])
        if shares.min() < 0.5 / agents:
            break
    size = c.shape[1]
    theta = np.concatenate([c.ravel(), np.log(shares[1:] / shares[0])])
    value, gradient, hessian, scores = _likelihood(logit, counts, theta, k, size)
    converged = False
    newton = 0
    while newton < _NEWTON_STEPS:
        newton += 1
        curvature, axes = np.linalg.eigh(-hessian)
        largest = float(np.abs(curvature).max())
        move = axes @ ((axes.T @ gradient) / np.maximum(np.abs(curvature), 1e-10 * largest))
        gain = float(gradient @ move)
        if gain < 1e-12:
            converged = bool(curvature[0] > 0)
            break
        length = 1.0
        while length > 1e-10:
            after = _likelihood(logit, counts, theta + length * move, k, size)
            if after[0] >= value + 1e-4 * length * gain:
                break
            length /= 2
        else:
            converged = gain < 1e-7 and bool(curvature[0] > 0)
            break
        theta = theta + length * move
        value, gradient, hessian, scores = after
        if float(np.abs(theta[: k * size]).max()) > FARTHEST:
            break
    c = theta[: k * size].reshape(k, size)
    shares = _shares(theta[k * size :])
    certain = _posterior(logit, counts, c, shares)[0] > 0.5
    separated = any(runs_away(logit, who @ counts, one) for who, one in zip(certain.T, c, strict=True))
    degenerate = bool(shares.min() < 0.5 / agents) or separated
    return _End(c, shares, theta, hessian, scores, Start(value, converged, degenerate, step, newton))


def _shares(eta: Array) -> Array:
    weights = np.exp(np.append(0.0, eta) - max(0.0, float(eta.max(initial=0.0))))
    return np.asarray(weights / weights.sum())


def _likelihood(logit: Logit, counts: Array, theta: Array, k: int, size: int) -> tuple[float, Array, Array, Array]:
    """Log-likelihood, gradient, Hessian and (agents, parameters) scores of the mixture.

    With g_ik the gradient of log(share_k f_ik) and t_ik the memberships, the score of agent i is s_i = sum_k t_ik g_ik and the
    Hessian sum_i [sum_k t_ik (G_ik + g_ik g_ik') - s_i s_i'], G_ik being the Hessian of log(share_k f_ik).
    """
    c, shares = theta[: k * size].reshape(k, size), _shares(theta[k * size :])
    if not (shares > 0).all() or not np.isfinite(theta).all():
        return -np.inf, theta, np.eye(len(theta)), np.zeros((len(counts), len(theta)))
    membership, value = _posterior(logit, counts, c, shares)
    hessian = np.zeros((len(theta), len(theta)))
    score = np.zeros((len(counts), len(theta)))
    for j in range(k):
        g = np.zeros((len(counts), len(theta)))
        g[:, j * size : (j + 1) * size] = counts @ logit.scores(c[j])
        g[:, k * size :] = -shares[1:]
        if j:
            g[:, k * size + j - 1] += 1
        t = membership[:, j : j + 1]
        hessian += (t * g).T @ g
        block = slice(j * size, (j + 1) * size)
        hessian[block, block] += logit.derivatives(c[j], membership[:, j] @ counts).hessian
        score += t * g
    hessian[k * size :, k * size :] -= len(counts) * (np.diag(shares[1:]) - np.outer(shares[1:], shares[1:]))
    hessian -= score.T @ score
    return value, score.sum(axis=0), hessian, score


def _describe(
    reduced: Reduced,
    counts: Array,
    agents: tuple[str, ...],
    end: _End,
    starts: list[Start],
    standard_errors: str,
    choices: Choices,
) -> Mixture:
    k, size = end.c.shape
    membership, _ = _posterior(reduced.logit, counts, end.c, end.shares)
    types = [reduced.structural(c) for c in end.c]
    proper = all(isfinite(values[LAMBDA]) for values in types)
    converged = end.start.converged and not end.start.degenerate and proper
    warnings = [text if agent is None else f"{agent}: {text}" for agent, text in choices.notes]
    share_se = np.full(k, np.nan)
    errors = [dict.fromkeys((*choices.parameters, LAMBDA), float("nan")) for _ in types]
    if converged:
        covariance = np.linalg.inv(-end.hessian)
        if standard_errors == "cluster":
            own = (_likelihood(reduced.logit, one[None], end.theta, k, size)[2] for one in counts)
            covariance = jackknife(end.hessian, end.scores, own, "agent", warnings)
        for j in range(k):
            block = slice(j * size, (j + 1) * size)
            jacobian = reduced.jacobian(end.c[j])
            found = np.sqrt(np.diag(jacobian @ covariance[block, block] @ jacobian.T))
            errors[j].update(zip(reduced.free, map(float, found), strict=True))
        to_shares = (np.diag(end.shares) - np.outer(end.shares, end.shares))[:, 1:]
        share_se = np.sqrt(np.clip(np.diag(to_shares @ covariance[k * size :, k * size :] @ to_shares.T), 0, None))
    elif not proper:
        warnings.append("a type's 1/lambda is not positive: its choices do not follow this utility; try fewer types")
    elif end.start.degenerate:
        warnings.append("every start ended with an empty type or one that choices separate: try fewer types")
    else:
        warnings.append("no start converged: try more starts or fewer types")
    reached = sum(s.converged and not s.degenerate and s.loglik > end.start.loglik - 1e-4 for s in starts)
    if converged and k > 1 and len(starts) > 1 and reached < 2:
        warnings.append("only one start reached this maximum: try more starts")
    order = np.argsort(-end.shares, kind="stable")
    return Mixture(
        shares=end.shares[order],
        share_se=share_se[order],
        types=tuple(types[j] for j in order),
        se=tuple(errors[j] for j in order),
        membership=membership[:, order],
        agents=agents,
        loglik=end.start.loglik,
        n=float(counts.sum()),
        parameters=k * size + k - 1,
        converged=converged,
        starts=tuple(starts),
        warnings=tuple(warnings),
    )
