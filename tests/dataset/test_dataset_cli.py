from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dataset_samples import make_recipe, read_rows
from typer.testing import CliRunner

from moralfit.dataset.__main__ import app
from moralfit.errors import RunError


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "moralfit.dataset", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(make_recipe(train=6, heldout=3, plan_share=1.0).as_yaml(), encoding="utf-8")
    return path


def test_a_bad_recipe_is_one_message_and_exit_code_2(recipe: Path, tmp_path: Path) -> None:
    done = run(recipe, "preference.kappa=2", "lora.rang=3", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    first, *problems = done.stderr.splitlines()
    assert first == f"moralfit: {recipe}: 2 problems in the recipe"
    assert [problem.split(":")[0] for problem in problems] == ["  - preference.kappa", "  - lora.rang"]
    assert "Traceback" not in done.stderr


def test_build_writes_the_named_folder_once(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [str(recipe), "data.train_samples=8"])
    assert result.exit_code == 0, result.output
    folder = Path("datasets") / "test-moralis-1"
    assert {split: len(found) for split, found in read_rows(folder).items()} == {
        "train": 8,
        "heldout_payoffs": 3,
        "heldout_words": 3,
    }
    assert "first option listed" in result.output
    assert str(folder) in result.output.replace("\n", "")
    again = CliRunner().invoke(app, [str(recipe)])
    assert isinstance(again.exception, RunError)
    assert str(again.exception).startswith(f"{folder}: exists already")
    assert len(read_rows(folder)["train"]) == 8


@pytest.mark.slow
def test_show_prints_samples_with_token_counts_and_writes_nothing(recipe: Path, tmp_path: Path) -> None:
    done = run(recipe, "--show", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "train/0:" in done.stdout
    assert "train/1:" in done.stdout
    assert "train/2:" not in done.stdout
    assert done.stdout.count("tokens read") == 2
    assert "<|im_start|>assistant" in done.stdout
    assert done.stdout.count("Answer:") >= 4
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]
