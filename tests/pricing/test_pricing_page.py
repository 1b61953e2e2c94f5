"""The page of an experiment: its numbers are the summary's, and nothing that was said can act."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from pricing_samples import experiment, records, write_experiment, write_records

from moralfit.errors import RunError
from moralfit.pricing import analyse, write_pricing_report
from moralfit.pricing._results import result_markdown, result_warnings

PAIRS = [("base", "base"), ("economicus", "moralis"), ("nash", "monopoly")]
EVIL = "<script>alert(1)</script><img src=\"https://evil.example/x\" onerror='alert(2)'></pre>{{ 7 * 7 }}\"'&\x00\x1b[31m"


class Parsed(HTMLParser):
    """Tags, texts of `pre`, and the cells of tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html, self.tags, self.blocks, self.rows = html, [], [], []  # type: ignore[var-annotated]
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.text = " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL).split())

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br"):
            self._open.append(tag)
        if tag == "pre":
            self.blocks.append("")
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if "pre" in self._open:
            self.blocks[-1] += data
        elif "td" in self._open or "th" in self._open:
            self.rows[-1][-1] += data.strip()

    def line(self, *start: str) -> list[list[str]]:
        return [row for row in self.rows if row[: len(start)] == list(start)]


def page(folder: Path) -> Parsed:
    analyse(folder)
    path = write_pricing_report(folder)
    assert path == folder / "report.html"
    return Parsed(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return experiment(tmp_path_factory.mktemp("market") / "made", PAIRS, 12, runs=2, scales=(1.0, 3.2))


@pytest.fixture(scope="module")
def shown(made: Path) -> Parsed:
    return page(made)


def test_tables_print_the_summary(made: Path, shown: Parsed) -> None:
    summary = json.loads((made / "summary.json").read_text(encoding="utf-8"))
    labels = {"base": "base", "economicus": "homo economicus", "moralis": "homo moralis (κ\xa0=\xa01)", "all": "all firms"}
    labels |= {"nash": "Nash price", "monopoly": "joint monopoly price"}

    def number(value: float, sign: str = "") -> str:
        return f"{value:{sign}.2f}".replace("-", "−")

    checked = 0
    for row in summary["rows"]:
        mixed = row["pairing"] != "base-base"
        if (row["scale"], row["wording"]) == ("all", "all") and (mixed or row["agent"] != "all"):
            price, delta = row["price"], row["delta"]
            bounds = [f"{number(m['low'], s)} to {number(m['high'], s)}" if m["low"] else m["reason"]
                      for m, s in ((price, ""), (delta, "+"))]  # fmt: skip
            (line,) = [
                line for line in shown.line(labels[row["agent"]])
                if line[1:4] == [str(row["runs"]), number(price["estimate"]), bounds[0]]
                and line[6:8] == [number(delta["estimate"], "+"), bounds[1]]
            ]  # fmt: skip
            share = row["fallback"]
            assert line[-2] == ("–" if share is None else f"{100 * share:.1f}%")
            checked += 1
    assert checked == 7
    assert [line[2] for line in shown.line("κ\xa0=\xa00: Nash")] == ["1.47"]
    assert [line[2] for line in shown.line("κ\xa0=\xa01: monopoly")] == ["1.92"]
    assert shown.line("κ\xa0=\xa00.5")[0][2:7:2] == ["1.71", "30.70", "+0.73"]
    assert len(shown.line("3.2, P1")) == 3
    test = summary["tests"][0]
    (line,) = [
        row
        for row in shown.line("base × itself", "homo economicus × homo moralis (κ\xa0=\xa01)")
        if row[2] == number(test["difference"], "+")
    ]
    assert line[4] == f"{test['statistic']:.1f}".replace("-", "−")


def test_each_pairing_has_its_own_section(made: Path, shown: Parsed) -> None:
    sections = [attributes["id"] for tag, attributes in shown.tags if tag == "section"]
    assert sections == ["overview", "tests", "pairing-1", "pairing-2", "pairing-3"]
    links = [attributes["href"] for tag, attributes in shown.tags if tag == "a"]
    assert links == [f"#{name}" for name in sections]
    assert shown.html.count('role="img"') == 2 + 2 * 3
    assert shown.text.count("the last 6 of 12 periods, half of them") >= 3
    assert "12 periods are short of the published 300" in shown.text
    last = shown.html[shown.html.index('<section id="pairing-3"') :]
    assert "What was said" not in last, "rules say nothing"
    assert "in levels" in last
    assert "prices do not vary" in last


def test_what_was_said_is_chosen_by_rule(made: Path, shown: Parsed) -> None:
    lines = [json.loads(line) for line in (made / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    base = [line for line in lines if line["pairing"] == "base-base"]
    first = base[0]
    late = next(line for line in base if line["status"] == "retried")
    missing = next(line for line in base if line["status"] == "fallback")
    last = [line for line in base if (line["run"], line["firm"]) == (first["run"], 0)][-1]
    section = shown.html[shown.html.index('<section id="pairing-1"') : shown.html.index('<section id="pairing-2"')]
    titles = re.findall(r"base: (the [^<]*)</h4>\n<p class=\"note\">run ([^,]*), firm (\d), period (\d+)", section)
    said = {
        "the first decision": first,
        "the first answer that took more than one attempt": late,
        "the first period without a readable answer": missing,
        "the last decision of that run": last,
    }
    assert {title: (run, int(firm), int(period)) for title, run, firm, period in titles} == {
        title: (line["run"], line["firm"] + 1, line["period"]) for title, line in said.items()
    }
    assert first["prompt"] in shown.blocks
    assert "I think so, too." in shown.blocks
    assert "Plans: stay near the last price" in shown.blocks


def assert_inert(parsed: Parsed) -> None:
    for tag, attributes in parsed.tags:
        assert tag not in ("script", "img", "iframe", "object", "embed", "base", "form", "image", "foreignobject"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "src", "xlink:href", "action", "data", "poster", "srcset"):
                assert value == "data:," or (value or "").startswith("#"), (tag, name, value)
    assert "default-src 'none'" in parsed.html


def test_no_text_can_act(tmp_path: Path) -> None:
    lines = records(PAIRS[:2], 12, runs=2)
    for line in lines:
        for key in ("reply", "prompt", "plans", "insights"):
            line[key] += EVIL
        for key in ("run", "wording"):
            line[key] += EVIL
    folder = write_experiment(tmp_path / "made", lines, 12)
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    for agent in settings["agents"]:
        agent["name"] += EVIL
        if agent["preference"]:
            agent["preference"] += EVIL
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    parsed = page(folder)
    assert_inert(parsed)
    shown = EVIL.replace("\x00", "\ufffd").replace("\x1b", "\ufffd")
    assert len(parsed.blocks) > 20
    assert all(shown in block for block in parsed.blocks)


def test_warnings_stand_above_the_numbers(tmp_path: Path, shown: Parsed) -> None:
    assert 'class="warning"' not in shown.html
    folder = experiment(tmp_path / "made", PAIRS[:1], 4, runs=2)
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    note = "the server's base gives the same answer to\n3 of 16 probe decisions"
    (folder / "settings.json").write_text(json.dumps({**settings, "notes": [note, EVIL]}), encoding="utf-8")
    parsed = page(folder)
    assert_inert(parsed)
    warned = re.findall(r'<p class="warning">(.*?)</p>', parsed.html, re.DOTALL)
    assert [("3 of 16" in line, "&lt;script&gt;" in line) for line in warned] == [(True, False), (False, True)]
    assert parsed.html.index('class="warning"') < parsed.html.index("<svg", parsed.html.index('id="overview"'))
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["notes"] == [note, EVIL]
    first, second, *_ = result_markdown(summary).split("\n\n")
    assert first == "> **Warning:** the server's base gives the same answer to 3 of 16 probe decisions"
    assert second.startswith("> **Warning:** ")
    assert [str(line) for line in result_warnings(summary)] == [f"Warning: {note}", f"Warning: {EVIL}"]


def test_a_plain_page_is_inert_and_self_contained(shown: Parsed) -> None:
    assert_inert(shown)
    assert "http" not in shown.html.replace("http-equiv", "")
    ids = [attributes["id"] for _, attributes in shown.tags if attributes.get("id")]
    assert len(ids) == len(set(ids)) > 30
    used = set(re.findall(r"var\((--[\w-]+)\)", shown.html))
    assert used <= set(re.findall(r"[{;\s\"](--[\w-]+):", shown.html))


@pytest.mark.parametrize(("pairs", "periods", "runs"), [(PAIRS, 1, 1), (PAIRS[:1], 2, 1), (PAIRS[2:], 3, 2)])
def test_small_experiments_make_a_page(tmp_path: Path, pairs: Sequence[tuple[str, ...]], periods: int, runs: int) -> None:
    parsed = page(experiment(tmp_path / "made", pairs, periods, runs=runs))
    assert not re.search(r"\b(nan|None|inf)\b", parsed.text)
    assert ("Do pairings differ?" in parsed.text) == (len(pairs) > 1)
    assert ("its one period" in parsed.text) == (periods == 1)


def test_texts_are_cut_and_it_is_said(tmp_path: Path) -> None:
    lines = records([("base", "base")], 2, runs=1)
    lines[0]["reply"] = "word " * 4000
    parsed = page(write_experiment(tmp_path / "made", lines, 2))
    assert max(map(len, parsed.blocks)) == 6000
    assert "records.jsonl has all of them" in parsed.text


def test_an_unfinished_experiment_says_so(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "made", records(PAIRS[2:], 4, runs=2), 300)
    assert "4 periods of 300 planned: the experiment is not finished" in page(folder).text


def test_damage_is_named_and_an_older_page_stays(tmp_path: Path) -> None:
    folder = experiment(tmp_path / "made", PAIRS[2:], 3, runs=2)
    with pytest.raises(RunError, match=r"summary\.json: not there; run the experiment"):
        write_pricing_report(folder)
    analyse(folder)
    old = write_pricing_report(folder).read_bytes()
    path = folder / "summary.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    value["rows"][0]["price"]["estimate"] = "high"
    path.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(RunError, match=r"summary\.json: damaged \(rows\.0\.price\.estimate"):
        write_pricing_report(folder)
    analyse(folder)
    write_records(folder, [{"schema": 1}])
    with pytest.raises(RunError, match=r"records\.jsonl, line 1: damaged"):
        write_pricing_report(folder)
    assert (folder / "report.html").read_bytes() == old


def test_the_page_is_a_function_of_the_folder(made: Path, shown: Parsed) -> None:
    assert write_pricing_report(made).read_text(encoding="utf-8") == shown.html
