"""Words: how a game becomes a prompt, a derivation a reply, and a reply actions; and the proof of all three."""

from moralfit.words._check import check_sample
from moralfit.words._frames import FRAMES, Deed, Frame, frames
from moralfit.words._numbers import NUMBER_NAMES, number
from moralfit.words._parse import Parsed, parse_reply
from moralfit.words._plain import BOX, plain
from moralfit.words._preference import preference_in_words
from moralfit.words._prompt import render_game, render_prompt, step_name
from moralfit.words._read import read_belief, read_crowd_payoffs, read_payoffs
from moralfit.words._reply import Derivation, derive
from moralfit.words._scene import Scene, sample_scene
from moralfit.words._shape import askable, check_expressible
from moralfit.words._transfer_frames import TRANSFER_FRAMES, transfer_frames

__all__ = [
    "BOX",
    "FRAMES",
    "NUMBER_NAMES",
    "TRANSFER_FRAMES",
    "Deed",
    "Derivation",
    "Frame",
    "Parsed",
    "Scene",
    "askable",
    "check_expressible",
    "check_sample",
    "derive",
    "frames",
    "number",
    "parse_reply",
    "plain",
    "preference_in_words",
    "read_belief",
    "read_crowd_payoffs",
    "read_payoffs",
    "render_game",
    "render_prompt",
    "sample_scene",
    "step_name",
    "transfer_frames",
]
