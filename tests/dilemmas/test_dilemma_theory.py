"""The stakes of both families against models that are written out person by person, and against the library's own utility."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest

from moralfit.dilemmas import FAMILIES, Stakes
from moralfit.dilemmas._vaccination import ILLNESS, R0, TOWN, risk
from moralfit.games import Decision, Game, Terminal
from moralfit.preferences import HomoMoralis

VEHICLES, VACCINATION = FAMILIES["autonomous-vehicles"], FAMILIES["vaccination"]
KAPPAS = [Fraction(k, 40) for k in range(41)]
ABOARD = {1: "alone", 2: "family"}


def vehicle(question: str, n: int, m: int = 1, perspective: str = "passenger", standpoint: str = "role known") -> Stakes:
    cell = {"people": n, "aboard": ABOARD[m], "perspective": perspective, "question": question}
    return VEHICLES.stakes(cell, standpoint)  # type: ignore[arg-type]


def survivors(n: int, m: int, swerves: bool) -> list[int]:
    """1 for everyone who lives: the m passengers first, then the n pedestrians."""
    return [int(not swerves)] * m + [int(swerves)] * n


@pytest.mark.parametrize(("n", "m"), product((1, 2, 5, 10, 100), (1, 2)))
def test_a_known_role_against_the_survivors_of_both_ends(n: int, m: int) -> None:
    mine = {"passenger": 0, "pedestrian": m}
    for perspective, kappa in product(("passenger", "pedestrian", "observer"), KAPPAS):
        utility = []
        for swerves in (True, False):
            alive = survivors(n, m, swerves)
            own = Fraction(alive[mine[perspective]]) if perspective in mine else Fraction(0)
            utility.append((1 - kappa) * own + kappa * Fraction(sum(alive), n + m))
        assert vehicle("moral", n, m, perspective).advantage(kappa) == utility[0] - utility[1]
        # A buyer rides in the car, and meets other people's cars on foot.
        for question, seat in (("own", "passenger"), ("others", "pedestrian")):
            assert vehicle(question, n, m, perspective) == vehicle("moral", n, m, seat)


@pytest.mark.parametrize(("n", "m"), product((1, 2, 3, 5), (1, 2)))
def test_behind_the_veil_against_homo_moralis_in_the_game_itself(n: int, m: int) -> None:
    ends = tuple(Terminal(tuple(survivors(n, m, swerves))) for swerves in (True, False))
    roles = tuple(f"person {number}" for number in range(n + m))
    game = Game("crossing", Decision(0, "owner", ("swerve", "stay"), ends), roles)
    for kappa in KAPPAS:
        preference = HomoMoralis(kappa)
        for others in ("swerve", "stay"):
            gain = preference.utility(game, ("swerve",), (others,)) - preference.utility(game, ("stay",), (others,))
            assert vehicle("own", n, m, standpoint="veil").advantage(kappa) == gain
    # What others do moves the own payoff alone; a recommendation is judged as a law besides, which is our convention.
    selfish = HomoMoralis(0)
    for mine in ("swerve", "stay"):
        gain = selfish.utility(game, (mine,), ("swerve",)) - selfish.utility(game, (mine,), ("stay",))
        assert vehicle("others", n, m, standpoint="veil").own == gain
    law = selfish.utility(game, ("swerve",), ("swerve",)) - selfish.utility(game, ("stay",), ("stay",))
    assert vehicle("rule", n, m) == vehicle("rule", n, m, standpoint="veil") == Stakes(law, law)


def first_approval(stakes: Stakes) -> Fraction | None:
    """The smallest kappa of a fine grid at which swerving is strictly better."""
    return next((Fraction(k, 2000) for k in range(2001) if stakes.answer(Fraction(k, 2000)) == 1), None)


@pytest.mark.parametrize(("n", "m"), product((1, 2, 5, 10, 100), (1, 2)))
def test_switching_points(n: int, m: int) -> None:
    for standpoint, point in (("role known", Fraction(n + m, 2 * n)), ("veil", Fraction(1, n - m + 1) if n >= m else None)):
        stakes = vehicle("own", n, m, standpoint=standpoint)
        found = first_approval(stakes)
        if n <= m:
            assert found is None
        else:
            assert found is not None
            assert point is not None
            assert 0 <= found - point <= Fraction(1, 2000)
            assert stakes.switch == point
            assert stakes.answer(point) == 0.5


def test_the_points_that_are_quoted() -> None:
    assert vehicle("moral", 10).switch == Fraction(55, 100)
    assert vehicle("moral", 1).switch is None or vehicle("moral", 1).answer(1) < 1
    assert vehicle("moral", 10, standpoint="veil").switch == Fraction(1, 10)
    assert vehicle("moral", 10, 2).switch == Fraction(12, 20)
    assert vehicle("moral", 2, 2).answer(1) == 0.5


def test_homo_economicus_wants_of_others_what_it_does_not_buy() -> None:
    for n, standpoint in product((2, 5, 10, 100), ("role known", "veil")):
        assert vehicle("others", n, standpoint=standpoint).answer(0) == 1
        assert vehicle("own", n, standpoint=standpoint).answer(0) == 0
        assert vehicle("own", n, standpoint=standpoint).answer(1) == vehicle("others", n, standpoint=standpoint).answer(1) == 1


# --- Vaccination


def settled_risk(coverage: float) -> float:
    """The lifetime risk of somebody unvaccinated where births and deaths keep the disease going, by bisection on its force.

    Susceptible (1 - p) mu / (force + mu), infectious force * susceptible / (mu + gamma); the force is R0 (mu + gamma) times
    the infectious. Rates a year.
    """
    mu, gamma = 1 / 50, 20.0

    def excess(force: float) -> float:
        susceptible = (1 - coverage) * mu / (force + mu)
        return R0 * (mu + gamma) * force * susceptible / (mu + gamma) - force

    low, high = 1e-12, 10.0
    if excess(low) < 0:
        return 0.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return low / (low + mu)


@pytest.mark.parametrize("percent", [0, 10, 50, 60, 75, 79, 81, 90, 99])
def test_risk_is_that_of_a_disease_that_has_settled(percent: int) -> None:
    assert float(risk(Fraction(percent, 100))) == pytest.approx(settled_risk(percent / 100), abs=1e-6)


def days(vaccinated: bool, coverage: Fraction, burden: int) -> Fraction:
    return Fraction(burden) if vaccinated else ILLNESS * risk(coverage)


@pytest.mark.parametrize(("percent", "burden"), product((0, 50, 60, 75, 90), (3, 7)))
def test_vaccination_stakes_against_days_counted_for_each_decision(percent: int, burden: int) -> None:
    coverage, all_of_them, nobody = Fraction(percent, 100), Fraction(1), Fraction(0)

    def found(question: str, perspective: str = "resident", standpoint: str = "role known") -> Stakes:
        cell = {"vaccinated": percent, "burden": burden, "perspective": perspective, "question": question}
        return VACCINATION.stakes(cell, standpoint)  # type: ignore[arg-type]

    universal = days(False, nobody, burden) - days(True, all_of_them, burden)
    now = min(days(own, coverage, burden) for own in (True, False))
    after = min(days(own, all_of_them, burden) for own in (True, False))
    own = {
        ("own", "resident"): days(False, coverage, burden) - days(True, coverage, burden),
        ("others", "resident"): now - after,
        ("rule", "resident"): now - days(True, all_of_them, burden),
        ("moral", "unable"): days(False, coverage, burden) - days(False, coverage + Fraction(1, TOWN), burden),
        ("others", "unable"): days(False, coverage, burden) - days(False, all_of_them, burden),
        ("rule", "unable"): days(False, coverage, burden) - days(False, all_of_them, burden),
        ("others", "observer"): Fraction(0),
    }
    own["moral", "resident"] = own["own", "resident"]
    for (question, perspective), gain in own.items():
        assert found(question, perspective) == Stakes(gain, universal), (question, perspective)
        assert found(question, perspective, "veil").own == own.get((question, "resident"), found(question).own)
    for kappa in KAPPAS:
        utility = [
            -(1 - kappa) * days(mine, coverage, burden) - kappa * days(mine, all_of_them if mine else nobody, burden)
            for mine in (True, False)
        ]
        assert found("own").advantage(kappa) == utility[0] - utility[1]
    r, now_risk = Fraction(burden, ILLNESS), risk(coverage)
    if now_risk < r:
        assert found("own").switch == (r - now_risk) / (risk(nobody) - now_risk)


@pytest.mark.parametrize("burden", [3, 7])
def test_homo_economicus_stops_where_bauch_and_earn_say(burden: int) -> None:
    point = 1 - 1 / (R0 * (1 - Fraction(burden, ILLNESS)))
    assert risk(point) == Fraction(burden, ILLNESS)
    assert point < 1 - Fraction(1, R0)
    for level in VACCINATION.factors["vaccinated"]:
        cell = {"vaccinated": level, "burden": burden, "perspective": "resident", "question": "own"}
        assert VACCINATION.stakes(cell, "role known").answer(0) == float(Fraction(int(level), 100) < point)
        assert VACCINATION.stakes(cell, "role known").answer(1) == 1


def test_an_indifferent_type_is_half_way() -> None:
    assert Stakes(Fraction(0), Fraction(0)).answer(0) == 0.5
    assert Stakes(Fraction(-1), Fraction(1)).answer(Fraction(1, 2)) == 0.5
    assert Stakes(Fraction(1), Fraction(1)).switch is None
