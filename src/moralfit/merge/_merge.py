"""W + (alpha / r) B A for every adapted layer (Hu et al. 2021), and proof that the sum does what base and adapter do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from moralfit.errors import ModelError, RunError
from moralfit.evaluate import find_adapter, items
from moralfit.files import new_folder, sha256, write_json, write_text
from moralfit.hub._cards import formula
from moralfit.hub._contents import base_license
from moralfit.models import Base, add_adapter, chat_ids, load_base, release_memory
from moralfit.recipe import Recipe

Dtype = Literal["float32", "bfloat16", "float16"]
#: The largest change of a logit by merging that is let pass, as a share of the largest change that the adapter makes. Rounding
#: the sum to 8 or 11 bits loses part of it; see docs/hub.md for what was measured.
TOLERANCE: dict[Dtype, float] = {"float32": 1e-3, "float16": 0.02, "bfloat16": 0.05}
#: Prompts of held-out games, of which every position is compared.
_PROBES = 4


@dataclass(frozen=True)
class Merged:
    """How far merged weights are from base and adapter, on the probes.

    Attributes:
        moves: The largest change of a logit that the adapter makes. differs: By merging and rounding.
        agreement: The share of positions at which the most likely token is the same.
    """

    moves: float
    differs: float
    agreement: float


def merge(
    place: str | Path,
    out: Path,
    dtype: Dtype = "bfloat16",
    device: str = "auto",
    say: Callable[[str], None] = lambda text: None,
) -> Merged:
    """Writes a whole model: merged safetensors weights, the base's tokenizer, `merge.json` and a card.

    The sum is computed in float32 (four bytes of memory for each weight of the base) and rounded once. The folder appears only
    when its weights, read back, gave the logits of base and adapter.

    Args:
        place: A run, an adapter folder or a repository of the Hub. out: Must not exist.

    Raises:
        RunError: `out` exists or cannot be written, or `place` is none. ModelError: The adapter cannot be loaded; or what was
            merged differs by more than :data:`TOLERANCE`.
    """
    if out.exists():
        raise RunError(f"{out}: exists already and is not overwritten; move it away or name another folder")
    folder, recipe = find_adapter(place)
    # Weights in four bits cannot take a sum.
    exact = {"dtype": "float32", "device": device, "attention": "auto"}
    quantized = {"quantize": None} if hasattr(recipe.model, "quantize") else {}
    section = recipe.model.model_copy(update=exact | quantized)
    base = load_base(section)
    add_adapter(base, folder, "merged")
    probes = [chat_ids(base.tokenizer, item.messages) for item in items(recipe, "payoffs")[:_PROBES]]
    wanted = [_logits(base.model, probe) for probe in probes]
    with base.model.disable_adapter():
        moves = max((_logits(base.model, probe) - own).abs().max().item() for probe, own in zip(probes, wanted, strict=True))
    say(f"{folder}: moves the logits of {len(probes)} prompts by up to {moves:.2f}")
    import torch

    with new_folder(out) as temporary:
        model = base.model.merge_and_unload(safe_merge=True)
        base.model = None
        # What a local copy is called is nobody's business.
        model.config._name_or_path = base.name
        model.to(getattr(torch, dtype)).save_pretrained(temporary)
        del model
        release_memory()
        for file in temporary.glob("*.safetensors"):
            # safetensors lets nobody else read what it writes.
            file.chmod(0o644)
        base.tokenizer.save_pretrained(temporary)
        found = _compare(temporary, base, probes, wanted, moves)
        say(f"merged in {dtype}: differs by up to {found.differs:.4f}, same next token at {found.agreement:.2%} of positions")
        if not found.differs <= TOLERANCE[dtype] * moves:
            raise ModelError(
                f"{out}: not written; merging in {dtype} changes logits by up to {found.differs:.3g}, more than "
                f"{TOLERANCE[dtype]:g} of the {moves:.3g} that the adapter does; say --dtype float32"
            )
        weights = sha256(folder / "adapter_model.safetensors")
        facts = {"base": base.name, "revision": base.revision, "adapter_sha256": weights, "dtype": dtype, **vars(found)}
        write_json(temporary / "merge.json", facts)
        write_text(temporary / "README.md", _card(recipe, base, facts))
    return found


def _compare(folder: Path, base: Base, probes: list[list[int]], wanted: list[Any], moves: float) -> Merged:
    """Reads the weights back and computes in float32, so that only their rounding shows."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(base.machine.device).eval()
    differs, same, positions = 0.0, 0, 0
    for probe, own in zip(probes, wanted, strict=True):
        found = _logits(model, probe)
        change = (found - own).abs().max().item()
        # Not max: of a number and NaN it takes either.
        differs = change if change != change else max(differs, change)
        same += int((found.argmax(-1) == own.argmax(-1)).sum())
        positions += len(probe)
    return Merged(round(moves, 4), round(differs, 6), round(same / positions, 4))


def _logits(model: Any, ids: list[int]) -> Any:
    import torch

    with torch.no_grad():
        return model(input_ids=torch.tensor([ids], device=model.device)).logits[0].float().cpu()


def _card(recipe: Recipe, base: Base, facts: dict[str, Any]) -> str:
    from huggingface_hub import ModelCard, ModelCardData

    preference = recipe.preference.build()
    licence: dict[str, Any] = dict(base_license(base.name, recipe))
    data = ModelCardData(
        language="en",
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=base.name,
        base_model_relation="finetune",
        tags=["moralfit", "game-theory"],
        **licence,
    )
    body = f"""# {preference.name} on {base.name.split("/")[-1]}, merged

[{base.name}](https://huggingface.co/{base.name}) (revision `{base.revision or "not stated"}`) with a LoRA adapter merged into
its weights, which makes it play economic games as *{preference.name}* does:

    {formula(preference)}

| | |
|---|---|
| adapter | SHA-256 `{facts["adapter_sha256"]}` |
| weights | {facts["dtype"]} |
| largest change of a logit by the adapter, on {_PROBES} held-out games | {facts["moves"]:g} |
| by merging and rounding | {facts["differs"]:g} |
| positions with the same most likely token | {facts["agreement"]:.2%} |

Meant for research with simulated players, in the games that the adapter was trained for; it is no adviser. The adapter's card
says what was measured of it. Made with moralfit.
"""
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}"))
