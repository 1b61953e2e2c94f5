"""Training: a recipe becomes a run folder with data set, adapter, evaluation and report."""

from typing import TYPE_CHECKING, Any

from moralfit.train._validate import asks_libraries

if TYPE_CHECKING:
    from moralfit.train._options import check_options
    from moralfit.train._run import Run, dry_run

__all__ = ["Run", "asks_libraries", "check_options", "dry_run"]


def __getattr__(name: str) -> Any:
    """Loads the trainer at first use: `--validate` needs no torch, and libraries must be quieted before they are imported."""
    if name == "check_options":
        from moralfit.train import _options

        return _options.check_options
    if name in __all__:
        from moralfit.train import _run

        return getattr(_run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
