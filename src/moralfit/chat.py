"""Chats: whatever answers conversations in words, and says how likely it holds the options of an answer line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import prod
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
            conversations: One may end with words of the assistant. The reply then goes on from them and holds what follows.
            seeds: For each conversation what its sampling is seeded with.
            mark: A reply may end once it has finished a line that begins with this, be it that the mark stood there already.
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
        begun = [_begun(tokenizer, messages) for messages in conversations]
        prompts = [
            chat_ids(tokenizer, self._told(messages[:-1] if own else messages)) + own
            for messages, own in zip(conversations, begun, strict=True)
        ]
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
                    stopping_criteria=[]
                    if mark is None
                    else [_finished(tokenizer, [ids.shape[1] - len(begun[p]) for p in positions], mark)],
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
        """Probabilities of the lines' options, from forward passes over the lines alone where the prompts are in `cache`.

        Each choice is read at the token where its options part, scaled to sum to one over the options. Where those that begin
        alike part again, their share is divided by what the model says there, which takes one pass more for each such place.
        """
        encoded = [None if line is None else self._encoded(line) for line in lines]
        if not any(encoded):
            return [None] * len(lines)
        # For each line the passes that it needs: tokens, and the places where options part in them.
        passes = [_passes(*entry) if entry else [] for entry in encoded]
        shares: list[dict[_Place, dict[int, float]]] = [{} for _ in lines]
        for number in range(max(len(needed) for needed in passes)):
            wanted = [needed[number] if number < len(needed) else ([self.base.tokenizer.pad_token_id], {}) for needed in passes]
            logits = self._logits(ids, mask, cache, [row for row, _ in wanted])
            cache = None if cache is None else _cropped(cache, ids.shape[1])
            for line, (_, places) in enumerate(wanted):
                for place, (at, tokens) in places.items():
                    # The logits at index i predict token i + 1.
                    share = logits[line, at - 1].float()[tokens].softmax(0).tolist()
                    shares[line][place] = dict(zip(tokens, share, strict=True))
        return [entry and _shares(entry[1], found) for entry, found in zip(encoded, shares, strict=True)]

    def _logits(self, ids: Any, mask: Any, cache: Any, rows: Sequence[list[int]]) -> Any:
        """What the model expects after each token of the rows, which follow the prompts; the cache grows by them."""
        import torch

        device, width = self.base.machine.device, max(len(row) for row in rows)
        added = torch.tensor([row + [self.base.tokenizer.pad_token_id] * (width - len(row)) for row in rows], device=device)
        there = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
        whole = torch.cat([mask, there], dim=1)
        places = _positions(whole)
        with torch.no_grad(), self._adapter():
            if cache is None:
                given = {"input_ids": torch.cat([ids, added], dim=1), "position_ids": places, "logits_to_keep": width}
            else:
                given = {"input_ids": added, "position_ids": places[:, -width:], "past_key_values": cache}
            return self.base.model(attention_mask=whole, **given).logits

    def _encoded(self, line: Line) -> tuple[list[int], list[_Choice]]:
        """Token ids of an answer line, and where its choices begin with the tokens of their options.

        Raises:
            ValueError: Two options are the same.
        """
        tokenizer = self.base.tokenizer

        def encode(text: str) -> tuple[int, ...]:
            return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

        ids = list(encode(line.mark))
        choices: list[_Choice] = []
        for number, (texts, chosen) in enumerate(zip(line.options, line.chosen, strict=True)):
            # What ends an option tells it from a longer one that begins alike.
            end = encode(",") if number < len(line.options) - 1 else (tokenizer.eos_token_id,)
            options = [encode(f" {text}") + end for text in texts]
            if len(set(options)) < len(options):
                raise ValueError(f"options of an answer line must differ: {', '.join(texts)}")
            choices.append(_Choice(len(ids), options))
            ids += options[chosen]
        return ids, choices

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


class _Choice(NamedTuple):
    """Where a choice begins in the tokens of its line, and the tokens of its options."""

    start: int
    options: list[tuple[int, ...]]


#: The number of a choice, and how its options begin up to where they part.
_Place = tuple[int, tuple[int, ...]]


def _passes(ids: list[int], choices: Sequence[_Choice]) -> list[tuple[list[int], dict[_Place, tuple[int, list[int]]]]]:
    """Rows of tokens to run, and for each place in them its index and the tokens that part the options there.

    The first row is the line itself; the others lead to where options part that did not stand in it.
    """
    first: dict[_Place, tuple[int, list[int]]] = {}
    others = []
    for number, (start, options) in enumerate(choices):
        for begin in sorted({option[:length] for option in options for length in range(len(option))}):
            tokens = sorted({option[len(begin)] for option in options if option[: len(begin)] == begin and option != begin})
            at = start + len(begin)
            if len(tokens) > 1:
                place = {(number, begin): (at, tokens)}
                if tuple(ids[start:at]) == begin:
                    first |= place
                else:
                    others.append(([*ids[:start], *begin], place))
    return [(ids, first), *others]


def _shares(choices: Sequence[_Choice], found: Mapping[_Place, Mapping[int, float]]) -> list[list[float]]:
    """For each choice the probabilities of its options: the product of the shares of the tokens that part them from others."""
    shares = []
    for number, (_, options) in enumerate(choices):
        parted = [
            [found.get((number, option[:at]), {}).get(token, 1.0) for at, token in enumerate(option)] for option in options
        ]
        shares.append([prod(each) for each in parted])
    return shares


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


def _begun(tokenizer: Any, messages: Messages) -> list[int]:
    """Token ids of what the assistant has said already of the reply that is wanted."""
    if messages[-1]["role"] != "assistant":
        return []
    ids: list[int] = tokenizer(messages[-1]["content"], add_special_tokens=False)["input_ids"]
    return ids


def _finished(tokenizer: Any, starts: Sequence[int], mark: str) -> Callable[..., Any]:
    """Stops a row that has finished a line beginning with `mark`: what follows is not asked for and costs time.

    An answer that stands on the line below the mark is waited for.

    Args:
        starts: Where each row's reply begins, with the words that it was given to go on from.
    """
    import torch

    def criterion(ids: Any, scores: Any, **kwargs: Any) -> Any:
        windows = [max(start, ids.shape[1] - _WINDOW) for start in starts]
        texts = tokenizer.batch_decode(
            [row[window:] for row, window in zip(ids, windows, strict=True)], skip_special_tokens=True
        )
        done = []
        for text, start, window in zip(texts, starts, windows, strict=True):
            opening = "\n" if window == start else ""
            _, marked, after = f"{opening}{text}".rpartition(f"\n{mark}")
            done.append(bool(marked) and "\n" in after.lstrip())
        return torch.tensor(done, device=ids.device, dtype=torch.bool)

    return criterion
