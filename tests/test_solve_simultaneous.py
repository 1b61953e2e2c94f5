"""Games in which roles share information sets: optima and equilibria can be mixed."""

from fractions import Fraction
from itertools import product
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from solve_oracles import CHICKEN, behaviour, examples, games, kappas, many, preferences, simultaneous

from moralfit.errors import GameError
from moralfit.games import (
    Decision,
    Game,
    Node,
    Terminal,
    repeated_prisoners_dilemma,
    sequential_prisoners_dilemma,
    simultaneous_game,
    trust_game,
)
from moralfit.preferences import HomoEconomicus, HomoMoralis, SocialPreferences
from moralfit.solve import (
    equilibrium_belief,
    equilibrium_strategies,
    optimal_plans,
    optimal_strategies,
    solve,
)


def test_chicken_has_a_mixed_universal_optimum() -> None:
    """Everyone swerving with probability p earns 3 p^2 + 8 p (1 - p): best at 4/5, worth 16/5."""
    game = simultaneous("chicken", CHICKEN)
    (strategy,) = optimal_strategies(game, HomoMoralis(1), 0.5)
    assert strategy == ((Fraction(4, 5), Fraction(1, 5)),)
    assert HomoMoralis(1).utility(game, strategy, 0.5) == Fraction(16, 5)
    with pytest.raises(GameError, match=r"chicken: roles share an information set; .* use solve or optimal_strategies"):
        optimal_plans(game, HomoMoralis(1), 0.5)
    with pytest.raises(GameError, match="use solve or optimal_strategies"):
        equilibrium_belief(game, HomoMoralis(1))


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
    with pytest.raises(
        GameError, match="trust_game: no two roles share an information set, so that a pure plan is optimal; use optimal_plans"
    ):
        optimal_strategies(trust_game(9, 6, 4, 1), HomoMoralis(1), 0.5)
    flat: Node = Decision(2, "m", ("a", "b", "c"), (Terminal((0, 0, 0)),) * 3)
    deep = Decision(2, "m", ("a", "b", "c"), tuple(Terminal((i, i, i)) for i in range(3)))
    for role in (1, 0):
        deep = Decision(role, "m", ("a", "b", "c"), (deep, flat, flat))
    game = Game("three by three by three", deep, ("x", "y", "z"))
    with pytest.raises(
        GameError, match="with three or more roles and actions, mixed optima are known where payoffs are linear or quadratic"
    ):
        optimal_strategies(game, HomoMoralis(1), [(1, 0, 0)])
    assert optimal_strategies(game, HomoMoralis(0), [(1, 0, 0)]) == (((0, 0, 1),),)  # linear without morality


def test_equilibria_of_simultaneous_games_without_morality() -> None:
    a, b = ((1, 0),), ((0, 1),)
    assert equilibrium_strategies(simultaneous("dilemma", ((3, 0), (5, 1))), HomoEconomicus()) == (b,)
    third = ((Fraction(3, 4), Fraction(1, 4)),)
    assert equilibrium_strategies(simultaneous("stag hunt", ((4, 0), (3, 3))), HomoEconomicus()) == (a, b, third)
    assert equilibrium_belief(simultaneous("stag hunt", ((4, 0), (3, 3))), HomoEconomicus()) == ("a",)
    assert equilibrium_belief(simultaneous("chicken", CHICKEN), HomoEconomicus()) is None


# ------------------------------------------------------------------------- several decisions, several roles


def twice(x: Any, y: Any, T: float, R: float, P: float, S: float) -> Any:
    """Expected points of x against y over both rounds. x[..., 0] is C at first, x[..., 1 + 2 a + b] after own a, other b."""

    def once(p: Any, q: Any) -> Any:
        return p * q * R + p * (1 - q) * S + (1 - p) * q * T + (1 - p) * (1 - q) * P

    total = once(x[..., 0], y[..., 0])
    for own, other in product((0, 1), (0, 1)):
        weight = (x[..., 0] if own == 0 else 1 - x[..., 0]) * (y[..., 0] if other == 0 else 1 - y[..., 0])
        total = total + weight * once(x[..., 1 + 2 * own + other], y[..., 1 + 2 * other + own])
    return total


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kappa", [0, 0.3, 0.7, 1])
def test_repeated_prisoners_dilemma_against_a_grid(seed: int, kappa: float) -> None:
    rng = Random(seed)
    T, R, P, S = sorted(rng.sample(range(1, 13), 4), reverse=True)
    game = repeated_prisoners_dilemma(T, R, P, S)
    belief = [rng.choice((0, 0.25, 0.5, 1)) for _ in range(5)]
    axis = np.linspace(0, 1, 9)
    x = np.stack(np.meshgrid(*[axis] * 5, indexing="ij"), axis=-1).reshape(-1, 5)
    values = (1 - kappa) * twice(x, np.array(belief), T, R, P, S) + kappa * twice(x, x, T, R, P, S)
    found = solve(game, HomoMoralis(kappa), belief)
    assert float(found.utility) >= values.max() - 1e-9
    # The nearest grid point is at most 1/16 away in each entry; curvature is at most a few payoff ranges.
    assert float(found.utility) <= values.max() + 6 * (T - S) / 16**2 * 5
    for strategy in found.strategies:
        flat = np.array([float(entry[0]) for entry in strategy])
        own = (1 - kappa) * twice(flat, np.array(belief), T, R, P, S) + kappa * twice(flat, flat, T, R, P, S)
        assert float(own) == pytest.approx(float(found.utility))


@pytest.mark.parametrize("seed", range(8))
def test_repeated_prisoners_dilemma_at_kappa_one(seed: int) -> None:
    """Backwards: after equal choices the best symmetric p, after unequal ones the best pair; then the best first p."""
    T, R, P, S = sorted(Random(seed).sample(range(1, 13), 4), reverse=True)
    p = np.linspace(0, 1, 100_001)
    alike = (p**2 * R + p * (1 - p) * (S + T) + (1 - p) ** 2 * P).max()
    unlike = max(R, P, (S + T) / 2)
    best = (p**2 * (R + alike) + 2 * p * (1 - p) * ((S + T) / 2 + unlike) + (1 - p) ** 2 * (P + alike)).max()
    assert float(solve(repeated_prisoners_dilemma(T, R, P, S), HomoMoralis(1)).utility) == pytest.approx(best, abs=1e-7)


def test_repeated_prisoners_dilemma_trembles_settle_what_is_not_reached() -> None:
    game = repeated_prisoners_dilemma(9, 7, 3, 1)
    kantian = solve(game, HomoMoralis(1))
    assert kantian.strategies == (game.strategy(("C",) * 5),)
    assert equilibrium_strategies(game, HomoEconomicus()) == (game.strategy(("D",) * 5),)


@examples
@given(
    st.lists(st.lists(st.integers(-3, 6), min_size=2, max_size=2), min_size=2, max_size=2),
    kappas,
)
def test_symmetric_equilibria_of_two_by_two_by_hand(payoffs: list[list[int]], kappa: Any) -> None:
    """No p' on a grid is better against p, and every p of the grid where both-order conditions hold is found."""
    (a, b), (c, d) = payoffs
    kappa = Fraction(kappa).limit_denominator(100)

    def u(p: Fraction, q: Fraction) -> Fraction:
        def pi(x: Fraction, y: Fraction) -> Fraction:
            return x * y * a + x * (1 - y) * b + (1 - x) * y * c + (1 - x) * (1 - y) * d

        return (1 - kappa) * pi(p, q) + kappa * pi(p, p)

    grid = [Fraction(i, 24) for i in range(25)]
    game = simultaneous("two by two", payoffs)
    found = [x[0][0] for x in equilibrium_strategies(game, HomoMoralis(kappa))]
    for p in found:
        assert u(p, p) == max(u(other, p) for other in [*grid, p])
    if kappa:
        # Strictly better than the corners: trembles rule out ties. slope_moves: not a whole stretch of equilibria.
        curvature = kappa * (a - b - c + d)
        slope_moves = (1 - kappa) * (a - b - c + d) + 2 * curvature
        for p in grid:
            best = all(u(p, p) > u(Fraction(corner), p) for corner in (0, 1) if corner != p)
            slope = (u(p + 1, p) - u(p - 1, p)) / 2
            inner = slope == 0 and curvature <= 0
            if best and slope_moves and (inner or (p == 1 and slope > 0) or (p == 0 and slope < 0)):
                assert p in found


@pytest.mark.parametrize("kappa", [0, 0.4, 1])
def test_three_players_with_three_actions_where_utility_is_quadratic(kappa: float) -> None:
    """Payoff of a total: 6 t - t^2 / 2 - 3 own. Mean and variance of one's own choice are all that counts."""
    game = simultaneous_game(
        "good",
        ("0", "1", "2"),
        lambda own, others: 6 * (own + sum(others)) - Fraction((own + sum(others)) ** 2, 2) - 3 * own,
        3,
    )
    steps = 40
    belief = (Fraction(1, 2), Fraction(1, 4), Fraction(1, 4))
    values = {}
    for i in range(steps + 1):
        for j in range(steps + 1 - i):
            x = np.array([i, j, steps - i - j]) / steps
            total = 0.0
            for own, one, two in product(range(3), repeat=3):
                points = 6 * (own + one + two) - (own + one + two) ** 2 / 2 - 3 * own
                actual = x[own] * float(belief[one]) * float(belief[two])
                total += ((1 - kappa) * actual + kappa * x[own] * x[one] * x[two]) * points
            values[tuple(x)] = total
    found = solve(game, HomoMoralis(kappa), [belief])
    assert max(values.values()) - 1e-9 <= float(found.utility) <= max(values.values()) + 9 / steps**2 * 3
    if kappa:
        ((shares,),) = found.strategies
        assert max(abs(float(p) - q) for p, q in zip(shares, max(values, key=values.__getitem__), strict=True)) < 1 / steps


def test_equilibrium_of_volunteers() -> None:
    """Three, one volunteer is enough: indifferent at (1 - p)^2 = c / b = 3/4; an irrational p counts as an equilibrium."""
    game = many(3, lambda own, total: 4 * (total > 0) - 3 * own)
    (strategy,) = equilibrium_strategies(game, HomoEconomicus())
    assert float(strategy[0][0]) == pytest.approx(1 - 0.75**0.5, abs=1e-15)
    assert solve(game, HomoEconomicus()).actions(0) == ("yes", "no")
    (rational,) = equilibrium_strategies(many(3, lambda own, total: 4 * (total > 0) - own), HomoEconomicus())
    assert rational == ((Fraction(1, 2), Fraction(1, 2)),)
    moral = HomoMoralis(0.5)
    (strategy,) = equilibrium_strategies(game, moral)
    reached = float(moral.utility(game, strategy, strategy))
    assert reached == pytest.approx(max(float(moral.utility(game, (p,), strategy)) for p in np.linspace(0, 1, 401)), abs=1e-5)
    assert reached >= max(float(moral.utility(game, (p,), strategy)) for p in np.linspace(0, 1, 41)) - 1e-12


def test_what_solve_refuses() -> None:
    with pytest.raises(
        GameError, match=r"sequential_prisoners_dilemma: no symmetric equilibrium of homo moralis .* state a belief"
    ):
        solve(sequential_prisoners_dilemma(5, 4, 2, 1), HomoMoralis(0.25))
    wide = simultaneous_game("wide", [str(i) for i in range(11)], lambda own, others: own * others[0])
    with pytest.raises(GameError, match=r"wide: a mixed optimum may use any of 2,047 sets of actions"):
        solve(wide, HomoMoralis(0.5), [(1,) + (0,) * 10])
    assert solve(wide, HomoEconomicus(), [(0,) * 10 + (1,)]).actions(0) == ("10",)
    three = many(3, lambda own, total: total)
    doubled = Game("twice", Decision(0, "m", ("yes", "no"), (three.root.children[0], Terminal((0, 0, 0)))), three.roles)  # type: ignore[union-attr]
    assert solve(three, HomoMoralis(0.5), 0.5).actions(0) == ("yes",)
    with pytest.raises(GameError, match=r"twice: mixed optima are known for two roles with perfect recall or one shared"):
        solve(doubled, HomoMoralis(0.5), 0.5)


@settings(examples, max_examples=15)
@given(st.data(), games(shared=True), preferences)
def test_random_trees_with_shared_decisions(data: st.DataObject, game: Game, preference: SocialPreferences) -> None:
    """Whatever can be solved is not beaten by any plan or strategy, and reaches what it says."""
    belief = data.draw(behaviour(game))
    assume(not game.multilinear)
    try:
        found = optimal_strategies(game, preference, belief)
    except GameError as problem:
        assume("mixed optima are known" not in str(problem))
        raise
    reached = {preference.utility(game, x, belief) for x in found}
    if len(game.roles) == 2:
        assert len(reached) == 1
    others = [*game.plans(), *(data.draw(behaviour(game)) for _ in range(5))]
    assert max(preference.utility(game, x, belief) for x in others) <= max(reached) + Fraction(1, 10**12)
    assert all(
        preference.utility(game, x, x) >= preference.utility(game, plan, x) - Fraction(1, 10**12)
        for x in equilibrium_strategies(game, preference)
        for plan in game.plans()
    )


@pytest.mark.parametrize("kappa", [0.25, 0.5, 1])
@pytest.mark.parametrize("belief", [0.25, 1])
def test_one_role_may_be_left_out(kappa: float, belief: float) -> None:
    """Continue, and the other decides alike; stop, and it is over: the other's weight on the empty sequence counts."""
    ends = {"cc": (1, 2), "cs": (9, 1), "s": (3, 0)}
    second = Decision(1, "move", ("continue", "stop"), (Terminal(ends["cc"]), Terminal(ends["cs"])))
    game = Game("in turn", Decision(0, "move", ("continue", "stop"), (second, Terminal(ends["s"]))))
    p = np.linspace(0, 1, 20_001)

    def pi(x: Any, y: Any) -> Any:
        first = x * y * 1 + x * (1 - y) * 9 + (1 - x) * 3
        other = y * x * 2 + y * (1 - x) * 1 + (1 - y) * 0
        return (first + other) / 2

    values = (1 - kappa) * pi(p, belief) + kappa * pi(p, p)
    (strategy,) = optimal_strategies(game, HomoMoralis(kappa), belief)
    assert float(HomoMoralis(kappa).utility(game, strategy, belief)) == pytest.approx(values.max(), abs=1e-7)
    assert float(strategy[0][0]) == pytest.approx(p[values.argmax()], abs=1e-4)
