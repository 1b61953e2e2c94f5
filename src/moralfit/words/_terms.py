"""A reply as plain text in the terms of its scene: who "me" is, amounts in one spelling, long names of decisions as numbers."""

from __future__ import annotations

import re

from moralfit.words._amounts import has_amounts, mark_bounds, with_amounts
from moralfit.words._plain import plain
from moralfit.words._prompt import step_name
from moralfit.words._scene import Scene


def in_terms_of(scene: Scene, reply: str) -> str:
    """The reply as plain text, in the terms of the scene."""
    if not has_amounts(scene):
        return _steps_as_numbers(scene, _own_roles_as_me(scene, plain(reply)))
    text = _own_roles_as_me(scene, plain(mark_bounds(reply)))
    for role in scene.roles:
        text = text.replace(role, "other")  # The digit of "Heir 2" is no amount.
    return with_amounts(scene, _steps_as_numbers(scene, text))


def _own_roles_as_me(scene: Scene, text: str) -> str:
    """A role may speak of itself by name: "Ann picks rake" is Ann's choice, and no other role's.

    Where roles are alike, the agent is none of them in particular.
    """
    sets = [scene.game.information_sets[d].roles for d in scene.asked]
    own = {scene.roles[roles[0]] for roles in sets if len(roles) == 1}
    return re.sub(rf"(?<!\w)(?:{'|'.join(sorted(map(re.escape, own)))})(?!\w)", "me", text) if own else text


def _steps_as_numbers(scene: Scene, text: str) -> str:
    """Names of decisions that have more than one label, or a round, in them, as the numbers that the question gives them."""
    if scene.shape.rounds == 1 and max(map(len, scene.histories)) < 2:
        return text
    for place, decision in sorted(enumerate(scene.asked, 1), key=lambda item: -len(step_name(scene, item[1]))):
        names = {step_name(scene, decision)}
        if scene.decision is not None:
            names.add(step_name(scene, decision, told=True))
        for name in sorted(names, key=len, reverse=True):
            number = f" ({place}) " if len(scene.asked) > 1 else " "
            text = re.sub(rf"(?:\(\d\) ?)?\b{re.escape(name)}\b ?:?", number, text, flags=re.IGNORECASE)
    return text
