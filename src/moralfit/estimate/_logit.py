"""The conditional logit over cells: log-likelihood, gradient and Hessian in closed form, and Newton's method.

The probability of alternative a is exp(v_a) / sum_b exp(v_b) with v = X c + offset (McFadden 1974); that of a cell is the sum
over its members. For a cell m of situation s:

    log p = log sum_{a in m} exp(v_a) - log sum_{a in s} exp(v_a)
    gradient = E[x | m] - E[x | s],    Hessian = Var(x | m) - Var(x | s)

With cells of one alternative the first variance is zero and the log-likelihood concave; otherwise it need not be.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from moralfit.estimate._choices import Array, Choices, Indices

#: Twice the log-likelihood that Newton's method may leave: a step further changes an estimate by a millionth of its standard
#: error, and the last step, taken after this is reached, squares that.
TOLERANCE = 1e-12
#: Beyond this the utilities of two alternatives are so many noise scales apart that likelihoods are zero or one in doubles.
FARTHEST = 700.0


class Derivatives(NamedTuple):
    """The log-likelihood with its gradient (F,) and Hessian (F, F)."""

    value: float
    gradient: Array
    hessian: Array


class Logit:
    """A log-likelihood as a function of coefficients c, (F,).

    Args:
        choices: Situations and cells; counts are passed to the methods, so that mixtures and bootstraps share one object.
        features: (A, F), the columns whose coefficients are free. offset: (A,), what does not depend on them.
    """

    def __init__(self, choices: Choices, features: Array, offset: Array | None = None) -> None:
        self.starts: Indices = choices.situation_starts
        self.of_alternative: Indices = choices.situation_of_alternative
        self.of_cell: Indices = choices.situation_of_cell
        self.members: Indices = choices.cell_members
        self.cells: Indices = choices.cell_starts
        self.complete = choices.complete
        self.cell_of_member: Indices = np.repeat(
            np.arange(len(self.cells)), np.diff(self.cells, append=len(self.members)) if len(self.cells) else 0
        )
        # Only differences within a situation matter; means are taken out so that large payoffs cost no digits.
        sizes = np.diff(self.starts, append=len(features))
        self.x: Array = features - (np.add.reduceat(features, self.starts, axis=0) / sizes[:, None])[self.of_alternative]
        self.offset = np.zeros(len(features)) if offset is None else offset

    def restricted(self, basis: Array) -> Logit:
        """The log-likelihood as a function of z, (k,), where c = basis z."""
        found = copy(self)
        found.x = self.x @ basis
        return found

    def utilities(self, c: Array) -> Array:
        """(A,), in units of the noise scale."""
        return np.asarray(self.x @ c + self.offset)

    def _probabilities(self, v: Array) -> tuple[Array, Array]:
        """(A,) choice probabilities and (S,) logs of their denominators."""
        top = np.maximum.reduceat(v, self.starts)
        weights = np.exp(v - top[self.of_alternative])
        total = np.add.reduceat(weights, self.starts)
        return weights / total[self.of_alternative], top + np.log(total)

    def _inner(self, v: Array) -> tuple[Array, Array]:
        """(M,) probabilities of members given their cell, and (C,) logs of their denominators."""
        inside = v[self.members]
        if self.complete:
            return np.ones_like(inside), inside
        top = np.maximum.reduceat(inside, self.cells)
        weights = np.exp(inside - top[self.cell_of_member])
        total = np.add.reduceat(weights, self.cells)
        return weights / total[self.cell_of_member], top + np.log(total)

    def probabilities(self, c: Array) -> Array:
        """(A,), the probability of every alternative in its situation."""
        return self._probabilities(self.utilities(c))[0]

    def log_cells(self, c: Array) -> Array:
        """(C,), the log-probability of every cell."""
        v = self.utilities(c)
        return self._inner(v)[1] - self._probabilities(v)[1][self.of_cell]

    def scores(self, c: Array) -> Array:
        """(C, F), the gradient of every cell's log-probability."""
        v = self.utilities(c)
        p, q = self._probabilities(v)[0], self._inner(v)[0]
        inside = np.add.reduceat(q[:, None] * self.x[self.members], self.cells, axis=0)
        return np.asarray(inside - np.add.reduceat(p[:, None] * self.x, self.starts, axis=0)[self.of_cell])

    def derivatives(self, c: Array, weights: Array) -> Derivatives:
        """Log-likelihood, gradient and Hessian of counts `weights`, (C,)."""
        v = self.utilities(c)
        p, below = self._probabilities(v)
        q, above = self._inner(v)
        value = float(weights @ (above - below[self.of_cell]))
        faced = np.bincount(self.of_cell, weights, len(self.starts))
        w_all = faced[self.of_alternative] * p
        w_in = weights[self.cell_of_member] * q
        x_in = self.x[self.members]
        gradient = w_in @ x_in - w_all @ self.x
        mean = np.add.reduceat(p[:, None] * self.x, self.starts, axis=0)
        hessian = (faced[:, None] * mean).T @ mean - (w_all[:, None] * self.x).T @ self.x
        if not self.complete:
            inner = np.add.reduceat(q[:, None] * x_in, self.cells, axis=0)
            hessian += (w_in[:, None] * x_in).T @ x_in - (weights[:, None] * inner).T @ inner
        return Derivatives(value, gradient, hessian)

    def plan_information(self, c: Array, weights: Array) -> tuple[Array, Array, Array]:
        """The information about c if every choice were a complete alternative.

        Returns:
            (F, F) the information; (A,) how often each alternative is expected; (A, F) its features less their mean.
        """
        p = self._probabilities(self.utilities(c))[0]
        mean = np.add.reduceat(p[:, None] * self.x, self.starts, axis=0)
        away = self.x - mean[self.of_alternative]
        expected = np.bincount(self.of_cell, weights, len(self.starts))[self.of_alternative] * p
        return (expected[:, None] * away).T @ away, expected, away


@dataclass(frozen=True)
class Maximum:
    """Where Newton's method stopped. `converged`: the gradient is zero to rounding error and curvature negative."""

    c: Array
    value: float
    gradient: Array
    hessian: Array
    converged: bool
    iterations: int


def maximise(logit: Logit, weights: Array, start: Array | None = None, limit: int = 100) -> Maximum:
    """Newton's method with halving steps; directions of wrong curvature are turned round, so that it climbs anywhere.

    Columns should be of similar size: see :func:`scaled`.
    """
    c = np.zeros(logit.x.shape[1]) if start is None else np.array(start, dtype=np.float64)
    at = logit.derivatives(c, weights)
    if not len(c):
        return Maximum(c, at.value, at.gradient, at.hessian, True, 0)
    for iteration in range(limit):
        curvature, axes = np.linalg.eigh(-at.hessian)
        largest = float(np.abs(curvature).max(initial=0.0))
        if largest == 0 or not np.isfinite(largest):
            return Maximum(c, at.value, at.gradient, at.hessian, False, iteration)
        safe = np.maximum(np.abs(curvature), 1e-12 * largest)
        step = axes @ ((axes.T @ at.gradient) / safe)
        gain = float(at.gradient @ step)
        if gain < TOLERANCE and curvature[0] > 0:
            polished = logit.derivatives(c + step, weights)
            if polished.value >= at.value:
                c, at = c + step, polished
            return Maximum(c, at.value, at.gradient, at.hessian, True, iteration)
        length = 1.0
        reach = float(np.abs(logit.x @ step).max())
        if reach > 50:  # far away everything is flat: better not to jump there
            length = 50 / reach
        while True:
            after = logit.derivatives(c + length * step, weights)
            if after.value >= at.value + 1e-4 * length * gain:
                break
            length /= 2
            if length < 1e-10:
                # No step climbs: either rounding error is reached or the curvature is wrong.
                done = gain < 1e-6 and bool(curvature[0] > 0)
                return Maximum(c, at.value, at.gradient, at.hessian, done, iteration)
        c, at = c + length * step, after
        if float(np.abs(logit.x @ c).max()) > FARTHEST:
            break
    return Maximum(c, at.value, at.gradient, at.hessian, False, limit)


def search(logit: Logit, weights: Array, start: Array | None = None, starts: int = 4, seed: int = 0) -> Maximum:
    """The highest of the maxima from several starts; one start where the log-likelihood is concave."""
    best = maximise(logit, weights, start)
    if logit.complete:
        return best
    rng = np.random.default_rng(seed)
    origins = rng.normal(size=(starts, logit.x.shape[1]))
    origins[0] = 0
    for origin in origins:
        found = maximise(logit, weights, origin)
        if (found.converged, found.value) > (best.converged, best.value + 1e-9):
            best = found
    return best


def scaled(features: Array, starts: Indices, of_alternative: Indices) -> Array:
    """(F,), the size of each column's differences within situations; one for a column without any."""
    sizes = np.diff(starts, append=len(features))
    away = features - (np.add.reduceat(features, starts, axis=0) / sizes[:, None])[of_alternative]
    size = np.sqrt((away**2).mean(axis=0))
    # What is left of equal numbers after taking out their mean is rounding error.
    return np.where(size > 1e-12 * (1 + np.abs(features).max(axis=0, initial=0.0)), size, 1.0)
