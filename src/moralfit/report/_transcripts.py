"""Replies of several agents to the same prompt, chosen by rule and judged decision by decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from moralfit.report._load import Agent, Record, Summary

#: (prompt id, how it asks, the decision asked for or nothing): what makes replies of different agents comparable.
_Prompt = tuple[str, str, str]


@dataclass(frozen=True)
class Verdict:
    """What one preference has to say about a choice.

    Attributes:
        optimal: Label and tree action of the optimum; both, where the solver is indifferent.
        right: None where the solver's answer is not on record.
        margin: By how many points of utility the optimum is better.
    """

    target: str
    optimal: str
    right: bool | None
    margin: float | None


@dataclass(frozen=True)
class Choice:
    """One decision of one agent, judged by the preference it was trained on, or by every one that somebody was.

    Attributes:
        chosen: Label and tree action, or nothing if the reply states none.
    """

    decision: str
    chosen: str
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class Reply:
    """What one agent wrote and how it was read."""

    agent: Agent
    prompt: str
    text: str
    status: str
    choices: tuple[Choice, ...]

    @property
    def wrong(self) -> bool:
        """Whether some decision is not the solver's."""
        return any(verdict.right is False for choice in self.choices for verdict in choice.verdicts)


@dataclass(frozen=True)
class Transcript:
    """One prompt with the replies to it.

    Attributes:
        prompt: The text shown to all, or None where agents were shown different texts.
        miss_of: The agent whose miss this is there to show, if that is why it is.
    """

    prompt_id: str
    game: str
    split: str
    payoffs: Mapping[str, float]
    prompt: str | None
    replies: tuple[Reply, ...]
    miss_of: Agent | None


@dataclass(frozen=True)
class Misses:
    """How many prompts an adapter answered, and on how many some decision was not the solver's."""

    agent: Agent
    prompts: int
    missed: int


def transcripts(summary: Summary, records: Iterable[Record]) -> tuple[tuple[Transcript, ...], tuple[Misses, ...]]:
    """The first prompt of each game, parts of the evaluation in turn, then the first prompt that each adapter missed.

    Shown are the base model and the adapters. The rule leaves no room for picking by hand.
    """
    shown = [agent for kind in ("base", "adapter") for agent in summary.agents if agent.kind == kind]
    adapters = [agent for agent in shown if agent.kind == "adapter"]
    targets = tuple(dict.fromkeys(agent.preference for agent in adapters if agent.preference))
    keys = {agent.key for agent in shown}
    groups: dict[_Prompt, dict[str, list[Record]]] = {}
    for record in records:
        if record.agent in keys:
            asked = record.decision if record.ask == "decision" else ""
            groups.setdefault((record.prompt_id, record.ask, asked), {}).setdefault(record.agent, []).append(record)
    # A prompt that an adapter has not answered shows nothing; one that lacks the base's reply shows half.
    complete = {p: by_agent for p, by_agent in groups.items() if any(a.key in by_agent for a in adapters)}
    wanted: dict[_Prompt, Agent | None] = dict.fromkeys(_firsts(complete, len(shown)))
    misses = []
    for adapter in adapters:
        own = {
            p: _reply(adapter, by_agent[adapter.key], targets) for p, by_agent in complete.items() if adapter.key in by_agent
        }
        missed = [prompt for prompt, reply in own.items() if reply.wrong]
        misses.append(Misses(adapter, len(own), len(missed)))
        if missed and not any(prompt in wanted for prompt in missed):
            wanted[missed[0]] = adapter
    chosen = []
    for prompt, miss_of in wanted.items():
        by_agent = complete[prompt]
        replies = tuple(_reply(agent, by_agent[agent.key], targets) for agent in shown if agent.key in by_agent)
        texts = {reply.prompt for reply in replies}
        record = next(iter(by_agent.values()))[0]
        common = replies[0].prompt if len(texts) == 1 else None
        chosen.append(Transcript(record.prompt_id, record.game, record.split, record.payoffs, common, replies, miss_of))
    return tuple(chosen), tuple(misses)


def _firsts(groups: Mapping[_Prompt, Mapping[str, Sequence[Record]]], agents: int) -> list[_Prompt]:
    """The first prompt of each game; the second game's from the second part of the evaluation, and so on in turn.

    Of the games that are never trained on, the first prompt stands for all.
    """
    games: dict[str, dict[str, _Prompt]] = {}
    for full in (True, False):
        for prompt, by_agent in groups.items():
            record = next(iter(by_agent.values()))[0]
            if not full or len(by_agent) == agents:
                games.setdefault(record.split if record.split == "games" else record.game, {}).setdefault(record.split, prompt)
    firsts = []
    for number, by_split in enumerate(games.values()):
        prompts = list(by_split.values())
        firsts.append(prompts[number % len(prompts)])
    return firsts


def _reply(agent: Agent, records: Sequence[Record], targets: Sequence[str]) -> Reply:
    judges = [agent.preference] if agent.kind == "adapter" and agent.preference else targets
    choices = tuple(_choice(record, judges) for record in records)
    return Reply(agent, records[0].prompt, records[0].reply, records[0].status, choices)


def _choice(record: Record, targets: Sequence[str]) -> Choice:
    named = dict(zip(record.actions, record.labels, strict=False))

    def label(action: str) -> str:
        return f"{named[action]} ({action})" if named.get(action, action) != action else action

    chosen = record.action if record.status == "answered" else None
    verdicts = []
    for target in targets:
        optimum = record.optimum.get(target, ())
        right = chosen in optimum if optimum else None
        optimal = " or ".join(label(action) for action in optimum)
        if record.optimum_kind.get(target) == "mixed":
            optimal = f"a mixture of {' and '.join(label(action) for action in optimum)}"
        advantage = (record.advantage or {}).get(target)
        verdicts.append(Verdict(target, optimal, right, None if advantage is None else abs(advantage)))
    return Choice(record.decision, "" if chosen is None else label(chosen), tuple(verdicts))
