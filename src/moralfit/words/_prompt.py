"""From a scene to the text an agent reads. Kept short: on a CPU every token of it is paid for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import lcm

from moralfit.errors import WordsError
from moralfit.games import Outcome
from moralfit.words._crowd import MOST_ROWS, crowd_table
from moralfit.words._numbers import NUMBER_NAMES
from moralfit.words._numbers import number as number
from moralfit.words._rules import pick, picked, rules
from moralfit.words._scene import Scene

_TABLES = ("{path}: {a}, {b}", "{path} gives {a} and {b}", "{path} = {a} / {b}")
_JOINS = (" then ", "-", "/")
#: Where nobody moves first; what " then " would say is not so.
_JOINS_AT_ONCE = (" and ", "-", "/")
_HEADS = ("Payoffs in {unit} ({first}, {second}):", "{Unit} for {first}, {second}:", "In {unit}, {first} then {second}:")
_EITHER = ("Either role is equally likely.", "Each role is equally likely for you.", "You get one of the roles by lot.")
_ASKED = ("Say what you do", "What do you do", "Give your choice")


def render_prompt(scene: Scene) -> str:
    """What :func:`render_game` tells, the question, and how to answer. Raises as that does."""
    return f"{render_game(scene)}\n{_question(scene)}"


def render_game(scene: Scene) -> str:
    """The rules, the payoffs, and the belief if one is stated.

    Raises:
        WordsError: A payoff or an amount has too many decimals, or the table too many rows, to be read.
    """
    table = _payoffs(scene) if len(scene.roles) == 2 else crowd_table(scene)
    return "\n".join(part for part in (rules(scene), table, _belief(scene)) if part)


def step_name(scene: Scene, decision: int, told: bool = False) -> str:
    """What prompts and replies call a decision: `first`, or `after` with the labels seen before.

    In rounds, also which round it is and, unless that was `told` already, what the earlier ones brought: `after A in round 2
    following A-B`. The only decision of a game needs no name: it is empty.
    """
    shape = scene.shape
    if len(scene.labels) == 1:
        return ""
    seen = list(zip(shape.seen[decision], scene.histories[decision], strict=True))
    by_round = {
        of: "-".join(label for _, label in moves)
        for of, moves in groupby(seen, lambda move: shape.round_of[move[0].information])
    }
    here = shape.round_of[decision]
    now = "" if shape.at_once else f"after {by_round[here]}" if here in by_round else "first"
    if shape.rounds == 1:
        return now
    if told:
        return f"{now} in round {here}".lstrip()
    earlier = " then ".join(by_round[of] for of in sorted(by_round) if of < here)
    return f"{now} in round {here}{f' following {earlier}' if earlier else ''}".lstrip()


def path_name(scene: Scene, labels: Sequence[str]) -> str:
    """What the table of a prompt, and a reply that quotes it, call a way through the game."""
    joins = _JOINS_AT_ONCE if scene.shape.at_once else _JOINS
    if scene.paths_in_amounts:
        return joins[0].join(labels)  # 5-10 and 5/10 would be a range and a fraction.
    return joins[scene.phrasing[2]].join(labels)


def _payoffs(scene: Scene) -> str:
    first, second = scene.roles
    unit = scene.unit if scene.shape.rounds == 1 else f"{scene.unit} per round"
    head = _HEADS[scene.phrasing[1]].format(unit=unit, Unit=unit.capitalize(), first=first, second=second)
    row = _TABLES[scene.phrasing[1]]

    def place(outcome: Outcome) -> tuple[int, ...]:
        return tuple(scene.place(move.information, move.action) for move in outcome.moves)

    if len(scene.shape.ends) > MOST_ROWS:
        raise WordsError(f"{scene.game.name}: its payoff table would have {len(scene.shape.ends)} rows; take fewer choices")
    rows = [
        row.format(path=path_name(scene, scene.path(o)), a=number(o.payoffs[0]), b=number(o.payoffs[1]))
        for o in sorted(scene.shape.ends, key=place)
    ]
    return "\n".join([head, *rows])


def expected_play(scene: Scene, decision: int) -> str:
    """The stated belief about one decision, in words."""
    assert scene.belief is not None
    shares = dict(zip(scene.labels[decision], scene.belief[decision], strict=True))
    verb = f"{pick(scene, decision)} " if scene.in_amounts(decision) else ""
    possible = [label for label in scene.listed(decision) if shares[label]]
    if len(possible) == 1:
        return verb + possible[0]
    whole = lcm(*(share.denominator for share in shares.values()))
    if whole == len(possible) == 2:
        return f"half {verb}{possible[0]}, half {verb}{possible[1]}"
    parts = [(shares[label].numerator * (whole // shares[label].denominator), label) for label in possible]
    return ", ".join(f"{part} of {whole} {verb}{label}" for part, label in parts)


def _belief(scene: Scene) -> str:
    if scene.belief is None:
        return ""
    parts = [(step_name(scene, d), expected_play(scene, d)) for d in scene.sequence]
    others = "others" if len(scene.roles) == 2 else "each of the others"
    return f"You expect of {others}: {'; '.join(f'{step}: {play}' if step else play for step, play in parts)}."


def _question(scene: Scene) -> str:
    asked = _ASKED[scene.phrasing[0]]
    mark = "?" if asked.startswith("What") else "."
    shared = scene.shape.at_once
    of_them = f"You are one of the {NUMBER_NAMES[len(scene.roles)]}."
    if scene.decision is None:
        role = of_them if shared else _EITHER[scene.phrasing[2]]
        choices = ", ".join(f"choice {n}" for n in range(1, len(scene.asked) + 1))
        if len(scene.asked) == 1:
            (only,) = scene.asked
            choices = "choice"
            steps = "" if shared else f" as {scene.roles[scene.game.information_sets[only].roles[0]]}"
        else:
            steps = " " + ", ".join(f"({n}) {step_name(scene, d)}" for n, d in enumerate(scene.asked, 1))
        return f"{role} {asked}{steps}{mark}\nEnd with: Answer: {choices}"
    role = of_them if shared else f"You are {scene.roles[scene.game.information_sets[scene.decision].roles[0]]}."
    step = step_name(scene, scene.decision, told=True)
    # The step is named as in questions about a plan, which tells a small model how much of the derivation is wanted.
    return f"{role}{_told(scene, scene.decision)} {asked}{f' {step}' if step else ''}{mark}\nEnd with: Answer: choice"


def _told(scene: Scene, decision: int) -> str:
    """Who did what before a decision, one sentence a move; where roles are alike, you and the other."""
    shape = scene.shape
    me = scene.game.information_sets[decision].roles[0]
    others = ["The other"] * len(scene.roles) if shape.at_once else scene.roles
    told = ""
    for move, label in zip(shape.seen[decision], scene.histories[decision], strict=True):
        when = f" in round {shape.round_of[move.information]}" if shape.rounds > 1 else ""
        told += f" {'You' if move.role == me else others[move.role]} {picked(scene, move.information)} {label}{when}."
    return told
