"""What an estimation found, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import exp, isfinite, log
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from moralfit.errors import EstimationError
from moralfit.estimate._choices import Array
from moralfit.estimate._diagnose import Region, ends, is_point
from moralfit.estimate._model import LAMBDA

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

#: `converged`: the maximum exists, is unique and was reached. `separated`: the likelihood rises for ever, as for a
#: deterministic agent. `unidentified`: the situations cannot tell some parameters apart. `undefined`: 1/lambda is not above
#: zero by a standard error or more, so that choices do not follow this utility and its weights have no meaning.
#: `not converged`: the search ended elsewhere. `too few`: there are fewer observations than free parameters.
Status: TypeAlias = Literal["converged", "separated", "unidentified", "undefined", "not converged", "too few"]
StandardErrors: TypeAlias = Literal["hessian", "cluster", "bootstrap"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """An estimated preference with its noise scale.

    Attributes:
        label: Whose. model: Names of the preference parameters.
        parameters: By name, lambda (payoff points) included. Fixed ones as fixed; NaN where there is no estimate.
        se: Standard errors by name; NaN for what is fixed, on a bound, or has no estimate.
        free: What was estimated, in the order of `covariance`, less `at_bound`. fixed: What was not.
        at_bound: Parameters whose estimate lies on a bound; the standard errors of the others take them as given.
        loglik: At the estimate; what the likelihood approaches under separation. null_loglik: All alternatives equally likely.
        n: Observations. situations: How many. clusters: How many, for clustered and bootstrap standard errors.
        share_predicted: Share of observations consistent with the most likely alternative.
        status: See :data:`Status`. warnings: In words, with what to do.
        penalised: Firth's penalised estimate, where the maximum does not exist. Not a maximum-likelihood estimate.
        region: The preferences for which all observed choices were optimal, for a deterministic agent.
        draws: (replications, free) bootstrap estimates, whose percentiles are then the intervals.
    """

    label: str
    model: tuple[str, ...]
    parameters: Mapping[str, float]
    se: Mapping[str, float]
    free: tuple[str, ...]
    fixed: Mapping[str, float]
    covariance: Array
    loglik: float
    null_loglik: float
    n: float
    situations: int
    share_predicted: float
    status: Status
    warnings: tuple[str, ...] = ()
    at_bound: tuple[str, ...] = ()
    standard_errors: StandardErrors = "hessian"
    clusters: int | None = None
    penalised: Mapping[str, float] | None = None
    region: Region | None = None
    draws: Array | None = None
    level: float = 0.95
    iterations: int = 0

    @property
    def converged(self) -> bool:
        """Whether this is a maximum-likelihood estimate in all its parameters."""
        return self.status == "converged"

    @property
    def sigma(self) -> float:
        """Choice sensitivity 1/lambda, per payoff point."""
        return 1 / self.parameters[LAMBDA]

    @property
    def sigma_se(self) -> float:
        """Standard error of :attr:`sigma`, by the delta method."""
        return self.se[LAMBDA] / self.parameters[LAMBDA] ** 2

    @property
    def pseudo_r2(self) -> float:
        """1 - loglik / null_loglik (McFadden 1974)."""
        return 1 - self.loglik / self.null_loglik if self.null_loglik else float("nan")

    @property
    def aic(self) -> float:
        """2 k - 2 loglik; NaN where the maximum does not exist."""
        return 2 * len(self.free) - 2 * self.loglik if self.converged else float("nan")

    @property
    def bic(self) -> float:
        """k log n - 2 loglik; NaN where the maximum does not exist."""
        return log(self.n) * len(self.free) - 2 * self.loglik if self.converged else float("nan")

    def interval(self, name: str, level: float | None = None) -> tuple[float, float]:
        """A confidence interval for a parameter; NaN on both sides where there is none.

        Normal, on the log scale for lambda, which is positive; with Student's t for the number of clusters where errors are
        clustered; percentiles of the draws after a bootstrap.

        Raises:
            EstimationError: The parameter is unknown or the level not between zero and one.
        """
        level = self.level if level is None else level
        if name not in self.parameters:
            raise EstimationError(f"unknown parameter {name!r}; the parameters are {', '.join(self.parameters)}")
        if not 0 < level < 1:
            raise EstimationError(f"a level lies between 0 and 1, got {level}")
        value, se = self.parameters[name], self.se.get(name, float("nan"))
        if not isfinite(value) or not isfinite(se):
            return float("nan"), float("nan")
        if self.draws is not None:
            low, high = np.quantile(self.draws[:, self.free.index(name)], [(1 - level) / 2, (1 + level) / 2])
            return float(low), float(high)
        from scipy.special import ndtri, stdtrit

        upper, clusters = (1 + level) / 2, self.clusters if self.standard_errors == "cluster" else None
        z = float(ndtri(upper) if clusters is None else stdtrit(clusters - 1, upper))
        if name == LAMBDA:
            return value * exp(-z * se / value), value * exp(z * se / value)
        return value - z * se, value + z * se

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Every parameter's interval at :attr:`level`."""
        return {name: self.interval(name) for name in self.parameters}

    @property
    def best(self) -> Mapping[str, float]:
        """The estimate, or the penalised one where the maximum does not exist: look at :attr:`status` before using it."""
        return self.parameters if self.penalised is None else self.penalised

    def remark(self, name: str) -> str:
        """What the table says about a parameter: nothing, if it is an ordinary estimate."""
        if name in self.fixed:
            return "fixed"
        if name in self.at_bound:
            return "on its bound"
        if isfinite(self.parameters[name]):
            return ""
        said = [] if self.penalised is None else [f"penalised {self.penalised[name]:.3g}"]
        if self.region is not None and name in self.region.limits:
            low, high = self.region.limits[name]
            which = f"only {low:.3g}" if is_point(low, high) else f"any of [{', '.join(ends(low, high))}]"
            said.append(f"{which} explains all choices")
        return "; ".join(said) or ("not identified" if self.status == "unidentified" else "no estimate")

    def to_frame(self) -> pd.DataFrame:
        """One row for each parameter: agent, parameter, estimate, se, low, high, penalised, status, remark."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for name, value in self.parameters.items():
            low, high = self.intervals[name]
            rows.append(
                {
                    "agent": self.label,
                    "parameter": name,
                    "estimate": value,
                    "se": self.se.get(name, float("nan")),
                    "low": low,
                    "high": high,
                    "penalised": float("nan") if self.penalised is None else self.penalised[name],
                    "status": self.status,
                    "remark": self.remark(name),
                }
            )
        return pd.DataFrame(rows)

    def table(self) -> Table:
        """A rich table; anything but a maximum-likelihood estimate says so in its title and in its rows."""
        from rich.table import Table

        title = f"{self.label}: {self.status}" if self.converged else f"{self.label}: NOT an ordinary estimate, {self.status}"
        table = Table(title=title, caption=self.summary(), caption_justify="left")
        table.add_column("parameter")
        for column in ("estimate", "se", f"{100 * self.level:g} % interval"):
            table.add_column(column, justify="right")
        table.add_column("remark")
        for name in self.parameters:
            table.add_row(name, *self.cells(name), self.remark(name))
        return table

    def cells(self, name: str) -> tuple[str, str, str]:
        """Estimate, standard error and interval of a parameter as text."""
        low, high = self.intervals[name]
        interval = f"[{low:.3g}, {high:.3g}]" if isfinite(low) else "-"
        return _number(self.parameters[name]), _number(self.se.get(name, float("nan"))), interval

    def summary(self) -> str:
        """Fit and warnings, a line each."""
        errors = {"hessian": "from the information matrix", "cluster": "clustered", "bootstrap": "bootstrap"}
        said = f"{errors[self.standard_errors]}{f' over {self.clusters} clusters' if self.clusters else ''}"
        lines = [
            f"log-likelihood {self.loglik:.2f} (chance {self.null_loglik:.2f}), pseudo R2 {self.pseudo_r2:.3f}, "
            f"{100 * self.share_predicted:.1f} % predicted",
            f"{self.n:g} observations in {self.situations} situations"
            + (f"; standard errors {said}" if any(map(isfinite, self.se.values())) else ""),
        ]
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])

    def __str__(self) -> str:
        rows = [("parameter", "estimate", "se", f"{100 * self.level:g} % interval", "")]
        rows += [(name, *self.cells(name), self.remark(name)) for name in self.parameters]
        widths = [max(len(row[k]) for row in rows) for k in range(4)]
        head = f"{self.label}: {self.status}" if self.converged else f"{self.label}: NOT an ordinary estimate, {self.status}"
        body = [
            "  ".join([row[0].ljust(widths[0]), *(row[k].rjust(widths[k]) for k in (1, 2, 3)), row[4]]).rstrip() for row in rows
        ]
        return "\n".join([head, *body, self.summary()])


def _number(value: float) -> str:
    return f"{value:.4g}" if isfinite(value) else "-"
