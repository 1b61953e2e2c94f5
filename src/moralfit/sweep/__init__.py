"""Sweeps: grids over training recipes and tournaments of agents, in this process or on Ray."""

from typing import TYPE_CHECKING, Any

from moralfit.sweep._recipe import SweepRecipe, load_sweep

if TYPE_CHECKING:
    from moralfit.sweep._run import Plan, dry_run, failed, plan_sweep, run_sweep

__all__ = ["Plan", "SweepRecipe", "dry_run", "failed", "load_sweep", "plan_sweep", "run_sweep"]


def __getattr__(name: str) -> Any:
    """Loads the rest at first use: libraries must be told about threads, and quieted, before they are imported."""
    if name in __all__:
        from moralfit.sweep import _run

        return getattr(_run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
