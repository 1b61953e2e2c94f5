"""`python -m moralfit.push RUN --repo-id user/name`: a run's agent and its data set to the Hub, with their cards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from moralfit.console import make_console, run_cli, silence_progress_bars
from moralfit.errors import RecipeError, RunError
from moralfit.recipe import load_recipe

app = typer.Typer(add_completion=False)


@app.command()
def main(
    run: Annotated[Path, typer.Argument(help="A finished run folder.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Dotted overrides of the hub section, such as hub.license=mit.")
    ] = None,
    repo_id: Annotated[str | None, typer.Option(help="Where to: user/name. By default as the run's recipe says.")] = None,
    public: Annotated[bool, typer.Option("--public", help="Anybody may see it. Private unless said.")] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Show what would be uploaded, with sizes, and stop.")] = False,
) -> None:
    """Push an agent and its data set. Run again to upload what is missing or has changed."""
    if not (run / "recipe.yaml").exists():
        raise RunError(f"{run}: not a run folder; only runs are pushed, since cards tell what a run recorded")
    given = list(overrides or [])
    if odd := [override for override in given if not override.startswith("hub.")]:
        raise RecipeError(f"{odd[0]!r}: only keys of the hub section can be changed here, as in hub.license=mit")
    given += [f"hub.repo_id={repo_id}"] * (repo_id is not None) + ["hub.private=false"] * public
    hub = load_recipe(run / "recipe.yaml", given).hub
    silence_progress_bars()
    from moralfit.hub import contents, push_run, show

    console = make_console()
    if dry:
        show(contents(run, hub), console)
        console.print("nothing was uploaded (--dry-run)")
        return
    address: Any = push_run(run, hub)
    console.print(f"pushed to {address}, {'private' if hub.private else 'public'}, and its data set beside it")


if __name__ == "__main__":
    run_cli(app)
