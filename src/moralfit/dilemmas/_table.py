"""The tables that a person reads at the end of an experiment, at most 110 columns wide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from moralfit.dilemmas._family import QUESTIONS, STANDPOINTS
from moralfit.dilemmas._summary import MEASURES, POOLED
from moralfit.evaluate import new_table, short_names

#: Ways of answering in a few words.
MEASURE_NAMES = {
    "stated": "replies", "logits": "logits", "scale": "scale", "choice": "choice", "expected": "scale logits",
    "probability": "choice logits",
}  # fmt: skip


def tables(summary: Mapping[str, Any]) -> Group:
    """For each family: approval by question and gradient, the social dilemma, what was not answered, and biases; a legend."""
    names = short_names(summary)
    parts: list[Any] = []
    for family in summary["families"].values():
        parts += [_approval(family, question, names) for question in asked(family)]
        parts += [_switching(family), _dilemma(family, names), _quality(family, names), *_remarks(family)]
    legend = [f"  {names[agent['key']]}: {agent['name']}" for agent in summary["agents"]]
    legend += [
        "  replies: what was said, scales and forced choices together.",
        "  logits: what the model holds likely to answer without reasoning, also where no reply can be read.",
    ]
    return Group(*parts, Text("\n".join(legend), style="dim"), Text())


def asked(family: Mapping[str, Any]) -> list[str]:
    """The questions that the design put."""
    put = {row["question"] for row in family["rows"] if row["n"]}
    return [question for question in QUESTIONS if question in put]


def _approval(family: Mapping[str, Any], question: str, names: Mapping[str, str]) -> Table:
    where = ", ".join(map(str, family["main"].values()))
    table = new_table(f"{family['title']} ({where}): {family['questions'][question]}, approval in % by {family['axis']}")
    for heading in ("agent or theory\n", "by\n"):
        table.add_column(heading, no_wrap=True)
    for heading in (*(f"{level}\n" for level in family["levels"]), "all [95%]\n", "re-\nfused", "unpar-\nseable"):
        table.add_column(heading, justify="right", no_wrap=True)
    found = {(r["agent"], r["measure"], r["factor"], r["level"]): r for r in family["rows"] if r["question"] == question}
    for key, name in names.items():
        for measure in POOLED:
            row = found[key, measure, None, "all"]
            levels = [found.get((key, measure, family["gradient"], level)) for level in family["levels"]]
            table.add_row(
                name if measure == "stated" else "", MEASURE_NAMES[measure],
                *(percent(at and at["approval"]) for at in levels), interval(row["approval"]), *missed(row),
            )  # fmt: skip
    theory = {(t["kappa"], t["level"]): t for t in family["theory"] if (t["question"], t["standpoint"]) == (question, _SHOWN)}
    for kappa in dict.fromkeys(kappa for kappa, _ in theory):
        values = [theory[kappa, level]["approval"] for level in (*family["levels"], "all")]
        texts = ["-" if value is None else f"{100 * value:.0f}" for value in values]
        table.add_row(f"kappa = {kappa:g}", _SHOWN, *texts, style="dim")
    for line in family["human"]:
        if line["question"] == question and line["value"] is not None:
            at = line["where"].get(family["gradient"])
            texts = [f"{100 * line['value']:.0f}" if level == at else "" for level in family["levels"]]
            table.add_row("people", "survey", *texts, style="dim")
    return table


#: The reading of one's own payoff by which theory's answers are printed; the switching points are printed for both.
_SHOWN = "role known"


def _switching(family: Mapping[str, Any]) -> Table:
    table = new_table(f"{family['title']}: the kappas at which theory approves, by {family['axis']}")
    for heading in ("question", "standpoint", *map(str, family["levels"])):
        table.add_column(heading, no_wrap=True)
    for question in asked(family):
        for standpoint in STANDPOINTS:
            shown = question if standpoint == STANDPOINTS[0] else ""
            table.add_row(shown, standpoint, *switching(family, question, standpoint), style="dim")
    return table


def switching(family: Mapping[str, Any], question: str, standpoint: str) -> list[str]:
    """For each level of the gradient the kappas at which one approves; several where cells differ in another factor."""
    found = {s["level"]: s for s in family["switching"] if (s["question"], s["standpoint"]) == (question, standpoint)}
    return [
        " or ".join(text.replace(" ", "").replace("0.", ".") for text in found[level]["approves"]) for level in family["levels"]
    ]


def _dilemma(family: Mapping[str, Any], names: Mapping[str, str]) -> Table:
    table = new_table(f"{family['title']}: the social dilemma, approval for others less for oneself, in %")
    for heading in ("agent or theory", "by"):
        table.add_column(heading, no_wrap=True)
    for heading in ("others", "oneself", "gap [95%]", "stories"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in family["dilemma"]:
        if row["measure"] in POOLED:
            table.add_row(
                names[row["agent"]] if row["measure"] == "stated" else "", MEASURE_NAMES[row["measure"]],
                percent(row["others"]), percent(row["own"]), points(row["gap"]), str(row["stories"]),
            )  # fmt: skip
    for kappa, gaps in family["dilemma"][0]["theory"].items():
        texts = "; ".join(f"{100 * gap:+.0f} ({standpoint})" for standpoint, gap in gaps.items() if gap is not None)
        table.add_row(f"kappa = {kappa}", "theory", "", "", texts, "", style="dim")
    return table


def _quality(family: Mapping[str, Any], names: Mapping[str, str]) -> Table:
    table = new_table(f"{family['title']}: what was not answered, and biases, in % (no bias: 0, and 50 for A)")
    for heading in ("agent\n", "by\n"):
        table.add_column(heading, no_wrap=True)
    for heading in (
        "re-\nfused", "unpar-\nseable", "approval first\nless last [95%]", "took A\n[95%]", "para-\nphrases",
        f"moral: {family['levels'][-1]} less\n{family['levels'][0]} [95%]",
    ):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    outcomes = {(o["agent"], o["format"]): o for o in family["outcomes"]}
    order = {(o["agent"], o["measure"]): o for o in family["order"]}
    spread = {(p["agent"], p["measure"]): p["spread"] for p in family["paraphrases"]}
    change = {(s["agent"], s["measure"]): s["change"] for s in family["sensitivity"] if s["question"] == "moral"}
    for key, name in names.items():
        for measure in MEASURES:
            outcome, bias = outcomes.get((key, measure)), order[key, measure]
            table.add_row(
                name if measure == MEASURES[0] else "", MEASURE_NAMES[measure],
                f"{100 * outcome['refused']:.0f}" if outcome else "", f"{100 * outcome['unparseable']:.0f}" if outcome else "",
                points(bias["shift"]), interval(bias["first_option"]),
                "-" if spread[key, measure] is None else f"{100 * spread[key, measure]:.0f}", points(change[key, measure]),
            )  # fmt: skip
    return table


def _remarks(family: Mapping[str, Any]) -> list[Text]:
    lines = [f"People: {line['says']} ({line['source']})." for line in family["human"]]
    return [Text("\n".join([f"Theory: {family['model']}", *lines]), style="dim"), Text()]


def missed(row: Mapping[str, Any]) -> tuple[str, str]:
    """Shares of replies that were refused and unparseable, in percent; nothing for what is read off the model."""
    if row["measure"] != "stated" or not row["n"]:
        return "", ""
    refused, unparseable = (f"{100 * row[status] / row['n']:.0f}" for status in ("refused", "unparseable"))
    return refused, unparseable


def percent(estimate: Mapping[str, float] | None) -> str:
    """A share in percent, or a dash."""
    return "-" if estimate is None else f"{100 * estimate['estimate']:.0f}"


def interval(estimate: Mapping[str, float] | None) -> str:
    """A share in percent with its interval, or a dash."""
    if estimate is None:
        return "-"
    return f"{100 * estimate['estimate']:.0f} [{100 * estimate['low']:.0f}, {100 * estimate['high']:.0f}]"


def points(estimate: Mapping[str, float] | None) -> str:
    """A difference in percentage points with its interval, or a dash."""
    if estimate is None:
        return "-"
    return f"{100 * estimate['estimate']:+.0f} [{100 * estimate['low']:+.0f}, {100 * estimate['high']:+.0f}]"
