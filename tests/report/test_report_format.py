"""Numbers never round to certainty, names and formulas are those of the theory."""

from __future__ import annotations

from typing import Any

import pytest

from moralfit.report._format import agent_labels, clean, count, formula, interval, minutes, percent, pretty, settings, signed
from moralfit.report._load import Agent, Estimate


@pytest.mark.parametrize(
    ("share", "places", "text"),
    [
        (0.0, 0, "0%"),
        (1.0, 0, "100%"),
        (0.5, 1, "50.0%"),
        (0.974, 0, "97%"),
        (0.998, 0, "99.8%"),
        (0.002, 0, "0.2%"),
        (0.9999, 0, ">99.9%"),
        (0.9999, 1, ">99.9%"),
        (0.0001, 1, "<0.1%"),
        (1.0000000000000002, 0, "100%"),
        (-1e-17, 0, "0%"),
    ],
)
def test_percent_reads_0_or_100_only_if_it_is(share: float, places: int, text: str) -> None:
    assert percent(share, places) == text


def test_intervals_need_both_ends() -> None:
    assert interval(Estimate(estimate=0.5, low=0.41, high=0.6)) == "41–60%"
    assert interval(Estimate(estimate=0.5, low=0.41)) == ""
    assert interval(None) == ""


def test_signed_numbers_have_a_true_minus_and_no_signed_zero() -> None:
    assert [signed(value) for value in (0.5, -0.25, 0.001, -0.001)] == ["+0.50", "−0.25", "0.00", "0.00"]


def test_counts_and_minutes() -> None:
    assert [count(value) for value in (1000, 12.0, 6.5, 1 / 3, 12345.678)] == ["1,000", "12", "6.5", "0.33", "12,345.68"]
    assert [minutes(value) for value in (4.1, 588, 7500)] == ["4 s", "9.8 min", "2 h 05 min"]


def test_preferences_are_named_in_greek_with_unbroken_weights() -> None:
    assert pretty("homo moralis (kappa = 0.5)") == "homo moralis (κ\xa0=\xa00.5)"
    assert pretty("alphabet kappas") == "alphabet kappas"


def test_clean_marks_what_no_page_can_hold() -> None:
    assert clean("a\x00b\tc\nd\r\ne\x1bf\ud800") == "a\ufffdb\tc\nd\ne\ufffdf\ufffd"


@pytest.mark.parametrize(
    ("section", "name", "terms"),
    [
        ("economicus", "homo economicus", (("", "", "actual"),)),
        ({"kind": "economicus", "kappa": None}, "homo economicus", (("", "", "actual"),)),
        ({"kind": "moralis", "kappa": 1.0}, "homo moralis (kappa = 1)", (("", "", "universal"),)),
        (
            {"kind": "moralis", "kappa": 0.25},
            "homo moralis (kappa = 0.25)",
            (("", "0.75", "actual"), ("+", "0.25", "universal")),
        ),
        (
            {"alpha": 0.5, "beta": -0.2, "kappa": 0.1},
            "social preferences (alpha = 0.5, beta = -0.2, kappa = 0.1)",
            (("", "0.9", "actual"), ("+", "0.1", "universal"), ("−", "0.5", "behind"), ("+", "0.2", "ahead")),
        ),
    ],
)
def test_formula_states_the_terms_that_count(section: Any, name: str, terms: tuple[tuple[str, str, str], ...]) -> None:
    found = formula(section, "recipe.yaml")
    assert found.name == name
    assert found.terms == terms


def test_settings_are_flat_and_without_what_is_not_set() -> None:
    section = {"r": 16, "rate": 0.0005, "peft": {"bias": "none", "deep": {"x": [1, True]}}, "revision": None, "trl": {}}
    assert settings(section) == [("r", "16"), ("rate", "0.0005"), ("peft.bias", "none"), ("peft.deep.x", "1, yes")]


def test_agents_get_the_shortest_label_that_is_theirs_alone() -> None:
    economicus, moralis = "homo economicus", "homo moralis (kappa = 1)"

    def agent(key: str, kind: str, name: str, preference: str | None = None) -> Agent:
        return Agent(key=key, kind=kind, name=name, preference=preference)

    two = [agent("a", "adapter", "x", economicus), agent("b", "adapter", "y", moralis), agent("c", "prompted", "z", moralis)]
    greek = "homo moralis (κ\xa0=\xa01)"
    assert agent_labels(two) == {"a": economicus, "b": greek, "c": "prompted base"}
    told = [*two, agent("d", "prompted", "w", economicus)]
    assert agent_labels(told) | {"d": ""} == {"a": economicus, "b": greek, "c": f"told: {greek}", "d": ""}
    assert agent_labels(told)["d"] == f"told: {economicus}"
    seeds = [
        agent("s0", "adapter", f"tuned to be {moralis}", moralis),
        agent("s1", "adapter", f"tuned to be {moralis}", moralis),
    ]
    assert agent_labels(seeds) == {"s0": "s0", "s1": "s1"}
    named = [agent("s0", "adapter", "first", moralis), agent("s1", "adapter", "second", moralis)]
    assert agent_labels(named) == {"s0": "first", "s1": "second"}
    assert agent_labels([agent("t", "adapter", "n", moralis), agent("o", "hosted", "GPT")]) == {"t": "tuned", "o": "GPT"}
