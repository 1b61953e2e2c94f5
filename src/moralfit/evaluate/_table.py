"""The tables that a person reads at the end of a run."""

from __future__ import annotations

from typing import Any

from rich.table import Table


def overview(summary: dict[str, Any]) -> Table:
    """Agreement with the solver by agent and held-out split, with what came out invalid."""
    table = Table(title="Agreement with the solver, held-out games (95% intervals clustered by game)")
    table.add_column("agent")
    table.add_column("held against")
    for split in ("payoffs", "frames and labels"):
        table.add_column(f"held-out {split}", justify="right")
    table.add_column("sensitivity", justify="right")
    table.add_column("option probability", justify="right")
    table.add_column("unparseable", justify="right")
    table.add_column("refused", justify="right")
    rows = {(r["agent"], r["target"], r["split"]): r for r in summary["rows"] if r["game"] == "all"}
    for agent in summary["agents"]:
        targets = dict.fromkeys(r["target"] for r in summary["rows"] if r["agent"] == agent["key"])
        for target in targets:
            payoffs, words = (rows.get((agent["key"], target, split)) for split in ("payoffs", "words"))
            both = [row for row in (payoffs, words) if row is not None]
            style = "bold" if agent["kind"] == "adapter" and agent["preference"] == target else None
            table.add_row(
                agent["name"],
                target,
                *(_interval(row and row["agreement"], "{:.1%}") for row in (payoffs, words)),
                _interval(payoffs and payoffs["sensitivity"], "{:+.2f}"),
                _interval(payoffs and payoffs["probability"], "{:.2f}"),
                f"{max((row['invalid'] for row in both), default=0):.1%}",
                f"{max((row['refused'] for row in both), default=0):.1%}",
                style=style,
            )
    return table


def by_decision(summary: dict[str, Any]) -> Table:
    """Agreement and cooperation by game and decision on held-out payoffs."""
    table = Table(title="By game and decision, held-out payoffs")
    for column in ("agent", "held against", "game", "decision"):
        table.add_column(column)
    for column in ("n", "agreement", "first action taken", "theory"):
        table.add_column(column, justify="right")
    names = {agent["key"]: agent for agent in summary["agents"]}
    for row in summary["rows"]:
        agent = names[row["agent"]]
        if row["split"] != "payoffs" or row["decision"] == "all" or agent["kind"] == "random":
            continue
        if agent["preference"] not in (None, row["target"]):
            continue
        theory = "" if row["optimal_cooperation"] is None else f"{row['optimal_cooperation']:.0%}"
        table.add_row(
            agent["name"], row["target"], row["game"].replace("_", " "), row["decision"], str(row["n"]),
            _interval(row["agreement"], "{:.0%}"), _interval(row["cooperation"], "{:.0%}"), theory,
        )  # fmt: skip
    return table


def _interval(estimate: dict[str, float] | None, form: str) -> str:
    if not estimate:
        return "-"
    return f"{form.format(estimate['estimate'])} [{form.format(estimate['low'])}, {form.format(estimate['high'])}]"
