"""Transcripts are chosen by rule, judged decision by decision, and show a miss where there is one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moralfit.report import write_comparison, write_report

Read = Callable[[Path], Any]
Edit = Callable[[Path, Callable[[Any], Any]], None]


def answer_all(records: Any) -> None:
    """Makes every reply of the tuned agent right."""
    for record in records:
        if record["agent"] == "tuned":
            (best,) = record["optimum"]["homo moralis (kappa = 1)"]
            record.update(status="answered", action=best)


def articles(page: Any) -> list[str]:
    """The text of each transcript, white space collapsed."""
    found = re.findall(r"<article.*?</article>", page.section("transcripts"), re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", "", article).split()) for article in found]


def test_the_first_prompt_of_each_game_is_shown_parts_in_turn(full_run: Path, read: Read, edit: Edit) -> None:
    edit(full_run / "evaluation/records.jsonl", answer_all)
    shown = articles(read(write_report(full_run)))
    assert [text.split(";")[0] for text in shown] == [
        "Sequential prisoner’s dilemma Held-out payoffs, payoffs/0",
        "Trust game Held-out stories and labels, words/1",
        "Ultimatum game Held-out payoffs, payoffs/2",
    ]
    assert all("wrong" not in text.split("tuned")[-1] for text in shown)
    assert "The tuned agent: some decision wrong on 0 of 24 prompts." in " ".join(read(full_run / "report.html").text.split())


def test_a_miss_of_the_tuned_agent_is_added(full_run: Path, read: Read, edit: Edit) -> None:
    def miss(records: Any) -> None:
        answer_all(records)
        (record,) = [r for r in records if (r["agent"], r["prompt_id"], r["decision"]) == ("tuned", "words/7", "after I")]
        best = record["action"]
        record["action"] = next(action for action in record["actions"] if action != best)
        record["advantage"] = {"homo moralis (kappa = 1)": -2.25}
        record["labels"] = ["flute", "drum"] if record["actions"][0] == best else ["drum", "flute"]

    edit(full_run / "evaluation/records.jsonl", miss)
    page = read(write_report(full_run))
    shown = articles(page)
    assert len(shown) == 4
    assert shown[3].startswith("Trust game: a miss of the tuned agent Held-out stories and labels, words/7")
    assert re.search(r"✗ wrong After I: drum \(\w\); optimal is flute \(\w\), better by 2.25 points of utility", shown[3])
    assert "✓ right First move" in shown[3].split("tuned")[-1]
    assert "some decision wrong on 1 of 24 prompts." in page.text


def test_a_miss_among_the_first_prompts_needs_no_second(full_run: Path, read: Read, edit: Edit) -> None:
    def miss(records: Any) -> None:
        answer_all(records)
        for record in records:
            if record["agent"] == "tuned" and record["prompt_id"] == "payoffs/2":
                record.update(status="refused", action=None, reply="I would rather not.")

    edit(full_run / "evaluation/records.jsonl", miss)
    shown = articles(read(write_report(full_run)))
    assert len(shown) == 3
    assert "tuned refused I would rather not. ✗ wrong First move: no choice" in shown[2]


def test_the_prompt_and_both_replies_are_shown_in_full(full_run: Path, read: Read) -> None:
    page = read(write_report(full_run))
    prompt, base, tuned = page.blocks[:3]
    assert prompt.startswith("Two couriers share a route.")
    assert prompt.endswith("choice 3")
    assert base.startswith(("To answer this question", "I would think"))
    assert tuned.split("\n")[-1].startswith(("Answer: ", "The payoffs", "To answer"))


def test_ties_are_right_either_way_and_an_unknown_optimum_is_not_judged(full_run: Path, read: Read, edit: Edit) -> None:
    def change(records: Any) -> None:
        answer_all(records)
        for record in records:
            if record["prompt_id"] == "payoffs/0":
                record["optimum"] = {"homo moralis (kappa = 1)": ["C", "D"]}
            if record["prompt_id"] == "payoffs/2":
                record["optimum"] = {}

    edit(full_run / "evaluation/records.jsonl", change)
    shown = articles(read(write_report(full_run)))
    assert shown[0].split("tuned")[-1].count("✓ right") == 3
    assert shown[2].count("? not judged") == 4


def test_an_empty_reply_and_prompts_that_differ_are_shown(full_run: Path, read: Read, edit: Edit) -> None:
    def change(records: Any) -> None:
        for record in records:
            if record["agent"] == "base":
                record.update(prompt="Another prompt", reply="  ")

    edit(full_run / "evaluation/records.jsonl", change)
    page = read(write_report(full_run))
    assert page.blocks[0] == "Another prompt"
    assert page.blocks[1].startswith("Two couriers")
    assert "empty reply" in page.text


def test_single_decisions_of_one_prompt_are_told_apart(full_run: Path, read: Read, edit: Edit) -> None:
    def change(records: Any) -> None:
        answer_all(records)
        for record in records:
            record.update(ask="decision", reply=f"{record['agent']} {record['decision']}: {record['action']}")

    edit(full_run / "evaluation/records.jsonl", change)
    page = read(write_report(full_run))
    assert "some decision wrong on 0 of 56 prompts." in page.text
    assert articles(page)[0].split("tuned")[-1].count("✓ right") == 1


def test_each_adapter_is_judged_by_its_own_preference_and_the_base_by_all(comparison: Path, read: Read, edit: Edit) -> None:
    def change(records: Any) -> None:
        for record in records:
            # Everybody does what homo economicus wants, which homo moralis does not.
            own, other = record["actions"]
            record.update(status="answered", action=own)
            record["optimum"] = {"homo economicus": [own], "homo moralis (kappa = 1)": [other]}

    edit(comparison / "evaluation/records.jsonl", change)
    text = articles(read(write_comparison(comparison)))[0].replace("\xa0", " ")
    base, rest = text.split(" base ", 1)[1].split("homo moralis (κ = 1) If", 1)
    moralis, economicus = rest.split("homo economicus If")
    assert base.count("✗ wrong for homo moralis (κ = 1); ✓ right for homo economicus") == 2
    assert moralis.count("✗ wrong") == 2
    assert economicus.count("✓ right") == 2
