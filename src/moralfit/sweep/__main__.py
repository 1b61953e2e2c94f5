"""`python -m moralfit.sweep SWEEP [section.key=value...]`: runs a grid over recipes, or a tournament of agents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from moralfit.console import make_console, run_cli, silence_progress_bars
from moralfit.errors import RunError
from moralfit.sweep._recipe import load_sweep

app = typer.Typer(add_completion=False)

#: Exit code when all was tried and some cells failed.
SOME_FAILED = 1


@app.command()
def main(
    sweep: Annotated[
        Path, typer.Argument(help="A YAML recipe of a sweep; see recipes/sweep-*.yaml and recipes/tournament.yaml.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Dotted overrides such as grid.over.seed=[0,1] workers.gpus=0.5.")
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="Run cells on Ray: several at once, each in a process of its own.")
    ] = False,
    address: Annotated[
        str | None, typer.Option(help="With --ray: a running cluster, host:port or auto; by default this machine alone.")
    ] = None,
    validate: Annotated[
        bool, typer.Option("--validate", help="Check the sweep and all its cells, print it, and stop.")
    ] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="List the cells with what is finished, and stop.")] = False,
) -> None:
    """Run every cell that is not finished, then summarise. Run the same command again after an interruption."""
    console = make_console()
    if address is not None and not ray:
        raise RunError("--address is for --ray; give both")
    resolved = load_sweep(sweep, overrides or [])
    # Ray gives its workers as many threads as CPUs; libraries read this when they are loaded, so before any is.
    os.environ["OMP_NUM_THREADS"] = str(resolved.workers.cpus)
    silence_progress_bars()
    from moralfit.sweep._run import dry_run, failed, plan_sweep, run_sweep

    if validate:
        plan_sweep(resolved, str(sweep))
        console.print(resolved.as_yaml(), markup=False, highlight=False)
        return
    if dry:
        dry_run(resolved, console, str(sweep))
        return
    summary = run_sweep(resolved, console, ray=ray, address=address, source=str(sweep))
    if failed(summary):
        raise typer.Exit(SOME_FAILED)


if __name__ == "__main__":
    run_cli(app)
