"""Reports: a run or a comparison as one self-contained page. Imports neither torch nor transformers."""

from moralfit.report._page import write_comparison, write_report

__all__ = ["write_comparison", "write_report"]
