from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from dataset_samples import built, make_recipe, read_rows, rows

from moralfit.dataset import SPLITS, Sampler, build_dataset, load_built, sizes
from moralfit.errors import RunError


def test_sizes_files_and_progress(tmp_path: Path) -> None:
    recipe = make_recipe("economicus", train=101, heldout=50)
    seen: list[int] = []
    facts = build_dataset(recipe, tmp_path / "data", seen.append)
    assert facts["samples"] == sizes(recipe) == {"train": 101, "heldout_payoffs": 50, "heldout_words": 50}
    assert {split: len(found) for split, found in read_rows(tmp_path / "data").items()} == facts["samples"]
    assert seen == [100, 200, 201]
    assert json.loads((tmp_path / "data" / "shortcuts.json").read_text()) == facts["shortcuts"]


def test_load_built_has_the_rows_and_types() -> None:
    from datasets import List, Value

    folder, _ = built("moralis")
    splits = load_built(folder)
    assert list(splits) == list(SPLITS)
    for split in SPLITS:
        assert splits[split].to_list() == rows("moralis")[split]
    features = splits["train"].features
    assert features["prompt"] == List({"role": Value("string"), "content": Value("string")})
    assert features["belief"] == List(List(Value("float64")))
    assert features["T"] == Value("int64")


def test_load_built_without_any_stated_belief_and_with_odd_line_separators(tmp_path: Path) -> None:
    system = "One\u2028two\x85three\x0bfour"
    beliefs = {"unstated": 1, "certain": 0, "halves": 0}
    build_dataset(make_recipe("economicus", train=6, heldout=3, beliefs=beliefs, system=system), tmp_path / "data")
    train = load_built(tmp_path / "data")["train"]
    assert train.features == load_built(built("moralis")[0])["train"].features
    assert train["belief"][:] == [None] * 6
    assert train[0]["prompt"][0] == {"role": "system", "content": system}


def damaged(folder: Path, tmp_path: Path, text: str | bytes | None) -> Path:
    copy = tmp_path / "copy"
    copy.mkdir()
    for split in SPLITS:
        (copy / f"{split}.jsonl").write_bytes((folder / f"{split}.jsonl").read_bytes())
    path = copy / "heldout_payoffs.jsonl"
    path.unlink()
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return copy


@pytest.mark.parametrize("what", ["missing", "cut", "empty", "list", "column", "gap", "bytes"])
def test_damaged_files_are_named(tmp_path: Path, what: str) -> None:
    folder, _ = built("economicus")
    text = (folder / "heldout_payoffs.jsonl").read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    first = json.loads(lines[0])
    contents: dict[str, tuple[str | bytes | None, str]] = {
        "missing": (None, "cannot be read"),
        "cut": (text[:-20], f"damaged, line {len(lines)}"),
        "empty": ("", "damaged, line 1"),
        "list": ("[1]\n" + text, "damaged, line 1"),
        "column": (json.dumps({key: first[key] for key in first if key != "labels"}) + "\n", "damaged, line 1"),
        "gap": ("".join(lines[:2] + lines[3:]), "damaged, line 3"),
        "bytes": (b"\xff\xfe" + text.encode(), "damaged"),
    }
    content, message = contents[what]
    with pytest.raises(RunError, match=rf"heldout_payoffs\.jsonl: {message}.*delete"):
        load_built(damaged(folder, tmp_path, content))


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="data: exists already; move it away"):
        build_dataset(make_recipe(), tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a fault")])
def test_an_interrupted_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    sample = Sampler.sample

    def interrupted(self: Sampler, split: Any, number: int) -> Any:
        if split == "heldout_payoffs" and number == 2:
            assert [path.name.startswith(".data.") for path in tmp_path.iterdir()] == [True]
            raise error
        return sample(self, split, number)

    monkeypatch.setattr(Sampler, "sample", interrupted)
    with pytest.raises(type(error)):
        build_dataset(make_recipe(train=5, heldout=5, plan_share=1.0), tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["rows", "fsync", "rename"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    class Full(io.StringIO):
        write = full

    if where == "rows":
        monkeypatch.setattr(Path, "open", lambda *_, **__: Full())
    else:
        monkeypatch.setattr(os, "fsync" if where == "fsync" else "replace", full)
    with pytest.raises(RunError, match=r"cannot be written \(No space left on device\); free some space"):
        build_dataset(make_recipe(train=5, heldout=5, plan_share=1.0), tmp_path / "data")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
