"""Random scenes, derived: every game, frame, phrasing, question and belief, and the degrees of morality that recipes use."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import count as counter
from itertools import islice
from random import Random

from moralfit.errors import WordsError
from moralfit.games import Game, PayoffGrid, make_game, sample_payoffs, ultimatum_game
from moralfit.preferences import HomoMoralis
from moralfit.words import FRAMES, Derivation, Scene, derive, render_prompt, sample_scene

KAPPAS = (0, Fraction(1, 4), Fraction(3, 10), Fraction(1, 2), Fraction(3, 4), 1)
SHARES = (0, 1, Fraction(1, 2), *(Fraction(tenths, 10) for tenths in range(1, 10)))
GAMES = ("sequential_prisoners_dilemma", "trust_game", "ultimatum_game", "ultimatum_game, TRSP")


@dataclass(frozen=True)
class Sample:
    """A scene with a derivation that exists."""

    scene: Scene
    preference: HomoMoralis
    prompt: str
    derivation: Derivation


def draw_game(rng: Random, name: str | None = None) -> Game:
    """One of the games with payoffs from 1 to 20."""
    T, R, P, S = sample_payoffs(rng, PayoffGrid())
    name = name or rng.choice(GAMES)
    return ultimatum_game(T, R, S, P, "TRSP") if name.endswith("TRSP") else make_game(name, T, R, P, S)


def draw(seed: str) -> Sample | None:
    """A random sample; None where it has no unique answer."""
    rng = Random(seed)
    game = draw_game(rng)
    sets = len(game.information_sets)
    belief = None if rng.random() < 0.3 else game.strategy([rng.choice(SHARES) for _ in range(sets)])
    scene = sample_scene(rng, game, FRAMES, belief, rng.choice([None, *range(sets)]))
    preference = HomoMoralis(rng.choice(KAPPAS))
    try:
        return Sample(scene, preference, render_prompt(scene), derive(scene, preference))
    except WordsError:
        return None


@cache
def samples(count: int) -> list[Sample]:
    """The first so many samples that have a unique answer."""
    drawn = (sample for number in counter() if (sample := draw(f"{number}")))
    return list(islice(drawn, count))
