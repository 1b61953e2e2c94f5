"""`python -m moralfit.evaluate RUN_OR_ADAPTER... [evaluation.key=value...]`: plays adapters beside their base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moralfit.console import make_console, run_cli, silence_progress_bars
from moralfit.errors import RunError

app = typer.Typer(add_completion=False)


@app.command()
def main(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="PLACES... [OVERRIDES]...",
            help="Run folders or adapter folders; the first one's recipe says what is played, with dotted overrides of its "
            "evaluation section such as evaluation.transfer_prompts=44, and of where models run, such as "
            "serve.endpoint=http://localhost:8000/v1. Or a recipe alone, whose base is played.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Where to write; by default a run's own folder, else one beside it.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an evaluation of something else that stands there.")] = False,
) -> None:
    """Evaluate adapters on held-out games. Run again to continue an interrupted evaluation."""
    overrides = [argument for argument in arguments if "=" in argument and not Path(argument).exists()]
    places = [Path(argument) for argument in arguments if argument not in overrides]
    if not places:
        raise RunError("name a run folder or an adapter folder to evaluate, or a recipe")
    silence_progress_bars()
    from moralfit.evaluate import own_folder, tables
    from moralfit.evaluate._run import evaluate_and_report

    console = make_console()
    if out is None:
        out = own_folder(places, overrides) / "evaluation"
    summary, report = evaluate_and_report(places, out, overwrite, console, overrides)
    console.print(tables(summary))
    console.print(f"records, summary and report: {report.parent}")


if __name__ == "__main__":
    run_cli(app)
