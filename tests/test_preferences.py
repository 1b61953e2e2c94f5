"""Utility by hand, and what the weights may be."""

import pickle
from dataclasses import FrozenInstanceError
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moralfit.errors import GameError
from moralfit.games import Decision, Game, Terminal, sequential_prisoners_dilemma, trust_game
from moralfit.preferences import HomoEconomicus, HomoMoralis, SocialPreferences

GAME = sequential_prisoners_dilemma(90, 45, 15, 10)
weights = st.fractions(-2, 2, max_denominator=30)
shares = st.fractions(0, 1, max_denominator=30)
strategies = st.tuples(shares, shares, shares)


def test_utility_by_hand() -> None:
    """Defect first, cooperate after a defection, against one who always cooperates.

    Actual play: as first (90, 10), as second against C the plan defects, (10, 90). Both ways ahead by 80, payoff 90.
    Everyone: (90, 10), payoff 50.
    """
    x, y = "001", "111"
    assert HomoEconomicus().utility(GAME, x, y) == 90
    assert HomoMoralis(1).utility(GAME, x, y) == 50
    assert HomoMoralis(0.25).utility(GAME, x, y) == Fraction(3, 4) * 90 + Fraction(1, 4) * 50
    assert SocialPreferences(alpha=5, beta=0.5).utility(GAME, x, y) == 90 - 40
    assert SocialPreferences(alpha=5, beta=0.5).utility(GAME, y, x) == 10 - 5 * 80
    assert SocialPreferences(alpha=0.1, beta=0.5, kappa=0.25).utility(GAME, x, y) == 80 - 40


@given(strategies, strategies, weights, weights, shares)
def test_utility_is_linear_in_its_weights(x: Any, y: Any, alpha: Fraction, beta: Fraction, kappa: Fraction) -> None:
    assert SocialPreferences(alpha, beta, kappa).utility(GAME, x, y) == (
        (1 - kappa) * GAME.payoff(x, y)
        + kappa * GAME.payoff(x, x)
        - alpha * GAME.behindness(x, y)
        - beta * GAME.aheadness(x, y)
    )


@given(strategies, strategies, shares)
def test_special_cases(x: Any, y: Any, kappa: Fraction) -> None:
    assert HomoEconomicus().utility(GAME, x, y) == GAME.payoff(x, y)
    assert HomoMoralis(kappa).utility(GAME, x, y) == SocialPreferences(kappa=kappa).utility(GAME, x, y)
    assert HomoMoralis(1).utility(GAME, x, y) == GAME.payoff(x, x)  # whatever the belief


@given(strategies, strategies)
def test_who_is_behind_is_as_often_ahead(x: Any, y: Any) -> None:
    """The gap between the two payoffs is the difference of the two expectations."""
    assert GAME.payoff(x, y) - GAME.payoff(y, x) == GAME.aheadness(x, y) - GAME.behindness(x, y)


def test_only_actual_play_is_envied() -> None:
    """A Kantian with envy: what everyone would get is universalised, who is behind is not."""
    game = trust_game(80, 60, 30, 20)
    preference = SocialPreferences(alpha=1, kappa=1)
    # Invest and give back, against one who keeps: as first (20, 80), as second (60, 60) after an investment.
    assert preference.utility(game, "IG", "IK") == 60 - Fraction(60, 2)


def test_three_roles_universalise_at_once() -> None:
    """A public good of three: contributing costs 2 and pays 1 to each. kappa weighs all contributing against oneself alone."""

    def after(given: int, role: int) -> Any:
        if role == 3:
            return Terminal(tuple(given.bit_count() - 2 * (given >> i & 1) for i in range(3)))
        return Decision(role, "give", ("yes", "no"), (after(given | 1 << role, role + 1), after(given, role + 1)))

    game = Game("public good", after(0, 0), ("a", "b", "c"))
    assert game.payoff("1", "0") == -1
    assert game.payoff("1", "1") == 1
    assert HomoMoralis(0.25).utility(game, "1", "0") == Fraction(3, 4) * -1 + Fraction(1, 4) * 1
    # Two others ahead by 2 each: Fehr and Schmidt average over them.
    assert SocialPreferences(alpha=1).utility(game, "1", "0") == -1 - 2


@pytest.mark.parametrize("kappa", [-0.01, 1.01, 2, np.nextafter(1, 2) + 1e-9])
def test_kappa_is_a_share(kappa: float) -> None:
    for make in (HomoMoralis, lambda k: SocialPreferences(kappa=k)):
        with pytest.raises(GameError, match="kappa must lie between 0 and 1, got"):
            make(kappa)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": float("nan")}, "alpha must be finite, got nan"),
        ({"beta": float("inf")}, "beta must be finite, got inf"),
        ({"kappa": "0.5"}, "kappa must be a number, got '0.5'"),
        ({"kappa": True}, "kappa must be a number, got True"),
    ],
)
def test_weights_are_numbers(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(GameError, match=message):
        SocialPreferences(**arguments)


def test_weights_are_what_was_meant() -> None:
    assert HomoMoralis(0.1).kappa == Fraction(1, 10)
    assert HomoMoralis(0.1 + 0.2) == HomoMoralis(Fraction(3, 10))
    assert SocialPreferences(np.float64(0.25), -1, 1 / 3) == SocialPreferences(Fraction(1, 4), -1, Fraction(1, 3))


def test_preferences_are_values() -> None:
    preference = HomoMoralis(0.5)
    assert pickle.loads(pickle.dumps(preference)) == preference
    assert len({preference, HomoMoralis(Fraction(1, 2)), HomoMoralis(1)}) == 2
    assert repr(preference) == "HomoMoralis(kappa=Fraction(1, 2))"
    with pytest.raises(FrozenInstanceError):
        preference.kappa = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        HomoMoralis()  # type: ignore[call-arg]


def test_names() -> None:
    assert HomoEconomicus().name == "homo economicus"
    assert HomoMoralis(0.5).name == "homo moralis (kappa = 0.5)"
    assert SocialPreferences(0.1, -0.2, 1).name == "social preferences (alpha = 0.1, beta = -0.2, kappa = 1)"
