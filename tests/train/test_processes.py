"""Two processes on CPUs under `accelerate launch`, against one process with the same global batch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from rich.console import Console
from safetensors.torch import load_file
from tiny_model import TINY, VALUES

from moralfit.models import add_adapter, load_base
from moralfit.recipe import load_recipe
from moralfit.train import Run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
#: Eight steps of two epochs; 16 samples are a multiple of every batch, so that no batch is filled up.
CHANGES: dict[str, Any] = {
    "data": {"train_samples": 16, "heldout_samples": 3},
    "evaluation": {"prompts": 1, "compare": [], "probabilities": False},
    "lora": {"r": 4, "alpha": 8},
}


@pytest.fixture(scope="module")
def place(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model, a recipe, and its training by one process with batches of four."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / TINY).symlink_to(tiny)
    (folder / "recipe.yaml").write_text(yaml.safe_dump({**VALUES, **CHANGES}))
    before = Path.cwd()
    os.chdir(folder)
    try:
        run = Run(load_recipe("recipe.yaml", ["name=one"]), Console(file=StringIO()))
        assert run._begin(False)
        run._train()
    finally:
        os.chdir(before)
    return folder


def command(profile: str, *script: str) -> list[str]:
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        str(ROOT / f"recipes/accelerate/{profile}.yaml"),
    ]
    return [*launch, "--num_processes", "2", "--main_process_port", "0", *script, "recipe.yaml", "training.batch_size=2"]


def start(place: Path, line: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(line, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def launched(place: Path, line: list[str]) -> tuple[int, str, str]:
    process = start(place, line)
    out, err = process.communicate(timeout=1800)
    return process.returncode, out, err


def kill_after(place: Path, line: list[str], done: Callable[[], bool]) -> None:
    """Starts a job and kills all its processes as soon as something is there."""
    process = start(place, line)
    deadline = time.monotonic() + 1800
    while not done():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    # The processes lead sessions of their own, and would go on without their launcher.
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.kill()
    psutil.wait_procs(family, timeout=60)
    process.communicate()


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(run / "adapter/adapter_model.safetensors")
    return found


def assert_same_training(run: Path, other: Path, interrupted: bool = False) -> None:
    assert [line["step"] for line in metrics(run)] == list(range(1, 9))
    for ours, theirs in zip(metrics(run), metrics(other), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        # Tokens are counted from where an attempt begins.
        assert interrupted or ours["tokens"] == theirs["tokens"], "the same samples in the same steps"
        assert ours["mean_token_accuracy"] == pytest.approx(theirs["mean_token_accuracy"], abs=1e-6)
    ours, theirs = weights(run), weights(other)
    assert ours.keys() == theirs.keys()
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight, rtol=1e-2, atol=2e-4)


def assert_loads(place: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    base = load_base(load_recipe("recipe.yaml").model)
    add_adapter(base, run / "adapter", "tuned")
    assert base.adapters["tuned"] > 0.1
    assert json.loads((run / "adapter/adapter_config.json").read_text())["base_model_name_or_path"] == TINY


class TestCopies:
    """recipes/accelerate/cpu.yaml: every process has the base (DDP)."""

    LINE = command("cpu", "-m", "moralfit.train")

    @pytest.fixture(scope="class")
    def finished(self, place: Path) -> tuple[Path, str]:
        code, out, err = launched(place, [*self.LINE, "name=two"])
        assert code == 0, err
        return place / "runs/two-moralis-1", out

    def test_trains_as_one_process_does(self, finished: tuple[Path, str], place: Path) -> None:
        assert_same_training(finished[0], place / "runs/one-moralis-1")

    def test_one_process_writes_and_prints(self, finished: tuple[Path, str]) -> None:
        run, out = finished
        assert {p.name for p in run.iterdir()} == {
            "adapter", "dataset", "recipe.yaml", "environment.json", "metrics.jsonl", "evaluation", "report.html",
            "finished.json",
        }  # fmt: skip
        for said in ("decoded and checked", "2 processes", "reloaded; moves", "report:"):
            assert out.count(said) == 1, said
        assert json.loads((run / "environment.json").read_text())["processes"] == 2

    def test_adapter_loads(self, finished: tuple[Path, str], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert_loads(place, finished[0], monkeypatch)

    def test_goes_on_after_being_killed(self, finished: tuple[Path, str], place: Path) -> None:
        run, line = place / "runs/killed-moralis-1", [*self.LINE, "name=killed"]
        kill_after(place, line, lambda: (run / "checkpoints/checkpoint-3/moralfit.json").exists())
        assert not (run / "adapter").exists()
        code, out, err = launched(place, line)
        assert code == 0, err
        assert out.count("resuming from checkpoint-") == 1
        ours, theirs = weights(run), weights(finished[0])
        for name, weight in theirs.items():
            assert torch.equal(ours[name], weight), name
        assert_same_training(run, place / "runs/one-moralis-1", interrupted=True)

    def test_a_failing_rank_ends_the_job(self, place: Path) -> None:
        began = time.monotonic()
        code, out, err = launched(place, [*command("cpu", str(HERE / "failing_rank.py")), "name=failing"])
        assert code not in (0, None)
        assert err.count("moralfit: process 1 of 2: training: this GPU fell off the bus") == 1
        assert "exitcode  : 2" in err
        assert "evaluat" not in out
        assert time.monotonic() - began < 300, "nobody waits for a process that is gone"
        run = place / "runs/failing-moralis-1"
        assert not (run / "adapter").exists()
        assert (run / "checkpoints/checkpoint-2/moralfit.json").exists()

    def test_what_all_would_say_is_said_once(self, place: Path) -> None:
        shutil.copytree(place / "runs/one-moralis-1", place / "runs/taken-moralis-1")
        code, _, err = launched(place, [*self.LINE, "name=taken"])
        assert code not in (0, None)
        assert err.count("moralfit: ") == 1
        assert "holds a run of another recipe" in err
        code, _, err = launched(place, [*self.LINE, "training.batch_sice=2"])
        assert code not in (0, None)
        assert err.count("unknown key, did you mean 'batch_size'?") == 1


class TestParts:
    """recipes/accelerate/fsdp2.yaml: every process has a part of the base."""

    LINE = command("fsdp2", str(HERE / "fsdp_on_cpu.py"))

    def test_trains_and_goes_on_as_one_process_does(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run, line = place / "runs/parts-moralis-1", [*self.LINE, "name=parts"]
        sealed = run / "checkpoints/checkpoint-3/moralfit.json"
        kill_after(place, line, sealed.exists)
        checkpoint = sealed.parent
        assert len(list(checkpoint.glob("pytorch_model_fsdp_0/*.distcp"))) == 2, "each process wrote its part"
        assert any("distcp" in name for name in json.loads(sealed.read_text())), "and all parts are sealed"
        code, out, err = launched(place, line)
        assert code == 0, err
        assert out.count("resuming from checkpoint-") == 1
        assert_same_training(run, place / "runs/one-moralis-1", interrupted=True)
        assert_loads(place, run, monkeypatch)
