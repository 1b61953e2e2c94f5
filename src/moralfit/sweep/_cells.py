"""Cells: the pieces of work of a sweep. Each fills one folder, and knows of a folder whether it is finished."""

from __future__ import annotations

import os
import platform
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from moralfit.errors import MoralfitError, RunError
from moralfit.files import write_text

#: Seconds for which a process that has just been killed may seem to hold its cell.
_PATIENCE = 20.0


class Cell(Protocol):
    """One piece of work; plain data, so that it can be sent to another process.

    Attributes:
        id: Unique in the sweep, and a folder's name. folder: Where it works.
    """

    @property
    def id(self) -> str: ...

    @property
    def folder(self) -> Path: ...

    def finished(self) -> bool:
        """Whether all of it is there, as the files themselves prove.

        Raises:
            MoralfitError: Something else is there.
        """
        ...

    def run(self, console: Console) -> None:
        """Does what is missing."""
        ...


@dataclass(frozen=True)
class Outcome:
    """How a cell ended.

    Attributes:
        error: Why it failed, in one line; None if it did not. details: The traceback of an error that nobody foresaw.
        seconds: It took. worker: Host and process.
    """

    cell: str
    error: str | None
    details: str = ""
    seconds: float = 0.0
    worker: str = ""


def attempt(cell: Cell, threads: int, console: Console) -> Outcome:
    """Runs a cell, whatever happens: an error becomes part of the outcome. Only a killed process gets no further."""
    start = time.perf_counter()
    error, details = None, ""
    try:
        with _threads(threads), _alone(cell):
            cell.run(console)
            if not cell.finished():
                raise RunError(f"{cell.folder}: something is missing at the end")
    except MoralfitError as problem:
        error = str(problem)
    except Exception as problem:
        error, details = f"{type(problem).__name__}: {problem}", traceback.format_exc()
    return Outcome(cell.id, error, details, round(time.perf_counter() - start, 1), worker_name())


def worker_name() -> str:
    """Host and process."""
    return f"{platform.node()}/{os.getpid()}"


def log_of(cell: Cell) -> Path:
    """What a cell has said that ran elsewhere."""
    return cell.folder.parent.parent / "logs" / f"{cell.id}.log"


@contextmanager
def _threads(number: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _alone(cell: Cell) -> Iterator[None]:
    """Keeps other processes away from a cell. The lock goes with its process, however that ends.

    Raises:
        RunError: Another process works on the cell.
    """
    import fcntl

    path = log_of(cell).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    file.seek(0)
                    raise RunError(f"{cell.folder}: process {file.read().strip()} works on it; wait for it to end") from None
                time.sleep(0.5)
        file.truncate(0)
        file.write(f"{worker_name()}\n")
        file.flush()
        yield


def write_failure(cell: Cell, outcome: Outcome) -> None:
    """Keeps the traceback of an error that nobody foresaw beside the logs; removes one of an earlier attempt."""
    path = log_of(cell).with_suffix(".error.txt")
    if outcome.details:
        write_text(path, outcome.details)
    else:
        path.unlink(missing_ok=True)


Row = dict[str, Any]
