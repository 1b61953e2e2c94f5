"""`python -m moralfit.evaluate RUN_OR_ADAPTER...`: plays adapters beside their base and prints what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from moralfit.console import run_cli, silence_progress_bars

app = typer.Typer(add_completion=False)


@app.command()
def main(
    places: Annotated[
        list[Path], typer.Argument(help="Run folders or adapter folders; the first one's recipe says what is played.")
    ],
    out: Annotated[Path | None, typer.Option(help="Where to write; a run's own evaluation folder by default.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an evaluation of something else that stands there.")] = False,
) -> None:
    """Evaluate adapters on held-out games. Run again to continue an interrupted evaluation."""
    silence_progress_bars()
    from moralfit.evaluate import by_decision, find_adapter, overview
    from moralfit.evaluate._run import evaluate_and_report

    console = Console()
    found = [find_adapter(place) for place in places]
    if out is None:
        single = places[0] / "evaluation"
        names = "-".join(recipe.run.name for _, recipe in found)
        out = single if len(places) == 1 else places[0].resolve().parent / f"compare-{names}" / "evaluation"
    summary, report = evaluate_and_report(places, out, overwrite, console)
    console.print(overview(summary), by_decision(summary))
    console.print(f"records, summary and report: {report.parent}")


if __name__ == "__main__":
    run_cli(app)
