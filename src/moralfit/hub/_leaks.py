"""What must not leave this machine: its folders, the names of its user and of itself, and secrets."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

from moralfit.credentials import secret_in
from moralfit.errors import RunError
from moralfit.models import cache_folder

#: Absolute paths of any machine, as they stand in settings and logs. Addresses on the web have a letter before the slash.
_PATHS = re.compile(
    r"(?<![\w.:/-])(?:~/|/(?:home|Users|root|mnt|tmp|var|opt|data|scratch|workspace|work|srv|media|private|content|kaggle)"
    r"/[\w.+-])|\b[A-Za-z]:\\{1,2}(?:Users|Windows|Program|Temp|Data)\b|\bfile://"
)
#: Account names that say nothing about anybody.
_ANYBODY = {"root", "user", "admin", "ubuntu", "debian", "runner", "jovyan", "nobody", "ec2-user", "azureuser", "localhost"}
#: Prose and data sets are made of English words, and an account may be called like one of them.
_PROSE = (".md", ".jsonl")
_SECRET_NAMES = re.compile(r"TOKEN|SECRET|PASSW|API_?KEY|ACCESS_KEY", re.I)


def check_leaks(files: Mapping[str, bytes | Path], owner: str) -> None:
    """Looks through every file that is about to be uploaded.

    Args:
        files: By name. owner: The user or organisation on the Hub that they go to, whose name is no secret.

    Raises:
        RunError: A file holds a path or name of this machine or a secret; the message names the file and shows no secret.
    """
    folders, names, secrets = list(_folders()), list(_names(owner)), list(_secrets())
    for name, content in files.items():
        if (found := _leak(name, content, folders, names, secrets)) is not None:
            raise RunError(
                f"{name} is not uploaded, nor is anything else: it holds {found}. Mend it (a recipe's system prompt, name or "
                "base may have brought it in) and push again"
            )


def _leak(name: str, content: bytes | Path, folders: list[str], names: list[str], secrets: list[str]) -> str | None:
    text = _text(name, content)
    if any(secret in text for secret in secrets):
        return "a secret from the environment"
    if (kind := secret_in(text)) is not None:
        return kind
    for folder in folders:
        if re.search(rf"(?<![\w.:/-]){re.escape(folder)}(?![\w-])", text):
            return f"a folder of this machine, {folder}"
    if (path := _PATHS.search(text)) is not None:
        return f"what looks like a path of some machine, {text[path.start() : path.start() + 60].split()[0]!r}"
    for person in names:
        shape = rf"[/\\@]{re.escape(person)}\b|\b{re.escape(person)}@" if name.endswith(_PROSE) else rf"\b{re.escape(person)}\b"
        if re.search(shape, text):
            return f"the name of this machine's user or of the machine, {person!r}"
    return None


def _text(name: str, content: bytes | Path) -> str:
    """What can be read in a file; of weights the header, since the rest is numbers.

    Raises:
        RunError: Weights without a header.
    """
    if not name.endswith(".safetensors"):
        data = content if isinstance(content, bytes) else content.read_bytes()
        return data.decode("utf-8", errors="replace")
    with BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
    try:
        json.loads(header)
    except ValueError:
        raise RunError(f"{name}: damaged, its header cannot be read; nothing is uploaded") from None
    return header.decode("utf-8")


def _folders() -> Iterator[str]:
    """The folders that paths of this machine begin with."""
    for folder in (Path.home(), Path.cwd(), cache_folder(), Path(sys.prefix), Path(tempfile.gettempdir())):
        yield from {str(spelt) for spelt in (folder, folder.resolve()) if len(spelt.parts) > 1}


def _names(owner: str) -> Iterator[str]:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = ""
    for name in {user, Path.home().name, socket.gethostname()}:
        if len(name) > 2 and name.lower() not in _ANYBODY and name.lower() != owner.lower():
            yield name


def _secrets() -> Iterator[str]:
    from huggingface_hub import get_token

    yield from (value for key, value in os.environ.items() if _SECRET_NAMES.search(key) and len(value) >= 12)
    if token := get_token():
        yield token
