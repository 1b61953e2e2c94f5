"""An evaluation as the command line shows it: with progress bars, and with the report rewritten."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from moralfit.agents import Agent
from moralfit.console import bar
from moralfit.evaluate._evaluate import evaluate
from moralfit.report import write_comparison, write_report


def evaluate_and_report(
    places: Sequence[Path], out: Path, overwrite: bool, console: Console, overrides: Sequence[str] = ()
) -> tuple[dict[str, Any], Path]:
    """Evaluates into `out` and writes the report beside it: the run's own, or one that compares several adapters."""
    with ExitStack() as stack:
        bars: dict[str, Any] = {}

        def progress(agent: Agent, done: int, total: int) -> None:
            if agent.key not in bars:
                stack.close()
                bars[agent.key] = stack.enter_context(bar(console, agent.name, total))
            bars[agent.key](done)

        summary = evaluate(places, out, overwrite, progress, console.print, overrides)
    run = out.parent
    report = write_report(run) if (run / "recipe.yaml").exists() else write_comparison(run)
    return summary, report
