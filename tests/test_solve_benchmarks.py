"""Closed forms for the transfer games, each derived in its test, against the solver."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from moralfit.errors import GameError
from moralfit.games import (
    centipede,
    chicken,
    concave_public_good,
    dictator_game,
    gift_exchange,
    linear_public_good,
    prisoners_dilemma,
    stag_hunt,
    trust_amounts,
    ultimatum_amounts,
)
from moralfit.preferences import HomoEconomicus, HomoMoralis, SocialPreferences
from moralfit.solve import (
    assumed_belief,
    concave_public_good_contribution,
    concave_public_good_equilibrium,
    equilibrium_strategies,
    linear_public_good_threshold,
    optimal_strategies,
    solve,
    subgame_perfect,
)

JUST = Fraction(1, 1000)


@pytest.mark.parametrize(("T", "R", "P", "S"), [(9, 7, 4, 1), (12, 10, 6, 2), (10, 8, 6, 1)])
@pytest.mark.parametrize("belief", [0, Fraction(1, 3), 1])
def test_prisoners_dilemma_threshold(T: int, R: int, P: int, S: int, belief: Fraction) -> None:
    """Where S + T <= R + P, u is convex in the probability of C, so that C or D is optimal.

    C loses g = belief (T - R) + (1 - belief) (P - S) in actual play and wins R - P if universal: C iff
    kappa >= g / (g + R - P).
    """
    assert S + T <= R + P
    game = prisoners_dilemma(T, R, P, S)
    loss = belief * (T - R) + (1 - belief) * (P - S)
    threshold = Fraction(loss) / (loss + R - P)
    assert solve(game, HomoMoralis(threshold - JUST), belief).actions(0) == ("D",)
    assert optimal_strategies(game, HomoMoralis(threshold), belief) == (((1, 0),), ((0, 1),))
    assert solve(game, HomoMoralis(threshold + JUST), belief).actions(0) == ("C",)


def test_prisoners_dilemma_with_gains_from_taking_turns_is_mixed() -> None:
    """S + T > R + P: with everyone at p, slope (1 - kappa) (-(T - R)) + kappa (2R - S - T) at p = 1 decides on pure C."""
    T, R, P, S = 10, 7, 2, 1
    game = prisoners_dilemma(T, R, P, S)
    threshold = Fraction(T - R, (T - R) + (2 * R - S - T))
    assert solve(game, HomoMoralis(threshold + JUST), 1).strategies == (((1, 0),),)
    below = solve(game, HomoMoralis(threshold - JUST), 1)
    assert below.mixed
    assert below.actions(0) == ("C", "D")
    assert 1 - below.strategies[0][0][0] < Fraction(1, 50)


@pytest.mark.parametrize(("T", "R", "P", "S"), [(6, 9, 5, 1), (5, 9, 5, 2)])
@pytest.mark.parametrize("belief", [0, Fraction(1, 4), 1])
def test_stag_hunt_threshold(T: int, R: int, P: int, S: int, belief: Fraction) -> None:
    """R + P > T + S, so that u is convex: stag iff (1 - kappa) (belief (R - T) - (1 - belief) (P - S)) + kappa (R - P) >= 0."""
    game = stag_hunt(T, R, P, S)
    loss = (1 - belief) * (P - S) - belief * (R - T)
    if loss <= 0:
        assert solve(game, HomoEconomicus(), belief).actions(0) == ("stag",)
        return
    threshold = Fraction(loss) / (loss + R - P)
    assert solve(game, HomoMoralis(threshold - JUST), belief).actions(0) == ("hare",)
    assert solve(game, HomoMoralis(threshold + JUST), belief).actions(0) == ("stag",)
    # By convention others hunt stag too, whatever kappa: the better equilibrium.
    assert solve(game, HomoEconomicus()).actions(0) == ("stag",)


@pytest.mark.parametrize(("T", "R", "S", "P"), [(7, 3, 1, 0), (20, 10, 9, 1), (12, 10, 3, 1)])
@pytest.mark.parametrize("kappa", [0, Fraction(1, 5), Fraction(1, 2), 1])
def test_chicken(T: int, R: int, S: int, P: int, kappa: Fraction) -> None:
    """With c = S + T - R - P > 0, slope at a common p: (1 - kappa) (S - P - c p) + kappa (S + T - 2P - 2 c p), so that

    p = ((1 - kappa) (S - P) + kappa (S + T - 2P)) / ((1 + kappa) c), at most 1, is the only symmetric equilibrium.
    """
    game = chicken(T, R, P, S)
    c = S + T - R - P
    p = min(Fraction(1), ((1 - kappa) * (S - P) + kappa * (S + T - 2 * P)) / Fraction((1 + kappa) * c))
    assert equilibrium_strategies(game, HomoMoralis(kappa)) == (((p, 1 - p),),)
    solution = solve(game, HomoMoralis(kappa))
    assert solution.actions(0) == (("swerve", "straight") if p < 1 else ("swerve",))
    if kappa:
        assert solution.strategies == (((p, 1 - p),),)
        assert solution.mixed == (p < 1)
    if kappa == 1:
        assert solve(game, HomoMoralis(1), 0.3).strategies == (((p, 1 - p),),)


@pytest.mark.parametrize(("beta", "given"), [(0, {"0"}), (0.4, {"0"}), (0.5, {"0", "2", "4"}), (0.6, {"4"}), (0.9, {"4"})])
def test_dictator_of_fehr_and_schmidt(beta: float, given: set[str]) -> None:
    """Giving g <= half changes utility by -1 + 2 beta a point; more than half is behindness as well."""
    game = dictator_game(8, 2)
    assert set(solve(game, SocialPreferences(0.7, beta), game.uniform).actions(0)) == given
    # Universalised, giving only moves points between roles.
    assert solve(game, HomoMoralis(1)).actions(0) == ("0", "2", "4", "6", "8")
    assert solve(game, HomoMoralis(0.9)).actions(0) == ("0",)


@pytest.mark.parametrize("alpha", [0, 0.2, Fraction(1, 3), 0.5, 1, 3])
def test_envious_responder_accepts_from_an_offer_on(alpha: float) -> None:
    """Accepting s of a pie X is worth s - alpha (X - 2 s) against 0: from s = alpha X / (1 + 2 alpha) on."""
    game = ultimatum_amounts(10, 1, 5)
    preference = SocialPreferences(alpha=alpha)
    least = 10 * preference.alpha / (1 + 2 * preference.alpha)
    solution = solve(game, preference, game.uniform)
    for number, information in enumerate(game.information_sets[1:], start=1):
        offer = int(information.name.split()[1])
        expected = ("accept",) if offer > least else ("reject",) if offer < least else ("accept", "reject")
        assert solution.actions(number) == expected
    if 10 * preference.alpha % (1 + 2 * preference.alpha):
        ((offered, *_),) = subgame_perfect(game, preference)
        assert int(offered) == int(least) + 1


@pytest.mark.parametrize("factor", [3, 4])
def test_trust_amounts(factor: int) -> None:
    """Homo economicus sends nothing back and nothing; homo kantiensis sends all, and what goes back is a transfer."""
    game = trust_amounts(4, 2, factor)
    assert subgame_perfect(game) == (("0", "0", "0"),)
    kantian = solve(game, HomoMoralis(1))
    assert kantian.actions(0) == ("4",)
    assert kantian.actions(1) == ("0", "2", "4")
    # A trustee with beta > 1/2 evens out: 2 s back at factor 3 leaves both alike.
    if factor == 3:
        assert solve(game, SocialPreferences(beta=0.6), game.uniform).supports[1:] == (("4",), ("8",))


def test_gift_exchange() -> None:
    """Nothing for nothing at kappa = 0. Universalised, effort e is worth value e - cost e (e - 1) / 2: marginal 5 - (e - 1)."""
    game = gift_exchange(value=5, cost=1)
    assert subgame_perfect(game) == (("0", "1", "1", "1"),)
    assert solve(game, HomoMoralis(1)).supports[1:] == (("3",),) * 3
    dear = gift_exchange(value=5, cost=4)  # the third unit costs 8 and brings 5
    assert solve(dear, HomoMoralis(1)).supports[1:] == (("2",),) * 3
    # Others pay each wage with 1/3, oneself none: after 0 a second unit iff (1 - kappa) 4 / 3 <= kappa (5 - 4).
    for kappa, effort in ((Fraction(4, 7) - JUST, "1"), (Fraction(4, 7) + JUST, "2")):
        assert solve(dear, HomoMoralis(kappa), dear.uniform).supports == (("0",), (effort,), ("1",), ("1",))


def test_centipede() -> None:
    game = centipede(4, 4, 1, 2)
    assert subgame_perfect(game) == (("take",) * 4,)
    assert solve(game, HomoEconomicus()).strategies == (game.strategy(("take",) * 4),)
    assert solve(game, HomoMoralis(1)).supports == (("pass",),) * 4
    # Last move, sure to be reached: take gives 32 - 16 more to oneself, pass 80 - 40 more to both.
    waiting = ("pass", "pass", "pass", "pass")
    threshold = Fraction(16, 16 + 40)
    assert solve(game, HomoMoralis(threshold - JUST), waiting).actions(3) == ("take",)
    assert solve(game, HomoMoralis(threshold + JUST), waiting).actions(3) == ("pass",)


@pytest.mark.parametrize(("players", "kept", "shared"), [(2, 3, 2), (3, 3, 2), (3, 5, 2), (4, 3, 1)])
@pytest.mark.parametrize("tokens", [1, 2])
def test_linear_public_good(players: int, kept: int, shared: int, tokens: int) -> None:
    threshold = linear_public_good_threshold(players, kept, shared)
    game = linear_public_good(players, tokens, kept, shared)
    everything, nothing = (str(tokens),), ("0",)
    for belief in (0.3 if tokens == 1 else [(0.5, 0.25, 0.25)], None):
        assert solve(game, HomoMoralis(threshold + JUST), belief).actions(0) == everything
        assert solve(game, HomoMoralis(threshold - JUST), belief).actions(0) == nothing
    assert len(solve(game, HomoMoralis(threshold), [(1,) + (0,) * tokens]).actions(0)) == tokens + 1
    with pytest.raises(GameError, match="needs shared < kept < players x shared"):
        linear_public_good_threshold(players, kept, kept)


@pytest.mark.parametrize("kappa", [0, Fraction(1, 10), Fraction(1, 4), Fraction(2, 3), 1])
@pytest.mark.parametrize("r", [2, 3, Fraction(7, 2)])
def test_concave_public_good_on_the_continuum(r: Fraction, kappa: Fraction) -> None:
    """No deviation on a fine grid beats x* when the other gives x*, and x* +- 1 % is no such point."""
    x = np.linspace(0, 1, 20_001)

    def gain(at: float) -> float:
        def payoff(own: np.ndarray, other: np.ndarray | float) -> np.ndarray:
            return float(r) * (own + other) - float(r) * (own + other) ** 2 / 2 - own

        k = float(kappa)
        own = np.array([at])
        here = ((1 - k) * payoff(own, at) + k * payoff(own, own))[0]
        return float(((1 - k) * payoff(x, at) + k * payoff(x, x)).max() - here)

    best = float(concave_public_good_contribution(r, kappa))
    assert 0 < best < 1
    assert gain(best) < 1e-8
    assert min(gain(best + 0.01), gain(best - 0.01)) > 1e-6


def test_concave_public_good_corners() -> None:
    assert concave_public_good_contribution(2, 0) == Fraction(1, 4)
    assert concave_public_good_contribution(2, 1) == Fraction(3, 8)
    assert concave_public_good_contribution(1, 0) == 0
    assert concave_public_good_contribution(Fraction(1, 2), 0.5) == 0
    assert concave_public_good_contribution(Fraction(3, 4), 1) == Fraction(1, 6)
    for r, kappa in ((0, 0), (2, 1.5)):
        with pytest.raises(GameError, match="needs r > 0 and kappa between 0 and 1"):
            concave_public_good_contribution(r, kappa)


@pytest.mark.parametrize("kappa", [0, Fraction(1, 7), Fraction(1, 2), 1])
@pytest.mark.parametrize(("r", "top", "tokens"), [(2, 4, 4), (3, 3, 4), (4, 2, 3), (2, 6, 12), (2, 1, 4), (3, 1, 4), (1, 2, 2)])
def test_concave_public_good_on_the_grid(r: int, top: int, tokens: int, kappa: Fraction) -> None:
    expected = concave_public_good_equilibrium(r, kappa, top, tokens)
    game = concave_public_good(r, top, tokens)
    # At kappa = 1 whatever the belief; elsewhere the only symmetric equilibrium.
    if kappa == 1:
        assert optimal_strategies(game, HomoMoralis(1), [(1,) + (0,) * top]) == (expected,)
    assert assumed_belief(game, HomoMoralis(Fraction(999, 1000) if kappa == 1 else kappa)) is not None
    if kappa < 1:
        assert equilibrium_strategies(game, HomoMoralis(kappa)) == (expected,)


@pytest.mark.parametrize("tokens", [40, 97])
def test_concave_public_good_on_a_fine_grid(tokens: int) -> None:
    """All mixtures of two neighbours, in steps of 1/200, at kappa = 1: none beats the closed form."""
    r, h = 3.0, 1 / tokens

    def everyone(low: int, q: np.ndarray) -> np.ndarray:
        shares, levels = np.stack([1 - q, q]), np.array([low, low + 1]) * h
        mean, square = shares.T @ levels, shares.T @ levels**2
        return 2 * r * mean - r / 2 * (2 * square + 2 * mean**2) - mean

    best = max(everyone(low, np.linspace(0, 1, 201)).max() for low in range(tokens))
    (shares,) = concave_public_good_equilibrium(3, 1, tokens, tokens)
    (low, high) = next((a, b) for a, b in pairwise(range(tokens + 1)) if shares[a] + shares[b] == 1)
    assert high == low + 1
    assert float(everyone(low, np.array([float(shares[high])]))[0]) == pytest.approx(best, abs=r * h**2 / 200**2)
