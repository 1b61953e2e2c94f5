"""moralfit: language-model agents whose choices follow a stated utility, and proof that they do."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moralfit.hub import load_agent

__all__ = ["__version__", "load_agent"]

__version__ = metadata.version("moralfit")


def __getattr__(name: str) -> Any:
    """`moralfit.load_agent`, imported when asked for: it brings torch along, which the economics does without."""
    if name == "load_agent":
        from moralfit.hub import load_agent

        return load_agent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
