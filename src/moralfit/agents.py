"""Agents: whatever answers prompts. A base model, the same told its preference, with an adapter, or a die."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from moralfit.models import Base, Messages, chat_ids, end_ids
from moralfit.words import Scene

#: What the answer line starts with, in prompts and replies.
ANSWER = "Answer:"

#: Tokens at the end of a reply in which a finished answer line is looked for.
_WINDOW = 40


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
                    # Some models ship a penalty in their generation settings, which would punish repeating the payoffs.
                    repetition_penalty=1.0,
                    pad_token_id=tokenizer.pad_token_id,
                    eos_token_id=end_ids(self.base.model, tokenizer),
                    stopping_criteria=[_answered(tokenizer, ids.shape[1])],
                )
            texts = tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)
            for position, text in zip(positions, texts, strict=True):
                yield position, text.strip()

    def probabilities(
        self, asked: Sequence[tuple[Scene, Messages]], answers: Sequence[Sequence[str]]
    ) -> Iterator[tuple[int, list[list[float]]]]:
        """Probabilities of the options after a forced `Answer:`, from one forward pass a prompt.

        Prompts that ask for a choice between more than two options are left out: such labels part at several places.

        Each decision is read at the token where its labels part, scaled to sum to one over the options. Later decisions of a
        plan are read given the agent's own earlier answers (`answers`, tree actions; the first listed option if it has none).
        """
        import torch

        tokenizer = self.base.tokenizer
        lines = {
            position: self._answer_line(scene, messages, given)
            for position, ((scene, messages), given) in enumerate(zip(asked, answers, strict=True))
            if all(len(scene.labels[decision]) == 2 for decision in scene.asked)
        }
        numbers = list(lines)
        for batch in _batches([len(lines[position][0]) for position in numbers], self.batch_size):
            positions = [numbers[place] for place in batch]
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

        def encode(text: str) -> list[int]:
            ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
            return ids

        ids = chat_ids(tokenizer, self._messages(messages)) + encode(ANSWER)
        places: list[tuple[int, list[int]]] = []
        for number, decision in enumerate(scene.asked):
            labels = scene.labels[decision]
            # What ends a label tells it from a longer one that begins alike.
            end = encode(",") if number < len(scene.asked) - 1 else [tokenizer.eos_token_id]
            options = [encode(f" {label}") + end for label in labels]
            shared = 0
            while len({tuple(option[: shared + 1]) for option in options}) < len(options):
                shared += 1
            places.append((len(ids) + shared, [option[shared] for option in options]))
            chosen = scene.label(decision, given[number]) if number < len(given) else labels[scene.order[decision][0]]
            ids += options[labels.index(chosen)]
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
    """Stops a row that has finished a line beginning with the answer mark: what follows is not asked for and costs time.

    An answer that stands on the line below the mark is waited for.
    """
    import torch

    def criterion(ids: Any, scores: Any, **kwargs: Any) -> Any:
        window = max(start, ids.shape[1] - _WINDOW)
        opening = "\n" if window == start else ""
        done = []
        for text in tokenizer.batch_decode(ids[:, window:], skip_special_tokens=True):
            _, marked, after = f"{opening}{text}".rpartition(f"\n{ANSWER}")
            done.append(bool(marked) and "\n" in after.lstrip())
        return torch.tensor(done, device=ids.device, dtype=torch.bool)

    return criterion
