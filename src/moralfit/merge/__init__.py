"""Merging: an adapter's weights into its base's, for engines that load whole models."""

from moralfit.merge._merge import TOLERANCE, Merged, merge

__all__ = ["TOLERANCE", "Merged", "merge"]
