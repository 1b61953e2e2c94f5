"""What kind of game a tree is, as far as words need it: who moves when, who has seen what, and whether it has rounds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from moralfit.errors import WordsError
from moralfit.games import Game, Move, Outcome

#: Plans of more decisions are not asked for as a whole: nobody states them without slips.
MOST_DECISIONS = 8

_ROUND = re.compile(r"round (\d+)\b")


@dataclass(frozen=True)
class Shape:
    """A game as prompts tell it.

    Attributes:
        at_once: All roles choose at the same time, from the same options and in one information set. Otherwise two roles move
            in turn and see everything.
        rounds: How often the stage is played; 1 for most games.
        round_of: For each information set, its round, from 1.
        seen: For each information set, the moves that whoever chooses there has seen, own moves before others' in rounds of
            simultaneous choices (as the first role sees it).
        ends: The ends of one round with its payoffs: the game's outcomes, if it has one round.
    """

    at_once: bool
    rounds: int
    round_of: tuple[int, ...]
    seen: tuple[tuple[Move, ...], ...]
    ends: tuple[Outcome, ...]


def askable(game: Game) -> tuple[int | None, ...]:
    """The questions that may be put about a game: None for the whole plan, a number for one information set.

    A game with one information set has one question. Plans of more than eight decisions are asked about one by one.
    """
    sets = len(game.information_sets)
    if sets == 1:
        return (None,)
    return (None,) * (sets <= MOST_DECISIONS) + tuple(range(sets))


def check_expressible(game: Game) -> None:
    """Raises WordsError unless prompts can tell the game: see :func:`shape_of`."""
    shape_of(game)


def shape_of(game: Game) -> Shape:
    """The shape of a game that words can express.

    It has no moves of nature, and either two roles that move in turn with perfect information, or roles that all choose once,
    at the same time, from the same options. More than two roles must be alike. Both may be played in rounds, which is read off
    names of information sets that begin with `round 1`, `round 2`, ...; each round must have the same moves, and payoffs must
    add up.

    Raises:
        WordsError: It is another game.
    """
    sets = game.information_sets
    numbers = [_ROUND.match(information.name) for information in sets]
    round_of = tuple([int(number[1]) if number else 1 for number in numbers] if all(numbers) else [1] * len(sets))
    rounds = max(round_of)
    roles = tuple(range(len(game.roles)))
    nodes = {outcome.moves[:depth] for outcome in game.outcomes for depth in range(len(outcome.moves))}
    at_once = any(len(information.roles) > 1 for information in sets)
    fits = all(outcome.chance == 1 for outcome in game.outcomes)
    if at_once:
        fits = fits and all(information.roles == roles for information in sets) and (rounds == 1 or len(roles) == 2)
        fits = fits and all(tuple(move.role for move in outcome.moves) == roles * rounds for outcome in game.outcomes)
        fits = fits and _everything_is_seen(game, round_of) and _roles_are_alike(game)
    else:
        fits = fits and len(roles) == 2 and len(nodes) == len(sets)
    if not fits:
        raise WordsError(
            f"{game.name}: words can express games without chance moves in which two roles move in turn with perfect "
            "information, or all choose at the same time from the same options, once or in rounds"
        )
    seen: dict[int, tuple[Move, ...]] = {}
    for outcome in game.outcomes:
        for depth, move in enumerate(outcome.moves):
            before = outcome.moves[:depth]
            if not at_once or move.role == 0:
                seen.setdefault(move.information, before)
    ends = game.outcomes if rounds == 1 else _ends_of_a_round(game, round_of, rounds)
    return Shape(at_once, rounds, round_of, tuple(seen[d] for d in range(len(sets))), ends)


def _everything_is_seen(game: Game, round_of: tuple[int, ...]) -> bool:
    """Whether an information set is what one knows who has seen, from its own side, all earlier rounds and nothing else."""
    known: dict[int, set[tuple[tuple[int, ...], ...]]] = {}
    for outcome in game.outcomes:
        for move in outcome.moves:
            earlier = [m for m in outcome.moves if round_of[m.information] < round_of[move.information]]
            own = tuple(m.action for m in earlier if m.role == move.role)
            others = tuple(m.action for m in earlier if m.role != move.role)
            known.setdefault(move.information, set()).add((own, others))
    stories = [story for found in known.values() for story in found]
    depths = all(
        round_of[move.information] == 1 + place // len(game.roles)
        for outcome in game.outcomes
        for place, move in enumerate(outcome.moves)
    )
    return depths and all(len(found) == 1 for found in known.values()) and len(set(stories)) == len(stories)


def _roles_are_alike(game: Game) -> bool:
    """Whether, among more than two roles, a payoff depends on the own action and on how many others do what."""
    if len(game.roles) == 2:
        return True
    found: dict[tuple[int, tuple[int, ...]], int | Fraction] = {}
    for outcome in game.outcomes:
        actions = [move.action for move in outcome.moves]
        for role, payoff in enumerate(outcome.payoffs):
            others = tuple(sorted(actions[:role] + actions[role + 1 :]))
            if found.setdefault((actions[role], others), payoff) != payoff:
                return False
    return True


def _ends_of_a_round(game: Game, round_of: tuple[int, ...], rounds: int) -> tuple[Outcome, ...]:
    """The ends of round 1, each with what it adds to the payoffs.

    Raises:
        WordsError: Rounds differ in their moves, or payoffs are not the sum over rounds.
    """

    def story(moves: tuple[Move, ...], number: int) -> tuple[tuple[int, str], ...]:
        here = [move for move in moves if round_of[move.information] == number]
        return tuple((move.role, game.information_sets[move.information].actions[move.action]) for move in here)

    told = [(outcome, tuple(story(outcome.moves, number) for number in range(1, rounds + 1))) for outcome in game.outcomes]
    ends: dict[tuple[tuple[int, str], ...], Outcome] = {}
    for outcome, stories in told:
        if len(set(stories)) == 1:
            first = tuple(move for move in outcome.moves if round_of[move.information] == 1)
            ends[stories[0]] = Outcome(first, 1, tuple(_plain(Fraction(payoff) / rounds) for payoff in outcome.payoffs))
    for outcome, stories in told:
        if any(one not in ends for one in stories):
            raise WordsError(f"{game.name}: its rounds differ in their moves, which words cannot express")
        if any(payoff != sum(ends[one].payoffs[role] for one in stories) for role, payoff in enumerate(outcome.payoffs)):
            raise WordsError(f"{game.name}: its payoffs are not the sum over rounds, which words cannot express")
    return tuple(ends.values())


def _plain(value: Fraction) -> int | Fraction:
    return value.numerator if value.denominator == 1 else value
