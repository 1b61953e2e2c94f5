"""Builds the three splits of a recipe into a folder: JSONL, a card, and the measured shortcuts. Same recipe, same bytes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moralfit.dataset._card import card
from moralfit.dataset._sample import SPLITS, Sample, Sampler, Split, row
from moralfit.dataset._shortcuts import Shortcuts
from moralfit.errors import RunError
from moralfit.files import new_folder
from moralfit.recipe import Recipe

if TYPE_CHECKING:
    from datasets import DatasetDict


def sizes(recipe: Recipe) -> dict[Split, int]:
    """Number of samples in each split."""
    data = recipe.data
    return {"train": data.train_samples, "heldout_payoffs": data.heldout_samples, "heldout_words": data.heldout_samples}


def samples(recipe: Recipe, split: Split, count: int | None = None) -> Iterator[Sample]:
    """The first `count` samples of a split (None: as many as the recipe says), each proved by the checker.

    Raises:
        RecipeError: The recipe's games, beliefs and payoff grid leave an answer without samples.
    """
    sampler = Sampler(recipe.data, recipe.preference.build(), recipe.seed)
    for number in range(sizes(recipe)[split] if count is None else count):
        yield sampler.sample(split, number)


def build_dataset(recipe: Recipe, folder: Path, progress: Callable[[int], None] = lambda done: None) -> dict[str, Any]:
    """Writes `train.jsonl`, `heldout_payoffs.jsonl`, `heldout_words.jsonl`, `shortcuts.json` and the card `README.md`.

    Args:
        folder: Appears only when complete. progress: Called with the number of samples done.

    Returns:
        Counts by split, game, decision, region and answer, and the shortcuts' accuracy by split.

    Raises:
        RecipeError: As :func:`samples`. RunError: The folder cannot be written.
    """
    shortcuts, counts, done = Shortcuts(), Counter[tuple[str, ...]](), 0
    with new_folder(folder) as temporary:
        for split in SPLITS:
            with (temporary / f"{split}.jsonl").open("w", encoding="utf-8") as file:
                for sample in samples(recipe, split):
                    stored = row(sample, recipe.data.system)
                    file.write(json.dumps(stored, ensure_ascii=False) + "\n")
                    shortcuts.add(sample)
                    for decision, answer in zip(stored["decisions"], stored["optimum"], strict=True):
                        counts[split, sample.scene.game.name, decision, stored["region"], answer] += 1
                    done += 1
                    if done % 100 == 0:
                        progress(done)
        facts = {
            "samples": {split: count for split, count in sizes(recipe).items()},
            "decisions": [[*key, count] for key, count in sorted(counts.items())],
            "shortcuts": shortcuts.accuracy(),
        }
        (temporary / "shortcuts.json").write_text(json.dumps(facts["shortcuts"], indent=1) + "\n", encoding="utf-8")
        (temporary / "README.md").write_text(card(recipe, facts), encoding="utf-8")
    progress(done)
    return facts


def load_built(folder: Path) -> DatasetDict:
    """A built data set as `datasets` splits.

    Raises:
        RunError: A split's file is missing or damaged.
    """
    from datasets import Dataset, DatasetDict

    splits = {}
    for split in SPLITS:
        path = folder / f"{split}.jsonl"
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except OSError as error:
            raise RunError(f"{path}: cannot be read ({error.strerror})") from None
        except ValueError:
            raise RunError(f"{path}: damaged, not JSON lines; delete the folder to have it built anew") from None
        splits[split] = Dataset.from_list(rows)
    return DatasetDict(splits)
