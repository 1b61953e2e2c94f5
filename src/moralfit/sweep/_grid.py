"""A grid over training recipes: its cells, and what each of them found."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from moralfit.errors import RecipeError, RunError
from moralfit.evaluate import main_beliefs
from moralfit.files import read_json
from moralfit.files import sha256 as checksum
from moralfit.recipe import Recipe, load_recipe, parse_recipe
from moralfit.sweep._cells import Row
from moralfit.sweep._recipe import NOT_PUSHED, GridSection, SweepRecipe, split

#: What a run leaves when all of it is done.
_FINISHED = "finished.json"
_LONGEST = 100


@dataclass(frozen=True)
class TrainingCell:
    """A run of the grid: data set, training, evaluation and report.

    Attributes:
        settings: The values of the keys that vary. recipe: The run's recipe, with the sweep's folder as its output.
    """

    id: str
    settings: Mapping[str, Any]
    recipe: Recipe

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.recipe.run

    def finished(self) -> bool:
        """Whether the run's mark is there and its adapter is the one that the mark speaks of.

        Raises:
            RunError: The folder holds a run of another recipe, or the adapter is another one.
        """
        stored = self.folder / "recipe.yaml"
        if stored.exists() and (changed := _differences(self.recipe, stored)):
            raise RunError(
                f"{self.folder}: holds a run of another recipe (differs in {', '.join(changed)}); move it away, or give the "
                "sweep another name (name=...)"
            )
        if not (self.folder / _FINISHED).exists():
            return False
        mark = read_json(self.folder / _FINISHED)
        known = mark.get("adapter") if isinstance(mark, dict) else None
        if checksum(self.folder / "adapter" / "adapter_model.safetensors") != known:
            raise RunError(f"{self.folder}: the adapter is not the one that the run ended with; move the folder away")
        if not (self.folder / "evaluation" / "summary.json").exists():
            raise RunError(f"{self.folder}: the evaluation is gone; delete {_FINISHED} there to have it done again")
        return True

    def run(self, console: Console) -> None:
        """Does what is missing, as `python -m moralfit.train` does."""
        from moralfit.models import release_memory
        from moralfit.train import Run

        # Of a cell before this one in the same process, above all of one that failed.
        release_memory()
        Run(self.recipe, console).go(overwrite=False)

    def row(self) -> Row:
        """What the run's evaluation found about its adapter. Raises RunError if the summary is missing or damaged."""
        path = self.folder / "evaluation" / "summary.json"
        summary = read_json(path)
        try:
            return _found(summary)
        except (KeyError, TypeError, StopIteration) as error:
            raise RunError(f"{path}: damaged ({type(error).__name__}: {error}); delete it and the run's {_FINISHED}") from None


def training_cells(sweep: SweepRecipe, grid: GridSection, source: str) -> list[TrainingCell]:
    """All cells of a grid, in the order of its keys, the last one varying fastest; every recipe is checked.

    Raises:
        RecipeError: Some recipes have problems; the message lists each with the cells that have it.
    """
    keys = [split(entry) for entry in grid.over]
    settings = []
    for values in product(*grid.over.values()):
        chosen: dict[str, Any] = {}
        for names, value in zip(keys, values, strict=True):
            chosen.update(zip(names, value if len(names) > 1 else [value], strict=True))
        settings.append(chosen)
    names = _names(settings)
    found: list[TrainingCell] = []
    problems: dict[str, list[str]] = {}
    ours = [f"output={json.dumps(str(sweep.folder / 'cells'))}"]
    fixed = [_override(key, value) for key, value in grid.set.items()]
    for name, chosen in zip(names, settings, strict=True):
        overrides = [*fixed, *(_override(key, value) for key, value in chosen.items()), f"name={json.dumps(name)}", *ours]
        try:
            found.append(TrainingCell(name, chosen, load_recipe(grid.recipe, overrides)))
        except RecipeError as error:
            first, *listed = str(error).splitlines()
            for line in listed or [first]:
                problems.setdefault(line.removeprefix("  - "), []).append(name)
    if problems:
        raise _listed(
            f"{source}: {len(problems)} problem{'s' * (len(problems) > 1)} in the cells of the grid", problems, len(names)
        )
    if any(cell.recipe.hub.push for cell in found):
        raise RecipeError(f"{source}: {grid.recipe} has hub.push on, but {NOT_PUSHED}; turn it off there")
    return found


def check_cells(cells: Iterable[TrainingCell], source: str) -> None:
    """Requires that TRL and PEFT accept the options of every cell that states any.

    Raises:
        RecipeError: They do not; the message lists each problem with the cells that have it.
    """
    from moralfit.errors import TrainingError
    from moralfit.train import check_options

    cells = list(cells)
    problems: dict[str, list[str]] = {}
    for cell in cells:
        try:
            check_options(cell.recipe)
        except TrainingError as error:
            problems.setdefault(str(error), []).append(cell.id)
    if problems:
        raise _listed(f"{source}: the cells of the grid cannot be trained", problems, len(cells))


def _listed(head: str, problems: Mapping[str, list[str]], of: int) -> RecipeError:
    """All problems, each with the cells that have it."""

    def some(cells: list[str]) -> str:
        return "all cells" if len(cells) == of > 1 else ", ".join(cells[:3]) + f" and {len(cells) - 3} more" * (len(cells) > 3)

    return RecipeError("\n".join([head, *(f"  - {problem} ({some(cells)})" for problem, cells in problems.items())]))


def _override(key: str, value: Any) -> str:
    return f"{key}={json.dumps(value)}"


def _names(settings: list[dict[str, Any]]) -> list[str]:
    """For each cell a name that says what sets it apart and can name a folder."""
    keys = list(settings[0])
    lasts = [key.rsplit(".", 1)[-1] for key in keys]
    short = {key: last if lasts.count(last) == 1 else key for key, last in zip(keys, lasts, strict=True)}
    names = ["_".join(f"{short[key]}-{_text(value)}" for key, value in chosen.items()) for chosen in settings]
    return [
        name if names.count(name) == 1 and len(name) <= _LONGEST else f"{name[:_LONGEST]}-{_digest(chosen)}"
        for name, chosen in zip(names, settings, strict=True)
    ]


def _text(value: Any) -> str:
    text = "-".join(map(str, value.values())) if isinstance(value, dict) else json.dumps(value).strip('"')
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.") or "none"


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:6]


def _differences(recipe: Recipe, stored: Path) -> list[str]:
    """The keys in which a run's recipe differs from the one given; keys that are new since count by their defaults."""
    try:
        held = parse_recipe(yaml.safe_load(stored.read_text(encoding="utf-8")), str(stored))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, ValueError, RecipeError) as error:
        raise RunError(f"{stored}: damaged ({error}); move that folder away") from None
    one, other = recipe.model_dump(mode="json"), held.model_dump(mode="json")
    return [key for key in _leaves(one) | _leaves(other) if _leaves(one).get(key) != _leaves(other).get(key)]


def _leaves(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= _leaves(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value
    return found


def _found(summary: Mapping[str, Any]) -> Row:
    """Agreement with the solver and the estimated kappa of the adapter, from the summary of its evaluation."""
    agent = next(agent for agent in summary["agents"] if agent["kind"] == "adapter")
    row: Row = {}
    for split_name in ("payoffs", "words"):
        rate = next(
            r for r in summary["rows"]
            if (r["agent"], r["target"], r["split"], r["game"]) == (agent["key"], agent["preference"], split_name, "all")
        )  # fmt: skip
        row |= _interval(f"agreement_{split_name}", rate["agreement"])
        row |= {f"decisions_{split_name}": rate["n"], f"invalid_{split_name}": rate["invalid"]}
        row[f"refused_{split_name}"] = rate["refused"]
    entries = summary.get("estimates") or []
    beliefs = main_beliefs(entries)
    wanted = (agent["key"], "trained", "answers", beliefs, "homo moralis")
    entry = next((e for e in entries if tuple(e[k] for k in ("agent", "games", "use", "beliefs", "model")) == wanted), None)
    kappa = entry["weights"].get("kappa") if entry else None
    row |= _interval("kappa", kappa)
    row["kappa_status"] = entry["status"] if entry else "none"
    row["kappa_remark"] = entry["remark"] if entry else "the evaluation has no estimates"
    row["noise"] = entry["noise"]["estimate"] if entry and entry["noise"] else None
    return row


def _interval(name: str, found: Mapping[str, Any] | None) -> Row:
    parts = {name: "estimate", f"{name}_low": "low", f"{name}_high": "high"}
    return {key: None if found is None else found[part] for key, part in parts.items()}
