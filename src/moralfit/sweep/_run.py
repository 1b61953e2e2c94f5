"""A sweep from start to end: what is finished is kept, what is missing is done, and the summary is on disk after every cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table

from moralfit.errors import MoralfitError, RunError
from moralfit.files import read_json, write_json, write_text
from moralfit.sweep._cells import Cell, Outcome, attempt, log_of, write_failure
from moralfit.sweep._figures import draw_grid, draw_matrices, write_figure
from moralfit.sweep._grid import TrainingCell, check_cells, training_cells
from moralfit.sweep._recipe import SweepRecipe
from moralfit.sweep._summary import as_csv, grid_table, summarise_grid
from moralfit.sweep._tournament import build_tournament, summarise_tournament, tournament_tables
from moralfit.train import asks_libraries

_RECIPE = "sweep.yaml"
_TIMINGS = "timings.json"


@dataclass(frozen=True)
class Plan:
    """What a sweep consists of.

    Attributes:
        cells: In the order in which they are started. summarise: Given the errors of failed cells, everything that was found.
        show: The summary as tables. draw: The summary as a figure.
    """

    cells: Sequence[Cell]
    summarise: Callable[[dict[str, str]], dict[str, Any]]
    show: Callable[[dict[str, Any]], RenderableType]
    draw: Callable[[dict[str, Any]], Any]


def plan_sweep(sweep: SweepRecipe, source: str = "sweep") -> Plan:
    """Every cell of a sweep, checked before anything starts.

    Args:
        source: What messages call the recipe.

    Raises:
        RecipeError: Some cells cannot be run as they are; the message lists every problem. ModelError, RunError: An adapter of
            a tournament is missing or damaged.
    """
    if sweep.grid is not None:
        found = training_cells(sweep, sweep.grid, source)
        return Plan(found, lambda errors: summarise_grid(sweep.name, found, errors, sweep.folder), grid_table, draw_grid)
    section = sweep.tournament
    assert section is not None
    tournament = build_tournament(sweep, section, source)
    return Plan(
        tournament.cells,
        lambda errors: summarise_tournament(sweep, section, tournament, errors),
        tournament_tables,
        draw_matrices,
    )


def run_sweep(
    sweep: SweepRecipe, console: Console, *, ray: bool = False, address: str | None = None, source: str = "sweep"
) -> dict[str, Any]:
    """Does what is missing of a sweep, and leaves `summary.json`, `summary.csv`, `timings.json` and `figures/` in its folder.

    Args:
        ray: Whether cells run on Ray, several at once. address: Of a running cluster; None is this machine.

    Returns:
        The summary as written; cells that failed have an `error`.

    Raises:
        RecipeError, ModelError, RunError: As :func:`plan_sweep`; or a cell's folder holds something else; or Ray cannot be had.
    """
    plan = plan_sweep(sweep, source)
    trained = [cell for cell in plan.cells if isinstance(cell, TrainingCell)]
    if any(asks_libraries(cell.recipe) for cell in trained):
        check_cells(trained, source)
    folder = sweep.folder
    missing = _missing(plan.cells)
    _claim(folder, sweep)
    if done := len(plan.cells) - len(missing):
        console.print(f"{folder}: {done} of {len(plan.cells)} cells are finished", highlight=False)
    errors: dict[str, str] = {}
    timings: dict[str, Any] = read_json(folder / _TIMINGS) if (folder / _TIMINGS).exists() else {}
    by_id = {cell.id: cell for cell in missing}
    for number, outcome in enumerate(_outcomes(missing, sweep, console, ray, address), 1):
        cell = by_id[outcome.cell]
        write_failure(cell, outcome)
        if outcome.error is not None:
            errors[outcome.cell] = outcome.error
        timings[outcome.cell] = {"seconds": outcome.seconds, "worker": outcome.worker}
        write_json(folder / _TIMINGS, timings)
        _write(folder, plan.summarise(errors))
        end = "done" if outcome.error is None else f"failed: {outcome.error}"
        console.print(
            f"{number} of {len(missing)}: {outcome.cell} {end} ({outcome.seconds:.0f} s)", highlight=False, markup=False
        )
    summary = plan.summarise(errors)
    _write(folder, summary)
    write_figure(plan.draw(summary), folder / "figures")
    console.print(plan.show(summary))
    if errors:
        console.print(f"what failed cells said: {log_of(plan.cells[0]).parent}", highlight=False)
    console.print(f"summary: {folder / 'summary.csv'}\nfigure:  {folder / 'figures' / 'figure.png'}", highlight=False)
    return summary


def dry_run(sweep: SweepRecipe, console: Console, source: str = "sweep") -> None:
    """Says which cells there are and which are finished, and writes nothing. Raises as :func:`plan_sweep`."""
    plan = plan_sweep(sweep, source)
    left = {cell.id for cell in _missing(plan.cells)}
    table = Table(title=f"{sweep.name}: {len(plan.cells)} cells, {len(left)} to do")
    table.add_column("cell", no_wrap=True)
    table.add_column("folder")
    table.add_column("state")
    for cell in plan.cells:
        state = "finished" if cell.id not in left else "begun" if cell.folder.exists() else ""
        table.add_row(cell.id, str(cell.folder), state)
    console.print(table)


def failed(summary: dict[str, Any]) -> list[str]:
    """The cells of a summary that failed."""
    return [row["cell"] for row in summary.get("cells", summary["rows"]) if row["status"] == "failed"]


def _outcomes(cells: Sequence[Cell], sweep: SweepRecipe, console: Console, ray: bool, address: str | None) -> Iterator[Outcome]:
    if not cells:
        return
    if ray:
        from moralfit.sweep._ray import on_ray

        yield from on_ray(cells, sweep.workers, address, console.print)
        return
    for cell in cells:
        yield attempt(cell, sweep.workers.cpus, console)


def _missing(cells: Iterable[Cell]) -> list[Cell]:
    """The cells that are not finished. Raises RunError with all folders that hold something else."""
    found, problems = [], []
    for cell in cells:
        try:
            if not cell.finished():
                found.append(cell)
        except MoralfitError as error:
            problems.append(str(error))
    if problems:
        raise RunError("\n".join(problems))
    return found


def _claim(folder: Path, sweep: SweepRecipe) -> None:
    """Takes a folder for sweeps of this name. What its cells hold is their own affair: a grid may grow."""
    if folder.exists() and not (folder / _RECIPE).exists() and any(folder.iterdir()):
        raise RunError(f"{folder}: exists and is not the folder of a sweep; move it away, or choose another name or output")
    write_text(folder / _RECIPE, sweep.as_yaml())


def _write(folder: Path, summary: dict[str, Any]) -> None:
    write_json(folder / "summary.json", summary)
    write_text(folder / "summary.csv", as_csv(summary["rows"]))
