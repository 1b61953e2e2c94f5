"""The solver against the stated check values, and against brute force written differently on random trees.

The oracle walks the nodes with strategies as dictionaries of fractions, and trembles with one tiny eps; the solver works on
outcomes in integers.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.polynomial import Polynomial

from moralfit.errors import GameError
from moralfit.games import (
    GAMES,
    Chance,
    Decision,
    Game,
    Node,
    PayoffGrid,
    Plan,
    Strategy,
    Terminal,
    make_game,
    sample_payoffs,
    sequential_prisoners_dilemma,
    trust_game,
    ultimatum_game,
)
from moralfit.preferences import HomoEconomicus, HomoMoralis, SocialPreferences
from moralfit.solve import (
    equilibrium_belief,
    optimal_plans,
    optimal_strategies,
    subgame_perfect,
    symmetric_equilibria,
)

KAPPAS = (0, 0.25, 0.5, 0.75, 1)
TINY = Fraction(1, 10**30)
examples = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def digits(game: Game, plan: Plan) -> str:
    """1 where the plan takes the first action."""
    return "".join(str(int(action == i.actions[0])) for action, i in zip(plan, game.information_sets, strict=True))


def solved(game: Game, preference: SocialPreferences, belief: Any = 0.5) -> set[str]:
    return {digits(game, plan) for plan in optimal_plans(game, preference, belief).plans}


# ---------------------------------------------------------------------------------------------- stated values


@pytest.mark.parametrize(
    ("game", "expected"),
    [
        (sequential_prisoners_dilemma(90, 45, 15, 10), ["000", "001", "001", "001", "101"]),
        (sequential_prisoners_dilemma(80, 65, 25, 20), ["000", "001", "110", "110", "111"]),
        (trust_game(80, 60, 30, 20), ["10", "10", "11", "11", "11"]),
        (trust_game(80, 50, 30, 20), ["10", "10", "10", "10", "10 11"]),
        (ultimatum_game(60, 50, 40, 10), ["11", "11", "11", "11", "11"]),
    ],
    ids=lambda value: f"{value.name} {list(value.parameters.values())}" if isinstance(value, Game) else "",
)
def test_check_values_with_uniform_belief(game: Game, expected: list[str]) -> None:
    assert [solved(game, HomoMoralis(kappa)) for kappa in KAPPAS] == [set(plans.split()) for plans in expected]


def test_off_path_ties_at_kappa_one_are_found_and_broken() -> None:
    game = sequential_prisoners_dilemma(80, 65, 25, 20)
    solution = optimal_plans(game, HomoMoralis(1), 0.5)
    assert [digits(game, plan) for plan in solution.tied] == ["111", "110"]
    assert [digits(game, plan) for plan in solution.plans] == ["111"]
    assert solution.unique
    assert solution.utility == 65
    assert solution.belief == ((Fraction(1, 2), Fraction(1, 2)),) * 3
    # With T + S < 2P, punishing a tremble pays.
    assert solved(sequential_prisoners_dilemma(80, 65, 60, 20), HomoMoralis(1)) == {"110"}


def test_taking_turns_ties_until_hands_tremble() -> None:
    """T + S > 2R: who starts does not matter, but a failure to defect costs T + S - 2R, one to give in T + S - 2P."""
    game = sequential_prisoners_dilemma(90, 45, 15, 10)
    solution = optimal_plans(game, HomoMoralis(1), 0.5)
    assert {digits(game, plan) for plan in solution.tied} == {"101", "100", "001", "011"}
    assert solution.utility == 50
    assert not any(optimal_plans(game, HomoMoralis(kappa), 0.5).tied[1:] for kappa in (0.25, 0.5, 0.75))


def test_a_tie_that_survives_is_reported() -> None:
    game = trust_game(80, 50, 30, 20)
    solution = optimal_plans(game, HomoMoralis(1), 0.5)
    assert not solution.unique
    assert solution.actions(0) == ("I",)
    assert solution.actions(1) == ("G", "K")
    assert equilibrium_belief(game, HomoMoralis(1)) is None


def test_a_belief_in_a_plan_leaves_the_other_way_to_trembles() -> None:
    """Nobody invests: giving back is never asked for, but a trembling hand may ask."""
    game = trust_game(80, 60, 30, 20)
    solution = optimal_plans(game, HomoEconomicus(), ("N", "K"))
    assert {digits(game, plan) for plan in solution.tied} == {"00", "01"}
    assert solution.plans == (("N", "K"),)


def test_each_action_trembles_alike() -> None:
    """Both ways are worth 2. Left, two trembles cost 2 and win 1, at eps each; right, the only tremble costs nothing."""
    left = Decision(1, "left", ("a", "b", "c"), (Terminal((2, 0)), Terminal((0, 0)), Terminal((3, 0))))
    right = Decision(1, "right", ("a", "b"), (Terminal((2, 0)), Terminal((2, 0))))
    game = Game("hands", Decision(0, "first", ("left", "right"), (left, right)))
    solution = optimal_plans(game, HomoEconomicus(), ("left", "a", "a"))
    assert {plan[0] for plan in solution.tied} == {"left", "right"}
    assert solution.actions(0) == ("right",)


def test_ultimatum_conventions_are_one_game() -> None:
    ours, theirs = ultimatum_game(60, 50, 40, 10), ultimatum_game(60, 50, 10, 40, convention="TRSP")
    for preference in (HomoEconomicus(), HomoMoralis(0.5), SocialPreferences(2, 0.5, 0.25)):
        assert optimal_plans(ours, preference, 0.3) == optimal_plans(theirs, preference, 0.3)


@pytest.mark.parametrize(("alpha", "answers"), [(1.4, {"A"}), (1.5, {"A", "N"}), (1.6, {"N"})])
def test_an_envious_responder_rejects(alpha: float, answers: set[str]) -> None:
    """Accepting pays P - alpha (T - P), rejecting S: indifferent at alpha = (P - S) / (T - P) = 30 / 20."""
    game = ultimatum_game(60, 50, 40, 10)
    assert {plan[1] for plan in subgame_perfect(game, SocialPreferences(alpha=alpha))} == answers
    assert set(optimal_plans(game, SocialPreferences(alpha=alpha), ("U", "A")).actions(1)) == answers


@pytest.mark.parametrize("kappa", [0.1, Fraction(1, 10), 1 - 0.9, 0.3 - 0.2, np.float32(0.1)], ids=repr)
def test_a_tie_at_a_decimal_kappa_is_exact(kappa: Any) -> None:
    """After I: (1 - kappa) (T - R) / 4 against kappa (2R - T - S) / 2 is .9 * 2 / 4 against .1 * 9 / 2."""
    game = trust_game(22, 20, 10, 9)
    assert {digits(game, plan) for plan in optimal_plans(game, HomoMoralis(kappa), 0.5).tied} == {"10", "11"}
    assert solved(game, HomoMoralis(Fraction(99, 1000))) == {"10"}
    assert solved(game, HomoMoralis(Fraction(101, 1000))) == {"11"}


def test_subgame_perfect_play_of_the_three_games() -> None:
    for name, expected in zip(GAMES, ("000", "00", "01"), strict=True):
        game = make_game(name, 9, 6, 4, 1)
        assert [digits(game, plan) for plan in subgame_perfect(game)] == [expected]
        belief = equilibrium_belief(game, HomoEconomicus())
        assert belief is not None
        assert digits(game, belief) == expected


def test_best_equilibrium_is_expected() -> None:
    """After C, 3/4 (T - R) / 2 is just worth 1/4 (R - (T + S) / 2): cooperating and taking turns are both self-fulfilling."""
    game = sequential_prisoners_dilemma(6, 5, 2, 1)
    found = symmetric_equilibria(game, HomoMoralis(0.25))
    assert {(digits(game, plan), game.payoff(plan, plan)) for plan in found} == {("110", 5), ("001", Fraction(7, 2))}
    assert equilibrium_belief(game, HomoMoralis(0.25)) == ("C", "C", "D")


def test_some_games_have_no_pure_equilibrium() -> None:
    """Best replies go round: exploit who cooperates, defect on who exploits, cooperate first with who defects."""
    game, preference = sequential_prisoners_dilemma(5, 4, 2, 1), HomoMoralis(0.25)
    assert solved(game, preference, "110") == {"100"}
    assert solved(game, preference, "100") == {"001"}
    assert solved(game, preference, "001") == {"000"}
    assert solved(game, preference, "000") == {"110"}
    assert symmetric_equilibria(game, preference) == ()
    assert equilibrium_belief(game, preference) is None


# ------------------------------------------------------------------------------- trembles as power series


def _formula(name: str, letters: tuple[int, ...], x: Any, y: Any) -> Any:
    T, R, P, S = letters
    if name == "sequential_prisoners_dilemma":
        return 0.5 * (x[0] * y[1] * R + x[0] * (1 - y[1]) * S + (1 - x[0]) * y[2] * T + (1 - x[0]) * (1 - y[2]) * P) + 0.5 * (
            y[0] * x[1] * R + y[0] * (1 - x[1]) * T + (1 - y[0]) * x[2] * S + (1 - y[0]) * (1 - x[2]) * P
        )
    if name == "trust_game":
        return 0.5 * (x[0] * y[1] * R + x[0] * (1 - y[1]) * S + (1 - x[0]) * P) + 0.5 * (
            y[0] * x[1] * R + y[0] * (1 - x[1]) * T + (1 - y[0]) * P
        )
    return 0.5 * (x[0] * R + (1 - x[0]) * (y[1] * T + (1 - y[1]) * S)) + 0.5 * (
        y[0] * R + (1 - y[0]) * (x[1] * P + (1 - x[1]) * S)
    )


@pytest.mark.parametrize("name", GAMES)
def test_trembles_are_the_lexicographic_order_of_power_series(name: str) -> None:
    """Closed formulas with numpy polynomials in eps in place of probabilities, on a small grid that has every kind of tie."""
    rng = Random(11)
    ties = 0
    for _ in range(100):
        letters = sample_payoffs(rng, PayoffGrid(1, 7), rng.choice(("above", "at", "below")))
        game = make_game(name, *letters)
        kappa, belief = rng.choice(KAPPAS), tuple(rng.choice((0, 0.5, 1)) for _ in game.information_sets)
        y = [Polynomial([p, 1 - 2 * p]) for p in belief]
        series = {}
        for plan in game.plans():
            x = [Polynomial([p, 1 - 2 * p]) for p in map(int, digits(game, plan))]
            u = (1 - kappa) * _formula(name, letters, x, y) + kappa * _formula(name, letters, x, x)
            series[plan] = tuple(np.round(np.pad(u.coef, (0, 6 - len(u.coef))), 9))
        solution = optimal_plans(game, HomoMoralis(kappa), belief)
        assert set(solution.tied) == {plan for plan in series if series[plan][0] == max(series.values())[0]}
        assert set(solution.plans) == {plan for plan in series if series[plan] == max(series.values())}
        ties += len(solution.tied) > len(solution.plans)
    assert ties > 10


# ---------------------------------------------------------------------- an oracle that walks nodes, on random trees

Mix = Mapping[str, Mapping[str, Fraction]]


def plays(node: Node, mixes: list[Mix], weight: Fraction = Fraction(1)) -> Iterator[tuple[Fraction, tuple[Fraction, ...]]]:
    """Probability and payoffs of each end that can be reached when role number r follows mixes[r]."""
    if isinstance(node, Terminal):
        yield weight, tuple(Fraction(p) for p in node.payoffs)
    elif isinstance(node, Chance):
        for p, child in zip(node.probabilities, node.children, strict=True):
            yield from plays(child, mixes, weight * Fraction(p))
    else:
        for action, child in zip(node.actions, node.children, strict=True):
            if p := mixes[node.role][node.information][action]:
                yield from plays(child, mixes, weight * p)


def oracle_utility(game: Game, preference: SocialPreferences, x: Mix, y: Mix) -> Fraction:
    alpha, beta, kappa = (Fraction(w) for w in (preference.alpha, preference.beta, preference.kappa))
    size = len(game.roles)
    total = Fraction(0)
    for role in range(size):
        for p, payoffs in plays(game.root, [x if r == role else y for r in range(size)]):
            own, others = payoffs[role], [v for r, v in enumerate(payoffs) if r != role]
            behind = sum((v - own for v in others if v > own), Fraction(0)) / len(others)
            ahead = sum((own - v for v in others if v < own), Fraction(0)) / len(others)
            total += p * ((1 - kappa) * own - alpha * behind - beta * ahead) / size
        for p, payoffs in plays(game.root, [x] * size):
            total += kappa * p * payoffs[role] / size
    return total


def mix(game: Game, strategy: Strategy, eps: Fraction = Fraction(0)) -> Mix:
    return {
        i.name: {a: (1 - len(i.actions) * eps) * p + eps for a, p in zip(i.actions, entry, strict=True)}
        for i, entry in zip(game.information_sets, strategy, strict=True)
    }


def brute_force(game: Game, preference: SocialPreferences, belief: Strategy, eps: Fraction) -> tuple[set[Plan], Fraction]:
    y = mix(game, belief, eps)
    values = {plan: oracle_utility(game, preference, mix(game, game.strategy(plan), eps), y) for plan in game.plans()}
    best = max(values.values())
    return {plan for plan, value in values.items() if value == best}, best


@dataclass
class Growing:
    """The information sets that a tree under construction has: (role, number of actions) by name."""

    known: dict[str, tuple[int, int]]
    limit: int


@st.composite
def games(
    draw: st.DrawFn, limit: int = 4, hidden: bool = True, nature: bool = True, shared: bool = False, distinct: bool = False
) -> Game:
    """Random trees with two or three roles, two or three actions, at most `limit` information sets and small payoffs."""
    roles = draw(st.integers(2, 3))
    growing = Growing({}, limit)
    pool = iter(draw(st.permutations(range(200)))) if distinct else None

    def payoff() -> int:
        return next(pool) if pool else draw(st.integers(-2, 4))

    def grow(depth: int, passed: frozenset[tuple[int, str]]) -> Node:
        kinds = ["end"]
        if depth:
            kinds += ["decide"] * 3 + ["chance"] * nature
        kind = draw(st.sampled_from(kinds)) if growing.known else "decide"
        if kind == "chance":
            # Trembles do not reach what nature never does, backward induction does: kept apart.
            p = draw(st.sampled_from((Fraction(1, 2), Fraction(1, 3), *([Fraction(1)] * hidden))))
            return Chance((p, 1 - p), (grow(depth - 1, passed), grow(depth - 1, passed)))
        role = draw(st.integers(0, roles - 1))
        reachable = [
            name
            for name, (owner, _) in growing.known.items()
            if hidden and (shared or owner == role) and (role, name) not in passed
        ]
        if len(growing.known) < growing.limit:
            reachable.append(f"set {len(growing.known)}")
        if kind == "end" or not reachable:
            return Terminal(tuple(payoff() for _ in range(roles)))
        name = draw(st.sampled_from(reachable))
        _, size = growing.known.setdefault(name, (role, draw(st.integers(2, 3))))
        children = tuple(grow(depth - 1, passed | {(role, name)}) for _ in range(size))
        return Decision(role, name, ("a", "b", "c")[:size], children)

    return Game("random", grow(3, frozenset()), tuple(f"role {r}" for r in range(roles)))


@st.composite
def behaviour(draw: st.DrawFn, game: Game) -> Strategy:
    """Pure, uniform or uneven at each information set."""
    entries = []
    for information in game.information_sets:
        size = len(information.actions)
        shares = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size).filter(any))
        entries.append(tuple(Fraction(share, sum(shares)) for share in shares))
    return tuple(entries)


kappas = st.sampled_from((0, 0.1, Fraction(1, 3), 0.5, 0.9, 1))
envies = st.sampled_from((0, 0, Fraction(-1, 2), 0.3, 1))
preferences = st.builds(SocialPreferences, envies, envies, kappas)


@examples
@given(st.data(), games(shared=True), preferences)
def test_utility_of_random_strategies(data: st.DataObject, game: Game, preference: SocialPreferences) -> None:
    x, y = data.draw(behaviour(game)), data.draw(behaviour(game))
    assert preference.utility(game, x, y) == oracle_utility(game, preference, mix(game, x), mix(game, y))


@examples
@given(st.data(), games(), preferences)
def test_optimal_plans_by_brute_force(data: st.DataObject, game: Game, preference: SocialPreferences) -> None:
    belief = data.draw(behaviour(game))
    solution = optimal_plans(game, preference, belief)
    tied, best = brute_force(game, preference, belief, Fraction(0))
    assert set(solution.tied) == tied
    assert solution.utility == best
    assert all(preference.utility(game, plan, belief) == solution.utility for plan in solution.tied)
    # Every plan that is best under a tiny tremble is tied without it, and these are the plans that are kept.
    assert set(solution.plans) == brute_force(game, preference, belief, TINY)[0] <= tied


@examples
@given(st.data(), games(shared=True), envies, envies)
def test_shared_information_sets_without_morality(data: st.DataObject, game: Game, alpha: Any, beta: Any) -> None:
    preference = SocialPreferences(alpha, beta)
    belief = data.draw(behaviour(game))
    solution = optimal_plans(game, preference, belief)
    assert (set(solution.tied), solution.utility) == brute_force(game, preference, belief, Fraction(0))
    assert set(solution.plans) == brute_force(game, preference, belief, TINY)[0]


@examples
@given(games(limit=2), preferences)
def test_symmetric_equilibria_by_brute_force(game: Game, preference: SocialPreferences) -> None:
    expected = [p for p in game.plans() if p in brute_force(game, preference, game.strategy(p), TINY)[0]]
    assert list(symmetric_equilibria(game, preference)) == expected
    worth = {p: preference.utility(game, p, p) for p in expected}
    best = [p for p in expected if worth[p] == max(worth.values())]
    assert equilibrium_belief(game, preference) == (best[0] if len(best) == 1 else None)


def transformed(node: Node, payoffs: Callable[[tuple[Any, ...]], tuple[Any, ...]], orders: Mapping[str, Any]) -> Node:
    """The tree with other payoffs and with the actions of some information sets in another order."""
    if isinstance(node, Terminal):
        return Terminal(payoffs(node.payoffs))
    children = tuple(transformed(child, payoffs, orders) for child in node.children)
    if isinstance(node, Chance):
        return Chance(node.probabilities, children)
    order = orders.get(node.information, range(len(node.actions)))
    return Decision(node.role, node.information, tuple(node.actions[i] for i in order), tuple(children[i] for i in order))


@examples
@given(
    st.data(),
    games(),
    preferences,
    st.fractions(Fraction(1, 10), 10, max_denominator=10),
    st.fractions(-9, 9, max_denominator=10),
)
def test_rescaled_payoffs_leave_optima_alone(
    data: st.DataObject, game: Game, preference: SocialPreferences, slope: Fraction, shift: Fraction
) -> None:
    belief = data.draw(behaviour(game))
    before = optimal_plans(game, preference, belief)
    common = Game("rescaled", transformed(game.root, lambda p: tuple(slope * v + shift for v in p), {}), game.roles)
    after = optimal_plans(common, preference, belief)
    assert (after.plans, after.tied) == (before.plans, before.tied)
    # alpha and beta scale with payoffs; the shift falls on the material payoff alone.
    assert after.utility == slope * before.utility + shift


@examples
@given(st.data(), games(), kappas)
def test_without_envy_each_role_can_be_shifted_alone(data: st.DataObject, game: Game, kappa: Any) -> None:
    belief = data.draw(behaviour(game))
    before = optimal_plans(game, HomoMoralis(kappa), belief)
    uneven = Game("shifted", transformed(game.root, lambda p: tuple(3 * v + 5 * r for r, v in enumerate(p)), {}), game.roles)
    after = optimal_plans(uneven, HomoMoralis(kappa), belief)
    assert (after.plans, after.tied) == (before.plans, before.tied)


@examples
@given(st.data(), games(), preferences)
def test_the_order_of_actions_does_not_matter(data: st.DataObject, game: Game, preference: SocialPreferences) -> None:
    belief = data.draw(behaviour(game))
    orders = {i.name: data.draw(st.permutations(range(len(i.actions)))) for i in game.information_sets}
    other = Game("permuted", transformed(game.root, lambda p: p, orders), game.roles)
    by_name = {i.name: dict(zip(i.actions, entry, strict=True)) for i, entry in zip(game.information_sets, belief, strict=True)}
    names = [i.name for i in other.information_sets]

    def named(of: Game, plans: tuple[Plan, ...]) -> set[frozenset[tuple[str, str]]]:
        return {frozenset(zip((i.name for i in of.information_sets), plan, strict=True)) for plan in plans}

    before, after = optimal_plans(game, preference, belief), optimal_plans(other, preference, {n: by_name[n] for n in names})
    assert named(other, after.plans) == named(game, before.plans)
    assert named(other, after.tied) == named(game, before.tied)
    assert after.utility == before.utility


# ------------------------------------------------------------------------------------------ subgame perfection


def one_shot(node: Node, preference: SocialPreferences, plan: Mapping[str, str]) -> tuple[list[Fraction], bool]:
    """Utilities by role when everyone follows the plan from here, and whether no mover below gains by one deviation."""
    if isinstance(node, Terminal):
        pay = np.array([Fraction(p) for p in node.payoffs], dtype=object)
        gaps = np.subtract.outer(pay, pay).T  # [role, other]
        envy = Fraction(preference.alpha) * np.maximum(gaps, 0) + Fraction(preference.beta) * np.maximum(-gaps, 0)
        return list(pay - envy.sum(axis=1) / (len(pay) - 1)), True
    below = [one_shot(child, preference, plan) for child in node.children]
    fine = all(ok for _, ok in below)
    if isinstance(node, Chance):
        mean = [
            sum(Fraction(p) * u[r] for p, (u, _) in zip(node.probabilities, below, strict=True))
            for r in range(len(below[0][0]))
        ]
        return [Fraction(v) for v in mean], fine
    chosen = below[node.actions.index(plan[node.information])][0]
    return chosen, fine and all(u[node.role] <= chosen[node.role] for u, _ in below)


@examples
@given(games(hidden=False), envies, envies)
def test_subgame_perfect_plans_have_no_profitable_deviation(game: Game, alpha: Any, beta: Any) -> None:
    preference = SocialPreferences(alpha, beta)
    names = [i.name for i in game.information_sets]
    expected = {p for p in game.plans() if one_shot(game.root, preference, dict(zip(names, p, strict=True)))[1]}
    assert set(subgame_perfect(game, preference)) == expected


@examples
@given(games(hidden=False, nature=False, distinct=True))
def test_without_payoff_ties_equilibrium_is_subgame_perfection(game: Game) -> None:
    (plan,) = subgame_perfect(game)
    assert symmetric_equilibria(game, HomoEconomicus()) == (plan,)
    assert equilibrium_belief(game, HomoEconomicus()) == plan


@examples
@given(games(hidden=False), envies, envies)
def test_trembles_refine_subgame_perfection(game: Game, alpha: Any, beta: Any) -> None:
    preference = SocialPreferences(alpha, beta)
    assert set(symmetric_equilibria(game, preference)) <= set(subgame_perfect(game, preference))


def test_subgame_perfection_needs_perfect_information_and_no_morality() -> None:
    with pytest.raises(GameError, match="chicken: backward induction needs perfect information"):
        subgame_perfect(simultaneous("chicken", CHICKEN))
    with pytest.raises(GameError, match="kappa = 0; use symmetric_equilibria"):
        subgame_perfect(trust_game(9, 6, 4, 1), HomoMoralis(0.5))


# -------------------------------------------------------------------------------------- simultaneous games

CHICKEN = ((3, 1), (7, 0))


def simultaneous(name: str, payoffs: Any) -> Game:
    """Both choose at once, from one information set that the two roles share; `payoffs[own][other]`."""
    actions = tuple("abc"[: len(payoffs)])
    second = (
        Decision(1, "move", actions, tuple(Terminal((row[j], payoffs[j][i])) for j in range(len(payoffs))))
        for i, row in enumerate(payoffs)
    )
    return Game(name, Decision(0, "move", actions, tuple(second)))


def many(players: int, payoff: Callable[[bool, int], Any]) -> Game:
    """A game of any number with two actions: `payoff(own is first, number of first actions)`."""

    def after(chosen: tuple[bool, ...]) -> Node:
        if len(chosen) == players:
            return Terminal(tuple(payoff(own, sum(chosen)) for own in chosen))
        return Decision(len(chosen), "move", ("yes", "no"), (after((*chosen, True)), after((*chosen, False))))

    return Game("many", after(()), tuple(f"player {i}" for i in range(players)))


def test_chicken_has_a_mixed_universal_optimum() -> None:
    """Everyone swerving with probability p earns 3 p^2 + 8 p (1 - p): best at 4/5, worth 16/5."""
    game = simultaneous("chicken", CHICKEN)
    (strategy,) = optimal_strategies(game, HomoMoralis(1), 0.5)
    assert strategy == ((Fraction(4, 5), Fraction(1, 5)),)
    assert HomoMoralis(1).utility(game, strategy, 0.5) == Fraction(16, 5)
    with pytest.raises(GameError, match=r"chicken: roles share an information set; .* use optimal_strategies"):
        optimal_plans(game, HomoMoralis(1), 0.5)
    with pytest.raises(GameError, match="use optimal_strategies"):
        symmetric_equilibria(game, HomoMoralis(1))


@pytest.mark.parametrize("kappa", [0, 0.2, 0.5, 0.8, 1])
@pytest.mark.parametrize("belief", [0, 0.3, 1])
def test_mixed_optima_against_a_fine_grid(kappa: float, belief: float) -> None:
    p = np.linspace(0, 1, 100_001)
    for payoffs in (CHICKEN, ((3, 0), (5, 1)), ((4, 0), (3, 3)), ((0, 5), (2, 1))):
        game = simultaneous("two by two", payoffs)
        a = np.array(payoffs, dtype=float)
        x = np.stack([p, 1 - p])
        u = (1 - kappa) * x.T @ a @ np.array([belief, 1 - belief]) + kappa * np.einsum("ik,ij,jk->k", x, a, x)
        found = optimal_strategies(game, HomoMoralis(kappa), belief)
        reached = {HomoMoralis(kappa).utility(game, s, belief) for s in found}
        assert len(reached) == 1
        assert float(reached.pop()) == pytest.approx(u.max(), abs=1e-8)
        assert min(abs(float(s[0][0]) - p[u.argmax()]) for s in found) < 2e-5 or len(found) > 1


@examples
@given(
    st.lists(st.lists(st.integers(-3, 6), min_size=3, max_size=3), min_size=3, max_size=3),
    kappas,
    st.lists(st.integers(0, 3), min_size=3, max_size=3).filter(any),
)
def test_mixed_optima_of_three_actions_against_a_grid(payoffs: list[list[int]], kappa: Any, shares: list[int]) -> None:
    steps = 60
    grid = np.array([(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]) / steps
    a, y = np.array(payoffs, dtype=float), np.array(shares) / sum(shares)
    best = ((1 - float(kappa)) * grid @ a @ y + float(kappa) * np.einsum("ki,ij,kj->k", grid, a, grid)).max()
    game = simultaneous("three by three", payoffs)
    belief = (tuple(Fraction(share, sum(shares)) for share in shares),)
    found = optimal_strategies(game, HomoMoralis(kappa), belief)
    for strategy in found:
        assert sum(strategy[0]) == 1
        assert min(strategy[0]) >= 0
        value = float(HomoMoralis(kappa).utility(game, strategy, belief))
        # Near an inner maximum the grid loses at most the curvature times the squared distance to it.
        assert best - 1e-9 <= value <= best + 4 * 9 * (1 / steps) ** 2 * 3


@pytest.mark.parametrize(("kappa", "giving"), [(0, {0}), (0.4, {0}), (0.5, {0, 1}), (0.6, {1}), (1, {1})])
def test_public_good(kappa: float, giving: set[int]) -> None:
    """Giving 1 returns m/n = 1/2 to each of three: (1 - kappa) (m/n - 1) + kappa (m - 1) changes sign at kappa = 1/2."""
    game = many(3, lambda own, total: Fraction(total, 2) - own)
    found = optimal_strategies(game, HomoMoralis(kappa), 0.3)
    assert {strategy[0][0] for strategy in found} == giving


def test_volunteers() -> None:
    """One volunteer saves all: all volunteering with p earn b (1 - (1 - p)^n) - c p, most at (1 - p)^(n - 1) = c / (n b)."""
    (strategy,) = optimal_strategies(many(3, lambda own, total: 4 * (total > 0) - 3 * own), HomoMoralis(1), 0.5)
    assert strategy == ((Fraction(1, 2), Fraction(1, 2)),)
    (strategy,) = optimal_strategies(many(4, lambda own, total: (total > 0) - Fraction(own)), HomoMoralis(1), 0.5)
    assert float(strategy[0][0]) == pytest.approx(1 - 0.25 ** (1 / 3), abs=1e-15)
    assert sum(strategy[0]) == 1


def test_four_players_against_a_fine_grid() -> None:
    """Two or no two alike: a polynomial with several turning points."""
    pays = {True: (0, 1, 6, -2, 1), False: (2, -3, 4, 0, 0)}
    game = many(4, lambda own, total: pays[own][total])
    for kappa in (0.3, 1):
        grid = np.linspace(0, 1, 201)
        values = [float(HomoMoralis(kappa).utility(game, (float(p),), 0.5)) for p in grid]
        (strategy,) = optimal_strategies(game, HomoMoralis(kappa), 0.5)
        assert float(HomoMoralis(kappa).utility(game, strategy, 0.5)) == pytest.approx(max(values), abs=1e-3)
        assert float(HomoMoralis(kappa).utility(game, strategy, 0.5)) >= max(values) - 1e-12
        assert float(strategy[0][0]) == pytest.approx(grid[int(np.argmax(values))], abs=0.01)


def test_mixed_optima_that_are_out_of_reach() -> None:
    with pytest.raises(GameError, match="trust_game: mixed optima are known for games with one shared information set only"):
        optimal_strategies(trust_game(9, 6, 4, 1), HomoMoralis(1), 0.5)
    deep = Decision(2, "m", ("a", "b", "c"), tuple(Terminal((i, i, i)) for i in range(3)))
    for role in (1, 0):
        deep = Decision(role, "m", ("a", "b", "c"), (deep, deep, deep))
    game = Game("three by three by three", deep, ("x", "y", "z"))
    with pytest.raises(GameError, match="with three or more roles, mixed optima are known for two actions only"):
        optimal_strategies(game, HomoMoralis(1), [(1, 0, 0)])
    assert optimal_strategies(game, HomoMoralis(0), [(1, 0, 0)]) == (((0, 0, 1),),)  # linear without morality


def test_equilibria_of_simultaneous_games_without_morality() -> None:
    assert symmetric_equilibria(simultaneous("dilemma", ((3, 0), (5, 1))), HomoEconomicus()) == (("b",),)
    assert symmetric_equilibria(simultaneous("stag hunt", ((4, 0), (3, 3))), HomoEconomicus()) == (("a",), ("b",))
    assert equilibrium_belief(simultaneous("stag hunt", ((4, 0), (3, 3))), HomoEconomicus()) == ("a",)
    assert symmetric_equilibria(simultaneous("chicken", CHICKEN), HomoEconomicus()) == ()
    assert equilibrium_belief(simultaneous("chicken", CHICKEN), HomoEconomicus()) is None


def test_selection_is_by_utility_not_by_points() -> None:
    """Two self-fulfilling plans: (9, 1) by turns earns 5 points a head, (4, 4) earns 4 and nobody is ahead."""
    second = {
        "high": Decision(1, "after high", ("yes", "no"), (Terminal((9, 1)), Terminal((0, 0)))),
        "even": Decision(1, "after even", ("yes", "no"), (Terminal((4, 4)), Terminal((0, 0)))),
    }
    game = Game("split", Decision(0, "first", ("high", "even"), (second["high"], second["even"])))
    preference = SocialPreferences(alpha=Fraction(1, 16), beta=Fraction(5, 8))
    # As proposers, high is worth 9 - 5 and even 4: they tie and both remain in equilibrium. As responder high costs 1/2.
    found = symmetric_equilibria(game, preference)
    assert {(plan[0], preference.utility(game, plan, plan), game.payoff(plan, plan)) for plan in found} == {
        ("high", Fraction(4) / 2 + Fraction(1, 2) / 2, 5),
        ("even", 4, 4),
    }
    assert equilibrium_belief(game, preference) == ("even", "yes", "yes")


# ---------------------------------------------------------------------------------------------------- budget


def test_a_dataset_of_games_is_solved_in_its_budget() -> None:
    """100,000 games, belief and optimum, are to take less than two minutes of one core."""
    rng = Random(0)
    start = time.process_time()
    for _ in range(300):
        game = sequential_prisoners_dilemma(*sample_payoffs(rng, PayoffGrid(1, 99)))
        preference = HomoMoralis(rng.choice((0.25, 0.5, 1)))
        belief = equilibrium_belief(game, preference)
        optimal_plans(game, preference, 0.5 if belief is None else belief)
    assert (time.process_time() - start) / 300 < 120 / 100_000
