"""Words: how a game becomes a prompt, a derivation a reply, and a reply actions; and the proof of all three."""

from moralfit.words._check import check_sample
from moralfit.words._frames import FRAMES, Frame, frames
from moralfit.words._parse import Parsed, parse_reply
from moralfit.words._prompt import number, preference_in_words, render_prompt, step_name
from moralfit.words._read import read_belief, read_payoffs
from moralfit.words._reply import Derivation, derive
from moralfit.words._scene import Scene, check_expressible, sample_scene

__all__ = [
    "FRAMES",
    "Derivation",
    "Frame",
    "Parsed",
    "Scene",
    "check_expressible",
    "check_sample",
    "derive",
    "frames",
    "number",
    "parse_reply",
    "preference_in_words",
    "read_belief",
    "read_payoffs",
    "render_prompt",
    "sample_scene",
    "step_name",
]
