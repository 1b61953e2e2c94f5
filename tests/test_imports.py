"""Modules import only from modules before them, in the order that CONTRIBUTING.md gives; the economics needs no torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/moralfit"
#: Everything may import these, and they import nothing but each other.
BASE = ("errors", "files", "console", "credentials")
ORDER = (
    "games", "preferences", "solve", "estimate", "words", "recipe", "models", "dataset", "chat", "served", "agents", "report",
    "evaluate", "hub", "push", "merge", "train", "pricing", "dilemmas", "sweep", "inspect_tasks",
)  # fmt: skip
#: These do not know each other.
APPLICATIONS = {"pricing", "dilemmas"}
#: Imports against the order, as (file, module). None is needed.
EXCEPTIONS: set[tuple[str, str]] = set()
WITHOUT_TORCH = ("games", "preferences", "solve", "estimate")


def imported(file: Path) -> Iterator[str]:
    """Dotted names of all modules that a file imports, at its top or later."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def files() -> list[tuple[str, Path]]:
    """Every source file with the module of :data:`ORDER` or :data:`BASE` that it belongs to."""
    found = [(file.relative_to(SOURCE).parts[0].removesuffix(".py"), file) for file in sorted(SOURCE.rglob("*.py"))]
    return [(module, file) for module, file in found if module != "__init__"]


def test_every_module_has_a_place() -> None:
    assert {module for module, _ in files()} <= {*BASE, *ORDER}
    written = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    order = re.search(r"Data flows one way:(.+?)\.", written, re.DOTALL)
    assert order is not None
    assert tuple(re.split(r"[\s,]*->\s*", " ".join(order[1].split()))) == ORDER


@pytest.mark.parametrize("module", [*BASE, *ORDER])
def test_imports_come_from_before(module: str) -> None:
    allowed = {*BASE} if module in BASE else {*BASE, *ORDER[: ORDER.index(module) + 1]}
    if module in APPLICATIONS:
        allowed -= APPLICATIONS - {module}
    for owner, file in files():
        if owner == module:
            where = str(file.relative_to(SOURCE))
            ours = {name.split(".")[1] for name in imported(file) if name.startswith("moralfit.")}
            against = {name for name in ours - allowed if (where, name) not in EXCEPTIONS}
            assert not against, f"{where} imports {', '.join(sorted(against))}"


def test_the_economics_names_no_language_model_library() -> None:
    for module, file in files():
        if module in (*WITHOUT_TORCH, "errors", "files"):
            tops = {name.split(".")[0] for name in imported(file)}
            assert not tops & {"torch", "transformers", "trl", "peft", "datasets"}, file


def test_the_economics_loads_no_language_model_library() -> None:
    names = ", ".join(f"moralfit.{module}" for module in WITHOUT_TORCH)
    code = f"import sys, {names}; print(*{{'torch', 'transformers'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
