"""The tables of agreement that a person reads at the end of a run, at most 100 columns wide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

_SHORT = {"random": "random", "base": "base", "prompted": "prompted", "adapter": "tuned"}
_PAYOFFS, _WORDS, _GAMES = "payoffs", "words", "games"


def overview(summary: dict[str, Any]) -> Group:
    """Agreement with the solver by agent and held-out split, with what came out invalid: one table a target, and a legend."""
    names = short_names(summary)
    rows = {(r["agent"], r["target"], r["split"]): r for r in summary["rows"] if r["game"] == "all"}
    splits = [_PAYOFFS, _WORDS] + [_GAMES] * any(split == _GAMES for _, _, split in rows)
    tables: list[Table | Text] = []
    for target in _targets(summary):
        table = new_table(f"Agreement with the solver of {target}, held-out games")
        table.add_column("agent", no_wrap=True)
        for heading in (
            "other payoffs\n[95%]",
            "other words too\n[95%]" if len(splits) == 2 else "and words\n[95%]",
            *["other games\n[95%]"] * (_GAMES in splits),
            "sensi-\ntivity",
            "prob. of\noptimum",
            "unpar-\nseable",
            "refused\n",
        ):
            table.add_column(heading, justify="right", no_wrap=True)
        for agent in summary["agents"]:
            of_agent = [rows.get((agent["key"], target, split)) for split in splits]
            payoffs, both = of_agent[0], [row for row in of_agent if row is not None]
            table.add_row(
                names[agent["key"]],
                *(_percent_interval(row and row["agreement"], int(len(splits) == 2)) for row in of_agent),
                _estimate(payoffs and payoffs["sensitivity"], "{:+.2f}"),
                _estimate(payoffs and payoffs["probability"], "{:.2f}"),
                f"{max((row['invalid'] for row in both), default=0):.1%}",
                f"{max((row['refused'] for row in both), default=0):.1%}",
                style="bold" if agent["kind"] == "adapter" and agent["preference"] == target else None,
            )
        tables.append(table)
    legend = "\n".join(f"  {names[agent['key']]}: {agent['name']}" for agent in summary["agents"])
    return Group(*tables, Text(legend, style="dim"), Text())


def by_decision(summary: dict[str, Any]) -> Group:
    """Base beside tuned, a line for each decision on held-out payoffs: agreement, and how often the first action is taken."""
    names = short_names(summary)
    tables = []
    for target in _targets(summary):
        shown = [
            agent["key"]
            for agent in summary["agents"]
            if agent["kind"] == "base" or (agent["kind"] == "adapter" and agent["preference"] == target)
        ]
        found = {
            (row["agent"], row["game"], row["decision"]): row
            for row in summary["rows"]
            if row["target"] == target and row["split"] == _PAYOFFS and row["decision"] != "all"
        }
        table = new_table(f"By decision, held-out payoffs: {target} (first: how often the first action is taken)")
        for heading in ("game\n", "decision\n"):
            table.add_column(heading, no_wrap=True)
        table.add_column("n\n", justify="right")
        for key in shown:
            table.add_column(f"{names[key]}\nagrees", justify="right", no_wrap=True)
        for name in (*(names[key] for key in shown), "theory"):
            table.add_column(f"{name}\nfirst", justify="right", no_wrap=True)
        # Intervals of more than two agents do not fit.
        agreement = _percent_interval if len(shown) <= 2 else _percent
        previous = None
        for game, decision in dict.fromkeys((game, decision) for _, game, decision in found):
            rows = [found.get((key, game, decision)) for key in shown]
            known = next(row for (_, g, d), row in found.items() if (g, d) == (game, decision))
            table.add_row(
                "" if game == previous else game.replace("_", " ").removeprefix("sequential "),
                decision,
                str(known["n"]),
                *(agreement(row and row["agreement"]) for row in rows),
                *(_percent(row and row["cooperation"]) for row in rows),
                "-" if known["optimal_cooperation"] is None else f"{known['optimal_cooperation']:.0%}",
            )
            previous = game
        tables.append(table)
    return Group(*tables)


def by_family(summary: dict[str, Any]) -> Group:
    """A line for each family of the transfer test: agreement of every agent, and what tuned ones do beside what theory does.

    Empty where other games were not played.
    """
    names = short_names(summary)
    found = {(r["target"], r["game"], r["agent"]): r for r in summary["rows"] if r["split"] == _GAMES}
    tables = []
    for target in _targets(summary) if found else ():
        tuned = [a["key"] for a in summary["agents"] if a["kind"] == "adapter" and a["preference"] == target]
        shown = [a["key"] for a in summary["agents"] if a["kind"] != "adapter" or a["key"] in tuned]
        table = new_table(f"Other games, never trained on: agreement with the solver of {target}")
        table.add_column("game\n", no_wrap=True)
        table.add_column("n\n", justify="right")
        for key in shown:
            table.add_column(f"{names[key]}\nagrees", justify="right", no_wrap=True)
        for key in tuned:
            table.add_column(f"{names[key]}\nunread", justify="right", no_wrap=True)
            table.add_column(f"{names[key]}\nfirst", justify="right", no_wrap=True)
            table.add_column("theory\nfirst", justify="right", no_wrap=True)
        for game in dict.fromkeys(game for t, game, _ in found if t == target):
            rows = {key: found.get((target, game, key)) for key in [*shown, *tuned]}
            known = next(row for row in rows.values() if row is not None)
            line = [_percent(row and row["agreement"]) for row in (rows[key] for key in shown)]
            for row in (rows[key] for key in tuned):
                line += [f"{row['invalid'] + row['refused']:.0%}", *_done(row)] if row else ["-"] * 3
            table.add_row("all" if game == "all" else game.replace("_", " "), str(known["n"]), *line)
        tables.append(table)
    said = "first: share of first actions (cooperate, stag, swerve, accept, take, invest);\n+: mean amount, from least to most"
    note = Text(said, style="dim")
    return Group(*tables, note, Text()) if tables else Group()


def served_by(summary: Mapping[str, Any]) -> Group:
    """The server that answered, what it counted, and what a person has to know of it. Empty where models ran here."""
    served = summary.get("served")
    if not served:
        return Group()
    counts = f"{served['prompt_tokens']:,} tokens read and {served['completion_tokens']:,} written"
    cost = "" if served["cost"] is None else f", which cost {served['cost']:,.2f}"
    line = f"served by {served['endpoint']}: {served['requests']:,} requests, {counts}{cost}"
    notes = [Text(f"Warning: {note}", style="bold red") for note in summary.get("notes", ())]
    return Group(Text(line, style="dim"), *notes, Text())


def _done(row: dict[str, Any]) -> tuple[str, str]:
    """How often the first action is taken, or the mean amount, by the agent and by theory."""
    if row["cooperation"] or row["optimal_cooperation"] is not None:
        best = row["optimal_cooperation"]
        return _percent(row["cooperation"]), "-" if best is None else f"{best:.0%}"
    best = row.get("optimal_amount")
    return f"{_percent(row.get('amount'))}{'+' * bool(row.get('amount'))}", "-" if best is None else f"{best:.0%}+"


def new_table(title: str) -> Table:
    """An empty table in the style of all of them."""
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def _targets(summary: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["target"] for row in summary["rows"]))


def short_names(summary: Mapping[str, Any]) -> dict[str, str]:
    """`base`, `prompted`, `tuned`, `random`; numbered where there are several of a kind."""
    kinds = [agent["kind"] for agent in summary["agents"]]
    return {
        agent["key"]: _SHORT[agent["kind"]] + (f" {kinds[: place + 1].count(agent['kind'])}" * (kinds.count(agent["kind"]) > 1))
        for place, agent in enumerate(summary["agents"])
    }


def _estimate(estimate: dict[str, float] | None, form: str) -> str:
    return form.format(estimate["estimate"]) if estimate else "-"


def _percent(estimate: dict[str, float] | None) -> str:
    return _estimate(estimate, "{:.0%}")


def _percent_interval(estimate: dict[str, float] | None, decimals: int = 0) -> str:
    if not estimate:
        return "-"
    return f"{estimate['estimate']:.{decimals}%} [{100 * estimate['low']:.0f}, {100 * estimate['high']:.0f}]"
