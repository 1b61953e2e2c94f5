"""Markets and moral dilemmas in a run's page: shown where they are, left out where they are not, errors where damaged."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from moralfit.agents import LanguageAgent
from moralfit.chat import Reply
from moralfit.dilemmas._ask import ask
from moralfit.dilemmas._catalogue import FAMILIES
from moralfit.dilemmas._design import design
from moralfit.dilemmas._summary import summarise
from moralfit.errors import RunError
from moralfit.report import write_report
from moralfit.report._format import kappa_of
from moralfit.report._load import Agent
from moralfit.report._market import market, market_styles, moralis_at
from moralfit.report._market_summary import MarketSummary, Marks

MORALIS = "homo moralis (kappa = 1)"
Json = dict[str, Any]
Read = Callable[[Path], Any]
Edit = Callable[[Path, Callable[[Any], Any]], None]


# --- markets ----------------------------------------------------------------------------------------------------


def measure(estimate: float | None, half: float | None = None, reason: str = "") -> Json:
    low, high = (None, None) if half is None or estimate is None else (estimate - half, estimate + half)
    return {"estimate": estimate, "low": low, "high": high, "reason": reason}


def market_row(pairing: str, agent: str, price: float, delta: float, talks: bool = True) -> Json:
    return {
        "pairing": pairing, "agent": agent, "scale": "all", "wording": "all", "runs": 7,
        "price": measure(price, 0.04), "profit": measure(30 * delta, 2.0), "index": measure(delta, 0.1),
        "delta": measure(delta, 0.1), "surplus": measure(40.0, 2.0), "converged": measure(4 / 7, 0.2),
        "decisions": 4200, "worded": 4200 if talks else 0, "retried": 0.031 if talks else None,
        "fallback": 0.002 if talks else None, "shortened": 0.0 if talks else None, "tokens": 900.0 if talks else None,
    }  # fmt: skip


def market_summary() -> Json:
    """Two pairings as an experiment leaves them."""
    agents = {"moralis": ("adapter", MORALIS), "base": ("base", None), "nash": ("nash", None)}
    point = {"firms": 1.4729, "firms+consumers": 1.4729}
    return {
        "schema": 1, "experiment": "duopoly", "periods": 300, "planned": 300,
        "window": {"first": 251, "last": 300}, "convergence": {"first": 201, "last": 300, "near": 0.05, "least": 10},
        "market": {"costs": [1.0, 1.0], "qualities": [2.0, 2.0], "outside": 0.0, "mu": 0.25, "size": 100.0},
        "benchmarks": {
            "cost": [1.0, 1.0], "alone": [1.802, 1.802],
            "nash": {"price": [1.4729] * 2, "profit": [22.29] * 2, "surplus": 51.0},
            "monopoly": {"price": [1.925] * 2, "profit": [33.75] * 2, "surplus": 30.0},
            "moralis": [
                {"universe": universe, "kappa": kappa, "price": [point[universe] + step * kappa] * 2,
                 "profit": [22.29 + gain * kappa] * 2, "surplus": 40.0}
                for universe, step, gain in (("firms", 0.4521, 11.46), ("firms+consumers", -0.4729, -22.29))
                for kappa in (0.0, 0.5, 1.0)
            ],
        },
        "agents": [{"key": k, "name": k.title(), "kind": kind, "preference": p} for k, (kind, p) in agents.items()],
        "pairings": [{"key": "moralis-moralis", "agents": ["moralis"] * 2}, {"key": "base-nash", "agents": ["base", "nash"]}],
        "rows": [
            market_row("moralis-moralis", "all", 1.91, 0.97), market_row("moralis-moralis", "moralis", 1.91, 0.97),
            market_row("base-nash", "all", 1.84, -0.2), market_row("base-nash", "base", 2.2, -1.4),
            {**market_row("base-nash", "nash", 1.47, 0.9, False), "price": measure(1.4729, None, "runs do not differ")},
            {**market_row("base-nash", "all", 9.9, 9.9), "scale": 3.2, "wording": "P1"},
        ],
        "tests": [], "regressions": [], "runs": [],
    }  # fmt: skip


@pytest.fixture
def trade(run: Path) -> Path:
    """A run with an experiment."""
    folder = run / "pricing/duopoly"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(market_summary()), encoding="utf-8")
    return run


def test_a_market_is_shown_beside_theory(trade: Path, read: Read) -> None:
    page = read(write_report(trade))
    assert '<a href="#market">In a market</a>' in page.html
    rows = page.table("Prices and profits: duopoly")
    lines = {row[0]: [cell.replace("\xa0", " ") for cell in row] for row in rows}
    assert lines["tuned"][1:] == [
        "7", "1.91", "1.87 to 1.95", "29.10", "27.10 to 31.10", "+0.97", "+0.87 to +1.07", "57%", "37–77%",
        "3.1%", "0.2%", "0.0%",
    ]  # fmt: skip
    assert lines["Nash"][2:4] == ["1.47", "runs do not differ"]
    assert lines["Nash"][-3:] == ["–", "–", "–"]
    assert lines["all firms"][2] == "1.84"
    assert not [row for row in rows if "9.90" in row], "cells of the design are for the experiment's own page"
    reference = [row[0].replace("\xa0", " ") for row in rows[-5:]]
    assert reference == [
        "κ = 1, buyers too",
        "κ = 0.5, buyers too",
        "κ = 0: Nash",
        "κ = 0.5",
        "κ = 1: monopoly",
    ]
    assert "the last 50 of 300 periods" in page.text
    assert "equilibrium of firms that have the preference" in page.text


def test_convergence_has_a_column_only_where_it_can_be_told(trade: Path, read: Read) -> None:
    path = trade / "pricing/duopoly/summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    for row in summary["rows"]:
        row["converged"] = measure(None, None, "needs 10 periods")
    path.write_text(json.dumps(summary), encoding="utf-8")
    page = read(write_report(trade))
    lines = {row[0]: row for row in page.table("Prices and profits: duopoly")}
    assert lines["tuned"][-5:] == ["+0.97", "+0.87 to +1.07", "3.1%", "0.2%", "0.0%"]
    assert "converged" not in page.section("market")
    assert "needs 10 periods" not in page.text


def test_market_figures_hold_estimates_and_the_equilibrium() -> None:
    shown = market(MarketSummary.model_validate(market_summary()), "m")
    for panel, mark in zip(shown.panels, ("monopoly", "monopoly 1"), strict=True):
        root = ElementTree.fromstring(panel.figures[0])
        texts = {"".join(text.itertext()): text.attrib.get("x") for text in root.iter("text")}
        assert {"tuned × itself", "base × Nash", "tuned", "base", "Nash"} <= set(texts)
        # Black and thick: the equilibrium, of the one pairing whose agents share a preference.
        (stroke,) = [
            path.attrib["d"].split()
            for path in root.iter("path")
            if "stroke: var(--ink); stroke-width: 2.4" in path.attrib.get("style", "")
        ]
        assert float(stroke[1]) == pytest.approx(float(texts[mark] or 0), abs=0.5), "kappa = 1 meets at monopoly"
    assert shown.theory


def test_agents_look_as_elsewhere_on_the_page_and_none_alike() -> None:
    agents = [
        Agent(key=key, name=key, kind=kind, preference=preference)
        for key, kind, preference in (
            ("economicus", "adapter", "homo economicus"), ("moralis", "adapter", MORALIS), ("base", "base", None),
            ("nash", "nash", None), ("random", "random", None), ("learned", "q-learned", None),
        )
    ]  # fmt: skip
    plain = market_styles(agents, {})
    assert (plain["economicus"], plain["moralis"], plain["base"]) == ("adapter-1", "adapter-2", "base")
    like = market_styles(agents, {("adapter", MORALIS): "adapter-1", ("base", None): "base"})
    assert (like["moralis"], like["economicus"], like["base"]) == ("adapter-1", "adapter-2", "base")
    for styles in (plain, like):
        assert len(set(styles.values())) == len(agents)


def test_equilibria_between_known_points_are_interpolated() -> None:
    marks = Marks.model_validate(market_summary()["benchmarks"])
    assert moralis_at(marks, 0.25).mean_price == pytest.approx(1.4729 + 0.4521 / 4)  # type: ignore[union-attr]
    assert moralis_at(marks, 1.0).mean_profit == pytest.approx(33.75)  # type: ignore[union-attr]
    assert moralis_at(marks, 1.0, "firms+consumers").mean_price == pytest.approx(1.0)  # type: ignore[union-attr]
    assert moralis_at(marks, 0.5, "martians") is None


@pytest.mark.parametrize(
    ("name", "kappa"),
    [
        ("homo economicus", 0.0), ("homo moralis (kappa = 1)", 1.0), ("homo moralis (kappa = 0.25)", 0.25),
        ("social preferences (alpha = 1, beta = 0, kappa = 0.5)", None), ("homo moralis (kappa = e)", None), ("nice", None),
    ],
)  # fmt: skip
def test_kappa_is_read_from_the_preference(name: str, kappa: float | None) -> None:
    assert kappa_of(name) == kappa


def test_wild_prices_are_drawn_at_the_edge_and_short_words_take_the_ticks(trade: Path, read: Read, edit: Edit) -> None:
    def change(value: Any) -> None:
        for row in value["rows"]:
            row["price"] = measure(40.0, 3.0)

    edit(trade / "pricing/duopoly/summary.json", change)
    assert "N is Nash, M monopoly" in read(write_report(trade)).section("market")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("window"), "window"),
        (lambda v: v.update(schema=2), "schema"),
        (lambda v: v["rows"][0].update(pairing="ghost"), "a row speaks of pairing 'ghost'"),
        (lambda v: v["rows"][0].update(agent="nash"), "speaks of agent 'nash', which is not in it"),
        (lambda v: v["rows"][0]["price"].update(low=float("nan")), r"rows\.0\.price\.low"),
        (lambda v: v["rows"][0].update(fallback=1.5), r"rows\.0\.fallback"),
        (lambda v: v["pairings"][0].update(agents=["moralis"]), "does not have 2 firms"),
        (lambda v: v["agents"].pop(), "has an agent that is not listed"),
    ],
)
def test_damaged_market_summaries_are_named(trade: Path, edit: Edit, change: Callable[[Any], Any], message: str) -> None:
    edit(trade / "pricing/duopoly/summary.json", change)
    with pytest.raises(RunError, match=rf"pricing/duopoly/summary\.json: damaged \(.*{message}"):
        write_report(trade)


# --- dilemmas ----------------------------------------------------------------------------------------------------


class Answering:
    """A chat that approves of everything but for itself, and refuses to answer about laws."""

    def __init__(self, approves: bool) -> None:
        self.approves = approves
        self.items: Sequence[Any] = ()

    def replies(self, conversations: Sequence[Any], seeds: Any, mark: Any = None, line: Any = None) -> Iterator[Reply]:
        by_prompt = {item.prompt: item for item in self.items}
        for position, conversation in enumerate(conversations):
            item = by_prompt[conversation[-1]["content"]]
            yes = self.approves and item.cell["question"] != "own"
            text = "I cannot answer that." if item.cell["question"] == "rule" else ""
            if not text and item.options is None:
                text = f"Answer: {80 if yes == item.approve_first else 20}"
            elif not text:
                text = f"Answer: {'A' if yes == item.approve_first else 'B'}"
            yield Reply(position, text, [[0.75, 0.25] if item.options else [0.25, *[0.0] * 99, 0.75]])


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Json:
    """What the package writes about two agents that answer by rule."""
    family = FAMILIES["autonomous-vehicles"]
    items = design(family, "small", 2, 0)
    chats = {"tuned": Answering(True), "base": Answering(False)}
    agents = []
    for key, chat in chats.items():
        chat.items = items
        agents.append(LanguageAgent(key, key, "adapter" if key == "tuned" else "base", chat))
    records = ask(tmp_path_factory.mktemp("dilemmas"), agents, dict.fromkeys(chats, "made"), items, {})
    described = [
        {"key": "base", "name": "SmolLM2", "kind": "base", "preference": None, "kappa": None},
        {"key": "tuned", "name": "tuned", "kind": "adapter", "preference": MORALIS, "kappa": 1.0},
    ]
    return json.loads(json.dumps(summarise([family], items, records, described, {"samples": 2})))


@pytest.fixture
def troubled(run: Path, answers: Json) -> Path:
    """A run with dilemmas."""
    (run / "dilemmas").mkdir()
    (run / "dilemmas/summary.json").write_text(json.dumps(answers), encoding="utf-8")
    return run


def test_dilemmas_are_shown_beside_theory_and_people(troubled: Path, read: Read) -> None:
    page = read(write_report(troubled))
    assert '<a href="#dilemmas">In dilemmas</a>' in page.html
    rows = page.table("Autonomous vehicles: approval")
    lines = {(row[0].replace("\xa0", " "), row[1]): row for row in rows if len(row) > 1}
    tuned, base = lines["tuned", "replies"], lines["base", "replies"]
    # Choices always or never, and 80 or 20 on scales: .9 or .1 on average.
    assert tuned[2::2][:4] == ["90%", "10%", "90%", "–"]
    assert tuned[10] == "+0.80"
    assert (base[2], base[10]) == ("10%", "0.00")
    assert tuned[-2:] == ["20%", "0%"]
    # Read off the model: three quarters for A and for 100, whatever they stand for, which balance takes out.
    assert lines["tuned", "logits"][2::2][:5] == ["50%", "50%", "50%", "50%", "0.00"]
    lines = {name: row for (name, _), row in lines.items()}
    assert [name for name in lines if name.startswith("homo")] == ["homo economicus", "homo moralis (κ = 1)"]
    # Role known: homo economicus wants others to swerve and would not buy such a car itself.
    assert lines["homo economicus"][2::2][:3] == ["0%", "0%", "100%"]
    assert "76 % find it more moral" in page.text
    assert "54 to 66" in page.text
    section = page.section("dilemmas")
    assert section.count('role="img"') == 5
    assert "Shown for perspective: passenger." in page.text


def test_dilemmas_of_several_runs_are_shown_where_one_has_none_of_its_own(troubled: Path, read: Read) -> None:
    own = read(write_report(troubled)).section("dilemmas")
    (troubled / "dilemmas").rename(troubled / "dilemmas-compared")
    assert read(write_report(troubled)).section("dilemmas") == own
    other = json.loads((troubled / "dilemmas-compared/summary.json").read_text(encoding="utf-8"))
    other["families"]["autonomous-vehicles"]["title"] = "Others asked it"
    (troubled / "dilemmas-compared/summary.json").write_text(json.dumps(other), encoding="utf-8")
    assert "Others asked it" in read(write_report(troubled)).text
    (troubled / "dilemmas").mkdir()
    (troubled / "dilemmas/summary.json").write_text(
        json.dumps(other).replace("Others asked it", "Asked alone"), encoding="utf-8"
    )
    page = read(write_report(troubled)).text
    assert "Asked alone" in page
    assert "Others asked it" not in page


def test_damaged_dilemmas_are_named(troubled: Path, edit: Edit) -> None:
    path = troubled / "dilemmas/summary.json"
    for change, message in (
        (lambda v: v["families"]["autonomous-vehicles"]["rows"][0].update(agent="ghost"), "speaks of agent 'ghost'"),
        (lambda v: v["families"]["autonomous-vehicles"]["rows"][0].update(agent="base", n=-1), r"rows\.0\.n"),
        (lambda v: v.update(schema=3), "schema"),
    ):
        edit(path, change)
        with pytest.raises(RunError, match=rf"dilemmas/summary\.json: damaged \(.*{message}"):
            write_report(troubled)


# --- both ----------------------------------------------------------------------------------------------------

EVIL = "<script>alert(1)</script><img src=\"https://evil.example/x\" onerror='alert(2)'>{{ 7 * 7 }}\"'&\x00\x1b[31m"


def test_without_them_a_page_has_neither(run: Path, read: Read) -> None:
    page = read(write_report(run))
    for name in ("market", "dilemmas"):
        assert f'id="{name}"' not in page.html
        assert f"#{name}" not in page.html


def test_they_do_not_need_an_evaluation(trade: Path, answers: Json, read: Read) -> None:
    (trade / "dilemmas").mkdir()
    (trade / "dilemmas/summary.json").write_text(json.dumps(answers), encoding="utf-8")
    for name in ("evaluation/summary.json", "evaluation/records.jsonl"):
        (trade / name).unlink()
    page = read(write_report(trade))
    sections = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    assert sections[:2] == ["market", "dilemmas"]
    ids = page.ids()
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"var\((--[\w-]+)\)", page.html))
    assert used - {"--tone"} <= set(re.findall(r"[{;\s\"](--[\w-]+):", page.html))


@pytest.mark.parametrize(
    ("name", "section"), [("evaluation", "result"), ("pricing/duopoly", "market"), ("dilemmas", "dilemmas")]
)
def test_warnings_stand_above_the_numbers_that_they_are_about(
    trade: Path, answers: Json, read: Read, edit: Edit, name: str, section: str
) -> None:
    (trade / "dilemmas").mkdir()
    (trade / "dilemmas/summary.json").write_text(json.dumps(answers), encoding="utf-8")
    assert 'class="warning"' not in read(write_report(trade)).html
    note = "the server's tuned gives the same answer to 3 of 16 probe decisions"
    edit(trade / name / "summary.json", lambda value: value.update(notes=[note, EVIL]))
    page = read(write_report(trade))
    found = re.findall(r'<p class="warning"><strong>Warning:</strong> (.*?)</p>', page.section(section), re.DOTALL)
    assert (len(found), page.html.count('class="warning"')) == (2, 2)
    assert found[0] == note.replace("'", "&#39;")
    assert "&lt;script&gt;" in found[1]
    assert "{{ 7 * 7 }}" in found[1]
    assert not [tag for tag, _ in page.tags if tag in ("script", "img")]
    assert page.section(section).index('class="warning"') < page.section(section).index("<svg")
    edit(trade / name / "summary.json", lambda value: value.update(notes=[3]))
    with pytest.raises(RunError, match=rf"{name}/summary\.json: damaged \(notes\.0"):
        write_report(trade)


def taint(value: Any) -> Any:
    """Puts the attack into every text that a reader may see."""
    if isinstance(value, dict):
        kept = ("kind", "measure", "standpoint", "factor", "gradient", "agent", "key", "pairing", "question", "format", "level")
        return {k: inner if k in (*kept, "scale", "wording", "universe") else taint(inner) for k, inner in value.items()}
    if isinstance(value, list):
        return [
            taint(inner) if not isinstance(inner, str) or inner not in ("moralis", "base", "nash") else inner for inner in value
        ]
    return value + EVIL if isinstance(value, str) else value


def test_no_text_of_theirs_can_act(trade: Path, answers: Json, read: Read) -> None:
    (trade / "pricing/duopoly/summary.json").write_text(json.dumps(taint(market_summary())), encoding="utf-8")
    (trade / "dilemmas").mkdir()
    (trade / "dilemmas/summary.json").write_text(json.dumps(taint(answers)), encoding="utf-8")
    page = read(write_report(trade))
    for tag, attributes in page.tags:
        assert tag not in ("script", "img", "iframe", "object", "embed", "form"), tag
        assert not [name for name in attributes if name.startswith("on")], tag
    assert page.section("market").count("&lt;script&gt;") > 5
    assert page.section("dilemmas").count("&lt;script&gt;") > 10


@pytest.mark.parametrize("name", ["pricing/duopoly/summary.json", "dilemmas/summary.json"])
@pytest.mark.parametrize("damage", [b"\xff\xfe\x00", b"[1, 2"])
def test_damaged_files_are_named_and_the_older_page_stays(run: Path, name: str, damage: bytes) -> None:
    old = write_report(run).read_bytes()
    (run / name).parent.mkdir(parents=True)
    (run / name).write_bytes(damage)
    with pytest.raises(RunError, match="damaged") as error:
        write_report(run)
    assert str(error.value).startswith(str(run / name))
    assert (run / "report.html").read_bytes() == old
