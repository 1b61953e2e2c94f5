"""The registered games: payoffs at each end of the tree, and what their constructors refuse."""

import math
import subprocess
import sys
from collections.abc import Callable

import pytest

from moralfit.errors import GameError, MoralfitError
from moralfit.games import (
    GAMES,
    Game,
    make_game,
    sequential_prisoners_dilemma,
    trust_game,
    ultimatum_game,
)


def ends(game: Game) -> dict[str, tuple[object, ...]]:
    sets = game.information_sets
    return {"".join(sets[m.information].actions[m.action] for m in o.moves): o.payoffs for o in game.outcomes}


def test_payoffs_at_the_ends() -> None:
    T, R, P, S = 90, 45, 15, 10
    assert ends(sequential_prisoners_dilemma(T, R, P, S)) == {"CC": (R, R), "CD": (S, T), "DC": (T, S), "DD": (P, P)}
    assert ends(trust_game(T, R, P, S)) == {"IG": (R, R), "IK": (S, T), "N": (P, P)}
    assert ends(ultimatum_game(T, R, P, S)) == {"E": (R, R), "UA": (T, P), "UN": (S, S)}


def test_ultimatum_letters_of_van_leeuwen_and_alger() -> None:
    """Their accept pays the responder S and reject pays both P: the same game as ours with P and S swapped."""
    theirs = ultimatum_game(T=60, R=50, P=10, S=40, convention="TRSP")
    assert ends(theirs) == {"E": (50, 50), "UA": (60, 40), "UN": (10, 10)}
    assert theirs.root == ultimatum_game(T=60, R=50, P=40, S=10).root
    assert theirs.parameters == {"T": 60, "R": 50, "S": 40, "P": 10}


def test_ultimatum_letters_are_not_mixed_up() -> None:
    with pytest.raises(
        GameError, match="ultimatum_game: payoffs must satisfy T > R > S > P, got T = 60, R = 50, S = 10, P = 40"
    ):
        ultimatum_game(60, 50, 40, 10, convention="TRSP")
    with pytest.raises(GameError, match="convention must be 'TRPS' or 'TRSP', got 'vLA'"):
        ultimatum_game(60, 50, 40, 10, convention="vLA")  # type: ignore[arg-type]


@pytest.mark.parametrize("build", GAMES.values(), ids=GAMES)
@pytest.mark.parametrize("letters", [(4, 4, 2, 1), (4, 3, 3, 1), (4, 3, 2, 2), (3, 4, 2, 1), (1, 2, 3, 4)], ids=str)
def test_payoffs_out_of_order(build: Callable[..., Game], letters: tuple[int, ...]) -> None:
    with pytest.raises(GameError, match=rf"{build.__name__}: payoffs must satisfy T > R > P > S, got T = {letters[0]}, "):
        build(*letters)


@pytest.mark.parametrize("build", GAMES.values(), ids=GAMES)
def test_payoffs_that_are_no_numbers(build: Callable[..., Game]) -> None:
    with pytest.raises(GameError, match=f"{build.__name__}: P must be finite, got nan"):
        build(9, 6, math.nan, 1)
    with pytest.raises(GameError, match=f"{build.__name__}: T must be a number, got '9'"):
        build("9", 6, 4, 1)


def test_make_game() -> None:
    assert list(GAMES) == ["sequential_prisoners_dilemma", "trust_game", "ultimatum_game"]
    for name, build in GAMES.items():
        assert make_game(name, 9, 6, 4, 1) == build(9, 6, 4, 1)
        assert make_game(name, 9, 6, 4, 1).name == name
    with pytest.raises(
        MoralfitError, match=r"unknown game 'trustgame'; did you mean 'trust_game'\? Known games: seq.*ultimatum_game"
    ):
        make_game("trustgame", 9, 6, 4, 1)
    with pytest.raises(GameError, match=r"unknown game 'xyz'; Known games: "):
        make_game("xyz", 9, 6, 4, 1)


def test_importing_games_is_light() -> None:
    """Neither the games nor the solver may wait for torch or a plotting library."""
    program = (
        "import sys, time; start = time.perf_counter(); import moralfit.games; took = time.perf_counter() - start\n"
        "import moralfit.solve\n"
        "heavy = {'torch', 'transformers', 'matplotlib', 'pandas', 'scipy', 'datasets', 'trl', 'peft'} & set(sys.modules)\n"
        "print(took); print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    took, heavy = done.stdout.splitlines()
    assert heavy == "[]"
    assert float(took) < 1
