"""Decisions per second: moralfit's evaluator in batches, through a server, and one `generate` call a prompt. Same prompts,
model and limit.

    python benchmarks/evaluator_speed.py --prompts 32 --batch-size 16 [--adapter runs/quickstart-moralis-1/adapter]
    ... --endpoint http://localhost:8000/v1 --served-model quickstart-moralis-1 --concurrency 16

A server is measured where one is named; it runs wherever it runs, and is asked for one prompt beforehand, as the others are.
Without an adapter the base model seldom ends with an answer, and all run to the token limit.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from moralfit.agents import ANSWER
from moralfit.chat import LocalChat
from moralfit.console import quiet_libraries, silence_progress_bars
from moralfit.evaluate import Item, items
from moralfit.models import Base, add_adapter, chat_ids, end_ids, environment, load_base
from moralfit.recipe import ServeSection, parse_recipe
from moralfit.served import Endpoint, Journal, ServedChat
from moralfit.words import parse_reply


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
    parser.add_argument("--endpoint", help="an OpenAI-compatible server with the same model")
    parser.add_argument("--served-model", help="what that server calls it")
    parser.add_argument("--concurrency", type=int, default=16, help="requests to the server at once")
    given = parser.parse_args()
    if bool(given.endpoint) != bool(given.served_model):
        parser.error("--endpoint and --served-model belong together")
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
    ours, others = _actions(played, batched), _actions(played, dict(enumerate(single)))
    machine = environment(base.machine)
    print(f"machine: {machine['cpu']}, {machine['cores']} cores, GPU {machine['gpu'] or 'none'}, {machine['dtype']}")
    print(f"{given.prompts} prompts, {decisions} decisions, at most {given.max_new_tokens} tokens, {base.name}")
    print(f"batches of {given.batch_size}: {decisions / (middle - start):.2f} decisions/s ({middle - start:.1f} s)")
    print(f"one by one:    {decisions / (end - middle):.2f} decisions/s ({end - middle:.1f} s)")
    print(f"ratio: {(end - middle) / (middle - start):.2f}; same answer to {_same(ours, others)} of {len(played)} prompts")
    if given.endpoint:
        section = ServeSection(endpoint=given.endpoint, concurrency=given.concurrency)
        remote = ServedChat(Endpoint(section, print), given.served_model, max_new_tokens=given.max_new_tokens)
        list(remote.replies(conversations[:1], ["warm"], ANSWER))
        # A new journal: otherwise the first prompt would not be asked again.
        remote = replace(remote, journal=Journal())
        start = time.perf_counter()
        served = {reply.position: reply.text for reply in remote.replies(conversations, seeds, ANSWER)}
        took = time.perf_counter() - start
        print(f"served, {given.concurrency} at once: {decisions / took:.2f} decisions/s ({took:.1f} s)")
        print(f"same answer as in batches to {_same(ours, _actions(played, served))} of {len(played)} prompts")


def _actions(played: list[Item], replies: dict[int, str]) -> list[Any]:
    return [parse_reply(item.scene, replies[n]).actions for n, item in enumerate(played)]


def _same(one: list[Any], other: list[Any]) -> int:
    return sum(a == b for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    quiet_libraries()
    main()
