"""The first lines of a prompt: who chooses what, when, and having seen what."""

from __future__ import annotations

from itertools import groupby

from moralfit.games import Outcome
from moralfit.words._frames import Deed
from moralfit.words._numbers import NUMBER_NAMES
from moralfit.words._scene import Scene

_PICKS = ("picks", "chooses", "takes")
_PICK = ("pick", "choose", "take")
_PICKED = ("picked", "chose", "took")


def picks(scene: Scene, decision: int) -> str:
    """What a role does there, as in "Ann picks"; where amounts are chosen, the frame may have a verb of its own."""
    deed = _deed(scene, decision)
    return deed.does if deed else _PICKS[scene.phrasing[0]]


def pick(scene: Scene, decision: int) -> str:
    """The same as in "you pick"."""
    deed = _deed(scene, decision)
    return deed.do if deed else _PICK[scene.phrasing[0]]


def picked(scene: Scene, decision: int) -> str:
    """The same in the past."""
    deed = _deed(scene, decision)
    return deed.did if deed else _PICKED[scene.phrasing[0]]


def _deed(scene: Scene, decision: int) -> Deed | None:
    role = scene.game.information_sets[decision].roles[0]
    return scene.frame.deeds[role] if scene.in_amounts(decision) and role < len(scene.frame.deeds) else None


def _options(scene: Scene, decision: int) -> str:
    """Such as: A or B; 0, 2 or 4 coins."""
    *before, last = scene.listed(decision)
    options = f"{', '.join(before)} or {last}"
    deed = _deed(scene, decision)
    if not deed:
        return options
    of = deed.of.format(unit=scene.unit)
    if last == "1":
        noun, space, rest = of.partition(" ")
        of = noun.removesuffix("s") + space + rest
    return f"{options} {of}"


def rules(scene: Scene) -> str:
    """The opening sentence, and the rules of one round; of several, that they are played."""
    sentences = [scene.setting]
    if scene.shape.at_once:
        sentences.append(_at_once(scene))
    elif _by_turns(scene):
        sentences += _turns(scene)
    else:
        sentences += _one_by_one(scene)
    return " ".join(sentences + _rounds(scene))


def _at_once(scene: Scene) -> str:
    if len(scene.roles) == 2:
        return f"At the same time, both {pick(scene, 0)} {_options(scene, 0)}."
    return f"At the same time, each of them {picks(scene, 0)} {_options(scene, 0)}."


def _one_by_one(scene: Scene) -> list[str]:
    """Each decision of a round after what leads to it; the same choice after several moves is told in one sentence."""
    shape = scene.shape
    decisions = [d for d in scene.sequence if shape.round_of[d] == 1]
    first, *replies = decisions
    role = scene.roles[scene.game.information_sets[first].roles[0]]
    sentences = [f"{role} {picks(scene, first)} {_options(scene, first)}."]

    def choice(decision: int) -> tuple[int, str]:
        """How many moves were made, and the choice in words."""
        mover = scene.roles[scene.game.information_sets[decision].roles[0]]
        return len(scene.histories[decision]), f"{mover} {picks(scene, decision)} {_options(scene, decision)}."

    for (depth, said), alike in groupby(replies, choice):
        same = ["-".join(scene.histories[decision]) for decision in alike]
        if len(same) == len(replies) == len(scene.labels[first]) and depth == 1:
            mover = scene.roles[scene.game.information_sets[replies[0]].roles[0]]
            sentences.append(f"{mover} sees it and {said.removeprefix(mover).lstrip()}")
        else:
            either = f"{', '.join(same[:-1])} or {same[-1]}" if len(same) > 1 else same[0]
            sentences.append(f"After {either}, {said}")
    ends = {scene.path(outcome)[0] for outcome in shape.ends if len(outcome.moves) == 1}
    sentences += [f"{name} has no choice." for role, name in enumerate(scene.roles) if not _moves(scene, role)]
    if len(ends) == len(scene.labels[first]):
        return sentences
    of_round = "the round" if shape.rounds > 1 else "it"
    form = "After {} it ends." if scene.in_amounts(first) else f"{{}} ends {of_round}."
    return sentences + [form.format(label) for label in scene.listed(first) if label in ends]


def _moves(scene: Scene, role: int) -> bool:
    return any(role in information.roles for information in scene.game.information_sets)


def _by_turns(scene: Scene) -> bool:
    """Whether, as in a centipede, roles take turns with the same two choices, one of which ends it."""
    shape, sets = scene.shape, scene.game.information_sets
    if len(sets) < 3 or shape.rounds > 1 or len({information.actions for information in sets}) > 1 or scene.in_amounts(0):
        return False
    chain = [len(seen) for seen in shape.seen] == list(range(len(sets)))
    alternate = [information.roles[0] for information in sets] == [turn % 2 for turn in range(len(sets))]
    return chain and alternate and len({_ending(o) for o in shape.ends if len(o.moves) < len(sets)}) == 1


def _ending(outcome: Outcome) -> int:
    return outcome.moves[-1].action


def _turns(scene: Scene) -> list[str]:
    turns = len(scene.labels)
    stop = next(outcome for outcome in scene.shape.ends if len(outcome.moves) == 1)
    first, second = scene.roles
    return [
        f"{first} and {second} take turns, {first} first. The one whose turn it is {picks(scene, 0)} {_options(scene, 0)}.",
        f"{scene.path(stop)[0]} ends it; after turn {turns} it ends anyway.",
    ]


def _rounds(scene: Scene) -> list[str]:
    shape = scene.shape
    if shape.rounds == 1:
        return []
    played = f"They play {NUMBER_NAMES[shape.rounds]} rounds"
    if not shape.at_once:
        return [f"{played} in the same roles and see all that was {_PICKED_BY[scene.phrasing[0]]}. Payoffs add up."]
    sentences = [f"{played} and see after each what both {picked(scene, 0)}. Payoffs add up."]
    if scene.decision is None or scene.belief is not None:
        one, two = scene.listed(0)[:2]
        chosen = _PICKED_BY[scene.phrasing[0]]
        sentences.append(f"Following {one}-{two} means: having {chosen} {one} when the other {picked(scene, 0)} {two}.")
    return sentences


_PICKED_BY = ("picked", "chosen", "taken")
