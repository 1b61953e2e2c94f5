"""The recipes of model families, how recipes extend one another, and the profiles for accelerate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from moralfit.errors import RecipeError
from moralfit.recipe import load_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
MODELS = sorted((RECIPES / "models").glob("*.yaml"))
PROFILES = sorted((RECIPES / "accelerate").glob("*.yaml"))


def leaves(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found


def test_there_are_three_families_of_two_sizes() -> None:
    assert [path.stem for path in MODELS] == [
        "granite-4.1-3b", "granite-4.1-8b", "olmo-2-1b", "olmo-3-7b", "qwen3-1.7b", "qwen3-8b"
    ]  # fmt: skip


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_model_changes_little_and_says_what_it_costs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    header = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    for said in (
        f"python -m moralfit.train recipes/models/{path.name}",
        "Hardware:",
        "Estimate, not measured",
        "Apache-2.0",
        " GB",
        "FLOPs",
    ):
        assert said in header, said
    recipe, parent = load_recipe(path), load_recipe(RECIPES / "moralis.yaml")
    ours, theirs = leaves(recipe.model_dump()), leaves(parent.model_dump())
    changed = {key for key, value in ours.items() if theirs[key] != value}
    assert {"name", "model.base"} <= changed <= {"name", "model.base", "training.learning_rate"}
    assert recipe.name == path.stem
    assert load_recipe(path, ["preference=economicus"]).run == Path(f"runs/{path.stem}-economicus")


def test_moralis_explains_every_knob() -> None:
    values = yaml.safe_load((RECIPES / "moralis.yaml").read_text(encoding="utf-8"))
    recipe = load_recipe(RECIPES / "moralis.yaml")
    for name in ("model", "lora", "training"):
        assert list(values[name]) == list(getattr(recipe, name).model_dump()), name


class TestExtends:
    @staticmethod
    def write(folder: Path, **texts: str) -> Path:
        for name, text in texts.items():
            (folder / f"{name}.yaml").write_text(text)
        return folder / f"{next(iter(texts))}.yaml"

    def test_sections_are_merged_and_preferences_replaced(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path,
            child="extends: parent.yaml\nname: child\npreference: economicus\ntraining: {trl: {b: 3}, batch_size: 2}\n",
            parent="extends: old.yaml\nname: parent\ntraining: {epochs: 2, trl: {a: 1, b: 2}}\nlora: {target_modules: [q]}\n",
            old="name: old\nseed: 5\npreference: {kind: moralis, kappa: 0.5}\ntraining: {epochs: 9}\nlora: {r: 4}\n",
        )
        recipe = load_recipe(path, ["training.epochs=3"])
        assert (recipe.name, recipe.seed, recipe.preference.slug) == ("child", 5, "economicus")
        assert (recipe.training.epochs, recipe.training.batch_size, recipe.training.trl) == (3, 2, {"a": 1, "b": 3})
        assert (recipe.lora.r, recipe.lora.target_modules) == (4, ("q",))
        assert "extends" not in recipe.as_yaml(), "what is stored stands alone"

    @pytest.mark.parametrize(
        ("parent", "message"),
        [
            ("child.yaml", "child.yaml extends this recipe itself"),
            ("other.yaml", "extends this recipe itself"),
            ("/etc/passwd", "must be another recipe's path from this one"),
            ("nothing.yaml", "cannot read the recipe"),
            ("[a]", "must be another recipe's path"),
        ],
    )
    def test_what_cannot_be_extended(self, parent: str, message: str, tmp_path: Path) -> None:
        path = self.write(tmp_path, child=f"extends: {parent}\nname: x\n", other="extends: child.yaml\nname: y\n")
        with pytest.raises(RecipeError, match=message):
            load_recipe(path)

    def test_problems_are_those_of_the_whole(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, child="extends: parent.yaml\nname: x\n", parent="preference: economicus\nlora: {rr: 1}\n")
        with pytest.raises(RecipeError, match=r"lora\.rr: unknown key"):
            load_recipe(path)


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_accelerate_understands_the_profile(path: Path) -> None:
    from accelerate.commands.config import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    text = path.read_text(encoding="utf-8")
    assert f"accelerate launch --config_file recipes/accelerate/{path.name}" in text
    load_config_from_file(str(path))
    command = ["--config_file", str(path), "--num_processes", "2", "-m", "moralfit.train", "recipe.yaml"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(command))
    kind = {"ddp": "multi_gpu", "cpu": "multi_gpu", "fsdp2": "use_fsdp", "zero3": "use_deepspeed"}[path.stem]
    assert [name for name in ("multi_gpu", "use_fsdp", "use_deepspeed") if getattr(arguments, name)] == [kind]
    if path.stem == "fsdp2":
        assert arguments.fsdp_version == 2
        assert arguments.fsdp_state_dict_type == "SHARDED_STATE_DICT"
    if path.stem == "zero3":
        assert arguments.zero_stage == 3
        assert arguments.zero3_init_flag in (True, "true")
