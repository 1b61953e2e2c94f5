"""How precise an estimate is: the information matrix, the clustered sandwich, and the bootstrap over clusters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np

from moralfit.errors import EstimationError
from moralfit.estimate._choices import Array, Choices
from moralfit.estimate._diagnose import runs_away
from moralfit.estimate._estimate import Estimate
from moralfit.estimate._logit import Maximum, search
from moralfit.estimate._model import LAMBDA, Reduced

#: With fewer clusters the sandwich is known to be too small (Cameron and Miller 2015).
FEW_CLUSTERS = 30


@dataclass(frozen=True)
class Found:
    """A maximum within the bounds, and the logit that it was found in. `at_bound` is fixed in it."""

    reduced: Reduced
    maximum: Maximum
    at_bound: tuple[str, ...] = ()


def with_errors(
    result: Estimate,
    choices: Choices,
    weights: Array,
    found: Found,
    cluster: str,
    replications: int,
    seed: int,
    warnings: list[str],
) -> Estimate:
    """The estimate with its standard errors."""
    reduced, maximum = found.reduced, found.maximum
    jacobian = reduced.jacobian(maximum.c)
    bread = np.linalg.inv(-maximum.hessian)
    covariance = jacobian @ bread @ jacobian.T
    draws, count = None, None
    if result.standard_errors != "hessian":
        blocks = _blocks(choices, cluster)
        count = len(blocks)
        if count < 2:
            raise EstimationError(
                f"{result.label}: all choices are of one {cluster}; cluster by situation or use standard_errors='hessian'"
            )
        if count < FEW_CLUSTERS:
            warnings.append(f"only {count} clusters: clustered intervals tend to be too short")
        if result.standard_errors == "cluster":
            scores = blocks @ reduced.logit.scores(maximum.c)
            own = (reduced.logit.derivatives(maximum.c, block).hessian for block in blocks)
            covariance = jacobian @ jackknife(maximum.hessian, scores, own, "cluster", warnings) @ jacobian.T
        else:
            draws = _bootstrap(reduced, blocks, maximum.c, replications, seed)
            if len(draws) < replications:
                lost = replications - len(draws)
                warnings.append(f"{lost} of {replications} bootstrap samples have no estimate and were left out")
            if len(draws) < max(10, replications // 2):
                warnings.append("too few bootstrap samples have an estimate: no standard errors")
                draws = None
                covariance = np.full_like(covariance, np.nan)
            else:
                covariance = np.atleast_2d(np.cov(draws.T))
    errors = dict(zip(reduced.free, map(float, np.sqrt(np.diag(covariance))), strict=True))
    return replace(
        result,
        covariance=covariance,
        se={name: errors.get(name, float("nan")) for name in result.parameters},
        clusters=count,
        draws=draws,
        warnings=tuple(warnings),
    )


def jackknife(hessian: Array, scores: Array, own: Iterable[Array], cluster: str, warnings: list[str]) -> Array:
    """(F, F), the covariance of coefficients allowing for clusters: the jackknife's, each cluster left out by one Newton step.

    CR3 of Bell and McCaffrey (2002); with some dozens of clusters the plain sandwich is too small (Cameron and Miller 2015,
    section VI). Where one cluster alone identifies something, leaving it out has no answer, and the plain one (CR1) is used.

    Args:
        hessian: (F, F), of the log-likelihood at its maximum. scores: (clusters, F), each cluster's part of the gradient.
        own: (F, F) for each cluster, its part of `hessian`. cluster: What one is called. warnings: Gets what went wrong.
    """
    count = len(scores)
    away = np.empty_like(scores)
    for number, part in enumerate(own):
        left = part - hessian
        if np.linalg.eigvalsh(left)[0] <= 1e-10 * np.trace(left):
            warnings.append(f"some {cluster} alone identifies a parameter: plain sandwich, intervals may be too short")
            bread = np.linalg.inv(-hessian)
            return np.asarray(bread @ (scores.T @ scores) @ bread * count / (count - 1))
        away[number] = np.linalg.solve(left, scores[number])
    return np.asarray(away.T @ away * (count - 1) / count)


def _blocks(choices: Choices, cluster: str) -> Array:
    """(clusters, C), the counts of each cluster of a kind that the choices have."""
    by_cell = {"situation": choices.situations, "game": choices.games}
    if cluster in by_cell:
        labels, place = np.unique([by_cell[cluster][s] for s in choices.situation_of_cell], return_inverse=True)
        found = np.zeros((len(labels), len(place)))
        found[place, np.arange(len(place))] = choices.counts.sum(axis=0)
        return found
    units = choices.agents if cluster == "agent" else choices.clusters[cluster]
    labels, unit_place = np.unique(units, return_inverse=True)
    found = np.zeros((len(labels), choices.counts.shape[1]))
    np.add.at(found, unit_place, choices.counts)
    return found


def _bootstrap(reduced: Reduced, blocks: Array, start: Array, replications: int, seed: int) -> Array:
    """(at most replications, free) estimates from clusters drawn with replacement."""
    rng = np.random.default_rng(seed)
    count = len(blocks)
    found = []
    for _ in range(replications):
        weights = rng.multinomial(count, np.full(count, 1 / count)).astype(np.float64) @ blocks
        maximum = search(reduced.logit, weights, start)
        values = reduced.structural(maximum.c)
        if maximum.converged and isfinite(values[LAMBDA]) and not runs_away(reduced.logit, weights, maximum.c):
            found.append([values[name] for name in reduced.free])
    return np.array(found).reshape(len(found), len(reduced.free))
