from __future__ import annotations

import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from dataset_samples import make_recipe, read_rows
from rich.console import Console
from rich.style import Style
from rich.text import Text
from tiny_model import Recipes
from typer.testing import CliRunner

from moralfit.dataset import samples
from moralfit.dataset.__main__ import app
from moralfit.dataset._preview import preview
from moralfit.errors import RunError
from moralfit.models import load_tokenizer
from moralfit.recipe import load_recipe


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


class TestShow:
    """With the tiny model's chat template, in which a turn ends in `<|im_end|>` and a new line."""

    def test_prints_samples_with_token_counts_and_writes_nothing(self, write_recipe: Recipes, workplace: Path) -> None:
        path = write_recipe()
        before = sorted(workplace.rglob("*"))
        result = CliRunner().invoke(app, [str(path), "--show", "2"])
        assert result.exit_code == 0, result.output
        assert sorted(workplace.rglob("*")) == before
        tokenizer = load_tokenizer(load_recipe(path).model)
        shown = list(samples(load_recipe(path), "train", 3))
        learned = [len(tokenizer(f"{sample.reply}<|im_end|>\n", add_special_tokens=False)["input_ids"]) for sample in shown]
        read = [
            len(tokenizer(f"<|im_start|>user\n{sample.prompt}<|im_end|>\n<|im_start|>assistant\n")["input_ids"])
            for sample in shown
        ]
        assert re.findall(r"(train/\d+):", result.output) == ["train/0", "train/1"]
        counts = re.findall(r"(\d+) tokens read, (\d+) learned", result.output)
        assert counts == [(str(r), str(n)) for r, n in zip(read[:2], learned[:2], strict=True)]

    def test_colour_marks_what_is_learned_and_nothing_else(self, write_recipe: Recipes) -> None:
        recipe = load_recipe(write_recipe(data={"system": "Be brief."}))
        (sample,) = samples(recipe, "train", 1)
        console = Console(width=400, force_terminal=True, color_system="standard", file=StringIO())
        preview(recipe, 1, console)
        written = console.file.getvalue()  # type: ignore[attr-defined]
        body = [Text.from_ansi(line.removesuffix("\n")) for line in written.splitlines()[1:-1]]
        read, learned = "", ""
        for line in body:
            for span in line.spans:
                style, part = span.style, line.plain[span.start : span.end]
                assert isinstance(style, Style)
                if style.bold and style.color is not None and style.color.number == 2:
                    learned += part
                elif style.dim:
                    read += part
        head = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n"
        assert _squeezed(learned) == _squeezed(f"{sample.reply}<|im_end|>")
        assert _squeezed(read) == _squeezed(f"{head}{sample.prompt}<|im_end|><|im_start|>assistant")
        assert _squeezed("".join(line.plain for line in body).replace("│", "")) == _squeezed(read + learned)


def _squeezed(text: str) -> str:
    """Without spaces and line ends, which a panel fills up with."""
    return "".join(text.split())
