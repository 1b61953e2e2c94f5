"""How fast markets are simulated and prices learned: `python benchmarks/pricing_speed.py [--periods 1000000] [--sessions 50]`.

Prints one JSON line for each measurement. A market period is one period of one run: every firm sets a price, and quantities and
profits of all firms are computed and kept. `simulate` plays 10,000 runs of scripted agents side by side; `decide` asks the same
agents through the interface that language models use, for the 42 runs of one pairing of the full design. The line on Q-learning
has the seconds of complete sessions in Calvano et al.'s baseline, without the compilation, and the profit gain they ended with.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from moralfit.pricing import (
    LogitMarket,
    Period,
    QLearning,
    ScriptedAgent,
    View,
    impulse_response,
    learn,
    learn_sessions,
    simulate,
)

PAIRINGS = [("nash", "monopoly"), ("grim-trigger", "price-matching"), ("grim-trigger", "random"), ("best-reply", "random")]
RUNS, DESIGN_RUNS, DESIGN_PERIODS = 10_000, 42, 300


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


def main(periods: int, sessions: int, workers: int) -> None:
    market = LogitMarket()
    simulate(market, [ScriptedAgent("best-reply")] * 2, 2, 2)  # imports and benchmarks, once for a market
    for rules in PAIRINGS:
        agents = [ScriptedAgent(rule) for rule in rules]
        length = max(1, periods // RUNS)
        _, wall, busy = timed(lambda agents=agents, length=length: simulate(market, agents, RUNS, length))  # type: ignore[misc]
        total = RUNS * length
        report("simulate", wall, busy, agents=rules, **{"market periods": total, "market periods/s": round(total / wall)})
    agents = [ScriptedAgent(rule) for rule in PAIRINGS[1]]
    _, wall, busy = timed(lambda: lock_step(market, agents))
    total = DESIGN_RUNS * DESIGN_PERIODS
    report("decide", wall, busy, agents=PAIRINGS[1], **{"market periods": total, "market periods/s": round(total / wall)})

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


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--periods", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    main(options.periods, options.sessions, options.workers)
