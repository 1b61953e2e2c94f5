"""Replies of every shape: what they state is read, what they leave open is not guessed."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import yaml

from moralfit.games import (
    Game,
    dictator_game,
    sequential_prisoners_dilemma,
    trust_amounts,
    trust_game,
    ultimatum_amounts,
)
from moralfit.preferences import HomoMoralis
from moralfit.words import FRAMES, Deed, Frame, Scene, derive, number, parse_reply, render_prompt, sample_scene

CORPUS = yaml.safe_load((Path(__file__).parent / "odd_replies.yaml").read_text(encoding="utf-8"))
CASES = [
    pytest.param(group["scene"], reply, said, id=f"{group['about']}: {reply[:40]!a}")
    for group in CORPUS
    for reply, said in group["cases"]
]


def scene(labels: tuple[tuple[str, ...], ...], decision: int | None = None) -> Scene:
    """A scene with these labels for each information set, asked about one decision or the whole plan."""
    game = trust_game(9, 6, 3, 1) if len(labels) == 2 else sequential_prisoners_dilemma(9, 6, 3, 1)
    frame = Frame("test", ("Two play.",), (("One", "Two"),), (("A", "B"),), ("points",))
    order = tuple((0, 1) for _ in labels)
    return Scene(game, frame, labels, order, "Two play.", ("One", "Two"), "points", (0, 0, 0), None, decision)


def in_amounts(game: Game, decision: int | None = None) -> Scene:
    """The same for a game in amounts, told of heirs who give and return florins; other choices are white or black."""
    frame = Frame("test", (), (), (), (), deeds=(Deed("give", "gives", "gave"), Deed("return", "returns", "returned")))
    labels = tuple(("white", "black") if "accept" in i.actions else i.actions for i in game.information_sets)
    order = tuple(tuple(range(len(known))) for known in labels)
    return Scene(game, frame, labels, order, "Two play.", ("Heir 1", "Heir 2"), "florins", (0, 0, 0), None, decision)


SCENES = {
    "give": in_amounts(dictator_game(10, 5)),
    "give ones": in_amounts(dictator_game(4, 1)),
    "give halves": in_amounts(dictator_game(5, 2.5)),
    "give thousands": in_amounts(dictator_game(2000, 1000)),
    "plan sent": in_amounts(trust_amounts(10, 5)),
    "reply sent": in_amounts(trust_amounts(10, 5), 2),
    "plan offer": in_amounts(ultimatum_amounts(10, 2, 3)),
    "plan AB": scene((("A", "B"),) * 3),
    "plan words": scene((("left", "right"),) * 3),
    "plan trust": scene((("east", "west"), ("early", "late"))),
    "first AB": scene((("A", "B"),) * 3, 0),
    "reply AB": scene((("A", "B"),) * 3, 1),
    "first words": scene((("left", "right"),) * 3, 0),
    "first I": scene((("I", "O"),) * 3, 0),
}


def said(which: Scene, reply: str) -> str:
    """The labels that a reply is read to state, or its status."""
    parsed = parse_reply(which, reply)
    if parsed.status != "answered":
        assert parsed.actions == ()
        return parsed.status
    assert len(parsed.actions) == len(which.asked)
    return " ".join(which.label(d, action) for d, action in zip(which.asked, parsed.actions, strict=True))


@pytest.mark.parametrize(("name", "reply", "expected"), CASES)
def test_odd_reply(name: str, reply: str, expected: str) -> None:
    assert said(SCENES[name], reply) == expected


def test_corpus_is_large_and_covers_every_status() -> None:
    verdicts = [verdict for group in CORPUS for _, verdict in group["cases"]]
    assert len(verdicts) >= 250
    assert min(verdicts.count("refused"), verdicts.count("unparseable")) >= 15
    assert len({(group["scene"], reply) for group in CORPUS for reply, _ in group["cases"]}) == len(verdicts)


def test_which_action_a_label_stands_for_does_not_matter() -> None:
    swapped = scene((("B", "A"),) * 3, 0)
    for group in CORPUS:
        if group["scene"] == "first AB":
            for reply, expected in group["cases"]:
                assert said(swapped, reply) == expected


@pytest.mark.parametrize(
    "reply",
    [
        "Answer: B, A, B",
        "**Answer:** B, A, B.",
        "Answer: (1) B, (2) A, (3) B",
        "Answer: (3) B, (2) A, (1) B",
        "Answer: first: B, after B: A, after A: B",
        "Answer: first: B, after A: B, after B: A",
        "Answer: B, after A: B, after B: A",
        "Answer: after A: B; after B: A; first: B",
        "Answer: choice 2: A, choice 1: B, choice 3: B",
    ],
)
def test_choices_are_for_the_decisions_in_the_order_of_the_question(reply: str) -> None:
    """The table begins with B, so choice 2 is for what follows B, which the tree has last."""
    which = replace(SCENES["plan AB"], order=((1, 0),) * 3)
    assert "(1) first, (2) after B, (3) after A" in render_prompt(which)
    parsed = parse_reply(which, reply)
    assert parsed.actions == ("D", "C", "D")
    assert which.asked == (0, 2, 1)
    assert which.in_tree_order(parsed.actions) == ("D", "D", "C")
    assert said(which, reply) == "B A B"


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame.name)
def test_taught_replies_of_every_frame_are_read_and_the_long_way_reads_them_alike(frame: Frame) -> None:
    rng = Random(frame.name)
    game = sequential_prisoners_dilemma(13, 8, 4, 2)
    for decision in (None, 0, 1, 2):
        for _ in range(10):
            which = sample_scene(rng, game, [frame], game.strategy(0.5), decision)
            derivation = derive(which, HomoMoralis(rng.choice([0, 0.5, 1])))
            assert parse_reply(which, derivation.text).actions == derivation.actions
            for dressed in (derivation.text + "\n", derivation.text.replace("Answer:", "**Final answer:**") + "."):
                assert parse_reply(which, dressed).actions == derivation.actions
            cut = derivation.text[: derivation.text.rindex(":") + 1]
            assert parse_reply(which, cut).status == "unparseable"
            assert parse_reply(which, render_prompt(which)).status == "unparseable"
            assert parse_reply(which, render_prompt(which) + "\n" + derivation.text + " ").actions == derivation.actions


def long_replies() -> dict[str, tuple[str, str]]:
    """About 100 kB each, made to hurt regular expressions, and what they state."""
    size = 100_000
    line = "After A: A gives 17+17=34, B gives 3+20=23. Larger: 34, so A.\n"
    return {
        "derivation": (line * (size // len(line)) + "Answer: A, B, A", "A B A"),
        "derivation, dressed answer": (line * (size // len(line)) + "**Answer:** A, B, A.", "A B A"),
        "answer, then much prose": ("**Answer:** A, B, A.\n" + "This is right. " * (size // 15), "unparseable"),
        "answer, then some prose": (line * (size // len(line)) + "**Answer:** A, B, A.\n" + "It is right. " * 2000, "A B A"),
        "spaces": ("Answer:" + " " * size + "A, B, A", "A B A"),
        "spaces between choices": ("Answer: A" + " " * (size // 4) + ", B, A" + "\n" * (size // 8), "A B A"),
        "newlines": ("\n" * size, "unparseable"),
        "no mark": (line * (size // len(line)), "unparseable"),
        "one word": ("a" * size, "unparseable"),
        "labels": ("A, " * (size // 3), "unparseable"),
        "marks": ("Answer: " * (size // 8), "unparseable"),
        "marks with labels": ("Answer: A, " * (size // 11), "unparseable"),
        "echoes": ("Answer: choice 1, choice 2, choice 3\n" * (size // 37), "unparseable"),
        "statements": ("I choose " * (size // 9), "unparseable"),
        "conditions": ("if after when " * (size // 14), "unparseable"),
        "stars": ("Answer" + "*" * size, "unparseable"),
        "brackets": ("(" * size, "unparseable"),
        "backslashes": ("\\" * size, "unparseable"),
        "boxes": ("\\boxed{" * (size // 7), "unparseable"),
        "tags": ("</p><b " * (size // 7), "unparseable"),
        "entities": ("&" * size, "unparseable"),
        "arrows": ("-" * size, "unparseable"),
        "refusals": ("I can not be " * (size // 13), "unparseable"),
        "negations": ("not to the option " * (size // 18), "unparseable"),
        "other script": ("答案：" * (size // 3) + "Answer：A，B，A", "A B A"),
        "emoji": ("👍" * (size // 4), "unparseable"),
    }


@pytest.mark.parametrize(("reply", "expected"), long_replies().values(), ids=long_replies())
def test_long_replies_are_read_fast(reply: str, expected: str) -> None:
    which = SCENES["plan AB"]
    said(which, "I choose A.")  # compiles the grammar
    seconds = 1.0
    for _ in range(3):
        start = time.process_time()
        assert said(which, reply) == expected
        seconds = min(seconds, time.process_time() - start)
        if seconds < 0.05:
            return
    raise AssertionError(f"{seconds:.3f} s")


def test_labels_of_three_words_and_of_digits() -> None:
    """Frames of users may have other labels than ours."""
    which = scene((("give back", "keep it"), ("1", "2")))
    assert said(which, "Answer: Keep it, 2") == "keep it 2"
    assert said(which, "Answer:\n- give back\n- 1") == "give back 1"
    assert said(which, "Answer: give, 1") == "unparseable"


@pytest.mark.parametrize("name", ["give", "give ones", "give halves", "plan sent", "plan offer"])
def test_long_replies_about_amounts_are_read_fast(name: str) -> None:
    which = SCENES[name]
    answer = ", ".join(which.labels[d][1] for d in which.asked)
    said(which, "I choose 0.")  # compiles the grammar
    pieces = (
        "5-",
        "5 of ",
        "1,000,",
        "(1) ",
        "1. ",
        "Answer: five ",
        "After 5: 10 gives 20+5=25.\n",
        "0 to ",
        "-",
        "~",
        ">",
        "5 x ",
    )
    for piece in pieces:
        reply = piece * (100_000 // len(piece)) + f"\n**Answer:** {answer}"
        start = time.process_time()
        assert said(which, reply) == answer.replace(",", ""), piece
        assert time.process_time() - start < 1, piece


def test_every_amount_on_offer_is_read_in_every_spelling() -> None:
    for which in (SCENES["give"], SCENES["give ones"], SCENES["give halves"], SCENES["give thousands"], SCENES["reply sent"]):
        (decision,) = which.asked
        for label in which.labels[decision]:
            for spelling in (
                "{}",
                "${}",
                "{} florins",
                "{} florin",
                "{}.",
                "({})",
                "**{}**",
                "I give {}",
                "{} of 99",
                "{} each",
            ):
                assert said(which, "Answer: " + spelling.format(label)) == label
            assert said(which, f"Answer: {float(label):.2f}") == label
            assert said(which, f"I give {label}.") == "unparseable"
        for missing in (7, -5, 0.5, 25, 100):
            assert said(which, f"Answer: {number(missing)}") == "unparseable"


def test_any_text_is_read_without_error() -> None:
    """Random pieces of what replies are made of: an answer has one action for each decision, anything else has none."""
    pieces = (
        r"Answer:|answer is|A|B|a|after A|first|(1)|2.|,|;| |or|not|\boxed{|}|I choose|because|**|/|-|I can't|<b>|</b>|choice 1"
    )
    pieces += "|.|?|wait,|B is better|\n|\x00"
    rng = Random(7)
    statuses = set()
    for _ in range(3000):
        reply = " ".join(rng.choices(pieces.split("|"), k=rng.randrange(12)))
        for which in SCENES.values():
            parsed = parse_reply(which, reply)
            statuses.add(parsed.status)
            assert (len(parsed.actions) == len(which.asked)) if parsed.status == "answered" else not parsed.actions
    assert statuses == {"answered", "refused", "unparseable"}
