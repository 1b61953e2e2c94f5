"""How long a data set takes to build, proofs included: `python benchmarks/dataset_build.py [SAMPLES] [PREFERENCE ...]`.

Prints one JSON line per preference, with the time of the solver alone beside it: of one call of `optimal_plans`, for games and
stated beliefs like those of the data. Seconds are of CPU time in this one process: a busy machine stretches the wall time.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from fractions import Fraction
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from moralfit.dataset import build_dataset
from moralfit.games import make_game, sample_payoffs
from moralfit.models import cpu_name
from moralfit.recipe import Recipe, parse_recipe
from moralfit.solve import optimal_plans

PREFERENCES: dict[str, dict[str, object]] = {
    "moralis-1": {"kind": "moralis", "kappa": 1.0},
    "moralis-0.5": {"kind": "moralis", "kappa": 0.5},
    "economicus": {"kind": "economicus"},
}
SOLVED = 3000


def solver_seconds(recipe: Recipe) -> float:
    """CPU seconds of one call of the solver, over the recipe's games in turn."""
    rng, grid, preference = Random(0), recipe.data.payoffs.build(), recipe.preference.build()
    asked = []
    for number in range(SOLVED):
        game = make_game(recipe.data.games[number % len(recipe.data.games)], *sample_payoffs(rng, grid))
        asked.append((game, game.strategy([rng.choice((0, Fraction(1, 2), 1)) for _ in game.information_sets])))
    start = time.process_time()
    for game, belief in asked:
        optimal_plans(game, preference, belief)
    return (time.process_time() - start) / SOLVED


def main(samples: int, preferences: list[str]) -> None:
    for name in preferences:
        data = {"train_samples": samples, "heldout_samples": 1}
        recipe = parse_recipe({"name": "benchmark", "preference": PREFERENCES[name], "data": data}, "benchmark")
        with TemporaryDirectory() as folder:
            start, wall = time.process_time(), time.perf_counter()
            build_dataset(recipe, Path(folder) / "data")
            seconds, wall = time.process_time() - start, time.perf_counter() - wall
        print(
            json.dumps(
                {
                    "preference": name,
                    "samples": samples,
                    "cpu seconds": round(seconds, 1),
                    "wall seconds": round(wall, 1),
                    "cpu ms/sample": round(1000 * seconds / samples, 3),
                    "cpu us/optimal plan": round(1e6 * solver_seconds(recipe), 1),
                    "machine": f"{cpu_name()}, {os.cpu_count()} cores, Python {platform.python_version()}",
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, sys.argv[2:] or list(PREFERENCES))
