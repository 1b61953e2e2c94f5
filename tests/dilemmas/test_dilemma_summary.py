"""Summaries of agents whose answers are known: theory's own types, and agents with a bias."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import StringIO
from math import sqrt
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from rich.console import Console
from scipy.stats import t

from moralfit.agents import LanguageAgent
from moralfit.chat import Reply
from moralfit.dilemmas import FAMILIES, QUESTIONS, Item, Settings, markdown, run_agents, tables
from moralfit.dilemmas._figures import write_figures
from moralfit.dilemmas._summary import _gap, _mean
from moralfit.evaluate import cluster_rate
from moralfit.models import Messages

SETTINGS = Settings(samples=2)
BY_SEED = {item.seed: item for item in SETTINGS.items()}


def ends(share: float) -> list[float]:
    """Probabilities of 0 to 100 that put a share on 100 and the rest on 0."""
    return [1 - share, *[0.0] * 99, share]


@dataclass
class Type:
    """Answers by the approval that a function gives an item; None refuses."""

    approves: Callable[[Item], float | None]

    def replies(self, conversations: Sequence[Messages], seeds: Sequence[str], mark: Any, line: Any) -> Iterator[Reply]:
        for position, seed in enumerate(seeds):
            item = BY_SEED[seed]
            approval = self.approves(item)
            if approval is None:
                yield Reply(position, "I cannot answer that.", [[0.5, 0.5] if item.options else ends(0.5)])
                continue
            first = approval if item.approve_first else 1 - approval
            if item.options is None:
                yield Reply(position, f"Answer: {100 * first:g}", [ends(first)])
            else:
                letter = "A" if first > 0.5 else "B" if first < 0.5 else Random(seed).choice("AB")
                yield Reply(position, f"Answer: {letter}", [[first, 1 - first]])


def theory(kappa: Fraction) -> Callable[[Item], float]:
    return lambda item: FAMILIES[item.family].stakes(item.cell, "role known").answer(kappa)


AGENTS: dict[str, tuple[str, Callable[[Item], float | None], float | None]] = {
    "base": ("base", lambda item: None if item.sample else 0.25, None),
    "economicus": ("adapter", theory(Fraction(0)), 0.0),
    "moralis": ("adapter", theory(Fraction(7, 10)), 0.7),
    # Takes A, and the number 80, whatever they stand for.
    "biased": (
        "adapter",
        lambda item: (1 if item.options else 0.8) if item.approve_first else (0 if item.options else 0.2),
        None,
    ),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dilemmas")
    agents = [LanguageAgent(key, f"agent {key}", kind, Type(says)) for key, (kind, says, _) in AGENTS.items()]
    described = [
        {"key": key, "name": f"agent {key}", "kind": kind, "preference": None, "kappa": kappa}
        for key, (kind, _, kappa) in AGENTS.items()
    ]
    run_agents(folder, SETTINGS, agents, dict.fromkeys(AGENTS, "x"), described)
    return folder


@pytest.fixture(scope="module")
def summary(place: Path) -> Any:
    return json.loads((place / "summary.json").read_text(encoding="utf-8"))


def pick(rows: Sequence[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1, wanted
    return found[0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("agent", "kappa"), [("economicus", 0.0), ("moralis", 0.7)])
def test_agents_that_follow_theory_lie_on_its_line(summary: Any, family: str, agent: str, kappa: float) -> None:
    found = summary["families"][family]
    for question in QUESTIONS:
        for level in ("all", *found["levels"]):
            line = pick(found["theory"], kappa=kappa, standpoint="role known", question=question, level=level)
            factor = None if level == "all" else found["gradient"]
            for measure in ("scale", "expected", "probability", "logits"):
                where = {"agent": agent, "question": question, "measure": measure, "factor": factor, "level": level}
                row = pick(found["rows"], **where)
                assert row["approval"]["estimate"] == pytest.approx(line["approval"]), (question, level)
                assert row["approval"]["low"] <= row["approval"]["estimate"] <= row["approval"]["high"]
        for measure in ("scale", "expected", "probability", "logits"):
            change = pick(found["sensitivity"], agent=agent, question=question, measure=measure)
            expected = change["theory"][f"{kappa:g}"]["role known"]
            assert change["change"]["estimate"] == pytest.approx(expected)
    for measure in ("scale", "expected", "probability", "logits"):
        dilemma = pick(found["dilemma"], agent=agent, measure=measure)
        assert dilemma["gap"]["estimate"] == pytest.approx(dilemma["theory"][f"{kappa:g}"]["role known"])
        if measure == "logits":
            continue
        shift = pick(found["order"], agent=agent, measure=measure)["shift"]
        assert shift["low"] <= 0 <= shift["high"]


def test_the_social_dilemma_of_homo_economicus_is_complete_for_vehicles(summary: Any) -> None:
    gaps = {
        row["agent"]: row["gap"] for row in summary["families"]["autonomous-vehicles"]["dilemma"] if row["measure"] == "scale"
    }
    assert gaps["economicus"]["estimate"] == 1
    assert 0.5 < gaps["economicus"]["low"] < 1, "no sample is proof"
    assert gaps["moralis"]["estimate"] < gaps["economicus"]["estimate"]
    assert gaps["base"]["estimate"] == 0


def test_theory_of_the_summary_is_that_of_single_cells(summary: Any) -> None:
    found = summary["families"]["autonomous-vehicles"]
    assert found["main"] == {"perspective": "passenger"}
    # Alone and with family, so m = 1 and 2.
    point = pick(found["switching"], question="own", level=10, standpoint="role known")
    assert point["kappas"] == pytest.approx([0.55, 0.6])
    assert (point["cells"], point["beyond"]) == (2, 0)
    assert pick(found["switching"], question="own", level=1, standpoint="role known")["beyond"] == 2
    assert pick(found["switching"], question="own", level=10, standpoint="veil")["kappas"] == pytest.approx([1 / 10, 1 / 9])
    assert pick(found["theory"], kappa=1.0, standpoint="veil", question="moral", level=2)["approval"] == 0.75
    assert {line["value"] for line in found["human"]} == {0.76, 0.23, None}
    assert {line["kappa"] for line in found["theory"]} == {0.0, 0.5, 0.7, 1.0}


@pytest.mark.parametrize("family", FAMILIES)
def test_biases_are_seen(summary: Any, family: str) -> None:
    found = summary["families"][family]
    for measure, shift in (("scale", 0.6), ("choice", 1.0), ("probability", 1.0)):
        row = pick(found["order"], agent="biased", measure=measure)
        assert row["shift"]["estimate"] == pytest.approx(shift)
        assert row["shift"]["low"] > 0.3
        if measure != "scale":
            assert row["first_option"]["estimate"] == 1
    # Balance keeps them out of the rates.
    row = pick(found["rows"], agent="biased", question="own", measure="choice", factor=None, level="all")
    assert row["approval"]["estimate"] == 0.5
    assert pick(found["dilemma"], agent="biased", measure="stated")["gap"]["estimate"] == pytest.approx(0)
    assert pick(found["order"], agent="economicus", measure="choice")["first_option"]["low"] < 0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_refusals_are_shares(summary: Any, family: str) -> None:
    found = summary["families"][family]
    for form in ("scale", "choice"):
        outcome = pick(found["outcomes"], agent="base", format=form)
        assert (outcome["answered"], outcome["refused"], outcome["unparseable"]) == (0.5, 0.5, 0)
    row = pick(found["rows"], agent="base", question="moral", measure="scale", factor=None, level="all")
    assert (row["answered"], row["approval"]["estimate"]) == (row["n"] / 2, 0.25)


def test_perspectives_are_compared_over_the_scenarios_that_they_share(summary: Any) -> None:
    rows = [
        row
        for row in summary["families"]["autonomous-vehicles"]["rows"]
        if (row["agent"], row["question"], row["measure"], row["factor"]) == ("economicus", "moral", "scale", "perspective")
    ]
    assert {row["level"]: row["approval"]["estimate"] for row in rows} == {"passenger": 0, "pedestrian": 1, "observer": 0.5}
    assert {row["n"] for row in rows} == {10}, "alone in the car, five numbers, two samples"


def test_a_gap_and_its_interval_by_hand() -> None:
    values = {"s1": ([0.9, 0.7], [0.1]), "s2": ([0.4], [0.6, 0.2]), "s3": ([1.0], [0.5]), "s4": ([0.2], [])}
    records = [
        {"story": story, "question": question, "format": "scale", "approval": value, "probability": None, "expected": None}
        for story, pair in values.items()
        for question, answers in zip(("others", "own"), pair, strict=True)
        for value in answers
    ]
    found = _gap(pd.DataFrame.from_records(records), "scale")
    mine = {"others": [0.9, 0.7, 0.4, 1.0], "own": [0.1, 0.6, 0.2, 0.5]}
    others, own = (sum(answers) / 4 for answers in mine.values())
    assert found["stories"] == 3, "the fourth was not asked about oneself"
    assert found["gap"]["estimate"] == pytest.approx(others - own)
    influence = [
        (0.9 + 0.7 - 2 * others) / 4 - (0.1 - own) / 4,
        (0.4 - others) / 4 - (0.6 + 0.2 - 2 * own) / 4,
        (1.0 - others) / 4 - (0.5 - own) / 4,
    ]
    half = t.ppf(0.975, 2) * sqrt(sum(i**2 for i in influence) * 3 / 2)
    assert found["gap"]["low"] == pytest.approx(max(-1, others - own - half))
    assert found["gap"]["high"] == pytest.approx(min(1, others - own + half))


def test_the_interval_of_a_gap_covers(tmp_path: Path) -> None:
    """Stories with an effect of their own, as many replies as the small design has: nominal 95 %, 200 draws."""
    rng, hits = Random(5), 0
    for _ in range(200):
        records = []
        for story in range(20):
            own, others = rng.gauss(0.35, 0.15), rng.gauss(0.55, 0.15)
            for question, level in (("own", own), ("others", others)):
                for form in ("scale", "choice"):
                    value = level + rng.uniform(-0.1, 0.1) if form == "scale" else float(rng.random() < level)
                    records.append({"story": story, "question": question, "format": form, "approval": value})
        gap = _gap(pd.DataFrame.from_records(records), "stated")["gap"]
        hits += gap["low"] <= 0.2 <= gap["high"]
    assert 0.91 <= hits / 200 <= 0.98


def test_without_any_difference_the_interval_is_no_point() -> None:
    records = [
        {"story": str(n), "question": question, "format": "scale", "approval": value, "probability": None, "expected": None}
        for n in range(10)
        for question, value in (("others", 1.0), ("own", 0.0))
    ]
    gap = _gap(pd.DataFrame.from_records(records), "scale")["gap"]
    one = cluster_rate([1.0] * 10, [str(n) for n in range(10)])
    assert (gap["estimate"], gap["high"]) == (1, 1)
    assert gap["low"] == pytest.approx(1 - sqrt(2) * (1 - one["low"]))


def test_nobody_answering_is_no_number(tmp_path: Path) -> None:
    settings = Settings(("vaccination",), samples=2)
    agent = LanguageAgent("base", "a base", "base", Type(lambda item: None))
    described = [{"key": "base", "name": "a base", "kind": "base", "preference": None, "kappa": None}]
    found = run_agents(tmp_path, settings, [agent], {"base": "x"}, described)["families"]["vaccination"]
    said, read = {"stated", "scale", "choice"}, {"logits", "expected", "probability"}
    for rows, key in ((found["dilemma"], "gap"), (found["rows"], "approval"), (found["order"], "shift")):
        assert {row["measure"] for row in rows if row[key] is None} <= said
        assert {row["measure"] for row in rows if row[key] is not None} <= read
    row = pick(found["rows"], question="own", measure="stated", factor=None, level="all")
    assert (row["refused"], row["unparseable"], row["answered"]) == (row["n"], 0, 0)
    assert "-" in text(json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")))
    assert len(list(tmp_path.glob("*.svg"))) == 3


def text(summary: Any) -> str:
    console = Console(file=StringIO(), width=110)
    console.print(tables(summary))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_tables_say_it_all_in_the_width_of_a_log(summary: Any) -> None:
    printed = text(summary)
    assert "…" not in printed
    for words in (" 76 ", " 23 ", "the social dilemma", "kappa = 0.7", "+100", "54 to 66", "agent moralis"):
        assert words in printed, words


def test_figures_are_drawn_from_the_summary_alone_and_alike(summary: Any, place: Path, tmp_path: Path) -> None:
    # One family: drawing is what takes the time.
    part = {**summary, "families": {"vaccination": summary["families"]["vaccination"]}}
    names = [path.name for path in write_figures(part, tmp_path)]
    assert len(names) == 6
    assert len(list(place.glob("*.png"))) == 6
    for name in names:
        drawn = (tmp_path / name).read_bytes()
        assert drawn == (place / name).read_bytes()
        if name.endswith("svg"):
            root = ElementTree.fromstring(drawn)
            links = [value for element in root.iter() for key, value in element.attrib.items() if key.endswith("href")]
            assert all(link.startswith("#") for link in links), "needs nothing else"


def test_markdown_has_every_cell_with_its_interval_and_what_was_not_answered(summary: Any, place: Path) -> None:
    written = markdown(summary)
    assert (place / "tables.md").read_text(encoding="utf-8") == written
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in written.split("\n") if line.startswith("|")]
    assert all(len(row) in (5, 6, 8, 11) for row in rows)
    own = [row for row in rows if row[:3] == ["would get vaccinated", "base", "replies"]]
    # Half of the base's replies are refusals, the others say 25 on scales and A or B by it.
    assert [row[-2:] for row in own] == [["50", "0"]]
    assert all(re.fullmatch(r"\d+ \[\d+, \d+\] \d+/\d+", cell) for cell in own[0][3:9])
    logits = [row for row in rows if row[:3] == ["would get vaccinated", "tuned 2", "logits"]]
    assert all(re.fullmatch(r"\d+ \[\d+, \d+\]", cell) for cell in logits[0][3:9])
    theory = [row for row in rows if row[:3] == ["swerving is moral", "theory approves at kappa", "role known"]]
    assert theory[0][3:8] == ["never", ">.75 or never", ">.6 or >.7", ">.55 or >.6", ">.505 or >.51"]
    for line in FAMILIES["vaccination"].human:
        assert line.source in written


@pytest.mark.parametrize("measure", ["expected", "logits"])
def test_the_interval_of_what_is_read_off_a_model_covers_and_is_narrower_than_a_proportions(measure: str) -> None:
    rng, hits, narrower = Random(7), 0, 0
    for _ in range(200):
        stories = [rng.gauss(0.5, 0.03) for _ in range(10)]
        values = pd.Series([rng.gauss(story, 0.02) for story in stories for _ in range(4)])
        names = pd.Series([str(number) for number in range(10) for _ in range(4)])
        found, share = (_mean(values, names, each) for each in (measure, "choice"))
        hits += found["low"] <= 0.5 <= found["high"]
        narrower += found["high"] - found["low"] < 0.3 * (share["high"] - share["low"])
    assert 0.91 <= hits / 200 <= 0.98
    assert narrower == 200


def test_warnings_come_before_the_tables(summary: Any) -> None:
    assert "Warning" not in markdown(summary)
    written = markdown({**summary, "notes": ["the server's base\ngives other answers"]})
    assert written == f"> **Warning:** the server's base gives other answers\n\n{markdown(summary)}"
