"""What all command-line entry points share: one console, one way to fail, and quiet libraries."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from moralfit.errors import MoralfitError

#: Exit code for what the user can mend.
USER_ERROR = 2
#: Exit code after Ctrl-C, as shells have it.
INTERRUPTED = 130


def run_cli(app: Callable[[], Any]) -> None:
    """Runs a typer app; a :class:`MoralfitError` becomes one message on stderr and exit code 2."""
    quiet_libraries()
    try:
        app()
    except MoralfitError as error:
        print(f"moralfit: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)
    except SystemExit as leaving:
        # What typer makes of Ctrl-C.
        if leaving.code == INTERRUPTED:
            print("moralfit: stopped; run the same command again to go on", file=sys.stderr)
        raise


def make_console() -> Console:
    """The console of a command: the terminal's width, or room for the widest table where output goes to a file."""
    console = Console()
    return console if console.is_terminal else Console(width=110)


def quiet_libraries() -> None:
    """Progress bars and advice of the libraries below would drown ours. Must run before they are imported."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    for name in ("bitsandbytes", "transformers", "trl", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)


def silence_progress_bars() -> None:
    """The bars that only a call turns off."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


@contextmanager
def bar(console: Console, text: str, total: int) -> Iterator[Callable[..., None]]:
    """A progress bar; the block gets a function of (done, optional note)."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=False) as progress:
        task = progress.add_task(text, total=total, note="")

        def update(done: int, note: str = "") -> None:
            progress.update(task, completed=done, note=note)

        yield update
