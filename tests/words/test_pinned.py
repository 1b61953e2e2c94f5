"""The prompts that agents are trained and compared on do not change by accident: not one byte, for the same seed.

Tables in the docs and adapters on disk rest on them. If they have to change, every such figure has to be measured anew; print
the hashes with `python tests/words/test_pinned.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from moralfit.dataset import SPLITS, samples
from moralfit.evaluate._scenes import HELD, items
from moralfit.games import PayoffGrid, make_game, sample_payoffs
from moralfit.recipe import load_recipe
from moralfit.words import FRAMES, render_prompt, sample_scene

RECIPES = Path(__file__).parents[2] / "recipes"
SOURCES = ("scenes", "quickstart data", "quickstart evaluation", "moralis data", "moralis evaluation")


def prompts(source: str) -> Iterable[str]:
    """Scenes of every frame; or the first samples of each split of a recipe; or what its evaluation asks."""
    if source == "scenes":
        rng = Random("pinned")
        for turn in range(400):
            T, R, P, S = sample_payoffs(rng, PayoffGrid())
            names = ("sequential_prisoners_dilemma", "trust_game", "ultimatum_game")
            game = make_game(names[turn % 3], T, R, P, S)
            shares = [Fraction(rng.randrange(11), 10) for _ in game.information_sets]
            decision = rng.choice([None, *range(len(shares))])
            yield render_prompt(sample_scene(rng, game, FRAMES, game.strategy(shares) if turn % 4 else None, decision))
        return
    name, kind = source.split()
    if kind == "data":
        recipe = load_recipe(RECIPES / f"{name}.yaml")
        for split in SPLITS:
            yield from (sample.prompt for sample in samples(recipe, split, 70))
    else:
        # Fewer prompts are the first of these.
        recipe = load_recipe(RECIPES / f"{name}.yaml", ["evaluation.prompts=96"])
        for held in HELD:
            yield from (item.messages[-1]["content"] for item in items(recipe, held))


def fingerprint(source: str) -> tuple[int, str]:
    """How many prompts, and a hash over all of them."""
    found = list(prompts(source))
    return len(found), hashlib.sha256("\0".join(found).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("source", "prompts", "expected"),
    [
        ("scenes", 400, "63d74ec625509d93"),
        ("quickstart data", 210, "e103967e4c2823f3"),
        ("quickstart evaluation", 192, "806f779066f75380"),
        ("moralis data", 210, "c02b5517ca158804"),
        ("moralis evaluation", 192, "05c9f85f38cb929e"),
    ],
)
def test_prompts_of_the_training_games_stay_as_they_are(source: str, prompts: int, expected: str) -> None:
    assert fingerprint(source) == (prompts, expected)


if __name__ == "__main__":
    for each in SOURCES:
        print(each, *fingerprint(each))
