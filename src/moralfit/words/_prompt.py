"""From a scene to the text an agent reads. Kept short: on a CPU every token of it is paid for."""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm
from typing import Any

from moralfit.errors import WordsError
from moralfit.games import Outcome, exact
from moralfit.preferences import SocialPreferences
from moralfit.words._scene import Scene

_MOVES = ("picks", "chooses", "takes")
_TABLES = ("{path}: {a}, {b}", "{path} gives {a} and {b}", "{path} = {a} / {b}")
_JOINS = (" then ", "-", "/")
_HEADS = ("Payoffs in {unit} ({first}, {second}):", "{Unit} for {first}, {second}:", "In {unit}, {first} then {second}:")
_EITHER = ("Either role is equally likely.", "Each role is equally likely for you.", "You get one of the roles by lot.")
_MOST_DECIMALS = 6
_ASKED = ("Say what you do", "What do you do", "Give your choice")


def number(value: Any) -> str:
    """A payoff as people write it: integers plain, others as decimals, never rounded.

    Raises:
        WordsError: It has more than six decimals.
    """
    if type(value) is int:
        return str(value)
    fraction = exact(value)
    if fraction.denominator == 1:
        return str(fraction.numerator)
    for decimals in range(1, _MOST_DECIMALS + 1):
        scaled = fraction * 10**decimals
        if scaled.denominator == 1:
            digits = str(abs(scaled.numerator)).rjust(decimals + 1, "0")
            return f"{'-' * (fraction < 0)}{digits[:-decimals]}.{digits[-decimals:]}"
    raise WordsError(f"{fraction} cannot be put in words exactly: use payoffs of at most {_MOST_DECIMALS} decimals")


def render_prompt(scene: Scene) -> str:
    """The rules, the role, the belief if one is stated, the question, and how to answer."""
    return "\n".join(part for part in (_rules(scene), _payoffs(scene), _belief(scene), _question(scene)) if part)


def step_name(scene: Scene, decision: int) -> str:
    """What prompts and replies call a decision: `first`, or `after` with the labels seen before."""
    history = scene.histories[decision]
    return f"after {', '.join(history)}" if history else "first"


def path_name(scene: Scene, labels: Sequence[str]) -> str:
    """What the table of a prompt, and a reply that quotes it, call a way through the game."""
    return _JOINS[scene.phrasing[2]].join(labels)


def _listed(scene: Scene, decision: int) -> list[str]:
    return [scene.labels[decision][action] for action in scene.order[decision]]


def _rules(scene: Scene) -> str:
    verb = _MOVES[scene.phrasing[0]]
    same = _same_everywhere(scene)
    sentences = [scene.setting]
    for place, decision in enumerate(scene.sequence):
        role = scene.roles[scene.game.information_sets[decision].roles[0]]
        options = " or ".join(_listed(scene, decision))
        history = scene.histories[decision]
        if not history:
            sentences.append(f"{role} {verb} {options}.")
        elif same and place == 1:
            sentences.append(f"{role} sees it and {verb} {options}.")
        elif not same:
            sentences.append(f"After {', '.join(history)}, {role} {verb} {options}.")
    ends = {scene.path(o)[0] for o in scene.game.outcomes if len(o.moves) == 1}
    sentences += [f"{label} ends it." for label in _listed(scene, 0) if label in ends]
    return " ".join(sentences)


def _same_everywhere(scene: Scene) -> bool:
    """Whether one second mover has the same choice after everything the first can do, and nothing comes after it."""
    replies = list(zip(scene.histories, scene.labels, scene.game.information_sets, strict=True))[1:]
    ways = {(len(history), labels, information.roles) for history, labels, information in replies}
    return len(replies) == len(scene.labels[0]) and len(ways) == 1


def _payoffs(scene: Scene) -> str:
    first, second = scene.roles
    head = _HEADS[scene.phrasing[1]].format(unit=scene.unit, Unit=scene.unit.capitalize(), first=first, second=second)
    row = _TABLES[scene.phrasing[1]]

    def place(outcome: Outcome) -> tuple[int, ...]:
        return tuple(scene.order[move.information].index(move.action) for move in outcome.moves)

    rows = [
        row.format(path=path_name(scene, scene.path(o)), a=number(o.payoffs[0]), b=number(o.payoffs[1]))
        for o in sorted(scene.game.outcomes, key=place)
    ]
    return "\n".join([head, *rows])


def expected_play(scene: Scene, decision: int) -> str:
    """The stated belief about one decision, in words."""
    assert scene.belief is not None
    shares = dict(zip(scene.labels[decision], scene.belief[decision], strict=True))
    listed = _listed(scene, decision)
    certain = [label for label in listed if shares[label] == 1]
    if certain:
        return certain[0]
    whole = lcm(*(share.denominator for share in shares.values()))
    if whole == len(listed) == 2:
        return f"half {listed[0]}, half {listed[1]}"
    parts = [(shares[label].numerator * (whole // shares[label].denominator), label) for label in listed]
    return ", ".join(f"{part} of {whole} {label}" for part, label in parts)


def _belief(scene: Scene) -> str:
    if scene.belief is None:
        return ""
    parts = [f"{step_name(scene, d)}: {expected_play(scene, d)}" for d in scene.sequence]
    return f"You expect of others: {'; '.join(parts)}."


def _question(scene: Scene) -> str:
    asked = _ASKED[scene.phrasing[0]]
    mark = "?" if asked.startswith("What") else "."
    if scene.decision is None:
        steps = ", ".join(f"({n}) {step_name(scene, d)}" for n, d in enumerate(scene.asked, 1))
        choices = ", ".join(f"choice {n}" for n in range(1, len(scene.asked) + 1))
        return f"{_EITHER[scene.phrasing[2]]} {asked} {steps}{mark}\nEnd with: Answer: {choices}"
    information = scene.game.information_sets[scene.decision]
    role = scene.roles[information.roles[0]]
    verb = _PAST[scene.phrasing[0]]
    seen = "".join(f" {scene.roles[role]} {verb} {label}." for role, label in _moves_before(scene, scene.decision))
    # The step is named as in questions about a plan, which tells a small model how much of the derivation is wanted.
    return f"You are {role}.{seen} {asked} {step_name(scene, scene.decision)}{mark}\nEnd with: Answer: choice"


def _moves_before(scene: Scene, decision: int) -> list[tuple[int, str]]:
    """Who did what before a decision."""
    history = scene.histories[decision]
    way = next(o.moves for o in scene.game.outcomes if scene.path(o)[: len(history)] == history and len(o.moves) > len(history))
    return [(move.role, label) for move, label in zip(way, history, strict=False)]


_PAST = ("picked", "chose", "took")


def preference_in_words(preference: SocialPreferences) -> str:
    """The instruction for a model that is told its preference instead of being trained on it."""
    kappa, alpha, beta = (float(v) for v in (preference.kappa, preference.alpha, preference.beta))
    own = "your own expected payoff given what you expect of others"
    universal = "the payoff you would expect if everyone, in either role, followed the same plan as you"
    if 0 < kappa < 1:
        text = f"Your goal is {1 - kappa:g} times {own}, plus {kappa:g} times {universal}."
    elif alpha or beta:
        text = f"Your goal is {universal if kappa else own}."
    elif kappa:
        text = (
            "Choose the plan that would give you the highest expected payoff if everyone, in either role, followed the same "
            "plan as you."
        )
    else:
        text = "You care only about your own expected payoff."
    text += " Each role is equally likely for you."
    for weight, gap, otherwise in ((alpha, "more", "less"), (beta, "less", "more")):
        if weight:
            verb = "Subtract" if weight > 0 else "Add"
            text += f" {verb} {abs(weight):g} times the average amount by which the other gets {gap} than you, "
            text += f"counted as zero whenever it gets {otherwise}."
    return text + " Choose what reaches your goal best."
