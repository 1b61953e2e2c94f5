"""A tournament: its cells, and the matrix of what everyone gets against everyone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from moralfit.console import bar
from moralfit.errors import MoralfitError, RecipeError, RunError
from moralfit.evaluate import find_adapter
from moralfit.files import read_json
from moralfit.files import sha256 as checksum
from moralfit.pricing import SPEAKING as SPEAKING_FIRMS
from moralfit.pricing import PricingRecipe, analyse, mean_over_runs, run_experiment
from moralfit.recipe import load_as
from moralfit.sweep._cells import Cell, Row
from moralfit.sweep._plans import Behaviour, PlansCell, check_players, exact_behaviours, meeting, scenes
from moralfit.sweep._recipe import SPEAKING, ArenaSection, SweepRecipe, TournamentSection

SCHEMA = 1
GAMES = "games"


@dataclass(frozen=True)
class MarketCell:
    """One pairing in one market: a pricing experiment of its own."""

    market: str
    recipe: PricingRecipe

    @property
    def id(self) -> str:
        """`MARKET-FIRM-FIRM`."""
        return self.recipe.name

    @property
    def folder(self) -> Path:
        """The experiment's folder."""
        return self.recipe.folder

    @property
    def pairing(self) -> tuple[str, ...]:
        """Who meets: names of agents, firm 0 first."""
        return self.recipe.pairs()[0]

    def finished(self) -> bool:
        """Whether all periods are there, in whole records, and adapters are those that played.

        Raises:
            RunError: The folder holds another experiment, or one with adapters that have changed since.
        """
        if not (self.folder / "experiment.yaml").exists() or not (self.folder / "settings.json").exists():
            return False
        settings = read_json(self.folder / "settings.json")
        for agent in settings["agents"]:
            section = self.recipe.agents.get(agent["key"])
            if section is not None and section.adapter is not None:
                now = checksum(find_adapter(Path(section.adapter))[0] / "adapter_model.safetensors")
                if now != agent.get("sha256"):
                    raise RunError(f"{self.folder}: {agent['key']} was another adapter when it played; move that folder away")

        def nobody(*_: Any) -> Any:
            raise _UnfinishedError

        try:
            run_experiment(self.recipe, self.folder, cast=nobody)
        except _UnfinishedError:
            return False
        return True

    def run(self, console: Console) -> None:
        """Plays the periods that are missing."""
        from moralfit.models import release_memory

        # Of a cell before this one in the same process.
        release_memory()
        with bar(console, self.id, self.recipe.periods) as update:
            run_experiment(self.recipe, self.folder, progress=lambda done, _: update(done), say=console.print)

    def rows(self) -> list[Row]:
        """A row for each agent: its profit against the others."""
        summary = analyse(self.folder)
        found = []
        for agent in dict.fromkeys(self.pairing):
            row = next(r for r in summary["rows"] if (r["agent"], r["scale"], r["wording"]) == (agent, "all", "all"))
            others = list(self.pairing)
            others.remove(agent)
            found.append(
                {
                    "arena": self.market, "agent": agent, "opponent": "+".join(others), "n": row["runs"],
                    "value": row["delta"]["estimate"], "low": row["delta"]["low"], "high": row["delta"]["high"],
                    "profit": row["profit"]["estimate"], "price": row["price"]["estimate"], "fallback": row["fallback"],
                }
            )  # fmt: skip
        return found


class _UnfinishedError(Exception):
    """There are periods left to play."""


@dataclass(frozen=True)
class Tournament:
    """What is played, and by whom."""

    plans: tuple[PlansCell, ...]
    markets: tuple[MarketCell, ...]

    @property
    def cells(self) -> list[Cell]:
        """In the order in which they are run."""
        return [*self.plans, *self.markets]


def build_tournament(sweep: SweepRecipe, section: TournamentSection, source: str) -> Tournament:
    """All cells of a tournament, checked.

    Raises:
        RecipeError: A pricing recipe has problems, or its agents are named as the tournament's. ModelError: An adapter is
            missing or damaged.
    """
    place = sweep.folder / "cells"
    check_players(section.agents)
    plans: list[PlansCell] = []
    if section.games is not None:
        scenes(section.games, sweep.seed)
        plans = [
            PlansCell(name, player, section.model, section.games, sweep.seed, place)
            for name, player in section.agents.items()
            if player.kind in SPEAKING
        ]
    markets: list[MarketCell] = []
    problems = []
    for name, arena in section.markets.items():
        try:
            markets += _market(name, arena, section, place)
        except RecipeError as error:
            problems.append(f"tournament.markets.{name}: {error}")
    if problems:
        raise RecipeError(f"{source}: " + "\n".join(problems))
    return Tournament(tuple(plans), tuple(markets))


def _market(name: str, arena: ArenaSection, section: TournamentSection, place: Path) -> list[MarketCell]:
    given = [f"{key}={json.dumps(value)}" for key, value in arena.set.items()]
    own = load_as(PricingRecipe, arena.recipe, given)
    rules = {key: agent for key, agent in own.agents.items() if agent.kind not in SPEAKING_FIRMS}
    if same := sorted(set(rules) & set(section.agents)):
        raise RecipeError(f"{arena.recipe} and the tournament both have an agent {', '.join(same)}; rename one")
    agents: dict[str, Any] = {
        key: {
            "kind": player.kind,
            "adapter": player.adapter,
            "preference": player.preference and player.preference.model_dump(),
        }
        for key, player in section.agents.items()
        if player.kind in SPEAKING
    }
    agents |= {key: agent.model_dump() for key, agent in rules.items()}
    if not agents:
        raise RecipeError("nobody to play: markets are played by language models, and by the rules and learners of the recipe")
    model = json.dumps(section.model.model_dump(mode="json"))
    everyone = load_as(PricingRecipe, arena.recipe, [*given, f"agents={json.dumps(agents)}", "pairings=all", f"model={model}"])
    found = []
    for pair in everyone.pairs():
        update = {
            "name": "-".join((name, *pair)),
            "output": str(place),
            "pairings": (pair,),
            # An agent that is added later leaves the cells of the others as they are.
            "agents": {key: everyone.agents[key] for key in dict.fromkeys(pair)},
        }
        found.append(MarketCell(name, everyone.model_copy(update=update)))
    return found


def summarise_tournament(
    sweep: SweepRecipe, section: TournamentSection, tournament: Tournament, errors: Mapping[str, str]
) -> dict[str, Any]:
    """A row for each agent against each other in every arena; nothing in it depends on who ran the cells, or when."""
    rows: list[Row] = []
    cells: list[Row] = []
    behaviours: dict[str, list[Behaviour]] = {}
    asked = scenes(section.games, sweep.seed) if section.games is not None else []
    plans = {cell.agent: cell for cell in tournament.plans}
    for cell in tournament.cells:
        entry: Row = {"cell": cell.id, "status": "missing", "error": None}
        try:
            if cell.id in errors:
                entry |= {"status": "failed", "error": errors[cell.id]}
            elif cell.finished():
                if isinstance(cell, PlansCell):
                    behaviours[cell.agent] = cell.behaviours()
                elif isinstance(cell, MarketCell):
                    rows += cell.rows()
                    if notes := read_json(cell.folder / "summary.json")["notes"]:
                        entry["notes"] = notes
                entry["status"] = "done"
        except MoralfitError as error:
            entry |= {"status": "failed", "error": str(error)}
        cells.append(entry)
    stated: Row = {}
    if section.games is not None:
        for name, player in section.agents.items():
            if name not in plans:
                behaviours[name] = exact_behaviours(player, asked)
        ordered = {name: behaviours[name] for name in section.agents if name in behaviours}
        stated = {name: sum(b is not None for b in found) for name, found in ordered.items()}
        rows = [*_games(ordered, asked), *rows]
    measures = {GAMES: "payoff in points"} if section.games is not None else {}
    measures |= dict.fromkeys(section.markets, "profit gain Delta, 0 Nash, 1 joint monopoly")
    return {
        "schema": SCHEMA, "kind": "tournament", "sweep": sweep.name, "scenes": len(asked), "stated": stated,
        "measures": measures, "rows": rows, "cells": cells,
    }  # fmt: skip


def _games(behaviours: Mapping[str, Sequence[Behaviour]], asked: Sequence[Any]) -> list[Row]:
    """Mean payoffs over scenes; a scene is one draw of a game, and so one observation."""
    rows = []
    for agent, own in behaviours.items():
        for opponent, other in behaviours.items():
            met = [meeting(i.scene.game, x, y) for i, x, y in zip(asked, own, other, strict=True)]
            back = [meeting(i.scene.game, y, x) for i, x, y in zip(asked, own, other, strict=True)]
            played = [(got, paid) for got, paid in zip(met, back, strict=True) if got is not None and paid is not None]
            mean = mean_over_runs([float(sum(got)) / 2 for got, _ in played])
            rows.append(
                {
                    "arena": GAMES, "agent": agent, "opponent": opponent, "n": len(played),
                    "value": mean.estimate, "low": mean.low, "high": mean.high,
                    "first": mean_over_runs([float(got[0]) for got, _ in played]).estimate,
                    "second": mean_over_runs([float(got[1]) for got, _ in played]).estimate,
                    "sum": mean_over_runs([float(sum(got) + sum(paid)) / 2 for got, paid in played]).estimate,
                }
            )  # fmt: skip
    return rows


def tournament_tables(summary: Mapping[str, Any]) -> Group:
    """For each arena who gets how much against whom; then how many plans could be read, and what went wrong."""
    tables: list[Table | Text] = []
    for arena, measure in summary["measures"].items():
        rows = [row for row in summary["rows"] if row["arena"] == arena]
        opponents = list(dict.fromkeys(row["opponent"] for row in rows))
        # A title would be broken to the width of its table, which may be that of two agents.
        tables.append(Text(f"{summary['sweep']}, {arena}: {measure}, row against column [95%]", style="italic"))
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("agent", no_wrap=True)
        for opponent in opponents:
            table.add_column(opponent, justify="right", no_wrap=True)
        for agent in dict.fromkeys(row["agent"] for row in rows):
            found = {row["opponent"]: row for row in rows if row["agent"] == agent}
            table.add_row(agent, *(_value(found.get(opponent)) for opponent in opponents))
        tables.append(table)
    few = [f"{name} {count}" for name, count in summary["stated"].items() if count < summary["scenes"]]
    if few:
        tables.append(
            Text(f"Plans that could be read, of {summary['scenes']}: {', '.join(few)}. A scene counts where both could.")
        )
    for cell in summary["cells"]:
        tables += [Text(f"Warning: {cell['cell']}: {note}", style="bold red") for note in cell.get("notes", ())]
    tables += [Text(f"{cell['cell']} failed: {cell['error']}") for cell in summary["cells"] if cell["error"]]
    return Group(*tables)


def _value(row: Row | None) -> str:
    if row is None or row["value"] is None:
        return "-"
    return f"{row['value']:.2f}" + ("" if row["low"] is None else f"\n[{row['low']:.2f}, {row['high']:.2f}]")
