"""Damaged files are named, with the place of the damage; nothing is guessed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moralfit.errors import RunError
from moralfit.report import write_report

Edit = Callable[[Path, Callable[[Any], Any]], None]


def test_a_folder_that_is_not_there_or_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nowhere: no such run folder"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"not a run folder, it has no recipe\.yaml"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "recipe.yaml",
        "environment.json",
        "metrics.jsonl",
        "dataset/shortcuts.json",
        "evaluation/summary.json",
        "evaluation/records.jsonl",
        "adapter/adapter_config.json",
    ],
)
@pytest.mark.parametrize("damage", [b"\xff\xfe\x00", b"[1, 2", b'"text"\n', b"\t{"])
def test_a_damaged_file_is_named(run: Path, name: str, damage: bytes) -> None:
    (run / name).write_bytes(damage)
    with pytest.raises(RunError, match="damaged") as error:
        write_report(run)
    assert str(error.value).startswith(str(run / name))


def test_a_file_cut_off_in_its_last_line_names_the_line(run: Path) -> None:
    path = run / "evaluation/records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:7]) + lines[7][:50])
    with pytest.raises(RunError, match=r"records\.jsonl, line 8: damaged .* evaluate again"):
        write_report(run)


def test_characters_that_python_calls_line_breaks_do_not_end_a_record(run: Path, edit: Edit) -> None:
    path = run / "evaluation/records.jsonl"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("To answer this", "To\u2028answer\u0085this"), encoding="utf-8")
    assert "To\u2028answer" in write_report(run).read_text(encoding="utf-8")


def change_rows(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: change(value["rows"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value.update(schema=2), r"schema"),
        (lambda value: value.pop("schema"), r"schema"),
        (lambda value: value["agents"].append(value["agents"][0]), "an agent is listed twice"),
        (change_rows(lambda rows: rows[0].update(agent="ghost")), "agent 'ghost', which is not listed"),
        (change_rows(lambda rows: rows.append(rows[5])), "two rows for tuned / homo moralis"),
        (change_rows(lambda rows: rows[3].pop("n")), r"rows\.3\.n"),
        (change_rows(lambda rows: rows[3].update(agreement={"estimate": 97.0})), r"rows\.3\.agreement\.estimate"),
        (change_rows(lambda rows: rows[3].update(agreement={"estimate": float("nan")})), r"rows\.3\.agreement\.estimate"),
        (change_rows(lambda rows: rows[3].update(sensitivity={"estimate": -1.2})), r"rows\.3\.sensitivity\.estimate"),
    ],
)
def test_a_summary_that_makes_no_sense_is_damaged(run: Path, edit: Edit, change: Callable[[Any], Any], message: str) -> None:
    edit(run / "evaluation/summary.json", change)
    with pytest.raises(RunError, match=rf"summary\.json: damaged \(.*{message}"):
        write_report(run)


def test_shares_may_miss_an_end_by_a_rounding_error(run: Path, edit: Edit) -> None:
    interval = {"estimate": 1.0000000000000002, "low": 0.9, "high": 1.0000000000000002}
    edit(run / "evaluation/summary.json", lambda value: value["rows"][0].update(agreement=interval))
    assert '<td class="num main">100.0%</td>' in write_report(run).read_text(encoding="utf-8")


@pytest.mark.parametrize("preference", [None, 7, {"kind": "moralis"}, {"kind": "moralis", "kappa": 2}, {"kappa": "much"}])
def test_a_recipe_without_a_sensible_preference_is_damaged(run: Path, edit: Edit, preference: Any) -> None:
    edit(run / "recipe.yaml", lambda recipe: recipe.update(preference=preference))
    with pytest.raises(RunError, match=r"recipe\.yaml: damaged"):
        write_report(run)


def test_unknown_keys_are_left_for_later_versions(run: Path, edit: Edit) -> None:
    before = write_report(run).read_bytes()
    edit(run / "evaluation/summary.json", lambda value: value.update(later=1))
    edit(run / "environment.json", lambda value: value.update(later={"a": 1}))
    edit(run / "metrics.jsonl", lambda steps: [step.update(entropy=0.5) for step in steps])
    assert write_report(run).read_bytes() == before
