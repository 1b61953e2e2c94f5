"""Writing files and folders so that nothing half-written is ever found under its final name."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moralfit.errors import RunError


def write_text(path: Path, text: str) -> None:
    """Writes a file under a temporary name beside it, then renames it into place.

    Raises:
        RunError: The disk is full or the place cannot be written; whatever stood at `path` is still there.
    """
    handle, temporary = -1, ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise RunError(f"{path}: cannot be written ({error.strerror})") from None


def write_json(path: Path, value: Any) -> None:
    """The same for JSON, indented, keys as given."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file. Raises RunError naming it if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise RunError(f"{path}: damaged, not JSON ({error}); delete it to have it made anew") from None


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Gives a temporary folder that becomes `path` when the block ends well and vanishes when it does not.

    Raises:
        RunError: The disk is full or the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror})") from None
    try:
        yield temporary
        os.chmod(temporary, 0o755)
        try:
            os.replace(temporary, path)
        except OSError:
            # Another process made the same folder first, or an old one is to be replaced: rename cannot replace a full one.
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
            os.replace(path, old / path.name)
            os.replace(temporary, path)
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
