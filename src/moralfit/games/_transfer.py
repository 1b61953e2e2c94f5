"""The games that no agent is trained on: the held-out transfer test. Each family says how to make and how to draw a game."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import signature
from random import Random

from moralfit.errors import GameError
from moralfit.games._payoffs import PayoffGrid, sample_payoffs
from moralfit.games._sequences import centipede, repeated_prisoners_dilemma, repeated_trust_game
from moralfit.games._sharing import dictator_game, gift_exchange, trust_amounts, ultimatum_amounts
from moralfit.games._simultaneous import chicken, concave_public_good, linear_public_good, prisoners_dilemma, stag_hunt
from moralfit.games._tree import Game, Number

#: Payoffs that people, and small models, can add up.
_GRID = PayoffGrid(1, 20)


@dataclass(frozen=True)
class GameFamily:
    """Games that differ in their numbers only.

    Attributes:
        name: Registry name, the same as :attr:`Game.name`.
        make: The game with these parameters; they are found again in :attr:`Game.parameters`.
        draw: Random parameters, small integers from the region that the family documents.
        description: One line for tables and pages.
        source: Literature.
    """

    name: str
    make: Callable[..., Game]
    draw: Callable[[Random], dict[str, int]]
    description: str
    source: str

    def sample(self, rng: Random) -> Game:
        """A random game of the family."""
        return self.make(**self.draw(rng))


def _dilemma(rng: Random) -> dict[str, int]:
    """T > R > P > S, uniform on 1..20."""
    return dict(zip("TRPS", sample_payoffs(rng, _GRID), strict=True))


def _small_dilemma(rng: Random) -> dict[str, int]:
    """T > R > P > S, uniform on 1..12, since payoffs of several rounds are added."""
    return dict(zip("TRPS", sample_payoffs(rng, PayoffGrid(1, 12)), strict=True))


def _stag_hunt(rng: Random) -> dict[str, int]:
    """R > T >= P > S on 1..20; in every second game hare is safe, T = P."""
    r, t, p, s = sorted(rng.sample(range(1, 21), 4), reverse=True)
    return {"T": t, "R": r, "P": t if rng.random() < 0.5 else p, "S": s}


def _chicken(rng: Random) -> dict[str, int]:
    """T > R > S > P, uniform on 1..20."""
    t, r, s, p = sorted(rng.sample(range(1, 21), 4), reverse=True)
    return {"T": t, "R": r, "P": p, "S": s}


def _dictator(rng: Random) -> dict[str, int]:
    """Pies of 4 to 36 in four or six steps of 1 to 6, so that half can be given."""
    step, parts = rng.randint(1, 6), rng.choice((4, 6))
    return {"pie": parts * step, "step": step}


def _linear_public_good(rng: Random) -> dict[str, int]:
    """Three players with one or two tokens; shared < kept < 3 shared, kept at most 9."""
    shared, kept = rng.choice([(shared, kept) for kept in range(3, 10) for shared in range(2, kept) if kept < 3 * shared])
    return {"players": 3, "tokens": rng.randint(1, 2), "kept": kept, "shared": shared}


def _concave_public_good(rng: Random) -> dict[str, int]:
    """Up to 2 to 4 tokens, two, three or four of them a unit; r = 2, 3 or 4; all payoffs whole and not negative."""
    tokens = rng.randint(2, 4)
    r, top = rng.randint(2, 4), rng.randint(2, tokens)
    scale = tokens**2 if r % 2 == 0 else 2 * tokens**2
    # Points rise and then fall with the total, and fall with what oneself gives: the least is at an end of the total.
    lowest = min(
        scale * (2 * r * total * tokens - r * total**2 - 2 * own * tokens) // (2 * tokens**2)
        for own in range(top + 1)
        for total in range(own, own + top + 1)
    )
    return {"r": r, "top": top, "tokens": tokens, "scale": scale, "base": max(0, -lowest)}


def _trust_amounts(rng: Random) -> dict[str, int]:
    """Endowments of 2 to 16 sent in none, half or all; factor 3 or 4; nothing, once or twice the sum goes back."""
    step = rng.randint(1, 8)
    return {"endowment": 2 * step, "step": step, "factor": rng.randint(3, 4), "returns": 3}


def _ultimatum_amounts(rng: Random) -> dict[str, int]:
    """Pies of 8 to 36; four or five offers in steps of 1 to 3, the highest half of the pie or a step less."""
    offers, step = rng.randint(4, 5), rng.randint(1, 3)
    return {"pie": (2 * offers + rng.randint(0, 2)) * step, "step": step, "offers": offers}


def _gift_exchange(rng: Random) -> dict[str, int]:
    """Three wages and three efforts; a unit of effort is worth 4 to 8 and costs 1 to 3 more each time."""
    value = rng.randint(4, 8)
    return {
        "value": value,
        "cost": rng.randint(1, 3),
        "wages": 3,
        "wage_step": rng.randint(2, 4),
        "efforts": 3,
        "endowment": 10,
    }


def _centipede(rng: Random) -> dict[str, int]:
    """Four moves, doubling; the large pile 3 to 9 and more than twice the small one."""
    small = rng.randint(1, 3)
    return {"moves": 4, "large": rng.randint(2 * small + 1, min(9, 3 * small + 2)), "small": small, "factor": 2}


#: Every game of the transfer test by name. None of them ever enters training.
TRANSFER_GAMES: dict[str, GameFamily] = {
    family.name: family
    for family in (
        GameFamily(
            "prisoners_dilemma", prisoners_dilemma, _dilemma, "Both cooperate or defect at once.", "Rapoport and Chammah (1965)"
        ),
        GameFamily(
            "stag_hunt", stag_hunt, _stag_hunt, "Both hunt stag together or hare alone.", "Rousseau (1755); Skyrms (2004)"
        ),
        GameFamily(
            "chicken", chicken, _chicken, "Both swerve or go straight; a crash is worst.", "Rapoport and Chammah (1966)"
        ),
        GameFamily(
            "dictator_game", dictator_game, _dictator, "One shares a pie, the other has no say.", "Forsythe et al. (1994)"
        ),
        GameFamily(
            "linear_public_good",
            linear_public_good,
            _linear_public_good,
            "Tokens are kept or given; a given token pays everybody.",
            "Isaac and Walker (1988); Ledyard (1995)",
        ),
        GameFamily(
            "concave_public_good",
            concave_public_good,
            _concave_public_good,
            "Two give tokens to a good whose return falls.",
            "Keser (1996); payoffs as stated in our issue 3",
        ),
        GameFamily(
            "trust_amounts",
            trust_amounts,
            _trust_amounts,
            "What is sent grows; some of it can be sent back.",
            "Berg, Dickhaut and McCabe (1995)",
        ),
        GameFamily(
            "ultimatum_amounts",
            ultimatum_amounts,
            _ultimatum_amounts,
            "An offer of part of a pie is accepted, or all is lost.",
            "Güth, Schmittberger and Schwarze (1982)",
        ),
        GameFamily(
            "gift_exchange",
            gift_exchange,
            _gift_exchange,
            "A wage is answered by effort that costs ever more.",
            "Fehr, Kirchsteiger and Riedl (1993)",
        ),
        GameFamily(
            "centipede",
            centipede,
            _centipede,
            "By turns, take the larger pile or pass and let both grow.",
            "Rosenthal (1981); McKelvey and Palfrey (1992)",
        ),
        GameFamily(
            "repeated_trust_game",
            repeated_trust_game,
            _small_dilemma,
            "The trust game twice with the same partner.",
            "Engle-Warnick and Slonim (2004)",
        ),
        GameFamily(
            "repeated_prisoners_dilemma",
            repeated_prisoners_dilemma,
            _small_dilemma,
            "The simultaneous prisoner's dilemma twice.",
            "Kreps, Milgrom, Roberts and Wilson (1982)",
        ),
    )
}


def make_transfer_game(name: str, **parameters: Number) -> Game:
    """The game `name` of :data:`TRANSFER_GAMES` with these parameters; those left out have the constructor's defaults.

    Raises:
        GameError: The name is unknown (the nearest known one is named), a parameter is unknown or missing, or the parameters
            make no such game.
    """
    if name not in TRANSFER_GAMES:
        near = get_close_matches(name, TRANSFER_GAMES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise GameError(f"unknown transfer game {name!r}; {hint}Known games: {', '.join(TRANSFER_GAMES)}")
    make = TRANSFER_GAMES[name].make
    known = signature(make).parameters
    unknown = [key for key in parameters if key not in known]
    missing = [key for key, value in known.items() if value.default is value.empty and key not in parameters]
    if unknown or missing:
        wrong = [f"unknown {', '.join(unknown)}"] * bool(unknown) + [f"missing {', '.join(missing)}"] * bool(missing)
        raise GameError(f"{name}: parameters {' and '.join(wrong)}; it takes {', '.join(known)}")
    return make(**parameters)
