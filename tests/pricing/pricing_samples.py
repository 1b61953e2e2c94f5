"""Experiment folders made up in seconds: prices from simple rules, replies as language models leave them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import yaml

from moralfit.pricing import LogitMarket

Json = dict[str, Any]

AGENTS: dict[str, Json] = {
    "base": {"name": "SmolLM2-135M-Instruct", "kind": "base", "preference": None},
    "economicus": {"name": "tuned to be homo economicus", "kind": "adapter", "preference": "homo economicus"},
    "moralis": {"name": "tuned to be homo moralis (kappa = 1)", "kind": "adapter", "preference": "homo moralis (kappa = 1)"},
    "nash": {"name": "Nash price", "kind": "nash", "preference": None},
    "monopoly": {"name": "joint monopoly price", "kind": "monopoly", "preference": None},
}
#: Where prices go, how far they jump, and how much they follow the rival.
RULES = {"base": (2.6, 0.25, 0.1), "economicus": (1.5, 0.04, 0.3), "moralis": (1.9, 0.05, 0.3), "nash": (1.4729, 0, 0),
         "monopoly": (1.925, 0, 0)}  # fmt: skip
SPEAKING = ("base", "economicus", "moralis")

#: (agent, firm, period, own last price, rival's last price, chance) -> price at scale 1.
Rule = Callable[[str, int, int, float, float, Random], float]


def rule(agent: str, firm: int, period: int, own: float, rival: float, rng: Random) -> float:
    goal, jump, follow = RULES[agent]
    return max(0.5, goal + 0.5 * (own - goal) + follow * (rival - own) + rng.gauss(0, jump) if jump else goal)


def records(
    pairs: Sequence[tuple[str, ...]],
    periods: int,
    runs: int = 3,
    scales: Sequence[float] = (1.0,),
    wordings: Sequence[str] = ("P1",),
    price: Rule = rule,
    market: LogitMarket | None = None,
) -> list[Json]:
    """Lines in the order in which an experiment writes them: all runs of a period, then the next."""
    market = market or LogitMarket()
    designs = [(p, s, w, r) for p in pairs for s in scales for w in wordings for r in range(1, runs + 1)]
    last: dict[str, tuple[float, ...]] = {}
    found = []
    for period in range(1, periods + 1):
        for pair, scale, wording, replicate in designs:
            name = f"{'-'.join(pair)}/x{scale:g}/{wording}/{replicate}"
            own = last.get(name, tuple(1.7 for _ in pair))
            rng = Random(f"{name} {period}")
            prices = [
                price(agent, firm, period, own[firm], sum(own[:firm] + own[firm + 1 :]) / (len(pair) - 1), rng)
                for firm, agent in enumerate(pair)
            ]
            last[name] = tuple(prices)
            quantities, profits = market.quantities(prices), market.profits(prices)
            for firm, agent in enumerate(pair):
                talks = agent in SPEAKING
                status = "answered" if not talks else rng.choices(("answered", "retried", "fallback"), (8, 1, 1))[0]
                text = f"Plans: stay near it.\nInsights: rivals follow.\nPrice: {prices[firm] * scale:.2f}"
                found.append({
                    "schema": 1, "run": name, "pairing": "-".join(pair), "agents": list(pair), "firm": firm, "agent": agent,
                    "period": period, "scale": scale, "wording": wording, "replicate": replicate, "ceiling": 4.5 * scale,
                    "price": prices[firm] * scale, "quantity": float(quantities[firm]), "profit": float(profits[firm]) * scale,
                    "status": status, "retries": {"answered": 0, "retried": 1, "fallback": 2}[status],
                    "reply": text if talks and status != "fallback" else "I think so, too." if talks else None,
                    "prompt": f"You run a firm.\nNobody pays more than {4.5 * scale:g}." if talks else None,
                    "plans": "stay near the last price" if talks else "", "insights": "rivals follow" if talks else "",
                    "history_shown": min(period - 1, 100) if talks else None,
                    "prompt_tokens": 300 + 10 * period if talks else None,
                })  # fmt: skip
    return found


def write_experiment(folder: Path, lines: Sequence[Json], periods: int, **changes: Any) -> Path:
    """`experiment.yaml`, `settings.json` and `records.jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = list(dict.fromkeys(key for line in lines for key in line["agents"]))
    kinds = {key: {"kind": AGENTS[key]["kind"]} for key in keys}
    for key, agent in kinds.items():
        agent |= {"adapter": f"runs/{key}"} if agent["kind"] == "adapter" else {}
    pairs = list(dict.fromkeys(tuple(line["agents"]) for line in lines))
    recipe = {"name": folder.name, "agents": kinds, "pairings": [list(pair) for pair in pairs], "periods": periods, **changes}
    (folder / "experiment.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    settings = {"schema": 1, "agents": [{"key": key, **AGENTS[key]} for key in keys]}
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    write_records(folder, lines)
    return folder


def write_records(folder: Path, lines: Sequence[Json]) -> None:
    (folder / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def experiment(folder: Path, pairs: Sequence[tuple[str, ...]], periods: int, **more: Any) -> Path:
    """A whole experiment."""
    return write_experiment(folder, records(pairs, periods, **more), periods)
