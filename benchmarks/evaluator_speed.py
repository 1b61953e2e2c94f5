"""Decisions per second: moralfit's evaluator, in batches, against one `generate` call a prompt. Same prompts, model and limit.

    python benchmarks/evaluator_speed.py --prompts 32 --batch-size 16 [--adapter runs/quickstart-moralis-1/adapter]

Without an adapter the base model seldom ends with an answer, and both run to the token limit.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from moralfit.agents import ANSWER
from moralfit.chat import LocalChat
from moralfit.console import quiet_libraries, silence_progress_bars
from moralfit.evaluate import Item, items
from moralfit.models import Base, add_adapter, chat_ids, end_ids, environment, load_base
from moralfit.recipe import parse_recipe


def one_by_one(base: Base, played: list[Item], most: int) -> list[str]:
    """The loop that everyone writes first."""
    import torch

    found = []
    for item in played:
        ids = torch.tensor([chat_ids(base.tokenizer, item.messages)], device=base.machine.device)
        with torch.no_grad():
            out: Any = base.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=most,
                do_sample=False,
                repetition_penalty=1.0,
                eos_token_id=end_ids(base.model, base.tokenizer),
                pad_token_id=base.tokenizer.pad_token_id,
            )
        found.append(base.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-new-tokens", type=int, default=256)
    parser.add_argument("--base", default="embedded")
    parser.add_argument("--adapter", type=Path)
    given = parser.parse_args()
    silence_progress_bars()
    recipe = parse_recipe(
        {
            "name": "benchmark",
            "preference": {"kind": "moralis", "kappa": 1.0},
            "model": {"base": given.base},
            "evaluation": {"prompts": given.prompts},
        },
        "benchmark",
    )
    base = load_base(recipe.model)
    if given.adapter is not None:
        add_adapter(base, given.adapter, "tuned")
    adapter = "tuned" if given.adapter is not None else None
    played = items(recipe, "payoffs")
    decisions = sum(len(item.scene.asked) for item in played)
    chat = LocalChat(base, adapter, batch_size=given.batch_size, max_new_tokens=given.max_new_tokens)
    conversations, seeds = [item.messages for item in played], [item.seed for item in played]
    # Both pay for the first call's preparations beforehand.
    list(chat.replies(conversations[:1], seeds[:1], ANSWER))
    start = time.perf_counter()
    batched = {reply.position: reply.text for reply in chat.replies(conversations, seeds, ANSWER)}
    middle = time.perf_counter()
    single = one_by_one(base, played, given.max_new_tokens)
    end = time.perf_counter()
    answers = [[p.actions for p in parsed] for parsed in (_parsed(played, batched), _parsed(played, dict(enumerate(single))))]
    same = sum(a == b for a, b in zip(*answers, strict=True))
    machine = environment(base.machine)
    print(f"machine: {machine['cpu']}, {machine['cores']} cores, GPU {machine['gpu'] or 'none'}, {machine['dtype']}")
    print(f"{given.prompts} prompts, {decisions} decisions, at most {given.max_new_tokens} tokens, {base.name}")
    print(f"batches of {given.batch_size}: {decisions / (middle - start):.2f} decisions/s ({middle - start:.1f} s)")
    print(f"one by one:    {decisions / (end - middle):.2f} decisions/s ({end - middle:.1f} s)")
    print(f"ratio: {(end - middle) / (middle - start):.2f}; same answer to {same} of {len(played)} prompts")


def _parsed(played: list[Item], replies: dict[int, str]) -> list[Any]:
    from moralfit.words import parse_reply

    return [parse_reply(item.scene, replies[n]) for n, item in enumerate(played)]


if __name__ == "__main__":
    quiet_libraries()
    main()
