"""The page as a whole: its numbers are the folder's, nothing in it can act, and it is replaced in one piece or not at all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moralfit.errors import RunError
from moralfit.report import write_comparison, write_report

MORALIS = "homo moralis (kappa = 1)"
Read = Callable[[Path], Any]
Edit = Callable[[Path, Callable[[Any], Any]], None]


def summary(folder: Path) -> Any:
    return json.loads((folder / "evaluation/summary.json").read_text(encoding="utf-8"))


def percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def bounded(estimate: Any) -> list[str]:
    return [percent(estimate["estimate"]), f"{100 * estimate['low']:.1f}–{100 * estimate['high']:.1f}%"]


def set_total(folder: Path, edit: Edit, agent: str, split: str, agreement: Any) -> None:
    """Changes the agreement over all games of one agent."""

    def change(value: Any) -> None:
        (row,) = [r for r in value["rows"] if (r["agent"], r["split"], r["game"]) == (agent, split, "all")]
        row["agreement"] = agreement

    edit(folder / "evaluation/summary.json", change)


def result(page: Any) -> str:
    """The text of the result section, white space collapsed."""
    return " ".join(re.sub(r"<[^>]*>", "", page.section("result")).split())


# --- numbers ------------------------------------------------------------------------------------------------------------------


def test_headline_states_agreement_before_and_after(run: Path, read: Read, edit: Edit) -> None:
    set_total(run, edit, "tuned", "payoffs", {"estimate": 0.9712, "low": 0.943, "high": 0.988})
    set_total(run, edit, "base", "payoffs", {"estimate": 0.021, "low": 0.004, "high": 0.049})
    set_total(run, edit, "tuned", "words", {"estimate": 0.93, "low": 0.90, "high": 0.96})
    set_total(run, edit, "base", "words", {"estimate": 0.0, "low": 0.0, "high": 0.02})
    text = result(read(write_report(run)))
    assert (
        "On payoffs it never saw, the tuned agent takes the action that the solver calls optimal in 97% (94–99%) of decisions, "
        "up from 2% (0.4–5%) for the base model. On stories and labels it never saw: 93% (90–96%), up from 0% (0–2%)."
    ) in text


@pytest.mark.parametrize(
    ("before", "verb"),
    [
        ((0.2, 0.1, 0.3), "up from"),
        ((0.4, 0.3, 0.45), "no clear change from"),
        ((0.6, 0.55, 0.7), "no clear change from"),
        ((0.9, 0.8, 0.95), "down from"),
    ],
)
def test_headline_claims_a_change_only_where_intervals_part(
    run: Path, read: Read, edit: Edit, before: tuple[float, float, float], verb: str
) -> None:
    set_total(run, edit, "tuned", "payoffs", {"estimate": 0.5, "low": 0.4, "high": 0.6})
    set_total(run, edit, "base", "payoffs", dict(zip(("estimate", "low", "high"), before, strict=True)))
    assert f"50% (40–60%) of decisions, {verb} {100 * before[0]:.0f}%" in result(read(write_report(run)))


def test_unreadable_replies_are_stated_beside_the_headline(run: Path, read: Read) -> None:
    shares = {
        r["agent"]: r["invalid"] + r["refused"] for r in summary(run)["rows"] if r["game"] == "all" and r["split"] == "payoffs"
    }
    assert shares["base"] > 0.5
    assert f"that is {100 * shares['base']:.0f}% for base" in result(read(write_report(run)))


def test_tables_hold_every_row_of_the_summary(full_run: Path, read: Read) -> None:
    page = read(write_report(full_run))
    labels = {"tuned": "tuned", "base": "base", "prompted": "prompted base", "random": "random"}
    splits = {"payoffs": "Held-out payoffs", "words": "Held-out stories and labels"}
    titles = {
        "all": "All games and decisions together",
        "sequential_prisoners_dilemma": "Sequential prisoner’s dilemma",
        "trust_game": "Trust game",
        "ultimatum_game": "Ultimatum game",
    }
    decisions = {"all": "All decisions", "first": "First move"}
    rows = summary(full_run)["rows"]
    assert len(rows) == 4 * 2 * (1 + 4 + 3 + 3)
    for row in rows:
        block = splits[row["split"]]
        if row["game"] != "all":
            block = f"{decisions.get(row['decision'], row['decision'].capitalize())}, {block.lower()}"
            block = block.replace("After c", "After C").replace("After d", "After D")
            block = block.replace("After i", "After I").replace("After u", "After U")
        table = page.table(titles[row["game"]])
        start = table.index([block])
        (line,) = [line for line in table[start + 1 : start + 5] if line[0] == labels[row["agent"]]]
        sense = row["sensitivity"]
        signs = [] if sense is None else [f"{sense[k]:+.2f}".replace("-", "−") for k in ("estimate", "low", "high")]
        signs = ["0.00" if float(sign.replace("−", "-")) == 0 else sign for sign in signs]
        assert line[1:] == [
            str(row["n"]),
            str(row["clusters"]),
            *bounded(row["agreement"]),
            *(bounded(row["cooperation"]) if row["cooperation"] else ["–", ""]),
            percent(row["optimal_cooperation"]),
            *([signs[0], f"{signs[1]} to {signs[2]}"] if signs else ["–", ""]),
            *(bounded(row["probability"]) if row["probability"] else ["–", ""]),
            percent(row["invalid"]),
            percent(row["refused"]),
        ]


def test_ladders_print_the_totals(run: Path, read: Read, edit: Edit) -> None:
    set_total(run, edit, "prompted", "words", {"estimate": 0.377, "low": 0.311, "high": 0.448})
    set_total(run, edit, "random", "words", {"estimate": 0.5, "low": None, "high": None})
    section = read(write_report(run)).section("result")
    assert ">38% (31–45%)</text>" in section
    assert ">50%</text>" in section


def test_header_says_what_was_trained_on_what(run: Path, read: Read) -> None:
    page = read(write_report(run))
    for words in (
        "HuggingFaceTB/SmolLM2-135M-Instruct, fine-tuned to choose as homo moralis (κ = 1) does",
        "1,000 training samples",
        "LoRA, r = 16, 250 steps, 2 epochs, 400,000 tokens",
        "no GPU, Intel(R) Xeon(R) Processor @ 2.70GHz, 2 cores, bfloat16",
        "12.0 min in all: data 4 s, load 2 s, train 9.8 min, evaluate 2.1 min",
    ):
        assert words in page.text.replace("\xa0", " ")


def test_settings_shortcuts_and_environment_are_the_files(run: Path, read: Read) -> None:
    page = read(write_report(run))
    assert ["learning_rate", "0.0005"] in page.table("Training")
    assert ["alpha", "32"] in page.table("LoRA")
    assert ["payoffs.high", "20"] in page.table("Data")
    assert ["transformers", "5.23.0"] in page.table("Packages")
    (shortcuts,) = [rows for _, rows in page.tables if rows[0][0] == "rule"]
    assert shortcuts == [
        ["rule", "Training", "Held-out payoffs", "Held-out stories and labels", "Held-out stories and labels, open"],
        ["the game's most common answer", "69.0%", "67.0%", "70.3%", "79.0%"],
        ["first option listed", "50.0%", "48.0%", "51.3%", "60.0%"],
        ["always the first action", "55.0%", "57.0%", "53.7%", "45.0%"],
        ["first label of the pair", "49.0%", "50.0%", "48.4%", "44.0%"],
    ]
    assert "“Open” are the decisions" in page.text


def test_loading_takes_three_lines_and_names_the_adapter_s_own_base(run: Path, read: Read) -> None:
    assert read(write_report(run)).blocks[-1].split("\n") == [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        'model = AutoModelForCausalLM.from_pretrained("quickstart-moralis-1/adapter")',
        'tokenizer = AutoTokenizer.from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct")',
    ]


def test_a_loss_that_is_not_finite_is_reported(run: Path, read: Read, edit: Edit) -> None:
    assert "Warning" not in read(write_report(run)).text
    edit(run / "metrics.jsonl", lambda steps: [step.update(loss=float("nan")) for step in steps[3:5]])
    assert "Warning: the loss was not a finite number on 2 logged steps." in read(write_report(run)).text


# --- safety -------------------------------------------------------------------------------------------------------------------

EVIL = "<script>alert(1)</script><img src=\"https://evil.example/x\" onerror='alert(2)'></pre>{{ 7 * 7 }}\"'&\x00\x1b[31m"


def taint(value: Any) -> Any:
    """Puts the attack into every text of a JSON value, keys included."""
    if isinstance(value, dict):
        return {key + EVIL: taint(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [taint(inner) for inner in value]
    return value + EVIL if isinstance(value, str) else value


def assert_inert(page: Any) -> None:
    """No script, no handlers, nothing fetched from elsewhere."""
    for tag, attributes in page.tags:
        assert tag not in ("script", "img", "iframe", "object", "embed", "base", "form", "image", "foreignobject"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "src", "xlink:href", "action", "data", "poster", "srcset"):
                assert value == "data:," or (value or "").startswith("#"), (tag, name, value)
            if value is not None and "url(" in value:
                assert re.fullmatch(r"(?:[^()]|url\(#[\w-]+\))*", value), value
    styles = re.findall(r"<style>(.*?)</style>", page.html, re.DOTALL)
    assert len(styles) == 1
    assert "url(" not in styles[0]
    assert "@import" not in styles[0]
    assert ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in [
        (attributes.get("http-equiv"), attributes.get("content")) for tag, attributes in page.tags if tag == "meta"
    ]


def test_a_plain_page_is_inert_and_names_no_address(run: Path, read: Read) -> None:
    page = read(write_report(run))
    assert_inert(page)
    assert "http" not in page.html.replace("http-equiv", "")


def test_model_output_is_shown_and_not_run(run: Path, read: Read, edit: Edit) -> None:
    def change(records: Any) -> None:
        for record in records:
            record["reply"] += EVIL
            record["prompt"] += EVIL
            record["labels"] = [label + EVIL for label in record["labels"]]

    edit(run / "evaluation/records.jsonl", change)
    page = read(write_report(run))
    assert_inert(page)
    shown = EVIL.replace("\x00", "\ufffd").replace("\x1b", "\ufffd")
    assert len(page.blocks) >= 4
    assert all(shown in block for block in page.blocks[:-1])


def test_no_text_of_any_file_can_act(run: Path, read: Read, edit: Edit) -> None:
    def summary_change(value: Any) -> None:
        for agent in value["agents"]:
            agent.update(name=agent["name"] + EVIL, preference=agent["preference"] and agent["preference"] + EVIL)
        for row in value["rows"]:
            for key in ("target", "split", "game", "decision"):
                row[key] += "" if row[key] == "all" else EVIL

    def records_change(records: Any) -> None:
        for record in records:
            for key in ("split", "game", "decision", "prompt_id", "reply", "prompt"):
                record[key] += EVIL
            for key in ("payoffs", "optimum", "advantage"):
                record[key] = {name + EVIL: value for name, value in record[key].items()}
            record["actions"] = taint(record["actions"])

    def recipe_change(recipe: Any) -> None:
        # YAML cannot hold the two control characters.
        evil = EVIL[:-5]
        recipe.update(name="quick" + evil)
        recipe["model"]["base"] += evil
        recipe["training"]["trl"] = {"key" + evil: "value" + evil}
        recipe["data"]["games"] = ["game" + evil]

    edit(run / "evaluation/summary.json", summary_change)
    edit(run / "evaluation/records.jsonl", records_change)
    edit(run / "recipe.yaml", recipe_change)
    for name in ("dataset/shortcuts.json", "environment.json"):
        path = run / name
        value = json.loads(path.read_text(encoding="utf-8"))
        tainted = taint(value) if name.startswith("dataset") else {key: taint(inner) for key, inner in value.items()}
        path.write_text(json.dumps(tainted), encoding="utf-8")
    page = read(write_report(run))
    assert_inert(page)
    assert page.html.count("&lt;script&gt;") > 50
    assert "quick<script>alert(1)</script>" in page.text
    # Drawings carry names as well.
    assert "<text" in page.section("games")
    assert "&lt;script&gt;" in re.sub(r"<figure><h4>.*?</h4>", "", page.section("games"))


# --- parts --------------------------------------------------------------------------------------------------------------------

PARTS = {
    "evaluation/summary.json": {"result", "games", "sensitivity", "transcripts", "tables"},
    "evaluation/records.jsonl": {"transcripts"},
    "metrics.jsonl": set[str](),
    "dataset/shortcuts.json": {"shortcuts"},
    "environment.json": {"environment"},
    "adapter/adapter_config.json": set[str](),
}
ALL_PARTS = {"result", "games", "sensitivity", "transcripts", "training", "shortcuts", "tables", "load", "environment"}


def sections(page: Any) -> set[str]:
    return {attributes["id"] for tag, attributes in page.tags if tag == "section"}


@pytest.mark.parametrize("missing", [None, *PARTS])
def test_a_missing_file_is_a_section_less(run: Path, read: Read, missing: str | None) -> None:
    if missing is not None:
        (run / missing).unlink()
    page = read(write_report(run))
    assert sections(page) == ALL_PARTS - (PARTS[missing] if missing else set())
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert sorted(links) == sorted(f"#{name}" for name in sections(page))
    assert ("Training loss" in page.text) == (missing != "metrics.jsonl")


def test_a_recipe_alone_makes_a_page(run: Path, read: Read) -> None:
    for name in PARTS:
        (run / name).unlink()
    page = read(write_report(run))
    assert sections(page) == {"training", "load"}
    assert "homo moralis" in page.text
    assert "embedded" in page.text


def test_an_evaluation_without_intervals_or_optional_numbers_is_shown(run: Path, read: Read, edit: Edit) -> None:
    def change(value: Any) -> None:
        for row in value["rows"]:
            row["agreement"] = {"estimate": row["agreement"]["estimate"]}
            for key in ("cooperation", "optimal_cooperation", "sensitivity", "probability", "invalid", "refused", "clusters"):
                row.pop(key)

    edit(run / "evaluation/summary.json", change)
    page = read(write_report(run))
    assert sections(page) == ALL_PARTS - {"sensitivity"}
    (tuned,) = [row for row in summary(run)["rows"] if (row["agent"], row["split"], row["game"]) == ("tuned", "words", "all")]
    line = [line for line in page.table("All games and decisions together") if line[0] == "tuned"][1]
    dash, pair = "–", ("–", "")
    assert line == [
        "tuned",
        str(tuned["n"]),
        dash,
        percent(tuned["agreement"]["estimate"]),
        "",
        *pair,
        dash,
        *pair,
        *pair,
        dash,
        dash,
    ]
    assert "against" in result(page)


def test_ids_are_unique_and_every_colour_and_reference_is_defined(comparison: Path, read: Read) -> None:
    page = read(write_comparison(comparison))
    ids = page.ids()
    assert len(ids) == len(set(ids)) > 50
    targets = {
        value for _, attributes in page.tags for name, value in attributes.items() if name == "href" and value != "data:,"
    }
    labelled = {attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes}
    assert {target.removeprefix("#") for target in targets} | labelled <= set(ids)
    used = set(re.findall(r"var\((--[\w-]+)\)", page.html))
    defined = set(re.findall(r"[{;\s\"](--[\w-]+):", page.html))
    assert used <= defined
    light, dark = (set(re.findall(r"(--[\w-]+):", block)) for block in re.findall(r":root \{(.*?)\}", page.html, re.DOTALL)[:2])
    assert dark == light - {"--serif", "--sans", "--mono", "--right", "--wrong"} | {"--right", "--wrong"}


# --- comparison ---------------------------------------------------------------------------------------------------------------


def test_comparison_sets_every_agent_against_every_preference(comparison: Path, read: Read) -> None:
    page = read(write_comparison(comparison))
    assert sections(page) == {"result", "crossed", "games", "sensitivity", "transcripts", "tables"}
    assert_inert(page)
    totals = {(r["agent"], r["target"], r["split"]): r["agreement"] for r in summary(comparison)["rows"] if r["game"] == "all"}
    agents = {
        "random": "random",
        "base": "base",
        "homo moralis (κ = 1)": "tuned-moralis-1",
        "homo economicus": "tuned-economicus",
    }
    for caption, split in (("Held-out payoffs", "payoffs"), ("Held-out stories and labels", "words")):
        rows = [[cell.replace("\xa0", " ") for cell in row] for row in page.table(caption)]
        assert rows[0] == ["agent", "homo moralis (κ = 1)", "homo economicus"]
        assert rows[1:] == [
            [label, *bounded(totals[key, MORALIS, split]), *bounded(totals[key, "homo economicus", split])]
            for label, key in agents.items()
        ]
    text = result(page).replace("\xa0", " ")
    own = totals["tuned-economicus", "homo economicus", "payoffs"]["estimate"]
    assert (
        "homo economicus: on payoffs it never saw, the tuned agent takes the action that the solver calls optimal in "
        f"{100 * own:.0f}%" in text
    )


def test_adapters_of_the_same_name_are_told_apart_by_key(comparison: Path, read: Read, edit: Edit) -> None:
    def change(value: Any) -> None:
        for agent in value["agents"][:2]:
            agent.update(name=MORALIS, preference=MORALIS)
        value["rows"] = [row for row in value["rows"] if row["target"] == MORALIS]

    edit(comparison / "evaluation/summary.json", change)
    page = read(write_comparison(comparison))
    assert "crossed" not in sections(page)
    labels = [row[0] for row in page.table("All games and decisions together")]
    assert labels[2:6] == ["random", "base", "tuned-moralis-1", "tuned-economicus"]


def test_comparison_needs_an_evaluation(comparison: Path) -> None:
    (comparison / "evaluation/summary.json").unlink()
    with pytest.raises(RunError, match=r"nothing to compare.*summary\.json"):
        write_comparison(comparison)


# --- writing ------------------------------------------------------------------------------------------------------------------


def test_the_page_is_a_function_of_the_folder(run: Path, drawn_once: dict[str, Any]) -> None:
    first = write_report(run).read_bytes()
    drawn_once.clear()
    assert write_report(run).read_bytes() == first
    assert first.startswith(b"<!DOCTYPE html>")


def test_nothing_but_the_page_is_left_behind(run: Path) -> None:
    before = set(run.rglob("*"))
    assert write_report(run) == run / "report.html"
    assert set(run.rglob("*")) - before == {run / "report.html"}


def test_an_older_page_outlives_a_damaged_file(run: Path) -> None:
    path = write_report(run)
    old = path.read_bytes()
    (run / "metrics.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(RunError):
        write_report(run)
    assert path.read_bytes() == old


@pytest.mark.parametrize("culprit", ["replace", "fsync"])
def test_an_older_page_outlives_a_full_disk(run: Path, monkeypatch: pytest.MonkeyPatch, culprit: str) -> None:
    path = write_report(run)
    path.write_text("old", encoding="utf-8")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, culprit, fail)
        with pytest.raises(RunError, match=r"report\.html: cannot be written \(No space left on device\)"):
            write_report(run)
    assert path.read_text(encoding="utf-8") == "old"
    assert not list(run.glob(".report*"))


def test_importing_reports_loads_no_torch_and_no_pyplot() -> None:
    code = "import sys, moralfit.report; print([m for m in ('torch', 'transformers', 'matplotlib.pyplot') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
