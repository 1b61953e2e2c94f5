"""The transfer games: what their constructors refuse, and which numbers are drawn."""

import re
from random import Random

import pytest

from moralfit.errors import GameError
from moralfit.games import (
    GAMES,
    TRANSFER_GAMES,
    Chance,
    Game,
    Terminal,
    centipede,
    chicken,
    concave_public_good,
    dictator_game,
    gift_exchange,
    linear_public_good,
    make_transfer_game,
    repeat,
    stag_hunt,
    trust_amounts,
    trust_game,
    ultimatum_amounts,
)


def test_transfer_games_are_no_training_games() -> None:
    assert not set(TRANSFER_GAMES) & set(GAMES)
    assert all(family.name == name and family.description and family.source for name, family in TRANSFER_GAMES.items())


@pytest.mark.parametrize("name", TRANSFER_GAMES)
def test_samples(name: str) -> None:
    family = TRANSFER_GAMES[name]
    games = [family.sample(Random(seed)) for seed in range(60)]
    assert [family.sample(Random(seed)) for seed in range(60)] == games
    assert len({str(game.parameters) for game in games}) > 8
    for game in games:
        assert game.name == name
        assert family.make(**game.parameters) == game == make_transfer_game(name, **game.parameters)
        payoffs = [payoff for outcome in game.outcomes for payoff in outcome.payoffs]
        assert all(isinstance(payoff, int) and 0 <= payoff <= 150 for payoff in payoffs)
        assert len(game.plans()) <= 256
        # No two ends may look the same to everybody: an action that changes nothing tests nothing.
        assert len({outcome.payoffs for outcome in game.outcomes}) > 1


def test_regions() -> None:
    for seed in range(200):
        hunt = stag_hunt(**TRANSFER_GAMES["stag_hunt"].draw(Random(seed))).parameters
        assert hunt["R"] > hunt["T"] >= hunt["P"] > hunt["S"]
        game = chicken(**TRANSFER_GAMES["chicken"].draw(Random(seed))).parameters
        assert game["T"] > game["R"] > game["S"] > game["P"]
    hunts = [TRANSFER_GAMES["stag_hunt"].draw(Random(seed)) for seed in range(40)]
    assert 10 < sum(hunt["T"] == hunt["P"] for hunt in hunts) < 30


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("chickn", {}, "unknown transfer game 'chickn'; did you mean 'chicken'? Known games: prisoners_dilemma, "),
        ("trust_game", {}, "unknown transfer game 'trust_game'; did you mean"),
        ("chicken", {"T": 9, "Q": 3}, "chicken: parameters unknown Q and missing R, P, S; it takes T, R, P, S"),
        ("chicken", {"T": 3, "R": 3, "S": 1, "P": 0}, "chicken: payoffs must satisfy T > R > S > P, got T = 3, R = 3, S = 1"),
        ("prisoners_dilemma", {"T": 1, "R": 2, "P": 3, "S": 4}, "prisoners_dilemma: payoffs must satisfy T > R > P > S"),
        ("stag_hunt", {"R": 9, "T": 9, "P": 3, "S": 1}, "stag_hunt: payoffs must satisfy R > T >= P > S, got R = 9, T = 9"),
        ("repeated_prisoners_dilemma", {"T": 9, "R": 9, "P": 3, "S": 1}, "payoffs must satisfy T > R > P > S"),
        (
            "dictator_game",
            {"pie": 10, "step": 3},
            "dictator_game: step must divide pie into 1 to 20 parts, got pie = 10, step = 3",
        ),
        ("dictator_game", {"pie": -1}, "dictator_game: pie must be above zero, got -1"),
        ("linear_public_good", {"kept": 6, "shared": 2}, "needs shared < kept < players x shared, got shared = 2, kept = 6"),
        ("linear_public_good", {"players": 2.5}, "linear_public_good: players must be a whole number from 2 to 6, got 2.5"),
        ("linear_public_good", {"players": 6, "tokens": 4, "kept": 2, "shared": 1}, "more than 1,024 outcomes"),
        ("concave_public_good", {"top": 0}, "concave_public_good: top must be a whole number from 1 to 100, got 0"),
        ("concave_public_good", {"r": float("nan")}, "concave_public_good: r must be finite, got nan"),
        ("trust_amounts", {"returns": 5}, "trust_amounts: returns must be a whole number from 2 to 4, got 5"),
        ("ultimatum_amounts", {"pie": 3}, "ultimatum_amounts: the highest offer is 5 x 1 = 5, more than the pie of 3"),
        ("gift_exchange", {"cost": 5}, "gift_exchange: cost must be less than value, got cost = 5, value = 5"),
        ("gift_exchange", {"cost": "1"}, "gift_exchange: cost must be a number, got '1'"),
        ("centipede", {"large": 2}, "needs 1 < factor and factor x small < large, got factor = 2, small = 1, large = 2"),
        ("repeated_trust_game", {"T": 4, "R": 3, "P": 2, "S": 1, "rounds": 1}, "rounds must be a whole number from 2 to 10"),
        ("repeated_trust_game", {"T": 4, "R": 3, "P": 2, "S": 1, "rounds": 7}, "more than 1,024 outcomes; take fewer rounds"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors_name_the_game_and_the_number(name: str, parameters: dict[str, object], message: str) -> None:
    with pytest.raises(GameError, match=re.escape(message)):
        make_transfer_game(name, **parameters)  # type: ignore[arg-type]


def test_only_perfect_information_is_repeated() -> None:
    for hidden in (chicken(9, 5, 1, 3), Game("lottery", Chance((0.5, 0.5), (trust_game(4, 3, 2, 1).root, Terminal((0, 0)))))):
        with pytest.raises(GameError, match=f"repeated_{hidden.name}: {hidden.name} hides information or has moves of nature"):
            repeat(hidden, 2)


def test_repeating_names_what_happened() -> None:
    thrice = repeat(trust_game(9, 6, 4, 1), 3, name="thrice")
    assert thrice.name == "thrice"
    names = [information.name for information in thrice.information_sets]
    assert len(names) == 2 * (1 + 3 + 9)
    assert "round 3 (I G; N): after I" in names
    assert all(information.roles in ((0,), (1,)) for information in thrice.information_sets)


def test_amounts_are_written_as_people_do() -> None:
    assert dictator_game(1, 0.25).information_sets[0].actions == ("0", "0.25", "0.5", "0.75", "1")
    assert ultimatum_amounts(1, 1 / 3, 2).information_sets[0].actions == ("1/3", "2/3")
    assert trust_amounts(4, 2).information_sets[2].actions == ("0", "4", "8")
    assert gift_exchange().information_sets[0].actions == ("0", "3", "6")
    assert centipede(3).information_sets[-1].history == ("pass", "pass")
    assert concave_public_good().information_sets[0].roles == (0, 1)
    assert linear_public_good(4).information_sets[0].roles == (0, 1, 2, 3)
