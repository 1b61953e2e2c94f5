"""The tables that a person reads at the end of a run, at most 100 columns wide."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

_SHORT = {"random": "random", "base": "base", "prompted": "prompted", "adapter": "tuned"}
_PAYOFFS, _WORDS = "payoffs", "words"


def overview(summary: dict[str, Any]) -> Group:
    """Agreement with the solver by agent and held-out split, with what came out invalid: one table a target, and a legend."""
    names = _short_names(summary)
    rows = {(r["agent"], r["target"], r["split"]): r for r in summary["rows"] if r["game"] == "all"}
    tables: list[Table | Text] = []
    for target in _targets(summary):
        table = _table(f"Agreement with the solver of {target}, held-out games")
        table.add_column("agent", no_wrap=True)
        for heading in (
            "other payoffs\n[95%]",
            "other words too\n[95%]",
            "sensitivity\nto theory",
            "probability\nof optimum",
            "unpar-\nseable",
            "refused\n",
        ):
            table.add_column(heading, justify="right", no_wrap=True)
        for agent in summary["agents"]:
            payoffs, words = (rows.get((agent["key"], target, split)) for split in (_PAYOFFS, _WORDS))
            both = [row for row in (payoffs, words) if row is not None]
            table.add_row(
                names[agent["key"]],
                *(_percent_interval(row and row["agreement"], 1) for row in (payoffs, words)),
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
    names = _short_names(summary)
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
        table = _table(f"By decision, held-out payoffs: {target} (first: how often the first action is taken)")
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


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def _targets(summary: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["target"] for row in summary["rows"]))


def _short_names(summary: dict[str, Any]) -> dict[str, str]:
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
