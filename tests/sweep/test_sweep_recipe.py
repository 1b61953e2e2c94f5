"""What a recipe of a sweep may say, and that every cell is checked before the first one starts."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_model import Recipes

from moralfit.console import run_cli
from moralfit.errors import RecipeError
from moralfit.sweep import load_sweep, plan_sweep
from moralfit.sweep.__main__ import app

ROOT = Path(__file__).parents[2]
AGENTS = {"random": "random", "solver": {"kind": "solver", "preference": "economicus"}}


def write(place: Path, **values: Any) -> Path:
    path = place / "sweep.yaml"
    path.write_text(yaml.safe_dump({"name": "s", **values}, sort_keys=False), encoding="utf-8")
    return path


def grid(place: Path, over: Any, **more: Any) -> Path:
    return write(place, grid={"recipe": "recipe.yaml", "over": over, **more})


def ids(path: Path, *overrides: str) -> list[str]:
    return [cell.id for cell in plan_sweep(load_sweep(path, overrides)).cells]


def recipes(path: Path) -> dict[str, Any]:
    return {cell.id: cell.recipe for cell in plan_sweep(load_sweep(path)).cells}  # type: ignore[attr-defined]


def test_every_combination(write_recipe: Recipes, workplace: Path) -> None:
    write_recipe()
    found = recipes(grid(workplace, {"preference.kappa": [0, 0.5], "seed": [1, 2]}, set={"lora": {"r": 2}}))
    assert {name: (r.preference.kappa, r.seed, r.lora.r) for name, r in found.items()} == {
        "kappa-0_seed-1": (0, 1, 2),
        "kappa-0_seed-2": (0, 2, 2),
        "kappa-0.5_seed-1": (0.5, 1, 2),
        "kappa-0.5_seed-2": (0.5, 2, 2),
    }
    assert {str(r.run) for r in found.values()} >= {"runs/s/cells/kappa-0.5_seed-1-moralis-0.5"}
    assert len({r.run for r in found.values()}) == 4


def test_keys_that_vary_together(write_recipe: Recipes, workplace: Path) -> None:
    write_recipe()
    found = recipes(grid(workplace, {"lora.r, lora.alpha": [[2, 4], [8, 16]]}))
    assert [(r.lora.r, r.lora.alpha) for r in found.values()] == [(2, 4), (8, 16)]
    assert list(found) == ["r-2_alpha-4", "r-8_alpha-16"]


def test_values_that_no_folder_can_be_named_by(write_recipe: Recipes, workplace: Path) -> None:
    write_recipe()
    names = ids(grid(workplace, {"model.base": ["org/a b", "org/a-b", "c"]}))
    assert names[2] == "base-c"
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"base-org-a-b-[0-9a-f]{6}", name) for name in names[:2])
    # A value that is added later renames no cell but those that would have its name.
    assert ids(grid(workplace, {"model.base": ["c", "d"]})) == ["base-c", "base-d"]
    assert ids(grid(workplace, {"preference": ["economicus", {"kind": "moralis", "kappa": 0.25}]})) == [
        "preference-economicus", "preference-moralis-0.25"
    ]  # fmt: skip


def test_a_value_may_be_null(write_recipe: Recipes, workplace: Path) -> None:
    write_recipe()
    found = recipes(grid(workplace, {"data.system": [None, "", "Be brief."]}))
    assert [r.data.system for r in found.values()] == [None, "", "Be brief."]


def test_overrides_of_the_command_line_win(write_recipe: Recipes, workplace: Path) -> None:
    write_recipe()
    path = grid(workplace, {"preference.kappa": [0, 1], "seed": [1]}, set={"data.train_samples": 5})
    plan = plan_sweep(load_sweep(path, ["grid.over.preference.kappa=[0.25]", "grid.set.data.train_samples=7"]))
    assert [(c.id, c.recipe.data.train_samples) for c in plan.cells] == [("kappa-0.25_seed-1", 7)]  # type: ignore[attr-defined]


def test_all_cells_are_checked_and_all_problems_listed(write_recipe: Recipes, workplace: Path) -> None:
    write_recipe()
    with pytest.raises(RecipeError) as caught:
        ids(grid(workplace, {"preference.kappa": [0, 1.5], "lora.r": [4, 0], "data.train_sample": [1]}))
    message = str(caught.value)
    assert "3 problems in the cells of the grid" in message
    assert "preference.kappa: kappa must lie between 0" in message
    assert "(kappa-1.5_r-4_train_sample-1, kappa-1.5_r-0_train_sample-1)" in message
    assert "lora.r: input should be greater than or equal to 1 (got 0)" in message
    assert "did you mean 'train_samples'?" in message
    assert "(all cells)" in message
    assert not (workplace / "runs").exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "give one of the sections grid and tournament"),
        ({"grid": {"recipe": "r", "over": {"seed": [0]}}, "tournament": {"agents": AGENTS}}, "either a grid"),
        ({"grid": {"recipe": "r", "over": {}}}, "name at least one key"),
        ({"grid": {"recipe": "r", "over": {"seed": 3}}}, "seed needs a list of values"),
        ({"grid": {"recipe": "r", "over": {"seed": [1, 1]}}}, "seed has a value twice"),
        ({"grid": {"recipe": "r", "over": {"seed": [1], "seed, lora.r": [[1, 2]]}}}, "seed is named twice"),
        ({"grid": {"recipe": "r", "over": {"seed, lora.r": [[1, 2, 3]]}}}, "each with 2 values"),
        ({"grid": {"recipe": "r", "over": {"name": ["a"]}}}, "a sweep names its cells"),
        ({"grid": {"recipe": "r", "over": {"seed": [1]}, "set": {"hub": {"push": True}}}}, "hub.push cannot be set here"),
        ({"grid": {"recipe": "r", "over": {"seed": [1]}}, "workers": {"gpu": 1}}, "workers.gpu: unknown key, did you mean"),
        ({"grid": {"recipe": "r", "over": {"seed": [1]}}, "workers": {"gpus": 1.5}}, "a share of one GPU"),
        ({"tournament": {"agents": {}}}, "name at least one agent"),
        ({"tournament": {"agents": {"a-b": "random"}}}, "letters, digits, dots and underscores"),
        ({"tournament": {"agents": {"a": "solvr"}}}, "did you mean 'solver'?"),
        ({"tournament": {"agents": {"a": "solver"}}}, "an agent of kind solver needs preference"),
        ({"tournament": {"agents": {"a": {"kind": "base", "adapter": "x"}}}}, "an agent of kind base has none"),
        ({"tournament": {"agents": AGENTS, "games": {"names": ["chess"]}}}, "unknown game 'chess'"),
        ({"tournament": {"agents": AGENTS, "games": None}}, "nothing is played"),
        ({"tournament": {"agents": AGENTS, "markets": {"m": {"recipe": "r", "set": {"pairings": "all"}}}}}, "everyone meets"),
    ],
)  # fmt: skip
def test_what_makes_no_sense(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=re.escape(said)):
        load_sweep(write(tmp_path, **values))


def test_a_recipe_that_is_not_there(workplace: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe\.yaml: cannot read the recipe"):
        ids(grid(workplace, {"seed": [1]}))


def test_nothing_is_pushed(write_recipe: Recipes, workplace: Path) -> None:
    write_recipe(hub={"push": True, "repo_id": "a/b"})
    with pytest.raises(RecipeError, match="a sweep pushes nothing"):
        ids(grid(workplace, {"seed": [1]}))


def test_an_adapter_that_is_not_there(workplace: Path) -> None:
    from moralfit.errors import ModelError

    agents = {"a": {"kind": "adapter", "adapter": "nowhere"}, "b": {"kind": "adapter", "adapter": "elsewhere"}}
    with pytest.raises(ModelError, match=r"agents\.a: nowhere: .*; tournament\.agents\.b: elsewhere: "):
        ids(write(workplace, tournament={"agents": agents}))


def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["moralfit.sweep", *arguments])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with pytest.raises(SystemExit) as stop:
        run_cli(app)
    out = capsys.readouterr()
    return int(stop.value.code or 0), out.out + out.err


def test_command_line(
    write_recipe: Recipes, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recipe()
    path = str(grid(workplace, {"preference.kappa": [0, 1]}))
    code, said = cli(monkeypatch, capsys, path, "--dry-run")
    assert code == 0
    assert "2 cells, 2 to do" in said
    assert "kappa-0" in said
    code, said = cli(monkeypatch, capsys, path, "workers.cpus=3", "--validate")
    assert code == 0
    assert yaml.safe_load(said)["workers"] == {"cpus": 3, "gpus": 0.0, "retries": 2}
    assert cli(monkeypatch, capsys, path, "grid.over.seed=[-1]") == (
        2,
        f"moralfit: {path}: 1 problem in the cells of the grid\n  - seed: input should be greater than or equal to 0 (got -1) "
        "(all cells)\n",
    )
    code, said = cli(monkeypatch, capsys, path, "--address", "auto")
    assert code == 2
    assert "--address is for --ray" in said
    assert not (workplace / "runs").exists()


@pytest.mark.parametrize("file", ["sweep-kappa.yaml", "sweep-samples.yaml", "tournament.yaml"])
def test_recipes_that_come_along(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of a recipe's header is understood, and stands for a sweep that could start."""
    monkeypatch.chdir(ROOT)
    text = (ROOT / "recipes" / file).read_text(encoding="utf-8")
    header = re.sub(r"\\\n#\s*", "", text.partition("\n\n")[0])
    commands = re.findall(r"^#   .*python -m moralfit\.sweep (.+)$", header, re.M)
    assert len(commands) >= 2
    for command in commands:
        path, *rest = [part for part in shlex.split(command, comments=True) if part != "--ray"]
        assert path == f"recipes/{file}"
        sweep = load_sweep(path, rest)
        if sweep.grid is not None:
            assert len(plan_sweep(sweep).cells) >= 2


def test_of_other_packages_only_what_they_offer_is_used() -> None:
    private = set()
    for file in (ROOT / "src/moralfit/sweep").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("moralfit."):
                parts = [f"{node.module}.{name.name}".split(".") for name in node.names]
                private |= {".".join(part) for part in parts if part[1] != "sweep" and any(p.startswith("_") for p in part)}
    # The colours that all figures share.
    assert private == {f"moralfit.games._style.{name}" for name in ("COLOURS", "INK", "PALE")}
