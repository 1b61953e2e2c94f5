"""kappa = 0 against classical solvers that share no code with ours: nashpy for matrices, Gambit for trees."""

import io
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest

from moralfit.games import GAMES, TRANSFER_GAMES, Decision, Game, Node, Terminal, make_game
from moralfit.preferences import HomoEconomicus
from moralfit.solve import assumed_belief, equilibrium_strategies, subgame_perfect

MATRICES = ("prisoners_dilemma", "stag_hunt", "chicken", "concave_public_good")
TREES = (
    "dictator_game",
    "trust_amounts",
    "ultimatum_amounts",
    "gift_exchange",
    "centipede",
    "repeated_trust_game",
)


def matrix(game: Game) -> list[list[Any]]:
    size = len(game.information_sets[0].actions)
    rows: list[list[Any]] = [[None] * size for _ in range(size)]
    for outcome in game.outcomes:
        own, other = (move.action for move in outcome.moves)
        rows[own][other] = outcome.payoffs[0]
    return rows


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("seed", range(6))
def test_symmetric_equilibria_are_nashpys(name: str, seed: int) -> None:
    nashpy = pytest.importorskip("nashpy")
    game = TRANSFER_GAMES[name].sample(Random(seed))
    payoffs = np.array(matrix(game), dtype=float)
    both = nashpy.Game(payoffs, payoffs.T).support_enumeration(non_degenerate=False)
    expected = {tuple(np.round(x, 9)) for x, y in both if np.allclose(x, y)}
    found = {tuple(np.round([float(p) for p in entry], 9)) for (entry,) in equilibrium_strategies(game, HomoEconomicus())}
    # Nashpy keeps equilibria in weakly dominated actions, which trembles rule out.
    weak = {x for x in expected - found if x.count(1) == 1 and _weakly_dominated(payoffs, x.index(1))}
    assert found == expected - weak
    belief = assumed_belief(game, HomoEconomicus())
    assert belief is not None
    best = max(expected - weak, key=lambda x: float(np.array(x) @ payoffs @ np.array(x)))
    assert [float(p) for p in belief[0]] == pytest.approx(best)


def _weakly_dominated(payoffs: Any, action: int) -> bool:
    return any(
        (payoffs[other] >= payoffs[action]).all() and (payoffs[other] > payoffs[action]).any() for other in range(len(payoffs))
    )


def gambit_file(node: Node, roles: tuple[str, ...]) -> str:
    """The subgame that starts here, in Gambit's text format; every decision is an information set of its own."""
    lines = [f'EFG 2 R "subgame" {{ {" ".join(f"{chr(34)}{role}{chr(34)}" for role in roles)} }} ""']
    counts = [0] * len(roles)
    ends = 0

    def write(here: Node) -> None:
        nonlocal ends
        if isinstance(here, Terminal):
            ends += 1
            lines.append(f't "" {ends} "" {{ {", ".join(map(str, here.payoffs))} }}')
        else:
            assert isinstance(here, Decision)
            counts[here.role] += 1
            actions = " ".join(f'"{action}"' for action in here.actions)
            lines.append(f'p "" {here.role + 1} {counts[here.role]} "{here.information}" {{ {actions} }} 0')
            for child in here.children:
                write(child)

    write(node)
    return "\n".join(lines) + "\n"


def decisions(node: Node) -> list[Decision]:
    if isinstance(node, Terminal):
        return []
    assert isinstance(node, Decision)
    return [node, *(decision for child in node.children for decision in decisions(child))]


@pytest.mark.parametrize("name", [*GAMES, *TREES])
def test_subgame_perfect_plans_are_gambits(name: str) -> None:
    """A plan is subgame perfect iff what it says is an equilibrium of every subgame."""
    pygambit = pytest.importorskip("pygambit")
    game = make_game(name, 12, 7, 5, 2) if name in GAMES else TRANSFER_GAMES[name].sample(Random(4))
    plans = [dict(zip((i.name for i in game.information_sets), plan, strict=True)) for plan in game.plans()]
    for root in decisions(game.root):
        subgame = decisions(root)
        solved = pygambit.nash.enumpure_agent_solve(pygambit.read_efg(io.StringIO(gambit_file(root, game.roles))))
        allowed = set()
        for profile in solved.equilibria:
            chosen = {}
            for role, player in enumerate(game.roles):
                mine = [decision for decision in subgame if decision.role == role]
                for decision, (_, shares) in zip(mine, profile[player] if mine else (), strict=True):
                    (chosen[decision.information],) = [
                        action for action in decision.actions if Fraction(str(shares[action])) == 1
                    ]
            allowed.add(tuple(chosen[decision.information] for decision in subgame))
        plans = [plan for plan in plans if tuple(plan[decision.information] for decision in subgame) in allowed]
    assert {tuple(plan.values()) for plan in plans} == set(subgame_perfect(game))
    assert plans
