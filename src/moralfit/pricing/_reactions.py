"""How a firm's price follows the prices of the period before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from moralfit.pricing._panel import Array, Run
from moralfit.pricing._statistics import Json, clustered_ols

#: From a firm's and its rivals' (periods,) prices to what is explained, (N,), and what explains it, (N, K).
_Columns = Callable[[Array, Array], tuple[Array, Array]]


def reactions(runs: Sequence[Run], periods: int) -> list[Json]:
    """A firm's price on its own and its rivals' mean price of the period before, by agent, over all periods.

    In levels with an effect for each firm of each run, as Fish et al. (2024) have it, and in first differences with a constant:
    levels are near a unit root, where the coefficient on the own price tells little. Standard errors are clustered by run.
    """
    found = []
    for agent, (form, columns) in product(dict.fromkeys(runs[0].agents), _FORMS.items()):
        y, x, clusters, effects = [], [], [], 0
        for place, run in enumerate(runs):
            for firm in run.firms(agent):
                rivals = [other for other in range(len(run.agents)) if other != firm]
                left, right = columns(run.prices[:periods, firm], run.prices[:periods, rivals].mean(axis=1))
                y.append(left)
                x.append(right)
                clusters.append(np.full(len(left), place))
                effects += form == "levels"
        own, rival = clustered_ols(np.concatenate(y), np.concatenate(x), np.concatenate(clusters), effects)[:2]
        head = {"pairing": runs[0].pairing, "agent": agent, "form": form, "runs": len(runs), "n": int(sum(map(len, y)))}
        found.append(head | {"own": own.as_json(), "rival": rival.as_json()})
    return found


def _levels(own: Array, rival: Array) -> tuple[Array, Array]:
    y, x = own[1:], np.column_stack((own[:-1], rival[:-1]))
    if not len(y):
        return y, x
    return y - y.mean(), x - x.mean(axis=0)


def _differences(own: Array, rival: Array) -> tuple[Array, Array]:
    y, x = np.diff(own), np.column_stack((np.diff(own), np.diff(rival)))
    return y[1:], np.column_stack((x[:-1], np.ones(max(0, len(x) - 1))))


_FORMS: dict[str, _Columns] = {"levels": _levels, "differences": _differences}
