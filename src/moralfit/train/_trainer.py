"""The trainer: TRL's, with a loss that spends nothing where there is none, and guards against silent failure."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import TrainerCallback, set_seed
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl import SFTConfig, SFTTrainer

from moralfit.errors import MoralfitError, TrainingError
from moralfit.files import read_json, sha256, write_json
from moralfit.models import Base
from moralfit.recipe import LoraSection, TrainingSection

#: Recipe key -> today's name in SFTConfig. Keys that need more than renaming are set in :func:`sft_config`.
SFT_NAMES = {
    "epochs": "num_train_epochs",
    "batch_size": "per_device_train_batch_size",
    "gradient_accumulation": "gradient_accumulation_steps",
    "learning_rate": "learning_rate",
    "schedule": "lr_scheduler_type",
    "warmup": "warmup_steps",
    "weight_decay": "weight_decay",
    "max_grad_norm": "max_grad_norm",
    "max_length": "max_length",
    "save_every": "save_steps",
    "log_every": "logging_steps",
}
#: Recipe key -> today's name in LoraConfig.
LORA_NAMES = {"r": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "target_modules": "target_modules"}

_MANIFEST = "moralfit.json"


def lora_config(section: LoraSection) -> LoraConfig:
    """PEFT's configuration. Raises TrainingError if `lora.peft` names an option that PEFT does not have."""
    values = {theirs: getattr(section, ours) for ours, theirs in LORA_NAMES.items()}
    if isinstance(values["target_modules"], tuple):
        values["target_modules"] = list(values["target_modules"])
    try:
        return LoraConfig(task_type="CAUSAL_LM", **{**values, **section.peft})
    except (TypeError, ValueError) as error:
        raise TrainingError(f"lora: PEFT does not accept this ({error})") from None


def sft_config(section: TrainingSection, seed: int, output: Path, device: str, dtype: str) -> SFTConfig:
    """TRL's configuration. Raises TrainingError if `training.trl` names an option that TRL does not have."""
    values: dict[str, Any] = {theirs: getattr(section, ours) for ours, theirs in SFT_NAMES.items()}
    values |= {
        "output_dir": str(output),
        "seed": seed,
        "train_sampling_strategy": "group_by_length" if section.group_by_length else "random",
        "completion_only_loss": True,
        "logging_first_step": True,
        # A NaN must be seen, not averaged away.
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": device == "cpu",
        # On a CPU autocast is entered in compute_loss, around the forward pass alone.
        "bf16": device != "cpu" and dtype == "bfloat16",
        "fp16": device != "cpu" and dtype == "float16",
        "gradient_checkpointing": False,
        "dataloader_pin_memory": device == "cuda",
    }
    try:
        return SFTConfig(**{**values, **section.trl})
    except (TypeError, ValueError) as error:
        raise TrainingError(f"training: TRL does not accept this ({error})") from None


class CompletionTrainer(SFTTrainer):  # type: ignore[misc]  # TRL is not typed
    """SFTTrainer that computes logits from the first supervised column on, since prompts carry no loss.

    With right padding that column is the shortest prompt of the batch; grouping by length keeps the rest small. Losses equal
    those of the stock trainer; on a CPU, where the vocabulary's matrix is a good part of the work, steps take about 0.6 of the time.
    """

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        labels = inputs["labels"]
        if return_outputs or "position_ids" in inputs or self.args.loss_type != "nll" or self.label_smoother is not None:
            # Packed rows have several first columns; the other losses are TRL's business.
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
                "or set model.dtype=float32. The last checkpoint is untouched"
            )
        return loss

    def _autocast(self, device: str) -> AbstractContextManager[Any]:
        """bf16 weights on a CPU: the adapter's fp32 weights enter the products as bf16 too, which is what the cores are fast at."""
        if device == "cpu" and self.model.get_base_model().dtype == torch.bfloat16:
            return torch.autocast("cpu", torch.bfloat16)
        return nullcontext()

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: TRL's card would name local paths. The card of a run is written from its evaluation."""


class Recorder(TrainerCallback):  # type: ignore[misc]
    """Appends what the trainer logs to metrics.jsonl, seals checkpoints, and reports progress."""

    def __init__(self, metrics: Path, progress: Callable[[int, int, float | None], None]) -> None:
        self.metrics, self.progress = metrics, progress
        self.loss: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # After a resume, lines of steps that are about to be done again would stand twice.
        kept = []
        if self.metrics.exists():
            for line in self.metrics.read_text(encoding="utf-8").splitlines():
                try:
                    if json.loads(line)["step"] <= state.global_step:
                        kept.append(line + "\n")
                except (ValueError, KeyError):
                    break
        self.metrics.write_text("".join(kept), encoding="utf-8")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.loss = float(logs["loss"])
            record = {"step": state.global_step, **{k: v for k, v in logs.items() if isinstance(v, int | float)}}
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.progress(state.global_step, state.max_steps, self.loss)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            files = {file.name: sha256(file) for file in sorted(folder.iterdir()) if file.is_file() and file.name != _MANIFEST}
            write_json(folder / _MANIFEST, files)


def sealed_checkpoint(folder: Path, say: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that is complete and undamaged; the others are named and removed. None: start from the beginning."""
    numbered = sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2]))
    for path in numbered:
        problem = _damage(path)
        if problem is None:
            return path
        say(f"{path}: {problem}; going back to the one before")
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
    """Decodes what the trainer will compute its loss on and requires it to be the completion and the end of turn, no more, no less.

    This catches a drifted chat template, truncation and masks gone wrong, all of which train without complaint otherwise.

    Returns:
        The number of supervised tokens.

    Raises:
        TrainingError: Some row is supervised on something else; the message shows both.
    """
    prepared = trainer.train_dataset
    if len(prepared) != len(rows):
        raise TrainingError(f"training.max_length: {len(rows) - len(prepared)} samples lost all of their completion; raise it")
    wanted = {}
    for stored in rows:
        text = tokenizer.apply_chat_template(stored["prompt"], add_generation_prompt=True, tokenize=False)
        wanted[text] = stored["completion"][0]["content"]
    supervised = 0
    for number in range(len(prepared)):
        batch = trainer.data_collator([prepared[number]])
        ids, labels = batch["input_ids"][0], batch["labels"][0]
        mask = labels != -100
        prompt = tokenizer.decode(ids[: int(mask.nonzero()[0])]) if mask.any() else ""
        learned = tokenizer.decode(ids[mask])
        supervised += int(mask.sum())
        completion = wanted.get(prompt)
        if completion is None or learned.rstrip() != f"{completion}{tokenizer.eos_token}":
            raise TrainingError(
                "training: the loss is not computed on the completion and its end of turn.\n"
                f"  expected: {completion!r} + {tokenizer.eos_token!r}\n  supervised: {learned!r}\n"
                "  Raise training.max_length if it is cut off; otherwise the chat template of this model does not fit"
            )
    return supervised


def build_trainer(
    base: Base, lora: LoraSection, training: TrainingSection, seed: int, data: Any, output: Path, callbacks: list[Any]
) -> CompletionTrainer:
    """A trainer over the base with a fresh adapter. The base's own weights stay frozen."""
    config = sft_config(training, seed, output, base.machine.device, base.machine.dtype)
    peft = lora_config(lora)
    # The adapter's first factor is drawn at random.
    set_seed(seed)
    try:
        model = get_peft_model(base.model, peft)
    except ValueError as error:
        raise TrainingError(f"lora.target_modules: {str(error).splitlines()[0]}") from None
    for entry in model.peft_config.values():
        entry.base_model_name_or_path, entry.revision = base.name, base.revision
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
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except torch.OutOfMemoryError:
        raise TrainingError(
            "training: out of GPU memory; lower training.batch_size (and raise training.gradient_accumulation), or training.max_length"
        ) from None
    except OSError as error:
        why = "the disk is full" if error.errno == errno.ENOSPC else str(error)
        raise TrainingError(
            f"training: a checkpoint could not be written ({why}); run the same command again to go on"
        ) from None
    except RuntimeError as error:
        # Serialisers report a full disk in their own words.
        if "No space left" in str(error) or "unexpected pos" in str(error) or "os error 28" in str(error).lower():
            raise TrainingError("training: the disk is full; make room and run the same command again to go on") from None
        raise
