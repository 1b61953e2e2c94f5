"""`python -m moralfit.dilemmas RUN_OR_ADAPTER...`: asks tuned agents about moral dilemmas beside their base.

Time on the embedded model (135M; a prompt has some 150 tokens): 1 to 1.5 s of one core for each reply, measured beside other
work. The default design has 200 replies an agent for vehicles and 120 for vaccination, hence three to four minutes an agent on
two cores; `--samples 1` takes half of it. The full design with four samples has 1,440 and 800: use a GPU, or `--family` and a
night.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from time import monotonic
from typing import Annotated, Any, cast

import typer
from rich.console import Console

from moralfit.console import bar, make_console, run_cli, silence_progress_bars
from moralfit.errors import RunError

app = typer.Typer(add_completion=False)


@app.command()
def main(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN_OR_ADAPTER... [OVERRIDES]...",
            help="Run or adapter folders; overrides say where models run, such as serve.endpoint=http://localhost:8000/v1.",
        ),
    ] = None,
    family: Annotated[list[str] | None, typer.Option(help="Which dilemmas; repeat for several. By default all.")] = None,
    samples: Annotated[int, typer.Option(help="Replies for each cell and way of answering.")] = 2,
    cells: Annotated[str, typer.Option(help="How much of the factorial design: few, small, full.")] = "small",
    seed: Annotated[int, typer.Option(help="Of wordings, orders and sampling.")] = 0,
    temperature: Annotated[float, typer.Option(help="Of sampling, above zero.")] = 0.7,
    max_new_tokens: Annotated[int, typer.Option(help="Where a reply is cut off.")] = 64,
    out: Annotated[Path | None, typer.Option(help="Where to write; by default dilemmas/ in the run's folder.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace another experiment that stands there.")] = False,
    markdown: Annotated[bool, typer.Option(help="Print the tables as Markdown, with every cell's interval.")] = False,
    show: Annotated[int, typer.Option(help="Print this many prompts of the design, drawn at random, and leave.")] = 0,
) -> None:
    """Ask agents about moral dilemmas. Run again to continue an interrupted experiment."""
    from moralfit.dilemmas import FAMILIES, Settings, run_dilemmas, tables

    settings = Settings(tuple(family or FAMILIES), cast(Any, cells), samples, seed, temperature, max_new_tokens)
    console = make_console()
    if show:
        items = settings.items()
        for item in Random(f"{seed}/show").sample(items, min(show, len(items))):
            console.rule(item.id)
            console.print(item.prompt, markup=False, highlight=False)
        return
    overrides = [argument for argument in arguments or () if "=" in argument and not Path(argument).exists()]
    places = [Path(argument) for argument in arguments or () if argument not in overrides]
    if not places:
        raise RunError("name a run folder or an adapter folder to ask")
    silence_progress_bars()
    from moralfit.evaluate import own_folder, served_by
    from moralfit.report import write_report

    out = out or own_folder(places, overrides) / "dilemmas"
    with ExitStack() as stack:
        bars: dict[str, Any] = {}
        asked: dict[str, tuple[int, int]] = {}

        def progress(agent: Any, done: int, total: int) -> None:
            earlier, _ = asked.get(agent.key, (done, done))
            asked[agent.key] = (earlier, done)
            if agent.key not in bars:
                stack.close()
                bars[agent.key] = stack.enter_context(bar(console, agent.name, total))
            bars[agent.key](done)

        start = monotonic()
        summary = run_dilemmas(places, out, settings, overwrite, progress, console.print, overrides)
    console.print(served_by(summary))
    seconds, replies = monotonic() - start, sum(done - earlier for earlier, done in asked.values())
    if markdown:
        print((out / "tables.md").read_text(encoding="utf-8"))
    else:
        console.print(tables(summary))
    console.print(f"{replies} replies in {seconds:.0f} s, loading and figures included")
    console.print(f"records, summary, tables and figures: {out}")
    if (out.parent / "recipe.yaml").exists():
        console.print(f"report: {write_report(out.parent)}")
    elif "served" not in summary:
        _share(places, out, console)


def _share(places: Sequence[Path], out: Path, console: Console) -> None:
    """The reports of runs that were asked together show it too, unless they were asked alone as well."""
    from moralfit.report import write_report

    for place in places:
        if (place / "recipe.yaml").exists():
            copy = place / "dilemmas-compared" / "summary.json"
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(out / "summary.json", copy)
            console.print(f"also in: {write_report(place)}")


if __name__ == "__main__":
    run_cli(app)
