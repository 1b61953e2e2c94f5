"""The payoff table of a game of more than two who choose at once: by the own choice and what the others do."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from moralfit.errors import WordsError
from moralfit.words._numbers import number
from moralfit.words._scene import Scene

_HEADS = ("Payoff of each in {unit}, by {what}:", "{Unit} for each, by {what}:", "In {unit} for each, by {what}:")
_ROWS = ("{path}: {a}", "{path} gives {a}", "{path} = {a}")
#: Longer tables are not read.
MOST_ROWS = 100


def crowd_table(scene: Scene) -> str:
    """One row for the own choice and what the others choose: in all, or how many of them choose what, or each.

    Raises:
        WordsError: It would have more than 100 rows.
    """
    size = len(scene.labels[0])
    payoffs: dict[tuple[int, tuple[int, ...]], int | Fraction] = {}
    for outcome in scene.game.outcomes:
        own, *rest = (scene.place(0, move.action) for move in outcome.moves)
        payoffs[own, tuple(sorted(rest))] = outcome.payoffs[0]
    listed = scene.listed(0)
    rows: dict[tuple[int, str], int | Fraction] = {}
    totals = _totals(scene, payoffs)
    if totals is not None:
        what = "own amount and the others' amounts in all"
        rows = {(own, f"others {number(total)}"): payoff for (own, total), payoff in totals.items()}
    elif size == 2:
        what = "own choice and the others' choices"
        for (own, others), payoff in sorted(payoffs.items()):
            many = Counter(others)[0]
            rows[own, f"{many} other{'s' * (many != 1)} {listed[0]}"] = payoff
    else:
        what = "own choice and the others' choices"
        for (own, others), payoff in sorted(payoffs.items()):
            rows[own, f"others {', '.join(listed[other] for other in others)}"] = payoff
    if len(rows) > MOST_ROWS:
        raise WordsError(f"{scene.game.name}: its payoff table would have {len(rows)} rows; take fewer players or choices")
    head = _HEADS[scene.phrasing[1]].format(unit=scene.unit, Unit=scene.unit.capitalize(), what=what)
    row = _ROWS[scene.phrasing[1]]
    return "\n".join(
        [head, *(row.format(path=f"{listed[own]}, {others}", a=number(payoff)) for (own, others), payoff in rows.items())]
    )


def _totals(
    scene: Scene, payoffs: dict[tuple[int, tuple[int, ...]], int | Fraction]
) -> dict[tuple[int, Fraction], int | Fraction] | None:
    """Payoffs by own amount and the others' total, as listed; None if choices are no amounts or more than the total counts."""
    if not scene.in_amounts(0):
        return None
    values = [Fraction(label) for label in scene.listed(0)]
    found: dict[tuple[int, Fraction], int | Fraction] = {}
    for (own, others), payoff in payoffs.items():
        if found.setdefault((own, sum((values[other] for other in others), Fraction(0))), payoff) != payoff:
            return None
    sign = 1 if values[0] < values[-1] else -1
    return dict(sorted(found.items(), key=lambda row: (row[0][0], sign * row[0][1])))
