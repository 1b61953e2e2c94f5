"""Playing: every agent answers every item, one record per decision, appended as it comes; an interrupted evaluation goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moralfit.agents import Agent
from moralfit.chat import Reply
from moralfit.errors import RunError
from moralfit.evaluate._scenes import Item, Target, target
from moralfit.files import read_json, write_json, write_text
from moralfit.preferences import SocialPreferences
from moralfit.words import parse_reply

#: Version of the records and of the summary; raised when a field changes its meaning.
SCHEMA = 1

Record = dict[str, Any]


def play(
    folder: Path,
    agents: Sequence[Agent],
    fingerprints: Mapping[str, str],
    items: Sequence[Item],
    targets: Mapping[str, SocialPreferences],
    probabilities: bool,
    progress: Callable[[str, int], None],
    overwrite: bool = False,
    portion: int = 64,
    begin: Callable[[], None] = lambda: None,
) -> list[Record]:
    """Completes `records.jsonl` in `folder` and returns all records.

    Args:
        fingerprints: For each agent key, what it was loaded from. targets: Preferences that play is held against, by name.
        probabilities: Whether to read option probabilities from the logits too.
        progress: Called with an agent's key and how many of its items are done.
        portion: Prompts between two writes: what an interruption can cost.
        begin: Called when all is ready, before anything in `folder` is replaced.

    Raises:
        RunError: The folder holds another evaluation (and `overwrite` is not set), or cannot be written.
    """
    path = folder / "records.jsonl"
    settings = {
        "schema": SCHEMA,
        "items": hashlib.sha256(json.dumps([[i.id, i.messages] for i in items]).encode()).hexdigest(),
        "targets": sorted(targets),
        "probabilities": probabilities,
    }
    records = [] if overwrite else _earlier(folder, settings, fingerprints)
    answers = {name: [target(item.scene, preference) for item in items] for name, preference in targets.items()}
    begin()
    write_json(folder / "settings.json", {**settings, "agents": dict(fingerprints)})
    write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    done = {(record["agent"], record["prompt_id"]) for record in records}
    try:
        with path.open("a", encoding="utf-8") as file:
            for agent in agents:
                finished = sum((agent.key, item.id) in done for item in items)
                progress(agent.key, finished)
                # Portions begin at fixed places, so that a resumed evaluation forms the same batches.
                for start in range(0, len(items), portion):
                    left = [n for n in range(start, min(start + portion, len(items))) if (agent.key, items[n].id) not in done]
                    if not left:
                        continue
                    asked = [(items[n].scene, items[n].messages) for n in left]
                    replies: dict[int, Reply] = {}
                    for reply in agent.replies(asked, [items[n].seed for n in left], probabilities):
                        replies[reply.position] = reply
                        progress(agent.key, finished + len(replies))
                    for position, n in enumerate(left):
                        solved = {name: found[n] for name, found in answers.items()}
                        new = _records(agent.key, items[n], solved, replies[position])
                        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in new)
                        records += new
                    file.flush()
                    finished += len(left)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); run the same command again to go on") from None
    return records


def _earlier(folder: Path, settings: dict[str, Any], fingerprints: Mapping[str, str]) -> list[Record]:
    """Records of whole prompts from an earlier run of the same evaluation; of a damaged line, the prompt is asked again."""
    path = folder / "records.jsonl"
    if not path.exists() or not (folder / "settings.json").exists():
        return []
    earlier = read_json(folder / "settings.json")
    if not isinstance(earlier, dict) or not isinstance(known := earlier.pop("agents", {}), dict):
        raise RunError(f"{folder / 'settings.json'}: damaged; pass --overwrite to evaluate anew")
    changed = [key for key in fingerprints if key in known and known[key] != fingerprints[key]]
    if earlier != settings or changed:
        what = f"another {' and '.join(changed)}" if changed else "other prompts or targets"
        raise RunError(f"{folder}: holds an evaluation of {what}; pass --overwrite to replace it, or another --out")
    found: dict[tuple[str, str], list[Record]] = {}
    # Only newlines end a record: replies may hold the other characters at which str.splitlines cuts.
    for line in path.read_bytes().split(b"\n"):
        try:
            record = json.loads(line)
            found.setdefault((record["agent"], record["prompt_id"]), []).append(record)
        except (ValueError, KeyError, TypeError):
            continue
    whole = [records for (agent, _), records in found.items() if agent in fingerprints and len(records) == records[0]["of"]]
    return [record for records in whole for record in records]


def _records(
    agent: str,
    item: Item,
    targets: Mapping[str, Target],
    reply: Reply,
) -> list[Record]:
    scene, game = item.scene, item.scene.game
    parsed, probabilities = parse_reply(scene, reply.text), reply.probabilities
    belief = None if scene.belief is None else [[float(p) for p in d] for d in scene.belief]
    found = []
    for place, decision in enumerate(scene.asked):
        information = game.information_sets[decision]
        found.append(
            {
                "schema": SCHEMA,
                "agent": agent,
                "split": item.split,
                "item": item.number,
                "prompt_id": item.id,
                "seed": item.seed,
                "game": game.name,
                "payoffs": {letter: _plain(value) for letter, value in game.parameters.items()},
                "region": item.region,
                "frame": scene.frame.name,
                "ask": "plan" if scene.decision is None else "decision",
                "decision": information.name,
                "of": len(scene.asked),
                "actions": list(information.actions),
                "labels": list(scene.labels[decision]),
                "belief": belief,
                "prompt": item.messages[-1]["content"],
                "reply": reply.text,
                "status": parsed.status,
                "action": parsed.actions[place] if parsed.actions else None,
                "optimum": {name: list(found.optimum[place]) for name, found in targets.items()},
                "optimum_kind": {name: found.kinds[place] for name, found in targets.items()},
                "advantage": {name: found.advantage[place] for name, found in targets.items()},
                "probabilities": None if probabilities is None else [round(p, 6) for p in probabilities[place]],
            }
        )
    return found


def _plain(value: Any) -> int | float:
    """Whole numbers as people write them."""
    return int(value) if value == int(value) else float(value)
