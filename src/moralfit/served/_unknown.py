"""Failures that mean that a server does not have a model: another try would not help, though the status says that it might."""

from __future__ import annotations

import json
import re

#: What servers say of a name that they do not know, where they say it with status 500.
_UNKNOWN = re.compile(
    r"model_not_found|not a valid model identifier|repository not found|unknown model|no such model"
    r"|\bmodel\b.{0,200}\b(not found|not exist)",
    re.IGNORECASE | re.DOTALL,
)
#: All that `transformers serve` says of any error.
_SILENT = "Internal Server Error"


def says_unknown(message: str, code: object) -> bool:
    """Whether an error's message or code is about a model that is not there."""
    return any(_UNKNOWN.search(text) is not None for text in (message, str(code)))


def load_address(url: str, message: str) -> str | None:
    """Where a server that answered so can be asked to load a model; None if it is not like `transformers serve`.

    That one looks for a model when it is first asked for, and fails at it in silence; here it says why.
    """
    root, v1, rest = url.rpartition("/v1")
    return f"{root}/load_model" if message == _SILENT and v1 and not rest else None


def load_problem(events: str) -> str | None:
    """Why loading failed, from the events (`data: JSON`, one a line) that such a server tells of it; None if it did not."""
    for line in events.splitlines():
        try:
            event = json.loads(line.removeprefix("data:"))
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("status") == "error":
            return str(event.get("message") or "no reason given")
    return None
