"""Which of the models that theory compares the choices ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moralfit.estimate._choices import Choices
from moralfit.estimate._estimate import Estimate
from moralfit.estimate._fit import estimate
from moralfit.estimate._model import MODELS


@dataclass(frozen=True)
class LikelihoodRatio:
    """A likelihood-ratio test of a restricted against a more general model: 2 (loglik difference) ~ chi2(df) if it holds."""

    restricted: str
    general: str
    statistic: float
    df: int
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """Nested models on the same choices, and the tests between them. Tests between models without a maximum are left out."""

    estimates: Mapping[str, Estimate]
    tests: tuple[LikelihoodRatio, ...]

    def __str__(self) -> str:
        lines = [f"{m:16} log-likelihood {e.loglik:10.2f}  BIC {e.bic:10.2f}  {e.status}" for m, e in self.estimates.items()]
        lines += [
            f"{t.restricted} against {t.general}: chi2({t.df}) = {t.statistic:.2f}, p = {t.p_value:.3g}" for t in self.tests
        ]
        return "\n".join(lines)


def compare(choices: Choices, models: Mapping[str, Mapping[str, float]] = MODELS, **options: Any) -> Comparison:
    """Estimates every model and tests each against those that free more.

    Args:
        models: What each fixes, by name; `options` are further keywords of :func:`estimate`, `fixed` for all of them included.
    """
    from scipy.stats import chi2

    always = dict(options.pop("fixed", None) or {})
    estimates = {name: estimate(choices, fixed={**fixed, **always}, label=name, **options) for name, fixed in models.items()}
    tests = []
    for restricted, small in estimates.items():
        for general, large in estimates.items():
            nested = set(large.fixed.items()) < set(small.fixed.items())
            if nested and small.converged and large.converged and not (small.at_bound or large.at_bound):
                statistic, df = max(0.0, 2 * (large.loglik - small.loglik)), len(small.fixed) - len(large.fixed)
                tests.append(LikelihoodRatio(restricted, general, statistic, df, float(chi2.sf(statistic, df))))
    return Comparison(estimates, tuple(tests))
