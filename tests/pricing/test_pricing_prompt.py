from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pricing_chats import view, words

from moralfit.errors import ModelError
from moralfit.pricing import Style
from moralfit.pricing._prompt import (
    CUT,
    MARK,
    WORDINGS,
    bounded_note,
    completion,
    fitted,
    money_format,
    opening,
    price_places,
    prompt,
)
from moralfit.pricing._reading import read_reply


def table(text: str) -> list[list[str]]:
    return [line.split(" | ") for line in text.splitlines() if re.match(r"\d+ \| ", line)]


@pytest.mark.parametrize("wording", WORDINGS)
@pytest.mark.parametrize("scale", [1.0, 3.2, 10.0])
def test_a_firm_reads_its_own_numbers(wording: str, scale: float) -> None:
    seen = view(scale=scale, periods=8, notes=("hold", "they follow"))
    text = prompt(seen, Style(wording, history=5), 5)
    rows = table(text)
    assert [int(row[0]) for row in rows] == [4, 5, 6, 7, 8]
    for row, period in zip(rows, seen.history[3:], strict=True):
        own = [*period.prices, period.quantities[0], period.profits[0]]
        assert [float(cell) for cell in row[1:]] == pytest.approx(own, rel=0.01)
    assert f"costs you {scale:.2f}" in text
    assert f"above {3.85 * scale:.2f}" in text
    assert "Plans: hold\nInsights: they follow" in text
    assert WORDINGS[wording].format(rivals="the other firm") in text
    assert text.endswith("The lines begin with Thoughts:, Plans:, Insights: and Price:")
    assert "period 9" in text


def test_the_second_firm_reads_the_other_side() -> None:
    first, second = (table(prompt(view(firm=firm), Style(), 5)) for firm in (0, 1))
    assert [row[1:3] for row in first] == [row[2:0:-1] for row in second]
    assert [row[3] for row in first] != [row[3] for row in second]


def test_several_rivals_have_a_column_each() -> None:
    text = prompt(view(n=4, firm=2), Style("P2"), 5)
    rows = table(text)
    assert len(rows[0]) == 1 + 1 + 3 + 2
    prices = view(n=4).history[0].prices
    assert [float(c) for c in rows[0][1:5]] == pytest.approx([prices[2], prices[0], prices[1], prices[3]], abs=0.005)
    assert "Three other firms sell" in text
    assert "Undercutting the other firms" in text


def test_nothing_is_told_that_a_firm_shall_not_know() -> None:
    for wording in WORDINGS:
        text = prompt(view(periods=3), Style(wording), 3).lower()
        for word in (
            "logit",
            "demand",
            "nash",
            "monopol",
            "collu",
            "300",
            "0.25",
            "last round",
            "model",
            " ai ",
            "periods left",
        ):
            assert word not in text


def test_a_told_preference_is_the_goal() -> None:
    plain, zero, half, one = (prompt(view(), Style(kappa=kappa), 0) for kappa in (None, 0.0, 0.5, 1.0))
    assert "if every firm" not in plain + zero
    assert "0.5 times the profit that you earn" in half
    assert "plus 0.5 times the profit that you would earn over the long run if every firm" in half
    assert "given what you expect" not in one
    assert len({plain, zero, half, one}) == 4


def test_the_first_period_has_neither_history_nor_notes() -> None:
    text = prompt(view(periods=0), Style(thoughts=False), 0)
    assert "your price | " not in text
    assert "not left yourself any notes" in text
    assert "Thoughts:" not in text


@pytest.mark.parametrize(
    ("scale", "written"),
    [(0.01, "0.0147"), (0.1, "0.147"), (1, "1.47"), (3.2, "4.71"), (10, "14.73"), (100, "147.3"), (1000, "1473")],
)
def test_prices_have_the_precision_of_their_scale(scale: float, written: str) -> None:
    assert money_format(scale)(1.4729 * scale) == written


def test_the_ceiling_is_never_told_too_high() -> None:
    for scale in (0.01, 1.0, 3.2, 10.0, 1000.0):
        for n in range(200):
            price = scale * (1.4 + n * 0.013)
            told = money_format(scale)(price, down=True)
            assert float(told) <= price + 1e-9 * scale
            assert float(told) > price - 1.01 * 10.0 ** -price_places(scale)
    assert money_format(1)(4.1, down=True) == "4.10"


def test_a_cost_shows_the_decimals_that_it_has() -> None:
    market = replace(view().market, costs=(0.125, 1.0))
    assert "(your price - 0.125)" in prompt(view(market=market), Style(), 0)


@given(st.integers(0, 30), st.integers(0, 40), st.integers(150, 600))
@settings(max_examples=60, deadline=None)
def test_the_longest_history_that_fits(periods: int, most: int, room: int) -> None:
    seen, style = view(periods=periods), Style(history=most)
    if words(prompt(seen, style, 0)) > room:
        with pytest.raises(ModelError, match="without any history does not fit"):
            fitted(seen, style, words, room)
        return
    found = fitted(seen, style, words, room)
    assert found.text == prompt(seen, style, found.history_shown)
    assert found.tokens == words(found.text) <= room
    if found.history_shown < min(most, periods):
        assert words(prompt(seen, style, found.history_shown + 1)) > room
    if found.history_shown:
        assert f"last {found.history_shown} periods" in found.text or found.history_shown == 1


@given(st.text(), st.integers(3, 40))
def test_notes_are_bounded_and_say_so(note: str, most: int) -> None:
    kept = bounded_note(note, most, words)
    whole = " ".join(note.split())
    assert len(kept.split()) <= most
    assert "\n" not in kept
    if kept != whole:
        assert kept.endswith(CUT)
        assert whole.startswith(kept.removesuffix(CUT).rstrip())


def test_a_note_is_not_cut_within_a_word() -> None:
    def letters(text: str) -> int:
        return len(text)

    assert bounded_note("ask 1.4729 from now on", 18, letters) == f"ask 1.4729 {CUT}"
    assert bounded_note("x" * 50, 10, letters) == f"xxxx {CUT}"


@pytest.mark.parametrize("thoughts", [True, False])
def test_an_answer_in_the_form_of_the_prompt_is_read(thoughts: bool) -> None:
    text = prompt(view(), Style(thoughts=thoughts), 0)
    labels = re.findall(r"\w+:", text.split("The lines begin with ")[1])
    assert f"Answer in {['', 'one', 'two', 'three', 'four'][len(labels)]} lines." in text
    answer = read_reply("\n".join(f"{label} {'1.50' if label == MARK else label.lower()}" for label in labels), 4.0)
    assert (answer.price, answer.plans, answer.insights) == (1.5, "plans:", "insights:")
    # A model that repeats what it read names no price.
    assert read_reply(text, 4.0).price is None
    assert opening(Style(thoughts=thoughts)) == labels[0]


def test_a_completed_answer_holds_the_notes_that_there_are_and_no_number() -> None:
    assert completion("hold", "they follow") == "Plans: hold\nInsights: they follow\nPrice: $"
    assert completion("", "they follow") == "Insights: they follow\nPrice: $"
    assert completion("", "") == "Price: $"
    assert read_reply(f"{completion('hold', '')}1.60", 4.0).price == 1.6
