"""Small data sets, each built once, and their rows as plain JSON."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from moralfit.dataset import SPLITS, build_dataset
from moralfit.recipe import Recipe, parse_recipe

PREFERENCES: dict[str, dict[str, Any]] = {
    "kantiensis": {"kind": "moralis", "kappa": 1.0},
    "moralis": {"kind": "moralis", "kappa": 0.5},
    "economicus": {"kind": "economicus"},
}
Rows = dict[str, list[dict[str, Any]]]

_FOLDER = TemporaryDirectory(prefix="moralfit-tests-")


def make_recipe(preference: str = "kantiensis", train: int = 180, heldout: int = 60, seed: int = 0, **data: Any) -> Recipe:
    data = {"train_samples": train, "heldout_samples": heldout, "plan_share": 0.6, **data}
    return parse_recipe({"name": "test", "seed": seed, "preference": PREFERENCES[preference], "data": data}, "test")


@cache
def built(preference: str) -> tuple[Path, dict[str, Any]]:
    """The folder of a data set, and the facts that its build returned."""
    folder = Path(_FOLDER.name) / preference
    return folder, build_dataset(make_recipe(preference), folder)


@cache
def rows(preference: str) -> Rows:
    return read_rows(built(preference)[0])


def read_rows(folder: Path) -> Rows:
    texts = {split: (folder / f"{split}.jsonl").read_text(encoding="utf-8") for split in SPLITS}
    return {split: [json.loads(line) for line in text.split("\n")[:-1]] for split, text in texts.items()}
