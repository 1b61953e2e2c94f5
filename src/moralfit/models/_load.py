"""Base models and adapters: loading, checking that they belong together, and that an adapter does something."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moralfit.errors import ModelError
from moralfit.models._embedded import REVISION, UPSTREAM, embedded_model
from moralfit.models._machine import Machine, choose_machine
from moralfit.recipe import ModelSection

#: The alias that recipes use for the embedded model.
EMBEDDED = "embedded"

Messages = list[dict[str, str]]

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
        name, revision: What adapters name as their base: the upstream, not a local copy of it.
        adapters: Loaded adapters by key, each with the largest change of a logit that it makes on probe prompts.
    """

    model: Any
    tokenizer: Any
    name: str
    revision: str | None
    machine: Machine
    adapters: dict[str, float] = field(default_factory=dict)


def load_tokenizer(section: ModelSection) -> Any:
    """The tokenizer of a recipe's base. Raises ModelError if it cannot be had or has no chat template."""
    from transformers import AutoTokenizer

    place, revision = _place(section)
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, revision=revision)
    except (OSError, ValueError) as error:
        raise _missing(section, error) from None
    if tokenizer.chat_template is None:
        raise ModelError(f"model.base: {section.base} has no chat template; use an instruct model")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base(section: ModelSection) -> Base:
    """The model and tokenizer that a recipe names, on the device and in the dtype that suit this machine.

    Raises:
        ModelError: It is not there, cannot be reached, or does not fit this machine.
    """
    import torch
    from transformers import AutoModelForCausalLM

    machine = choose_machine(section)
    tokenizer = load_tokenizer(section)
    place, revision = _place(section)
    options: dict[str, Any] = {} if section.attention == "auto" else {"attn_implementation": section.attention}
    try:
        model = AutoModelForCausalLM.from_pretrained(place, revision=revision, dtype=getattr(torch, machine.dtype), **options)
    except (OSError, ValueError, ImportError) as error:
        raise _missing(section, error) from None
    model.to(machine.device)
    if section.base == EMBEDDED:
        return Base(model, tokenizer, UPSTREAM, REVISION, machine)
    commit = getattr(model.config, "_commit_hash", None)
    return Base(model, tokenizer, section.base, commit or section.revision, machine)


def _place(section: ModelSection) -> tuple[str, str | None]:
    if section.base == EMBEDDED:
        return str(embedded_model()), None
    return section.base, section.revision


def _missing(section: ModelSection, error: Exception) -> ModelError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ModelError(
        f"model.base: {section.base} cannot be loaded ({first}). Check the name, the network and HF_HUB_OFFLINE; "
        "model.base=embedded needs no download"
    )


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
        assert isinstance(config, dict) and isinstance(config["base_model_name_or_path"], str)
    except (ValueError, KeyError, AssertionError):
        raise ModelError(f"{path}: damaged; it names no base model") from None
    return config


def add_adapter(base: Base, folder: Path, key: str) -> None:
    """Loads an adapter over a shared base under `key` and proves that it changes the logits.

    Raises:
        ModelError: It is missing, damaged, made for another base, or changes nothing.
    """
    from peft import PeftModel
    from safetensors import SafetensorError

    config = read_adapter_config(folder)
    if config["base_model_name_or_path"] != base.name:
        raise ModelError(f"{folder}: made for {config['base_model_name_or_path']}, not for {base.name}")
    try:
        if isinstance(base.model, PeftModel):
            base.model.load_adapter(str(folder), adapter_name=key)
        else:
            base.model = PeftModel.from_pretrained(base.model, str(folder), adapter_name=key)
    except (SafetensorError, RuntimeError, ValueError, OSError) as error:
        raise ModelError(f"{folder}: the adapter cannot be loaded ({str(error).splitlines()[0]})") from None
    base.model.eval()
    base.adapters[key] = _moves(base, key)
    if not base.adapters[key] >= _MOVES_AT_LEAST:
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
