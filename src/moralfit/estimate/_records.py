"""From the records that the evaluator writes to choices."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from moralfit.errors import EstimationError, GameError
from moralfit.estimate._choices import Choices, check_option, named
from moralfit.estimate._plans import answering
from moralfit.estimate._read import _Collector, unknown_game
from moralfit.games import GAMES, Game, Strategy
from moralfit.preferences import SocialPreferences
from moralfit.solve import assumed_belief

#: What others are believed to do where a record states nothing: a preference whose convention is used, or a function.
Assumption: TypeAlias = SocialPreferences | Callable[[Game], Any]
#: What of a record is used.
Use: TypeAlias = Literal["answers", "probabilities"]


def from_records(
    records: Iterable[Mapping[str, Any]] | Path | str,
    *,
    use: Use = "answers",
    assume: Assumption | Mapping[str, Assumption] | None = None,
    games: Mapping[str, Callable[..., Game]] = GAMES,
    clusters: Sequence[str] = (),
) -> Choices:
    """Choices from `records.jsonl` of an evaluation: one record for each decision, those of one prompt being one observation.

    Args:
        records: Fields game, payoffs, belief, decision, action, status, agent and prompt_id; and actions and probabilities
            for `use="probabilities"`. Or the path of a file that holds them as JSON, one on each line.
        use: The answers; or the probabilities of options read from the logits, each decision weighing as one observation. Those
            of later decisions of a plan were read given the agent's own earlier answers; they are used as they are.
        assume: The belief where a prompt states none: a preference whose convention gives it, a function of the game, or one of
            these for each agent. Prompts for which it gives none are left out.
        games: Constructors by name, called with the payoffs as keywords.
        clusters: Fields by which standard errors can be clustered, such as `item`, which tells games apart.

    Returns:
        Choices; what was left out (unanswered prompts, no belief) is counted in `notes`, by agent; an agent of whom
        nothing is left is found only there.

    Raises:
        EstimationError: The file cannot be read or a line of it is damaged, `use` is misspelt, a field is missing, a value
            makes no sense, a prompt states no belief and `assume` gives no rule, or nothing was answered. Records are named by
            their number from 0, lines of a file by theirs from 1.
    """
    check_option("use", use, get_args(Use))
    collector = _Collector()
    prompts: dict[tuple[str, Any], list[tuple[int, Mapping[str, Any]]]] = {}
    needed = ("game", "payoffs", "belief", "decision", "action", "status", "agent")
    for number, record in enumerate(_lines(Path(records)) if isinstance(records, str | Path) else records):
        if missing := [name for name in (*needed, *clusters) if name not in record]:
            raise EstimationError(f"record {number} lacks {named(missing)}")
        prompts.setdefault((record["agent"], record.get("prompt_id", number)), []).append((number, record))
    if not prompts:
        raise EstimationError("there are no records")
    left: Counter[tuple[str, str]] = Counter()
    asked = Counter(str(agent) for agent, _ in prompts)
    built: dict[str, Game] = {}
    assumed: dict[tuple[Game, str], Strategy | None] = {}
    for (agent, _), entries in prompts.items():
        number, first = entries[0]
        answered = all(record["status"] == "answered" and record["action"] is not None for _, record in entries)
        if use == "answers" and not answered:
            left[str(agent), "not answered"] += 1
            continue
        if use == "probabilities" and any(record.get("probabilities") is None for _, record in entries):
            left[str(agent), "without probabilities"] += 1
            continue
        key = f"{first['game']} {first['payoffs']}"
        try:
            if key not in built:
                built[key] = _build(first, games)
            game = built[key]
            if first["belief"] is not None:
                belief: Strategy | None = game.strategy(first["belief"])
            else:
                if (game, agent) not in assumed:
                    assumed[game, agent] = _assumed(game, agent, assume)
                belief = assumed[game, agent]
            if belief is None:
                left[str(agent), "for which no belief is assumed"] += 1
                continue
            situation = collector.situation(game, belief)
            unit = (str(agent), *(str(first[name]) for name in clusters))
            if use == "answers":
                members = answering(game, _answers(entries))
                collector.add(unit, situation, members, 1.0)
            else:
                for place, record in entries:
                    number = place
                    for action, p in _distribution(record):
                        collector.add(unit, situation, answering(game, {record["decision"]: action}), p)
        except (GameError, EstimationError) as error:
            raise EstimationError(f"record {number}: {error}") from None
    notes = [(agent, f"{count} of {asked[agent]} prompts {why}: left out") for (agent, why), count in left.items()]
    if not collector.features:
        raise EstimationError(f"nothing to estimate on: {'; '.join(f'{agent}: {text}' for agent, text in notes)}")
    return collector.finish(clusters, notes)


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """The records of a file. Only newlines end one: replies may hold what `str.splitlines` takes for the end of a line."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise EstimationError(f"{path}: cannot be read ({error.strerror})") from None
    for number, line in enumerate(text.removesuffix(b"\n").split(b"\n") if text else (), 1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise EstimationError(f"{path}: line {number} is damaged, not JSON ({error}); delete it or mend it") from None
        if not isinstance(record, dict):
            raise EstimationError(f"{path}: line {number} is no record but {type(record).__name__}; delete it or mend it")
        yield record


def _build(record: Mapping[str, Any], games: Mapping[str, Callable[..., Game]]) -> Game:
    name = record["game"]
    if name not in games:
        raise unknown_game(name, list(games))
    try:
        return games[name](**record["payoffs"])
    except TypeError as error:
        raise EstimationError(f"payoffs {record['payoffs']} do not make a {name} ({error})") from None


def _answers(entries: Sequence[tuple[int, Mapping[str, Any]]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for _, record in entries:
        if found.setdefault(record["decision"], record["action"]) != record["action"]:
            raise EstimationError(f"prompt {record.get('prompt_id')!r} has two answers at {record['decision']!r}")
    return found


def _assumed(game: Game, agent: str, assume: Assumption | Mapping[str, Assumption] | None) -> Strategy | None:
    rule = assume.get(agent) if isinstance(assume, Mapping) else assume
    if rule is None:
        raise EstimationError(
            f"the prompt states no belief and none is assumed for {agent!r}: pass assume=, "
            "such as the preference it was trained for"
        )
    if isinstance(rule, SocialPreferences):
        return assumed_belief(game, rule)
    found = rule(game)
    return None if found is None else game.strategy(found)


def _distribution(record: Mapping[str, Any]) -> list[tuple[str, float]]:
    actions, shares = record.get("actions") or [], [float(p) for p in record["probabilities"]]
    total = sum(shares)
    if len(actions) != len(shares) or not all(p >= 0 for p in shares) or abs(total - 1) > 1e-4:
        raise EstimationError(f"probabilities {shares} of {actions} are not non-negative with a sum of one")
    return [(action, p / total) for action, p in zip(actions, shares, strict=True)]
