"""Means over runs, Welch tests with Holm's correction, and regressions clustered by run; a reason where there is none.

Runs are independent and periods are not, so the run is the unit everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import sqrt
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Json = dict[str, Any]

#: Spread below this share of the mean is rounding: 1.4729 / 3.2 * 3.2 need not be 1.4729.
_ROUNDING = 1e-9
_ONE_RUN = "one run"
SAME = "runs do not differ"


@dataclass(frozen=True)
class Measured:
    """A number with its 95% interval, or the reason why one of them is missing."""

    estimate: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""

    def as_json(self) -> Json:
        """For `summary.json`."""
        return asdict(self)


def mean_over_runs(values: Sequence[float]) -> Measured:
    """The mean of one number per run, with the interval of Student's t."""
    from scipy.stats import t

    x = np.asarray(values, dtype=np.float64)
    if not len(x):
        return Measured(None, reason="no runs")
    mean = float(x.mean())
    if len(x) == 1:
        return Measured(mean, reason=_ONE_RUN)
    if _constant(x):
        return Measured(mean, reason=SAME)
    half = float(t.ppf(0.975, len(x) - 1)) * float(x.std(ddof=1)) / sqrt(len(x))
    return Measured(mean, mean - half, mean + half)


def share_of_runs(values: Sequence[bool]) -> Measured:
    """The share of runs that something is true of, with Wilson's (1927) interval."""
    from scipy.stats import binomtest

    if not len(values):
        return Measured(None, reason="no runs")
    bounds = binomtest(sum(values), len(values)).proportion_ci(method="wilson")
    return Measured(sum(values) / len(values), float(bounds.low), float(bounds.high))


def welch_tests(groups: Mapping[str, Sequence[float]], measure: str) -> list[Json]:
    """Welch's (1947) test between any two groups of runs; `p_holm` corrects for all that could be made (Holm 1979).

    Returns:
        For each pair of groups, in the order given: the difference of means `first - second` with its interval, the statistic,
        the degrees of freedom, both p values, and a reason where there is no test.
    """
    from scipy.stats import ttest_ind

    found: list[Json] = []
    for first, second in combinations(groups, 2):
        x, y = (np.asarray(groups[name], dtype=np.float64) for name in (first, second))
        line: Json = {"measure": measure, "first": first, "second": second}
        line |= dict.fromkeys(("difference", "low", "high", "statistic", "df", "p", "p_holm"))
        line["reason"] = ""
        if len(x) and len(y):
            line["difference"] = float(x.mean() - y.mean())
        if min(len(x), len(y)) < 2:
            line["reason"] = "a test needs two runs of each pairing"
        elif _constant(x) and _constant(y):
            line["reason"] = "the runs of each pairing are all the same"
        else:
            with catch_warnings():
                # One of the two may be constant, which the test allows for and scipy finds suspicious.
                simplefilter("ignore", RuntimeWarning)
                result = ttest_ind(x, y, equal_var=False)
            bounds = result.confidence_interval(0.95)
            line |= {"low": float(bounds.low), "high": float(bounds.high), "statistic": float(result.statistic)}
            line |= {"df": float(result.df), "p": float(result.pvalue)}
        found.append(line)
    tested = [line for line in found if line["p"] is not None]
    for line, corrected in zip(tested, holm([line["p"] for line in tested]), strict=True):
        line["p_holm"] = corrected
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number: step-down, so at least as powerful as Bonferroni's (Holm 1979)."""
    corrected = [1.0] * len(p_values)
    worst = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = worst
    return corrected


@dataclass(frozen=True)
class Coefficient(Measured):
    """A coefficient with its clustered standard error and the p value of the test that it is zero."""

    se: float | None = None
    p: float | None = None


def clustered_ols(y: Array, x: Array, clusters: npt.NDArray[np.int64], absorbed: int = 0) -> list[Coefficient]:
    """Least squares with the jackknife's covariance over clusters, and Student's t with one degree less than clusters.

    CR3 of Bell and McCaffrey (2002), as :mod:`moralfit.estimate` has it for logits: with a few dozen clusters the plain
    sandwich is too small (Cameron and Miller 2015, section VI). Leaving a cluster out is exact here, because fixed effects
    that are nested in clusters may be taken out beforehand.

    Args:
        y: (N,). x: (N, K), a constant included where one is wanted. clusters: (N,) labels. absorbed: Fixed effects taken out of
            `y` and `x` before, which cost degrees of freedom.

    Returns:
        For each column of `x` its coefficient; without an estimate where the columns do not vary apart, without an interval
        where there are too few clusters, or nothing is left unexplained.
    """
    from scipy.stats import t

    count = x.shape[1]
    if len(y) - absorbed <= count:
        return [Coefficient(None, reason="too few periods")] * count
    scale = np.sqrt((x**2).sum(axis=0))
    if (scale <= _ROUNDING * max(1.0, float(np.sqrt(len(y))))).any():
        return [Coefficient(None, reason="prices do not vary")] * count
    z = x / scale
    if np.linalg.svd(z, compute_uv=False)[-1] < 1e-7:
        return [Coefficient(None, reason="own and rival price move as one")] * count
    beta = np.linalg.lstsq(z, y, rcond=None)[0]
    estimates = [float(b) for b in beta / scale]
    residuals = y - z @ beta
    if float(np.abs(residuals).max()) <= _ROUNDING * max(1.0, float(np.abs(y).max())):
        return [Coefficient(b, reason="fits without error") for b in estimates]
    labels = np.unique(clusters)
    if len(labels) < 2:
        return [Coefficient(b, reason=_ONE_RUN) for b in estimates]
    gram = z.T @ z
    moves = np.empty((len(labels), count))
    for place, label in enumerate(labels):
        rows = clusters == label
        left = gram - z[rows].T @ z[rows]
        if np.linalg.eigvalsh(left)[0] <= 1e-10 * np.trace(left) or not left.any():
            return [Coefficient(b, reason="rests on one run") for b in estimates]
        moves[place] = np.linalg.solve(left, z[rows].T @ residuals[rows])
    covariance = moves.T @ moves * (len(labels) - 1) / len(labels)
    errors = np.sqrt(np.diag(covariance)) / scale
    found = []
    quantile = float(t.ppf(0.975, len(labels) - 1))
    for b, error in zip(estimates, map(float, errors), strict=True):
        if error <= 0:
            found.append(Coefficient(b, reason=SAME))
            continue
        p = 2 * float(t.sf(abs(b) / error, len(labels) - 1))
        found.append(Coefficient(b, b - quantile * error, b + quantile * error, se=error, p=p))
    return found


def _constant(x: Array) -> bool:
    return bool(np.ptp(x) <= _ROUNDING * max(1.0, float(np.abs(x).max())))
