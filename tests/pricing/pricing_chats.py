"""Chats that answer from a function, and views of a market, for tests of language models that set prices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from moralfit.chat import Line, Reply
from moralfit.models import Messages
from moralfit.pricing import LogitMarket, Period, View


@dataclass
class ScriptedChat:
    """Answers with `answer(prompt, seed)`, the last conversation first, and remembers what it was asked.

    `begun` has what the answers of a call go on from, of the calls in which there was anything.
    """

    answer: Callable[[str, str], str]
    calls: list[list[tuple[str, str]]] = field(default_factory=list)
    marks: list[str | None] = field(default_factory=list)
    begun: list[list[str]] = field(default_factory=list)

    def replies(
        self,
        conversations: Sequence[Messages],
        seeds: Sequence[str],
        mark: str | None = None,
        line: Callable[[int, str], Line | None] | None = None,
    ) -> Iterator[Reply]:
        if begun := [c[-1]["content"] for c in conversations if c[-1]["role"] == "assistant"]:
            self.begun.append(begun)
        prompts = [next(m["content"] for m in reversed(c) if m["role"] == "user") for c in conversations]
        self.calls.append(list(zip(prompts, seeds, strict=True)))
        self.marks.append(mark)
        for position in reversed(range(len(conversations))):
            yield Reply(position, self.answer(prompts[position], seeds[position]))


def words(text: str) -> int:
    """A tokenizer for tests: every word is a token, and a conversation has ten more."""
    return 10 + len(text.split())


def view(n: int = 2, scale: float = 1.0, periods: int = 5, seed: int = 0, **changes: Any) -> View:
    """What firm 0 sees after some periods of random prices."""
    rng = Random(seed)
    market = LogitMarket(costs=(1.0,) * n, qualities=(2.0,) * n, scale=scale)
    history = []
    for _ in range(periods):
        prices = tuple(scale * rng.uniform(1.2, 2.2) for _ in range(n))
        quantities, profits = (tuple(v.tolist()) for v in (market.quantities(prices), market.profits(prices)))
        history.append(Period(prices, quantities, profits))
    given: dict[str, Any] = {
        "run": "run", "firm": 0, "period": periods + 1, "market": market, "ceiling": 3.85 * scale, "history": history,
        "notes": ("", ""), "seed": f"seed-{seed}",
    }  # fmt: skip
    return View(**{**given, **changes})
