"""The trainer: TRL's, with a loss that spends nothing where there is none, and guards against silent failure."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from peft.helpers import disable_input_dtype_casting
from safetensors import SafetensorError
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback, set_seed
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl import SFTTrainer

from moralfit.errors import MoralfitError, TrainingError
from moralfit.files import read_json, sha256, write_json, write_text
from moralfit.models import Base, first_line
from moralfit.recipe import LoraSection, TrainingSection
from moralfit.train._options import lora_config, sft_config
from moralfit.train._ranks import Ranks

_MANIFEST = "moralfit.json"
#: Relative to the largest logit: the same tokens in the same places differ by nothing, or by the order of sums.
_NOISE = 1e-3
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
#: What is left to say for a process whose partner has died.
_DISCONNECTED = re.compile("connection (closed|reset|refused)|gloo|nccl", re.IGNORECASE)
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
    """SFTTrainer that, without a GPU, computes logits of what is supervised alone, since prompts carry no loss.

    In a padded batch that is everything from the first supervised column on, the shortest prompt's end; grouping by length
    keeps the rest small. A pack is one row, of which single columns are kept. Losses equal those of the stock trainer;
    `benchmarks/training_speed.py` measures how much time it saves. On a GPU TRL has a kernel that does the same.
    """

    _isolated = False

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if "position_ids" in inputs and not self._isolated:
            self._require_isolation(model, inputs)
            self._isolated = True
        ours = self.args.loss_type == "nll" and self.label_smoother is None and not self.aux_loss_enabled
        if return_outputs or not ours or inputs["labels"].device.type == "cuda":
            found = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        else:
            found = self._loss(model, inputs, num_items_in_batch)
        loss = found[0] if return_outputs else found
        if not torch.isfinite(loss):
            raise TrainingError(
                f"training: the loss became {loss.item()} in step {self.state.global_step + 1}; lower training.learning_rate "
                "or set model.dtype=float32, and pass --overwrite to start anew. The last checkpoint is untouched"
            )
        return found

    def _loss(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any) -> Any:
        """The loss from logits of the supervised part."""
        labels = inputs["labels"]
        first = int((labels != -100).any(dim=0).nonzero()[0])
        packed = "position_ids" in inputs
        keep = (labels[0, 1:] != -100).nonzero()[:, 0] if packed else labels.shape[1] - first + 1
        with self._autocast(labels.device.type):
            given = {name: value for name, value in inputs.items() if name != "labels"}
            logits = model(**given, use_cache=False, logits_to_keep=keep).logits
        predicted = (logits if packed else logits[:, :-1]).float()
        wanted = labels[:, keep + 1] if packed else labels[:, first:]
        total = torch.nn.functional.cross_entropy(predicted.flatten(0, 1), wanted.flatten(), ignore_index=-100, reduction="sum")
        supervised = wanted != -100
        loss = total / (supervised.sum() if num_items_in_batch is None else num_items_in_batch)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes
        mode = "train" if self.model.training else "eval"
        with torch.no_grad():
            right = ((predicted.argmax(-1) == wanted) & supervised).sum()
            read = torch.ones_like(labels).sum() if packed else inputs["attention_mask"].sum()
            counts = self.accelerator.reduce(torch.stack([right, supervised.sum(), read]), "sum")
        self._metrics[mode]["mean_token_accuracy"].append((counts[0] / counts[1]).item())
        if mode == "train":
            self._total_train_tokens += int(counts[2])
        self._metrics[mode]["num_tokens"] = [self._total_train_tokens]
        return loss

    def _require_isolation(self, model: Any, inputs: dict[str, Any]) -> None:
        """Requires that a sample of a pack does not see the one before it: other tokens there must change no logit here.

        Attention that does not know of packs would train without complaint, on samples that follow upon each other.

        Raises:
            TrainingError: It does see it.
        """
        ids = inputs["input_ids"][:1]
        length = ids.shape[1]
        half = length // 2
        positions = torch.cat([torch.arange(half), torch.arange(length - half)])[None].to(ids.device)
        bounds = torch.tensor([0, half, length], dtype=torch.int32, device=ids.device)
        packed = {
            "position_ids": positions, "cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds, "max_length_q": length - half,
            "max_length_k": length - half, "seq_idx": (torch.arange(length, device=ids.device) >= half).int()[None],
        }  # fmt: skip
        given = {name: value for name, value in packed.items() if name in inputs}
        other = ids.clone()
        other[0, :half] = ids[0, :half].flip(0)
        logits = []
        for tokens in (ids, other):
            # In training mode, as bitsandbytes lays out 4-bit weights anew for anything else; dropout must not differ, then.
            with torch.random.fork_rng(), torch.no_grad(), self._autocast(ids.device.type):
                torch.manual_seed(0)
                logits.append(model(input_ids=tokens, **given, use_cache=False, logits_to_keep=1).logits.float())
        seen, unseen = logits
        if (seen - unseen).abs().max() > _NOISE * seen.abs().max():
            kind = self.model.get_base_model().config._attn_implementation
            kind = self.model.get_base_model().config._attn_implementation
            raise TrainingError(
                f"training.packing: with {kind} attention the samples of a pack see each other; choose another "
                "model.attention, or set training.packing=false"
            )

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        rows = self.train_dataset if train_dataset is None else train_dataset
        # Of all processes together, so that their number changes nothing about the order.
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.accelerator.num_processes
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
        saved: Called after each checkpoint. ranks: Of these processes the first one writes and reports.
    """

    def __init__(
        self, metrics: Path, progress: Callable[[int, int, float | None], None], saved: Callable[[], None], ranks: Ranks
    ) -> None:
        self.metrics, self.progress, self.saved, self.ranks = metrics, progress, saved, ranks
        self.loss: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self.ranks.main:
            return
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
        if logs and "loss" in logs and self.ranks.main:
            self.loss = float(logs["loss"])
            record = {"step": state.global_step, **{k: v for k, v in logs.items() if isinstance(v, int | float)}}
            record["tokens"] = record.pop("num_tokens", None)
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.progress(state.global_step, state.max_steps, self.loss)

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        # A step with a finite loss can still end in weights that are none; a checkpoint of them would never be got rid of.
        if not all(bool(_local(p).isfinite().all()) for p in model.parameters() if p.requires_grad):
            raise TrainingError(
                f"training: step {state.global_step} made weights NaN or infinite; lower training.learning_rate, and pass "
                "--overwrite to start anew. The last checkpoint is untouched"
            )
        # Every process writes its random state, and FSDP its part of the weights.
        self.ranks.wait()
        if self.ranks.main:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != _MANIFEST)
            write_json(folder / _MANIFEST, {file.relative_to(folder).as_posix(): sha256(file) for file in files})
            self.saved()


def _local(weight: torch.Tensor) -> torch.Tensor:
    """This process's part of a weight that FSDP spreads over them; else the weight."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


def adapter_weights(trainer: SFTTrainer) -> dict[str, torch.Tensor] | None:
    """The adapter's weights, put together again where processes hold parts of them; None: the model has them. On all ranks."""
    if trainer.is_deepspeed_enabled and trainer.accelerator.state.deepspeed_plugin.zero_stage == 3:
        gathered: dict[str, torch.Tensor] = trainer.deepspeed._zero3_consolidated_16bit_state_dict(
            exclude_frozen_parameters=True
        )
        return gathered
    if not trainer.is_fsdp_enabled:
        return None
    whole = {name: p.full_tensor().cpu() for name, p in trainer.model.named_parameters() if p.requires_grad}
    # Activation checkpointing by FSDP wraps layers, which shows in their names.
    return {name.replace("_checkpoint_wrapped_module.", ""): weight for name, weight in whole.items()}


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


def build_trainer(
    base: Base, lora: LoraSection, training: TrainingSection, seed: int, data: Any, output: Path, callbacks: list[Any]
) -> CompletionTrainer:
    """A trainer over the base with a fresh adapter. The base's own weights stay frozen.

    Raises:
        TrainingError: TRL or PEFT does not accept an option, or the base has no such modules.
    """
    quantized = bool(getattr(base.model, "is_loaded_in_4bit", False))
    config = sft_config(training, seed, output, base.machine.device, base.machine.dtype, quantized)
    peft = lora_config(lora)
    plugin = config.deepspeed_plugin
    # ZeRO-3 gathers weights of one format only (deepspeedai/DeepSpeed issue 8072).
    one_format = plugin is not None and plugin.zero_stage == 3
    # The adapter's first factor is drawn at random.
    set_seed(seed)
    try:
        model = get_peft_model(base.model, peft, autocast_adapter_dtype=not one_format)
    except ValueError as error:
        raise TrainingError(f"lora.target_modules: {first_line(error)}") from None
    for entry in model.peft_config.values():
        entry.base_model_name_or_path, entry.revision = base.name, base.revision
        # PEFT resolves names to a set, whose order would differ from run to run; a regular expression stays as it is.
        if not isinstance(entry.target_modules, str):
            entry.target_modules = sorted(entry.target_modules)
    # Left to itself, PEFT asks the Hub at every checkpoint whether the vocabulary was resized. It never is.
    model.save_pretrained = partial(model.save_pretrained, save_embedding_layers=False)
    # accelerate does not pass that on for FSDP's checkpoints; where there is no Hub to ask, PEFT warns each time.
    warnings.filterwarnings("ignore", message="Could not find a config file", module="peft")
    trainer = CompletionTrainer(
        model=model,
        args=config,
        train_dataset=data.select_columns(["prompt", "completion"]),
        processing_class=base.tokenizer,
        callbacks=callbacks,
    )
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    if quantized:
        # TRL rounds them to bf16, in which a step of 2e-4 on a weight of 0.1 is lost.
        for weight in model.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()
    return trainer


class OutOfMemoryError(TrainingError):
    """A batch that does not fit into the GPU."""


def fit(trainer: CompletionTrainer, checkpoint: Path | None) -> None:
    """Trains to the end, from a checkpoint if one is given.

    Raises:
        TrainingError: The disk is full, the loss is no number, or another process is gone. OutOfMemoryError: Memory ran out.
    """
    try:
        with disk_errors("training: a checkpoint"):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except torch.OutOfMemoryError:
        raise OutOfMemoryError(
            "training: out of GPU memory; lower training.batch_size (and raise training.gradient_accumulation), or set "
            "training.fit_batch=true, training.activation_checkpointing=true or model.quantize=nf4"
        ) from None
    except RuntimeError as error:
        if trainer.accelerator.num_processes == 1 or not _DISCONNECTED.search(str(error)):
            raise
        raise TrainingError("training: lost the connection to another process, whose message says why") from None


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
