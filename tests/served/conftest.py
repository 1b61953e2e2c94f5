"""A run with an adapter over the tiny model that nobody trained, and a server that answers as the tiny model does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_server import Fake, running
from served_samples import EVALUATION, RUN, random_adapter, speaker
from tiny_model import TINY, VALUES

from moralfit.evaluate import HELD, items
from moralfit.models import Base, add_adapter, load_base
from moralfit.recipe import ModelSection, load_recipe, parse_recipe


@pytest.fixture
def run(workplace: Path, tiny: Path) -> Path:
    """A run folder in an empty current folder, its adapter over the tiny model."""
    values = {**VALUES, "evaluation": EVALUATION}
    recipe = parse_recipe(values, "test")
    random_adapter(tiny, RUN / "adapter", TINY)
    for file in (RUN / "recipe.yaml", RUN / "adapter" / "moralfit.yaml"):
        file.write_text(yaml.safe_dump(yaml.safe_load(recipe.as_yaml())))
    return RUN


@pytest.fixture
def base(run: Path, tiny: Path) -> Base:
    """The tiny model with the run's adapter."""
    loaded = load_base(ModelSection(base=TINY, device="cpu", dtype="float32"))
    add_adapter(loaded, run / "adapter", "tuned")
    return loaded


@pytest.fixture
def server(base: Base) -> Iterator[Fake]:
    """A server with the tiny model under its own name and the adapter under its run's, as vLLM has them."""
    recipe = load_recipe(RUN / "recipe.yaml", ["evaluation.prompts=8"])
    labels = {
        item.messages[-1]["content"]: {label for decision in item.scene.asked for label in item.scene.labels[decision]}
        for part in HELD
        for item in items(recipe, part)
    }
    answer, following = speaker(base, {TINY: None, RUN.name: "tuned"}, labels)
    models: list[dict[str, Any]] = [{"id": TINY, "max_model_len": 1024}, {"id": RUN.name, "parent": TINY}]
    with running(Fake(answer, following, models=models)) as fake:
        yield fake
