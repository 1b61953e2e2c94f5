"""Merged weights are base plus adapter, computed here from the files alone, and load like any model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from tiny_model import TINY

from moralfit.console import run_cli
from moralfit.errors import ModelError, RunError
from moralfit.files import sha256
from moralfit.merge import TOLERANCE, _merge, merge
from moralfit.merge.__main__ import app


def test_weights(run: Path) -> None:
    found = merge(run, Path("merged"), "float32")
    base, merged = (load_file(Path(folder, "model.safetensors")) for folder in (TINY, "merged"))
    adapter = load_file(run / "adapter/adapter_model.safetensors")
    settings = json.loads((run / "adapter/adapter_config.json").read_text())
    changed = 0
    for name, weight in base.items():
        prefix = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{prefix}.lora_A.weight" in adapter:
            down, up = adapter[f"{prefix}.lora_A.weight"], adapter[f"{prefix}.lora_B.weight"]
            weight = weight + settings["lora_alpha"] / settings["r"] * up.double() @ down.double()
            changed += 1
        torch.testing.assert_close(merged[name].double(), weight.double(), rtol=1e-5, atol=1e-6)
    assert changed == len(adapter) / 2 > 0
    assert found.moves > 0.01
    assert found.differs <= TOLERANCE["float32"] * found.moves
    assert found.agreement > 0.99


def test_folder(run: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    merge(run / "adapter", Path("merged"))
    model = AutoModelForCausalLM.from_pretrained("merged")
    assert model.dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained("merged").chat_template == AutoTokenizer.from_pretrained(TINY).chat_template
    facts = json.loads(Path("merged/merge.json").read_text())
    assert facts["adapter_sha256"] == sha256(run / "adapter/adapter_model.safetensors")
    card = ModelCard.load("merged/README.md")
    assert card.data.base_model == TINY
    for file in Path("merged").iterdir():
        assert file.stat().st_mode & 0o044 == 0o044, file
        assert str(tmp_path).encode() not in file.read_bytes(), file


def test_nothing_is_overwritten(run: Path) -> None:
    Path("merged").mkdir()
    with pytest.raises(RunError, match="merged: exists already and is not overwritten"):
        merge(run, Path("merged"))
    assert list(Path("merged").iterdir()) == []


def test_what_differs_is_not_written(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_merge.TOLERANCE, "bfloat16", 1e-9)
    with pytest.raises(ModelError, match=r"merged: not written; merging in bfloat16 changes logits by up to .*float32"):
        merge(run, Path("merged"))
    assert not Path("merged").exists()


def test_command(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["moralfit.merge", str(run), "--out", "merged", "--dtype", "float16"])
    with pytest.raises(SystemExit) as stop:
        run_cli(app)
    said = capsys.readouterr().out
    assert not stop.value.code
    assert "moves the logits of 3 prompts" in said
    assert "merged in float16" in said
    monkeypatch.setattr(sys, "argv", ["moralfit.merge", str(run), "--out", "other", "--dtype", "int8"])
    with pytest.raises(SystemExit) as stop:
        run_cli(app)
    assert stop.value.code == 2
    assert "--dtype int8: say one of float32, bfloat16, float16" in capsys.readouterr().err
