"""A scene: one game dressed in words, with a belief or none, and one question about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from moralfit.errors import WordsError
from moralfit.games import Game, Outcome, Strategy
from moralfit.words._frames import Frame

#: How many ways the prompt has of saying each thing; a scene draws one number below it for each.
PHRASINGS = 3


@dataclass(frozen=True)
class Scene:
    """Everything that is said to an agent about one game, before it is put into a sentence.

    Attributes:
        game: A game of two roles with perfect information.
        frame: The cover story.
        labels: For each information set, the label of each of its actions (in the tree's action order).
        order: For each information set, the order in which its actions are listed.
        setting, roles, unit, phrasing: Which of the frame's and the prompt's variants are used.
        belief: The others' strategy as stated in the prompt; None leaves it to convention.
        decision: The information set that is asked about; None asks for the whole conditional plan (the strategy method).
    """

    game: Game
    frame: Frame
    labels: tuple[tuple[str, ...], ...]
    order: tuple[tuple[int, ...], ...]
    setting: str
    roles: tuple[str, str]
    unit: str
    phrasing: tuple[int, int, int]
    belief: Strategy | None
    decision: int | None

    @cached_property
    def sequence(self) -> tuple[int, ...]:
        """All information sets in the order in which the text names them: as their histories are listed in the prompt's table.

        The tree's own order must not show: it begins with cooperation, so the first reply named would give the answer away.
        """
        places: dict[int, tuple[int, ...]] = {}
        for outcome in self.game.outcomes:
            way = [self.order[move.information].index(move.action) for move in outcome.moves]
            for depth, move in enumerate(outcome.moves):
                places[move.information] = tuple(way[:depth])
        return tuple(sorted(places, key=lambda decision: (len(places[decision]), places[decision])))

    @property
    def asked(self) -> tuple[int, ...]:
        """Information sets that the answer line speaks of, in its order."""
        return self.sequence if self.decision is None else (self.decision,)

    def in_tree_order(self, actions: Sequence[str]) -> tuple[str, ...]:
        """Actions given in the order of :attr:`asked`, in the order of the game's information sets."""
        return tuple(action for _, action in sorted(zip(self.asked, actions, strict=True)))

    @cached_property
    def histories(self) -> tuple[tuple[str, ...], ...]:
        """For each information set, the labels of the moves before it."""
        found: dict[int, tuple[str, ...]] = {}
        for outcome in self.game.outcomes:
            seen: tuple[str, ...] = ()
            for move in outcome.moves:
                found.setdefault(move.information, seen)
                seen = (*seen, self.labels[move.information][move.action])
        return tuple(found[i] for i in range(len(self.labels)))

    def path(self, outcome: Outcome) -> tuple[str, ...]:
        """The labels on the way to an outcome."""
        return tuple(self.labels[move.information][move.action] for move in outcome.moves)

    def label(self, decision: int, action: str) -> str:
        """What the scene calls a tree action."""
        return self.labels[decision][self.game.information_sets[decision].actions.index(action)]

    def action(self, decision: int, label: str) -> str:
        """The tree action behind a label (which may be in another case)."""
        labels = [known.casefold() for known in self.labels[decision]]
        return self.game.information_sets[decision].actions[labels.index(label.casefold())]


def check_expressible(game: Game) -> None:
    """Raises WordsError unless the game has two roles and perfect information without chance, as the prompts assume."""
    nodes = {outcome.moves[:depth] for outcome in game.outcomes for depth in range(len(outcome.moves))}
    if len(game.roles) != 2 or len(nodes) != len(game.information_sets) or any(o.chance != 1 for o in game.outcomes):
        raise WordsError(f"{game.name}: only two-role games with perfect information and no chance moves can be put in words")


def sample_scene(
    rng: Random, game: Game, frames: Sequence[Frame], belief: Strategy | None, decision: int | None = None
) -> Scene:
    """Draws story, labels, listing order, role names, unit and phrasing; the game, belief and question are as given.

    Raises:
        WordsError: The game is not one that prompts can express, or has more actions somewhere than labels.
        GameError: The belief does not fit the game.
    """
    check_expressible(game)
    frame = rng.choice(frames)
    kinds = list(dict.fromkeys(information.actions for information in game.information_sets))
    if any(len(kind) > 2 for kind in kinds):
        raise WordsError(f"{game.name}: frames have labels for decisions between two actions, not {max(map(len, kinds))}")
    if len(kinds) > len(frame.labels):
        raise WordsError(f"{game.name}: needs {len(kinds)} pairs of labels, but frame {frame.name!r} has {len(frame.labels)}")
    drawn = {}
    for kind, pair in zip(kinds, rng.sample(frame.labels, len(kinds)), strict=True):
        drawn[kind] = (tuple(rng.sample(pair, 2)), tuple(rng.sample(range(2), 2)))
    return Scene(
        game=game,
        frame=frame,
        labels=tuple(drawn[information.actions][0] for information in game.information_sets),
        order=tuple(drawn[information.actions][1] for information in game.information_sets),
        setting=rng.choice(frame.settings),
        roles=rng.choice(frame.roles),
        unit=rng.choice(frame.units),
        phrasing=(rng.randrange(PHRASINGS), rng.randrange(PHRASINGS), rng.randrange(PHRASINGS)),
        belief=None if belief is None else game.strategy(belief),
        decision=decision,
    )
