"""What every registered game must satisfy, training and transfer games alike."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import product
from math import prod
from random import Random
from typing import Any

import numpy as np
import pytest

from moralfit.errors import GameError
from moralfit.games import GAMES, TRANSFER_GAMES, Decision, Game, Node, Terminal, make_game, sample_payoffs
from moralfit.games import PayoffGrid as Grid
from moralfit.preferences import HomoEconomicus, HomoMoralis, SocialPreferences
from moralfit.solve import equilibrium_belief, solve, subgame_perfect

NAMES = [*GAMES, *TRANSFER_GAMES]
PREFERENCES = (
    HomoEconomicus(),
    HomoMoralis(0.5),
    HomoMoralis(1),
    SocialPreferences(Fraction(3, 5), Fraction(1, 4), Fraction(1, 3)),
)
SIMULTANEOUS = ("prisoners_dilemma", "stag_hunt", "chicken", "concave_public_good", "linear_public_good")


def sampled(name: str, seed: int = 0) -> Game:
    if name in GAMES:
        return make_game(name, *sample_payoffs(Random(seed), Grid(1, 20)))
    return TRANSFER_GAMES[name].sample(Random(seed))


def behaviour(game: Game, rng: Random) -> tuple[tuple[Fraction, ...], ...]:
    entries = []
    for information in game.information_sets:
        shares = [rng.randint(0, 3) for _ in information.actions]
        shares[rng.randrange(len(shares))] += 1
        entries.append(tuple(Fraction(share, sum(shares)) for share in shares))
    return tuple(entries)


# ---------------------------------------------------------- payoffs, from the actions taken, written without the trees


def _dilemma(p: Mapping[str, Any], a: str, b: str) -> tuple[Any, Any]:
    return {"CC": (p["R"], p["R"]), "CD": (p["S"], p["T"]), "DC": (p["T"], p["S"]), "DD": (p["P"], p["P"])}[a + b]


def _trust(p: Mapping[str, Any], a: str, b: str | None) -> tuple[Any, Any]:
    return (p["P"], p["P"]) if a == "N" else (p["R"], p["R"]) if b == "G" else (p["S"], p["T"])


def _repeated_trust(p: Mapping[str, Any], *acts: str) -> tuple[Any, Any]:
    rest, total = list(acts), [0, 0]
    for _ in range(p["rounds"]):
        first = rest.pop(0)
        points = _trust(p, first, rest.pop(0) if first == "I" else None)
        total = [t + v for t, v in zip(total, points, strict=True)]
    assert not rest
    return total[0], total[1]


def _centipede(p: Mapping[str, Any], *acts: str) -> tuple[Any, Any]:
    passed = acts.count("pass")
    assert all(act == "pass" for act in acts[:-1])
    piles = p["large"] * p["factor"] ** passed, p["small"] * p["factor"] ** passed
    return piles if passed % 2 == 0 else (piles[1], piles[0])


def _concave(p: Mapping[str, Any], *acts: str) -> tuple[Any, ...]:
    x = [Fraction(int(act), p["tokens"]) for act in acts]
    return tuple(p["base"] + p["scale"] * (p["r"] * sum(x) - Fraction(p["r"], 2) * sum(x) ** 2 - own) for own in x)


def _repeated_dilemma(p: Mapping[str, Any], *acts: str) -> tuple[Any, ...]:
    first, second = _dilemma(p, *acts[:2]), _dilemma(p, *acts[2:])
    return first[0] + second[0], first[1] + second[1]


def _two_by_two(first: str) -> Callable[..., tuple[Any, ...]]:
    return lambda p, a, b: _dilemma(p, "C" if a == first else "D", "C" if b == first else "D")


FORMULAS: dict[str, Callable[..., tuple[Any, ...]]] = {
    "sequential_prisoners_dilemma": _dilemma,
    "trust_game": lambda p, a, b=None: _trust(p, a, b),
    "ultimatum_game": lambda p, a, b=None: (p["R"], p["R"]) if a == "E" else (p["T"], p["P"]) if b == "A" else (p["S"], p["S"]),
    "prisoners_dilemma": _dilemma,
    "stag_hunt": _two_by_two("stag"),
    "chicken": _two_by_two("swerve"),
    "dictator_game": lambda p, a: (p["pie"] - int(a), int(a)),
    "linear_public_good": lambda p, *acts: tuple(
        p["kept"] * (p["tokens"] - int(own)) + p["shared"] * sum(map(int, acts)) for own in acts
    ),
    "concave_public_good": _concave,
    "trust_amounts": lambda p, a, b="0": (
        p["endowment"] - int(a) + int(b),
        p["endowment"] + p["factor"] * int(a) - int(b),
    ),
    "ultimatum_amounts": lambda p, a, b: (p["pie"] - int(a), int(a)) if b == "accept" else (0, 0),
    "gift_exchange": lambda p, w, e: (
        p["endowment"] + p["value"] * int(e) - int(w),
        p["endowment"] + int(w) - p["cost"] * sum(range(int(e))),
    ),
    "centipede": _centipede,
    "repeated_trust_game": _repeated_trust,
    "repeated_prisoners_dilemma": _repeated_dilemma,
}

PLANS: dict[str, Callable[[Mapping[str, Any]], int]] = {
    "sequential_prisoners_dilemma": lambda p: 8,
    "trust_game": lambda p: 4,
    "ultimatum_game": lambda p: 4,
    "prisoners_dilemma": lambda p: 2,
    "stag_hunt": lambda p: 2,
    "chicken": lambda p: 2,
    "dictator_game": lambda p: p["pie"] // p["step"] + 1,
    "linear_public_good": lambda p: p["tokens"] + 1,
    "concave_public_good": lambda p: p["top"] + 1,
    "trust_amounts": lambda p: (p["endowment"] // p["step"] + 1) * p["returns"] ** (p["endowment"] // p["step"]),
    "ultimatum_amounts": lambda p: p["offers"] * 2 ** p["offers"],
    "gift_exchange": lambda p: p["wages"] * p["efforts"] ** p["wages"],
    "centipede": lambda p: 2 ** p["moves"],
    "repeated_trust_game": lambda p: 256,
    "repeated_prisoners_dilemma": lambda p: 32,
}


@pytest.mark.parametrize("name", NAMES)
def test_payoffs_and_plans(name: str) -> None:
    for seed in range(5):
        game = sampled(name, seed)
        for outcome in game.outcomes:
            acts = [game.information_sets[move.information].actions[move.action] for move in outcome.moves]
            assert outcome.payoffs == FORMULAS[name](game.parameters, *acts)
        plans = game.plans()
        assert len(plans) == len(set(plans)) == PLANS[name](game.parameters)
        assert len(plans) == prod(len(information.actions) for information in game.information_sets)


@pytest.mark.parametrize("name", NAMES)
def test_expectations_against_enumeration_of_roles_and_plans(name: str) -> None:
    """pi(x, y): for each role of one's own and each way that all play, the points at the end of that walk through the tree."""
    rng = Random(3)
    game = sampled(name, 1)
    x, y = behaviour(game, rng), behaviour(game, rng)
    index = {information.name: i for i, information in enumerate(game.information_sets)}

    def walk(node: Node, own: int) -> tuple[Fraction, Fraction, Fraction]:
        if isinstance(node, Terminal):
            gaps = [Fraction(p) - Fraction(node.payoffs[own]) for r, p in enumerate(node.payoffs) if r != own]
            behind, ahead = (sum((max(Fraction(0), sign * g) for g in gaps), Fraction(0)) / len(gaps) for sign in (1, -1))
            return Fraction(node.payoffs[own]), behind, ahead
        assert isinstance(node, Decision)
        entry = (x if node.role == own else y)[index[node.information]]
        below = [walk(child, own) for child in node.children]
        a, b, c = (sum((p * v[k] for p, v in zip(entry, below, strict=True)), Fraction(0)) for k in range(3))
        return a, b, c

    walks = [walk(game.root, own) for own in range(len(game.roles))]
    mean = [sum(values) / len(game.roles) for values in zip(*walks, strict=True)]
    assert tuple(game.expectation(x, y)) == tuple(mean)
    assert game.payoff(x, y) == mean[0]


@pytest.mark.parametrize("name", [*SIMULTANEOUS, "repeated_prisoners_dilemma"])
def test_roles_of_simultaneous_games_are_alike(name: str) -> None:
    """Swapping who plays what swaps payoffs; all roles have the same decisions."""
    game = sampled(name, 2)
    roles = range(len(game.roles))
    assert all(information.roles == tuple(roles) for information in game.information_sets)
    ends = {tuple((m.role, m.information, m.action) for m in o.moves): o.payoffs for o in game.outcomes}
    if name == "repeated_prisoners_dilemma":
        by_acts = {tuple(m.action for m in o.moves): o.payoffs for o in game.outcomes}
        assert all(by_acts[b, a, d, c] == pays[::-1] for (a, b, c, d), pays in by_acts.items())
        return
    by_role = {tuple(action for _, _, action in moves): pays for moves, pays in ends.items()}
    for acts, pays in by_role.items():
        assert by_role[acts[1:] + acts[:1]] == pays[1:] + pays[:1]


# ------------------------------------------------------------------------------------------- what must not matter


def rebuilt(
    node: Node, payoffs: Callable[[tuple[Any, ...]], tuple[Any, ...]], name_of: Callable[[str, str], str], turn: bool
) -> Node:
    """The tree with other payoffs, other names of actions, and the actions in reverse order."""
    if isinstance(node, Terminal):
        return Terminal(payoffs(node.payoffs))
    assert isinstance(node, Decision)
    step = -1 if turn else 1
    children = tuple(rebuilt(child, payoffs, name_of, turn) for child in node.children)
    actions = tuple(name_of(node.information, action) for action in node.actions)
    return Decision(node.role, node.information, actions[::step], children[::step])


def same_names(_: str, action: str) -> str:
    return action


def answers(game: Game, preference: SocialPreferences, belief: Any) -> list[dict[str, Any]] | None:
    """For each optimal strategy, and then for the supports, what it does at each decision by name; None without a belief."""
    try:
        found = solve(game, preference, belief)
    except GameError as problem:
        if "state a belief" not in str(problem):
            raise
        return None
    sets = game.information_sets
    strategies = [
        {i.name: {a: p for a, p in zip(i.actions, entry, strict=True) if p} for i, entry in zip(sets, strategy, strict=True)}
        for strategy in found.strategies
    ]
    strategies.sort(key=lambda s: sorted((k, sorted(v.items())) for k, v in s.items()))
    return [*strategies, {i.name: set(actions) for i, actions in zip(sets, found.supports, strict=True)}]


@pytest.mark.parametrize("preference", PREFERENCES, ids=lambda p: p.name)
@pytest.mark.parametrize("name", NAMES)
def test_relabelling_and_reordering_actions_permutes_the_answers(name: str, preference: SocialPreferences) -> None:
    game = sampled(name, 3)
    new = {(i.name, a): f"option {number}" for i in game.information_sets for number, a in enumerate(i.actions)}
    old = {(i, option): a for (i, a), option in new.items()}
    other = Game("other", rebuilt(game.root, lambda p: p, lambda i, a: new[i, a], turn=True), game.roles)
    belief = behaviour(game, Random(5))
    named = {i.name: dict(zip(i.actions, entry, strict=True)) for i, entry in zip(game.information_sets, belief, strict=True)}
    translated = {i: {new[i, a]: p for a, p in entry.items()} for i, entry in named.items()}
    for ours, theirs in ((named, translated), (None, None)):
        before, after = answers(game, preference, ours), answers(other, preference, theirs)
        if before is None or after is None:
            assert before is after is None
            continue
        back = [
            {
                i: {old[i, a]: p for a, p in entry.items()} if isinstance(entry, dict) else {old[i, a] for a in entry}
                for i, entry in s.items()
            }
            for s in after
        ]
        assert sorted(map(repr_of, back)) == sorted(map(repr_of, before))


def repr_of(answer: dict[str, Any]) -> str:
    return str(sorted((k, sorted(v.items()) if isinstance(v, dict) else sorted(v)) for k, v in answer.items()))


@pytest.mark.parametrize("preference", PREFERENCES, ids=lambda p: p.name)
@pytest.mark.parametrize("name", NAMES)
def test_rescaled_and_shifted_payoffs_leave_optima_alone(name: str, preference: SocialPreferences) -> None:
    """Gaps between players scale with payoffs and do not see a common shift, so that alpha and beta keep their weight."""
    game = sampled(name, 4)
    scaled = Game(
        "scaled", rebuilt(game.root, lambda p: tuple(Fraction(5, 3) * v + 7 for v in p), same_names, False), game.roles
    )
    for belief in (behaviour(game, Random(6)), None):
        assert answers(game, preference, belief) == answers(scaled, preference, belief)
    stated = solve(game, preference, belief := behaviour(game, Random(6)))
    assert solve(scaled, preference, belief).utility == Fraction(5, 3) * stated.utility + 7


# ------------------------------------------------------------------------------------------------- the optimum


@pytest.mark.parametrize("preference", PREFERENCES, ids=lambda p: p.name)
@pytest.mark.parametrize("name", NAMES)
def test_no_plan_and_no_random_strategy_beats_the_optimum(name: str, preference: SocialPreferences) -> None:
    rng = Random(7)
    for seed in range(2):
        game = sampled(name, seed)
        belief = behaviour(game, rng)
        found = solve(game, preference, belief)
        plans = game.plans()
        for x in [*rng.sample(plans, min(40, len(plans))), *(behaviour(game, rng) for _ in range(20))]:
            assert preference.utility(game, x, belief) <= found.utility
        assert all(preference.utility(game, x, belief) == found.utility for x in found.strategies)


@pytest.mark.parametrize("kappa", [Fraction(1, 4), 1])
@pytest.mark.parametrize("name", SIMULTANEOUS)
def test_universal_optimum_against_a_fine_grid_of_mixtures(name: str, kappa: Fraction) -> None:
    """Dense tables of payoffs and einsum, over all mixtures in steps of 1/n."""
    for seed in range(3):
        game = sampled(name, seed)
        size, players = len(game.information_sets[0].actions), len(game.roles)
        points = np.zeros((size,) * players)
        for acts in product(range(size), repeat=players):
            names = [game.information_sets[0].actions[a] for a in acts]
            points[acts] = float(FORMULAS[name](game.parameters, *names)[0])
        n = {2: 400, 3: 60}.get(size, 16 if size == 4 else 12)
        grid = np.array([g for g in product(range(n + 1), repeat=size) if sum(g) == n]) / n
        belief = np.array([float(p) for p in behaviour(game, Random(seed))[0]])
        letters = "abcdef"[:players]
        everyone = np.einsum(f"{letters},{','.join('n' + c for c in letters)}->n", points, *[grid] * players)
        actual = np.einsum(f"{letters},n{letters[0]},{','.join(letters[1:])}->n", points, grid, *[belief] * (players - 1))
        best = ((1 - float(kappa)) * actual + float(kappa) * everyone).max()
        utility = float(solve(game, HomoMoralis(kappa), behaviour(game, Random(seed))).utility)
        spread = points.max() - points.min()
        assert best - 1e-9 <= utility <= best + players**2 * spread * (size / n) ** 2


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SIMULTANEOUS and name != "repeated_prisoners_dilemma"])
def test_convention_for_homo_economicus_is_subgame_perfect(name: str) -> None:
    for seed in range(5):
        game = sampled(name, seed)
        belief = equilibrium_belief(game, HomoEconomicus())
        assert belief is None or belief in subgame_perfect(game)
        if len(subgame_perfect(game)) == 1:
            assert (belief,) == subgame_perfect(game)
