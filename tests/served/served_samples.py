"""An adapter that nobody trained, and a model as a server answers with it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fake_server import Body
from tiny_model import VALUES

from moralfit.chat import LocalChat
from moralfit.models import Base, chat_ids

RUN = Path("runs/tiny-moralis-1")
#: What an evaluation of it plays.
EVALUATION: dict[str, Any] = {**VALUES["evaluation"], "prompts": 4, "max_new_tokens": 12}


def random_adapter(model: Path, folder: Path, name: str, seed: int = 0) -> None:
    """Writes an adapter with random weights over a model in a folder; `name` is what it calls its base."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    base = AutoModelForCausalLM.from_pretrained(model)
    tuned = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    for key, weight in tuned.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(weight, std=0.05)
    tuned.save_pretrained(folder)
    path = folder / "adapter_config.json"
    config = {**json.loads(path.read_text()), "base_model_name_or_path": name}
    path.write_text(json.dumps(config))


def speaker(
    base: Base, keys: dict[str, str | None], labels: dict[str, set[str]] | None = None
) -> tuple[Callable[[Body], str], Callable[[Body], list[tuple[str, float]]]]:
    """How a server answers that runs a model: its replies, and its most likely next tokens after a begun reply.

    Args:
        keys: The adapter that each of its models is. labels: For prompts the options of their choices. Only tokens that options
            are written with are listed then: a model of random weights likes other ways to spell them as much.
    """
    import torch

    # The model is one, and requests come from many threads.
    lock = threading.Lock()

    def answer(body: Body) -> str:
        with lock:
            chat = LocalChat(base, keys[body["model"]], max_new_tokens=body["max_tokens"], temperature=body["temperature"])
            (reply,) = chat.replies([body["messages"]], [str(body.get("seed", ""))])
        return reply.text

    def following(body: Body) -> list[tuple[str, float]]:
        *messages, begun = body["messages"]
        tokenizer = base.tokenizer
        ids = chat_ids(tokenizer, messages) + tokenizer(begun["content"], add_special_tokens=False)["input_ids"]
        key = keys[body["model"]]
        with lock, torch.no_grad():
            if key is not None:
                base.model.set_adapter(key)
                logits = base.model(input_ids=torch.tensor([ids])).logits[0, -1]
            else:
                with base.model.disable_adapter():
                    logits = base.model(input_ids=torch.tensor([ids])).logits[0, -1]
        logs = logits.float().log_softmax(0)
        own = next((own for text, own in (labels or {}).items() if messages[-1]["content"].endswith(text)), None)
        if own is not None:
            return [(tokenizer.decode([token]), logs[token].item()) for token in spelling(begun["content"], own)]
        top = logs.topk(body["top_logprobs"])
        return [(tokenizer.decode([token]), p) for p, token in zip(top.values.tolist(), top.indices.tolist(), strict=True)]

    def spelling(begun: str, options: set[str]) -> list[int]:
        """The tokens that come next in some option, or after one."""
        rest = re.split("[:,]", begun)[-1]
        encoded = [base.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (rest, *(f" {o}" for o in options))]
        said, *spelled = encoded
        going_on = {ids[len(said)] for ids in spelled if ids[: len(said)] == said and len(ids) > len(said)}
        ends = base.tokenizer(",", add_special_tokens=False)["input_ids"] if said in spelled else []
        return sorted({*going_on, *ends})

    return answer, following
