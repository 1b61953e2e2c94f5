"""What a mixture found, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import numpy as np

from moralfit.estimate._choices import Array

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


@dataclass(frozen=True)
class Start:
    """How one start ended: log-likelihood, whether Newton's method converged, whether a type died out or separated."""

    loglik: float
    converged: bool
    degenerate: bool
    em_steps: int
    newton_steps: int


@dataclass(frozen=True, eq=False)
class Mixture:
    """K types, the largest first.

    Attributes:
        shares: (K,). share_se: Their standard errors, by the delta method.
        types: For each type its parameters, lambda (payoff points) included. se: Their standard errors.
        membership: (agents, K), posterior probabilities. agents: Their names.
        loglik: At the maximum. n: Observations. parameters: Number of free parameters, shares included.
        converged: Whether the best start is a proper maximum. starts: How every start ended, the best first.
        warnings: In words.
    """

    shares: Array
    share_se: Array
    types: tuple[Mapping[str, float], ...]
    se: tuple[Mapping[str, float], ...]
    membership: Array
    agents: tuple[str, ...]
    loglik: float
    n: float
    parameters: int
    converged: bool
    starts: tuple[Start, ...]
    warnings: tuple[str, ...] = ()

    @property
    def k(self) -> int:
        """Number of types."""
        return len(self.types)

    @property
    def bic(self) -> float:
        """k log(agents) - 2 loglik: agents, not choices, are the independent draws. NaN if not converged."""
        return self.parameters * log(len(self.agents)) - 2 * self.loglik if self.converged else float("nan")

    @property
    def aic(self) -> float:
        """2 k - 2 loglik; NaN if not converged."""
        return 2 * self.parameters - 2 * self.loglik if self.converged else float("nan")

    @property
    def entropy(self) -> float:
        """-sum of membership log membership over agents and types: zero if everyone's type is certain."""
        p = np.clip(self.membership, 1e-300, 1)
        return float(-(self.membership * np.log(p)).sum())

    @property
    def icl(self) -> float:
        """BIC plus twice the entropy: the integrated completed likelihood of Biernacki, Celeux and Govaert (2000)."""
        return self.bic + 2 * self.entropy

    def to_frame(self) -> pd.DataFrame:
        """One row for each type and parameter (its share is one): type, parameter, estimate, se, converged."""
        import pandas as pd

        rows = []
        for k, (values, errors) in enumerate(zip(self.types, self.se, strict=True)):
            named = {"share": (self.shares[k], self.share_se[k]), **{p: (v, errors[p]) for p, v in values.items()}}
            rows += [
                {"type": k + 1, "parameter": p, "estimate": v, "se": e, "converged": self.converged}
                for p, (v, e) in named.items()
            ]
        return pd.DataFrame(rows)

    def memberships(self) -> pd.DataFrame:
        """Posterior probabilities: a row for each agent, a column for each type, numbered from one."""
        import pandas as pd

        return pd.DataFrame(self.membership, index=list(self.agents), columns=range(1, self.k + 1))

    def table(self) -> Table:
        """A rich table with a column for each type."""
        from rich.table import Table

        table = Table(title=self._title(), caption=self._caption(), caption_justify="left")
        for k, row in enumerate(self._rows()):
            if k == 0:
                for name in row:
                    table.add_column(name, justify="right" if name else "left")
            else:
                table.add_row(*row)
        return table

    def __str__(self) -> str:
        rows = self._rows()
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        body = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([self._title(), *body, self._caption()])

    def _rows(self) -> list[tuple[str, ...]]:
        rows = [("", *(f"type {k + 1}" for k in range(self.k)))]
        rows.append(("share", *(f"{s:.3f} ({e:.3f})" for s, e in zip(self.shares, self.share_se, strict=True))))
        rows += [
            (name, *(f"{v[name]:.4g} ({e[name]:.2g})" for v, e in zip(self.types, self.se, strict=True)))
            for name in self.types[0]
        ]
        return rows

    def _title(self) -> str:
        return f"{self.k} types: {'converged' if self.converged else 'NOT CONVERGED'}"

    def _caption(self) -> str:
        again = sum(s.converged and not s.degenerate and s.loglik > self.loglik - 1e-4 for s in self.starts)
        lines = [
            f"log-likelihood {self.loglik:.2f}, BIC {self.bic:.2f}, ICL {self.icl:.2f}, {len(self.agents)} agents",
            f"{again} of {len(self.starts)} starts reached it",
        ]
        return "\n".join([*lines, *(f"warning: {w}" for w in self.warnings)])
