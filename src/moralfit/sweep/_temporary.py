"""The temporary folders of private Rays, which a killed driver cannot remove: the next one does."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "moralfit-ray-"
#: Locked by the process that made the folder for as long as that lives: the system lets go of it, however the process ends.
_OWNER = "owner.lock"


@contextmanager
def session_folder(place: Path) -> Iterator[Path]:
    """A new folder in `place`, removed at the end; so are those of processes that have died and left theirs behind."""
    remove_stale(place)
    folder, lock = _new(place)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _new(place: Path) -> tuple[Path, int]:
    import fcntl

    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        try:
            # Not handed on to child processes, which may outlive this one.
            lock = os.open(folder / _OWNER, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except FileNotFoundError:
            continue
        if os.fstat(lock).st_nlink:
            return folder, lock
        # Another process has taken it for a dead one's, between the two calls.
        os.close(lock)


def remove_stale(place: Path) -> None:
    """Removes the folders of dead processes of this user. Whatever is not surely one of these is left alone."""
    import fcntl

    for folder in place.glob(f"{_PREFIX}*"):
        try:
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or _in_use(folder):
                continue
            lock = os.open(folder / _OWNER, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            # Its owner lives.
            continue
        finally:
            os.close(lock)


def _in_use(folder: Path) -> bool:
    """Whether some process was started with this folder, where that can be seen: Ray's own end soon after their driver."""
    name = f"{folder}".encode()
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if name in command.read_bytes():
                return True
        except OSError:
            continue
    return False
