"""The designs: every family the same conformance, balanced words and orders, and prompts that say what theory reckons with."""

from __future__ import annotations

import re
from collections import Counter
from itertools import product

import pytest

from moralfit.dilemmas import FAMILIES, QUESTIONS, Item, Settings, design
from moralfit.dilemmas._design import FORMATS, LETTERS, _variant, balance
from moralfit.errors import RunError


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def items(family: str, samples: int = 6, which: str = "full", seed: int = 0) -> list[Item]:
    return design(FAMILIES[family], which, samples, seed)  # type: ignore[arg-type]


def test_the_full_design_is_factorial(family: str) -> None:
    known = FAMILIES[family]
    cells = {(item.scenario, item.cell["question"], item.format, item.sample) for item in items(family, 2)}
    wanted = 0
    for levels in product(*known.factors.values()):
        cell = dict(zip(known.factors, levels, strict=True))
        for question in QUESTIONS:
            wanted += 4 * known.asked({**cell, "question": question})
    assert len(cells) == wanted
    assert len(items(family, 2)) == wanted


def test_the_small_design_is_a_part_with_every_level_of_the_gradient_and_every_question(family: str) -> None:
    known = FAMILIES[family]
    small, full = items(family, 1, "small"), items(family, 1)
    assert {(i.scenario, i.cell["question"], i.format) for i in small} < {
        (i.scenario, i.cell["question"], i.format) for i in full
    }
    main = [i for i in small if all(i.cell[factor] == level for factor, level in known.main.items())]
    for question, level in product(QUESTIONS, known.factors[known.gradient]):
        assert {i.format for i in main if i.cell["question"] == question and i.cell[known.gradient] == level} == set(FORMATS)
    assert {i.cell["perspective"] for i in small} == set(known.factors["perspective"])


def test_few_cells_are_a_part_of_the_small_design(family: str) -> None:
    known = FAMILIES[family]
    few = list(known.cells("few"))
    ends = {known.factors[known.gradient][0], known.factors[known.gradient][-1]}
    assert [(cell[known.gradient], cell["question"]) for cell in few] == [
        (level, question) for level in sorted(ends) for question in ("own", "others")
    ]
    assert all(cell in list(known.cells("small")) for cell in few)
    assert all(cell[factor] == level for cell in few for factor, level in known.main.items())


def test_orders_and_paraphrases_are_balanced(family: str) -> None:
    for samples in (2, 4, 6):
        found = items(family, samples)
        orders = Counter((item.scenario, item.cell["question"], item.format, item.approve_first) for item in found)
        assert set(orders.values()) == {samples // 2}
    words = Counter((item.scenario, item.cell["question"], item.format, item.paraphrase) for item in items(family, 6))
    assert set(words.values()) == {2}
    pairs = Counter((item.paraphrase, item.approve_first) for item in items(family, 6))
    assert max(pairs.values()) == min(pairs.values())
    few = balance(items(family, 2, "small"))
    assert max(few["paraphrases"].values()) < 1.5 * min(few["paraphrases"].values())
    assert few["largest difference of orders in a cell"] == 0


@pytest.mark.parametrize("paraphrases", [3, 4, 5])
def test_every_pair_of_words_and_order_comes_in_one_round(paraphrases: int) -> None:
    assert len({_variant(number, paraphrases) for number in range(2 * paraphrases)}) == 2 * paraphrases


def test_questions_about_a_scenario_share_its_words(family: str) -> None:
    found = items(family, 2)
    by_sample: dict[tuple[str, int], set[tuple[int, bool]]] = {}
    for item in found:
        by_sample.setdefault((item.scenario, item.sample), set()).add((item.paraphrase, item.approve_first))
    assert all(len(variants) == 1 for variants in by_sample.values())


def test_seeds_change_words_and_nothing_else(family: str) -> None:
    first, again, other = items(family, 2), items(family, 2), items(family, 2, seed=1)
    assert first == again
    assert [i.id for i in first] == [i.id for i in other]
    assert [i.paraphrase for i in first] != [i.paraphrase for i in other]
    assert len({i.seed for i in first + other}) == 2 * len(first)


def test_prompts_are_well_formed_and_differ_where_they_should(family: str) -> None:
    known = FAMILIES[family]
    found = items(family)
    assert known.paraphrases >= 3
    for item in found:
        assert not re.search(r"[{}]|  |\bNone\b(?! of)| ,| \.|\.\.|\ba [aeiou]", item.prompt), item.prompt
        assert "moralfit" not in item.prompt
        assert item.prompt.splitlines()[-1].startswith("Reply with one line: Answer: ")
    stories = {(item.scenario, item.paraphrase): item.prompt.splitlines()[0] for item in found}
    assert len(set(stories.values())) == len(stories)
    prompts = {item.prompt for item in found}
    assert len(prompts) == len({(i.scenario, i.cell["question"], i.format, i.paraphrase, i.approve_first) for i in found})


def test_scales_turn_round_and_options_change_places(family: str) -> None:
    known = FAMILIES[family]
    for item in items(family):
        words = known.wording(item.cell, item.paraphrase)
        if item.options is None:
            ends = re.search(r"Give a number from 0 \((.+)\) to 100 \((.+)\)\.", item.prompt)
            assert ends is not None
            assert ends.groups() == ((words.low, words.high) if item.approve_first else (words.high, words.low))
        else:
            assert item.options == ((words.approve, words.reject) if item.approve_first else (words.reject, words.approve))
            for letter, option in zip(LETTERS, item.options, strict=True):
                assert f"\n{letter}: {option}\n" in item.prompt


def test_vehicle_prompts_say_who_is_at_stake() -> None:
    for item in items("autonomous-vehicles"):
        story, n = item.prompt.splitlines()[0], int(item.cell["people"])
        if item.cell["perspective"] == "pedestrian":
            assert "You" in story
            if n > 1:
                assert re.search(rf"\b{n - 1} other", story)
        else:
            assert re.search(rf"\b{n} (?:person|people)", story), story
        company = {"alone": None, "co-worker": "co-worker", "family": r"family|relative"}[str(item.cell["aboard"])]
        assert bool(company and re.search(company, story)) == (item.cell["aboard"] != "alone")
        if item.cell["perspective"] == "observer":
            assert re.search("in no danger|far away|never met", story)


def test_vaccination_prompts_state_every_number() -> None:
    risks = {0: 80, 50: 60, 60: 50, 75: 20, 90: 0}
    for item in items("vaccination"):
        story, share = item.prompt.splitlines()[0], int(item.cell["vaccinated"])
        stated = set(map(int, re.findall(r"\d+", story))) - {100}
        assert {10, int(item.cell["burden"]), 80} <= stated, story
        assert share in stated or share == 0
        assert (risks[share] in stated) or (share == 90 and re.search("nobody|no chance", story) is not None)
        assert stated <= {0, 10, int(item.cell["burden"]), 80, share, risks[share]}
        assert item.cell["question"] != "own" or item.cell["perspective"] == "resident"
        assert item.cell["perspective"] != "observer" or not re.search(r"\b(?:others?|else)\b", item.prompt), item.prompt


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"families": ("trolleys",)}, "unknown family 'trolleys'; known: autonomous-vehicles, vaccination"),
        ({"families": ()}, "at least one"),
        ({"families": ("vaccination", "vaccination")}, "each family once"),
        ({"cells": "huge"}, "cells huge: say few, small, full"),
        ({"samples": 0}, "at least one reply"),
        ({"temperature": 0.0}, "above zero"),
        ({"max_new_tokens": 4}, "at least 8"),
    ],
)
def test_impossible_settings(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RunError, match=message):
        Settings(**changes)  # type: ignore[arg-type]


def test_human_lines_have_sources_and_fit_the_design(family: str) -> None:
    known = FAMILIES[family]
    assert known.human
    for line in known.human:
        assert re.search(r"\((?:19|20)\d\d\)", line.source)
        assert line.question in QUESTIONS
        assert line.value is None or 0 <= line.value <= 1
        for factor, level in line.where.items():
            assert level in known.factors[factor]
