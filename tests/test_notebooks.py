"""The notebooks run from top to bottom, and what they show is what their text says."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def run(name: str) -> dict[str, Any]:
    """Executes the code cells of a notebook in order in one namespace."""
    cells = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))["cells"]
    namespace: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{name}, cell {number}", "exec"), namespace)
    return namespace


def test_games() -> None:
    shown = run("01_games.ipynb")
    assert shown["plans"] == {
        "0": (("D", "D", "D"),),
        "1/4": (("D", "D", "C"),),
        "1/2": (("C", "C", "D"),),
        "3/4": (("C", "C", "D"),),
        "1": (("C", "C", "C"),),
    }
    assert [after for _, _, after in shown["found"]] == [(("D", "D", "C"),), (("C", "C", "D"),), (("C", "C", "C"),)]
    assert shown["beliefs"]["homo economicus"] == (("N", "K"), ("N", "K"))
    exploiting = shown["table"][shown["table"]["T + S - 2R"] > 0]
    assert set(exploiting["optimal plans"]) == {"CDC"}
    assert shown["figure"].axes
    assert shown["kantian"].mixed
    assert shown["kantian"].strategies == (((shown["by_hand"], 1 - shown["by_hand"]),),)
    assert shown["swerve"]["1"] == shown["by_hand"]
    assert shown["swerve"]["0"] < shown["swerve"]["1/2"] < shown["swerve"]["1"]
    for mean, exact in zip(shown["means"], shown["formula"], strict=True):
        assert abs(mean - exact) <= Fraction(1, 4 * shown["tokens"])
    assert shown["figure_good"].axes
