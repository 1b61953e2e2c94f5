"""What happened in an experiment: prices, profits, convergence and reactions by pairing, with the run as the unit.

Prices, profits and ceilings are divided by the price scale, so that runs at different scales can be averaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from moralfit.files import write_json
from moralfit.pricing._benchmarks import Conduct, Universe, benchmarks, moralis_equilibrium
from moralfit.pricing._market import LogitMarket
from moralfit.pricing._panel import Run, read_panel
from moralfit.pricing._reactions import reactions
from moralfit.pricing._settings import Setting, read_setting
from moralfit.pricing._statistics import SAME, Json, Measured, mean_over_runs, share_of_runs, welch_tests

SCHEMA = 1
#: Periods at the end over which prices and profits are averaged, and over which a run must be quiet to have converged; of an
#: experiment shorter than twice that, its last half.
WINDOW, QUIET = 50, 100
#: How far apart the top and bottom decile of a firm's prices may be in a run that has converged (Fish et al. 2024).
NEAR = 0.05
#: A decile of fewer periods than this is no decile.
DECILES = 10
ALL = "all"
_UNIVERSES: tuple[Universe, ...] = ("firms", "firms+consumers")
_KAPPAS = tuple(n / 20 for n in range(21))


def analyse(out: Path) -> Json:
    """Reads an experiment folder, writes its `summary.json` and returns what is in it.

    The summary has one row for each pairing, agent (or all firms together), price scale and wording (or all runs), the mean of
    every run, Welch tests between pairings, and regressions of a firm's price on lagged prices. An experiment that is still
    being played is summarised as far as all its runs have come.

    Raises:
        RunError: A file is missing or damaged; the message names it, and the line.
    """
    setting = read_setting(out)
    panel = read_panel(out / "records.jsonl")
    periods = min(run.periods for run in panel.runs)
    window, quiet = last_periods(periods, WINDOW), last_periods(periods, QUIET)
    runs = [_run(run, periods, window, quiet) for run in panel.runs]
    pairings = list(dict.fromkeys(run.pairing for run in panel.runs))
    summary: Json = {
        "schema": SCHEMA,
        "experiment": setting.name,
        "periods": periods,
        "planned": setting.periods,
        "window": {"first": periods - window + 1, "last": periods},
        "convergence": {"first": periods - quiet + 1, "last": periods, "near": NEAR, "least": DECILES},
        "market": setting.market_as_json,
        "benchmarks": _benchmarks(setting.market),
        "agents": setting.agents_of(key for run in panel.runs for key in run.agents),
        "pairings": [{"key": key, "agents": list(_first(panel.runs, key).agents)} for key in pairings],
        "rows": _rows(panel.runs, runs, setting, periods),
        "tests": _tests(runs, pairings),
        "regressions": [line for key in pairings for line in reactions([r for r in panel.runs if r.pairing == key], periods)],
        "runs": runs,
        "notes": list(setting.notes),
    }
    write_json(out / "summary.json", summary)
    return summary


def last_periods(periods: int, wanted: int) -> int:
    """How many periods count: `wanted`, or the last half of an experiment shorter than twice that; at least one."""
    return min(wanted, max(1, (periods + 1) // 2))


def converged(prices: npt.ArrayLike, near: float = NEAR) -> bool | None:
    """Whether a firm's prices have come to rest: their ninth and first decile are within `near` of each other.

    The use of Fish, Gonczarowski and Shorrer (2024), who take the last 100 of 300 periods. None with fewer than ten prices.

    Args:
        prices: (periods,), those at the end of a run.
    """
    x = np.asarray(prices, dtype=np.float64)
    if len(x) < DECILES:
        return None
    low, high = np.quantile(x, (0.1, 0.9))
    return bool(high <= (1 + near) * low + 1e-12)


def _first(runs: Iterable[Run], pairing: str) -> Run:
    return next(run for run in runs if run.pairing == pairing)


def _run(run: Run, periods: int, window: int, quiet: int) -> Json:
    """One run in numbers: by firm the mean price and profit at the end, and whether its price has come to rest."""
    prices, profits = run.prices[:periods], run.profits[:periods]
    rest = [converged(prices[-quiet:, firm]) for firm in range(len(run.agents))]
    return {
        "run": run.key,
        "pairing": run.pairing,
        "scale": run.scale,
        "wording": run.wording,
        "replicate": run.replicate,
        "price": prices[-window:].mean(axis=0).tolist(),
        "profit": profits[-window:].mean(axis=0).tolist(),
        "converged": None if None in rest else all(rest),
        "converged_firms": rest,
    }


def _benchmarks(market: LogitMarket) -> Json:
    """Reference points at scale 1: cost, Nash, monopoly, and the equilibria of homo moralis in both universes."""
    marks = benchmarks(market)
    found: Json = {"cost": market.unit_costs.tolist(), "alone": list(marks.alone)}
    found |= {"nash": _conduct(marks.nash), "monopoly": _conduct(marks.monopoly)}
    found["moralis"] = [
        {"universe": universe, "kappa": kappa} | _conduct(moralis_equilibrium(market, kappa, universe))
        for universe, kappa in product(_UNIVERSES, _KAPPAS)
    ]
    return found


def _conduct(conduct: Conduct) -> Json:
    return {"price": list(conduct.prices), "profit": list(conduct.profits), "surplus": conduct.consumer_surplus}


def _rows(runs: Sequence[Run], means: Sequence[Json], setting: Setting, periods: int) -> list[Json]:
    """For each pairing and agent, all runs and each cell of the design."""
    rows = []
    for pairing in dict.fromkeys(run.pairing for run in runs):
        own = [(run, mean) for run, mean in zip(runs, means, strict=True) if run.pairing == pairing]
        cells: list[tuple[Any, Any]] = [(ALL, ALL), *dict.fromkeys((run.scale, run.wording) for run, _ in own)]
        for agent, (scale, wording) in product((ALL, *dict.fromkeys(own[0][0].agents)), cells):
            of_cell = [(run, mean) for run, mean in own if scale == ALL or (run.scale, run.wording) == (scale, wording)]
            head = {"pairing": pairing, "agent": agent, "scale": scale, "wording": wording, "runs": len(of_cell)}
            rows.append(head | _row(of_cell, agent, setting, periods))
    return rows


def _row(runs: Sequence[tuple[Run, Json]], agent: str, setting: Setting, periods: int) -> Json:
    first = runs[0][0]
    firms = list(range(len(first.agents))) if agent == ALL else first.firms(agent)
    marks = benchmarks(setting.market)

    def mean(kind: str) -> list[float]:
        return [float(np.mean([means[kind][firm] for firm in firms])) for _, means in runs]

    def mark(conduct: Conduct, kind: Literal["prices", "profits"]) -> float:
        return float(np.mean([getattr(conduct, kind)[firm] for firm in firms]))

    price, profit = mean("price"), mean("profit")
    overall = mean_over_runs(price)
    return {
        "price": overall.as_json(),
        "profit": mean_over_runs(profit).as_json(),
        "index": _position(price, mark(marks.nash, "prices"), mark(marks.monopoly, "prices")).as_json(),
        "delta": _position(profit, mark(marks.nash, "profits"), mark(marks.monopoly, "profits")).as_json(),
        "surplus": mean_over_runs([_surplus(run, setting.market, periods) for run, _ in runs]).as_json(),
        "converged": _converged(runs, firms, overall.reason == SAME).as_json(),
        **_talk([run for run, _ in runs], firms, periods, setting.history),
    }


def _converged(runs: Sequence[tuple[Run, Json]], firms: Sequence[int], same: bool) -> Measured:
    """The share of runs in which these firms' prices have come to rest; runs that are copies of one have no interval."""
    rest = [[means["converged_firms"][firm] for firm in firms] for _, means in runs]
    if any(None in flags for flags in rest):
        return Measured(None, reason=f"needs {DECILES} periods")
    found = share_of_runs([all(flags) for flags in rest])
    return Measured(found.estimate, reason=SAME) if same else found


def _position(values: Sequence[float], nash: float, monopoly: float) -> Measured:
    """Where means over runs lie between Nash (0) and joint monopoly (1); see :func:`moralfit.pricing.profit_gain`."""
    if monopoly - nash <= 1e-9 * abs(nash):
        return Measured(None, reason="joint monopoly gives these firms no more than Nash")
    return mean_over_runs([(value - nash) / (monopoly - nash) for value in values])


def _surplus(run: Run, market: LogitMarket, periods: int) -> float:
    """Mean consumer surplus at scale 1 over the periods that count."""
    window = last_periods(periods, WINDOW)
    return float(market.consumer_surplus(run.prices[:periods][-window:]).mean())


def _talk(runs: Sequence[Run], firms: Sequence[int], periods: int, history: int) -> Json:
    """How the decisions of language models came about: shares of all their decisions; None where nobody speaks."""

    def joined(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(run, name)[:periods, firms].ravel() for run in runs])

    worded, shown, tokens = (joined(name) for name in ("worded", "shown", "tokens"))
    count = int(worded.sum())
    available = np.concatenate([np.repeat(np.minimum(np.arange(periods), history), len(firms)) for _ in runs])
    known = shown >= 0

    def share(flags: npt.NDArray[Any], of: npt.NDArray[Any]) -> float | None:
        return float(flags[of].mean()) if of.any() else None

    return {
        "decisions": len(worded),
        "worded": count,
        "retried": share(joined("retried"), worded),
        "fallback": share(joined("fallback"), worded),
        "shortened": share(shown < available, known),
        "tokens": _mean(tokens[worded]),
    }


def _mean(values: npt.NDArray[Any]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _tests(runs: Sequence[Json], pairings: Sequence[str]) -> list[Json]:
    """Welch tests between any two pairings, on the mean of all firms of each run; Holm's correction within each measure."""
    found = []
    for measure in ("price", "profit"):
        groups = {key: [float(np.mean(run[measure])) for run in runs if run["pairing"] == key] for key in pairings}
        found += welch_tests(groups, measure)
    return found
