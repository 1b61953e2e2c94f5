"""The parts that came with estimates and other games: shown where they are, left out where they are not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from moralfit.errors import RunError
from moralfit.report import write_comparison, write_report
from moralfit.report._figures import WIDTH, Group, Line, forest, weights_scale
from moralfit.report._load import Bounds

MORALIS = "homo moralis (kappa = 1)"
Read = Callable[[Path], Any]
Edit = Callable[[Path, Callable[[Any], Any]], None]


def bounds(estimate: float | None, low: float | None, high: float | None) -> dict[str, float | None]:
    return {"estimate": estimate, "low": low, "high": high}


def entry(
    agent: str, model: str, kappa: Any = None, status: str = "converged", remark: str = "", **more: Any
) -> dict[str, Any]:
    weights = {} if kappa is None else {"kappa": kappa}
    if kappa is not None and model == "full":
        weights |= {"alpha": bounds(-0.04, -0.3, 0.21), "beta": bounds(0.3, 0.04, 0.55)}
    return {
        "agent": agent, "games": "trained", "use": "answers", "beliefs": "stated", "model": model, "prompts": 33, "read": 30,
        "status": status, "weights": weights, "noise": bounds(0.33, 0.2, 0.6) if weights else None, "remark": remark, **more,
    }  # fmt: skip


def with_estimates(value: Any) -> None:
    found = []
    for model in ("homo moralis", "full"):
        found += [
            entry("tuned", model, bounds(1.17, 0.98, 1.35)),
            entry("tuned", model, bounds(9.9, 9.8, 9.91), beliefs="convention"),
            entry("random", model, status="chance", remark="no better than chance, p = 0.31"),
            entry("base", model, status="too few", remark="only 3 of 33 replies readable", read=3),
            entry("prompted", model, bounds(None, 0.25, None), "separated", "no slips: every value in the range explains it"),
            entry("tuned", model, bounds(0.61, 0.4, 0.8), use="probabilities"),
        ]
    value["estimates"] = found


def with_other_games(value: Any) -> None:
    rows = []
    for row in [row for row in value["rows"] if row["split"] == "payoffs" and row["decision"] == "all"]:
        games = (
            ("all",) if row["game"] == "all" else ("prisoners_dilemma", "dictator_game", "chicken", "stag_hunt", "centipede")
        )
        rows += [{**row, "split": "games", "game": game} for game in games]
    value["rows"] += rows


def test_estimates_stand_beside_aims(run: Path, read: Read, edit: Edit) -> None:
    edit(run / "evaluation/summary.json", with_estimates)
    page = read(write_report(run))
    section = page.section("wants")
    assert '<a href="#wants">' in page.html
    table = {row[0]: row for row in page.table("Estimated weights")[::-1]}
    assert [cell.replace("\xa0", " ") for cell in table["tuned"]] == [
        "tuned", "homo moralis (κ = 1)", "30 of 33", "1.17", "0.98 to 1.35", "0.33", "1.17", "0.98 to 1.35",
        "−0.04", "−0.30 to 0.21", "0.30", "0.04 to 0.55",
    ]  # fmt: skip
    assert table["random"] == ["random", "–", "30 of 33", "no better than chance, p = 0.31"]
    assert table["base"][2:] == ["3 of 33", "only 3 of 33 replies readable"]
    assert table["prompted base"][3:6] == ["", "0.25 to any", "0.33"]
    assert "no slips: every value in the range explains it" in page.text
    assert "9.9" not in section, "one kind of belief is shown"
    assert "Option probabilities without reasoning" in page.text
    assert "Only prompts that state what to expect of others are used." in page.text
    drawings = re.findall(r"<svg viewBox.*?</svg>", section, re.DOTALL)
    assert len(drawings) == 3
    titles = ["".join(re.findall(r"<title[^>]*>(.*?)</title>", drawing)) for drawing in drawings]
    assert [title[0] for title in titles] == ["κ", "α", "β"]
    for drawing in drawings:
        assert drawing.count("no estimate") == 2


def test_a_set_of_one_value_is_called_that(run: Path, read: Read, edit: Edit) -> None:
    def change(value: Any) -> None:
        with_estimates(value)
        for one in value["estimates"]:
            if one["agent"] == "prompted":
                one["weights"]["kappa"] = {"estimate": None, "low": 1 - 1e-9, "high": 1.0}

    edit(run / "evaluation/summary.json", change)
    table = {row[0]: row for row in read(write_report(run)).table("Estimated weights")}
    assert table["prompted base"][3:6] == ["", "only 1.00", "0.33"]


def test_what_agents_said_about_others_takes_precedence(run: Path, read: Read, edit: Edit) -> None:
    def change(value: Any) -> None:
        with_estimates(value)
        value["estimates"] += [
            entry("tuned", model, bounds(0.71, 0.6, 0.8), beliefs="elicited") for model in ("homo moralis", "full")
        ]

    edit(run / "evaluation/summary.json", change)
    page = read(write_report(run))
    table = {row[0]: row for row in page.table("Estimated weights")}
    assert table["tuned"][3] == "0.71"
    assert "random" not in table
    assert "with what the agent said, when asked" in page.text


def test_other_games_are_a_third_part(run: Path, read: Read, edit: Edit) -> None:
    edit(run / "evaluation/summary.json", with_other_games)
    page = read(write_report(run))
    transfer = page.section("transfer")
    for title in ("Prisoner’s dilemma, at once", "Dictator game", "Chicken", "Stag hunt", "Centipede"):
        assert f"{title} (" in transfer
        assert title not in page.section("games")
    assert transfer.count("<figure>") == 2, "four games in a drawing"
    assert "other games, never trained on" not in page.section("games")
    assert "On other games, which it was never trained on:" in " ".join(re.sub("<[^>]*>", "", page.section("result")).split())
    assert ["All decisions, other games, never trained on"] in page.table("Chicken")
    ids = page.ids()
    assert len(ids) == len(set(ids))


def test_one_transcript_stands_for_other_games_and_mixtures_are_named(run: Path, read: Read, edit: Edit) -> None:
    def change(records: Any) -> None:
        for record in [r for r in records if r["split"] == "payoffs" and r["decision"] == "first"][:]:
            for game in ("chicken", "stag_hunt"):
                more = {"split": "games", "game": game, "prompt_id": f"games/{game}/{record['item']}", "region": None}
                both = {"optimum": {MORALIS: ["I", "N"]}, "optimum_kind": {MORALIS: "mixed"}, "status": "unparseable"}
                records.append({**record, **more, **both, "action": None})

    edit(run / "evaluation/summary.json", with_other_games)
    edit(run / "evaluation/records.jsonl", change)
    page = read(write_report(run))
    section = page.section("transcripts")
    assert section.count("Other games, never trained on, games/chicken/0") == 1
    assert "games/stag_hunt" not in section
    assert "(of the other games, the first of all)" in page.text
    assert "optimal is a mixture of " in page.text


def test_summaries_from_before_have_neither(run: Path, comparison: Path, read: Read) -> None:
    for page in (read(write_report(run)), read(write_comparison(comparison))):
        assert 'id="wants"' not in page.html
        assert 'id="transfer"' not in page.html
        assert "#wants" not in page.html
        assert "What does each agent want?" not in page.text


def test_a_comparison_shows_every_adapter(comparison: Path, read: Read, edit: Edit) -> None:
    def change(value: Any) -> None:
        value["estimates"] = [
            entry(agent, model, bounds(kappa, kappa - 0.1, kappa + 0.1))
            for agent, kappa in (("tuned-moralis-1", 0.97), ("tuned-economicus", 0.02))
            for model in ("homo moralis", "full")
        ]

    edit(comparison / "evaluation/summary.json", change)
    rows = read(write_comparison(comparison)).table("Estimated weights")
    assert [(row[1], row[3]) for row in rows if len(row) > 6 and row[2] == "30 of 33"] == [
        ("homo moralis (κ\xa0=\xa01)", "0.97"),
        ("homo economicus", "0.02"),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value["estimates"][0].update(agent="ghost"), "an estimate speaks of agent 'ghost'"),
        (lambda value: value["estimates"][0].pop("model"), r"estimates\.0\.model"),
        (lambda value: value["estimates"][0]["weights"]["kappa"].update(low=float("nan")), r"kappa\.low"),
    ],
)
def test_damaged_estimates_are_named(run: Path, edit: Edit, change: Callable[[Any], Any], message: str) -> None:
    edit(run / "evaluation/summary.json", with_estimates)
    edit(run / "evaluation/summary.json", change)
    with pytest.raises(RunError, match=rf"summary\.json: damaged \(.*{message}"):
        write_report(run)


# --- drawing ------------------------------------------------------------------------------------------------------------------


def test_axes_hold_what_is_drawn_within_reason() -> None:
    plain = weights_scale([Bounds(estimate=0.5, low=0.4, high=0.6)])
    assert (plain.low, plain.high, plain.names) == (0, 1, ("0", "0.5", "1"))
    wide = weights_scale([Bounds(estimate=1.17, low=-0.2, high=1.35)])
    assert (wide.low, wide.high, wide.ticks) == (-0.5, 1.5, (-0.5, 0, 0.5, 1, 1.5))
    far = weights_scale([Bounds(estimate=40.0, low=-70.0, high=90.0)])
    assert (far.low, far.high, far.names) == (-2, 3, ("−2", "−1", "0", "1", "2", "3"))
    assert weights_scale([]).high == 1


def test_intervals_that_leave_the_axis_end_in_arrows_and_sets_have_no_marker() -> None:
    scale = weights_scale([Bounds(estimate=0.5, low=0.4, high=0.6)])

    def drawn(one: Bounds) -> tuple[list[float], list[float]]:
        root = ElementTree.fromstring(forest("x", "t", [Group("", (Line("a", "adapter-1", (one,)),))], "axis", scale))
        ink = "var(--adapter-1)"
        marks = [float(use.attrib["x"]) for use in root.iter("use") if ink in use.attrib["style"]]
        paths = [p.attrib["d"].split() for p in root.iter("path") if "stroke-opacity" in p.attrib.get("style", "")]
        return marks, [float(x) for path in paths for x in (path[1], path[4])]

    left, right = 128, WIDTH - 14
    marks, ends = drawn(Bounds(estimate=0.5, low=0.25, high=0.75))
    assert marks == pytest.approx([(left + right) / 2], abs=0.1)
    assert ends == pytest.approx([left + (right - left) / 4, right - (right - left) / 4], abs=0.1)
    marks, ends = drawn(Bounds(estimate=0.5, low=0.25, high=7.0))
    assert sorted(marks) == pytest.approx([(left + right) / 2, right], abs=0.1)
    assert ends[1] == pytest.approx(right, abs=0.1)
    marks, ends = drawn(Bounds(low=0.25, high=None))
    assert sorted(marks) == pytest.approx([left + (right - left) / 4, right], abs=0.1), "a bar and an arrow"
    marks, _ = drawn(Bounds(estimate=5.0, low=4.0, high=6.0))
    assert marks == pytest.approx([right], abs=0.1), "an arrow towards what is off the axis"
