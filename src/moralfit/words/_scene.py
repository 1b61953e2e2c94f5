"""A scene: one game dressed in words, with a belief or none, and one question about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from random import Random

from moralfit.errors import WordsError
from moralfit.games import Game, Outcome, Strategy
from moralfit.words._frames import Frame
from moralfit.words._numbers import NUMBER_NAMES, number
from moralfit.words._shape import Shape, askable, shape_of

#: How many ways the prompt has of saying each thing; a scene draws one number below it for each.
PHRASINGS = 3


@dataclass(frozen=True)
class Scene:
    """Everything that is said to an agent about one game, before it is put into a sentence.

    Attributes:
        game: A game that :func:`check_expressible` lets pass.
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
    roles: tuple[str, ...]
    unit: str
    phrasing: tuple[int, int, int]
    belief: Strategy | None
    decision: int | None

    @cached_property
    def shape(self) -> Shape:
        """Who moves when, having seen what.

        Raises:
            WordsError: Words cannot express the game.
        """
        return shape_of(self.game)

    @cached_property
    def sequence(self) -> tuple[int, ...]:
        """All information sets in the order in which the text names them: as their histories are listed in the prompt's table.

        The tree's own order must not show: it begins with cooperation, so the first reply named would give the answer away.
        """
        shape = self.shape

        def place(decision: int) -> tuple[int, tuple[int, ...], int, tuple[int, ...]]:
            number = shape.round_of[decision]
            listed = [
                (shape.round_of[move.information], self.place(move.information, move.action)) for move in shape.seen[decision]
            ]
            here = tuple(place for of, place in listed if of == number)
            return number, tuple(place for of, place in listed if of < number), len(here), here

        return tuple(sorted(range(len(self.labels)), key=place))

    @property
    def asked(self) -> tuple[int, ...]:
        """Information sets that the answer line speaks of, in its order."""
        return self.sequence if self.decision is None else (self.decision,)

    def in_tree_order(self, actions: Sequence[str]) -> tuple[str, ...]:
        """Actions given in the order of :attr:`asked`, in the order of the game's information sets."""
        return tuple(action for _, action in sorted(zip(self.asked, actions, strict=True)))

    @cached_property
    def histories(self) -> tuple[tuple[str, ...], ...]:
        """For each information set, the labels of the moves that are seen before it."""
        return tuple(tuple(self.labels[move.information][move.action] for move in seen) for seen in self.shape.seen)

    def path(self, outcome: Outcome) -> tuple[str, ...]:
        """The labels on the way to an outcome."""
        return tuple(self.labels[move.information][move.action] for move in outcome.moves)

    def place(self, decision: int, action: int) -> int:
        """Where an action stands in the list of its decision, from 0."""
        return self.order[decision].index(action)

    def listed(self, decision: int) -> list[str]:
        """The labels of a decision in the order in which they are listed."""
        return [self.labels[decision][action] for action in self.order[decision]]

    def in_amounts(self, decision: int) -> bool:
        """Whether its actions are amounts, which are their own labels."""
        return amounts(self.game.information_sets[decision].actions) is not None

    @cached_property
    def paths_in_amounts(self) -> bool:
        """Whether ways through the game have amounts in them."""
        return any(self.in_amounts(move.information) for outcome in self.shape.ends[:1] for move in outcome.moves)

    def label(self, decision: int, action: str) -> str:
        """What the scene calls a tree action."""
        return self.labels[decision][self.game.information_sets[decision].actions.index(action)]

    def action(self, decision: int, label: str) -> str:
        """The tree action behind a label (which may be in another case)."""
        labels = [known.casefold() for known in self.labels[decision]]
        return self.game.information_sets[decision].actions[labels.index(label.casefold())]


@lru_cache(maxsize=1024)
def amounts(actions: tuple[str, ...]) -> tuple[str, ...] | None:
    """The labels of a decision between amounts, whose actions are named by numbers; None for any other decision.

    Raises:
        WordsError: An amount has more than six decimals.
    """
    try:
        values = [Fraction(action) for action in actions]
    except (ValueError, ZeroDivisionError):
        return None
    return tuple(map(number, values))


def sample_scene(
    rng: Random, game: Game, frames: Sequence[Frame], belief: Strategy | None, decision: int | None = None
) -> Scene:
    """Draws story, labels, listing order, role names, unit and phrasing; the game, belief and question are as given.

    Amounts are their own labels, listed upwards or downwards.

    Raises:
        WordsError: The game is not one that prompts can express, has more actions somewhere than labels, or has more decisions
            than can be asked about at once; or no frame suits it.
        GameError: The belief does not fit the game.
    """
    shape = shape_of(game)
    if decision is None and None not in askable(game):
        raise WordsError(f"{game.name}: {len(game.information_sets)} decisions are too many for one question; ask one by one")
    crowd = len(game.roles) > 2
    suited = [frame for frame in frames if frame.crowd or not crowd]
    if not suited:
        raise WordsError(f"{game.name}: has {len(game.roles)} roles, but the frames given are stories of two")
    frame = rng.choice(suited)
    kinds = list(dict.fromkeys(information.actions for information in game.information_sets))
    numbers = {kind: amounts(kind) for kind in kinds}
    worded = [kind for kind in kinds if numbers[kind] is None]
    sizes = [len(kind) for kind in worded]
    fitting = [labels for labels in frame.labels if len(labels) >= max(sizes, default=0)]
    if worded and not fitting:
        most = max(map(len, frame.labels), default=0)
        raise WordsError(
            f"{game.name}: frame {frame.name!r} has labels for decisions between {most} actions at most, not {max(sizes)}"
        )
    if len(worded) > len(fitting):
        raise WordsError(f"{game.name}: needs {len(worded)} pairs of labels, but frame {frame.name!r} has {len(fitting)}")
    drawn: dict[tuple[str, ...], tuple[tuple[str, ...], tuple[int, ...]]] = {}
    for kind, labels in zip(worded, rng.sample(fitting, len(worded)), strict=True):
        drawn[kind] = (tuple(rng.sample(labels, len(kind))), tuple(rng.sample(range(len(kind)), len(kind))))
    if len(worded) < len(kinds):
        downwards = rng.random() < 0.5
        for kind, known in numbers.items():
            if known is not None:
                upwards = sorted(range(len(known)), key=lambda action: Fraction(known[action]))
                drawn[kind] = (known, tuple(upwards[::-1] if downwards else upwards))
    setting = rng.choice(frame.settings)
    roles: tuple[str, ...] = rng.choice(frame.roles)
    if crowd:
        setting = setting.format(Count=NUMBER_NAMES[len(game.roles)].capitalize())
        roles = tuple(f"{frame.crowd} {role + 1}" for role in range(len(game.roles)))
    else:
        setting = setting.format(Count="Two")
    scene = Scene(
        game=game,
        frame=frame,
        labels=tuple(drawn[information.actions][0] for information in game.information_sets),
        order=tuple(drawn[information.actions][1] for information in game.information_sets),
        setting=setting,
        roles=roles,
        unit=rng.choice(frame.units),
        phrasing=(rng.randrange(PHRASINGS), rng.randrange(PHRASINGS), rng.randrange(PHRASINGS)),
        belief=None if belief is None else game.strategy(belief),
        decision=decision,
    )
    # What is known already need not be found again: data sets have many scenes.
    vars(scene)["shape"] = shape
    return scene
