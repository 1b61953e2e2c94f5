"""Which weights an adapter adapts, however the recipe says so, and that it loads again."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from safetensors import safe_open
from tiny_model import Recipes

from moralfit.models import add_adapter, load_base
from moralfit.recipe import load_recipe
from moralfit.train import Run

BRIEF: dict[str, Any] = {"evaluation": {"prompts": 1, "compare": [], "probabilities": False}}


@pytest.mark.parametrize(
    ("modules", "stored", "layers", "kinds"),
    [
        ("all-linear", None, {0, 1}, 7),
        (["v_proj", "q_proj"], ["q_proj", "v_proj"], {0, 1}, 2),
        (r".*\.layers\.1\..*_proj", r".*\.layers\.1\..*_proj", {1}, 7),
    ],
)
def test_target_modules(modules: Any, stored: Any, layers: set[int], kinds: int, write_recipe: Recipes) -> None:
    recipe = load_recipe(write_recipe(**BRIEF, lora={"target_modules": modules, "r": 4, "alpha": 8}))
    Run(recipe, Console(file=StringIO())).go(overwrite=False)
    folder = Path("runs/tiny-moralis-1/adapter")
    named = json.loads((folder / "adapter_config.json").read_text())["target_modules"]
    # What PEFT makes of all-linear depends on the model's size; the order must not depend on the run.
    assert named == (sorted(named) if stored is None else stored)
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        parts = [key.split(".") for key in file.keys()]  # noqa: SIM118 - this is no mapping
    assert {int(part[part.index("layers") + 1]) for part in parts} == layers
    assert len({part[-3] for part in parts}) == kinds
    base = load_base(recipe.model)
    add_adapter(base, folder, "again")
    assert base.adapters["again"] > 0
