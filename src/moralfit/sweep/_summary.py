"""A grid in numbers: one row a cell, as JSON, as CSV, and as the table that a person reads at the end."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from moralfit.errors import MoralfitError
from moralfit.evaluate import new_table
from moralfit.sweep._cells import Row
from moralfit.sweep._grid import TrainingCell

#: Version of the summary; raised when a field changes its meaning.
SCHEMA = 1


def summarise_grid(name: str, cells: Sequence[TrainingCell], errors: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """One row for each cell in the order of the grid; nothing in it depends on who ran the cells, or when.

    Args:
        errors: Of the cells that failed, what went wrong. folder: Of the sweep; rows name runs relative to it.
    """
    rows: list[Row] = []
    for cell in cells:
        recipe = cell.recipe
        row: Row = {"cell": cell.id, "settings": dict(cell.settings), "status": "missing", "error": None}
        row |= {
            "run": str(cell.folder.relative_to(folder)),
            "base": recipe.model.base,
            "preference": recipe.preference.build().name,
            "target_kappa": recipe.preference.kappa or 0.0,
            "train_samples": recipe.data.train_samples,
            "lora_r": recipe.lora.r,
            "seed": recipe.seed,
        }
        try:
            if cell.id in errors:
                row |= {"status": "failed", "error": errors[cell.id]}
            elif cell.finished():
                row |= {"status": "done", **cell.row()}
        except MoralfitError as error:
            row |= {"status": "failed", "error": str(error)}
        rows.append(row)
    return {"schema": SCHEMA, "kind": "grid", "sweep": name, "keys": list(cells[0].settings), "rows": rows}


def as_csv(rows: Sequence[Row]) -> str:
    """Rows as a table of plain values: settings by their dotted keys, lists as JSON, nothing as nothing."""
    flat = [{**row, **{f"set:{key}": value for key, value in row.get("settings", {}).items()}} for row in rows]
    columns = [column for column in dict.fromkeys(key for row in flat for key in row) if column != "settings"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in flat)
    return out.getvalue()


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else "" if value is None else value


def grid_table(summary: Mapping[str, Any]) -> Group:
    """Target and estimated kappa and agreement for each cell; then what went wrong."""
    keys = summary["keys"]
    lasts = [key.rsplit(".", 1)[-1] for key in keys]
    table: Table = new_table(f"{summary['sweep']}: every cell on held-out games")
    for key, last in zip(keys, lasts, strict=True):
        table.add_column(last if lasts.count(last) == 1 else key, no_wrap=True)
    for heading in ("target\nkappa", "estimated\nkappa [95%]", "other payoffs\n[95%]", "and words\n[95%]", "unpar-\nseable"):
        table.add_column(heading, justify="right", no_wrap=True)
    notes = []
    for row in summary["rows"]:
        shown = [_shown(row["settings"][key]) for key in keys]
        if row["status"] != "done":
            table.add_row(
                *shown, f"{row['target_kappa']:g}", row["status"], style="red" if row["status"] == "failed" else "dim"
            )
            if row["error"]:
                notes.append(f"{row['cell']} failed: {row['error']}")
            continue
        invalid = max(row["invalid_payoffs"], row["invalid_words"])
        agreement = [_percent(row, f"agreement_{part}") for part in ("payoffs", "words")]
        table.add_row(*shown, f"{row['target_kappa']:g}", estimated(row), *agreement, f"{invalid:.1%}")
        if row["kappa"] is None and row["kappa_remark"]:
            notes.append(f"{row['cell']}: {row['kappa_remark']}")
    return Group(table, *(Text(note) for note in notes))


def estimated(row: Mapping[str, Any]) -> str:
    """The estimated kappa with its interval; where choices leave a set of values, that set."""
    value, low, high = row["kappa"], row["kappa_low"], row["kappa_high"]
    if value is None:
        return "-" if low is None or high is None else f"only {low:.2f}" if high - low < 1e-6 else f"{low:.2f} to {high:.2f}"
    return f"{value:.2f}" if low is None or high is None else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _percent(row: Mapping[str, Any], name: str) -> str:
    if row[name] is None:
        return "-"
    return f"{row[name]:.0%} [{100 * row[f'{name}_low']:.0f}, {100 * row[f'{name}_high']:.0f}]"
