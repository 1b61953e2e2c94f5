"""Chats: whatever answers conversations in words, and says how likely it holds the options of an answer line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from moralfit.models import Base, Messages, chat_ids, end_ids

#: Tokens at the end of a reply in which a finished answer line is looked for.
_WINDOW = 40


class Reply(NamedTuple):
    """An answer to the conversation at `position`.

    Attributes:
        text: What was said. probabilities: For each choice of the answer line the probabilities of its options, summing to one;
            None where no line was asked about.
    """

    position: int
    text: str
    probabilities: list[list[float]] | None = None


class Line(NamedTuple):
    """An answer line whose choices are read off the model: `mark option, option, ...`.

    Attributes:
        mark: What the line starts with. options: For each choice its options as they would be written. chosen: For each choice
            the option that stands there when later ones are read.
    """

    mark: str
    options: Sequence[Sequence[str]]
    chosen: Sequence[int]


class Chat(Protocol):
    """Answers conversations: the seam between what is asked and where a model runs."""

    def replies(
        self,
        conversations: Sequence[Messages],
        seeds: Sequence[str],
        mark: str | None = None,
        line: Callable[[int, str], Line | None] | None = None,
    ) -> Iterator[Reply]:
        """Yields replies in any order, as they come.

        Args:
            seeds: For each conversation what its sampling is seeded with.
            mark: A reply may end once it has finished a line that begins with this.
            line: Given a position and its reply, the answer line to read off the model as if it answered without reasoning.
        """
        ...


@dataclass
class LocalChat:
    """A transformers model on this machine, with one of the adapters of its base or none.

    Attributes:
        base: Shared by all chats of an experiment. adapter: Key of a loaded adapter; None is the base itself.
        preamble: An instruction put before the last message of each conversation; None for none.
        batch_size: Conversations answered at once. max_new_tokens: Where a reply is cut off.
        temperature: Zero takes the most likely token; else tokens are drawn, each conversation's from its own seed, so that a
            reply depends on the rest of its batch by rounding alone.
    """

    base: Base
    adapter: str | None = None
    preamble: str | None = None
    batch_size: int = 16
    max_new_tokens: int = 256
    temperature: float = 0.0

    def replies(
        self,
        conversations: Sequence[Messages],
        seeds: Sequence[str],
        mark: str | None = None,
        line: Callable[[int, str], Line | None] | None = None,
    ) -> Iterator[Reply]:
        """As :meth:`Chat.replies`: in batches of similar length, longest first so that too large a batch fails at once."""
        import torch

        tokenizer, device = self.base.tokenizer, self.base.machine.device
        prompts = [chat_ids(tokenizer, self._told(messages)) for messages in conversations]
        for positions in _batches([len(prompt) for prompt in prompts], self.batch_size):
            ids, mask = _left_padded([prompts[p] for p in positions], tokenizer.pad_token_id, device)
            with torch.no_grad(), self._adapter():
                out = self.base.model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=self.max_new_tokens,
                    # Drawn tokens are those most likely after noise was added, see _Noise.
                    do_sample=False,
                    temperature=None,
                    top_p=None,
                    top_k=None,
                    # Some models ship a penalty in their generation settings, which would punish repeating the payoffs.
                    repetition_penalty=1.0,
                    pad_token_id=tokenizer.pad_token_id,
                    eos_token_id=end_ids(self.base.model, tokenizer),
                    stopping_criteria=[] if mark is None else [_finished(tokenizer, ids.shape[1], mark)],
                    logits_processor=[_Noise(self.temperature, [seeds[p] for p in positions])] if self.temperature else [],
                    return_dict_in_generate=True,
                )
            said = tokenizer.batch_decode(out.sequences[:, ids.shape[1] :], skip_special_tokens=True)
            texts = [text.strip() for text in said]
            found: list[list[list[float]] | None] = [None] * len(positions)
            if line is not None:
                wanted = [line(p, text) for p, text in zip(positions, texts, strict=True)]
                found = self._read(ids, mask, _cropped(out.past_key_values, ids.shape[1]), wanted)
            for number, position in enumerate(positions):
                yield Reply(position, texts[number], found[number])

    def _read(self, ids: Any, mask: Any, cache: Any, lines: Sequence[Line | None]) -> list[list[list[float]] | None]:
        """Probabilities of the lines' options, from one forward pass over the lines alone where the prompts are in `cache`.

        Each choice is read at the token where its options part, scaled to sum to one over the options.
        """
        import torch

        encoded = [None if line is None else self._encoded(line) for line in lines]
        if not any(encoded):
            return [None] * len(lines)
        tokenizer, device = self.base.tokenizer, self.base.machine.device
        rows = [entry[0] if entry else [tokenizer.pad_token_id] for entry in encoded]
        width = max(len(row) for row in rows)
        added = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows], device=device)
        there = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
        whole = torch.cat([mask, there], dim=1)
        places = _positions(whole)
        with torch.no_grad(), self._adapter():
            if cache is None:
                logits = self.base.model(
                    input_ids=torch.cat([ids, added], dim=1), attention_mask=whole, position_ids=places, logits_to_keep=width
                ).logits
            else:
                logits = self.base.model(
                    input_ids=added, attention_mask=whole, position_ids=places[:, -width:], past_key_values=cache
                ).logits
        found: list[list[list[float]] | None] = []
        for number, entry in enumerate(encoded):
            # The logits at index i predict token i + 1.
            shares = entry and [torch.softmax(logits[number, at - 1].float()[options], 0).tolist() for at, options in entry[1]]
            found.append(shares)
        return found

    def _encoded(self, line: Line) -> tuple[list[int], list[tuple[int, list[int]]]]:
        """Token ids of an answer line, and for each choice where its options part and their tokens there.

        Raises:
            ValueError: More than two options part at several places; there is no one token to read.
        """
        tokenizer = self.base.tokenizer

        def encode(text: str) -> list[int]:
            ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
            return ids

        ids = encode(line.mark)
        places: list[tuple[int, list[int]]] = []
        for number, (texts, chosen) in enumerate(zip(line.options, line.chosen, strict=True)):
            # What ends an option tells it from a longer one that begins alike.
            end = encode(",") if number < len(line.options) - 1 else [tokenizer.eos_token_id]
            options = [encode(f" {text}") + end for text in texts]
            shared = 0
            while len({option[shared] for option in options}) == 1:
                shared += 1
            tokens = [option[shared] for option in options]
            if len(set(tokens)) < len(tokens):
                raise ValueError(f"no single token tells {', '.join(texts)} apart")
            places.append((len(ids) + shared, tokens))
            ids += options[chosen]
        return ids, places

    def _told(self, messages: Messages) -> Messages:
        if self.preamble is None:
            return messages
        *before, last = messages
        return [*before, {"role": last["role"], "content": f"{self.preamble}\n\n{last['content']}"}]

    def _adapter(self) -> AbstractContextManager[Any]:
        if self.adapter is not None:
            self.base.model.set_adapter(self.adapter)
            return nullcontext()
        return self.base.model.disable_adapter() if self.base.adapters else nullcontext()


class _Noise:
    """Adds Gumbel noise to the logits, so that the most likely token is a draw from their softmax (Gumbel 1954)."""

    def __init__(self, temperature: float, seeds: Sequence[str]) -> None:
        import torch

        self.temperature = temperature
        # Python's own hash of a text changes from process to process.
        self.generators = [torch.Generator().manual_seed(_number(seed)) for seed in seeds]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        exponential = torch.stack([torch.empty(scores.shape[1]).exponential_(generator=g) for g in self.generators])
        return scores.float() / self.temperature - exponential.log().to(scores.device)


def _number(seed: str) -> int:
    from hashlib import sha256

    return int.from_bytes(sha256(seed.encode()).digest()[:7], "big")


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


def _cropped(cache: Any, length: int) -> Any:
    """The cache of a generation cut back to its prompts; None for models whose layers do not keep all of the past."""
    from transformers.cache_utils import DynamicCache, DynamicLayer

    if not isinstance(cache, DynamicCache) or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None
    # Negative is how many to drop; what a positive number or zero means has changed between versions.
    if (surplus := cache.get_seq_length() - length) > 0:
        cache.crop(-surplus)
    return cache


def _finished(tokenizer: Any, start: int, mark: str) -> Callable[..., Any]:
    """Stops a row that has finished a line beginning with `mark`: what follows is not asked for and costs time.

    An answer that stands on the line below the mark is waited for.
    """
    import torch

    def criterion(ids: Any, scores: Any, **kwargs: Any) -> Any:
        window = max(start, ids.shape[1] - _WINDOW)
        opening = "\n" if window == start else ""
        done = []
        for text in tokenizer.batch_decode(ids[:, window:], skip_special_tokens=True):
            _, marked, after = f"{opening}{text}".rpartition(f"\n{mark}")
            done.append(bool(marked) and "\n" in after.lstrip())
        return torch.tensor(done, device=ids.device, dtype=torch.bool)

    return criterion
