"""The quickstart as it is shipped, on the embedded model: some ten minutes. Nothing else would notice that it learns less."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[2] / "recipes/quickstart.yaml"
#: More prompts than the recipe has, so that one decision more or less is worth half a point; no agents beside it.
ENOUGH = ("evaluation.prompts=96", "evaluation.compare=[random]", "evaluation.probabilities=false")
LEAST_AGREEMENT = {"payoffs": 0.95, "words": 0.85}
MOST_UNPARSEABLE = 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "name"), [((), "quickstart-moralis-1"), (("preference=economicus",), "quickstart-economicus")]
)
def test_quickstart_learns_what_the_readme_says(change: tuple[str, ...], name: str, tmp_path: Path) -> None:
    # A process of its own: tests of the tiny model have told torch to use one core.
    command = [sys.executable, "-m", "moralfit.train", str(RECIPE), *change, f"output={tmp_path}", *ENOUGH]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = tmp_path / name
    summary = json.loads((run / "evaluation/summary.json").read_text(encoding="utf-8"))
    (tuned,) = [agent for agent in summary["agents"] if agent["kind"] == "adapter"]
    found = {
        row["split"]: row
        for row in summary["rows"]
        if (row["agent"], row["target"], row["game"]) == (tuned["key"], tuned["preference"], "all")
    }
    for split, least in LEAST_AGREEMENT.items():
        assert found[split]["clusters"] >= 80, "of fewer games the rates say little"
        assert found[split]["agreement"]["estimate"] >= least, split
        assert found[split]["invalid"] <= MOST_UNPARSEABLE, split
