"""What TRL and PEFT call a recipe's options today, and whether they accept them: asked before a run begins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from peft import LoraConfig
from trl import SFTConfig

from moralfit.errors import TrainingError
from moralfit.models import Machine, first_line, installed, unmet
from moralfit.recipe import LoraSection, Recipe, TrainingSection
from moralfit.train._ranks import rank_and_count, sharding

#: Recipe key -> today's name in SFTConfig. Keys that need more than renaming are set in :func:`sft_config`.
SFT_NAMES = {
    "epochs": "num_train_epochs",
    "batch_size": "per_device_train_batch_size",
    "gradient_accumulation": "gradient_accumulation_steps",
    "packing": "packing",
    "activation_checkpointing": "gradient_checkpointing",
    "liger": "use_liger_kernel",
    "learning_rate": "learning_rate",
    "schedule": "lr_scheduler_type",
    "warmup": "warmup_steps",
    "weight_decay": "weight_decay",
    "max_grad_norm": "max_grad_norm",
    "max_length": "max_length",
    "save_every": "save_steps",
    "log_every": "logging_steps",
}
#: training.optimizer -> today's name in SFTConfig. `auto` is left to TRL, but for a quantized base on a GPU.
OPTIMIZERS = {"adamw": "adamw_torch", "adamw_8bit": "adamw_bnb_8bit", "paged_adamw_8bit": "paged_adamw_8bit"}
#: What SFTConfig could be told in other ways, which would go unnoticed here.
_TAKEN = {
    "seed": "seed",
    "output_dir": "output",
    "padding_free": "training.packing",
    "activation_checkpointing": "training.activation_checkpointing",
    "auto_find_batch_size": "training.fit_batch",
}
#: Recipe key -> today's name in LoraConfig.
LORA_NAMES = {"r": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "target_modules": "target_modules"}


def check_options(recipe: Recipe, machine: Machine | None = None) -> None:
    """Requires that TRL and PEFT accept what a recipe asks of them, and that the machine has what it needs.

    Args:
        machine: Where the training is to run; without it, only what would be wrong anywhere is found.

    Raises:
        TrainingError: The message lists every problem with its key.
    """
    training, output = recipe.training, recipe.run / "checkpoints"
    device, dtype = ("cpu", "float32") if machine is None else (machine.device, machine.dtype)
    lacking = [] if machine is None else [*unmet(recipe.model, machine), *_lacking(recipe, machine)]
    sft = _sft(training, recipe.seed, output, device, dtype, recipe.model.quantize is not None)
    _require_none([*_lora(recipe.lora).problems, *sft.problems, *lacking])


def _lacking(recipe: Recipe, machine: Machine) -> list[str]:
    """What the training needs and this machine or launch lacks."""
    training, problems = recipe.training, []
    if training.liger and machine.device != "cuda":
        problems.append("training.liger: these kernels need a GPU; set training.liger=false")
    elif training.liger and not installed("liger_kernel"):
        problems.append(
            "training.liger: needs the package liger-kernel (pip install liger-kernel); or set training.liger=false"
        )
    if training.optimizer.startswith("paged") and machine.device != "cuda":
        problems.append(f"training.optimizer: {training.optimizer} needs an NVIDIA GPU; training.optimizer=auto runs anywhere")
    elif training.optimizer.endswith("8bit") and not installed("bitsandbytes"):
        problems.append(f"training.optimizer: {training.optimizer} needs the package bitsandbytes (pip install bitsandbytes)")
    ranks = rank_and_count()[1]
    if training.fit_batch and ranks > 1:
        problems.append(
            "training.fit_batch: one process that runs out of memory leaves the others waiting; find the size with one process "
            "and write it down as training.batch_size and training.gradient_accumulation"
        )
    if recipe.model.quantize is not None and sharding() is not None:
        problems.append(
            f"model.quantize: {recipe.model.quantize} weights cannot be spread over GPUs; launch with "
            "recipes/accelerate/ddp.yaml, or set model.quantize=null"
        )
    if sharding() == "fsdp" and os.environ.get("FSDP_VERSION") != "2":
        problems.append(
            "accelerate: adapters need FSDP of version 2; set fsdp_version: 2, as recipes/accelerate/fsdp2.yaml does"
        )
    return problems


def lora_config(section: LoraSection) -> LoraConfig:
    """PEFT's configuration. Raises TrainingError as :func:`check_options`."""
    made = _lora(section)
    _require_none(made.problems)
    return made.config


def sft_config(
    section: TrainingSection, seed: int, output: Path, device: str, dtype: str, quantized: bool = False
) -> SFTConfig:
    """TRL's configuration. Raises TrainingError as :func:`check_options`."""
    made = _sft(section, seed, output, device, dtype, quantized)
    _require_none(made.problems)
    if made.config.n_gpu > 1:
        # A second GPU would silently multiply the batch size. One process trains on one.
        made.config._n_gpu = 1
    return made.config


class _Made(NamedTuple):
    """A library's configuration, of what it accepts, and what it does not."""

    config: Any
    problems: list[str]


def _require_none(problems: list[str]) -> None:
    if len(problems) > 1:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise TrainingError(f"{len(problems)} problems in the recipe's options\n{listed}")
    if problems:
        raise TrainingError(problems[0])


def _lora(section: LoraSection) -> _Made:
    ours = {ours: getattr(section, ours) for ours in LORA_NAMES}
    if isinstance(ours["target_modules"], tuple):
        ours["target_modules"] = list(ours["target_modules"])
    return _make("PEFT", LoraConfig, {"task_type": "CAUSAL_LM"}, "lora", LORA_NAMES, ours, "lora.peft", section.peft)


def _sft(section: TrainingSection, seed: int, output: Path, device: str, dtype: str, quantized: bool) -> _Made:
    # Packed rows are all about as long.
    grouped = section.group_by_length and not section.packing
    fixed = {
        "output_dir": str(output),
        "seed": seed,
        "train_sampling_strategy": "group_by_length" if grouped else "random",
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
        # Every adapter weight takes part in every step.
        "ddp_find_unused_parameters": False,
        "dataloader_pin_memory": device == "cuda",
    }
    taken = dict(_TAKEN)
    if section.optimizer != "auto":
        fixed["optim"] = OPTIMIZERS[section.optimizer]
        taken["optim"] = "training.optimizer"
    elif quantized and device == "cuda":
        fixed["optim"] = OPTIMIZERS["paged_adamw_8bit"]
    ours = {ours: getattr(section, ours) for ours in SFT_NAMES}
    return _make("TRL", SFTConfig, fixed, "training", SFT_NAMES, ours, "training.trl", section.trl, taken)


def _make(
    library: str, config: Any, fixed: Mapping[str, Any], section: str, names: Mapping[str, str], ours: Mapping[str, Any],
    free_section: str, free: Mapping[str, Any], taken: Mapping[str, str] | None = None,
) -> _Made:  # fmt: skip
    """Builds a library's configuration, leaving out what the library does not know or refuses.

    Args:
        fixed: What no recipe says, unless among its free options. names: Recipe key -> the library's name. ours: The values of
            those keys. free: Options in the library's own words. taken: Of those, the ones that a recipe says elsewhere.
    """
    elsewhere = {theirs: f"{section}.{key}" for key, theirs in names.items()} | dict(taken or {})
    known = [field.name for field in fields(config) if field.init]
    keys: dict[str, str] = {}
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, given in free.items():
        if name in elsewhere:
            problems.append(f"{free_section}.{name}: say {elsewhere[name]} instead")
        elif name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            problems.append(f"{free_section}.{name}: {config.__name__} of this version has no such option{hint}")
        else:
            keys[name], values[name] = f"{free_section}.{name}", given
    for key, theirs in names.items():
        keys[theirs], values[theirs] = f"{section}.{key}", ours[key]
    while True:
        made, why = _attempt(config, {**fixed, **values})
        if why is None:
            return _Made(made, problems)
        # A library names its first objection alone. Whatever silences it, left out, is what it is about.
        silencing = (n for n in values if _attempt(config, {**fixed, **{m: v for m, v in values.items() if m != n}})[1] != why)
        culprit = next(silencing, None)
        if culprit is None:
            problems.append(f"{section}: {library} does not accept this here ({why})")
            return _Made(None, problems)
        problems.append(f"{keys[culprit]}: {library} does not accept {values.pop(culprit)!r} here ({why})")


def _attempt(config: Any, values: Mapping[str, Any]) -> tuple[Any, str | None]:
    """A library's configuration, or what it says against it."""
    try:
        return config(**values), None
    except Exception as error:  # Which kinds of error a wrong value leads to, no library says.
        return None, first_line(error)
