"""How fast markets are simulated, prices learned and prices said: `python benchmarks/pricing_speed.py [--part words]`.

Prints one JSON line for each measurement. A market period is one period of one run: every firm sets a price, and quantities and
profits of all firms are computed and kept. `simulate` plays 10,000 runs of scripted agents side by side; `decide` asks the same
agents through the interface that language models use, for the 42 runs of one pairing of the full design. The line on Q-learning
has the seconds of complete sessions in Calvano et al.'s baseline, without the compilation, and the profit gain they ended with.
The lines on words are the embedded model, as recipes/pricing-quickstart.yaml asks it, against itself: all firms of all runs in
one batch, and one by one. The same seeds draw the same words in both, but for rounding. Its CPU seconds include loading it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from moralfit.console import quiet_libraries
from moralfit.models import load_tokenizer
from moralfit.pricing import (
    LogitMarket,
    Period,
    QLearning,
    ScriptedAgent,
    View,
    impulse_response,
    learn,
    learn_sessions,
    load_pricing_recipe,
    run_experiment,
    simulate,
)
from moralfit.pricing._language import AGAIN
from moralfit.recipe import ModelSection

PAIRINGS = [("nash", "monopoly"), ("grim-trigger", "price-matching"), ("grim-trigger", "random"), ("best-reply", "random")]
RUNS, DESIGN_RUNS, DESIGN_PERIODS = 10_000, 42, 300
QUICKSTART = Path(__file__).parents[1] / "recipes" / "pricing-quickstart.yaml"


def cpu() -> str:
    """The processor's name where Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def machine() -> str:
    packages = f"numpy {version('numpy')}, numba {version('numba')}"
    return f"{cpu()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"


def timed(task: Callable[[], Any]) -> tuple[Any, float, float]:
    """What the task returns, and its wall and CPU seconds."""
    wall, cpu_start = time.perf_counter(), time.process_time()
    found = task()
    return found, time.perf_counter() - wall, time.process_time() - cpu_start


def report(what: str, wall: float, busy: float, **values: Any) -> None:
    line = {"what": what, **values, "wall seconds": round(wall, 2), "cpu seconds": round(busy, 2), "machine": machine()}
    print(json.dumps(line), flush=True)


def lock_step(market: LogitMarket, agents: list[ScriptedAgent]) -> None:
    """The full design's runs of one pairing through `decide`, all views of an agent in one call."""
    histories: list[list[Period]] = [[] for _ in range(DESIGN_RUNS)]
    for t in range(1, DESIGN_PERIODS + 1):
        columns = []
        for i, agent in enumerate(agents):
            views = [View(str(r), i, t, market, np.inf, past, ("", ""), f"0/{r}/{i}/{t}") for r, past in enumerate(histories)]
            columns.append([decision.price for decision in agent.decide(views)])
        prices = np.array(columns).T
        for past, *rows in zip(histories, prices, market.quantities(prices), market.profits(prices), strict=True):
            past.append(Period(*(tuple(row.tolist()) for row in rows)))


def rules(market: LogitMarket, periods: int) -> None:
    simulate(market, [ScriptedAgent("best-reply")] * 2, 2, 2)  # imports and benchmarks, once for a market
    for names in PAIRINGS:
        agents = [ScriptedAgent(name) for name in names]
        length = max(1, periods // RUNS)
        _, wall, busy = timed(lambda agents=agents, length=length: simulate(market, agents, RUNS, length))  # type: ignore[misc]
        total = RUNS * length
        report("simulate", wall, busy, agents=names, **{"market periods": total, "market periods/s": round(total / wall)})
    agents = [ScriptedAgent(name) for name in PAIRINGS[1]]
    _, wall, busy = timed(lambda: lock_step(market, agents))
    total = DESIGN_RUNS * DESIGN_PERIODS
    report("decide", wall, busy, agents=PAIRINGS[1], **{"market periods": total, "market periods/s": round(total / wall)})


def learning(market: LogitMarket, sessions: int, workers: int) -> None:
    _, wall, busy = timed(lambda: learn(market, QLearning(max_periods=1)))
    report("compile Q-learning, or load it compiled", wall, busy)
    found, wall, busy = timed(lambda: learn_sessions(market, sessions, workers=workers))
    gains = np.array([session.profit_gain for session in found])
    learned = sum(session.periods for session in found)
    responses = [impulse_response(session, firm) for session in found for firm in range(2)]
    report(
        "Q-learning",
        wall,
        busy,
        sessions=sessions,
        workers=workers,
        converged=sum(session.converged for session in found),
        **{
            "seconds/session": round(wall / sessions, 3),
            "million periods/session": [round(f([s.periods for s in found]) / 1e6, 2) for f in (np.min, np.mean, np.max)],
            "market periods/s": round(learned / wall),
            "Delta mean": round(float(gains.mean()), 4),
            "Delta s.d.": round(float(gains.std(ddof=1)), 4) if sessions > 1 else None,
            "Delta range": [round(float(gains.min()), 3), round(float(gains.max()), 3)],
            "deviations that do not pay": f"{sum(r.gain < 0 for r in responses)} of {len(responses)}",
        },
    )


def words(runs: int, periods: int) -> None:
    changes = ["agents={base: base}", "pairings=[[base, base]]", f"runs={runs}", f"periods={periods}"]
    prices, tokenizer = {}, load_tokenizer(ModelSection())
    for size in (2 * runs, 1):
        recipe = load_pricing_recipe(QUICKSTART, [*changes, f"decoding.batch_size={size}"])
        with TemporaryDirectory() as folder:
            _, _, busy = timed(lambda recipe=recipe, folder=folder: run_experiment(recipe, Path(folder)))  # type: ignore[misc]
            records, timings = (
                [json.loads(line) for line in (Path(folder) / name).read_text(encoding="utf-8").splitlines()]
                for name in ("records.jsonl", "timings.jsonl")
            )
        # Without loading the model.
        wall = sum(line["agents"]["base"]["seconds"] for line in timings)
        prices[size] = [record["price"] for record in records]
        written = sum(tokens_said(record["reply"], tokenizer) for record in records)
        report(
            "words",
            wall,
            busy,
            **{
                "batch": size,
                "decisions": len(records),
                "seconds/period": round(wall / periods, 2),
                "tokens read/period": round(sum(r["prompt_tokens"] * (1 + r["retries"]) for r in records) / periods),
                "tokens written/period": round(written / periods),
                "tokens written/s": round(written / wall, 1),
                "fallbacks": sum(record["status"] == "fallback" for record in records),
                "same price as batched": sum(a == b for a, b in zip(prices[size], prices[2 * runs], strict=True)),
            },
        )


def tokens_said(reply: str, tokenizer: Any) -> int:
    """Tokens of all attempts of a decision, without the words in square brackets, which it was given to go on from."""
    said = [re.sub(r"^\[.*?\] ", "", attempt, flags=re.DOTALL) for attempt in reply.split(AGAIN)]
    return sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in said)


def main(part: str, periods: int, sessions: int, workers: int, runs: int, spoken: int) -> None:
    market = LogitMarket()
    if part in ("all", "rules"):
        rules(market, periods)
    if part in ("all", "learning"):
        learning(market, sessions, workers)
    if part in ("all", "words"):
        words(runs, spoken)


if __name__ == "__main__":
    quiet_libraries()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("all", "rules", "learning", "words"), default="all")
    parser.add_argument("--periods", type=int, default=1_000_000, help="market periods of rules")
    parser.add_argument("--sessions", type=int, default=50, help="sessions of Q-learning")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--runs", type=int, default=4, help="runs of the embedded model against itself")
    parser.add_argument("--spoken-periods", type=int, default=2, help="periods of those")
    given = parser.parse_args()
    main(given.part, given.periods, given.sessions, given.workers, given.runs, given.spoken_periods)
