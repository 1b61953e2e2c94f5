"""Sweeps on a real local Ray: the same results, processes that are killed, and nobody else gets in."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from sweep_tools import GRID, contents, sweep
from tiny_model import Recipes

from moralfit.errors import RunError
from moralfit.sweep import _ray
from moralfit.sweep._ray import on_ray
from moralfit.sweep._recipe import WorkerSection
from moralfit.sweep._temporary import remove_stale

FOLDER = Path("runs/grid")
LONG = 1200


def test_a_ray_that_is_open_to_others_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    _ray._imported.cache_clear()
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    with pytest.raises(RunError, match="has imported Ray already"):
        list(on_ray([], WorkerSection(), None))


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    _ray._imported.cache_clear()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunError, match=r"pip install 'moralfit\[ray\]'"):
        list(on_ray([], WorkerSection(), None))
    assert "RAY_AUTH_TOKEN" not in os.environ


CELLS = """
import os
from dataclasses import dataclass
from pathlib import Path

@dataclass(frozen=True)
class Cell:
    id: str
    place: Path
    deaths: int

    @property
    def folder(self):
        return self.place / "cells" / self.id

    def finished(self):
        return (self.folder / "done").exists()

    def run(self, console):
        self.folder.mkdir(parents=True, exist_ok=True)
        tries = self.folder / "tries"
        tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
        if len(tries.read_text()) <= self.deaths:
            os.kill(os.getpid(), 9)
        if self.id == "raises":
            raise ZeroDivisionError("one by nothing")
        import torch
        console.print(f"threads {torch.get_num_threads()}")
        (self.folder / "done").touch()
"""


def listening() -> set[str]:
    """The addresses at which this process and its descendants wait for others, as /proc has them."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    ours, new = {os.getpid()}, [os.getpid()]
    while new:
        new = [child for parent in new for child in children.get(parent, [])]
        ours.update(new)
    sockets = set()
    for pid in ours:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                sockets.add(os.readlink(link))
            except OSError:
                continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1].rpartition(":")[0])
    return found


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a name so short that Unix sockets can lie in it."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="r") as name:
        yield Path(name)


#: 127.0.0.1, ::ffff:127.0.0.1 and ::1, as the kernel writes them.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not for every platform")
def test_cells_that_die(tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One dies once and is tried again, one dies whenever it is tried, one raises; the others are none the worse for it."""
    (tmp_path / "dying_cells.py").write_text(CELLS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_ray, "_SHORT", short)
    from dying_cells import Cell  # type: ignore[import-not-found]

    work = {"fine": 0, "once": 1, "always": 9, "raises": 0}
    outcomes: dict[str, Any] = {}
    heard: set[str] = set()
    for outcome in on_ray([Cell(name, tmp_path, deaths) for name, deaths in work.items()], WorkerSection(retries=1), None):
        outcomes[outcome.cell] = outcome
        heard |= listening()
    assert {name: outcome.error is None for name, outcome in outcomes.items()} == {
        "fine": True, "once": True, "always": False, "raises": False
    }  # fmt: skip
    assert (tmp_path / "cells/once/tries").read_text() == "xx"
    assert (tmp_path / "cells/always/tries").read_text() == "xx", "one retry"
    assert "died 2 times" in outcomes["always"].error
    assert outcomes["raises"].error == "ZeroDivisionError: one by nothing"
    assert "dying_cells.py" in outcomes["raises"].details
    assert "threads 1" in (tmp_path / "logs/fine.log").read_text()
    assert heard, "Ray listens somewhere"
    assert heard <= LOOPBACK
    assert "RAY_AUTH_TOKEN" not in os.environ, "the token goes with the session"
    assert list(short.iterdir()) == [], "and so do its files"
    with pytest.raises(RunError, match=r"a cell needs 99 CPUs and 0 GPUs, and this machine has \d+ CPUs"):
        list(on_ray([Cell("big", tmp_path, 0)], WorkerSection(cpus=99), None))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "moralfit.sweep", "sweep.yaml", *arguments]


def waited(what: Any, process: subprocess.Popen[str]) -> Any:
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        if found := what():
            return found
        if process.poll() is not None:
            break
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"did not happen: {process.communicate()}")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not for every platform")
def test_same_bytes_as_in_process(write_recipe: Recipes, workplace: Path) -> None:
    """A grid in process, and the same on Ray with a worker killed in the middle of its training."""
    write_recipe(training={"epochs": 20})
    values = {**GRID, "grid": {"recipe": "recipe.yaml", "over": {"preference.kappa": [0, 1]}}}
    (workplace / "sweep.yaml").write_text(yaml.safe_dump(values))
    done = subprocess.run(command(), capture_output=True, text=True, timeout=LONG)
    assert done.returncode == 0, done.stdout + done.stderr
    alone = contents(FOLDER)
    shutil.move(FOLDER, "alone")
    process = subprocess.Popen(command("--ray"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    cell, lock = FOLDER / "cells/kappa-0-moralis-0", FOLDER / "logs/kappa-0.lock"
    # The last one may be half-written, which is no checkpoint yet.
    waited(lambda: [p for p in cell.glob("checkpoints/checkpoint-*") if int(p.name.rpartition("-")[2]) >= 3], process)
    os.kill(int(lock.read_text().split("/")[-1]), signal.SIGKILL)
    assert not (cell / "adapter").exists(), "it was killed before it was done"
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == 0, out + err
    assert "resuming from checkpoint" in (FOLDER / "logs/kappa-0.log").read_text()
    found = contents(FOLDER)
    # The steps after the last checkpoint are written once more when they are trained once more.
    name = "cells/kappa-0-moralis-0/metrics.jsonl"
    assert {tuple(line) for line in json.loads(found.pop(name))} == {tuple(line) for line in json.loads(alone.pop(name))}
    assert found.keys() == alone.keys()
    assert [path for path in found if found[path] != alone[path]] == []
    assert {"summary.json", "summary.csv", "figures/figure.png"} <= set(found)
    workers = json.loads((FOLDER / "timings.json").read_text())
    assert workers["kappa-0"]["worker"] != workers["kappa-1"]["worker"]
    # Finished: neither mode does anything again.
    summary, said = sweep(values)
    assert "2 of 2 cells are finished" in said
    assert {row["status"] for row in summary["rows"]} == {"done"}


@pytest.fixture
def stopped() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not for every platform")
def test_a_sweep_that_is_killed_goes_on(write_recipe: Recipes, workplace: Path, stopped: list[Any]) -> None:
    """The driver is killed while cells run on Ray; what goes on in process does only what is missing."""
    write_recipe(training={"epochs": 20})
    values = {**GRID, "grid": {"recipe": "recipe.yaml", "over": {"preference.kappa": [0, 0.5, 1]}}}
    (workplace / "sweep.yaml").write_text(yaml.safe_dump(values))
    folders = {*_ray._SHORT.glob("moralfit-ray-*")}
    process = subprocess.Popen(command("--ray"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    stopped.append(process)
    first = FOLDER / "summary.json"
    waited(lambda: first.exists() and '"done"' in first.read_text(), process)
    left = {*_ray._SHORT.glob("moralfit-ray-*")} - folders
    assert left
    process.kill()
    process.wait()
    deadline = time.monotonic() + 120
    while any(folder.exists() for folder in left):
        assert time.monotonic() < deadline, "Ray's own processes end soon, and then their folder goes"
        remove_stale(_ray._SHORT)
        time.sleep(0.5)
    done = [row["cell"] for row in json.loads(first.read_text())["rows"] if row["status"] == "done"]
    assert 1 <= len(done) < 3
    before = {name: (FOLDER / "timings.json").read_text() for name in done}
    summary, said = sweep(values)
    assert f"{len(done)} of 3 cells are finished" in said
    assert [row["status"] for row in summary["rows"]] == ["done"] * 3
    timings = json.loads((FOLDER / "timings.json").read_text())
    for name in done:
        assert timings[name] == json.loads(before[name])[name]
