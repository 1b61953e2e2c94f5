"""`python -m moralfit.dataset RECIPE`: builds a recipe's data set, or shows some of its samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from moralfit.console import bar, make_console, run_cli, silence_progress_bars
from moralfit.dataset import build_dataset, sizes
from moralfit.dataset._shortcuts import DESCRIPTIONS
from moralfit.recipe import load_recipe

app = typer.Typer(add_completion=False)


@app.command()
def main(
    recipe: Annotated[Path, typer.Argument(help="A YAML recipe; see recipes/.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Dotted overrides such as data.train_samples=5000.")] = None,
    show: Annotated[
        int | None, typer.Option(min=1, help="Show this many training samples as the model sees them, and write nothing.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; datasets/NAME-PREFERENCE by default.")] = None,
) -> None:
    """Build or preview the data set of a recipe."""
    console = make_console()
    resolved = load_recipe(recipe, overrides or [])
    if show is not None:
        silence_progress_bars()
        from moralfit.dataset._preview import preview

        preview(resolved, show, console)
        return
    folder = out or Path("datasets") / resolved.run.name
    with bar(console, "data set", sum(sizes(resolved).values())) as update:
        facts = build_dataset(resolved, folder, update)
    table = Table(title="Share of decisions that a shortcut gets right")
    table.add_column("shortcut", no_wrap=True)
    parts = {part: scores for part, scores in facts["shortcuts"].items() if part.startswith("train")}
    for part in parts:
        table.add_column(part, justify="right")
    for name in DESCRIPTIONS:
        table.add_row(name, *(f"{values[name]:.1%}" for values in parts.values()))
    console.print(table)
    console.print("open: decisions at which theory gives both answers. The card has the held-out splits.")
    console.print(f"data set and card: {folder}")


if __name__ == "__main__":
    run_cli(app)
