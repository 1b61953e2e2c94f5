"""Drawings of an experiment: what is drawn stands where its number says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np
import pytest

from moralfit.pricing import LogitMarket, benchmarks, moralis_equilibrium
from moralfit.pricing._figures import POINTS, Limits, blocks, limits, price_paths, price_profit
from moralfit.report._market_summary import Marks

STYLES = {"a": "adapter-1", "b": "other-1"}


@pytest.fixture(scope="module")
def marks() -> Marks:
    market = LogitMarket()
    found = benchmarks(market)
    places = {"nash": found.nash, "monopoly": found.monopoly}
    values = {name: {"price": place.prices, "profit": place.profits} for name, place in places.items()}
    moralis = []
    for universe in ("firms", "firms+consumers"):
        for kappa in (0.0, 0.25, 0.5, 0.75, 1.0):
            at = moralis_equilibrium(market, kappa, universe)
            moralis.append({"universe": universe, "kappa": kappa, "price": at.prices, "profit": at.profits})
    return Marks.model_validate({"cost": (1.0, 1.0), **values, "moralis": moralis})


def drawn(root: ElementTree.Element, ink: str) -> list[list[tuple[float, float]]]:
    """The points of each line of a colour."""
    found = []
    for path in root.iter("path"):
        if f"stroke: var(--{ink})" in path.attrib.get("style", ""):
            numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", path.attrib["d"])]
            found.append(list(zip(numbers[::2], numbers[1::2], strict=True)))
    return found


def height(root: ElementTree.Element, on: Limits, price: float) -> float:
    """Where a price is in a drawing of paths."""
    top, bottom = 12.0, 230 - 44.0
    low, high = on.price
    return bottom - (price - low) / (high - low) * (bottom - top)


def test_paths_are_runs_and_their_mean_beside_the_marks(marks: Marks) -> None:
    on = limits([1.2, 2.2], [0, 40], marks)
    runs = [np.array([1.2, 1.4, 1.6]), np.array([1.4, 1.8, 2.2])]
    root = ElementTree.fromstring(price_paths("x", "Prices", {"a": runs, "b": [runs[0]]}, STYLES, marks, on))
    lines = drawn(root, "adapter-1")
    assert len(lines) == 3, "two runs and a mean"
    expected = [*runs, (runs[0] + runs[1]) / 2]
    for line, path in zip(lines, expected, strict=True):
        assert [y for _, y in line] == pytest.approx([height(root, on, p) for p in path], abs=0.1)
    assert len(drawn(root, "other-1")) == 1, "one run is its own mean"
    dashed = [line[0][1] for line in drawn(root, "muted") if len(line) == 2 and line[0][1] == line[1][1]]
    for price in (1.0, marks.nash.mean_price, marks.monopoly.mean_price):
        assert any(y == pytest.approx(height(root, on, price), abs=0.1) for y in dashed)
    texts = ["".join(text.itertext()) for text in root.iter("text")]
    assert {"cost", "Nash", "monopoly", "period"} <= set(texts)


def test_long_paths_become_means_of_blocks() -> None:
    path = np.arange(1.0, 301.0)
    places, means = blocks(path)
    assert len(places) == POINTS == 150
    assert (places[0], means[0], places[-1], means[-1]) == (1.5, 1.5, 299.5, 299.5)
    places, means = blocks(np.arange(1.0, 302.0))
    assert len(places) <= POINTS
    assert means.tolist() == places.tolist()
    assert (means[-1], places[-1]) == (301.0, 301.0), "a shorter last block keeps its own middle"
    assert [part.tolist() for part in blocks(np.array([1.7]))] == [[1.0], [1.7]]


@pytest.mark.parametrize("runs", [[np.array([1.5])], [np.array([1.5, 1.5])], [np.array([3.0]), np.array([1e4])], []])
def test_short_constant_or_wild_paths_can_be_drawn(marks: Marks, runs: Sequence[np.ndarray]) -> None:
    on = limits([float(p) for path in runs for p in path], [], marks)
    root = ElementTree.fromstring(price_paths("x", "Prices", {"a": runs}, STYLES, marks, on))
    assert root.attrib["role"] == "img"
    assert on.price[1] < 6, "one wild price does not flatten all others"
    if len(runs) == 1 and len(runs[0]) == 1:
        assert any("adapter-1" in use.attrib["style"] for use in root.iter("use")), "one period is a marker"


def test_points_stand_at_their_price_and_profit(marks: Marks) -> None:
    on = limits([1.2, 2.2], [0, 40], marks)
    points = {"a": [(1.3, 10.0), (2.1, 30.0)], "b": [(99.0, 20.0)]}
    root = ElementTree.fromstring(price_profit("x", "Profits", points, STYLES, marks, on))

    def place(price: float, profit: float) -> tuple[float, float]:
        x = 44 + (price - on.price[0]) / (on.price[1] - on.price[0]) * (360 - 44 - 14)
        y = 186 - (profit - on.profit[0]) / (on.profit[1] - on.profit[0]) * (186 - 12)
        return x, y

    def uses(ink: str) -> list[tuple[float, float]]:
        return [
            (float(use.attrib["x"]), float(use.attrib["y"]))
            for use in root.iter("use")
            if f"fill: var(--{ink})" in use.attrib["style"]
        ]

    assert uses("adapter-1") == [pytest.approx(place(*point), abs=0.1) for point in points["a"]]
    assert uses("other-1") == [pytest.approx(place(on.price[1], 20.0), abs=0.1)], "what is off the axis is at its edge"
    nash, monopoly = (place(mark.mean_price, mark.mean_profit) for mark in (marks.nash, marks.monopoly))
    assert any(use == pytest.approx(nash, abs=0.1) for use in uses("ink"))
    assert any(use == pytest.approx(monopoly, abs=0.1) for use in uses("ink"))
    curves = [line for line in drawn(root, "ink") if len(line) == 5]
    assert len(curves) == 2
    assert curves[0][0] == pytest.approx(nash, abs=0.1)
    assert curves[0][-1] == pytest.approx(monopoly, abs=0.1)
    assert curves[1][-1] == pytest.approx(place(1.0, 0.0), abs=0.1)


def test_axes_hold_everything_within_reason(marks: Marks) -> None:
    on = limits([1.1, 2.0], [-5.0, 60.0], marks)
    assert on.price[0] < 1.0 < 2.0 < on.price[1] < 2.4
    assert on.profit[0] < -5 < 60 < on.profit[1]
    assert limits([0.5], [], marks).price[0] < 0.5
