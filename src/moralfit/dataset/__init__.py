"""Data sets written by theory: balanced samples, each proved, with the shortcuts measured."""

from moralfit.dataset._build import build_dataset, load_built, samples, sizes
from moralfit.dataset._sample import SPLITS, Sample, Sampler, Split, draw_belief, held_out, row
from moralfit.dataset._shortcuts import Shortcuts

__all__ = [
    "SPLITS",
    "Sample",
    "Sampler",
    "Shortcuts",
    "Split",
    "build_dataset",
    "draw_belief",
    "held_out",
    "load_built",
    "row",
    "samples",
    "sizes",
]
