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
    """Answers with `answer(prompt, seed)`, the last conversation first, and remembers what it was asked."""

    answer: Callable[[str, str], str]
    calls: list[list[tuple[str, str]]] = field(default_factory=list)
    marks: list[str | None] = field(default_factory=list)

    def replies(
        self,
        conversations: Sequence[Messages],
        seeds: Sequence[str],
        mark: str | None = None,
        line: Callable[[int, str], Line | None] | None = None,
    ) -> Iterator[Reply]:
        self.calls.append([(c[-1]["content"], seed) for c, seed in zip(conversations, seeds, strict=True)])
        self.marks.append(mark)
        for position in reversed(range(len(conversations))):
            yield Reply(position, self.answer(conversations[position][-1]["content"], seeds[position]))


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
