"""The tree and expectations over it, against closed formulas and against enumeration by hand."""

import itertools
import pickle
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moralfit.errors import GameError
from moralfit.games import (
    Chance,
    Decision,
    Game,
    Move,
    Outcome,
    Terminal,
    exact,
    sequential_prisoners_dilemma,
    trust_game,
    ultimatum_game,
)

HALF = Fraction(1, 2)
LETTERS = (9, 6, 4, 1)

#: Who plays what, written down by hand: x is one's own plan as probabilities of the first action, y the others'.
FORMULAS: dict[Callable[..., Game], Callable[..., Any]] = {
    sequential_prisoners_dilemma: lambda T, R, P, S, x, y: (
        HALF * (x[0] * y[1] * R + x[0] * (1 - y[1]) * S + (1 - x[0]) * y[2] * T + (1 - x[0]) * (1 - y[2]) * P)
        + HALF * (y[0] * x[1] * R + y[0] * (1 - x[1]) * T + (1 - y[0]) * x[2] * S + (1 - y[0]) * (1 - x[2]) * P)
    ),
    trust_game: lambda T, R, P, S, x, y: (
        HALF * (x[0] * y[1] * R + x[0] * (1 - y[1]) * S + (1 - x[0]) * P)
        + HALF * (y[0] * x[1] * R + y[0] * (1 - x[1]) * T + (1 - y[0]) * P)
    ),
    ultimatum_game: lambda T, R, P, S, x, y: (
        HALF * (x[0] * R + (1 - x[0]) * (y[1] * T + (1 - y[1]) * S))
        + HALF * (y[0] * R + (1 - y[0]) * (x[1] * P + (1 - x[1]) * S))
    ),
}

probabilities = st.fractions(0, 1, max_denominator=20)
ordered_payoffs = st.sets(st.integers(-30, 100), min_size=4, max_size=4).map(lambda s: tuple(sorted(s, reverse=True)))


@pytest.mark.parametrize("build", FORMULAS, ids=lambda build: build.__name__)
@given(data=st.data(), letters=ordered_payoffs)
def test_payoff_is_the_closed_formula(build: Callable[..., Game], data: st.DataObject, letters: tuple[int, ...]) -> None:
    game = build(*letters)
    size = len(game.information_sets)
    x = data.draw(st.tuples(*[probabilities] * size))
    y = data.draw(st.tuples(*[probabilities] * size))
    assert game.payoff(x, y) == FORMULAS[build](*letters, x, y)


@pytest.mark.parametrize("build", FORMULAS, ids=lambda build: build.__name__)
def test_inequality_by_enumeration_of_both_roles(build: Callable[..., Game]) -> None:
    """Pure plans meet in both roles; who is behind is read off the payoffs that the two moves lead to."""
    T, R, P, S = LETTERS
    game = build(*LETTERS)

    def meet(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[int, int]:
        if build is sequential_prisoners_dilemma:
            answer = second[1] if first[0] == "C" else second[2]
            return {"CC": (R, R), "CD": (S, T), "DC": (T, S), "DD": (P, P)}[first[0] + answer]
        if build is trust_game:
            return (P, P) if first[0] == "N" else (R, R) if second[1] == "G" else (S, T)
        return (R, R) if first[0] == "E" else (T, P) if second[1] == "A" else (S, S)

    for x, y in itertools.product(game.plans(), repeat=2):
        as_first, as_second = meet(x, y), meet(y, x)[::-1]
        gaps = [other - own for own, other in (as_first, as_second)]
        assert game.payoff(x, y) == Fraction(as_first[0] + as_second[0], 2)
        assert game.behindness(x, y) == Fraction(sum(max(0, gap) for gap in gaps), 2)
        assert game.aheadness(x, y) == Fraction(sum(max(0, -gap) for gap in gaps), 2)


def test_three_roles_average_over_the_others() -> None:
    """First ends the game or passes it on to the third; each of three players is as likely to be in each role."""
    third = Decision(2, "third", ("up", "down"), (Terminal((0, 3, 9)), Terminal((6, 6, 6))))
    game = Game("three", Decision(0, "first", ("end", "go"), (Terminal((4, 1, 2)), third)), ("a", "b", "c"))
    x, y = ("go", "up"), ("go", "down")
    # As a: the third goes down (6, 6, 6). As b: the same. As c: up, (0, 3, 9), ahead of both by 9 and 6.
    assert game.payoff(x, y) == Fraction(6 + 6 + 9, 3)
    assert game.behindness(x, y) == 0
    assert game.aheadness(x, y) == Fraction(9 + 6, 2) / 3
    # Everybody else ends: as a, up follows, behind by 3 and 9; as b and c, (4, 1, 2).
    x, y = ("go", "up"), ("end", "up")
    assert game.payoff(x, y) == Fraction(0 + 1 + 2, 3)
    assert game.behindness(x, y) == (Fraction(3 + 9, 2) + Fraction(3 + 1, 2) + Fraction(2, 2)) / 3
    assert game.aheadness(x, y) == (0 + 0 + Fraction(1, 2)) / 3


def test_nature_and_hidden_information() -> None:
    """A coin that only the first mover sees: the second has one information set for both ways."""
    ends = {"heads": (Terminal((8, 0)), Terminal((0, 4))), "tails": (Terminal((0, 4)), Terminal((8, 0)))}
    tell = {side: Decision(1, "guess", ("h", "t"), ends[side]) for side in ends}
    quiet = Terminal((1, 1))
    root = Chance(
        (0.25, 0.75),
        (
            Decision(0, "saw heads", ("ask", "stop"), (tell["heads"], quiet)),
            Decision(0, "saw tails", ("ask", "stop"), (tell["tails"], quiet)),
        ),
    )
    game = Game("coin", root)
    assert [i.name for i in game.information_sets] == ["saw heads", "guess", "saw tails"]
    assert game.information_sets[0].history == ("chance 1",)
    assert game.information_sets[1].history == ()  # the two ways to it differ
    assert sum(outcome.chance for outcome in game.outcomes) == Fraction(3)  # 1/4 and 3/4, three ends each
    # Always ask, guess heads. As first: 1/4 * 8 + 3/4 * 0; as second: 1/4 * 0 + 3/4 * 4.
    assert game.payoff(("ask", "h", "ask"), ("ask", "h", "ask")) == HALF * (2 + 3)
    assert game.payoff(("ask", "h", "stop"), ("ask", "t", "ask")) == HALF * (Fraction(3, 4)) + HALF * 3


def test_walk_numbers_information_sets_and_outcomes() -> None:
    game = sequential_prisoners_dilemma(9, 6, 4, 1)
    assert [(i.name, i.roles, i.history) for i in game.information_sets] == [
        ("first", (0,), ()),
        ("after C", (1,), ("C",)),
        ("after D", (1,), ("D",)),
    ]
    assert game.outcomes[2] == Outcome((Move(0, 0, 1), Move(1, 2, 0)), 1, (9, 1))
    assert game.plans()[:3] == (("C", "C", "C"), ("C", "C", "D"), ("C", "D", "C"))
    assert len(game.plans()) == 8
    assert game.multilinear


def test_roles_can_share_an_information_set() -> None:
    second = [Decision(1, "move", ("a", "b"), (Terminal((1, 1)), Terminal((2, 2)))) for _ in range(2)]
    game = Game("at once", Decision(0, "move", ("a", "b"), (second[0], second[1])))
    assert [i.roles for i in game.information_sets] == [(0, 1)]
    assert not game.multilinear


def test_games_are_values() -> None:
    game = trust_game(80, 60, 30, 20)
    assert game == trust_game(80, 60, 30, 20) != trust_game(80, 61, 30, 20)
    assert hash(game) == hash(trust_game(80, 60, 30, 20))
    assert pickle.loads(pickle.dumps(game)) == game


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (("C", "D", "C"), ((1, 0), (0, 1), (1, 0))),
        ("CDC", ((1, 0), (0, 1), (1, 0))),
        ("101", ((1, 0), (0, 1), (1, 0))),
        ((1, 0, 1), ((1, 0), (0, 1), (1, 0))),
        (np.array([1, 0, 1]), ((1, 0), (0, 1), (1, 0))),
        (0.5, ((HALF, HALF),) * 3),
        (np.float32(0.1), ((Fraction(1, 10), Fraction(9, 10)),) * 3),
        (("C", 0.1, (0.25, 0.75)), ((1, 0), (Fraction(1, 10), Fraction(9, 10)), (Fraction(1, 4), Fraction(3, 4)))),
        (np.full((3, 2), 0.5), ((HALF, HALF),) * 3),
        ({"first": "D", "after C": {"D": 1}, "after D": 1}, ((0, 1), (0, 1), (1, 0))),
        ([(0.1 + 0.2, 0.7)] * 3, ((Fraction(3, 10), Fraction(7, 10)),) * 3),
        ([(0.123456789, 0.876543211)] * 3, ((Fraction(123456789, 10**9), Fraction(876543211, 10**9)),) * 3),
    ],
    ids=repr,
)
def test_ways_to_write_a_strategy(spec: Any, expected: Any) -> None:
    strategy = sequential_prisoners_dilemma(9, 6, 4, 1).strategy(spec)
    assert strategy == expected
    assert all(type(p) in (int, Fraction) for entry in strategy for p in entry)


def test_actions_named_like_numbers_are_actions() -> None:
    game = Game("digits", Decision(0, "pick", ("0", "1"), (Terminal((0, 0)), Terminal((1, 1)))))
    assert game.strategy("0") == ((1, 0),)
    assert game.strategy((0,)) == ((0, 1),)


def test_probabilities_from_a_computation_are_made_to_sum_to_one() -> None:
    game = Game("three", Decision(0, "pick", ("a", "b", "c"), tuple(Terminal((i, 0)) for i in range(3))))
    assert game.strategy([[1 / 3, 1 / 3, 1 / 3]]) == ((Fraction(1, 3),) * 3,)
    weights = np.random.default_rng(0).dirichlet([1, 1, 1])
    (entry,) = game.strategy([weights])
    assert sum(entry) == 1
    assert np.allclose([float(p) for p in entry], weights, atol=1e-12)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (("C", "X", "C"), r"sequential_prisoners_dilemma, decision 'after C': unknown action 'X'; the actions are C, D"),
        ("CCX", r"unknown action 'X'"),
        ("C", r"a strategy has 3 entries \(first, after C, after D\), got 1"),
        (1.5, r"decision 'first': 1\.5 is not a probability"),
        (-0.1, r"is not a probability"),
        (float("nan"), r"a probability must be finite, got nan"),
        ((1, float("inf"), 0), r"decision 'after C': a probability must be finite, got inf"),
        ((1, True, 0), r"a probability must be a number, got True"),
        ((1, None, 0), r"decision 'after C': a probability must be a number, got None"),
        (None, r"None is not a strategy"),
        ((1, 1, (0.5, 0.6)), r"decision 'after D': probabilities \[0\.5, 0\.6\] must be non-negative and sum to one"),
        ((1, 1, (1.5, -0.5)), r"must be non-negative and sum to one"),
        ((1, 1, (1, 0, 0)), r"decision 'after D': 3 probabilities for 2 actions"),
        ((1, 1, {"C": 0.5, "K": 0.5}), r"unknown actions \['K'\]; the actions are C, D"),
        ({"first": 1, "second": 0}, r"unknown decisions \['second'\] and lacks \['after C', 'after D'\]"),
    ],
)
def test_bad_strategies_are_refused(spec: Any, message: str) -> None:
    with pytest.raises(GameError, match=message):
        sequential_prisoners_dilemma(9, 6, 4, 1).strategy(spec)


def test_one_number_cannot_mix_three_actions() -> None:
    game = Game("three", Decision(0, "pick", ("a", "b", "c"), tuple(Terminal((i, 0)) for i in range(3))))
    with pytest.raises(GameError, match="three, decision 'pick': one number does not say how 3 actions are mixed"):
        game.strategy(0.5)


END = Terminal((0, 0))
PICK = Decision(0, "pick", ("a", "b"), (END, END))


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (Decision(0, "pick", ("a", "b"), (Terminal((1, 2, 3)), END)), r"bad, after a: 3 payoffs for 2 roles"),
        (
            Decision(0, "pick", ("a", "b"), (END, Terminal((1, float("nan"))))),
            r"bad, after b: a payoff must be finite, got nan",
        ),
        (Decision(0, "pick", ("a", "b"), (END, Terminal((1, "2")))), r"bad, after b: a payoff must be a number, got '2'"),  # type: ignore[arg-type]
        (Decision(2, "pick", ("a", "b"), (END, END)), r"bad, after the start: role 2 does not exist"),
        (Decision(0, "pick", ("a",), (END,)), r"two or more different actions, got \('a',\)"),
        (Decision(0, "pick", ("a", "a"), (END, END)), r"two or more different actions"),
        (Decision(0, "pick", ("a", "b"), (END,)), r"2 actions but 1 branches"),
        (
            Decision(1, "top", ("x", "y"), (PICK, Decision(0, "pick", ("b", "a"), (END, END)))),
            r"after y: information set 'pick'",
        ),
        (Decision(0, "pick", ("a", "b"), (PICK, END)), r"after a: first mover passes information set 'pick' twice"),
        (Decision(0, "pick", ("a", "b"), (END, None)), r"after b: expected a Terminal, Decision or Chance, got None"),  # type: ignore[arg-type]
        (Chance((0.5, 0.6), (PICK, END)), r"probabilities \[0\.5, 0\.6\] must be non-negative and sum to one"),
        (Chance((1.5, -0.5), (PICK, END)), r"must be non-negative and sum to one"),
        (Chance((1,), (PICK, END)), r"1 chance probabilities but 2 branches"),
        (Chance((), ()), r"must be non-negative and sum to one"),
        (Chance((0.5, 0.5), (END, END)), r"bad: nobody has anything to decide"),
    ],
)
def test_malformed_trees_are_refused(root: Any, message: str) -> None:
    with pytest.raises(GameError, match=message):
        Game("bad", root)


def test_one_role_is_not_a_game() -> None:
    with pytest.raises(GameError, match="bad: a game needs two or more roles"):
        Game("bad", PICK, ("me",))


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (3, Fraction(3)),
        (np.int64(2**60 + 1), Fraction(2**60 + 1)),
        (0.1, Fraction(1, 10)),
        (0.1 + 0.2, Fraction(3, 10)),
        (1 - 0.9, Fraction(1, 10)),
        (np.linspace(0, 1, 11)[7], Fraction(7, 10)),
        (1 / 3, Fraction(1, 3)),
        (-2 / 7, Fraction(-2, 7)),
        (np.float32(0.1), Fraction(1, 10)),
        (Decimal("0.1234567891234567891"), Fraction(1234567891234567891, 10**19)),
        (0.123456789, Fraction(123456789, 10**9)),
        (1e-20, Fraction(1, 10**20)),
        (0.0, Fraction(0)),
        (Fraction(1, 99991), Fraction(1, 99991)),
    ],
    ids=repr,
)
def test_exact_reads_what_was_meant(value: Any, meant: Fraction) -> None:
    assert exact(value) == meant
    assert type(exact(value).numerator) is int


@given(st.floats(-1e6, 1e6, allow_subnormal=False))
def test_exact_stays_within_rounding_error(value: float) -> None:
    assert abs(exact(value) - Fraction(value)) <= abs(Fraction(value)) / 2**51


@given(st.fractions(-50, 50, max_denominator=10_000))
def test_exact_recovers_simple_fractions(value: Fraction) -> None:
    assert exact(float(value)) == value


@pytest.mark.parametrize("value", [True, "1", None, 1j, [1]], ids=repr)
def test_exact_refuses_what_is_not_a_number(value: Any) -> None:
    with pytest.raises(GameError, match="kappa must be a number"):
        exact(value, "kappa")
