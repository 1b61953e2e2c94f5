"""The same tables as Markdown, to be pasted: every cell with its interval and with how many of its prompts were answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from moralfit.dilemmas._family import STANDPOINTS
from moralfit.dilemmas._summary import MEASURES, POOLED
from moralfit.dilemmas._table import MEASURE_NAMES, asked, interval, missed, points, switching
from moralfit.evaluate import short_names


def markdown(summary: Mapping[str, Any]) -> str:
    """Warnings; for each family approval by question, agent and level, the social dilemma, biases, and what people say."""
    names = short_names(summary)
    parts = [f"> **Warning:** {' '.join(note.split())}" for note in summary.get("notes", ())]
    for family in summary["families"].values():
        where = ", ".join(f"{factor}: {level}" for factor, level in family["main"].items())
        parts += [
            f"### {family['title']}",
            f"Approval in % ({where}) with 95 % intervals clustered by story, by {family['axis']}; with replies, how many of "
            "the prompts were answered where not all were. Refused and unparseable in % of all replies in the row.",
            "\n".join(_approval(family, names)),
            "Approval of others' doing it less of doing it oneself, in percentage points:",
            "\n".join(_dilemma(family, names)),
            "By way of answering; biases in percentage points, none being 0, and 50 for A:",
            "\n".join(_quality(family, names)),
            f"Theory: {family['model']}",
            "\n".join(f"- People: {line['says']} ({line['source']})." for line in family["human"]),
        ]
    legend = "; ".join(f"{names[agent['key']]} is {agent['name']}" for agent in summary["agents"])
    settings = ", ".join(f"{name} {value}" for name, value in summary["settings"].items() if name != "families")
    parts.append(f"Agents: {legend}. Settings: {settings}.")
    return "\n\n".join(parts) + "\n"


def _approval(family: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    yield from _head(["question", "agent", "by", *map(str, family["levels"]), "all", "refused", "unparseable"], left=3)
    found = {(r["agent"], r["question"], r["measure"], r["factor"], r["level"]): r for r in family["rows"]}
    theory = {(t["kappa"], t["question"], t["level"]): t for t in family["theory"] if t["standpoint"] == STANDPOINTS[0]}
    for question in asked(family):
        for key, name in names.items():
            for measure in POOLED:
                total = found[key, question, measure, None, "all"]
                cells = [found.get((key, question, measure, family["gradient"], level)) for level in family["levels"]]
                texts = [_cell(cell) for cell in (*cells, total)]
                yield _row([family["questions"][question], name, MEASURE_NAMES[measure], *texts, *missed(total)])
        for kappa in dict.fromkeys(kappa for kappa, _, _ in theory):
            values = [theory[kappa, question, level]["approval"] for level in (*family["levels"], "all")]
            texts = ["-" if value is None else f"{100 * value:.0f}" for value in values]
            yield _row([family["questions"][question], f"theory, kappa = {kappa:g}", STANDPOINTS[0], *texts, "", ""])
        for standpoint in STANDPOINTS:
            texts = switching(family, question, standpoint)
            yield _row([family["questions"][question], "theory approves at kappa", standpoint, *texts, "", "", ""])
        for line in family["human"]:
            if line["question"] == question and line["value"] is not None:
                at = line["where"].get(family["gradient"])
                texts = [f"{100 * line['value']:.0f}" if level == at else "" for level in family["levels"]]
                yield _row([family["questions"][question], "people", "survey", *texts, "", "", ""])


def _dilemma(family: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    yield from _head(["agent", "by", "others", "oneself", "gap", "stories"], left=2)
    for row in family["dilemma"]:
        rates = [interval(row["others"]), interval(row["own"])]
        yield _row([names[row["agent"]], MEASURE_NAMES[row["measure"]], *rates, points(row["gap"]), str(row["stories"])])
    for kappa, gaps in family["dilemma"][0]["theory"].items():
        for standpoint, gap in gaps.items():
            yield _row([f"theory, kappa = {kappa}", standpoint, "", "", "-" if gap is None else f"{100 * gap:+.0f}", ""])


def _quality(family: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    ends = f"moral, {family['levels'][-1]} less {family['levels'][0]}"
    heads = ["agent", "by", "refused", "unparseable", "approval first less last", "took A", "spread of paraphrases", ends]
    yield from _head(heads, left=2)
    outcomes = {(o["agent"], o["format"]): o for o in family["outcomes"]}
    order = {(o["agent"], o["measure"]): o for o in family["order"]}
    spread = {(p["agent"], p["measure"]): p["spread"] for p in family["paraphrases"]}
    change = {(s["agent"], s["measure"]): s["change"] for s in family["sensitivity"] if s["question"] == "moral"}
    for key, name in names.items():
        for at in ((key, measure) for measure in MEASURES):
            outcome = outcomes.get(at)
            failed = [f"{100 * outcome[status]:.0f}" if outcome else "" for status in ("refused", "unparseable")]
            told = "-" if spread[at] is None else f"{100 * spread[at]:.0f}"
            bias = [points(order[at]["shift"]), interval(order[at]["first_option"])]
            yield _row([name, MEASURE_NAMES[at[1]], *failed, *bias, told, points(change[at])])


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    missing = row["measure"] == "stated" and row["answered"] < row["n"]
    return interval(row["approval"]) + (f" {row['answered']}/{row['n']}" if missing else "")


def _head(headings: Sequence[str], left: int) -> Iterator[str]:
    yield _row(headings)
    yield _row(["---" if place < left else "---:" for place in range(len(headings))])


def _row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"
