"""`python -m moralfit.dilemmas RUN_OR_ADAPTER...`: asks tuned agents about moral dilemmas beside their base.

Time on the embedded model (135M, two CPU cores; a prompt of some 130 tokens at 700 to 1000 tokens a second, 48 replies at once
at some four steps a second): a batch of 48 takes 8 s to read and at most `max_new_tokens` / 4 s to answer, 24 s for 96. The
default design has 200 replies an agent for vehicles and 120 for vaccination, together seven batches, hence up to four minutes
for an agent that uses all its tokens and one for an agent that answers at once. The full design with four samples has 1,440 and
800: use a GPU, or `--family` and a night.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal

import typer

from moralfit.console import bar, make_console, run_cli, silence_progress_bars
from moralfit.errors import RunError

app = typer.Typer(add_completion=False)


@app.command()
def main(
    places: Annotated[list[Path] | None, typer.Argument(metavar="RUN_OR_ADAPTER...", help="Run or adapter folders.")] = None,
    family: Annotated[list[str] | None, typer.Option(help="Which dilemmas; repeat for several. By default all.")] = None,
    samples: Annotated[int, typer.Option(help="Replies for each cell and way of answering.")] = 2,
    cells: Annotated[str, typer.Option(help="The small or the full factorial design: small, full.")] = "small",
    seed: Annotated[int, typer.Option(help="Of wordings, orders and sampling.")] = 0,
    temperature: Annotated[float, typer.Option(help="Of sampling, above zero.")] = 0.7,
    max_new_tokens: Annotated[int, typer.Option(help="Where a reply is cut off.")] = 96,
    out: Annotated[Path | None, typer.Option(help="Where to write; by default dilemmas/ in the run's folder.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace another experiment that stands there.")] = False,
    show: Annotated[int, typer.Option(help="Print this many prompts of the design, drawn at random, and leave.")] = 0,
) -> None:
    """Ask agents about moral dilemmas. Run again to continue an interrupted experiment."""
    from moralfit.dilemmas import FAMILIES, Settings, run_dilemmas, tables

    if cells not in ("small", "full"):
        raise RunError(f"--cells {cells}: say small or full")
    which: Literal["small", "full"] = "small" if cells == "small" else "full"
    settings = Settings(tuple(family or FAMILIES), which, samples, seed, temperature, max_new_tokens)
    console = make_console()
    if show:
        items = settings.items()
        for item in Random(f"{seed}/show").sample(items, min(show, len(items))):
            console.rule(item.id)
            console.print(item.prompt, markup=False, highlight=False)
        return
    if not places:
        raise RunError("name a run folder or an adapter folder to ask")
    silence_progress_bars()
    from moralfit.evaluate import own_folder
    from moralfit.report import write_report

    out = out or own_folder(places) / "dilemmas"
    with ExitStack() as stack:
        bars: dict[str, Any] = {}

        def progress(agent: Any, done: int, total: int) -> None:
            if agent.key not in bars:
                stack.close()
                bars[agent.key] = stack.enter_context(bar(console, agent.name, total))
            bars[agent.key](done)

        summary = run_dilemmas(places, out, settings, overwrite, progress, console.print)
    console.print(tables(summary))
    console.print(f"records, summary and figures: {out}")
    if (out.parent / "recipe.yaml").exists():
        console.print(f"report: {write_report(out.parent)}")


if __name__ == "__main__":
    run_cli(app)
