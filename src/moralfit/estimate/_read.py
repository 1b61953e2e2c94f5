"""From tables and from the evaluator's records to choices; every complaint names the rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from moralfit.errors import EstimationError, GameError
from moralfit.estimate._choices import Array, Choices, Note, check_option, collect, named
from moralfit.estimate._plans import PREFERENCE_FEATURES, answering, belief_text, game_key, plan_features, plan_number
from moralfit.games import GAMES, Game, Strategy
from moralfit.games._catalogue import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

Contradictions: TypeAlias = Literal["error", "drop"]

_PAYOFFS = ("T", "R", "P", "S")


class _Read(NamedTuple):
    """A row understood: `members` are the plans that fit it, `decision` what it is about (empty: all)."""

    name: Any
    row: Mapping[Any, Any]
    agent: str
    situation: int
    members: tuple[int, ...]
    weight: float
    decision: str


class _Collector:
    """Cells and weights as rows come in."""

    def __init__(self) -> None:
        self.features: list[Array] = []
        self.labels: list[str] = []
        self.games: list[str] = []
        self._situations: dict[tuple[Game, Strategy], int] = {}
        self._cells: dict[tuple[int, tuple[int, ...]], int] = {}
        self._units: dict[tuple[str, ...], int] = {}
        self._entries: list[tuple[int, int, float]] = []

    def situation(self, game: Game, belief: Strategy) -> int:
        key = (game, belief)
        if key not in self._situations:
            self._situations[key] = len(self.features)
            self.features.append(plan_features(game, belief))
            self.labels.append(f"{game_key(game)} believing {belief_text(game, belief)}")
            self.games.append(game.name)
        return self._situations[key]

    def add(self, unit: tuple[str, ...], situation: int, members: tuple[int, ...], weight: float) -> None:
        cell = self._cells.setdefault((situation, members), len(self._cells))
        self._entries.append((self._units.setdefault(unit, len(self._units)), cell, weight))

    def finish(self, clusters: Sequence[str], notes: Sequence[Note]) -> Choices:
        counts = np.zeros((len(self._units), len(self._cells)))
        if self._entries:
            units, cells, weights = (np.array(part) for part in zip(*self._entries, strict=True))
            np.add.at(counts, (units, cells), weights)
        units_list = list(self._units)
        return collect(
            PREFERENCE_FEATURES,
            self.features,
            list(self._cells),
            counts,
            [unit[0] for unit in units_list],
            self.labels,
            self.games,
            {name: tuple(unit[k + 1] for unit in units_list) for k, name in enumerate(clusters)},
            notes,
        )


class _Problems:
    """Errors of many rows as one message a kind."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Any]] = {}

    def add(self, what: str, row: Any) -> None:
        self._rows.setdefault(what, []).append(row)

    def complain(self) -> None:
        if self._rows:
            said = [f"{what} (row{'s' * (len(rows) > 1)} {named(rows)})" for what, rows in self._rows.items()]
            more = f"; and {len(said) - 5} more kinds of problem" if len(said) > 5 else ""
            raise EstimationError("; ".join(said[:5]) + more)


def _blank(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value) or (isinstance(value, str) and not value.strip())


def _belief(value: Any, otherwise: Any) -> Any:
    """A belief as written in a table: JSON, a number, or a plan such as `CCD`.

    Raises:
        EstimationError: There is none.
    """
    if _blank(value):
        if otherwise is None:
            raise EstimationError("no belief is given, neither in the column belief nor as the argument")
        return otherwise
    if not isinstance(value, str):
        return value.item() if isinstance(value, np.generic) else value
    text = value.strip()
    try:
        if text[0] in "[{":
            return json.loads(text)
        return float(text) if "." in text or text in ("0", "1") else text
    except ValueError:
        raise EstimationError(f"belief {text!r} is neither JSON nor a number nor a plan") from None


def read_choices(
    table: pd.DataFrame | Path | str,
    games: Mapping[str, Game] | None = None,
    *,
    belief: Any = None,
    clusters: Sequence[str] = (),
    contradictions: Contradictions = "error",
) -> Choices:
    """Choices from a tidy table, a row for each choice, count or probability.

    Columns:
        agent: Whose choice. game: A key of `games`, or a registered game, whose payoffs then stand in T, R, P and S (points).
        plan: The complete plan, `CCD`, `C,C,D` or a list; or, where it is blank or absent, decision (name of the information
            set) and action: a single decision says that some plan with this answer was chosen.
        belief (optional): What others are believed to do, as :meth:`Game.strategy` takes it: a number, a plan, or JSON; where
            blank, the argument `belief`. count (optional): How often, one by default. probability (optional): Of this choice,
            such as read from a model; those of one agent, situation and decision sum to one and weigh as `count` observations.
        observation (optional): Rows of one agent with the same value are one observation, answers to several decisions.

    Args:
        table: A data frame, or the path of a CSV file. Rows are named by the frame's index, from 0 after a CSV's header.
        clusters: Further columns by which standard errors can be clustered.
        contradictions: Whether observations that contradict themselves are an error, or are dropped with a note.

    Raises:
        EstimationError: A column is missing, values are blank, unknown or contradict each other, probabilities do not sum to
            one, a group is empty, or there is a single row; rows are named.
    """
    import pandas as pd

    check_option("contradictions", contradictions, get_args(Contradictions))
    if isinstance(table, pd.DataFrame):
        frame = table
    else:
        try:
            frame = pd.read_csv(table, dtype=dict.fromkeys(("agent", "game", "plan", "decision", "action", "belief"), str))
        except (OSError, ValueError) as error:
            raise EstimationError(f"{table}: cannot be read as CSV ({error})") from None
    by_plan = "plan" in frame.columns
    required = ["agent", "game", *([] if by_plan else ["decision", "action"]), *clusters]
    if missing := [name for name in required if name not in frame.columns]:
        hint = " (a choice needs plan, or decision and action)" if "decision" in missing or "action" in missing else ""
        raise EstimationError(f"missing columns: {named(missing)}{hint}; there are {named(list(frame.columns), 12)}")
    if frame.empty:
        raise EstimationError("the table has no rows")
    rows = frame.to_dict("records")
    names = list(frame.index)
    problems = _Problems()
    for name, row in zip(names, rows, strict=True):
        for column in ("agent", "game", *clusters):
            if _blank(row[column]):
                problems.add(f"{column} is empty", name)
        for column in ("count", "probability"):
            if column in row and not _is_weight(row[column], column):
                limit = "a number of at least 0" if column == "count" else "a number between 0 and 1"
                problems.add(f"{column} is not {limit}", name)
    problems.complain()

    # Everything is looked up by what the row says, so that a game and its features are worked out once.
    built: dict[tuple[Any, ...], Game] = {}
    faced: dict[tuple[Any, ...], int] = {}
    answers: dict[tuple[Any, ...], tuple[int, ...]] = {}
    collector = _Collector()
    read: list[_Read] = []
    for name, row in zip(names, rows, strict=True):
        key = (row["game"], *(row.get(letter) for letter in _PAYOFFS))
        said, (choice, decision) = row.get("belief"), _choice(row)
        try:
            if key not in built:
                built[key] = _game(row, games or {})
            where = (*key, repr(said))
            if where not in faced:
                faced[where] = collector.situation(built[key], built[key].strategy(_belief(said, belief)))
            if (*key, choice) not in answers:
                answers[*key, choice] = _members(built[key], row)
        except (EstimationError, GameError) as error:
            problems.add(str(error), name)
            continue
        read.append(_Read(name, row, str(row["agent"]), faced[where], answers[*key, choice], _weight(row), decision))
    problems.complain()
    if "probability" in frame.columns:
        _check_probabilities(read, collector.labels)
    merged, notes = _merge(read, "observation" in frame.columns, contradictions)
    if len(merged) == 1 and merged[0][3] <= 1:
        raise EstimationError(f"a single choice (row {names[0]}) says nothing about a preference")
    for row, situation, members, weight in merged:
        collector.add((str(row["agent"]), *(str(row[name]) for name in clusters)), situation, members, weight)
    choices = collector.finish(clusters, notes)
    return _without_empty_groups(choices, [(str(row["agent"]), name) for name, row in zip(names, rows, strict=True)])


def _is_weight(value: Any, column: str) -> bool:
    if isinstance(value, str):
        return False
    try:
        number = float(value)
    except (TypeError, ValueError):
        return False
    return isfinite(number) and 0 <= number <= (1 + 1e-9 if column == "probability" else float("inf"))


def _weight(row: Mapping[Any, Any]) -> float:
    return float(row.get("count", 1)) * float(row.get("probability", 1))


def unknown_game(name: Any, known: Sequence[str]) -> EstimationError:
    """What to raise for a game that is not known, with the nearest one that is."""
    return EstimationError(f"unknown game {name!r}; {did_you_mean(name, known)}Known games: {named(known, 12)}")


def _game(row: Mapping[Any, Any], games: Mapping[str, Game]) -> Game:
    name = row["game"]
    if name in games:
        return games[name]
    if name not in GAMES:
        raise unknown_game(name, [*games, *GAMES])
    lacking = [letter for letter in _PAYOFFS if _blank(row.get(letter))]
    if lacking:
        raise EstimationError(f"{name} needs payoffs in the columns T, R, P and S; lacking {', '.join(lacking)}")
    values = [row[letter].item() if isinstance(row[letter], np.generic) else row[letter] for letter in _PAYOFFS]
    return GAMES[name](*values)


def _choice(row: Mapping[Any, Any]) -> tuple[str, str]:
    """A key for what the row says was done, and the decision it is about (all of them: empty)."""
    plan, decision, action = row.get("plan"), row.get("decision"), row.get("action")
    said = repr((None if _blank(plan) else plan, None if _blank(decision) else decision, None if _blank(action) else action))
    return said, "" if not _blank(plan) or _blank(decision) else str(decision)


def _members(game: Game, row: Mapping[Any, Any]) -> tuple[int, ...]:
    plan, decision, action = row.get("plan"), row.get("decision"), row.get("action")
    by_decision = not _blank(decision) or not _blank(action)
    if _blank(plan) and (_blank(decision) or _blank(action)):
        raise EstimationError("no choice is given: fill in plan, or decision and action")
    members = None if _blank(plan) else (plan_number(game, plan),)
    if by_decision and not (_blank(decision) or _blank(action)):
        answer = answering(game, {str(decision): str(action)})
        if members is not None and members[0] not in answer:
            raise EstimationError("plan and decision contradict each other")
        return members or answer
    return members or ()


def _check_probabilities(read: Sequence[_Read], labels: Sequence[str]) -> None:
    """Probabilities of one agent, situation and decision sum to one, and no choice occurs twice."""
    groups: dict[tuple[Any, ...], list[tuple[Any, float, float, tuple[int, ...]]]] = {}
    for name, row, agent, situation, members, _, decision in read:
        key = (agent, situation, decision, row.get("observation"))
        groups.setdefault(key, []).append((name, float(row["probability"]), float(row.get("count", 1)), members))
    problems = []
    for (agent, situation, decision, _), entries in groups.items():
        rows = f"rows {named([name for name, *_ in entries])}"
        where = f"{agent}, {labels[situation]}{f', {decision}' if decision else ''}"
        total = sum(p for _, p, _, _ in entries)
        if len({members for *_, members in entries}) < len(entries):
            problems.append(f"{rows} contradict each other, giving one choice two probabilities ({where})")
        elif abs(total - 1) > 1e-4:
            problems.append(f"probabilities of {rows} sum to {total:.6g}, not to one ({where})")
        elif len({count for _, _, count, _ in entries}) > 1:
            problems.append(f"{rows} contradict each other, weighing one distribution differently ({where})")
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise EstimationError("; ".join(problems[:5]) + more)


def _merge(
    read: Sequence[_Read], observations: bool, contradictions: Contradictions
) -> tuple[list[tuple[Any, int, tuple[int, ...], float]], list[Note]]:
    """Rows of one observation become one cell, of the plans that fit them all."""
    if not observations:
        return [(row, situation, members, weight) for _, row, _, situation, members, weight, _ in read], []
    groups: dict[tuple[str, Any], list[tuple[Any, Any, int, tuple[int, ...], float]]] = {}
    merged: list[tuple[Any, int, tuple[int, ...], float]] = []
    for number, (name, row, agent, situation, members, weight, _) in enumerate(read):
        # A row without an observation, or one of a distribution, stands alone.
        alone = _blank(row.get("observation")) or "probability" in row
        key = (agent, ("", number) if alone else row["observation"])
        groups.setdefault(key, []).append((name, row, situation, members, weight))
    dropped: list[Any] = []
    for entries in groups.values():
        common = set(entries[0][3]).intersection(*(members for _, _, _, members, _ in entries))
        if not common or len({(situation, weight) for _, _, situation, _, weight in entries}) > 1:
            dropped.append(" and ".join(str(name) for name, *_ in entries))
        else:
            _, row, situation, _, weight = entries[0]
            merged.append((row, situation, tuple(sorted(common)), weight))
    if dropped and (contradictions == "error" or not merged):
        raise EstimationError(
            f"contradictory rows of one observation: {named(dropped)} (one observation has one situation, one count and at "
            "most one answer to each decision); mend them, or pass contradictions='drop'"
        )
    return merged, [(None, f"{len(dropped)} contradictory observations dropped (rows {named(dropped)})")] if dropped else []


def _without_empty_groups(choices: Choices, rows: Sequence[tuple[str, Any]]) -> Choices:
    total = dict.fromkeys(choices.agents, 0.0)
    for agent, weight in zip(choices.agents, choices.counts.sum(axis=1), strict=True):
        total[agent] += float(weight)
    empty = [agent for agent, _ in dict(rows).items() if total.get(agent, 0.0) == 0]
    if empty:
        found = [name for agent, name in rows if agent in empty]
        raise EstimationError(f"no observations of {named(empty)}: all counts are zero (rows {named(found)})")
    return choices
