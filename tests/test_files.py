from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moralfit.errors import RunError
from moralfit.files import new_folder, read_json, sha256, write_json, write_text


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_text_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "file.txt"
    write_text(path, "one, which is longer")
    write_text(path, "zwei ü\n")
    assert path.read_bytes() == "zwei ü\n".encode()
    assert names(path.parent) == ["file.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("call", ["fsync", "replace", "fdopen", "chmod"])
def test_write_text_on_a_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(RunError, match=r"file\.txt: cannot be written \(No space left on device\); free some space"):
        write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_write_text_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "file.txt", "new")
    assert names(tmp_path) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(RunError, match=r"file/below: cannot be written \(.*\)$"):
        write_text(tmp_path / "file" / "below", "text")
    with pytest.raises(RunError, match=r"file/below: cannot be written"), new_folder(tmp_path / "file" / "below"):
        pytest.fail("the block must not run")


def test_json_round_trip_and_damage(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"b": [1, None, 0.1], "a": "ü"})
    assert read_json(path) == {"b": [1, None, 0.1], "a": "ü"}
    assert path.read_text(encoding="utf-8") == '{\n "b": [\n  1,\n  null,\n  0.1\n ],\n "a": "ü"\n}\n'
    path.write_text('{"b": [1')
    with pytest.raises(RunError, match=r"x\.json: damaged, not JSON .*delete it"):
        read_json(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RunError, match=r"x\.json: damaged"):
        read_json(path)
    with pytest.raises(RunError, match=r"none\.json: cannot be read \(No such file or directory\)"):
        read_json(tmp_path / "none.json")


def test_new_folder_appears_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "folder"
    with new_folder(path) as temporary:
        (temporary / "a.txt").write_text("a")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert names(path) == ["a.txt"]
    assert names(path.parent) == ["folder"]
    assert path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [ValueError("a fault"), KeyboardInterrupt()])
def test_new_folder_vanishes_when_the_block_fails(tmp_path: Path, error: BaseException) -> None:
    def fail() -> None:
        with new_folder(tmp_path / "folder") as temporary:
            (temporary / "a.txt").write_text("a")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert names(tmp_path) == []


def test_new_folder_on_a_disk_that_fills_up(tmp_path: Path) -> None:
    message = r"folder: cannot be written \(No space left on device\); free some space"
    with pytest.raises(RunError, match=message), new_folder(tmp_path / "folder"):
        full()
    assert names(tmp_path) == []


def test_new_folder_replaces_a_full_one(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for text in ("old", "new"):
        with new_folder(path) as temporary:
            (temporary / f"{text}.txt").write_text(text)
    assert names(path) == ["new.txt"]
    assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_new_folder_that_cannot_be_renamed_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old.txt").write_text("old")
    replace: Callable[..., None] = os.replace
    calls = 0

    def sometimes(source: Any, target: Any) -> None:
        nonlocal calls
        calls += 1
        # The first rename fails anyway, since the old folder is not empty; then each later one in turn.
        if calls - 1 == failing:
            full()
        replace(source, target)

    monkeypatch.setattr(os, "replace", sometimes)
    if failing:
        with pytest.raises(RunError, match="cannot be written"), new_folder(path) as temporary:
            (temporary / "new.txt").write_text("new")
        assert names(path) == ["old.txt"]
    else:
        with new_folder(path) as temporary:
            (temporary / "new.txt").write_text("new")
        assert names(path) == ["new.txt"]
    assert names(tmp_path) == ["folder"]


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(RunError, match=r"y: cannot be read \(No such file or directory\)"):
        sha256(tmp_path / "y")
