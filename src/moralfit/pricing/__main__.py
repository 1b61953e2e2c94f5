"""`python -m moralfit.pricing RECIPE [section.key=value...]`: plays a pricing experiment, analyses it and writes its report."""

from __future__ import annotations

import shutil
from collections.abc import Set
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from moralfit.console import bar, make_console, run_cli, silence_progress_bars
from moralfit.files import write_text
from moralfit.pricing._recipe import SPEAKING, PricingRecipe, load_pricing_recipe, plan

app = typer.Typer(add_completion=False)


@app.command()
def main(
    recipe: Annotated[Path, typer.Argument(help="A YAML recipe; see recipes/pricing-*.yaml.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Dotted overrides such as periods=20 market.mu=0.5.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write; by default OUTPUT/NAME of the recipe.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete an earlier experiment there first.")] = False,
    validate: Annotated[bool, typer.Option("--validate", help="Check the recipe, print it as resolved, and stop.")] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Say what would be played and stop.")] = False,
) -> None:
    """Play, analyse and report. Run the same command again to continue an interrupted experiment."""
    console = make_console()
    resolved = load_pricing_recipe(recipe, overrides or [])
    folder = out or resolved.folder
    if validate:
        console.print(resolved.as_yaml(), markup=False, highlight=False)
        return
    silence_progress_bars()
    if dry:
        console.print(_dry_run(resolved, folder))
        return
    from moralfit.pricing._analysis import analyse
    from moralfit.pricing._experiment import run_experiment
    from moralfit.pricing._page import write_pricing_report
    from moralfit.pricing._results import pace_of, result_markdown, result_table, result_warnings

    with ExitStack() as stack:
        bars: list[Any] = []

        def progress(done: int, total: int) -> None:
            if not bars:
                bars.append(stack.enter_context(bar(console, "periods", total)))
            bars[0](done)

        played = run_experiment(resolved, folder, overwrite, progress, console.print)
    if not played:
        console.print(f"{folder}: finished earlier; nothing was played again. --overwrite starts anew.")
    summary = analyse(folder)
    report = write_pricing_report(folder)
    pace = pace_of(folder, summary)
    write_text(folder / "tables.md", result_markdown(summary, pace))
    console.print(result_table(summary), *result_warnings(summary), sep="\n")
    if pace:
        console.print(pace)
    _share(resolved, folder, {agent["key"] for agent in summary["agents"]}, console)
    console.print(f"records, summary and tables.md: {folder}\nreport: {report}")


def _share(recipe: PricingRecipe, folder: Path, played: Set[str], console: Console) -> None:
    """The reports of runs whose adapters took part show the experiment too."""
    from moralfit.report import write_report

    took_part = [agent for name, agent in recipe.agents.items() if name in played]
    places = dict.fromkeys(Path(agent.adapter) for agent in took_part if agent.adapter is not None)
    for place in places:
        if (place / "recipe.yaml").exists():
            copy = place / "pricing" / recipe.name / "summary.json"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / "summary.json", copy)
            console.print(f"also in: {write_report(place)}")


def _dry_run(recipe: PricingRecipe, folder: Path) -> Table:
    """What would be played, with real prompts and the real tokenizer; writes nothing and loads no weights."""
    plans = plan(recipe)
    used = [name for name in recipe.agents if any(name in run.agents for run in plans)]
    speaking = [name for name in used if recipe.agents[name].kind in SPEAKING]
    seats = sum(run.agents.count(name) for run in plans for name in speaking)
    facts = {
        "pairings": ", ".join("-".join(pair) for pair in recipe.pairs()),
        "runs": f"{len(plans):,}: {recipe.runs} of each pairing, {len(recipe.scales)} scales, {len(recipe.wordings)} wordings",
        "periods": f"{recipe.periods:,}",
        "decisions": f"{len(plans) * recipe.market.firms * recipe.periods:,}, {seats * recipe.periods:,} of them in words",
    }
    if speaking:
        from moralfit.models import load_tokenizer
        from moralfit.pricing._cast import adapters, prompt_lengths

        adapters(recipe, used)
        first, longest = prompt_lengths(recipe, plans, load_tokenizer(recipe.model))
        replies = recipe.decoding.max_new_tokens
        history = min(recipe.prompt.history, recipe.periods - 1)
        facts["tokens of a prompt"] = f"{first} at first, about {longest} with {history} periods of history and full notes"
        facts["replies a period"] = f"{seats:,}, {recipe.decoding.batch_size} at once, at most {replies} tokens each"
        share = min(1.0, history / max(1, recipe.periods))
        mean = longest - (longest - first) * share / 2
        facts["tokens read in all"] = f"about {seats * recipe.periods * mean:,.0f}, without asking again"
        facts["tokens written in all"] = f"at most {seats * recipe.periods * replies * (1 + recipe.decoding.retries):,}"
    table = Table(title=f"{recipe.name}: what would be played", show_header=False)
    for name, value in {**facts, "folder": str(folder)}.items():
        table.add_row(name, value)
    return table


if __name__ == "__main__":
    run_cli(app)
