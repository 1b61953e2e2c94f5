"""Random payoffs T > R > P > S on a grid, by the region that decides what universalisation asks for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Literal, TypeAlias, get_args

from moralfit.errors import GameError

#: Where T + S lies against 2R: *above*, taking turns at exploiting pays a pair more than mutual cooperation; *at*, the same
#: (kappa is not identified there); *below*, less.
Region: TypeAlias = Literal["above", "at", "below"]
REGIONS: tuple[Region, ...] = get_args(Region)


@dataclass(frozen=True)
class PayoffGrid:
    """The payoffs low, low + step, ..., up to high, in points.

    Raises:
        GameError: `low` is negative, `step` is not positive, or there are fewer than six grid points: with five, no payoffs
            have T + S > 2R.
    """

    low: int = 1
    high: int = 20
    step: int = 1

    def __post_init__(self) -> None:
        if self.step < 1 or self.low < 0 or self.points < 6:
            raise GameError(
                f"payoff grid {self.low}..{self.high} in steps of {self.step}: needs low >= 0, step >= 1 and six points"
            )

    @property
    def points(self) -> int:
        """Number of grid points."""
        return (self.high - self.low) // self.step + 1


def region(T: int, R: int, S: int) -> Region:
    """The region of these payoffs."""
    return "above" if T + S > 2 * R else "at" if T + S == 2 * R else "below"


@cache
def _at_pairs(points: int) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """Grid indices (R, S) for which T = 2R - S is on the grid, with how many P lie between: the weights of a uniform draw."""
    pairs = [(r, s) for r in range(2, points) for s in range(r - 1) if 2 * r - s < points]
    return tuple(pairs), tuple(r - s - 1 for r, s in pairs)


def sample_payoffs(rng: Random, grid: PayoffGrid, where: Region | None = None) -> tuple[int, int, int, int]:
    """(T, R, P, S), uniform over all quadruples of the grid with T > R > P > S that lie in region `where` (None: in any).

    Args:
        rng: Source of randomness; the draw is a function of its state.
        grid: Allowed payoffs. where: Sign of T + S - 2R.
    """
    if where == "at":
        pairs, weights = _at_pairs(grid.points)
        r, s = rng.choices(pairs, weights)[0]
        indices = (2 * r - s, r, rng.randrange(s + 1, r), s)
    else:
        while True:
            t, r, p, s = sorted(rng.sample(range(grid.points), 4), reverse=True)
            if where is None or region(t, r, s) == where:
                indices = (t, r, p, s)
                break
    T, R, P, S = (grid.low + grid.step * index for index in indices)
    return T, R, P, S
