"""Closed forms for public goods: what homo economicus, homo moralis and homo kantiensis give. Derivations are ours."""

from __future__ import annotations

from fractions import Fraction

from moralfit.errors import GameError
from moralfit.games import Number, Strategy, exact


def linear_public_good_threshold(players: int, kept: Number, shared: Number) -> Fraction:
    """The kappa from which homo moralis gives all in :func:`moralfit.games.linear_public_good`; below it gives nothing.

    A given token costs `kept`, pays `shared` to oneself, and `players x shared` to each if everyone gives one:
    `(1 - kappa) (shared - kept) + kappa (players shared - kept) >= 0`, so that with the marginal per-capita return
    m = shared / kept the threshold is `(1 / m - 1) / (players - 1)`. It depends on no belief: payoffs are linear in the total.

    Raises:
        GameError: Not shared < kept < players x shared.
    """
    m = exact(shared, "shared") / exact(kept, "kept")
    if not 1 < 1 / m < players:
        raise GameError(f"needs shared < kept < players x shared, got shared = {shared}, kept = {kept}, players = {players}")
    return (1 / m - 1) / (players - 1)


def concave_public_good_contribution(r: Number, kappa: Number) -> Fraction:
    """Contribution x* per player in the symmetric equilibrium of homo moralis, on the continuum x >= 0.

    Payoff is `pi(x, y) = r (x + y) - r (x + y)^2 / 2 - x`. Utility `(1 - kappa) pi(x, y) + kappa pi(x, x)` is concave in x with
    slope `(1 - kappa) (r - r (x + y) - 1) + kappa (2 r - 4 r x - 1)`, which at y = x is `r (1 + kappa) (1 - 2 x) - 1`. So

        x* = 1/2 - 1 / (2 r (1 + kappa))       if r (1 + kappa) > 1, else 0

    Homo economicus: 1/2 - 1/(2 r). Homo kantiensis, who maximises pi(x, x) whatever it believes: 1/2 - 1/(4 r).

    Raises:
        GameError: r is not above zero, or kappa lies outside [0, 1].
    """
    rate, weight = exact(r, "r"), exact(kappa, "kappa")
    if rate <= 0 or not 0 <= weight <= 1:
        raise GameError(f"needs r > 0 and kappa between 0 and 1, got r = {r}, kappa = {kappa}")
    return max(Fraction(0), Fraction(1, 2) - 1 / (2 * rate * (1 + weight)))


def concave_public_good_equilibrium(r: Number, kappa: Number, top: int, tokens: int) -> Strategy:
    """The same on the grid x = 0, h, ..., top h with h = 1 / tokens: a strategy of :func:`moralfit.games.concave_public_good`.

    Between two neighbours x and x + h let a player give the larger with probability q and the mean be m = x + q h. Variance
    q (1 - q) h^2 costs r / 2 for each unit in actual play and r if everyone mixes alike, (1 + kappa) r / 2 in all, so that the
    slope in q is `2 r (1 + kappa) h (x* - m) - (1 + kappa) r h^2 (1 - 2 q) / 2`. It is zero at

        q = 2 (x* - x) / h - 1/2

    A grid point is therefore an equilibrium iff it is within h / 4 of x*, whatever kappa; elsewhere the two neighbours of x*
    are mixed. At kappa = 1 this is the universal optimum, which no belief changes.

    Raises:
        GameError: As :func:`concave_public_good_contribution`.
    """
    steps = concave_public_good_contribution(r, kappa) * tokens
    low = int(steps)
    q = min(Fraction(1), max(Fraction(0), 2 * (steps - low) - Fraction(1, 2)))
    shares = [Fraction(0)] * (top + 1)
    for level, share in ((low, 1 - q), (low + 1, q)):
        shares[min(level, top)] += share
    return (tuple(shares),)
