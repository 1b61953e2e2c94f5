"""What agents expect of others: asked in words, read without guessing, asked once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from scripted_agents import Asked, Player
from tiny_model import VALUES

from moralfit.agents import RandomAgent
from moralfit.chat import Reply
from moralfit.evaluate import PARTS, Item, belief_question, items, parse_shares
from moralfit.evaluate._beliefs import elicit, forget
from moralfit.games import trust_game, ultimatum_amounts
from moralfit.preferences import HomoMoralis
from moralfit.recipe import parse_recipe
from moralfit.words import Scene, frames, sample_scene, transfer_frames

UNSTATED = {"unstated": 1, "certain": 0, "halves": 0, "tenths": 0}


@cache
def prompts(transfer: int = 12) -> list[Item]:
    values = {**VALUES, "evaluation": {"prompts": 12, "transfer_prompts": transfer}, "data": {"beliefs": UNSTATED}}
    recipe = parse_recipe(values, "test")
    return [item for part in PARTS for item in items(recipe, part)]


def trust(seed: int = 3) -> Scene:
    return sample_scene(Random(seed), trust_game(T=80, R=60, P=30, S=20), frames(False), None)


def test_the_question_tells_the_game_and_asks_about_others_only() -> None:
    scene = trust()
    text = belief_question(scene)
    lines = text.split("\n")
    first, after = (scene.listed(decision) for decision in scene.sequence)
    assert lines[-4] == "Of 100 people who play this, how many choose each option? Numbers add up to 100 in each line."
    assert lines[-3] == f"(1) first: {first[0]}, {first[1]}"
    assert lines[-2].startswith("(2) after ")
    assert lines[-2].endswith(f": {after[0]}, {after[1]}")
    assert lines[-1] == "End with: Answer: number, number; number, number"
    assert "80" in text
    assert "60" in text
    for item in prompts():
        text = belief_question(item.scene)
        told = text[: text.index("Of 100 people")]
        assert told.strip()
        assert not any(words in told for words in ("What do you do", "Say what you", "Give your choice", "Answer"))


@pytest.mark.parametrize("seed", range(8))
def test_what_is_said_is_read_whatever_the_labels_and_their_order(seed: int) -> None:
    rng = Random(seed)
    for item in prompts():
        scene, said, belief = item.scene, [], {}
        for decision in scene.sequence:
            size = len(scene.labels[decision])
            cuts = sorted(rng.choices(range(101), k=size - 1))
            shares = [high - low for low, high in zip([0, *cuts], [*cuts, 100], strict=True)]
            belief[decision] = tuple(Fraction(share, 100) for share in shares)
            said.append([(scene.labels[decision][action], shares[action]) for action in scene.order[decision]])
        expected = tuple(belief[decision] for decision in range(len(said)))
        plain = "; ".join(", ".join(str(share) for _, share in entry) for entry in said)
        named = "\n".join(
            f"({n}) " + ", ".join(f"{label}: {share}%" for label, share in entry) for n, entry in enumerate(said, 1)
        )
        assert parse_shares(scene, f"Most people are careful.\nAnswer: {plain}") == expected
        assert parse_shares(scene, f"Answer: 1, 2\n**Answer:** {named}") == expected


@pytest.mark.parametrize(
    ("reply", "first", "after"),
    [
        ("Answer: 40, 60; 25, 75", (40, 100), (25, 100)),
        ("Answer: 40/60 25/75", (40, 100), (25, 100)),
        ("Answer: 0.4, 0.6; 0.25, 0.75", (40, 100), (25, 100)),
        ("answer: 33, 66; 25, 75", (33, 99), (25, 100)),
        ("Answer: 0, 100; 100, 0", (0, 100), (100, 100)),
    ],
)
def test_forms_that_leave_no_doubt(reply: str, first: tuple[int, int], after: tuple[int, int]) -> None:
    scene = trust()
    found = parse_shares(scene, reply)
    assert found is not None
    for decision, share in zip(scene.sequence, (first, after), strict=True):
        assert found[decision][scene.order[decision][0]] == Fraction(*share)


@pytest.mark.parametrize(
    "reply",
    ["", "40, 60; 25, 75", "Answer:", "Answer: most invest", "Answer: 40, 60", "Answer: 40, 60; 25", "Answer: 40, 50; 25, 75",
     "Answer: 140, -40; 25, 75", "Answer: 40, 60; 25, 75; 1, 99", "Answer: 0, 0; 0, 0", "Answer: 300, 20"],
)  # fmt: skip
def test_doubtful_replies_are_not_guessed_at(reply: str) -> None:
    assert parse_shares(trust(), reply) is None


def test_amounts_as_labels_are_not_taken_for_shares() -> None:
    game = ultimatum_amounts(pie=10, step=1, offers=5)
    scene = sample_scene(Random(1), game, transfer_frames(game), None)
    listed = scene.listed(scene.sequence[0])
    assert set(listed) == {"1", "2", "3", "4", "5"}
    offers = ", ".join(f"{label}: 20" for label in listed)
    rest = "; ".join("50, 50" for _ in listed)
    found = parse_shares(scene, f"Answer: {offers}; {rest}")
    assert found is not None
    assert found[0] == (Fraction(1, 5),) * 5
    assert parse_shares(scene, f"Answer: {', '.join(listed)}") is None


class Watched(Player):
    """Remembers what it was asked."""

    def replies(self, asked: Asked, seeds: Sequence[str], probabilities: bool = False) -> Iterator[Reply]:
        self.asked = [*getattr(self, "asked", []), *(messages[-1]["content"] for _, messages in asked)]
        return super().replies(asked, seeds, probabilities)


def test_agents_are_asked_once_and_a_random_player_never(tmp_path: Path) -> None:
    some = prompts(0)
    unstated = [item for item in some if item.scene.belief is None]
    player: Any = Watched("tuned", HomoMoralis(1), expects=30)
    silent: Any = Watched("base", HomoMoralis(1), kind="base")
    agents, prints = [RandomAgent(), silent, player], {"random": "r", "base": "b", "tuned": "t"}
    found = elicit(tmp_path, agents, prints, some, portion=5)
    assert len(found) == 2 * len(unstated)
    assert {r["agent"] for r in found if r["status"] == "answered"} == {"tuned"}
    assert {r["agent"] for r in found if r["belief"] is None} == {"base"}
    assert all(entry == [0.3, 0.7] for r in found if r["belief"] for entry in r["belief"])
    before = (tmp_path / "beliefs.jsonl").read_bytes()
    lines = before.split(b"\n")
    (tmp_path / "beliefs.jsonl").write_bytes(b"\n".join(lines[:15]) + b"\n" + lines[15][:40])
    player.asked, silent.asked = [], []
    assert elicit(tmp_path, agents, prints, some, portion=5) == found
    assert (tmp_path / "beliefs.jsonl").read_bytes() == before
    assert len(player.asked) + len(silent.asked) == len(found) - 15
    player.asked, silent.asked = [], []
    elicit(tmp_path, agents, {**prints, "tuned": "another"}, some)
    assert (len(player.asked), len(silent.asked)) == (len(unstated), 0), "another adapter may expect something else"
    forget(tmp_path)
    forget(tmp_path)
    assert not (tmp_path / "beliefs.jsonl").exists()
