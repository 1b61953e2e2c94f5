"""What TRL and PEFT call a recipe's options today, and whether they accept them: asked before a run begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from peft import LoraConfig
from trl import SFTConfig

from moralfit.errors import TrainingError
from moralfit.models import first_line
from moralfit.recipe import LoraSection, Recipe, TrainingSection

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


def check_options(recipe: Recipe, device: str = "cpu", dtype: str = "float32") -> None:
    """Requires that TRL and PEFT accept what a recipe asks of them.

    Args:
        device, dtype: Where the training is to run, as :class:`moralfit.models.Machine` has it.

    Raises:
        TrainingError: They do not; the message lists every problem with its key.
    """
    training, output = recipe.training, recipe.run / "checkpoints"
    _require_none([*_lora(recipe.lora).problems, *_sft(training, recipe.seed, output, device, dtype).problems])


def lora_config(section: LoraSection) -> LoraConfig:
    """PEFT's configuration. Raises TrainingError as :func:`check_options`."""
    made = _lora(section)
    _require_none(made.problems)
    return made.config


def sft_config(section: TrainingSection, seed: int, output: Path, device: str, dtype: str) -> SFTConfig:
    """TRL's configuration. Raises TrainingError as :func:`check_options`."""
    made = _sft(section, seed, output, device, dtype)
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


def _sft(section: TrainingSection, seed: int, output: Path, device: str, dtype: str) -> _Made:
    fixed = {
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
    ours = {ours: getattr(section, ours) for ours in SFT_NAMES}
    taken = {"seed": "seed", "output_dir": "output"}
    made = _make("TRL", SFTConfig, fixed, "training", SFT_NAMES, ours, "training.trl", section.trl, taken)
    for name in ("packing", "padding_free"):
        if made.config is not None and getattr(made.config, name):
            made.problems.append(f"training.trl.{name}: what packed rows are supervised on cannot be checked; leave it out")
    return made


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
