"""Asking: every agent answers every prompt once. Records are appended as replies come; an interrupted experiment goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moralfit.agents import ANSWER, LanguageAgent
from moralfit.chat import Line, Reply
from moralfit.dilemmas._design import LETTERS, NUMBERS, Item, messages
from moralfit.dilemmas._reading import read_choice, read_number
from moralfit.errors import RunError
from moralfit.files import read_json, write_json, write_text

#: Version of the records and of the summary; raised when a field changes its meaning.
SCHEMA = 1

Record = dict[str, Any]


def ask(
    folder: Path,
    agents: Sequence[LanguageAgent],
    fingerprints: Mapping[str, str],
    items: Sequence[Item],
    settings: Mapping[str, Any],
    system: str | None = None,
    progress: Callable[[str, int], None] = lambda key, done: None,
    overwrite: bool = False,
    portion: int = 96,
) -> list[Record]:
    """Completes `records.jsonl` in `folder` and returns the records of these agents and items, in their order.

    A refusal, or a reply that nothing can be read from, is a record like any other: nobody is asked twice.

    Args:
        fingerprints: For each agent key, what it was loaded from. settings: What else makes the experiment what it is.
        system: The system message of every conversation; None for none.
        progress: Called with an agent's key and how many of its items are done.
        portion: Prompts between two writes: what an interruption can cost.

    Raises:
        RunError: The folder holds another experiment (and `overwrite` is not set), or cannot be written.
    """
    path = folder / "records.jsonl"
    settings = {"schema": SCHEMA, **settings}
    known = {} if overwrite else _earlier(folder, settings, fingerprints)
    known = {key: record for key, record in known.items() if key[0] in fingerprints}
    write_json(folder / "settings.json", {**settings, "agents": dict(fingerprints)})
    write_text(path, "".join(_line(record) for record in known.values()))
    try:
        with path.open("a", encoding="utf-8") as file:
            for agent in agents:
                finished = sum((agent.key, item.id) in known for item in items)
                progress(agent.key, finished)
                # Portions begin at fixed places, so that a resumed experiment forms the same batches.
                for start in range(0, len(items), portion):
                    left = [item for item in items[start : start + portion] if (agent.key, item.id) not in known]
                    if not left:
                        continue
                    replies: dict[int, Reply] = {}
                    conversations = [messages(item, system) for item in left]
                    seeds = [item.seed for item in left]
                    for reply in agent.chat.replies(conversations, seeds, ANSWER, _lines(left)):
                        replies[reply.position] = reply
                        progress(agent.key, finished + len(replies))
                    for position, item in enumerate(left):
                        record = _record(agent.key, item, replies[position])
                        file.write(_line(record))
                        known[agent.key, item.id] = record
                    file.flush()
                    finished += len(left)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); run the same command again to go on") from None
    return [known[agent.key, item.id] for agent in agents for item in items]


def _lines(items: Sequence[Item]) -> Callable[[int, str], Line | None]:
    """The answer lines to read off the model: one of two letters, or a number from 0 to 100."""

    def line(position: int, reply: str) -> Line | None:
        return Line(ANSWER, [NUMBERS if items[position].options is None else LETTERS], [0])

    return line


def _line(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _earlier(folder: Path, settings: dict[str, Any], fingerprints: Mapping[str, str]) -> dict[tuple[str, str], Record]:
    """Records of an earlier run of the same experiment, by agent and item; a damaged line is asked again."""
    path, file = folder / "records.jsonl", folder / "settings.json"
    if not path.exists() or not file.exists():
        return {}
    earlier = read_json(file)
    if not isinstance(earlier, dict) or not isinstance(known := earlier.pop("agents", {}), dict):
        raise RunError(f"{file}: damaged; pass --overwrite to ask anew")
    changed = [key for key in fingerprints if key in known and known[key] != fingerprints[key]]
    other = [key for key in dict.fromkeys([*settings, *earlier]) if settings.get(key) != earlier.get(key)]
    if changed or other:
        what = f"another {' and '.join(changed)}" if changed else f"other {', '.join(other)}"
        raise RunError(f"{folder}: holds an experiment with {what}; pass --overwrite to replace it, or another --out")
    found = {}
    # Only newlines end a record: replies may hold the other characters at which str.splitlines cuts.
    for text in path.read_bytes().split(b"\n"):
        try:
            record = json.loads(text)
            found[record["agent"], record["item"]] = record
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _record(agent: str, item: Item, reply: Reply) -> Record:
    """What was asked and answered, and what the model's own probabilities say.

    `approval`, `probability` (of the option that approves) and `expected` (the number that the model's probabilities of 0 to
    100 amount to, as a share) are in [0, 1], with 1 for approval whatever the order of options or the direction of the scale.
    """
    taken = read_number(reply.text) if item.options is None else read_choice(reply.text, item.options)
    approval = None
    if taken.value is not None:
        upwards = taken.value / 100 if item.options is None else 1 - taken.value
        approval = upwards if item.approve_first else 1 - upwards
    read = None
    if reply.probabilities is not None:
        shares = reply.probabilities[0]
        upwards = sum(n * share for n, share in enumerate(shares)) / 100 if item.options is None else shares[0]
        read = round(upwards if item.approve_first else 1 - upwards, 6)
    return {
        "schema": SCHEMA,
        "agent": agent,
        "family": item.family,
        "item": item.id,
        "scenario": item.scenario,
        "story": item.story,
        "cell": item.cell,
        "question": item.cell["question"],
        "format": item.format,
        "sample": item.sample,
        "paraphrase": item.paraphrase + 1,
        "approve_first": item.approve_first,
        "seed": item.seed,
        "prompt": item.prompt,
        "reply": reply.text,
        "status": taken.status,
        "stated": taken.value if item.options is None or taken.value is None else LETTERS[int(taken.value)],
        "approval": None if approval is None else round(approval, 6),
        "probability": read if item.options is not None else None,
        "expected": read if item.options is None else None,
    }
