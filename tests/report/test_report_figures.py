"""Marks stand where their numbers say, whatever style the caller has set."""

from __future__ import annotations

from xml.etree import ElementTree

import matplotlib
import pytest

from moralfit.report import _figures
from moralfit.report._figures import Group, Line, curve, forest, ladder
from moralfit.report._load import Estimate

LEFT, RIGHT = _figures._LABELS, _figures.WIDTH - _figures._RIGHT


def draw(*lines: Line, scale: str = "share") -> ElementTree.Element:
    groups = [Group("After I", lines)]
    drawing = forest("x", "Trust game", groups, "axis", "difference" if scale == "difference" else "share")
    return ElementTree.fromstring(drawing)


def marks(root: ElementTree.Element, style: str) -> list[tuple[float, bool]]:
    """Horizontal place of each marker in this colour, and whether it is filled with it."""
    ink = f"var(--{style})"
    uses = [use for use in root.iter("use") if f"stroke: {ink}" in use.attrib["style"]]
    return [(float(use.attrib["x"]), f"fill: {ink}" in use.attrib["style"]) for use in uses]


def spans(root: ElementTree.Element, style: str) -> list[tuple[float, float]]:
    """Ends of each line in this colour."""
    found = []
    for path in root.iter("path"):
        if f"stroke: var(--{style})" in path.attrib.get("style", "") and "stroke-opacity" in path.attrib["style"]:
            _, x0, _, _, x1, _ = path.attrib["d"].split()
            found.append((float(x0), float(x1)))
    return found


def place(share: float) -> float:
    return LEFT + share * (RIGHT - LEFT)


def test_estimates_and_intervals_stand_where_they_belong() -> None:
    first, second = Estimate(estimate=0.25, low=0.1, high=0.5), Estimate(estimate=1.0, low=0.9, high=1.0)
    root = draw(Line("tuned", "adapter-1", (first, second)))
    (x0, filled0), (x1, filled1) = marks(root, "adapter-1")
    assert (x0, x1) == pytest.approx((place(0.25), place(1.0)), abs=0.1)
    assert (filled0, filled1) == (True, False)
    expected = [place(0.1), place(0.5), place(0.9), place(1.0)]
    assert [x for span in spans(root, "adapter-1") for x in span] == pytest.approx(expected, abs=0.1)


def test_differences_are_drawn_from_minus_one() -> None:
    root = draw(Line("base", "base", (Estimate(estimate=0.0),)), scale="difference")
    ((x, filled),) = marks(root, "base")
    assert x == pytest.approx(place(0.5), abs=0.1)
    assert filled
    assert spans(root, "base") == []


def test_theory_stands_beside_each_estimate() -> None:
    line = Line("tuned", "adapter-1", (Estimate(estimate=0.6), None), theory=(0.75, 0.2))
    paths = [path.attrib for path in draw(line).iter("path") if "stroke: var(--ink)" in path.attrib.get("style", "")]
    assert [float(path["d"].split()[1]) for path in paths] == pytest.approx([place(0.75), place(0.2)], abs=0.1)


def test_a_line_without_numbers_says_so() -> None:
    texts = ["".join(text.itertext()) for text in draw(Line("base", "base", (None, None))).iter("text")]
    assert "no choices to count" in texts
    assert "After I" in texts


def test_names_are_text_and_not_mathematics() -> None:
    root = ElementTree.fromstring(ladder("x", "a < b", [("$x^2$ <b>", "base", Estimate(estimate=0.5), "50%")]))
    texts = ["".join(text.itertext()) for text in root.iter("text")]
    assert "$x^2$ <b>" in texts
    assert "50%" in texts
    assert [title.text for title in root.iter("title")] == ["a < b"]


@pytest.mark.parametrize(
    "label", ["a-very-long-key-without-a-single-space-in-it", "told: homo moralis (κ\xa0=\xa00.123456789)", ""]
)
def test_long_labels_are_cut_and_keep_their_beginning(label: str) -> None:
    estimate = Estimate(estimate=0.5)
    drawings = [
        ladder("x", "t", [(label, "base", estimate, "50%")]),
        forest("x", "t", [Group("g", (Line(label, "base", (estimate,)),))], "a", "share"),
    ]
    for drawing in drawings:
        texts = ["".join(text.itertext()) for text in ElementTree.fromstring(drawing).iter("text")]
        assert all(len(text) <= 30 for text in texts)
        assert any(label[:9] in text for text in texts)


def test_curves_show_what_was_logged_and_survive_what_is_not_finite() -> None:
    nan = float("nan")
    for values in ([1.0, nan, 0.5], [nan, nan], [0.0, 0.0], [1 / (n + 1) for n in range(60)]):
        for scale in ("loss", "accuracy", "rate"):
            root = ElementTree.fromstring(curve("x", "Loss", range(1, len(values) + 1), values, scale))
            assert root.attrib["role"] == "img"
    drawn = ElementTree.fromstring(curve("x", "Loss", [1, 2, 3], [1.0, 0.5, 0.25], "loss"))
    (path,) = [p.attrib["d"] for p in drawn.iter("path") if "stroke: var(--adapter-1)" in p.attrib.get("style", "")]
    _, x0, y0, _, x1, y1, _, x2, y2 = path.split()
    assert float(x1) - float(x0) == pytest.approx(float(x2) - float(x1), abs=0.1)
    assert float(y1) - float(y0) == pytest.approx(2 * (float(y2) - float(y1)), abs=0.1)


def test_running_means_keep_the_ends_of_a_straight_line() -> None:
    values = [float(n) for n in range(50)]
    assert _figures._running_mean(values, 4) == values
    assert _figures._running_mean([0.0, 3.0, 0.0], 4) == [0.0, 1.0, 0.0]


def test_drawings_ignore_and_keep_the_callers_style() -> None:
    line = Line("tuned", "adapter-1", (Estimate(estimate=0.6),))
    plain = ElementTree.tostring(draw(line))
    with matplotlib.rc_context({"svg.fonttype": "path", "lines.linewidth": 9, "axes.facecolor": "red", "font.size": 30}):
        assert ElementTree.tostring(draw(line)) == plain
        assert matplotlib.rcParams["svg.fonttype"] == "path"
        assert matplotlib.rcParams["lines.linewidth"] == 9


def test_every_colour_is_the_style_sheets() -> None:
    text = forest(
        "x", "t", [Group("g", (Line("a", "adapter-4", (Estimate(estimate=0.5, low=0.1, high=0.9),), (0.5,)),))], "a", "share"
    )
    assert not [word for word in text.split() if word.startswith("#") and not word.startswith("#x-")]
    assert "var(--adapter-4)" in text
    assert "var(--grid)" in text
    assert "var(--ink)" in text
