"""What an agent expects of others, asked in words: of 100 people who play this, how many choose each option?"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from moralfit.agents import Agent
from moralfit.errors import RunError
from moralfit.evaluate._scenes import Item
from moralfit.evaluate._server import JOURNAL
from moralfit.files import write_text
from moralfit.games import Strategy
from moralfit.models import Messages
from moralfit.words import Scene, render_game, step_name

#: Stated beliefs by agent and prompt.
Elicited = dict[tuple[str, str], Strategy]

_SCHEMA = 1
_FILE = "beliefs.jsonl"
#: By how much the numbers for one decision may miss 100, since people round.
_SLACK = 2
_MARK = re.compile(r"answers?\**\s*:", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w])")


def belief_question(scene: Scene) -> str:
    """The rules of a scene as its prompt tells them, with a question about others instead of one about oneself."""
    decisions = scene.sequence
    lines, shape = [], []
    for number, decision in enumerate(decisions, 1):
        place = f"({number}) {step_name(scene, decision)}: " if len(decisions) > 1 else ""
        lines.append(f"{place}{', '.join(scene.listed(decision))}")
        shape.append(", ".join(["number"] * len(scene.labels[decision])))
    question = "Of 100 people who play this, how many choose each option? Numbers add up to 100"
    question += " in each line." if len(decisions) > 1 else "."
    return "\n".join([render_game(scene), question, *lines, f"End with: Answer: {'; '.join(shape)}"])


def parse_shares(scene: Scene, reply: str) -> Strategy | None:
    """The belief that a reply states, or None if none can be read without guessing.

    Read is what follows the last "Answer:". There must be one number for each option, in the order of the question, and those
    of one decision must sum to 100, give or take two, or to one.
    """
    marks = list(_MARK.finditer(reply))
    if not marks:
        return None
    text = reply[marks[-1].end() :]
    for label in sorted({label for labels in scene.labels for label in labels}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(label)}\s*[:=]", " ", text)
    text = re.sub(r"(?:^|(?<=\s))\(?\d\)", " ", text)
    numbers = [Fraction(found) for found in _NUMBER.findall(text)]
    decisions = scene.sequence
    sizes = [len(scene.labels[decision]) for decision in decisions]
    if len(numbers) != sum(sizes):
        return None
    belief: dict[int, tuple[Fraction, ...]] = {}
    for decision, size in zip(decisions, sizes, strict=True):
        listed, numbers = numbers[:size], numbers[size:]
        total = sum(listed, Fraction(0))
        if abs(total - 100) > _SLACK and abs(total - 1) * 100 > _SLACK:
            return None
        belief[decision] = tuple(listed[scene.place(decision, action)] / total for action in range(size))
    return scene.game.strategy([belief[decision] for decision in range(len(sizes))])


def elicit(
    folder: Path, agents: Sequence[Agent], fingerprints: Mapping[str, str], items: Sequence[Item], portion: int = 64
) -> list[dict[str, Any]]:
    """Completes `beliefs.jsonl` in `folder`: one record for each agent and prompt that states no belief.

    A random player is not asked: it expects nothing. Records of agents that were loaded from something else are dropped.

    Returns:
        The records; `belief` is the strategy in the tree's order, None where `status` is `unparseable`.

    Raises:
        RunError: The file cannot be written.
    """
    path = folder / _FILE
    wanted = {item.id: item for item in items if item.scene.belief is None}
    records = [
        record
        for record in _read(path)
        if record.get("prompt_id") in wanted
        and record.get("fingerprint") == fingerprints.get(record.get("agent", ""))
        and record.get("prompt") == belief_question(wanted[record["prompt_id"]].scene)
    ]
    done = {(record["agent"], record["prompt_id"]) for record in records}
    write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    try:
        with path.open("a", encoding="utf-8") as file:
            for agent in agents:
                left = [item for item in wanted.values() if (agent.key, item.id) not in done]
                if agent.kind == "random":
                    continue
                for start in range(0, len(left), portion):
                    asked = left[start : start + portion]
                    questions = [belief_question(item.scene) for item in asked]
                    scenes = [(item.scene, _asking(item.messages, q)) for item, q in zip(asked, questions, strict=True)]
                    seeds = [f"{item.seed}/belief" for item in asked]
                    replies = {reply.position: reply.text for reply in agent.replies(scenes, seeds)}
                    for place, item in enumerate(asked):
                        belief = parse_shares(item.scene, replies[place])
                        record = {
                            "schema": _SCHEMA,
                            "agent": agent.key,
                            "fingerprint": fingerprints[agent.key],
                            "prompt_id": item.id,
                            "prompt": questions[place],
                            "reply": replies[place],
                            "status": "unparseable" if belief is None else "answered",
                            "belief": None if belief is None else [[float(p) for p in entry] for entry in belief],
                        }
                        file.write(json.dumps(record, ensure_ascii=False) + "\n")
                        records.append(record)
                    file.flush()
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); run the same command again to go on") from None
    return records


def forget(folder: Path) -> None:
    """Removes what agents of an earlier evaluation said they expect, and what a server answered.

    Raises:
        RunError: It cannot be removed.
    """
    for name in (_FILE, JOURNAL):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"{folder / name}: cannot be replaced ({error.strerror})") from None


def _asking(messages: Messages, question: str) -> Messages:
    *before, last = messages
    return [*before, {"role": last["role"], "content": question}]


def _read(path: Path) -> list[dict[str, Any]]:
    """The whole records of an earlier run; what an interruption cut off is asked again."""
    found = []
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and {"agent", "prompt_id", "status", "belief"} <= set(record):
            found.append(record)
    return found
