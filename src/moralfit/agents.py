"""Agents: whatever plays scenes. A base model, the same told its preference, with an adapter, or a die."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from moralfit.chat import Chat, Line, Reply
from moralfit.models import Messages
from moralfit.words import Scene, parse_reply

#: What the answer line starts with, in prompts and replies.
ANSWER = "Answer:"

Asked = Sequence[tuple[Scene, Messages]]


class Agent(Protocol):
    """Answers scenes in words, and says how likely it holds each option.

    Attributes:
        key: Unique among the agents of an evaluation. name: For tables. kind: `base`, `prompted`, `adapter` or `random`.
    """

    key: str
    name: str
    kind: str

    def replies(self, asked: Asked, seeds: Sequence[str], probabilities: bool = False) -> Iterator[Reply]:
        """Yields replies in any order, as they come.

        Args:
            probabilities: Whether to say too how likely each option of each asked decision is when it answers without
                reasoning. Left out are scenes with a choice between more than two options: such labels part at several places.
        """
        ...


@dataclass
class RandomAgent:
    """Takes every action with the same probability: what chance achieves."""

    key: str = "random"
    name: str = "random player"
    kind: str = "random"

    def replies(self, asked: Asked, seeds: Sequence[str], probabilities: bool = False) -> Iterator[Reply]:
        """One answer line each, drawn from the item's seed."""
        for position, ((scene, _), seed) in enumerate(zip(asked, seeds, strict=True)):
            rng = Random(f"{seed}/random")
            text = f"{ANSWER} {', '.join(rng.choice(scene.labels[decision]) for decision in scene.asked)}"
            even = [[1 / len(scene.labels[d])] * len(scene.labels[d]) for d in scene.asked]
            yield Reply(position, text, even if probabilities else None)


@dataclass
class LanguageAgent:
    """A language model that plays scenes."""

    key: str
    name: str
    kind: str
    chat: Chat

    def replies(self, asked: Asked, seeds: Sequence[str], probabilities: bool = False) -> Iterator[Reply]:
        """What the model says. Later decisions of a plan are read given its own earlier answers, see :func:`answer_line`."""

        def line(position: int, reply: str) -> Line | None:
            scene = asked[position][0]
            return answer_line(scene, parse_reply(scene, reply).actions)

        messages = [conversation for _, conversation in asked]
        yield from self.chat.replies(messages, seeds, ANSWER, line if probabilities else None)


def answer_line(scene: Scene, given: Sequence[str]) -> Line | None:
    """The answer line of a scene, with the actions `given` where later decisions are read, or the first listed options.

    None where some choice is between more than two options.
    """
    labels = [scene.labels[decision] for decision in scene.asked]
    if any(len(pair) != 2 for pair in labels):
        return None
    chosen = [scene.order[decision][0] for decision in scene.asked]
    if given:
        chosen = [pair.index(scene.label(d, a)) for pair, d, a in zip(labels, scene.asked, given, strict=True)]
    return Line(ANSWER, labels, chosen)
