"""Grids of the tiny model: what is left behind, what is done again, and what a failure costs."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from sweep_tools import GRID, contents, sweep
from tiny_model import TINY, VALUES

from moralfit.errors import RunError, TrainingError
from moralfit.sweep import failed
from moralfit.train import Run

FOLDER = Path("runs/grid")
CELLS = {"kappa-0": FOLDER / "cells/kappa-0-moralis-0", "kappa-1": FOLDER / "cells/kappa-1-moralis-1"}


@pytest.fixture(scope="module")
def finished(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished grid of two cells, which the tests copy."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("grid")
    (place / TINY).symlink_to(tiny)
    (place / "recipe.yaml").write_text(yaml.safe_dump(VALUES))
    before = Path.cwd()
    os.chdir(place)
    try:
        summary, said = sweep(GRID)
        (place / "said.txt").write_text(said)
        assert failed(summary) == []
    finally:
        os.chdir(before)
    return place


@pytest.fixture
def place(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(finished, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the runs that are started from now on."""
    found: list[str] = []
    go = Run.go

    def watched(self: Run, overwrite: bool) -> Any:
        found.append(self.recipe.name)
        return go(self, overwrite)

    monkeypatch.setattr(Run, "go", watched)
    return found


def test_what_is_left_behind(finished: Path) -> None:
    folder = finished / FOLDER
    names = {path.name for path in folder.iterdir()}
    assert names == {"sweep.yaml", "cells", "logs", "summary.json", "summary.csv", "timings.json", "figures"}
    assert {path.name for path in (folder / "figures").iterdir()} == {"figure.png", "figure.svg"}
    assert set(json.loads((folder / "timings.json").read_text())) == {"kappa-0", "kappa-1"}
    summary = json.loads((folder / "summary.json").read_text())
    assert [(row["cell"], row["status"], row["target_kappa"]) for row in summary["rows"]] == [
        ("kappa-0", "done", 0), ("kappa-1", "done", 1)
    ]  # fmt: skip
    for row in summary["rows"]:
        evaluation = json.loads((folder / row["run"] / "evaluation/summary.json").read_text())
        of_tuned = [r for r in evaluation["rows"] if r["agent"] == "tuned" and r["game"] == "all"]
        assert [r["split"] for r in of_tuned] == ["payoffs", "words"]
        assert row["agreement_payoffs"] == of_tuned[0]["agreement"]["estimate"]
        assert row["agreement_words_high"] == of_tuned[1]["agreement"]["high"]
        assert row["invalid_words"] == of_tuned[1]["invalid"]
        assert row["kappa_status"] == "too few", "three prompts a part tell nothing"
    with (folder / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["set:preference.kappa"] for row in rows] == ["0", "1"]
    assert rows[0]["kappa"] == ""
    assert float(rows[1]["agreement_payoffs_low"]) == summary["rows"][1]["agreement_payoffs_low"]


def test_what_is_printed(finished: Path) -> None:
    said = (finished / "said.txt").read_text()
    assert "1 of 2: kappa-0 done" in said
    assert "every cell on held-out games" in said
    assert "summary: runs/grid/summary.csv" in said


def test_finished_cells_are_kept(place: Path, ran: list[str]) -> None:
    before = contents(FOLDER)
    _, said = sweep(GRID)
    assert ran == []
    assert contents(FOLDER) == before
    assert "2 of 2 cells are finished" in said


def test_a_grid_may_grow(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(Run, "go", lambda self, overwrite: ran.append(self.recipe.name))
    summary, _ = sweep(GRID, "grid.over.preference.kappa=[1, 0.5]")
    assert ran == ["kappa-0.5"]
    assert [(row["cell"], row["status"]) for row in summary["rows"]] == [("kappa-1", "done"), ("kappa-0.5", "failed")]
    assert "something is missing at the end" in summary["rows"][1]["error"], "nothing was run, and so nothing is there"
    assert CELLS["kappa-0"].exists()


def test_half_finished_cells_are_finished(place: Path, ran: list[str]) -> None:
    """As a process leaves them that is killed while it evaluates: the training is not repeated."""
    before = contents(FOLDER)
    cell = CELLS["kappa-1"]
    (cell / "finished.json").unlink()
    (cell / "evaluation/summary.json").unlink()
    records = (cell / "evaluation/records.jsonl").read_text().splitlines(keepends=True)
    (cell / "evaluation/records.jsonl").write_text("".join(records[:5]) + records[5][:20])
    sweep(GRID)
    assert ran == ["kappa-1"]
    after = contents(FOLDER)
    name = str((cell / "evaluation/records.jsonl").relative_to(FOLDER))
    assert sorted(before.pop(name).splitlines()) == sorted(after.pop(name).splitlines())
    assert after == before


def test_an_adapter_of_another_training_is_not_taken_for_this_one(place: Path) -> None:
    shutil.copyfile(
        CELLS["kappa-0"] / "adapter/adapter_model.safetensors", CELLS["kappa-1"] / "adapter/adapter_model.safetensors"
    )
    with pytest.raises(RunError, match="not the one that the run ended with"):
        sweep(GRID)


def test_a_folder_of_another_recipe_stops_all(place: Path, ran: list[str]) -> None:
    with pytest.raises(RunError, match=r"differs in training\.learning_rate") as caught:
        sweep(GRID, "grid.set.training.learning_rate=0.1", "grid.over.preference.kappa=[0.5, 0, 1]")
    assert str(caught.value).count("differs in") == 2
    assert ran == []


def test_a_folder_that_is_no_sweep_is_left_alone(workplace: Path) -> None:
    (workplace / "recipe.yaml").write_text(yaml.safe_dump(VALUES))
    FOLDER.mkdir(parents=True)
    (FOLDER / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="not the folder of a sweep"):
        sweep(GRID)
    assert [path.name for path in FOLDER.iterdir()] == ["mine.txt"]


def test_a_failure_does_not_stop_the_others(place: Path, ran: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(CELLS["kappa-0"])
    (CELLS["kappa-1"] / "finished.json").unlink()
    whole = Run.go

    def fails(self: Run, overwrite: bool) -> Any:
        if self.recipe.name == "kappa-0":
            raise TrainingError("the loss is not a number; lower training.learning_rate")
        if self.recipe.name == "kappa-0.5":
            raise ZeroDivisionError("division by zero")
        return whole(self, overwrite)

    monkeypatch.setattr(Run, "go", fails)
    summary, said = sweep(GRID, "grid.over.preference.kappa=[0, 0.5, 1]")
    assert failed(summary) == ["kappa-0", "kappa-0.5"]
    assert [row["error"] for row in summary["rows"]] == [
        "the loss is not a number; lower training.learning_rate", "ZeroDivisionError: division by zero", None
    ]  # fmt: skip
    assert json.loads((FOLDER / "summary.json").read_text()) == summary
    assert "kappa-0 failed: the loss is not a number" in said
    assert "ZeroDivisionError" in (FOLDER / "logs/kappa-0.5.error.txt").read_text()
    assert not (FOLDER / "logs/kappa-0.error.txt").exists()
    # The next attempt tries the failed ones again, and forgets what was wrong.
    monkeypatch.setattr(Run, "go", whole)
    ran.clear()
    summary, _ = sweep(GRID)
    assert ran == ["kappa-0"]
    assert failed(summary) == []
    (FOLDER / "logs/kappa-0.error.txt").write_text("of an earlier attempt")
    (CELLS["kappa-0"] / "finished.json").unlink()
    sweep(GRID)
    assert not (FOLDER / "logs/kappa-0.error.txt").exists()


def test_a_cell_is_not_worked_on_twice(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    from moralfit.sweep import _cells

    monkeypatch.setattr(_cells, "_PATIENCE", 0.1)
    (CELLS["kappa-1"] / "finished.json").unlink()
    with (FOLDER / "logs/kappa-1.lock").open("a+") as file:
        file.truncate(0)
        file.write("elsewhere/7\n")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        summary, _ = sweep(GRID)
    (row,) = [row for row in summary["rows"] if row["cell"] == "kappa-1"]
    assert "process elsewhere/7 works on it" in row["error"]
