"""The tables that a person reads at the end of an experiment, at most 110 columns wide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from moralfit.dilemmas._family import QUESTIONS
from moralfit.evaluate import new_table, short_names


def tables(summary: Mapping[str, Any]) -> Group:
    """For each family: approval by question and gradient, the social dilemma, what was not answered, and biases; a legend."""
    names = short_names(summary)
    parts: list[Any] = []
    for family in summary["families"].values():
        parts += [_approval(family, names), _dilemma(family, names), _quality(family, names), *_remarks(family)]
    legend = "\n".join(f"  {names[agent['key']]}: {agent['name']}" for agent in summary["agents"])
    return Group(*parts, Text(legend, style="dim"), Text())


def _approval(family: Mapping[str, Any], names: Mapping[str, str]) -> Table:
    where = ", ".join(f"{factor} = {level}" for factor, level in family["main"].items())
    table = new_table(f"{family['title']}: approval in %, by {family['axis']} ({where})")
    for heading in ("question", "agent or theory", "answer by"):
        table.add_column(heading, no_wrap=True)
    for level in family["levels"]:
        table.add_column(str(level), justify="right", no_wrap=True)
    table.add_column("all [95%]", justify="right", no_wrap=True)
    found = {(r["agent"], r["question"], r["measure"], r["factor"], r["level"]): r for r in family["rows"]}
    theory = {(t["standpoint"], t["kappa"], t["question"], t["level"]): t["approval"] for t in family["theory"]}
    for question in QUESTIONS:
        title = family["questions"][question]
        for key, name in names.items():
            for measure in ("scale", "choice", "probability"):
                row = found[key, question, measure, None, "all"]
                levels = [found.get((key, question, measure, family["gradient"], level)) for level in family["levels"]]
                cells = [_percent(at["approval"]) if at else "-" for at in levels]
                table.add_row(title, name, _MEASURE[measure], *cells, _interval(row["approval"]))
                title = ""
        for standpoint in ("role known", "veil"):
            for kappa in dict.fromkeys(t["kappa"] for t in family["theory"]):
                values = [theory[standpoint, kappa, question, level] for level in (*family["levels"], "all")]
                if all(value is None for value in values):
                    continue
                texts = ["-" if value is None else f"{100 * value:.0f}" for value in values]
                table.add_row("", f"kappa = {kappa:g}", standpoint, *texts, style="dim")
        for line in family["human"]:
            if line["question"] == question and line["value"] is not None:
                at = line["where"].get(family["gradient"])
                texts = [f"{100 * line['value']:.0f}" if level == at else "" for level in family["levels"]]
                table.add_row("", "people", "survey", *texts, "", style="dim")
        table.add_section()
    return table


def _dilemma(family: Mapping[str, Any], names: Mapping[str, str]) -> Table:
    table = new_table(f"{family['title']}: the social dilemma, approval for others less for oneself, in %")
    for heading in ("agent", "answer by"):
        table.add_column(heading, no_wrap=True)
    for heading in ("others", "oneself", "gap [95%]", "stories"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in family["dilemma"]:
        gap = row["gap"]
        text = "-" if gap is None else f"{100 * gap['estimate']:+.0f} [{100 * gap['low']:+.0f}, {100 * gap['high']:+.0f}]"
        style = "bold" if row["measure"] == "stated" else None
        table.add_row(
            names[row["agent"]], _MEASURE[row["measure"]], _percent(row["others"]), _percent(row["own"]), text,
            str(row["stories"]),            style=style,
        )  # fmt: skip
    for kappa, gaps in family["dilemma"][0]["theory"].items():
        texts = "; ".join(f"{100 * gap:+.0f} ({standpoint})" for standpoint, gap in gaps.items() if gap is not None)
        table.add_row(f"kappa = {kappa}", "theory", "", "", texts, "", style="dim")
    return table


_MEASURE = {"stated": "scale and choice", "scale": "scale", "choice": "choice", "probability": "logits"}


def _quality(family: Mapping[str, Any], names: Mapping[str, str]) -> Table:
    table = new_table(f"{family['title']}: what was not answered, and biases, in % (no bias: 0, and 50 for A)")
    for heading in ("agent\n", "answer by\n"):
        table.add_column(heading, no_wrap=True)
    for heading in (
        "re-\nfused", "unpar-\nseable", "approval first\nless last [95%]", "took A\n[95%]", "spread of\nparaphrases",
        "moral, by level:\nlast less first",
    ):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    outcomes = {(o["agent"], o["format"]): o for o in family["outcomes"]}
    order = {(o["agent"], o["measure"]): o for o in family["order"]}
    spread = {(p["agent"], p["measure"]): p["spread"] for p in family["paraphrases"]}
    change = {(s["agent"], s["measure"]): s["change"] for s in family["sensitivity"] if s["question"] == "moral"}
    for (key, measure), bias in order.items():
        outcome = outcomes.get((key, measure))
        table.add_row(
            names[key], _MEASURE[measure],
            f"{100 * outcome['refused']:.0f}" if outcome else "", f"{100 * outcome['unparseable']:.0f}" if outcome else "",
            _points(bias["shift"]), _interval(bias["first_option"]),
            "-" if spread[key, measure] is None else f"{100 * spread[key, measure]:.0f}", _points(change[key, measure]),
        )  # fmt: skip
    return table


def _remarks(family: Mapping[str, Any]) -> list[Text]:
    lines = [
        f"People: {line['says']} ({line['source']}{'; number quoted from memory' if line['recalled'] else ''})."
        for line in family["human"]
    ]
    return [Text("\n".join([f"Theory: {family['model']}", *lines]), style="dim"), Text()]


def _percent(estimate: Mapping[str, float] | None) -> str:
    return "-" if estimate is None else f"{100 * estimate['estimate']:.0f}"


def _interval(estimate: Mapping[str, float] | None) -> str:
    if estimate is None:
        return "-"
    return f"{100 * estimate['estimate']:.0f} [{100 * estimate['low']:.0f}, {100 * estimate['high']:.0f}]"


def _points(estimate: Mapping[str, float] | None) -> str:
    if estimate is None:
        return "-"
    return f"{100 * estimate['estimate']:+.0f} [{100 * estimate['low']:+.0f}, {100 * estimate['high']:+.0f}]"
