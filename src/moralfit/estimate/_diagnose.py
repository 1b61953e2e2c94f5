"""Why a maximum-likelihood estimate may not exist or not be unique, and what can be said all the same.

*Separation* (Albert and Anderson 1984): some change of the coefficients never makes an observed choice less likely and makes
one more likely, so that the likelihood rises for ever; a deterministic agent does that. *No identification*: some change of
the coefficients leaves every choice probability as it is. Both are decided exactly, by a linear programme and by a rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

import numpy as np

from moralfit.estimate._choices import Array, Choices
from moralfit.estimate._logit import Logit
from moralfit.estimate._model import LAMBDA, Reduced

#: Relative size below which a singular value, or a difference of utilities, is rounding error.
RANK_TOLERANCE = 1e-9
#: Ratio of extreme eigenvalues of the correlations between coefficients beyond which they are hard to tell apart.
WEAK = 1e4

#: A set of preferences narrower than this is one value: the linear programmes are solved to about 1e-8.
_POINT = 1e-6
_MOST_DIGITS = 9

#: Newton's method stops on a flat likelihood only where utilities lie this many noise scales from their mean, or more.
SHARP = 10.0


def null_space(logit: Logit) -> Array:
    """(F, k), coefficient changes that leave every utility difference as it is; k = 0 where the situations identify all."""
    if not logit.x.shape[1]:
        return np.zeros((0, 0))
    _, singular, rows = np.linalg.svd(np.linalg.qr(logit.x, mode="r"), full_matrices=True)
    rank = int((singular > RANK_TOLERANCE * max(float(singular.max(initial=0.0)), 1e-300)).sum())
    found = np.asarray(rows[rank:].T)
    found[np.abs(found) < 1e-7] = 0
    return found


def contrasts(logit: Logit, weights: Array, columns: Array, toward: Array | None = None) -> Array:
    """(rows, columns), chosen less unchosen alternatives, distinct, for every cell that was observed.

    Args:
        columns: (A, k). toward: (F,), coefficients; in a cell of several members the one that they like best stands for it.
    """
    observed = np.flatnonzero(weights > 0)
    ends = np.append(logit.cells[1:], len(logit.members))
    if logit.complete:
        best = logit.members[logit.cells[observed]]
    else:
        v = logit.utilities(toward) if toward is not None else np.zeros(len(columns))
        inside = [logit.members[logit.cells[cell] : ends[cell]] for cell in observed]
        best = np.array([members[np.argmax(v[members])] for members in inside], dtype=np.intp)
    sizes = np.diff(logit.starts, append=len(columns))[logit.of_cell[observed]]
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rivals = np.repeat(logit.starts[logit.of_cell[observed]], sizes) + within
    rows = columns[np.repeat(best, sizes)] - columns[rivals]
    if not logit.complete:
        # The other members of a cell are no rivals: they count as the same answer.
        codes = logit.cell_of_member * len(columns) + logit.members
        rows = rows[~np.isin(np.repeat(observed, sizes) * len(columns) + rivals, codes)]
    rows = rows[np.abs(rows).max(axis=1, initial=0.0) > RANK_TOLERANCE]
    return np.unique(np.round(rows, 12), axis=0)


def recession(logit: Logit, weights: Array, toward: Array | None = None) -> Array | None:
    """A direction along which the likelihood rises for ever, or None.

    For complete plans this is exact: it maximises the sum of D d over |d| <= 1 subject to D d >= 0, D being chosen less
    unchosen features. For other cells it asks about the members that `toward` likes best, and whether going there really costs
    nothing.
    """
    from scipy.optimize import linprog

    rows = contrasts(logit, weights, logit.x, toward)
    if not rows.size:
        return None
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    # A direction that improves nothing may be any multiple of a null vector: only the objective decides.
    solved = linprog(-rows.sum(axis=0), A_ub=-rows, b_ub=np.zeros(len(rows)), bounds=(-1, 1), method="highs")
    if solved.x is None or solved.fun is None or solved.fun > -1e-6:
        return None
    d = np.asarray(solved.x, dtype=np.float64)
    if logit.complete:
        return d
    origin = np.zeros_like(d) if toward is None else toward
    far = 200 / float(np.abs(logit.x @ d).max())
    here, there = (float(weights @ logit.log_cells(c)) for c in (origin, origin + far * d))
    return d if there >= here - 1e-9 else None


def runs_away(logit: Logit, weights: Array, c: Array) -> bool:
    """Whether a numerical maximum at c is really separation: asked only of fits so sharp that it is possible."""
    return float(np.abs(logit.x @ c).max()) > SHARP and recession(logit, weights, c) is not None


def penalised(reduced: Reduced, weights: Array) -> Array | None:
    """(F,), coefficients that maximise the log-likelihood plus half the log determinant of the plan information.

    This is the posterior mode under Jeffreys' prior (Firth 1993). It is finite under separation and takes away the first-order
    bias; unlike a ridge it needs no constant to be chosen and gives the same alpha, beta and kappa in whatever unit payoffs are
    measured. Heinze and Schemper (2002) recommend it for separation. Where only single decisions were observed, the
    determinant is still that of complete plans, which keeps it smooth.
    """
    from scipy.optimize import minimize

    logit = reduced.logit
    size = logit.x.shape[1]

    def negative(c: Array) -> tuple[float, Array]:
        at = logit.derivatives(c, weights)
        information, expected, away = logit.plan_information(c, weights)
        sign, log_determinant = np.linalg.slogdet(information)
        if sign <= 0 or not np.isfinite(log_determinant):
            return inf, np.zeros(size)
        leverage = np.einsum("ai,ij,aj->a", away, np.linalg.inv(information), away)
        gradient = at.gradient + 0.5 * (expected * leverage) @ away
        return -(at.value + 0.5 * log_determinant), -gradient

    solved = minimize(negative, np.zeros(size), jac=True, method="BFGS", options={"gtol": 1e-6})
    c = np.asarray(solved.x, dtype=np.float64)
    value, gradient = negative(c)
    return c if np.isfinite(value) and float(np.abs(gradient).max()) < 1e-3 else None


@dataclass(frozen=True)
class Region:
    """The preferences for which every observed choice was optimal: a polytope, described by its extent in each parameter.

    Attributes:
        limits: Lowest and highest value of each free parameter while the others vary; infinite where the search box ends.
        box: Where was searched. example: One preference inside, as far from the edges as any (None if there was no margin).
    """

    limits: Mapping[str, tuple[float, float]]
    box: Mapping[str, tuple[float, float]]
    example: Mapping[str, float] | None

    def __str__(self) -> str:
        return ", ".join(
            f"{name} = {low:.3g}" if is_point(low, high) else f"{name} in [{', '.join(ends(low, high))}]"
            for name, (low, high) in self.limits.items()
        )


def is_point(low: float | None, high: float | None) -> bool:
    """Whether the set that explains every choice is one value.

    Homo kantiensis leaves such a set: what it does where own play never leads is best only if nothing but that play counts.
    """
    return low is not None and high is not None and high - low < _POINT


def ends(low: float, high: float, form: str = "g", digits: int = 3) -> tuple[str, str]:
    """Both ends of a set with this many digits, or as many as it takes to tell them apart."""
    while (found := (f"{low:.{digits}{form}}", f"{high:.{digits}{form}}"))[0] == found[1] and digits < _MOST_DIGITS:
        digits += 1
    return found


def rationalising(
    choices: Choices,
    weights: Array,
    fixed: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
    widest: float = 10.0,
) -> Region | None:
    """The identified set of a deterministic agent: utility is linear in the parameters, so optimality is linear inequalities.

    A single decision asks only that some plan with that answer was optimal, which adds one integer variable for each plan.
    Kappa is searched in [0, 1], other parameters within +-`widest`, `bounds` permitting.

    Returns:
        None if no preference makes all observed choices optimal, or the search was cut off after ten seconds.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    names = [name for name in choices.parameters if name not in fixed]
    if not names:
        return None
    base = choices.features[:, 0].copy()
    for name, value in fixed.items():
        if name != LAMBDA:
            base += value * choices.features[:, choices.names.index(name)]
    unit = max(float(np.abs(base - base.mean()).max()), 1e-300)
    columns = np.column_stack([base, *(choices.features[:, choices.names.index(name)] for name in names)]) / unit
    box = {name: bounds.get(name, (0.0, 1.0) if name == "kappa" else (-inf, inf)) for name in names}
    box = {name: (max(low, -widest), min(high, widest)) for name, (low, high) in box.items()}
    ends = np.append(choices.cell_starts[1:], len(choices.cell_members))
    rows, several = [], []
    for cell in np.flatnonzero(weights > 0):
        members = choices.cell_members[choices.cell_starts[cell] : ends[cell]]
        inside = np.flatnonzero(choices.situation_of_alternative == choices.situation_of_cell[cell])
        others = np.setdiff1d(inside, members)
        if len(members) == 1:
            rows.append(columns[members[0]] - columns[others])
        else:
            several.append([columns[m] - columns[others] for m in members])
    # Variables: parameters, the margin by which choices are optimal, and one indicator for each member of each larger cell.
    count, indicators = len(names), sum(map(len, several))
    plain = np.unique(np.round(np.concatenate(rows), 12), axis=0) if rows else np.zeros((0, count + 1))
    left = [np.column_stack([plain[:, 1:], np.zeros((len(plain), 1 + indicators))])]
    right = [-plain[:, 0]]
    reach = np.array([1.0, *(max(abs(low), abs(high)) for low, high in box.values())])
    place = count + 1
    for cell_members in several:
        one = np.zeros((1, count + 1 + indicators))
        for block in cell_members:
            big = np.abs(block) @ reach
            lines = np.column_stack([block[:, 1:], np.zeros((len(block), 1 + indicators))])
            lines[:, place] = -big
            left.append(lines)
            right.append(-block[:, 0] - big)
            one[0, place] = 1
            place += 1
        left.append(one)
        right.append(np.ones(1))
    matrix, lower = np.concatenate(left), np.concatenate(right)
    integrality = np.r_[np.zeros(count + 1), np.ones(indicators)]
    low = np.r_[[b[0] for b in box.values()], 0.0, np.zeros(indicators)]
    high = np.r_[[b[1] for b in box.values()], 1.0, np.ones(indicators)]

    def extreme(objective: Array, constraint: Array) -> Array | None:
        solved = milp(
            objective,
            constraints=LinearConstraint(constraint, lower - 1e-9, np.inf),
            integrality=integrality,
            bounds=Bounds(low, high),
            options={"time_limit": 10.0 / (2 * count + 1)},
        )
        return None if solved.x is None or solved.status != 0 else np.asarray(solved.x, dtype=np.float64)

    limits = {}
    for k, name in enumerate(names):
        objective = np.zeros(count + 1 + indicators)
        objective[k] = 1
        lowest, highest = extreme(objective, matrix), extreme(-objective, matrix)
        if lowest is None or highest is None:
            return None
        edge = bounds.get(name, (0.0, 1.0) if name == "kappa" else (-inf, inf))
        limits[name] = (
            edge[0] if lowest[k] <= low[k] + 1e-9 else round(float(lowest[k]), 8) + 0.0,
            edge[1] if highest[k] >= high[k] - 1e-9 else round(float(highest[k]), 8) + 0.0,
        )
    with_margin = matrix.copy()
    with_margin[:, count] = np.where(np.abs(matrix[:, :count]).max(axis=1) > 0, -1.0, 0.0)
    objective = np.zeros(count + 1 + indicators)
    objective[count] = -1
    middle = extreme(objective, with_margin)
    margin = middle is not None and middle[count] > 1e-9
    example = {name: float(middle[k]) for k, name in enumerate(names)} if margin and middle is not None else None
    return Region(limits, box, example)


def weakness(covariance: Array, free: tuple[str, ...]) -> str | None:
    """A warning where coefficients can hardly be told apart, naming them, or None."""
    size = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(size, size))
    if len(free) < 2 or values[-1] < WEAK * max(float(values[0]), 1e-300):
        return None
    guilty = [name for name, part in zip(free, np.abs(vectors[:, -1]), strict=True) if part > 0.3]
    return (
        f"weakly identified: {' and '.join(guilty)} move together (condition {values[-1] / max(values[0], 1e-300):.0e}); "
        "fix one of them or vary payoffs and beliefs more"
    )
