"""A run from recipe to report. Each step leaves something complete on disk or nothing, so that the same command goes on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from math import ceil
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from moralfit.console import bar
from moralfit.dataset import build_dataset, load_built, sizes
from moralfit.errors import RecipeError, RunError
from moralfit.evaluate import tables
from moralfit.evaluate._run import evaluate_and_report
from moralfit.files import new_folder, read_json, sha256, write_json, write_text
from moralfit.hub import push_run
from moralfit.models import EMBEDDED, RECIPE_FILE, Base, choose_machine, environment, load_base, load_tokenizer, release_memory
from moralfit.recipe import HubSection, Recipe, TrainingSection, parse_recipe
from moralfit.train._options import check_options, sft_config
from moralfit.train._ranks import Ranks, hold, let_go, rank_and_count, sharding
from moralfit.train._supervision import check_supervision
from moralfit.train._trainer import (
    OutOfMemoryError,
    Recorder,
    adapter_weights,
    build_trainer,
    disk_errors,
    fit,
    sealed_checkpoint,
)

_FINISHED = "finished.json"


class Run:
    """One run folder and the steps that fill it.

    Under `accelerate launch` every process has one of these; they train together, and the first does all the rest alone.
    """

    def __init__(self, recipe: Recipe, console: Console) -> None:
        self.recipe, self.folder = recipe, recipe.run
        self.environment: dict[str, Any] = {"seconds": {}}
        self.ranks: Ranks | None = None
        self.console = console if rank_and_count()[0] == 0 else Console(quiet=True)

    def go(self, overwrite: bool) -> dict[str, Any] | None:
        """Does what is missing and prints the result. Returns the evaluation's summary, on the first process.

        Raises:
            RunError: The folder holds a run of another recipe. TrainingError: As :func:`check_options`, with nothing written.
                Others: as the steps raise them.
        """
        ranks = self._join()
        try:
            if ranks.first(lambda: self._begin(overwrite)):
                ranks.require_shared(self.folder / "recipe.yaml")
                self._train()
                # The evaluation loads its own base, and a GPU may not hold two.
                release_memory()
            ranks.leave()
            return self._finish(overwrite) if ranks.main else None
        finally:
            let_go(self.folder)

    def _join(self) -> Ranks:
        """The processes of this training, all of them here."""
        if self.ranks is None:
            self.ranks = Ranks(choose_machine(self.recipe.model).device)
        return self.ranks

    def _begin(self, overwrite: bool) -> bool:
        """Claims the folder and fills it up to the data set. Says whether there is an adapter to train."""
        if overwrite or not (self.folder / _FINISHED).exists():
            # Found later, a wrong option would have deleted the earlier run, or left a folder that belongs to it.
            check_options(self.recipe, choose_machine(self.recipe.model))
        self._claim(overwrite)
        if (self.folder / _FINISHED).exists():
            return False
        self._data()
        if (self.folder / "adapter").exists():
            return False
        if self._join().count > 1:
            # One download or conversion, not one for each process.
            load_tokenizer(self.recipe.model)
        return True

    def _finish(self, overwrite: bool) -> dict[str, Any]:
        """Evaluates the adapter and reports."""
        if (self.folder / _FINISHED).exists():
            summary: dict[str, Any] = read_json(self.folder / "evaluation" / "summary.json")
            self.console.print(f"{self.folder}: finished earlier; nothing was done again. --overwrite starts anew.")
            self._show(summary)
            return summary
        with self._timed("evaluate"):
            summary, _ = evaluate_and_report([self.folder], self.folder / "evaluation", overwrite, self.console)
        # The report is drawn once more with the time that the evaluation took.
        from moralfit.report import write_report

        write_report(self.folder)
        if self.recipe.hub.push:
            self.console.print(f"pushed to {push_run(self.folder, self.recipe.hub)}")
        write_json(self.folder / _FINISHED, {"adapter": sha256(self.folder / "adapter" / "adapter_model.safetensors")})
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        self._show(summary)
        return summary

    def _claim(self, overwrite: bool) -> None:
        """Takes the folder for this recipe, or finds that it is this recipe's already."""
        stored = self.folder / "recipe.yaml"
        text = self.recipe.as_yaml()
        hold(self.folder)
        if overwrite and self.folder.exists():
            if not stored.exists() and any(self.folder.iterdir()):
                raise RunError(f"{self.folder}: not a run folder; it is not overwritten. Move it away or choose another output")
            shutil.rmtree(self.folder)
        if stored.exists():
            try:
                held = yaml.safe_load(stored.read_text(encoding="utf-8"))
            except (yaml.YAMLError, UnicodeDecodeError):
                held = None
            if not isinstance(held, dict):
                raise RunError(f"{stored}: damaged; pass --overwrite to delete that run and start anew")
            # A run from before some key existed did what its default does.
            with suppress(RecipeError):
                held = yaml.safe_load(parse_recipe(held, str(stored)).as_yaml())
            if changed := _differences(held, yaml.safe_load(text)):
                raise RunError(
                    f"{self.folder}: holds a run of another recipe (differs in {', '.join(changed)}). "
                    "Give this one another name (name=...), or pass --overwrite to delete that run"
                )
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise RunError(f"{self.folder}: exists and is not a run folder; move it away or choose another output")
        write_text(stored, text)
        hold(self.folder)
        if (self.folder / "environment.json").exists():
            self.environment = read_json(self.folder / "environment.json")
        self._require_as_many()

    def _require_as_many(self) -> None:
        """Requires as many processes as the last checkpoint was trained by: their number is a factor of the batch."""
        before, now = self.environment.get("processes", 1), self._join().count
        if before != now and any((self.folder / "checkpoints").glob("checkpoint-*")):
            raise RunError(
                f"{self.folder}: its training was begun by {before} process{'es' * (before > 1)}, this is {now}, and a step "
                "is a batch of each; continue with as many, or pass --overwrite to start anew"
            )

    def _data(self) -> None:
        folder = self.folder / "dataset"
        if folder.exists():
            return
        total = sum(sizes(self.recipe).values())
        with self._timed("data"), bar(self.console, "data set", total) as update:
            build_dataset(self.recipe, folder, update)

    def _train(self) -> None:
        """Trains from the last sealed checkpoint and writes `adapter/`."""
        whole = self.recipe.training
        size = self.environment.get("fitted_batch_size", whole.batch_size)
        while True:
            try:
                self._train_with(_in_parts(whole, size))
                return
            except OutOfMemoryError:
                if not whole.fit_batch or size == 1:
                    raise
            release_memory()
            product = whole.batch_size * whole.gradient_accumulation
            size = max(part for part in range(1, size // 2 + 1) if product % part == 0)
            self.environment["fitted_batch_size"] = size
            self.console.print(
                f"out of GPU memory; again with {size} at once, {product // size} times a step, which is the same step"
            )

    def _train_with(self, training: TrainingSection) -> None:
        recipe, folder, ranks = self.recipe, self.folder, self._join()
        splits = load_built(folder / "dataset")
        output = folder / "checkpoints"
        machine = choose_machine(recipe.model)
        # While this lives, DeepSpeed's third stage spreads the base as it is loaded.
        held = sft_config(training, recipe.seed, output, machine.device, machine.dtype) if sharding() == "deepspeed" else None
        with self._timed("load"):
            base = load_base(recipe.model, training=True, sharded=sharding() is not None)
        where = f"{machine.reason}{f', {ranks.count} processes' if ranks.count > 1 else ''}"
        self.console.print(f"{base.name} on {machine.device} in {recipe.model.quantize or machine.dtype} ({where})")
        self.environment |= {**environment(machine), "processes": ranks.count}
        with ExitStack() as stack:
            note = stack.enter_context(self._timed("train"))
            shown: list[Callable[..., None]] = []

            def progress(step: int, steps: int, loss: float | None) -> None:
                if not shown:
                    shown.append(stack.enter_context(bar(self.console, "training", steps)))
                shown[0](step, "" if loss is None else f"loss {loss:.3f}")

            recorder = Recorder(folder / "metrics.jsonl", progress, note, ranks)
            trainer = build_trainer(base, recipe.lora, training, recipe.seed, splits["train"], output, [recorder])
            supervised = ranks.first(lambda: check_supervision(trainer, list(splits["train"]), base.tokenizer))
            tokens = sum(len(ids) for ids in trainer.train_dataset["input_ids"])
            trained = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
            self.console.print(
                f"{len(splits['train']):,} samples, {tokens:,} tokens, {supervised:,} of them supervised (decoded and "
                f"checked); {trained:,} weights to train"
            )
            if training.packing:
                self.console.print(f"{len(trainer.train_dataset):,} packs of up to {training.max_length} tokens")
            checkpoint = ranks.first(lambda: sealed_checkpoint(output, self.console.print))
            if checkpoint is not None:
                self.console.print(f"resuming from {checkpoint.name}")
            fit(trainer, checkpoint)
        weights = adapter_weights(trainer)
        ranks.first(lambda: self._save(base, trainer, weights))
        del held

    def _save(self, base: Base, trainer: Any, weights: dict[str, Any] | None) -> None:
        """The adapter as plain PEFT safetensors that name the upstream base, with the recipe beside them."""
        model = self.recipe.model
        if model.base != EMBEDDED and Path(model.base).is_dir():
            model = model.model_copy(update={"base": base.name})
        # What goes out with the adapter says nothing of this machine's folders.
        portable = self.recipe.model_copy(update={"output": "runs", "hub": HubSection(), "model": model})
        with new_folder(self.folder / "adapter") as temporary, disk_errors(f"{self.folder / 'adapter'}:"):
            trainer.model.save_pretrained(temporary, safe_serialization=True, state_dict=weights)
            # PEFT writes a card that names local paths.
            (temporary / "README.md").unlink(missing_ok=True)
            # safetensors lets nobody else read what it writes.
            (temporary / "adapter_model.safetensors").chmod(0o644)
            write_text(temporary / RECIPE_FILE, portable.as_yaml())

    @contextmanager
    def _timed(self, step: str) -> Iterator[Callable[[], None]]:
        """Adds the seconds of a step to those of earlier attempts.

        Gives a function that writes them down meanwhile, so that of an attempt that is killed only the time since is lost.
        """
        seconds, start = self.environment.setdefault("seconds", {}), time.perf_counter()
        before = seconds.get(step, 0)

        def note() -> None:
            seconds[step] = round(before + time.perf_counter() - start, 1)
            if self._join().main:
                write_json(self.folder / "environment.json", self.environment)

        try:
            yield note
        except BaseException:
            # What went wrong is worth more than a complaint that its time cannot be written.
            with suppress(RunError):
                note()
            raise
        note()

    def _show(self, summary: dict[str, Any]) -> None:
        self.console.print(tables(summary))
        seconds = read_json(self.folder / "environment.json").get("seconds", {})
        spent = ", ".join(f"{step} {took:.0f} s" for step, took in seconds.items())
        self.console.print(f"time: {spent}")
        self.console.print(f"adapter: {self.folder / 'adapter'}\nreport:  {self.folder / 'report.html'}")


def _in_parts(training: TrainingSection, size: int) -> TrainingSection:
    """The same steps with batches of `size`, more of them accumulated."""
    parts = training.batch_size * training.gradient_accumulation // size
    return training.model_copy(update={"batch_size": size, "gradient_accumulation": parts})


def dry_run(recipe: Recipe, console: Console) -> None:
    """Says what a run would do, with real samples and the real tokenizer, and writes nothing.

    Raises:
        TrainingError: As :func:`check_options`. ModelError: The device, the base or its tokenizer cannot be had here.
        RecipeError: The recipe's games, beliefs and payoff grid leave an answer without samples.
    """
    from moralfit.dataset import row, samples

    machine = choose_machine(recipe.model)
    check_options(recipe, machine)
    tokenizer = load_tokenizer(recipe.model)
    lengths, supervised = [], []
    for sample in samples(recipe, "train", min(100, recipe.data.train_samples)):
        stored = row(sample, recipe.data.system)
        prompt = tokenizer.apply_chat_template(stored["prompt"], add_generation_prompt=True, tokenize=False)
        whole = tokenizer.apply_chat_template(stored["prompt"] + stored["completion"], tokenize=False)
        lengths.append(len(tokenizer(whole, add_special_tokens=False)["input_ids"]))
        supervised.append(lengths[-1] - len(tokenizer(prompt, add_special_tokens=False)["input_ids"]))
    training = recipe.training
    rows = recipe.data.train_samples
    if training.packing:
        # As if packs were filled to the brim; those of many short samples nearly are.
        rows = ceil(rows * sum(lengths) / len(lengths) / training.max_length)
    steps = ceil(ceil(rows / (training.batch_size * training.gradient_accumulation)) * training.epochs)
    table = Table(title=f"{recipe.name}: what a run would do", show_header=False)
    mean = sum(lengths) / len(lengths)
    for name, value in {
        "preference": recipe.preference.build().name,
        "base": recipe.model.base,
        "device and dtype": f"{machine.device}, {machine.dtype} ({machine.reason})",
        "samples": f"{recipe.data.train_samples:,} to train on, {recipe.data.heldout_samples:,} in each held-out split",
        "tokens a sample": f"{mean:.0f}, {sum(supervised) / len(supervised):.0f} of them supervised, at most {max(lengths)}"
        f" (of {len(lengths)} samples)",
        "tokens in all": f"about {mean * recipe.data.train_samples * training.epochs:,.0f}",
        "optimizer steps": f"{steps:,}{' or a few more, in packs' if training.packing else ''}",
        "run folder": str(recipe.run),
    }.items():
        table.add_row(name, value)
    console.print(table)
    if max(lengths) > training.max_length:
        console.print(f"training.max_length is {training.max_length}: longer samples would stop the training; raise it")


def _differences(one: Any, other: Any, prefix: str = "") -> list[str]:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return [] if one == other else [prefix.rstrip(".")]
    keys = dict.fromkeys([*one, *other])
    return [d for key in keys for d in _differences(one.get(key), other.get(key), f"{prefix}{key}.")]
