"""Records: what is asked and stored, going on after an interruption, and that nobody is asked twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from moralfit.agents import LanguageAgent
from moralfit.chat import Line, Reply
from moralfit.dilemmas import FAMILIES, Item, ask, design
from moralfit.errors import RunError
from moralfit.models import Messages

ITEMS = design(FAMILIES["autonomous-vehicles"], "small", 2, 0)[:60]
BY_PROMPT = {item.seed: item for item in ITEMS}


@dataclass
class Script:
    """Says what a function makes of an item, last first, and breaks off after `limit` replies."""

    says: Callable[[Item], str] = lambda item: f"Answer: {'B' if item.options else len(item.seed) % 101}"
    limit: int = 10**9
    asked: list[str] = field(default_factory=list)
    messages: list[Messages] = field(default_factory=list)

    def replies(
        self,
        conversations: Sequence[Messages],
        seeds: Sequence[str],
        mark: str | None = None,
        line: Callable[[int, str], Line | None] | None = None,
    ) -> Iterator[Reply]:
        assert mark == "Answer:"
        assert line is not None
        for position in reversed(range(len(seeds))):
            if len(self.asked) == self.limit:
                raise KeyboardInterrupt
            item = BY_PROMPT[seeds[position]]
            assert conversations[position][-1]["content"] == item.prompt
            text = self.says(item)
            wanted = line(position, text)
            assert wanted is not None
            assert wanted.mark == "Answer:"
            assert list(wanted.options[0]) == ([str(n) for n in range(101)] if item.options is None else ["A", "B"])
            self.asked.append(item.id)
            self.messages.append(conversations[position])
            yield Reply(position, text, [[0.75, 0.25] if item.options else [0.5, *[0.0] * 39, 0.5, *[0.0] * 60]])


def asked(folder: Path, script: Script, settings: dict[str, Any] | None = None, print_: str = "one", **more: Any) -> Any:
    agent = LanguageAgent("base", "a base", "base", script)
    return ask(folder, [agent], {"base": print_}, ITEMS, settings or {"seed": 0}, portion=20, **more)


def stored(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text(encoding="utf-8").split("\n") if line]


def test_records_say_what_was_asked_and_answered(tmp_path: Path) -> None:
    records = asked(tmp_path, Script(lambda item: "Answer: A" if item.options else "Answer: 30"))
    assert records == stored(tmp_path)
    assert [record["item"] for record in records] == [item.id for item in ITEMS]
    for record, item in zip(records, ITEMS, strict=True):
        assert record["status"] == "answered"
        assert record["prompt"] == item.prompt
        if item.format == "scale":
            assert record["approval"] == (0.3 if item.approve_first else 0.7)
            assert record["stated"] == 30
            assert record["probability"] is None
            assert record["expected"] == (0.2 if item.approve_first else 0.8), "half at 0 and half at 40"
        else:
            assert record["approval"] == (1 if item.approve_first else 0)
            assert record["stated"] == "A"
            assert record["expected"] is None
            assert record["probability"] == (0.75 if item.approve_first else 0.25)
    assert {record["approval"] for record in records} == {0.3, 0.7, 0, 1}


def test_the_system_message_of_training_comes_first(tmp_path: Path) -> None:
    script = Script()
    asked(tmp_path, script, system="")
    assert all([m["role"] for m in messages] == ["system", "user"] for messages in script.messages)
    other = Script()
    asked(tmp_path / "none", other)
    assert all([m["role"] for m in messages] == ["user"] for messages in other.messages)


def test_refusals_are_counted_and_never_asked_again(tmp_path: Path) -> None:
    replies = {0: "I cannot answer that.", 1: "Well.", 2: "Answer: A"}
    script = Script(lambda item: replies[len(item.id) % 3])
    records = asked(tmp_path, script)
    assert {record["status"] for record in records} == {"refused", "unparseable", "answered"}
    assert all((record["approval"] is None) == (record["status"] != "answered") for record in records)
    assert sorted(script.asked) == sorted(item.id for item in ITEMS), "each is asked once"
    again = Script()
    assert asked(tmp_path, again) == records
    assert not again.asked


def test_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    whole = asked(tmp_path / "whole", Script())
    with pytest.raises(KeyboardInterrupt):
        asked(tmp_path / "cut", Script(limit=33))
    assert len(stored(tmp_path / "cut")) == 20, "whole portions are kept"
    rest = Script()
    assert asked(tmp_path / "cut", rest) == whole
    assert len(rest.asked) == 40
    assert (tmp_path / "cut/records.jsonl").read_bytes() == (tmp_path / "whole/records.jsonl").read_bytes()


def test_a_torn_line_is_asked_again(tmp_path: Path) -> None:
    odd = Script(lambda item: "one\u2028two\x85\nAnswer: caf\u00e9")
    whole = asked(tmp_path, odd)
    file = tmp_path / "records.jsonl"
    lines = file.read_bytes().split(b"\n")
    # The last in the middle of a character, and one in the middle of the file damaged.
    lines[7] = lines[7][:40]
    text = b"\n".join(lines)
    file.write_bytes(text[: text.rindex("é".encode()) + 1])
    again = Script(odd.says)
    assert asked(tmp_path, again) == whole
    assert sorted(again.asked) == sorted([ITEMS[7].id, ITEMS[-1].id])
    assert asked(tmp_path, Script()) == whole


def test_another_experiment_is_refused(tmp_path: Path) -> None:
    whole = asked(tmp_path, Script())
    with pytest.raises(RunError, match=r"holds an experiment with other temperature; pass --overwrite"):
        asked(tmp_path, Script(), {"seed": 0, "temperature": 1.0})
    with pytest.raises(RunError, match=r"holds an experiment with other seed"):
        asked(tmp_path, Script(), {"seed": 1})
    with pytest.raises(RunError, match=r"holds an experiment with another base"):
        asked(tmp_path, Script(), print_="two")
    assert stored(tmp_path) == whole
    replaced = asked(tmp_path, Script(lambda item: "Answer: 1"), print_="two", overwrite=True)
    assert stored(tmp_path) == replaced != whole
    (tmp_path / "settings.json").write_text("[]")
    with pytest.raises(RunError, match=r"settings.json: damaged"):
        asked(tmp_path, Script())


def test_an_unwritable_folder_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        asked(tmp_path / "file/inside", Script())
