"""`python -m moralfit.train RECIPE [section.key=value...]`: from a recipe to an adapter, its evaluation and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moralfit.console import make_console, run_cli, silence_progress_bars
from moralfit.recipe import load_recipe
from moralfit.train._ranks import one_message, rank_and_count
from moralfit.train._validate import asks_libraries

app = typer.Typer(add_completion=False)


@app.command()
def main(
    recipe: Annotated[Path, typer.Argument(help="A YAML recipe; see recipes/.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Dotted overrides such as preference.kappa=0.5 lora.r=8.")
    ] = None,
    validate: Annotated[bool, typer.Option("--validate", help="Check the recipe, print it as resolved, and stop.")] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Say what a run would do and stop.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete an earlier run in the same folder first.")] = False,
) -> None:
    """Train, evaluate and report. Run the same command again to continue an interrupted run.

    On several GPUs: accelerate launch --config_file recipes/accelerate/ddp.yaml -m moralfit.train RECIPE (docs/training.md).
    """
    with one_message():
        _main(recipe, overrides or [], validate, dry, overwrite)


def _main(recipe: Path, overrides: list[str], validate: bool, dry: bool, overwrite: bool) -> None:
    resolved = load_recipe(recipe, overrides)
    if (validate or dry) and rank_and_count()[0] > 0:
        return
    console = make_console()
    if validate:
        if asks_libraries(resolved):
            silence_progress_bars()
            from moralfit.train import check_options

            check_options(resolved)
        console.print(resolved.as_yaml(), markup=False, highlight=False)
        return
    silence_progress_bars()
    from moralfit.train import Run, dry_run

    if dry:
        dry_run(resolved, console)
    else:
        Run(resolved, console).go(overwrite)


if __name__ == "__main__":
    run_cli(app)
