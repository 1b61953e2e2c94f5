"""One transcript for each family of transfer games: a prompt, a reply in good form, and the plan that is read from it.

A change in wording shows here as a difference to be looked at. Where it is meant, write the files anew and read them:

    python tests/words/test_golden.py
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import pytest

from moralfit.games import TRANSFER_GAMES, make_transfer_game
from moralfit.words import askable, parse_reply, render_prompt, sample_scene, transfer_frames

GOLDEN = Path(__file__).parent / "golden"
#: Numbers of their own, so that transcripts do not change with how the families draw theirs.
PARAMETERS: dict[str, dict[str, Any]] = {
    "prisoners_dilemma": {"T": 9, "R": 6, "P": 3, "S": 1},
    "stag_hunt": {"T": 6, "R": 9, "P": 5, "S": 1},
    "chicken": {"T": 9, "R": 7, "S": 3, "P": 0},
    "dictator_game": {"pie": 12, "step": 3},
    "linear_public_good": {"players": 4, "tokens": 1, "kept": 5, "shared": 2},
    "concave_public_good": {"r": 2, "top": 2, "tokens": 2, "scale": 8, "base": 8},
    "trust_amounts": {"endowment": 10, "step": 5, "factor": 3, "returns": 3},
    "ultimatum_amounts": {"pie": 10, "step": 1, "offers": 5},
    "gift_exchange": {"value": 6, "cost": 2, "wages": 3, "wage_step": 4, "efforts": 3, "endowment": 10},
    "centipede": {"moves": 4, "large": 4, "small": 1, "factor": 2},
    "repeated_trust_game": {"T": 9, "R": 6, "P": 3, "S": 1},
    "repeated_prisoners_dilemma": {"T": 9, "R": 6, "P": 3, "S": 1},
}


def transcript(name: str) -> str:
    """The whole plan where it may be asked for, and one decision; stories written for the family."""
    game = make_transfer_game(name, **PARAMETERS[name])
    rng = Random(f"golden/{name}")
    parts = []
    for decision in (askable(game)[0], askable(game)[-1]):
        belief = []
        for information in game.information_sets:
            tenths = sorted(rng.choices(range(11), k=len(information.actions) - 1))
            belief.append([Fraction(b - a, 10) for a, b in zip([0, *tenths], [*tenths, 10], strict=True)])
        stories = [frame for frame in transfer_frames(game) if frame.games]
        scene = sample_scene(rng, game, stories, game.strategy(belief) if len(parts) % 2 == 0 else None, decision)
        stated = ", ".join(rng.choice(scene.labels[d]) for d in scene.asked)
        reply = f"I compare the payoffs.\nAnswer: {stated}"
        parsed = parse_reply(scene, reply)
        read = [f"{game.information_sets[d].name}: {a}" for d, a in zip(scene.asked, parsed.actions, strict=True)]
        parts.append("\n".join(["PROMPT", render_prompt(scene), "REPLY", reply, f"READ ({parsed.status})", *read]))
    return "\n\n".join(parts) + "\n"


def test_every_family_has_a_transcript_and_no_other_is_there() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.txt")) == sorted(TRANSFER_GAMES) == sorted(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_transcript_is_the_golden_one(name: str) -> None:
    """If this change is meant: `python tests/words/test_golden.py`, and read what changed."""
    assert transcript(name) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for each in PARAMETERS:
        (GOLDEN / f"{each}.txt").write_text(transcript(each), encoding="utf-8")
