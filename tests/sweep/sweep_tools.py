"""What tests of sweeps share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from moralfit.sweep import load_sweep, run_sweep

#: Files of a run that say when, where and how fast it was made; all others are the same whoever makes them.
TIMED = {"environment.json", "report.html", "metrics.jsonl", "timings.jsonl", "timings.json", "pricing.html"}

GRID: dict[str, Any] = {
    "name": "grid",
    "grid": {"recipe": "recipe.yaml", "set": {"training": {"epochs": 1}}, "over": {"preference.kappa": [0, 1]}},
}


def sweep(values: dict[str, Any], *overrides: str, **options: Any) -> tuple[dict[str, Any], str]:
    """Runs a sweep in the current folder; gives its summary and what was printed."""
    path = Path("sweep.yaml")
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    console = Console(width=110, record=True, file=StringIO())
    summary = run_sweep(load_sweep(path, overrides), console, **options)
    return summary, console.export_text()


def files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in TIMED and path.relative_to(folder).parts[0] != "logs":
            yield path.relative_to(folder)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a sweep that must not depend on how it was run."""
    found = {str(path): (folder / path).read_bytes() for path in files(folder)}
    for path in sorted(folder.rglob("metrics.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        found[str(path.relative_to(folder))] = json.dumps([[line["step"], line["loss"]] for line in lines]).encode()
    return found
