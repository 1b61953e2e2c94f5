"""Roots and maxima of a polynomial in one probability, exact where they are simple fractions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

from moralfit.solve._quadratic import solve_linear


def stationary_points(value: Callable[[Fraction], Fraction], degree: int) -> list[Fraction]:
    """The points of [0, 1] where a polynomial of this degree may have a maximum: both ends and where its slope changes sign."""
    inner = [p for p in sign_changes(derivative(interpolated(value, degree))) if 0 < p < 1]
    return [Fraction(0), *inner, Fraction(1)]


def interpolated(value: Callable[[Fraction], Fraction], degree: int) -> list[Fraction]:
    """The coefficients, lowest power first, of a polynomial of at most this degree."""
    nodes = [Fraction(k, degree) for k in range(degree + 1)]
    coefficients = solve_linear([[*(p**k for k in range(degree + 1)), value(p)] for p in nodes])
    assert coefficients is not None  # a Vandermonde matrix of different nodes
    return coefficients


def derivative(polynomial: Sequence[Fraction]) -> list[Fraction]:
    """Of a polynomial, lowest power first."""
    return [k * coefficient for k, coefficient in enumerate(polynomial)][1:]


def sign_changes(polynomial: Sequence[Fraction]) -> list[Fraction]:
    """Where a polynomial, lowest power first, changes sign in [0, 1]: it does so at most once between turning points."""
    if len(polynomial) < 2:
        return []

    def at(p: Fraction) -> Fraction:
        return sum((coefficient * p**k for k, coefficient in enumerate(polynomial)), Fraction(0))

    found = []
    for low, high in pairwise([Fraction(0), *sign_changes(derivative(polynomial)), Fraction(1)]):
        if at(high) == 0:
            found.append(high)
        elif at(low) * at(high) < 0:
            for _ in range(64):
                middle = (low + high) / 2
                low, high = (middle, high) if at(low) * at(middle) > 0 else (low, middle)
            simple = high.limit_denominator(1_000_000)
            found.append(simple if at(simple) == 0 else high)
    return found
