"""What a training is supervised on, decoded from what its trainer will see: before the first step, of every sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from trl import SFTTrainer

from moralfit.errors import TrainingError
from moralfit.models import end_ids


def check_supervision(trainer: SFTTrainer, rows: Sequence[dict[str, Any]], tokenizer: Any) -> int:
    """Decodes what the trainer will compute its loss on and requires it to be the completion and the end of turn exactly.

    This catches a drifted chat template, truncation and masks gone wrong, all of which train without complaint otherwise. Where
    samples are packed, every one must be found whole in some pack.

    Returns:
        The number of supervised tokens.

    Raises:
        TrainingError: Some row is supervised on something else; the message shows both.
    """
    ends = {tokenizer.decode([end]) for end in end_ids(trainer.model, tokenizer)}
    prompts = [tokenizer.apply_chat_template(stored["prompt"], add_generation_prompt=True, tokenize=False) for stored in rows]
    supervised = 0
    for number, ids, labels in _documents(trainer, rows, prompts, tokenizer):
        mask = labels != -100
        stored, prompt = rows[number], prompts[number]
        completion = stored["completion"][0]["content"]
        first = int(mask.nonzero()[0]) if mask.any() else len(ids)
        read, learned = tokenizer.decode(ids[:first]), tokenizer.decode(ids[mask])
        whole = learned.startswith(completion) and learned.removeprefix(completion).strip() in ends
        if read != prompt or not whole or (labels[mask] != ids[mask]).any():
            name = stored.get("id", f"row {number}")
            raise TrainingError(
                f"training: the loss on {name} is not computed on the completion and its end of turn.\n"
                f"  expected:   {completion!r} and one of {', '.join(map(repr, sorted(ends)))} after {prompt[-40:]!r}\n"
                f"  supervised: {learned!r} after {read[-40:]!r}\n"
                "  Raise training.max_length if it is cut off; otherwise the chat template of this model does not fit"
            )
        supervised += int(mask.sum())
    return supervised


def _documents(
    trainer: SFTTrainer, rows: Sequence[dict[str, Any]], prompts: Sequence[str], tokenizer: Any
) -> Iterator[tuple[int, Any, Any]]:
    """Each sample's number with its token ids and labels as the collator gives them, until none is left.

    Raises:
        TrainingError: Not as many as there are samples.
    """
    prepared = trainer.train_dataset
    if "seq_lengths" in prepared.column_names:
        yield from _packed(trainer, [row["completion"][0]["content"] for row in rows], prompts, tokenizer)
        return
    if len(prepared) != len(prompts):
        raise _lost(len(prompts) - len(prepared))
    for number in range(len(prompts)):
        batch = trainer.data_collator([prepared[number]])
        yield number, batch["input_ids"][0], batch["labels"][0]


def _packed(
    trainer: SFTTrainer, completions: Sequence[str], prompts: Sequence[str], tokenizer: Any
) -> Iterator[tuple[int, Any, Any]]:
    """The same where packs hold several samples in an order of their own: each is told by what it reads."""
    waiting: dict[str, list[int]] = {}
    for number, prompt in enumerate(prompts):
        waiting.setdefault(prompt, []).append(number)
    found = 0
    for pack in trainer.train_dataset:
        batch = trainer.data_collator([pack])
        ids, labels = batch["input_ids"][0], batch["labels"][0]
        starts = [*(batch["position_ids"][0] == 0).nonzero()[:, 0].tolist(), len(ids)]
        for start, end in pairwise(starts):
            own, learned = ids[start:end], labels[start:end]
            mask = learned != -100
            if not mask.any():
                continue
            read, text = tokenizer.decode(own[: int(mask.nonzero()[0])]), tokenizer.decode(own[mask])
            # One whose prompt is nobody's is shown beside a sample that was not found yet.
            numbers = waiting.get(read) or next((left for left in waiting.values() if left), None)
            if numbers is None:
                raise TrainingError("training.packing: some samples were cut into several; raise training.max_length")
            # The same prompt may be there twice, with other replies.
            number = next((n for n in numbers if text.startswith(completions[n])), numbers[0])
            numbers.remove(number)
            found += 1
            yield number, own, learned
    if found < len(prompts):
        raise _lost(len(prompts) - found)


def _lost(number: int) -> TrainingError:
    return TrainingError(f"training.max_length: {number} samples lost all of their completion; raise it")
