"""The processes of one training: one alone, or the ranks that `accelerate launch` or `torchrun` started.

Rank zero claims the run folder, builds the data set, writes and prints; the others train along. Whatever must not be done twice
goes through :meth:`Ranks.first`. A rank that fails says why and ends; the launcher then ends the rest.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from moralfit.console import USER_ERROR
from moralfit.errors import MoralfitError, RunError

try:
    import fcntl
except ImportError:  # Windows has none.
    fcntl = None  # type: ignore[assignment]

Result = TypeVar("Result")

#: How long ranks wait for what rank zero does alone, a large data set or a download. A dead rank ends the job long before.
_PATIENCE = timedelta(hours=6)
#: Seconds for which the other ranks hold back a message: if rank zero has the same one, the launcher has ended them by then.
_TURN = 5.0
#: Seconds after which a network file system shows to all what one has written.
_SHARED_WITHIN = 90.0


def rank_and_count() -> tuple[int, int]:
    """This process's rank and how many there are, as the launcher says; (0, 1) without one."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


#: The folders that this process works in, each with an open handle that holds its lock.
_HELD: dict[Path, int] = {}


def hold(folder: Path) -> None:
    """Keeps other jobs out of a folder until :func:`let_go` or the end of this process, however it ends.

    A launcher that is killed leaves its processes behind, which go on; the same command would otherwise write beside them.
    Where the file system knows no locks, nothing is kept out.

    Raises:
        RunError: Another process is at work in it.
    """
    if fcntl is None or not folder.is_dir():
        return
    place = folder.resolve()
    if place in _HELD:
        if os.path.samestat(os.fstat(_HELD[place]), place.stat()):
            return
        # It was deleted and made anew.
        os.close(_HELD.pop(place))
    handle = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise RunError(f"{folder}: another process is at work in it; wait for its end, or end it") from None
    except OSError:
        os.close(handle)
    else:
        _HELD[place] = handle


def let_go(folder: Path) -> None:
    """Lets other jobs in again."""
    if (handle := _HELD.pop(folder.resolve(), None)) is not None:
        os.close(handle)


def sharding() -> str | None:
    """Which library spreads the model over the processes, as `accelerate launch` says: `fsdp`, `deepspeed` or none."""
    for name in ("fsdp", "deepspeed"):
        if os.environ.get(f"ACCELERATE_USE_{name.upper()}", "false").lower() == "true":
            return name
    return None


@contextmanager
def one_message() -> Iterator[None]:
    """Lets rank zero speak first where all ranks fail alike, and names the rank in what another has to say.

    Raises:
        MoralfitError: What the block raised, of the same class.
    """
    rank, count = rank_and_count()
    try:
        yield
    except MoralfitError as error:
        if rank == 0:
            raise
        time.sleep(_TURN)
        raise type(error)(f"process {rank} of {count}: {error}") from None


class Ranks:
    """Rank and number of the processes of this training.

    Args:
        device: Where each of them trains: `cuda` takes one GPU for each process of a machine.
    """

    def __init__(self, device: str) -> None:
        self.rank, self.count = rank_and_count()
        self._group: Any = None
        if self.count > 1:
            import torch.distributed as dist
            from accelerate import PartialState

            # Also makes this process's GPU the current one.
            PartialState(cpu=device == "cpu", timeout=_PATIENCE)
            # Waiting for rank zero is done on the CPU: NCCL has a watchdog.
            self._group = dist.new_group(backend="gloo", timeout=_PATIENCE)

    @property
    def main(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def first(self, work: Callable[[], Result]) -> Result:
        """What rank zero's `work` returns, on all ranks. Where it raises, the other ranks end without a word."""
        if self.count == 1:
            return work()
        import torch.distributed as dist

        outcome: list[Any] = [False, None]
        if self.main:
            try:
                outcome = [True, work()]
            finally:
                dist.broadcast_object_list(outcome, src=0, group=self._group)
        else:
            dist.broadcast_object_list(outcome, src=0, group=self._group)
            if not outcome[0]:
                sys.exit(USER_ERROR)
        result: Result = outcome[1]
        return result

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.count > 1:
            import torch.distributed as dist

            dist.barrier(group=self._group)

    def smallest(self, number: int) -> int:
        """The smallest of the ranks' numbers."""
        if self.count == 1:
            return number
        import torch.distributed as dist

        numbers: list[Any] = [None] * self.count
        dist.all_gather_object(numbers, number, group=self._group)
        return int(min(numbers))

    def require_shared(self, file: Path) -> None:
        """Requires that every rank sees the file that rank zero has written.

        Raises:
            RunError: One does not: the run folder is on a disk of the first machine alone.
        """
        digest = self.first(file.read_bytes)
        end = time.monotonic() + _SHARED_WITHIN
        while not (file.exists() and file.read_bytes() == digest):
            if time.monotonic() > end:
                raise RunError(
                    f"{file.parent}: not what the first process sees; choose an output folder that all machines share"
                )
            time.sleep(0.5)

    def leave(self) -> None:
        """Ends the others' part: what follows is done by rank zero alone, however long it takes.

        To let them wait would run into the time limits of the communication, and keep their GPUs.
        """
        if self.count == 1:
            return
        import torch.distributed as dist
        from accelerate.state import AcceleratorState, PartialState

        # What belongs to the trainer refers to the group.
        gc.collect()
        self.wait()
        dist.destroy_process_group()
        AcceleratorState._reset_state(reset_partial_state=True)
        PartialState._reset_state()
        self.count = 1
