"""The command itself: what it prints and leaves, in the folders of runs that took part too; and what it refuses, and how."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from tiny_model import TINY, VALUES

from moralfit.console import run_cli
from moralfit.pricing.__main__ import app

RUN = Path("runs/tiny-moralis-1")
SCRIPTED = {"name": "rules", "agents": {"nash": "nash", "monopoly": "monopoly"}, "periods": 4, "runs": 2}
SPOKEN: dict[str, Any] = {
    "name": "words", "model": {"base": TINY, "device": "cpu", "dtype": "float32"}, "periods": 2, "runs": 1,
    "agents": {"base": "base", "moralis": {"kind": "adapter", "adapter": str(RUN)}, "nash": "nash"},
    "pairings": [["base", "moralis"], ["moralis", "nash"]],
    "prompt": {"history": 1, "note_words": 4, "thoughts": False},
    "decoding": {"max_new_tokens": 8, "retries": 1, "guided": True, "batch_size": 4},
}  # fmt: skip

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command on a recipe of these values; gives exit code, output and error."""

    def call(values: dict[str, Any] | str, *arguments: str) -> tuple[int, str, str]:
        path = workplace / "market.yaml"
        path.write_text(values if isinstance(values, str) else yaml.safe_dump(values), encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["moralfit.pricing", "market.yaml", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            run_cli(app)
        captured = capsys.readouterr()
        return int(leaving.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiny model up to its adapter."""
    import torch

    from moralfit.recipe import load_recipe
    from moralfit.train import Run

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("pricing-runs")
    (folder / TINY).symlink_to(tiny)
    values = {**VALUES, "training": {**VALUES["training"], "epochs": 1}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    before = Path.cwd()
    os.chdir(folder)
    try:
        run = Run(load_recipe("recipe.yaml"), Console(file=StringIO()))
        run._claim(False)
        run._data()
        run._train()
    finally:
        os.chdir(before)
    return folder / RUN


def test_rules_are_played_and_shown_beside_theory(command: Call) -> None:
    code, printed, error = command(SCRIPTED)
    assert code == 0, error
    out = Path("runs/rules")
    assert {path.name for path in out.iterdir()} == {
        "experiment.yaml", "settings.json", "records.jsonl", "timings.jsonl", "summary.json", "tables.md", "report.html",
    }  # fmt: skip
    table = (out / "tables.md").read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")]
    assert cells[0] == ["pairing", "agent", "runs", "price", "profit", "Delta", "asked again", "fallback"]
    by_name = {(row[0], row[1]): row[2:] for row in cells[2:]}
    assert by_name["nash-nash", "both"] == ["2", "1.473", "22.29", "0.00", "", ""]
    assert by_name["monopoly-monopoly", "both"] == ["2", "1.925", "33.75", "1.00", "", ""]
    # The firm that undercuts gains more than a cartel's, and the other pays for it.
    assert by_name["", "nash"][1] == "1.473"
    assert float(by_name["", "nash"][3]) > 1 > 0 > float(by_name["", "monopoly"][3])
    assert by_name["Bertrand-Nash", "theory"] == ["", "1.473", "22.29", "0.00", "", ""]
    assert by_name["joint monopoly", "theory"] == ["", "1.925", "33.75", "1.00", "", ""]
    assert by_name["Q-learners", "published"][3] == "about 0.85"
    missing = [name for name in ("monopoly-nash", "Bertrand-Nash", "published", "22.29", "report:") if name not in printed]
    assert not missing, printed
    assert "s a period" not in printed + table
    code, printed, _ = command(SCRIPTED)
    assert (code, "finished earlier" in printed) == (0, True)
    assert (out / "tables.md").read_text(encoding="utf-8") == table


def test_the_published_number_stands_only_beside_the_market_that_it_is_about(command: Call) -> None:
    assert command(SCRIPTED, "market.mu=0.3", "market.size=1000", "name=another")[0] == 0
    assert "Q-learners" not in Path("runs/another/tables.md").read_text(encoding="utf-8")
    assert command(SCRIPTED, "market.size=1000", "scales=[1, 10]", "name=larger")[0] == 0
    assert "Q-learners" in Path("runs/larger/tables.md").read_text(encoding="utf-8")


def test_a_run_that_took_part_has_the_experiment_in_its_report(command: Call, trained: Path) -> None:
    shutil.copytree(trained, RUN)
    shutil.copytree(trained, "runs/idle")
    values = {**SPOKEN, "agents": {**SPOKEN["agents"], "idle": {"kind": "adapter", "adapter": "runs/idle"}}}
    code, printed, error = command(values)
    assert code == 0, error
    copy = RUN / "pricing" / "words" / "summary.json"
    assert copy.read_bytes() == Path("runs/words/summary.json").read_bytes()
    assert "words" in (page := (RUN / "report.html").read_text(encoding="utf-8"))
    assert "monopoly" in page
    assert f"also in: {RUN / 'report.html'}" in printed
    # One that stands in the recipe and in no pairing is left as it was.
    assert {path.name for path in Path("runs/idle").iterdir()} == {path.name for path in trained.iterdir()}
    # Raised to more periods, it is there again as it now is.
    assert command(values, "periods=3")[0] == 0
    assert json.loads(copy.read_text(encoding="utf-8"))["periods"] == 3
    assert copy.read_bytes() == Path("runs/words/summary.json").read_bytes()
    table = Path("runs/words/tables.md").read_text(encoding="utf-8")
    assert "| kappa 1 (firms) | theory |  | 1.925 | 33.75 | 1.00 |" in table
    assert "| kappa 1 (firms, buyers) | theory |  | 1.000 | 0.00 | -1.95 |" in table
    assert "s a period with 3 decisions in words; prompts have " in table
    records = [json.loads(line) for line in Path("runs/words/records.jsonl").read_text(encoding="utf-8").split("\n") if line]
    spoken = [record for record in records if record["agent"] != "nash"]
    assert all(record["reply"].startswith("[Plans:]") for record in spoken)
    assert all("Price: $]" in record["reply"] for record in spoken if record["retries"])


def test_an_adapter_folder_is_played_and_left_as_it_was(command: Call, trained: Path) -> None:
    shutil.copytree(trained / "adapter", "bare")
    before = {path.name: path.read_bytes() for path in Path("bare").iterdir()}
    agents = {**SPOKEN["agents"], "moralis": {"kind": "adapter", "adapter": "bare"}}
    code, printed, error = command({**SPOKEN, "agents": agents, "pairings": [["moralis", "nash"]], "periods": 1})
    assert code == 0, error
    assert "also in:" not in printed
    assert {path.name: path.read_bytes() for path in Path("bare").iterdir()} == before


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        (SCRIPTED, ["market.mu=-1"], "market: mu must be above 0, got -1: products would not be differentiated"),
        (SCRIPTED, ["market.costs=9"], "market: costs[0] = 9 leaves firm 0 without demand"),
        (SCRIPTED, ["market.costs=[1, 2, 3]"], "market: costs has 3 entries for 2 firms"),
        (SCRIPTED, ["market.qualities=good"], "market.qualities: must be a number, or a list with one for each firm"),
        (SCRIPTED, ["ceiling.low=0.5"], "ceiling.low: input should be greater than or equal to 1"),
        (SCRIPTED, ["pairings=[[nash, nsh]]"], "unknown agent 'nsh', did you mean 'nash'?"),
        (SCRIPTED, ["decoding.guided=true", "decoding.retries=0"], "decoding: guided completes answers where a firm is asked"),
        (SCRIPTED, ["peroids=3"], "peroids: unknown key, did you mean 'periods'?"),
        ("agents: [nash", [], "market.yaml: not valid YAML"),
        (SPOKEN, ["periods=1"], f"agents.moralis: {RUN}: no such run or adapter folder"),
        (SPOKEN, ["agents={base: base}", "pairings=all", "model.base=nowhere"], "model.base: nowhere cannot be loaded"),
    ],
)
def test_what_is_wrong_is_one_message_and_leaves_no_records(
    values: dict[str, Any] | str, arguments: list[str], message: str, command: Call
) -> None:
    code, _, error = command(values, *arguments)
    assert code == 2
    assert message in " ".join(error.split())
    assert error.startswith("moralfit: ")
    assert "Traceback" not in error
    assert not list(Path("runs").glob("*/records.jsonl"))


def test_a_missing_recipe_and_an_unknown_option(command: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("market.yaml").unlink(missing_ok=True)
    monkeypatch.setattr(sys, "argv", ["moralfit.pricing", "nowhere.yaml"])
    with pytest.raises(SystemExit) as leaving:
        run_cli(app)
    assert leaving.value.code == 2
    assert command(SCRIPTED, "--nonsense")[0] == 2


def test_a_dry_run_names_a_missing_adapter_too(command: Call) -> None:
    code, _, error = command(SPOKEN, "--dry-run")
    assert code == 2
    assert "agents.moralis" in error
    assert not Path("runs").exists()
