"""Maximum likelihood for one group of choices: an agent, or a pool of agents with one preference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import inf, isfinite
from typing import Any, get_args

import numpy as np

from moralfit.errors import EstimationError
from moralfit.estimate._choices import Array, Choices, check_option, named
from moralfit.estimate._diagnose import null_space, penalised, rationalising, recession, weakness
from moralfit.estimate._estimate import Estimate, StandardErrors, Status
from moralfit.estimate._logit import Logit, search
from moralfit.estimate._model import LAMBDA, Reduced, check_bounds, check_fixed, reduce
from moralfit.estimate._precision import Found, with_errors

#: With fewer observations for each free parameter, asymptotic standard errors are a guess.
FEW = 10
#: With 1/lambda fewer standard errors above zero, dividing by it to get alpha, beta and kappa gives arbitrary numbers.
NO_RESPONSE = 1.0
#: With fewer than this, the delta method for those ratios is rough (Fieller 1954).
ROUGH_RESPONSE = 3.0


def estimate(
    choices: Choices,
    *,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    standard_errors: StandardErrors = "hessian",
    cluster: str = "agent",
    replications: int = 200,
    seed: int = 0,
    level: float = 0.95,
    label: str = "pooled",
) -> Estimate:
    """The preference and the noise scale under which the choices are most likely.

    Args:
        fixed: Parameters that are not estimated; `MODELS["homo moralis"]` fixes alpha and beta at zero. kappa, alpha and beta
            are weights without unit; lambda, the scale of the noise, is in payoff points.
        bounds: (low, high) by parameter, None for no limit.
        standard_errors: `hessian`, the inverse information; `cluster`, the jackknife sandwich (CR3), right when observations
            of one cluster are alike; `bootstrap`, over clusters. All by the delta method from the logit's coefficients, but
            for the last.
        cluster: `agent`, `situation`, `game` or a column named when the choices were read.
        replications: Of the bootstrap. seed: Of the bootstrap, and of the random starts where only decisions were observed.
        level: Of the intervals. label: What the result is called.

    Returns:
        An :class:`Estimate`; look at its `status`. Nothing that happened to the likelihood is an error.

    Raises:
        EstimationError: There are no observations, an option is misspelt, or a parameter, bound or cluster makes no sense.

    Source: McFadden (1974); the utility is that of :mod:`moralfit.preferences`.
    """
    check_option("standard_errors", standard_errors, get_args(StandardErrors))
    check_option("cluster", cluster, choices.cluster_names)
    held = check_fixed(choices, fixed)
    limits = check_bounds(choices, bounds, held)
    if not 0 < level < 1:
        raise EstimationError(f"a level lies between 0 and 1, got {level}")
    if not choices.n > 0:
        raise EstimationError(f"{label}: there are no observations")
    if (choices.counts.sum(axis=0) == 0).any():
        choices = choices.units(range(len(choices.agents)))
    weights = choices.counts.sum(axis=0)
    reduced = reduce(choices, held)
    warnings = [text if agent is None else f"{agent}: {text}" for agent, text in choices.notes]
    null = float(weights @ _null(choices))
    blank = Estimate(
        label=label,
        model=choices.parameters,
        parameters={name: held.get(name, float("nan")) for name in (*choices.parameters, LAMBDA)},
        se={},
        free=reduced.free,
        fixed=held,
        covariance=np.full((len(reduced.free),) * 2, np.nan),
        loglik=float("nan"),
        null_loglik=null,
        n=choices.n,
        situations=len(choices.situations),
        share_predicted=float("nan"),
        status="converged",
        standard_errors=standard_errors,
        level=level,
    )
    if choices.n < len(reduced.free):
        said = f"{choices.n:g} observations for {len(reduced.free)} free parameters ({', '.join(reduced.free)}): fix some"
        return replace(blank, status="too few", warnings=(*warnings, said))
    if choices.n < FEW * len(reduced.free):
        warnings.append(f"only {choices.n:g} observations for {len(reduced.free)} free parameters: intervals are rough")

    null_vectors = null_space(reduced.logit)
    if null_vectors.shape[1]:
        return _unidentified(blank, reduced, weights, null_vectors, warnings)

    found = _bounded(choices, weights, held, limits, seed)
    c = found.maximum.c
    direction = recession(found.reduced.logit, weights, None if choices.complete else c)
    if direction is None and found.at_bound and LAMBDA not in limits and rationalising(choices, weights, held, limits):
        # The search without bounds ran away, so faces were tried; but inside the bounds the likelihood rises for ever too.
        found = Found(reduced, search(reduced.logit, weights, seed=seed))
        direction = recession(reduced.logit, weights, None if choices.complete else found.maximum.c)
    if direction is not None:
        return _separated(blank, choices, weights, held, limits, found, direction, warnings)
    values = found.reduced.structural(c)
    blank = replace(
        blank,
        loglik=found.maximum.value,
        share_predicted=_share_predicted(found.reduced.logit, c, weights),
        iterations=found.maximum.iterations,
    )
    z = _response(found) if found.maximum.converged else 0.0
    if not found.maximum.converged or not isfinite(values[LAMBDA]) or z < NO_RESPONSE:
        status: Status = "not converged" if not found.maximum.converged else "undefined"
        said = (
            "the search for the maximum did not converge; more varied choices, fixed parameters or bounds may help"
            if status == "not converged"
            else f"choices do not follow this utility: 1/lambda is not above zero (z = {z:.2f}), so its weights have no meaning"
        )
        return replace(blank, status=status, warnings=(*warnings, said), penalised=_penalised(reduced, weights))
    if z < ROUGH_RESPONSE:
        warnings.append(f"1/lambda is imprecise (z = {z:.1f}): intervals of ratios to it are rough; more choices would help")
    if found.at_bound:
        shown = named([f"{name} = {values[name]:g}" for name in found.at_bound])
        warnings.append(f"on a bound: {shown}; standard errors of the others take that as given")
    result = replace(blank, parameters=values, at_bound=found.at_bound, free=found.reduced.free)
    if not found.reduced.free:
        return replace(result, warnings=tuple(warnings), covariance=np.zeros((0, 0)))
    if said_weak := weakness(np.asarray(np.linalg.inv(-found.maximum.hessian), dtype=np.float64), found.reduced.free):
        warnings.append(said_weak)
    return with_errors(result, choices, weights, found, cluster, replications, seed, warnings)


def _response(found: Found) -> float:
    """How many standard errors 1/lambda lies above zero; infinite where lambda is fixed."""
    if LAMBDA not in found.reduced.free:
        return inf
    return float(found.maximum.c[0] / np.sqrt(np.linalg.inv(-found.maximum.hessian)[0, 0]))


def estimate_by_agent(choices: Choices, **options: Any) -> dict[str, Estimate]:
    """:func:`estimate` for every agent alone; `options` are its keywords. Clusters default to situations."""
    options.setdefault("cluster", "situation")
    return {agent: estimate(choices.of(agent), label=agent, **options) for agent in choices.agent_names}


def _null(choices: Choices) -> Array:
    """(C,), log-probabilities of cells if every alternative is equally likely."""
    sizes = np.diff(choices.situation_starts, append=len(choices.features))[choices.situation_of_cell]
    return np.asarray(np.log(np.diff(choices.cell_starts, append=len(choices.cell_members)) / sizes))


def _share_predicted(logit: Logit, c: Array, weights: Array) -> float:
    """The weight of cells that hold a most likely alternative; where k are equally likely, each counts 1/k."""
    v = logit.utilities(c)
    best = v >= np.maximum.reduceat(v, logit.starts)[logit.of_alternative] - 1e-9
    tied = np.add.reduceat(best.astype(np.float64), logit.starts)
    inside = np.add.reduceat(best[logit.members].astype(np.float64), logit.cells)
    return float(weights @ (inside / tied[logit.of_cell]) / weights.sum())


def _bounded(
    choices: Choices, weights: Array, fixed: Mapping[str, float], limits: Mapping[str, tuple[float, float]], seed: int
) -> Found:
    """The highest maximum inside the bounds.

    In the coefficients, bounds on theta and lambda are linear, so that in the concave case the constrained maximum is the best
    of the feasible maxima on the faces of the box; with a handful of parameters they are few enough to try all.
    """

    def on_face(extra: Mapping[str, float]) -> Found:
        reduced = reduce(choices, {**fixed, **extra})
        return Found(reduced, search(reduced.logit, weights, seed=seed), tuple(extra))

    def inside(found: Found) -> bool:
        values = found.reduced.structural(found.maximum.c)
        return found.maximum.converged and all(
            isfinite(values[name]) and low - 1e-9 <= values[name] <= high + 1e-9 for name, (low, high) in limits.items()
        )

    plain = on_face({})
    if not limits or inside(plain):
        return plain
    best: Found | None = None
    for sides in product(*([None, *(side for side in limits[name] if isfinite(side))] for name in limits)):
        extra = {name: side for name, side in zip(limits, sides, strict=True) if side is not None}
        if extra and extra.get(LAMBDA, 1.0) > 0:
            found = on_face(extra)
            if inside(found) and (best is None or found.maximum.value > best.maximum.value):
                best = found
    return best or plain


def _penalised(reduced: Reduced, weights: Array) -> dict[str, float] | None:
    c = penalised(reduced, weights)
    if c is None:
        return None
    values = reduced.structural(c)
    return values if all(map(isfinite, values.values())) else None


def _separated(
    blank: Estimate,
    choices: Choices,
    weights: Array,
    fixed: Mapping[str, float],
    limits: Mapping[str, tuple[float, float]],
    found: Found,
    direction: Array,
    warnings: Sequence[str],
) -> Estimate:
    reduced = found.reduced
    region = rationalising(choices, weights, fixed, limits)
    kind = "complete" if region is not None and region.example is not None else "partial"
    said = f"{kind} separation: the likelihood rises for ever along ({_combination(reduced, direction)}), without a maximum; "
    said += (
        f"every choice is explained by {region}"
        if region is not None
        else "no preference of this kind explains every choice, but some choices are always as predicted"
    )
    far = found.maximum.c + direction * 500 / float(np.abs(reduced.logit.x @ direction).max())
    loglik = max(found.maximum.value, float(weights @ reduced.logit.log_cells(far)))
    return replace(
        blank,
        status="separated",
        loglik=loglik,
        share_predicted=_share_predicted(reduced.logit, far, weights),
        penalised=_penalised(reduced, weights),
        region=region,
        warnings=(*warnings, said + "; the penalised estimate is Firth's"),
    )


def _combination(reduced: Reduced, direction: Array) -> str:
    """A direction of coefficients in words."""
    raw = direction / reduced.size
    raw = raw / np.abs(raw).max()
    names = ["payoff" if name == LAMBDA else name for name in reduced.free]
    return " ".join(f"{part:+.2g} {name}" for name, part in zip(names, raw, strict=True) if abs(part) > 1e-6)


def _unidentified(blank: Estimate, reduced: Reduced, weights: Array, null_vectors: Array, warnings: Sequence[str]) -> Estimate:
    """Estimates of what the situations do identify: the maximum in the complement of the null space."""
    logit = reduced.logit
    basis = np.linalg.svd(null_vectors, full_matrices=True)[0][:, null_vectors.shape[1] :]
    touched = {name for name, part in zip(reduced.free, np.abs(null_vectors).max(axis=1), strict=True) if part > 0}
    if LAMBDA in touched:
        touched = set(reduced.free)
    values = {name: blank.fixed.get(name, float("nan")) for name in blank.parameters}
    se = {name: float("nan") for name in reduced.free}
    share, value = float("nan"), float("nan")
    if basis.shape[1]:
        inner = logit.restricted(basis)
        maximum = search(inner, weights)
        value = maximum.value
        share = _share_predicted(inner, maximum.c, weights)
        if maximum.converged and touched != set(reduced.free) and recession(inner, weights, maximum.c) is None:
            c = basis @ maximum.c
            found = reduced.structural(c)
            covariance = basis @ np.linalg.inv(-maximum.hessian) @ basis.T
            errors = np.sqrt(np.diag(reduced.jacobian(c) @ covariance @ reduced.jacobian(c).T))
            for name, error in zip(reduced.free, errors, strict=True):
                if name not in touched:
                    values[name], se[name] = found[name], float(error)
    lost = [name for name in reduced.free if name in touched]
    moves = "; ".join(_combination(reduced, vector) for vector in null_vectors.T)
    said = (
        f"not identified by these situations: {', '.join(lost)} (moving by {moves} changes no choice probability); "
        f"fix {null_vectors.shape[1]} of them, or add games or beliefs: see identification()"
    )
    return replace(
        blank,
        status="unidentified",
        parameters=values,
        se=se,
        loglik=value,
        share_predicted=share,
        warnings=(*warnings, said),
    )
