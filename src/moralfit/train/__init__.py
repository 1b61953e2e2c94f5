"""Training: a recipe becomes a run folder with data set, adapter, evaluation and report."""

from moralfit.train._run import Run, dry_run

__all__ = ["Run", "dry_run"]
