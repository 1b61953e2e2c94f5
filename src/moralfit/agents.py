"""Agents: whatever answers prompts. A base model, the same told its preference, with an adapter, or a die."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from moralfit.models import Base, Messages, chat_ids
from moralfit.words import Scene

#: What the answer line starts with, in prompts and replies.
ANSWER = "Answer:"


class Agent(Protocol):
    """Answers scenes in words, and says how likely it holds each option.

    Attributes:
        key: Unique among the agents of an evaluation. name: For tables. kind: `base`, `prompted`, `adapter` or `random`.
    """

    key: str
    name: str
    kind: str

    def replies(self, asked: Sequence[tuple[Scene, Messages]], seeds: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Yields (position in `asked`, reply) in any order, as they come."""
        ...

    def probabilities(
        self, asked: Sequence[tuple[Scene, Messages]], answers: Sequence[Sequence[str]]
    ) -> Iterator[tuple[int, list[list[float]]]]:
        """Yields (position, probabilities of the options at each asked decision) when it answers without reasoning."""
        ...


@dataclass
class RandomAgent:
    """Takes every action with the same probability: what chance achieves."""

    key: str = "random"
    name: str = "random player"
    kind: str = "random"

    def replies(self, asked: Sequence[tuple[Scene, Messages]], seeds: Sequence[str]) -> Iterator[tuple[int, str]]:
        """One answer line each, drawn from the item's seed."""
        for position, ((scene, _), seed) in enumerate(zip(asked, seeds, strict=True)):
            rng = Random(f"{seed}/random")
            yield position, f"{ANSWER} {', '.join(rng.choice(scene.labels[decision]) for decision in scene.asked)}"

    def probabilities(
        self, asked: Sequence[tuple[Scene, Messages]], answers: Sequence[Sequence[str]]
    ) -> Iterator[tuple[int, list[list[float]]]]:
        """The same for every option."""
        for position, (scene, _) in enumerate(asked):
            yield position, [[1 / len(scene.labels[d])] * len(scene.labels[d]) for d in scene.asked]


@dataclass
class LanguageAgent:
    """A language model, greedy, with one of the adapters of its base or none.

    Attributes:
        base: Shared by all agents of an evaluation. adapter: Key of a loaded adapter; None plays the base itself.
        preamble: A statement of the preference put before each prompt; None for none.
        batch_size: Prompts answered at once. max_new_tokens: Where a reply is cut off.
    """

    key: str
    name: str
    kind: str
    base: Base
    adapter: str | None = None
    preamble: str | None = None
    batch_size: int = 16
    max_new_tokens: int = 256

    def replies(self, asked: Sequence[tuple[Scene, Messages]], seeds: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Greedy replies in batches of prompts of similar length, longest first so that too large a batch fails at once."""
        import torch

        tokenizer = self.base.tokenizer
        prompts = [chat_ids(tokenizer, self._messages(messages)) for _, messages in asked]
        for positions in _batches([len(prompt) for prompt in prompts], self.batch_size):
            ids, mask = _left_padded([prompts[p] for p in positions], tokenizer.pad_token_id, self.base.machine.device)
            with torch.no_grad(), self._adapter():
                out = self.base.model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=self.max_new_tokens,
                    do_sample=False,
                    temperature=None,
                    top_p=None,
                    top_k=None,
                    pad_token_id=tokenizer.pad_token_id,
                    stopping_criteria=[_answered(tokenizer, ids.shape[1])],
                )
            texts = tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)
            for position, text in zip(positions, texts, strict=True):
                yield position, text.strip()

    def probabilities(
        self, asked: Sequence[tuple[Scene, Messages]], answers: Sequence[Sequence[str]]
    ) -> Iterator[tuple[int, list[list[float]]]]:
        """Probabilities of the options after a forced `Answer:`, from one forward pass a prompt.

        Later decisions of a plan are read given the agent's own earlier answers (`answers`, tree actions; the first listed
        option where there is none). The probabilities of the options are scaled to sum to one.
        """
        import torch

        tokenizer = self.base.tokenizer
        lines = [self._answer_line(scene, messages, given) for (scene, messages), given in zip(asked, answers, strict=True)]
        for positions in _batches([len(ids) for ids, _ in lines], self.batch_size):
            ids, mask = _left_padded([lines[p][0] for p in positions], tokenizer.pad_token_id, self.base.machine.device)
            keep = max(len(lines[p][0]) - min(place for place, _ in lines[p][1]) for p in positions) + 1
            with torch.no_grad(), self._adapter():
                logits = self.base.model(
                    input_ids=ids, attention_mask=mask, position_ids=_positions(mask), logits_to_keep=keep
                ).logits
            for number, position in enumerate(positions):
                length, places = len(lines[position][0]), lines[position][1]
                found = []
                for place, options in places:
                    # The logits at index i predict token i + 1; indices count from the right end, where rows are aligned.
                    row = logits[number, place - 1 - length].float()
                    found.append(torch.softmax(row[options], dim=0).tolist())
                yield position, found

    def _answer_line(
        self, scene: Scene, messages: Messages, given: Sequence[str]
    ) -> tuple[list[int], list[tuple[int, list[int]]]]:
        """Token ids of the prompt with an answer line, and for each decision where the options part and their tokens there."""
        tokenizer = self.base.tokenizer
        ids = chat_ids(tokenizer, self._messages(messages))
        ids += tokenizer(ANSWER, add_special_tokens=False)["input_ids"]
        places: list[tuple[int, list[int]]] = []
        for number, decision in enumerate(scene.asked):
            labels = scene.labels[decision]
            options = [tokenizer(f" {label}", add_special_tokens=False)["input_ids"] for label in labels]
            shared = 0
            while len({tuple(option[: shared + 1]) for option in options}) < len(options):
                shared += 1
            chosen = scene.label(decision, given[number]) if number < len(given) else labels[scene.order[decision][0]]
            places.append((len(ids) + shared, [option[min(shared, len(option) - 1)] for option in options]))
            ids = ids + options[labels.index(chosen)]
            if number < len(scene.asked) - 1:
                ids += tokenizer(",", add_special_tokens=False)["input_ids"]
        return ids, places

    def _messages(self, messages: Messages) -> Messages:
        if self.preamble is None:
            return messages
        *before, last = messages
        return [*before, {"role": last["role"], "content": f"{self.preamble}\n\n{last['content']}"}]

    def _adapter(self) -> AbstractContextManager[Any]:
        if self.adapter is not None:
            self.base.model.set_adapter(self.adapter)
            return nullcontext()
        return self.base.model.disable_adapter() if self.base.adapters else nullcontext()


def _batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _left_padded(rows: Sequence[list[int]], pad: int, device: str) -> tuple[Any, Any]:
    import torch

    width = max(len(row) for row in rows)
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask


def _positions(mask: Any) -> Any:
    return (mask.cumsum(1) - 1).clamp(min=0)


def _answered(tokenizer: Any, start: int) -> Callable[..., Any]:
    """Stops a row that has finished a line beginning with the answer mark: what follows is not asked for and costs time."""
    import torch

    def criterion(ids: Any, scores: Any, **kwargs: Any) -> Any:
        texts = tokenizer.batch_decode(ids[:, max(start, ids.shape[1] - 40) :], skip_special_tokens=True)
        done = []
        for text in texts:
            _, marked, after = text.rpartition(f"\n{ANSWER}")
            done.append(bool(marked) and "\n" in after.lstrip(" "))
        return torch.tensor(done, device=ids.device, dtype=torch.bool)

    return criterion
