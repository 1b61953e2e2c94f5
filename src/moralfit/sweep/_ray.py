"""Cells on Ray: on this machine alone, or on a cluster that is running."""

from __future__ import annotations

import logging
import os
import platform
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from rich.console import Console

from moralfit.errors import RunError
from moralfit.sweep._cells import Cell, Outcome, attempt, log_of
from moralfit.sweep._recipe import WorkerSection
from moralfit.sweep._temporary import session_folder

#: Cells hand over nothing but an outcome, so that the store may be as small as Ray allows.
_STORE = 80 * 1024 * 1024
#: Of a Ray of our own: no telemetry, every port on the loopback alone (the variable's name speaks of other systems, but what it
#: switches off is the search for an address that others can reach), and a token without which nobody gets in.
_PRIVATE = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
#: Unix sockets have short names, and the temporary folders of some systems long ones.
_SHORT = Path("/tmp")


def on_ray(
    cells: Sequence[Cell], workers: WorkerSection, address: str | None, say: Callable[[str], None] = lambda text: None
) -> Iterator[Outcome]:
    """Runs cells on Ray and yields their outcomes as they come, each cell in a process of its own.

    A cell whose process dies is tried again, up to `workers.retries` times, where its folder ended.

    Args:
        address: Of a running cluster, whose machines share this folder; None starts Ray on this machine alone, and ends it.
        say: Prints a line.

    Raises:
        RunError: Ray is not installed, cannot be started or reached, or has no machine large enough for a cell.
    """
    # Before Ray is imported, which reads its environment once.
    with _environment({} if address else {**_PRIVATE, "RAY_AUTH_TOKEN": _token()}):
        ray = _imported(private=address is None)
        with _session(ray, address):
            _check_size(ray, workers, address is None, say)
            remote = ray.remote(num_cpus=workers.cpus, num_gpus=workers.gpus, max_retries=workers.retries, max_calls=1)(_work)
            here = str(Path.cwd())
            waiting = {remote.remote(cell, workers.cpus, here): cell for cell in cells}
            try:
                while waiting:
                    (done,), _ = ray.wait(list(waiting), num_returns=1)
                    yield _outcome(ray, done, waiting.pop(done), workers.retries)
            finally:
                for left in waiting:
                    ray.cancel(left, force=True)


@cache
def _imported(private: bool) -> Any:
    """Ray. A private one must be told so before it is imported, which is when it reads most of its environment."""
    if private and sys.modules.get("ray") is not None:
        raise RunError(
            "this process has imported Ray already, which would then be open to other machines; start the sweep with "
            "python -m moralfit.sweep, or give the address of a cluster"
        )
    try:
        import ray
    except ImportError:
        raise RunError("Ray is not installed; pip install 'moralfit[ray]', or leave out --ray") from None
    return ray


@cache
def _token() -> str:
    """The same for all sessions of a process: Ray reads it once."""
    return secrets.token_hex(32)


def _work(cell: Cell, threads: int, here: str) -> Outcome:
    """Runs in the worker. What it says goes to the cell's log."""
    from moralfit.console import quiet_libraries, silence_progress_bars

    try:
        os.chdir(here)
    except OSError as error:
        return Outcome(cell.id, f"{here}: not there on {platform.node()} ({error.strerror}); machines must share this folder")
    quiet_libraries()
    silence_progress_bars()
    path = log_of(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        return attempt(cell, threads, Console(file=file, width=110))


def _outcome(ray: Any, reference: Any, cell: Cell, retries: int) -> Outcome:
    try:
        outcome: Outcome = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        # What a cell raises is in its outcome: this is about getting there, such as a machine without this package.
        return Outcome(cell.id, f"could not be started: {error.cause}", str(error))
    except ray.exceptions.RayError as error:
        what = " ".join(str(error).split())[:300]
        return Outcome(cell.id, f"its process died {retries + 1} time{'s' * (retries > 0)} ({type(error).__name__}: {what})")
    return outcome


@contextmanager
def _session(ray: Any, address: str | None) -> Iterator[None]:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    if ray.is_initialized():
        raise RunError("Ray is in use in this process already; end that session with ray.shutdown() first")
    with ExitStack() as ending:
        temporary = None
        if not address:
            temporary = str(ending.enter_context(session_folder(_SHORT if _SHORT.is_dir() else Path(tempfile.gettempdir()))))
        ending.callback(ray.shutdown)
        try:
            if address:
                ray.init(address=address, **quiet)
            else:
                ray.init(
                    num_cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
                    include_dashboard=False, object_store_memory=_STORE, _temp_dir=temporary, **quiet,
                )  # fmt: skip
        except (ConnectionError, OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            where = f"--address {address}: cannot be reached" if address else "Ray cannot be started here"
            raise RunError(f"{where} ({' '.join(str(error).split())[:300]})") from None
        if not address and not all(ip_address(node["NodeManagerAddress"]).is_loopback for node in ray.nodes()):
            raise RunError("Ray would be open to other machines, which this version of it should not be; use ray==2.60")
        yield


def _check_size(ray: Any, workers: WorkerSection, own: bool, say: Callable[[str], None]) -> None:
    """Requires some machine that has what a cell needs: Ray would wait for one for ever."""
    most = {"CPU": 0.0, "GPU": 0.0}
    for node in ray.nodes():
        resources = node["Resources"] if node["Alive"] else {}
        if resources.get("CPU", 0) >= workers.cpus and resources.get("GPU", 0) >= workers.gpus:
            if resources.get("GPU", 0) and not workers.gpus:
                say("workers.gpus is 0: cells on Ray see none of the GPUs that are there")
            return
        most = {kind: max(most[kind], resources.get(kind, 0)) for kind in most}
    where = "this machine has" if own else "the cluster's machines have at most"
    raise RunError(
        f"workers: a cell needs {workers.cpus} CPUs and {workers.gpus:g} GPUs, and {where} {most['CPU']:g} CPUs and "
        f"{most['GPU']:g} GPUs; lower workers.cpus or workers.gpus"
    )


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
