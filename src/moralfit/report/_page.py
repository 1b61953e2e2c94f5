"""The page: what a folder holds, put in the order in which a reader asks, and written in one piece."""

from __future__ import annotations

from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from moralfit.errors import RunError
from moralfit.files import write_text
from moralfit.report import _format
from moralfit.report._dilemmas import dilemmas
from moralfit.report._evaluation import agent_styles, evaluation
from moralfit.report._load import RunFolder, load_folder
from moralfit.report._market import markets, periods_words
from moralfit.report._run import base_model, curves, facts, load_lines, settings_tables, shortcuts
from moralfit.report._transcripts import transcripts
from moralfit.report._wants import wants


def write_report(run: Path) -> Path:
    """Writes `report.html` into a run folder: one file that needs nothing else, not even a network.

    The page is a function of the folder alone. A part of the run that is not there yet is left out. An older page stays in
    place until the new one is complete.

    Args:
        run: A run folder with at least its `recipe.yaml`.

    Returns:
        The path of the page.

    Raises:
        RunError: The folder is no run folder, or a file in it is damaged; the message names the file.
    """
    folder = load_folder(run)
    if folder.recipe is None:
        raise RunError(f"{run}: not a run folder, it has no recipe.yaml")
    return _write(folder)


def write_comparison(folder: Path) -> Path:
    """Writes `report.html` into a folder that holds one evaluation of several adapters.

    Args:
        folder: A folder with `evaluation/summary.json` and, for transcripts, `evaluation/records.jsonl`.

    Returns:
        The path of the page.

    Raises:
        RunError: There is no evaluation in the folder, or a file in it is damaged; the message names the file.
    """
    loaded = load_folder(folder)
    if loaded.summary is None:
        raise RunError(f"{folder}: nothing to compare, it has no evaluation/summary.json")
    return _write(loaded)


def _write(folder: RunFolder) -> Path:
    page = environment().get_template("report.html.j2").render(_context(folder))
    path = folder.path / "report.html"
    write_text(path, page)
    return path


def _context(folder: RunFolder) -> dict[str, Any]:
    """What the template speaks of."""
    recipe, summary = folder.recipe, folder.summary
    labels = _format.agent_labels(summary.agents) if summary else {}
    styles = agent_styles(summary.agents) if summary else {}
    found, misses = transcripts(summary, folder.records) if summary else ((), ())
    return {
        "name": str((recipe or {}).get("name", folder.path.resolve().name)),
        "is_run": recipe is not None,
        "base": base_model(folder),
        "formula": _format.formula(recipe.get("preference"), str(folder.path / "recipe.yaml")) if recipe else None,
        "facts": facts(folder),
        "labels": labels,
        "styles": styles,
        "evaluation": evaluation(summary, folder.records, labels, styles) if summary else None,
        "notes": summary.notes if summary else (),
        "wants": wants(summary, labels, styles) if summary else None,
        "transcripts": found,
        "misses": misses,
        "curves": curves(folder.steps),
        "bad_losses": sum(step.loss is not None and not isfinite(step.loss) for step in folder.steps),
        "settings": settings_tables(folder),
        "shortcuts": shortcuts(folder),
        "load": load_lines(folder) if recipe else [],
        "environment": folder.environment,
        "dilemmas": dilemmas(folder.path),
        "markets": markets(folder.path, summary.agents if summary else (), styles),
    }


@cache
def environment(application: str | None = None) -> Environment:
    """Every text is escaped, whoever wrote it; only our own drawings are marked as safe.

    Args:
        application: A package of moralfit with templates of its own that use the report's.
    """

    def finalize(value: Any) -> Any:
        return _format.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    folders = ["report"] if application is None else ["report", application]
    found = Environment(
        loader=ChoiceLoader([PackageLoader("moralfit", folder) for folder in folders]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (
        _format.count,
        _format.decision_title,
        _format.game_title,
        _format.interval,
        _format.minutes,
        _format.number,
        _format.part_title,
        _format.percent,
        _format.pretty,
        _format.signed,
        _format.signed_interval,
        _format.split_title,
        _format.spread,
        periods_words,
    )
    found.filters.update({filter.__name__: filter for filter in filters})
    return found
