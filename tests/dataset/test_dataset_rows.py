"""Every row is checked by code that shares nothing with the package: theory.md's formulas, and the numbers of the prompt."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import product
from typing import Any, TypeAlias

import pytest
from dataset_samples import PREFERENCES, rows

#: Probabilities of the first action at each decision.
Strategy: TypeAlias = tuple[Fraction, ...]

ACTIONS = {
    "sequential_prisoners_dilemma": {"first": "CD", "after C": "CD", "after D": "CD"},
    "trust_game": {"first": "IN", "after I": "GK"},
    "ultimatum_game": {"first": "EU", "after U": "AN"},
}
SMALL = Fraction(1, 10**9)


def payoff(game: str, payoffs: tuple[int, ...], x: Strategy, y: Strategy) -> Fraction:
    """theory.md, section 1."""
    T, R, P, S = payoffs
    x1, x2, *_ = x
    y1, y2, *_ = y
    if game == "trust_game":
        twice = x1 * y2 * R + x1 * (1 - y2) * S + (1 - x1) * P + y1 * x2 * R + y1 * (1 - x2) * T + (1 - y1) * P
    elif game == "ultimatum_game":
        twice = x1 * R + (1 - x1) * (y2 * T + (1 - y2) * S) + y1 * R + (1 - y1) * (x2 * P + (1 - x2) * S)
    else:
        x3, y3 = x[2], y[2]
        first = x1 * y2 * R + x1 * (1 - y2) * S + (1 - x1) * y3 * T + (1 - x1) * (1 - y3) * P
        twice = first + y1 * x2 * R + y1 * (1 - x2) * T + (1 - y1) * x3 * S + (1 - y1) * (1 - x3) * P
    return Fraction(twice) / 2


class Theory:
    """One preference in the game of one row."""

    def __init__(self, row: dict[str, Any], kappa: Fraction) -> None:
        self.game, self.kappa = row["game"], kappa
        self.payoffs = tuple(row[letter] for letter in "TRPS")
        self.decisions = ACTIONS[self.game]
        self.plans = [tuple(map(Fraction, plan)) for plan in product((1, 0), repeat=len(self.decisions))]

    def utility(self, x: Strategy, y: Strategy) -> Fraction:
        against, universal = (payoff(self.game, self.payoffs, x, other) for other in (y, x))
        return (1 - self.kappa) * against + self.kappa * universal

    def best(self, y: Strategy) -> list[Strategy]:
        def trembling(x: Strategy) -> Strategy:
            return tuple(SMALL + (1 - 2 * SMALL) * p for p in x)

        values = [self.utility(trembling(x), trembling(y)) for x in self.plans]
        return [x for x, value in zip(self.plans, values, strict=True) if value == max(values)]

    def unstated(self) -> Strategy:
        if self.kappa == 1:
            return (Fraction(1, 2),) * len(self.decisions)
        symmetric = [x for x in self.plans if x in self.best(x)]
        return max(symmetric, key=lambda x: self.utility(x, x))


def stated(row: dict[str, Any]) -> Strategy | None:
    """What the sentence in the prompt says of others, read by the words that stand before `of` and after it."""
    sentence = re.search(r"^You expect of others: (.*)\.$", row["prompt"][-1]["content"], re.MULTILINE)
    assert (sentence is None) == (row["belief"] is None)
    return None if sentence is None else tuple(Fraction(first).limit_denominator(10) for first, _ in row["belief"])


@pytest.mark.parametrize("preference", PREFERENCES)
@pytest.mark.parametrize("split", ["train", "heldout_payoffs", "heldout_words"])
def test_optimum_and_utilities_follow_from_the_row(preference: str, split: str) -> None:
    kappa = Fraction(PREFERENCES[preference].get("kappa", 0)).limit_denominator(10)
    for row in rows(preference)[split]:
        theory = Theory(row, kappa)
        belief = stated(row)
        belief = theory.unstated() if belief is None else belief
        best = theory.best(belief)
        names = list(theory.decisions)
        assert sorted(row["decisions"]) == (sorted(names) if row["ask"] == "plan" else row["decisions"][:1])
        for name, optimum, utilities in zip(row["decisions"], row["optimum"], row["utilities"], strict=True):
            place, actions = names.index(name), theory.decisions[name]
            assert {actions[0 if x[place] else 1] for x in best} == {optimum}, row["id"]
            expected = [max(theory.utility(x, belief) for x in theory.plans if x[place] == p) for p in (1, 0)]
            assert utilities == pytest.approx([float(u) for u in expected], abs=1e-12), row["id"]


def table(row: dict[str, Any]) -> list[tuple[str, tuple[int, int]]]:
    """The rows of the prompt's table that end in two whole numbers: what stands before them, and they."""
    found = re.findall(r"^(.+?)(?::| gives| =) (\d+)(?:,| and| /) (\d+)$", row["prompt"][-1]["content"], re.MULTILINE)
    return [(way, (int(first), int(second))) for way, first, second in found]


@pytest.mark.parametrize("preference", PREFERENCES)
def test_the_prompt_states_the_payoffs_of_the_columns(preference: str) -> None:
    for row in (row for split in rows(preference).values() for row in split):
        T, R, P, S = (row[letter] for letter in "TRPS")
        assert T > R > P > S
        assert row["region"] == {1: "above", 0: "at", -1: "below"}[(T + S > 2 * R) - (T + S < 2 * R)]
        ends = {
            "sequential_prisoners_dilemma": {"C C": (R, R), "C D": (S, T), "D C": (T, S), "D D": (P, P)},
            "trust_game": {"I G": (R, R), "I K": (S, T), "N": (P, P)},
            "ultimatum_game": {"E": (R, R), "U A": (T, P), "U N": (S, S)},
        }[row["game"]]
        said = table(row)
        assert sorted(pair for _, pair in said) == sorted(ends.values())
        if row["ask"] == "plan":
            labels_at = dict(zip(row["decisions"], row["labels"], strict=True))
            first, second = list(ACTIONS[row["game"]])[:2]
            named = [dict(zip(ACTIONS[row["game"]][name], labels_at[name], strict=True)) for name in (first, second)]
            meant = {}
            for way, pair in ends.items():
                labels = [names[action] for names, action in zip(named, way.split(), strict=False)]
                meant[tuple(labels)] = pair
            labels_said = {tuple(word for word in re.findall(r"\w+", way) if word != "then"): pair for way, pair in said}
            assert labels_said == meant


@pytest.mark.parametrize("preference", PREFERENCES)
def test_the_completion_ends_in_the_optimal_labels(preference: str) -> None:
    for row in (row for split in rows(preference).values() for row in split):
        (message,) = row["completion"]
        assert message["role"] == "assistant"
        stated_labels = message["content"].rsplit("\n", 1)[1].removeprefix("Answer: ").split(", ")
        for label, labels, name, optimum in zip(stated_labels, row["labels"], row["decisions"], row["optimum"], strict=True):
            assert labels.index(label) == ACTIONS[row["game"]][name].index(optimum)
        for labels, listed in zip(row["labels"], row["listed"], strict=True):
            assert sorted(labels) == sorted(listed)
            assert " or ".join(listed) in row["prompt"][-1]["content"]
