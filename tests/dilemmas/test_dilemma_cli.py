"""The command itself, with the tiny model: from a run folder to records, summary, figures and tables; and what it refuses."""

from __future__ import annotations

import json
import os
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console
from tiny_model import TINY, VALUES

from moralfit.console import run_cli
from moralfit.dilemmas import Settings, _experiment
from moralfit.dilemmas.__main__ import app
from moralfit.recipe import load_recipe
from moralfit.train import Run

RUN = Path("runs/tiny-moralis-1")


@pytest.fixture(scope="module")
def place(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained run."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("dilemma-runs")
    (folder / TINY).symlink_to(tiny)
    values = {**VALUES, "training": {**VALUES["training"], "epochs": 1}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values))
    before = Path.cwd()
    os.chdir(folder)
    try:
        run = Run(load_recipe("recipe.yaml", ["evaluation.batch_size=64"]), Console(file=StringIO()))
        run._claim(False)
        run._data()
        run._train()
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def command(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command in that folder, with few cells; gives exit code, output and error."""
    monkeypatch.chdir(place)
    items = Settings.items

    def few(self: Settings) -> Any:
        return [
            item
            for item in items(self)
            if item.cell.get("people", 1) in (1, 100) and item.cell["question"] in ("own", "others")
        ]

    monkeypatch.setattr(_experiment.Settings, "items", few)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dilemmas", *arguments])
        with pytest.raises(SystemExit) as leaving:
            run_cli(app)
        captured = capsys.readouterr()
        return int(leaving.value.code or 0), captured.out, captured.err

    return call


def test_from_a_run_to_its_dilemmas_and_again(command: Any) -> None:
    arguments = (str(RUN), "--family", "autonomous-vehicles", "--max-new-tokens", "8")
    code, printed, error = command(*arguments)
    assert code == 0, error
    assert "the social dilemma" in printed
    assert "report.html" in printed
    out = RUN / "dilemmas"
    records = [json.loads(line) for line in (out / "records.jsonl").read_text(encoding="utf-8").split("\n") if line]
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert [agent["key"] for agent in summary["agents"]] == ["base", "prompted", "tuned"]
    assert [agent["kappa"] for agent in summary["agents"]] == [None, 1.0, 1.0]
    assert len(records) == 3 * summary["settings"]["replies"] == 3 * 32
    assert len({(record["agent"], record["item"]) for record in records}) == len(records)
    shares = [record["probability"] for record in records if record["format"] == "choice"]
    assert all(0 < share < 1 for share in shares)
    assert len(set(shares)) > 15, "prompts are told apart"
    by_prompt: dict[str, set[str]] = {}
    for record in records:
        by_prompt.setdefault(record["agent"], set()).add(record["reply"])
    assert all(len(replies) > 10 for replies in by_prompt.values()), "sampled"
    assert {path.name for path in out.iterdir()} == {
        "records.jsonl", "settings.json", "summary.json", "tables.md",
        *(f"autonomous-vehicles-{name}.{kind}" for name in ("approval", "dilemma", "quality") for kind in ("png", "svg")),
    }  # fmt: skip
    before = (out / "records.jsonl").read_bytes()
    # Two agents are asked again, with the same result: sampling is seeded.
    lines = before.split(b"\n")
    (out / "records.jsonl").write_bytes(b"\n".join(lines[:32]) + b"\n" + lines[32][:50])
    assert command(*arguments)[0] == 0
    assert (out / "records.jsonl").read_bytes() == before
    # As where several runs are asked: it lies elsewhere, and the run's report shows it.
    code, printed, error = command(*arguments, "--out", "apart/dilemmas")
    assert code == 0, error
    assert f"also in: {RUN / 'report.html'}" in printed.replace("\n", "")
    assert (RUN / "dilemmas-compared/summary.json").read_bytes() == Path("apart/dilemmas/summary.json").read_bytes()
    code, _, error = command(*arguments, "--samples", "4")
    assert code == 2
    assert "holds an experiment with other samples" in error
    assert (out / "records.jsonl").read_bytes() == before


def test_prompts_can_be_read_without_a_model(command: Any) -> None:
    code, printed, _ = command("--show", "5", "--family", "vaccination")
    assert code == 0
    assert printed.count("Reply with one line: Answer:") == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a run folder or an adapter folder to ask"),
        (("nowhere",), "nowhere: no such run or adapter folder"),
        ((str(RUN), "--family", "trolleys"), "unknown family 'trolleys'"),
        ((str(RUN), "--cells", "huge"), "cells huge: say few, small, full"),
        ((str(RUN), "--temperature", "0"), "must be above zero"),
    ],
)
def test_what_cannot_be_asked_is_one_line(command: Any, arguments: tuple[str, ...], message: str) -> None:
    code, _, error = command(*arguments)
    assert code == 2
    assert error.startswith("moralfit: ")
    assert message in error
    assert error.count("\n") == 1
