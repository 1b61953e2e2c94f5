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
from moralfit.files import new_folder, write_json, write_text
from moralfit.recipe import Recipe

if TYPE_CHECKING:
    from datasets import DatasetDict, Features

_ENCODE = json.JSONEncoder(ensure_ascii=False).encode


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
        folder: Must not exist; appears only when complete. progress: Called with the number of samples done.

    Returns:
        Counts by split, game, decision, region and answer, and the shortcuts' accuracy by part and by decision.

    Raises:
        RecipeError: As :func:`samples`. RunError: The folder exists or cannot be written.
    """
    if folder.exists():
        raise RunError(f"{folder}: exists already; move it away or name another folder")
    sampler = Sampler(recipe.data, recipe.preference.build(), recipe.seed)
    shortcuts, counts, done = Shortcuts(), Counter[tuple[str, ...]](), 0
    with new_folder(folder) as temporary:
        for split, size in sizes(recipe).items():
            with (temporary / f"{split}.jsonl").open("w", encoding="utf-8") as file:
                for number in range(size):
                    sample = sampler.sample(split, number)
                    stored = row(sample, recipe.data.system)
                    file.write(_ENCODE(stored) + "\n")
                    shortcuts.add(sample)
                    for decision, answer in zip(stored["decisions"], stored["optimum"], strict=True):
                        counts[split, stored["game"], decision, stored["region"], answer] += 1
                    done += 1
                    if done % 100 == 0:
                        progress(done)
        facts = {
            "samples": dict(sizes(recipe)),
            "decisions": [[*key, count] for key, count in sorted(counts.items())],
            "shortcuts": shortcuts.accuracy(),
            "shortcuts by decision": shortcuts.by_decision(),
        }
        write_json(temporary / "shortcuts.json", facts["shortcuts"])
        write_text(temporary / "README.md", card(recipe, facts))
    progress(done)
    return facts


def load_built(folder: Path) -> DatasetDict:
    """A built data set as `datasets` splits, each with the columns that the card describes.

    Raises:
        RunError: A split's file is missing or damaged.
    """
    from datasets import Dataset, DatasetDict

    return DatasetDict({split: Dataset.from_list(_rows(folder, split), features=_features()) for split in SPLITS})


def _rows(folder: Path, split: Split) -> list[dict[str, Any]]:
    path = folder / f"{split}.jsonl"
    columns = set(_features())
    rows = []
    try:
        # Not splitlines: a text may contain what Unicode calls a line separator.
        for number, line in enumerate(path.read_text(encoding="utf-8").removesuffix("\n").split("\n")):
            stored = json.loads(line)
            if not isinstance(stored, dict) or set(stored) != columns or stored["id"] != f"{split}/{number}":
                raise ValueError(f"not sample {number} of {split}")
            rows.append(stored)
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); delete {folder} to have it built anew") from None
    except ValueError as error:
        raise RunError(f"{path}: damaged, line {len(rows) + 1}: {error}; delete {folder} to have it built anew") from None
    return rows


def _features() -> Features:
    """The columns; said here because a file in which, say, no belief is stated would not show their types."""
    from datasets import Features, List, Value

    text, whole, real = Value("string"), Value("int64"), Value("float64")
    messages = List({"role": text, "content": text})
    return Features(
        {
            "id": text,
            "seed": text,
            "prompt": messages,
            "completion": messages,
            "game": text,
            **dict.fromkeys("TRPS", whole),
            "region": text,
            "frame": text,
            "decisions": List(text),
            "ask": text,
            "belief": List(List(real)),
            "labels": List(List(text)),
            "listed": List(List(text)),
            "optimum": List(text),
            "utilities": List(List(real)),
        }
    )
