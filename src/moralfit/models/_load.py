"""Base models and adapters: loading, checking that they belong together, and that an adapter does something."""

from __future__ import annotations

import gc
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moralfit.errors import ModelError
from moralfit.models._embedded import REVISION, UPSTREAM, embedded_model
from moralfit.models._machine import Machine, choose_machine, unmet
from moralfit.recipe import ModelSection

#: The alias that recipes use for the embedded model.
EMBEDDED = "embedded"

Messages = list[dict[str, str]]

#: What chat templates call the switch of models that can think before they answer, or not.
_THINKING = "enable_thinking"
#: The smallest change of a probe's next-token logits that counts as an adapter having an effect.
_MOVES_AT_LEAST = 1e-2
_PROBES = (
    "Two players play once. Player 1 picks A or B. What do you do? End with: Answer: choice",
    "Say which of the two you take, and why.",
)


@dataclass
class Base:
    """A base model with its tokenizer, and the adapters loaded over it.

    Attributes:
        name, revision: What adapters name as their base: the upstream, never a path on this machine (a local folder goes by its
            own name).
        adapters: Loaded adapters by key, each with the largest change of a logit that it makes on probe prompts.
    """

    model: Any
    tokenizer: Any
    name: str
    revision: str | None
    machine: Machine
    adapters: dict[str, float] = field(default_factory=dict)


def load_tokenizer(section: ModelSection, remote_code: bool = False) -> Any:
    """The tokenizer of a recipe's base. Raises ModelError if it cannot be had or has no chat template.

    Args:
        remote_code: Whether Python code that its repository may hold is run.
    """
    from transformers import AutoTokenizer

    place, revision = _place(section)
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=remote_code)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _missing(section, error) from None
    if tokenizer.chat_template is None:
        raise ModelError(f"model.base: {section.base} has no chat template; use an instruct model")
    if _THINKING in tokenizer.chat_template:
        # Models that can think before they answer would fill a reply with it. The derivation is the thought.
        tokenizer.chat_template = f"{{%- set {_THINKING} = false -%}}{tokenizer.chat_template}"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base(section: ModelSection, training: bool = False, sharded: bool = False, remote_code: bool = False) -> Base:
    """The model and tokenizer that a recipe names, on the device and in the dtype that suit this machine.

    Args:
        training: On a CPU, gradients through transformers' own attention; torch's fused one takes 1.2 times as long for them.
        sharded: Leave it where it is loaded, since FSDP or DeepSpeed will give each process its part.
        remote_code: Whether Python code that its repository may hold is run. Unless told, transformers would ask at a terminal.

    Raises:
        ModelError: It is not there, cannot be reached, is damaged, does not fit this machine, or needs what is not installed.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    machine = choose_machine(section)
    if problems := unmet(section, machine):
        raise ModelError("; ".join(problems))
    tokenizer = load_tokenizer(section, remote_code)
    place, revision = _place(section)
    options: dict[str, Any] = {"trust_remote_code": remote_code}
    if section.attention != "auto":
        options["attn_implementation"] = section.attention
    elif training and machine.device == "cpu":
        options["attn_implementation"] = "eager"
    too_large = f"model.base: {section.base} in {section.quantize or machine.dtype} does not fit into the memory of the GPU"
    if section.quantize is not None:
        options |= _quantized(machine)
    try:
        model, loading = AutoModelForCausalLM.from_pretrained(
            place, revision=revision, dtype=getattr(torch, machine.dtype), output_loading_info=True, **options
        )
    except torch.OutOfMemoryError:
        raise ModelError(too_large) from None
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise _missing(section, error) from None
    if missing := sorted(loading["missing_keys"]):
        # transformers fills them with random numbers and goes on.
        raise ModelError(f"model.base: {section.base} lacks {len(missing)} weights, such as {missing[0]}; fetch it again")
    if section.quantize is None and not sharded:
        try:
            model.to(machine.device)
        except torch.OutOfMemoryError:
            raise ModelError(too_large) from None
    if section.base == EMBEDDED:
        return Base(model, tokenizer, UPSTREAM, REVISION, machine)
    if Path(section.base).is_dir():
        return Base(model, tokenizer, Path(section.base).resolve().name, None, machine)
    commit = getattr(model.config, "_commit_hash", None)
    return Base(model, tokenizer, section.base, commit or section.revision, machine)


def _quantized(machine: Machine) -> dict[str, Any]:
    """Options to load weights as QLoRA does (Dettmers et al. 2023): 4-bit normal floats, whose scales are quantized too."""
    import torch
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, machine.dtype),
    )
    place = torch.cuda.current_device() if machine.device == "cuda" else machine.device
    return {"quantization_config": config, "device_map": {"": place}}


def release_memory() -> None:
    """Gives back the memory of models that nothing refers to: trainers hold theirs in reference cycles."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _place(section: ModelSection) -> tuple[str, str | None]:
    if section.base == EMBEDDED:
        return str(embedded_model()), None
    return section.base, section.revision


def _missing(section: ModelSection, error: Exception) -> ModelError:
    return ModelError(
        f"model.base: {section.base} cannot be loaded ({first_line(error)}). Check the name, the network and HF_HUB_OFFLINE; "
        "model.base=embedded needs no download"
    )


def first_line(error: Exception) -> str:
    """What a library's error says first, for a message of ours."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """The PEFT configuration of an adapter folder.

    Raises:
        ModelError: There is none, it is damaged, or the weights are not there as safetensors.
    """
    path = folder / "adapter_config.json"
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such adapter folder")
    if not path.exists():
        raise ModelError(f"{folder}: not an adapter (no adapter_config.json)")
    if not (folder / "adapter_model.safetensors").exists():
        raise ModelError(f"{folder}: the weights adapter_model.safetensors are missing; pickled weights are not loaded")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"{path}: damaged ({first_line(error)}); train again, or fetch the adapter again") from None
    if not isinstance(config, dict) or not isinstance(config.get("base_model_name_or_path"), str):
        raise ModelError(f"{path}: damaged; it names no base model")
    return config


def add_adapter(base: Base, folder: Path, key: str) -> None:
    """Loads an adapter over a shared base under `key` and proves that it changes the logits.

    Raises:
        ModelError: It is missing, damaged, made for another base, or changes nothing.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open

    config = read_adapter_config(folder)
    if config["base_model_name_or_path"] != base.name:
        raise ModelError(f"{folder}: made for {config['base_model_name_or_path']}, not for {base.name}")
    try:
        with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
            stored = set(file.keys())
        # In the base's own format, in which training's products were computed too; fp32 takes longer.
        if isinstance(base.model, PeftModel):
            base.model.load_adapter(str(folder), adapter_name=key, autocast_adapter_dtype=False)
        else:
            base.model = PeftModel.from_pretrained(base.model, str(folder), adapter_name=key, autocast_adapter_dtype=False)
    except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError, OSError) as error:
        raise ModelError(f"{folder}: the adapter cannot be loaded ({first_line(error)})") from None
    expected = set(get_peft_model_state_dict(base.model, adapter_name=key, save_embedding_layers=False))
    if stored != expected:
        # PEFT only warns, and plays with what did load.
        odd = sorted(stored ^ expected)
        raise ModelError(f"{folder}: {len(odd)} weights are missing or do not belong to {base.name}, such as {odd[0]}")
    base.model.eval()
    base.adapters[key] = change = _moves(base, key)
    if change != change:
        raise ModelError(f"{folder}: makes the logits NaN; its training failed, or it is damaged")
    if change < _MOVES_AT_LEAST:
        raise ModelError(f"{folder}: loads but changes no logit on the probe prompts; it was not trained, or is damaged")


def _moves(base: Base, key: str) -> float:
    """The largest absolute change of a next-token logit on the probe prompts; NaN if the adapter holds NaN."""
    import torch

    largest = 0.0
    for probe in _PROBES:
        ids = chat_ids(base.tokenizer, [{"role": "user", "content": probe}])
        tokens = torch.tensor([ids], device=base.machine.device)
        with torch.no_grad():
            base.model.set_adapter(key)
            tuned = base.model(input_ids=tokens, logits_to_keep=1).logits.float()
            with base.model.disable_adapter():
                plain = base.model(input_ids=tokens, logits_to_keep=1).logits.float()
        change = (tuned - plain).abs().max().item()
        largest = change if change != change else max(largest, change)
    return largest


def chat_ids(tokenizer: Any, messages: Messages) -> list[int]:
    """Token ids of a conversation up to where the assistant's reply begins."""
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def end_ids(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end a turn: the tokenizer's, and those of the model's generation settings, where they differ."""
    stated = model.generation_config.eos_token_id
    others = [] if stated is None else stated if isinstance(stated, list) else [stated]
    return list(dict.fromkeys([tokenizer.eos_token_id, *others]))
