"""Every error that moralfit raises on purpose derives from :class:`MoralfitError`.

A message names the file, key or game at fault and says what to do; the command-line entry points print it without a
traceback and leave with exit code 2.
"""

from __future__ import annotations


class MoralfitError(Exception):
    """Base class: something the user can mend."""


class GameError(MoralfitError):
    """A game, plan, belief or preference that makes no sense as given."""


class RecipeError(MoralfitError):
    """A recipe with problems, all of them listed in the message."""


class WordsError(MoralfitError):
    """A game that the words cannot express, or a sample whose text does not prove its answer."""


class EstimationError(MoralfitError):
    """Choices that cannot be read, or an estimation that makes no sense as asked for."""


class ModelError(MoralfitError):
    """A model, tokenizer or adapter that is missing, damaged or does not fit."""


class TrainingError(MoralfitError):
    """A training that cannot start, go on or be trusted."""


class RunError(MoralfitError):
    """A run folder that is missing, unfinished, foreign or in the way."""


class ServerError(MoralfitError):
    """A server that cannot be reached, refuses what it is asked, or answers something else."""
