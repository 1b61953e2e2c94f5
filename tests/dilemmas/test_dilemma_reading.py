"""Replies of every shape: what they state is read, what they leave open is not guessed, and a refusal is no slip in form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from moralfit.dilemmas import FAMILIES, Answer, read_choice, read_number
from moralfit.dilemmas._design import design

CORPUS = yaml.safe_load((Path(__file__).parent / "odd_dilemma_replies.yaml").read_text(encoding="utf-8"))
OPTIONS = ("swerve", "go straight on")


@pytest.mark.parametrize(("reply", "said"), CORPUS["numbers"])
def test_numbers(reply: str, said: Any) -> None:
    expected = Answer(said) if isinstance(said, str) else Answer("answered", said)
    assert read_number(reply) == expected


@pytest.mark.parametrize(("reply", "said"), CORPUS["choices"])
def test_choices(reply: str, said: str) -> None:
    expected = Answer("answered", "AB".index(said)) if said in ("A", "B") else Answer(said)
    assert read_choice(reply, OPTIONS) == expected


def test_there_are_enough_odd_replies() -> None:
    assert len(CORPUS["numbers"]) >= 60
    assert len({reply for reply, _ in CORPUS["numbers"]}) == len(CORPUS["numbers"])


@given(st.integers(0, 1000), st.sampled_from(["{}", "{}/100", "{} %", "about {}", "I would say {}.", "**{}**"]))
def test_marked_numbers_are_read_inside_the_scale_alone(number: int, form: str) -> None:
    read = read_number(f"There are 5 people, and 2 in the car.\nAnswer: {form.format(number)}")
    assert read == (Answer("answered", number) if number <= 100 else Answer("unparseable"))


@given(st.text(max_size=60))
def test_nothing_breaks_the_readers(text: str) -> None:
    for reply in (text, f"Answer: {text}"):
        found = read_number(reply)
        assert (found.value is None) == (found.status != "answered")
        assert found.value is None or 0 <= found.value <= 100
        assert (read_choice(reply, OPTIONS).value is None) == (read_choice(reply, OPTIONS).status != "answered")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_option_of_every_prompt_is_read_by_letter_and_in_words(family: str) -> None:
    seen = {item.options for item in design(FAMILIES[family], "full", 6, 0) if item.options is not None}
    assert len(seen) > 10
    for options in seen:
        for place in (0, 1):
            letter, words = "AB"[place], options[place]
            for reply in (letter, f"Answer: {letter}", f"Answer: {words}", f"{letter}: {words}", f"Answer: {letter}: {words}"):
                assert read_choice(reply, options) == Answer("answered", place), (reply, options)
            assert read_choice(f"Answer: {letter}: {options[1 - place]}", options).status == "unparseable"


@pytest.mark.parametrize("family", FAMILIES)
def test_no_prompt_read_as_a_reply_is_an_answer(family: str) -> None:
    for item in design(FAMILIES[family], "full", 1, 0)[::7]:
        read = read_number(item.prompt) if item.options is None else read_choice(item.prompt, item.options)
        assert read.status == "unparseable", item.prompt
