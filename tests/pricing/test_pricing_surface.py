"""What the package offers, and that importing it costs little."""

from __future__ import annotations

import subprocess
import sys

import pytest

import moralfit.pricing


def test_heavy_libraries_are_imported_late() -> None:
    heavy = ("torch", "transformers", "peft", "datasets", "matplotlib", "numba", "scipy", "pandas")
    code = f"import sys, moralfit.pricing; print(*(name for name in {heavy} if name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_every_public_name_is_there() -> None:
    names = moralfit.pricing.__all__
    assert names == sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert all(getattr(moralfit.pricing, name).__doc__ for name in names)
    with pytest.raises(AttributeError, match="no attribute 'write_report'"):
        moralfit.pricing.write_report  # noqa: B018
