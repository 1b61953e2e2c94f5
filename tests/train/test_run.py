"""Whole runs of the tiny model: what they leave behind, and how they go on after being stopped."""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console
from safetensors.torch import load_file
from tiny_model import TINY, VALUES, Recipes

from moralfit.console import run_cli
from moralfit.errors import ModelError, RunError, TrainingError
from moralfit.recipe import load_recipe
from moralfit.train import Run, _options, _run, _trainer, dry_run
from moralfit.train.__main__ import app

FOLDER = Path("runs/tiny-moralis-1")
#: Of a run that shall only train.
BRIEF: dict[str, Any] = {"evaluation": {"prompts": 1, "compare": ["random"], "probabilities": False}}


def train(recipe: Path, *overrides: str, overwrite: bool = False) -> Console:
    console = Console(width=100, record=True, file=StringIO())
    Run(load_recipe(recipe, overrides), console).go(overwrite)
    return console


def only_train(recipe: Path, *overrides: str) -> Console:
    """Up to the adapter, without the evaluation."""
    console = Console(width=200, record=True, file=StringIO())
    run = Run(load_recipe(recipe, overrides), console)
    run._claim(False)
    run._data()
    run._train()
    return console


@contextmanager
def elsewhere(tiny: Path, place: Path, **changes: dict[str, Any]) -> Iterator[Path]:
    """For runs that several tests share: a recipe for the tiny model, in another current folder."""
    torch.set_num_threads(1)
    (place / TINY).symlink_to(tiny)
    values = {**VALUES, **{section: {**VALUES[section], **change} for section, change in changes.items()}}
    (place / "recipe.yaml").write_text(yaml.safe_dump(values))
    with chdir(place):
        yield Path("recipe.yaml")


def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["moralfit.train", *arguments])
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        run_cli(app)
    out = capsys.readouterr()
    return int(stop.value.code or 0), out.err if stop.value.code else out.out


def weights(folder: Path = FOLDER) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(folder / "adapter/adapter_model.safetensors")
    return found


def metrics(folder: Path = FOLDER) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


class TestWholeRun:
    @pytest.fixture(scope="class")
    def finished(self, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """One run that the tests of this class read and do not change."""
        torch.set_num_threads(1)
        place = tmp_path_factory.mktemp("whole")
        with elsewhere(tiny, place) as recipe:
            train(recipe)
        return place / FOLDER

    def test_folder(self, finished: Path) -> None:
        assert {p.name for p in finished.iterdir()} == {
            "adapter", "dataset", "recipe.yaml", "environment.json", "metrics.jsonl", "evaluation", "report.html",
            "finished.json",
        }  # fmt: skip
        assert {p.name for p in (finished / "adapter").iterdir()} == {
            "adapter_config.json", "adapter_model.safetensors", "moralfit.yaml"
        }  # fmt: skip
        recipe = yaml.safe_load((finished / "recipe.yaml").read_text())
        assert recipe["training"]["max_grad_norm"] == 1.0, "resolved: defaults are written down"
        assert recipe["training"]["learning_rate"] == 0.02
        environment = json.loads((finished / "environment.json").read_text())
        assert environment["device"] == "cpu"
        assert environment["dtype"] == "float32"
        assert {"torch", "trl", "peft", "transformers"} <= set(environment["packages"])
        assert set(environment["seconds"]) == {"data", "load", "train", "evaluate"}

    def test_metrics(self, finished: Path) -> None:
        lines = metrics(finished)
        assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
        assert lines[-1]["loss"] < lines[0]["loss"] - 0.1
        assert {"learning_rate", "epoch", "mean_token_accuracy", "tokens", "grad_norm"} <= set(lines[0])

    def test_adapter_is_plain_peft(self, finished: Path, tiny: Path) -> None:
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        config = json.loads((finished / "adapter/adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == TINY
        assert config["r"] == 4
        assert config["lora_alpha"] == 8
        base = AutoModelForCausalLM.from_pretrained(tiny)
        ids = torch.tensor([[5, 6, 7, 8]])
        with torch.no_grad():
            plain = base(input_ids=ids).logits
            tuned = PeftModel.from_pretrained(base, finished / "adapter")(input_ids=ids).logits
        assert (tuned - plain).abs().max() > 0.1
        moved = {name: w for name, w in weights(finished).items() if "lora_B" in name}
        assert len(moved) == 14
        assert all(w.abs().max() > 0 for w in moved.values()), "B starts at zero"
        assert all("embed" not in name and "lm_head" not in name for name in weights(finished))

    def test_nothing_names_this_machine(self, finished: Path) -> None:
        here, user = str(finished.parent.parent), str(Path.home())
        for file in finished.rglob("*"):
            if file.is_file():
                text = file.read_bytes().decode("utf-8", errors="replace")
                assert here not in text, file
                assert file.suffix == ".html" or f'"{user}/' not in text, file

    def test_evaluation(self, finished: Path) -> None:
        records = [json.loads(line) for line in (finished / "evaluation/records.jsonl").read_text().splitlines()]
        assert {r["agent"] for r in records} == {"random", "base", "prompted", "tuned"}
        by_agent = [[(r["prompt_id"], r["decision"]) for r in records if r["agent"] == a] for a in ("random", "base", "tuned")]
        assert by_agent[0] == by_agent[1] == by_agent[2]
        assert len({r["prompt_id"] for r in records}) == 6
        for r in records:
            assert r["schema"] == 1
            assert len(r["probabilities"]) == len(r["actions"])
            assert sum(r["probabilities"]) == pytest.approx(1, abs=1e-5)
        summary = json.loads((finished / "evaluation/summary.json").read_text())
        assert [a["key"] for a in summary["agents"]] == ["random", "base", "prompted", "tuned"]
        assert summary["agents"][-1]["moves_logits_by"] > 0.01


def test_base_weights_stay_and_adapter_moves(write_recipe: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
    held: dict[str, Any] = {}
    fit = _trainer.fit

    def watched(trainer: Any, checkpoint: Path | None) -> None:
        state = trainer.model.state_dict()
        held["before"] = {name: value.clone() for name, value in state.items()}
        fit(trainer, checkpoint)
        held["after"] = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        held["model"] = weakref.ref(trainer.model.get_base_model())

    monkeypatch.setattr(_run, "fit", watched)
    only_train(write_recipe())
    before, after = held["before"], held["after"]
    adapter = {name for name in before if "lora_" in name}
    assert len(adapter) == 28
    assert len(before) > len(adapter)
    for name, value in before.items():
        assert torch.equal(value, after[name]) == (name not in adapter), name
    gc.collect()
    assert held["model"]() is None, "the training model must be gone before the evaluation loads another"


def test_adapter_of_a_base_given_by_absolute_path_does_not_name_it(write_recipe: Recipes, tiny: Path, workplace: Path) -> None:
    only_train(write_recipe(model={"base": str(tiny)}, output=str(workplace / "out"), **BRIEF))
    folder = workplace / "out/tiny-moralis-1"
    for file in (folder / "adapter").iterdir():
        for place in (tiny.parent, workplace):
            assert str(place).encode() not in file.read_bytes(), file


class Stop(Exception):
    pass


class TestGoingOn:
    """Six steps of two epochs, with dropout, so that order and random numbers count. A checkpoint each step."""

    CHANGES: dict[str, Any] = {**BRIEF, "lora": {"dropout": 0.1}}

    @pytest.fixture(scope="class")
    def uninterrupted(self, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
        """What the six steps come to, for all tests of this class."""
        with elsewhere(tiny, tmp_path_factory.mktemp("uninterrupted"), **self.CHANGES) as recipe:
            only_train(recipe)
            return weights()

    @pytest.fixture(scope="class")
    def broken_off(self, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A run folder as an error before the fifth step leaves it, which the tests copy."""

        def stop(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 4:
                raise Stop

        place = tmp_path_factory.mktemp("broken-off")
        with elsewhere(tiny, place, **self.CHANGES) as recipe, pytest.MonkeyPatch.context() as patch:
            patch.setattr(_trainer.Recorder, "on_step_begin", stop)
            with pytest.raises(Stop):
                only_train(recipe)
        return place / FOLDER

    @pytest.mark.parametrize(("dtype", "grouped", "at"), [("float32", True, 4), ("float32", False, 5), ("bfloat16", True, 5)])
    def test_after_an_error(
        self, dtype: str, grouped: bool, at: int, write_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        changes = {**self.CHANGES, "training": {"group_by_length": grouped, "save_every": 2}, "model": {"dtype": dtype}}
        only_train(write_recipe("whole.yaml", name="whole", **changes))

        def stop(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == at:
                raise Stop

        with monkeypatch.context() as patch:
            patch.setattr(_trainer.Recorder, "on_step_begin", stop)
            with pytest.raises(Stop):
                only_train(write_recipe(**changes))
        environment = json.loads((FOLDER / "environment.json").read_text())
        assert environment["dtype"] == dtype
        spent = environment["seconds"]["train"]
        text = only_train(write_recipe(**changes)).export_text()
        assert "resuming from checkpoint-4" in text
        assert_same_weights(weights(), weights(Path("runs/whole-moralis-1")))
        assert [line["step"] for line in metrics()] == [1, 2, 3, 4, 5, 6]
        assert [m["loss"] for m in metrics()] == [m["loss"] for m in metrics(Path("runs/whole-moralis-1"))]
        assert json.loads((FOLDER / "environment.json").read_text())["seconds"]["train"] > spent

    def test_after_sigkill_of_the_real_command(
        self, uninterrupted: dict[str, torch.Tensor], write_recipe: Recipes, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        recipe = write_recipe(**self.CHANGES)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "moralfit.train", str(recipe)],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        deadline = time.monotonic() + 300
        while not (FOLDER / "checkpoints/checkpoint-3/moralfit.json").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (FOLDER / "finished.json").exists()
        seconds = json.loads((FOLDER / "environment.json").read_text())["seconds"]
        assert seconds["train"] > 0, "a killed attempt counts up to its last checkpoint"
        code, text = cli(monkeypatch, capsys, str(recipe))
        assert code == 0
        assert "finished earlier" not in text
        assert_same_weights(weights(), uninterrupted)
        assert [line["step"] for line in metrics()] == [1, 2, 3, 4, 5, 6]
        code, text = cli(monkeypatch, capsys, str(recipe))
        assert code == 0
        assert "finished earlier; nothing was done again" in " ".join(text.split())

    @pytest.mark.parametrize("damage", ["cut", "unsealed", "flipped"])
    def test_goes_back_to_the_checkpoint_before(
        self, damage: str, uninterrupted: dict[str, torch.Tensor], broken_off: Path, write_recipe: Recipes
    ) -> None:
        shutil.copytree(broken_off, FOLDER)
        newest = FOLDER / "checkpoints/checkpoint-4"
        if damage == "unsealed":
            (newest / "moralfit.json").unlink()
        else:
            file = newest / ("optimizer.pt" if damage == "cut" else "adapter_model.safetensors")
            content = bytearray(file.read_bytes())
            content[-1] ^= 1
            file.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
        text = " ".join(only_train(write_recipe(**self.CHANGES)).export_text().split())
        reason = {"cut": "damaged (optimizer.pt)", "unsealed": "cut off", "flipped": "damaged (adapter_model.safetensors)"}
        assert f"checkpoint-4: {reason[damage]}" in text.replace("was cut off while being written", "cut off")
        assert "resuming from checkpoint-3" in text
        assert_same_weights(weights(), uninterrupted)
        assert [line["step"] for line in metrics()] == [1, 2, 3, 4, 5, 6]

    def test_stopped_while_the_adapter_is_saved(
        self, uninterrupted: dict[str, torch.Tensor], write_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stop(self: Any, *args: Any) -> None:
            raise Stop

        with monkeypatch.context() as patch:
            patch.setattr(Run, "_save", stop)
            with pytest.raises(Stop):
                only_train(write_recipe(**self.CHANGES))
        assert not (FOLDER / "adapter").exists()
        only_train(write_recipe(**self.CHANGES))
        assert_same_weights(weights(), uninterrupted)
        assert [line["step"] for line in metrics()] == [1, 2, 3, 4, 5, 6]


class TestClaim:
    def test_other_recipe_is_named_and_overwrite_replaces(self, write_recipe: Recipes) -> None:
        train(write_recipe(**BRIEF))
        before = (FOLDER / "adapter/adapter_model.safetensors").read_bytes()
        with pytest.raises(RunError, match=r"differs in training\.learning_rate, evaluation\.prompts") as error:
            train(write_recipe(**BRIEF), "training.learning_rate=0.03", "evaluation.prompts=2")
        assert "--overwrite" in str(error.value)
        assert str(FOLDER) in str(error.value)
        assert (FOLDER / "adapter/adapter_model.safetensors").read_bytes() == before
        train(write_recipe(**BRIEF), "training.learning_rate=0.03", overwrite=True)
        assert (FOLDER / "adapter/adapter_model.safetensors").read_bytes() != before

    def test_foreign_folder_is_left_alone(self, write_recipe: Recipes) -> None:
        FOLDER.mkdir(parents=True)
        (FOLDER / "thesis.txt").write_text("years of work")
        for overwrite in (False, True):
            with pytest.raises(RunError, match="not a run folder"):
                train(write_recipe(), overwrite=overwrite)
        assert [p.name for p in FOLDER.iterdir()] == ["thesis.txt"]

    @pytest.mark.parametrize("content", [b"{", b"\xff", b"", b"only words"])
    def test_damaged_stored_recipe(self, content: bytes, write_recipe: Recipes) -> None:
        FOLDER.mkdir(parents=True)
        (FOLDER / "recipe.yaml").write_bytes(content)
        with pytest.raises(RunError, match=r"recipe\.yaml: damaged; pass --overwrite"):
            train(write_recipe())


class TestOptions:
    """What only TRL and PEFT can judge is found before a run begins, all of it at once."""

    WRONG: dict[str, Any] = {
        **BRIEF,
        "training": {
            "schedule": "cosin",
            "trl": {"optimm": "adafactor", "optim": "nonsense", "epochs": 2, "padding_free": True},
        },
        "lora": {"peft": {"layers_to_transform": [1], "use_dorra": True}},
    }
    PROBLEMS = (
        "lora.peft.use_dorra: LoraConfig of this version has no such option, did you mean 'use_dora'?",
        "lora.peft.layers_to_transform: PEFT does not accept [1] here",
        "training.trl.optimm: SFTConfig of this version has no such option, did you mean 'optim'?",
        "training.trl.optim: TRL does not accept 'nonsense' here",
        "training.trl.epochs: SFTConfig of this version has no such option",
        "training.trl.padding_free: say training.packing instead",
        "training.schedule: TRL does not accept 'cosin' here",
    )

    @pytest.mark.parametrize("how", ["--validate", "--dry-run", "--overwrite", None])
    def test_all_are_told_and_nothing_is_written(
        self, how: str | None, write_recipe: Recipes, workplace: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        recipe = write_recipe(**self.WRONG)
        before = sorted(workplace.rglob("*"))
        code, error = cli(monkeypatch, capsys, str(recipe), *([how] if how else []))
        assert code == 2
        assert error.startswith(f"moralfit: {len(self.PROBLEMS)} problems in the recipe's options\n")
        listed = error.splitlines()[1:]
        assert len(listed) == len(self.PROBLEMS)
        for problem in self.PROBLEMS:
            assert any(line.startswith(f"  - {problem}") for line in listed), error
        assert sorted(workplace.rglob("*")) == before
        if how is None:
            only_train(write_recipe(**BRIEF))
            assert (FOLDER / "adapter").exists(), "the mended recipe finds its folder free"

    def test_an_earlier_run_is_not_deleted_for_a_recipe_that_cannot_run(self, write_recipe: Recipes) -> None:
        recipe = write_recipe(**self.WRONG)
        FOLDER.mkdir(parents=True)
        for name in ("recipe.yaml", "finished.json"):
            (FOLDER / name).write_text("{}")
        with pytest.raises(TrainingError, match="problems in the recipe's options"):
            train(recipe, overwrite=True)
        assert sorted(path.name for path in FOLDER.iterdir()) == ["finished.json", "recipe.yaml"]

    @pytest.mark.parametrize(
        ("change", "asked"),
        [({}, False), ({"schedule": "linear"}, True), ({"trl": {"optim": "adafactor"}}, True)],
    )
    def test_validation_loads_the_libraries_only_to_ask_them(
        self, change: dict[str, Any], asked: bool, write_recipe: Recipes, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        calls = []
        monkeypatch.setattr(_options, "check_options", calls.append)
        code, _ = cli(monkeypatch, capsys, str(write_recipe(training=change)), "--validate")
        assert (code, len(calls)) == (0, asked)


class TestFailure:
    def test_poisoned_weight(
        self, write_recipe: Recipes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def poison(self: Any, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            if state.global_step == 3:
                next(p for p in model.parameters() if p.requires_grad).data.fill_(float("nan"))

        monkeypatch.setattr(_trainer.Recorder, "on_step_begin", poison)
        code, error = cli(monkeypatch, capsys, str(write_recipe(**BRIEF)))
        assert code == 2
        assert "the loss became nan in step 4; lower training.learning_rate" in error
        assert error.count("\n") == 1
        assert "Traceback" not in error
        assert not (FOLDER / "adapter").exists()
        newest = _trainer.sealed_checkpoint(FOLDER / "checkpoints", lambda text: pytest.fail(text))
        assert newest is not None
        assert newest.name == "checkpoint-3"
        stored = load_file(newest / "adapter_model.safetensors")
        assert all(bool(value.isfinite().all()) for value in stored.values())

    def test_a_step_that_ends_in_nan_is_not_kept(self, write_recipe: Recipes) -> None:
        # Step 1 is warm-up at rate zero; step 2 destroys the weights after a finite loss.
        recipe = write_recipe(**BRIEF, training={"learning_rate": 1e39, "warmup": 0.05})
        with pytest.raises(TrainingError, match=r"NaN or infinite|the loss became"):
            only_train(recipe)
        newest = _trainer.sealed_checkpoint(FOLDER / "checkpoints", lambda text: None)
        assert newest is not None
        assert newest.name == "checkpoint-1"

    @pytest.mark.parametrize("how", ["checkpoint", "optimizer", "adapter"])
    def test_full_disk(self, how: str, write_recipe: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
        from peft import PeftModel
        from safetensors import SafetensorError

        calls = 0

        def full(*args: Any, **kwargs: Any) -> None:
            nonlocal calls
            calls += 1
            if how == "optimizer":
                raise RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing file")
            if how == "adapter":
                raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
            raise OSError(errno.ENOSPC, "No space left on device")

        recipe = write_recipe(**BRIEF)
        with monkeypatch.context() as patch:
            if how == "optimizer":
                patch.setattr(_trainer.CompletionTrainer, "_save_optimizer_and_scheduler", full)
            elif how == "checkpoint":
                patch.setattr(PeftModel, "save_pretrained", full)
            else:
                # The last of the steps' checkpoints stands; the adapter itself finds no room.
                save = PeftModel.save_pretrained

                def only_adapter(self: Any, folder: Any, **kwargs: Any) -> Any:
                    return save(self, folder, **kwargs) if "checkpoint-" in str(folder) else full()

                patch.setattr(PeftModel, "save_pretrained", only_adapter)
            with pytest.raises(TrainingError, match=r"could not be written .*(disk is full|No space left).*same command again"):
                only_train(recipe)
        assert calls == 1
        assert not (FOLDER / "adapter").exists()
        assert not [p for p in FOLDER.iterdir() if p.name.startswith(".")]
        text = only_train(recipe).export_text()
        assert (FOLDER / "adapter").exists()
        assert ("resuming from checkpoint-6" in text) == (how == "adapter")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"model": {"base": "nowhere/at-all"}}, r"model\.base: nowhere/at-all cannot be loaded"),
            ({"training": {"trl": {"optimm": "adafactor"}}}, r"training\.trl\.optimm: .*did you mean 'optim'"),
            ({"training": {"trl": {"learning_rate": 1}}}, r"training\.trl\.learning_rate: say training\.learning_rate instead"),
            ({"training": {"schedule": "zigzag"}}, r"training\.schedule: TRL does not accept 'zigzag' here \(zigzag is not"),
            ({"training": {"trl": {"packing": True}}}, r"training\.trl\.packing: say training\.packing instead"),
            ({"lora": {"peft": {"use_dorra": True}}}, r"lora\.peft\.use_dorra: .*did you mean 'use_dora'"),
            ({"lora": {"target_modules": ["no_such_layer"]}}, r"lora\.target_modules: .*no_such_layer"),
            ({"training": {"max_length": 90}}, r"training\.max_length"),
        ],
    )  # fmt: skip
    def test_user_errors(
        self, change: dict[str, Any], message: str, write_recipe: Recipes, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        import re

        code, error = cli(monkeypatch, capsys, str(write_recipe(**{**BRIEF, **change})))
        assert code == 2
        assert error.startswith("moralfit: ")
        assert "Traceback" not in error
        assert re.search(message, error), error

    def test_base_that_lacks_weights(self, write_recipe: Recipes, tiny: Path, workplace: Path) -> None:
        from safetensors.torch import save_file

        shutil.copytree(tiny, workplace / "cut")
        stored = load_file(tiny / "model.safetensors")
        stored.pop("model.layers.1.mlp.up_proj.weight")
        save_file(stored, workplace / "cut/model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ModelError, match=r"cut lacks 1 weights, such as model\.layers\.1\.mlp\.up_proj\.weight"):
            only_train(write_recipe(model={"base": "cut"}))
        (workplace / "cut/model.safetensors").write_bytes(b"no weights")
        with pytest.raises(ModelError, match=r"model\.base: cut cannot be loaded"):
            only_train(write_recipe(name="second", model={"base": "cut"}))


def test_options_pass_through(write_recipe: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def stop(trainer: Any, checkpoint: Any) -> None:
        seen["optim"], seen["dora"] = trainer.args.optim, trainer.model.peft_config["default"].use_dora
        raise Stop

    monkeypatch.setattr(_run, "fit", stop)
    with pytest.raises(Stop):
        only_train(write_recipe(training={"trl": {"optim": "adafactor"}}, lora={"peft": {"use_dora": True}}))
    assert seen == {"optim": "adafactor", "dora": True}


def test_dry_run_writes_nothing_and_counts_right(write_recipe: Recipes, workplace: Path) -> None:
    recipe = write_recipe(data={"train_samples": 13}, training={"epochs": 1.5, "gradient_accumulation": 2}, **BRIEF)
    before = sorted(workplace.rglob("*"))
    console = Console(width=120, record=True, file=StringIO())
    dry_run(load_recipe(recipe), console)
    assert sorted(workplace.rglob("*")) == before
    said = console.export_text()
    trained = only_train(recipe).export_text()
    counts: Callable[[str], list[int]] = lambda line: [int(n.replace(",", "")) for n in line.split() if n[0].isdigit()]  # noqa: E731
    samples, tokens, supervised, _ = counts(next(line for line in trained.splitlines() if "decoded" in line))
    assert samples == 13
    assert f"{tokens / 13:.0f}, {supervised / 13:.0f} of them supervised" in said
    assert f"about {tokens * 1.5:,.0f}" in said
    (steps,) = counts(next(line for line in said.splitlines() if "optimizer steps" in line).replace("│", " "))
    assert steps == metrics()[-1]["step"] == 3


def test_validate_prints_the_resolved_recipe(
    write_recipe: Recipes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = cli(monkeypatch, capsys, str(write_recipe()), "preference=economicus", "--validate")
    assert code == 0
    assert yaml.safe_load(text)["preference"] == {"kind": "economicus", "kappa": None}
    assert not Path("runs").exists()
