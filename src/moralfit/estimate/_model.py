"""Which parameters are free, and the way between them and the coefficients of the logit.

Utility divided by the noise scale lambda is linear in c = (1/lambda, theta_1/lambda, ...): the log-likelihood is easy in c, and
people want lambda and theta. A fixed theta folds its column into the base; a fixed lambda makes the base an offset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite, nan

import numpy as np

from moralfit.errors import EstimationError
from moralfit.estimate._choices import Array, Choices, named
from moralfit.estimate._logit import Logit, scaled

LAMBDA = "lambda"

#: The models that theory compares: what each fixes.
MODELS: dict[str, dict[str, float]] = {
    "homo economicus": {"alpha": 0.0, "beta": 0.0, "kappa": 0.0},
    "homo moralis": {"alpha": 0.0, "beta": 0.0},
    "inequity-averse": {"kappa": 0.0},
    "full": {},
}


@dataclass(frozen=True)
class Reduced:
    """The logit in the free coefficients, columns scaled to similar size.

    Attributes:
        free: Names of the free parameters, lambda first where it is free.
        size: (F,), by what each column was divided: coefficients of the original columns are c / size.
    """

    logit: Logit
    free: tuple[str, ...]
    parameters: tuple[str, ...]
    fixed: Mapping[str, float]
    size: Array

    def structural(self, c: Array) -> dict[str, float]:
        """All parameters, fixed ones included, from scaled coefficients. NaN where 1/lambda is not positive."""
        raw = dict(zip(self.free, map(float, c / self.size), strict=True))
        base = raw[LAMBDA] if LAMBDA in raw else 1 / self.fixed[LAMBDA]
        if not base > 0:
            return {name: self.fixed.get(name, nan) for name in (*self.parameters, LAMBDA)}
        found = {name: raw[name] / base if name in raw else self.fixed[name] for name in self.parameters}
        return {**found, LAMBDA: 1 / base if LAMBDA in raw else self.fixed[LAMBDA]}

    def coefficients(self, values: Mapping[str, float]) -> Array:
        """The scaled coefficients of these parameters."""
        base = 1 / values[LAMBDA]
        return np.array([base if name == LAMBDA else values[name] * base for name in self.free]) * self.size

    def jacobian(self, c: Array) -> Array:
        """(F, F), derivatives of the free parameters by the scaled coefficients, for the delta method."""
        values = self.structural(c)
        base = 1 / values[LAMBDA]
        found = np.zeros((len(self.free), len(self.free)))
        for row, name in enumerate(self.free):
            if name == LAMBDA:
                found[row, row] = -1 / base**2
            else:
                found[row, row] = 1 / base
                if LAMBDA in self.free:
                    found[row, self.free.index(LAMBDA)] = -values[name] / base
        return found / self.size


def reduce(choices: Choices, fixed: Mapping[str, float]) -> Reduced:
    """The logit of `choices` when these parameters are fixed and the others free."""
    base = choices.features[:, 0].copy()
    for name, value in fixed.items():
        if name != LAMBDA:
            base += value * choices.features[:, choices.names.index(name)]
    free_lambda = LAMBDA not in fixed
    columns = [base] if free_lambda else []
    columns += [choices.features[:, k] for k, name in enumerate(choices.names) if k and name not in fixed]
    features = np.stack(columns, axis=1) if columns else np.zeros((len(base), 0))
    size = scaled(features, choices.situation_starts, choices.situation_of_alternative)
    return Reduced(
        logit=Logit(choices, features / size, None if free_lambda else base / fixed[LAMBDA]),
        free=((LAMBDA,) if free_lambda else ()) + tuple(name for name in choices.parameters if name not in fixed),
        parameters=choices.parameters,
        fixed=dict(fixed),
        size=size,
    )


def check_fixed(choices: Choices, fixed: Mapping[str, float] | None) -> dict[str, float]:
    """The fixed parameters as floats.

    Raises:
        EstimationError: A name is unknown, a value is not finite, or lambda is not positive.
    """
    values = {name: float(value) for name, value in (fixed or {}).items()}
    known = (*choices.parameters, LAMBDA)
    if unknown := [name for name in values if name not in known]:
        raise EstimationError(f"unknown parameter {named(unknown)}; the parameters are {named(known, 9)}")
    if bad := [f"{name} = {value}" for name, value in values.items() if not isfinite(value)]:
        raise EstimationError(f"fixed parameters must be finite, got {named(bad)}")
    if values.get(LAMBDA, 1.0) <= 0:
        raise EstimationError(f"lambda is a noise scale in payoff points and must be positive, got {values[LAMBDA]}")
    return values


def check_bounds(
    choices: Choices, bounds: Mapping[str, tuple[float | None, float | None]] | None, fixed: Mapping[str, float]
) -> dict[str, tuple[float, float]]:
    """The bounds as floats; None on a side becomes infinite.

    Raises:
        EstimationError: A name is unknown or fixed, a lower bound is not below the upper, or lambda may be zero.
    """
    found: dict[str, tuple[float, float]] = {}
    for name, (low, high) in (bounds or {}).items():
        if name not in (*choices.parameters, LAMBDA):
            raise EstimationError(f"bounds for unknown parameter {name!r}; the parameters are {named(choices.parameters, 9)}")
        if name in fixed:
            raise EstimationError(f"{name} is fixed at {fixed[name]:g} and cannot have bounds")
        pair = (-inf if low is None else float(low), inf if high is None else float(high))
        if not pair[0] < pair[1]:
            raise EstimationError(f"bounds of {name} must rise, got {pair}")
        if name == LAMBDA and pair[0] < 0:
            raise EstimationError(f"the lower bound of lambda must be at least zero, got {pair[0]}")
        found[name] = pair
    return found
