"""The trainer: TRL's, with a loss that spends nothing where there is none, and guards against silent failure."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from peft.helpers import disable_input_dtype_casting
from safetensors import SafetensorError
from transformers import TrainerCallback, set_seed
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl import SFTTrainer

from moralfit.errors import MoralfitError, TrainingError
from moralfit.files import read_json, sha256, write_json, write_text
from moralfit.models import Base, end_ids, first_line
from moralfit.recipe import LoraSection, TrainingSection
from moralfit.train._options import lora_config, sft_config

_MANIFEST = "moralfit.json"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
#: How serialisers that do not raise OSError say that the disk is full.
_DISK_FULL = re.compile("no space left|os error 28|file write failed|PytorchStreamWriter failed|unexpected pos", re.IGNORECASE)


class _EpochSampler(LengthGroupedSampler):  # type: ignore[misc]
    """Groups rows of similar length in an order that depends on seed and epoch alone.

    The stock sampler draws from torch's global generator, which stands elsewhere when a training resumes inside an epoch.
    """

    def __init__(self, batch_size: int, lengths: list[int], seed: int) -> None:
        super().__init__(batch_size, lengths=lengths)
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        self.generator = torch.Generator().manual_seed(self.seed + self.epoch)
        rows: Iterator[int] = super().__iter__()
        return rows


class CompletionTrainer(SFTTrainer):  # type: ignore[misc]  # TRL is not typed
    """SFTTrainer that computes logits from the first supervised column on, since prompts carry no loss.

    With right padding that column is the shortest prompt of the batch; grouping by length keeps the rest small. Losses equal
    those of the stock trainer; `benchmarks/training_speed.py` measures how much time it saves.
    """

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        labels = inputs["labels"]
        ours = self.args.loss_type == "nll" and self.label_smoother is None and not self.aux_loss_enabled
        if return_outputs or "position_ids" in inputs or not ours:
            # Rows without padding have no common first column; the other losses are TRL's business.
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        first = int((labels != -100).any(dim=0).nonzero()[0])
        with self._autocast(labels.device.type):
            logits = model(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                use_cache=False,
                logits_to_keep=labels.shape[1] - first + 1,
            ).logits
        predicted, wanted = logits[:, :-1].float(), labels[:, first:]
        total = torch.nn.functional.cross_entropy(predicted.flatten(0, 1), wanted.flatten(), ignore_index=-100, reduction="sum")
        supervised = wanted != -100
        loss = total / (supervised.sum() if num_items_in_batch is None else num_items_in_batch)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes
        mode = "train" if self.model.training else "eval"
        with torch.no_grad():
            right = ((predicted.argmax(-1) == wanted) & supervised).sum() / supervised.sum()
        self._metrics[mode]["mean_token_accuracy"].append(right.item())
        if mode == "train":
            self._total_train_tokens += int(inputs["attention_mask"].sum())
        self._metrics[mode]["num_tokens"] = [self._total_train_tokens]
        if not torch.isfinite(loss):
            raise TrainingError(
                f"training: the loss became {loss.item()} in step {self.state.global_step + 1}; lower training.learning_rate "
                "or set model.dtype=float32, and pass --overwrite to start anew. The last checkpoint is untouched"
            )
        return loss

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        rows = self.train_dataset if train_dataset is None else train_dataset
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return _EpochSampler(size, [len(ids) for ids in rows["input_ids"]], self.args.seed)

    @contextmanager
    def _autocast(self, device: str) -> Iterator[None]:
        """bf16 weights on a CPU: the adapter's fp32 weights enter the products as bf16 too, which the cores are fast at."""
        if device == "cpu" and self.model.get_base_model().dtype == torch.bfloat16:
            # PEFT would cast activations to fp32 first, only for autocast to cast them back: a twelfth of the time.
            with torch.autocast("cpu", torch.bfloat16), disable_input_dtype_casting(self.model):
                yield
        else:
            yield

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: TRL's card would name local paths. The card of a run is written from its evaluation."""


class Recorder(TrainerCallback):  # type: ignore[misc]
    """Appends what the trainer logs to metrics.jsonl, seals checkpoints, and reports progress.

    Args:
        metrics: The file. progress: Called with the step, the number of steps in all and the last logged loss.
        saved: Called after each checkpoint.
    """

    def __init__(
        self, metrics: Path, progress: Callable[[int, int, float | None], None], saved: Callable[[], None] = lambda: None
    ) -> None:
        self.metrics, self.progress, self.saved = metrics, progress, saved
        self.loss: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # After a resume, lines of steps that are about to be done again would stand twice.
        kept = []
        if self.metrics.exists():
            for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    if json.loads(line)["step"] <= state.global_step:
                        kept.append(line + "\n")
                except (ValueError, KeyError, TypeError):
                    break
        write_text(self.metrics, "".join(kept))
        self.progress(state.global_step, state.max_steps, None)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.loss = float(logs["loss"])
            record = {"step": state.global_step, **{k: v for k, v in logs.items() if isinstance(v, int | float)}}
            record["tokens"] = record.pop("num_tokens", None)
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.progress(state.global_step, state.max_steps, self.loss)

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        # A step with a finite loss can still end in weights that are none; a checkpoint of them would never be got rid of.
        if not all(bool(p.isfinite().all()) for p in model.parameters() if p.requires_grad):
            raise TrainingError(
                f"training: step {state.global_step} made weights NaN or infinite; lower training.learning_rate, and pass "
                "--overwrite to start anew. The last checkpoint is untouched"
            )
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        files = {file.name: sha256(file) for file in sorted(folder.iterdir()) if file.is_file() and file.name != _MANIFEST}
        write_json(folder / _MANIFEST, files)
        self.saved()


def sealed_checkpoint(folder: Path, say: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that is complete and undamaged; newer ones are named and removed. None: begin anew."""
    found = [path for path in folder.glob("checkpoint-*") if _CHECKPOINT.fullmatch(path.name)]
    for path in sorted(found, key=lambda path: -int(path.name.rpartition("-")[2])):
        problem = _damage(path)
        if problem is None:
            return path
        say(f"{path}: {problem}; removed, going back to the one before")
        shutil.rmtree(path)
    return None


def _damage(checkpoint: Path) -> str | None:
    manifest = checkpoint / _MANIFEST
    if not manifest.exists():
        return "was cut off while being written"
    try:
        files = read_json(manifest)
    except MoralfitError:
        return f"damaged ({_MANIFEST})"
    for name, digest in files.items():
        if not (checkpoint / name).exists() or sha256(checkpoint / name) != digest:
            return f"damaged ({name})"
    return None


def check_supervision(trainer: SFTTrainer, rows: Sequence[dict[str, Any]], tokenizer: Any) -> int:
    """Decodes what the trainer will compute its loss on and requires it to be the completion and the end of turn exactly.

    This catches a drifted chat template, truncation and masks gone wrong, all of which train without complaint otherwise.

    Returns:
        The number of supervised tokens.

    Raises:
        TrainingError: Some row is supervised on something else; the message shows both.
    """
    prepared = trainer.train_dataset
    if len(prepared) != len(rows):
        raise TrainingError(f"training.max_length: {len(rows) - len(prepared)} samples lost all of their completion; raise it")
    ends = {tokenizer.decode([end]) for end in end_ids(trainer.model, tokenizer)}
    supervised = 0
    for number, stored in enumerate(rows):
        prompt = tokenizer.apply_chat_template(stored["prompt"], add_generation_prompt=True, tokenize=False)
        completion = stored["completion"][0]["content"]
        batch = trainer.data_collator([prepared[number]])
        ids, labels = batch["input_ids"][0], batch["labels"][0]
        mask = labels != -100
        first = int(mask.nonzero()[0]) if mask.any() else len(ids)
        read, learned = tokenizer.decode(ids[:first]), tokenizer.decode(ids[mask])
        whole = learned.startswith(completion) and learned.removeprefix(completion).strip() in ends
        if read != prompt or not whole or (labels[mask] != ids[mask]).any():
            name = stored.get("id", f"row {number}")
            raise TrainingError(
                f"training: the loss on {name} is not computed on the completion and its end of turn.\n"
                f"  expected:   {completion!r} and one of {', '.join(map(repr, sorted(ends)))} after {prompt[-40:]!r}\n"
                f"  supervised: {learned!r} after {read[-40:]!r}\n"
                "  Raise training.max_length if it is cut off; otherwise the chat template of this model does not fit"
            )
        supervised += int(mask.sum())
    return supervised


def build_trainer(
    base: Base, lora: LoraSection, training: TrainingSection, seed: int, data: Any, output: Path, callbacks: list[Any]
) -> CompletionTrainer:
    """A trainer over the base with a fresh adapter. The base's own weights stay frozen.

    Raises:
        TrainingError: TRL or PEFT does not accept an option, or the base has no such modules.
    """
    config = sft_config(training, seed, output, base.machine.device, base.machine.dtype)
    peft = lora_config(lora)
    # The adapter's first factor is drawn at random.
    set_seed(seed)
    try:
        model = get_peft_model(base.model, peft)
    except ValueError as error:
        raise TrainingError(f"lora.target_modules: {first_line(error)}") from None
    for entry in model.peft_config.values():
        entry.base_model_name_or_path, entry.revision = base.name, base.revision
        # PEFT resolves names to a set, whose order would differ from run to run; a regular expression stays as it is.
        if not isinstance(entry.target_modules, str):
            entry.target_modules = sorted(entry.target_modules)
    # Left to itself, PEFT asks the Hub at every checkpoint whether the vocabulary was resized. It never is.
    model.save_pretrained = partial(model.save_pretrained, save_embedding_layers=False)
    trainer = CompletionTrainer(
        model=model,
        args=config,
        train_dataset=data.select_columns(["prompt", "completion"]),
        processing_class=base.tokenizer,
        callbacks=callbacks,
    )
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    return trainer


def fit(trainer: CompletionTrainer, checkpoint: Path | None) -> None:
    """Trains to the end, from a checkpoint if one is given.

    Raises:
        TrainingError: The disk is full, memory ran out, or the loss is no number.
    """
    try:
        with disk_errors("training: a checkpoint"):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except torch.OutOfMemoryError:
        raise TrainingError(
            "training: out of GPU memory; lower training.batch_size (and raise training.gradient_accumulation)"
        ) from None


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turns what libraries raise when they cannot write into one message. Raises TrainingError."""
    again = "run the same command again to go on"
    try:
        yield
    except OSError as error:
        raise TrainingError(f"{what} could not be written ({error.strerror or first_line(error)}); {again}") from None
    except (SafetensorError, RuntimeError) as error:
        if not _DISK_FULL.search(str(error)):
            raise
        raise TrainingError(f"{what} could not be written (the disk is full); make room, then {again}") from None
