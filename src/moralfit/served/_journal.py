"""What a server was asked and answered, on disk as it comes: nothing is paid for twice, and what it cost is known."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from moralfit.errors import RunError


@dataclass(frozen=True)
class Usage:
    """Answered requests, and tokens as the server counts them."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


class Journal:
    """Values by what they were asked for, each with what it took; a file with one JSON line for each, or in memory alone.

    May be used by many threads at once.
    """

    def __init__(self, path: Path | None = None, anew: bool = False) -> None:
        """Reads what an earlier run left; a line that an interruption cut off is asked again.

        Args:
            anew: What an earlier run left counts for nothing. It stays in its place, and what is added in memory, until
                :meth:`begin`.
        """
        self._path, self._lock = path, Lock()
        self._values: dict[str, Any] = {}
        self._usage: dict[str, Usage] = {}
        self._ends = True
        #: What is to replace the file; None once there is nothing to replace.
        self._held: list[str] | None = [] if anew else None
        if path is not None and path.exists() and not anew:
            text = path.read_bytes()
            self._ends = text.endswith(b"\n") or not text
            for line in text.split(b"\n"):
                try:
                    entry = json.loads(line)
                    self._count(entry["model"], Usage(*entry["usage"]))
                    self._values[entry["key"]] = entry["value"]
                except (ValueError, KeyError, TypeError):
                    continue

    @staticmethod
    def key(*parts: Any) -> str:
        """A short name of whatever JSON can hold."""
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    def get(self, key: str) -> Any:
        """The value, None if there is none."""
        return self._values.get(key)

    def add(self, key: str, value: Any, model: str, usage: Usage) -> None:
        """Keeps a value. Raises RunError if the file cannot be written."""
        line = json.dumps({"key": key, "model": model, "usage": [*vars(usage).values()], "value": value}, ensure_ascii=False)
        with self._lock:
            self._values[key] = value
            self._count(model, usage)
            if self._held is not None:
                self._held.append(line)
            else:
                self._write("a", f"{line}\n" if self._ends else f"\n{line}\n")
                self._ends = True

    def begin(self) -> None:
        """Replaces what an earlier run left, where this one is `anew`. Raises RunError if the file cannot be written."""
        with self._lock:
            if self._held is not None:
                self._write("w", "".join(f"{line}\n" for line in self._held))
                self._held = None

    def usage(self, model: str | None = None) -> Usage:
        """What all of it took, or what one model did."""
        with self._lock:
            counted = [usage for name, usage in self._usage.items() if model in (None, name)]
        return sum(counted, Usage())

    def models(self) -> list[str]:
        """The models that were asked, in the order in which they first were."""
        return [*self._usage]

    def _write(self, mode: str, text: str) -> None:
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # A text of a model may hold halves of characters.
            with self._path.open(mode, encoding="utf-8", errors="surrogatepass", newline="\n") as file:
                file.write(text)
        except OSError as error:
            raise RunError(f"{self._path}: cannot be written ({error.strerror}); run the same command again to go on") from None

    def _count(self, model: str, usage: Usage) -> None:
        self._usage[model] = self._usage.get(model, Usage()) + usage
