"""The analysis of an experiment: means over runs, tests and regressions, against computations that share nothing with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from pricing_samples import experiment, records, write_experiment, write_records
from scipy import stats

from moralfit.errors import RunError
from moralfit.pricing import LogitMarket, analyse, price_index, profit_gain
from moralfit.pricing._analysis import converged, last_periods
from moralfit.pricing._benchmarks import bertrand_nash, joint_monopoly
from moralfit.pricing._statistics import clustered_ols, holm, mean_over_runs, share_of_runs, welch_tests

PAIRS = [("economicus", "economicus"), ("economicus", "moralis"), ("nash", "monopoly")]
Json = dict[str, Any]


def row(summary: Json, pairing: str, agent: str = "all", scale: Any = "all", wording: str = "all") -> Json:
    key = {"pairing": pairing, "agent": agent, "scale": scale, "wording": wording}
    (found,) = [row for row in summary["rows"] if all(row[name] == value for name, value in key.items())]
    return found


def no_nan(value: Any) -> bool:
    if isinstance(value, dict):
        return all(no_nan(inner) for inner in value.values())
    if isinstance(value, list):
        return all(no_nan(inner) for inner in value)
    return not isinstance(value, float) or np.isfinite(value)


# --- whole experiments ----------------------------------------------------------------------------------------------------


def test_means_are_those_of_the_records(tmp_path: Path) -> None:
    lines = records(PAIRS, 24, runs=3, scales=(1.0, 3.2))
    summary = analyse(write_experiment(tmp_path / "made", lines, 24))
    assert json.loads((tmp_path / "made/summary.json").read_text(encoding="utf-8")) == summary
    assert summary["window"] == {"first": 13, "last": 24}
    own = [line for line in lines if line["pairing"] == "economicus-moralis" and line["period"] >= 13]
    for agent in ("economicus", "moralis", "all"):
        by_run: dict[str, list[Json]] = {}
        for line in own:
            if agent in ("all", line["agent"]):
                by_run.setdefault(line["run"], []).append(line)
        for measure in ("price", "profit"):
            means = [sum(line[measure] / line["scale"] for line in of_run) / len(of_run) for of_run in by_run.values()]
            found = row(summary, "economicus-moralis", agent)[measure]
            assert len(means) == row(summary, "economicus-moralis", agent)["runs"] == 6
            assert found["estimate"] == pytest.approx(np.mean(means))
            bounds = stats.t.interval(0.95, len(means) - 1, loc=np.mean(means), scale=stats.sem(means))
            assert (found["low"], found["high"]) == pytest.approx(bounds)
    cell = row(summary, "economicus-moralis", "all", 3.2, "P1")
    kept = [line["price"] / 3.2 for line in own if line["scale"] == 3.2]
    assert cell["runs"] == 3
    assert cell["price"]["estimate"] == pytest.approx(np.mean(kept))


def test_gain_and_index_are_the_market_s(tmp_path: Path) -> None:
    lines = records([("nash", "nash"), ("monopoly", "monopoly"), ("nash", "monopoly")], 4, runs=2, scales=(1.0, 10.0))
    summary = analyse(write_experiment(tmp_path / "made", lines, 4))
    market = LogitMarket()
    assert row(summary, "nash-nash")["delta"]["estimate"] == pytest.approx(0, abs=1e-3)
    assert row(summary, "monopoly-monopoly")["delta"]["estimate"] == pytest.approx(1, abs=1e-3)
    prices = [1.4729, 1.925]
    mixed = row(summary, "nash-monopoly")
    assert mixed["delta"]["estimate"] == pytest.approx(float(profit_gain(market, market.profits(prices))))
    assert mixed["index"]["estimate"] == pytest.approx(float(price_index(market, prices)))
    assert mixed["surplus"]["estimate"] == pytest.approx(float(market.consumer_surplus(prices)))
    one = row(summary, "nash-monopoly", "monopoly")
    assert one["delta"]["estimate"] == pytest.approx(float(profit_gain(market, market.profits(prices), 1)))
    assert summary["benchmarks"]["nash"]["price"] == pytest.approx(bertrand_nash(market).prices)
    assert summary["benchmarks"]["monopoly"]["profit"] == pytest.approx(joint_monopoly(market).profits)
    ends = {(p["universe"], p["kappa"]): p["price"][0] for p in summary["benchmarks"]["moralis"]}
    assert ends["firms", 0.0] == ends["firms+consumers", 0.0] == pytest.approx(1.4729, abs=1e-4)
    assert ends["firms", 0.5] == pytest.approx(1.7106, abs=1e-4)
    assert ends["firms+consumers", 1.0] == pytest.approx(1.0, abs=1e-6)


def test_firms_that_differ_are_judged_by_their_own_marks(tmp_path: Path) -> None:
    market = LogitMarket((1.0, 1.2), (2.0, 2.1))
    nash = dict(enumerate(bertrand_nash(market).prices))
    lines = records([("nash", "monopoly")], 4, runs=2, price=lambda a, firm, *_: nash[firm], market=market)
    changes = {"market": {"costs": [1.0, 1.2], "qualities": [2.0, 2.1]}}
    summary = analyse(write_experiment(tmp_path / "made", lines, 4, **changes))
    for agent in ("nash", "monopoly", "all"):
        assert row(summary, "nash-monopoly", agent)["delta"]["estimate"] == pytest.approx(0, abs=1e-9)
        assert row(summary, "nash-monopoly", agent)["index"]["estimate"] == pytest.approx(0, abs=1e-9)


def test_three_firms_follow_the_mean_of_their_rivals(tmp_path: Path) -> None:
    def price(agent: str, firm: int, period: int, own: float, rival: float, rng: Random) -> float:
        return 1.5 + 0.3 * (own - 1.5) + 0.4 * (rival - 1.5) + rng.gauss(0, 0.05)

    market = LogitMarket((1.0,) * 3, (2.0,) * 3)
    lines = records([("moralis",) * 3], 60, runs=8, price=price, market=market)
    summary = analyse(write_experiment(tmp_path / "made", lines, 60, market={"firms": 3}))
    levels, _ = summary["regressions"]
    assert levels["n"] == 8 * 3 * 59
    assert levels["own"]["low"] < 0.3 < levels["own"]["high"]
    assert levels["rival"]["low"] < 0.4 < levels["rival"]["high"]
    assert no_nan(summary)


def test_what_models_did_is_counted(tmp_path: Path) -> None:
    lines = records([("base", "nash")], 12, runs=2)
    for line in lines:
        if line["agent"] == "base":
            line["status"] = {3: "fallback", 4: "retried", 5: "retried"}.get(line["period"], "answered")
            line["history_shown"] = min(line["period"] - 1, 5)
    summary = analyse(write_experiment(tmp_path / "made", lines, 12, prompt={"history": 8}))
    base, nash, both = (row(summary, "base-nash", agent) for agent in ("base", "nash", "all"))
    assert (base["fallback"], base["retried"]) == pytest.approx((1 / 12, 2 / 12))
    assert base["shortened"] == pytest.approx(6 / 12), "periods 7 to 12 had six or more to show"
    short = analyse(write_experiment(tmp_path / "short", lines, 12, prompt={"history": 5}))
    assert row(short, "base-nash", "base")["shortened"] == 0, "the design asks for no more than five"
    assert base["tokens"] == pytest.approx(300 + 10 * 6.5)
    assert (nash["worded"], nash["fallback"], nash["shortened"], nash["tokens"]) == (0, None, None, None)
    assert (both["decisions"], both["worded"], both["fallback"]) == (48, 24, base["fallback"])


def test_pairings_are_compared_by_welch_and_holm(tmp_path: Path) -> None:
    pairs = [("economicus", "economicus"), ("economicus", "moralis"), ("moralis", "moralis")]
    summary = analyse(experiment(tmp_path / "made", pairs, 12, runs=4))
    means = {p["key"]: [np.mean(r["price"]) for r in summary["runs"] if r["pairing"] == p["key"]] for p in summary["pairings"]}
    tests = [test for test in summary["tests"] if test["measure"] == "price"]
    assert [(t["first"], t["second"]) for t in tests] == [
        ("economicus-economicus", "economicus-moralis"),
        ("economicus-economicus", "moralis-moralis"),
        ("economicus-moralis", "moralis-moralis"),
    ]
    for test in tests:
        x, y = means[test["first"]], means[test["second"]]
        v, w = np.var(x, ddof=1) / len(x), np.var(y, ddof=1) / len(y)
        df = (v + w) ** 2 / (v**2 / (len(x) - 1) + w**2 / (len(y) - 1))
        t = (np.mean(x) - np.mean(y)) / sqrt(v + w)
        assert (test["statistic"], test["df"]) == pytest.approx((t, df))
        assert test["p"] == pytest.approx(2 * stats.t.sf(abs(t), df))
        assert test["low"] == pytest.approx(test["difference"] - stats.t.ppf(0.975, df) * sqrt(v + w))
        assert test["p_holm"] >= test["p"]


@pytest.mark.parametrize(("periods", "runs"), [(1, 1), (1, 2), (2, 1), (2, 3), (3, 2), (9, 1)])
def test_small_experiments_have_reasons_and_no_nan(tmp_path: Path, periods: int, runs: int) -> None:
    summary = analyse(experiment(tmp_path / "made", PAIRS, periods, runs=runs))
    assert no_nan(summary)
    for found in summary["rows"]:
        assert found["price"]["estimate"] is not None
        if found["runs"] == 1:
            assert (found["price"]["low"], found["price"]["reason"]) == (None, "one run")
        if periods < 10:
            assert found["converged"]["estimate"] is None or periods >= 20
    if periods < 3:
        assert {line["own"]["reason"] for line in summary["regressions"]} <= {"too few periods", "prices do not vary"}
        assert all(line["own"]["estimate"] is None for line in summary["regressions"])


def test_constant_prices_have_reasons(tmp_path: Path) -> None:
    lines = records([("nash", "nash"), ("monopoly", "monopoly")], 30, runs=3, scales=(1.0, 3.2))
    summary = analyse(write_experiment(tmp_path / "made", lines, 30))
    assert row(summary, "nash-nash")["price"]["reason"] == "runs do not differ"
    assert row(summary, "nash-nash")["converged"] == {"estimate": 1, "low": None, "high": None, "reason": "runs do not differ"}
    assert {line["own"]["reason"] for line in summary["regressions"]} == {"prices do not vary"}
    assert [test["p"] for test in summary["tests"]] == [None, None]
    assert summary["tests"][0]["difference"] == pytest.approx(1.4729 - 1.925)
    assert no_nan(summary)


def test_converged_runs_are_counted(tmp_path: Path) -> None:
    def price(agent: str, firm: int, period: int, own: float, rival: float, rng: Random) -> float:
        settles = agent == "economicus"
        return 1.5 if period > 100 and settles else 1.5 + 0.3 * (period % 2)

    lines = records([("economicus", "moralis"), ("economicus", "economicus")], 200, runs=2, price=price)
    summary = analyse(write_experiment(tmp_path / "made", lines, 200))
    assert summary["convergence"] == {"first": 101, "last": 200, "near": 0.05, "least": 10}
    assert row(summary, "economicus-moralis", "economicus")["converged"]["estimate"] == 1
    assert row(summary, "economicus-moralis", "moralis")["converged"]["estimate"] == 0
    assert row(summary, "economicus-moralis")["converged"]["estimate"] == 0
    assert row(summary, "economicus-economicus")["converged"]["estimate"] == 1


# --- records ----------------------------------------------------------------------------------------------------


def test_an_interrupted_experiment_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    lines = records(PAIRS, 6, runs=2)
    whole = analyse(write_experiment(tmp_path / "whole", [line for line in lines if line["period"] <= 5], 6))
    folder = write_experiment(tmp_path / "cut", lines[:-3], 6)
    with (folder / "records.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(lines[-3])[:70])
    cut = analyse(folder)
    assert (cut["periods"], cut["planned"]) == (5, 6)
    assert {**cut, "experiment": ""} == {**whole, "experiment": ""}


def test_a_whole_last_line_without_its_end_of_line_counts(tmp_path: Path) -> None:
    folder = experiment(tmp_path / "made", PAIRS, 3, runs=2)
    text = (folder / "records.jsonl").read_text(encoding="utf-8")
    (folder / "records.jsonl").write_text(text.rstrip("\n"), encoding="utf-8")
    assert analyse(folder)["periods"] == 3


def change(place: int, **values: Any) -> Callable[[list[Any]], None]:
    return lambda lines: lines[place].update(values)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change(4, price="cheap"), r"line 5: damaged \(price: Input should be a valid number"),
        (change(4, price=float("nan")), r"line 5: damaged \(price"),
        (change(4, quantity=-1.0), r"line 5: damaged \(quantity"),
        (change(4, schema=2), r"line 5: damaged \(schema"),
        (change(-1, status="asleep"), r"line 36: damaged \(status"),
        (change(5, firm=2), r"line 6: damaged \(firm 2 is not"),
        (change(5, agent="base"), r"line 6: damaged \(firm 1 is not 'base' among the agents"),
        (change(30, scale=2.0), r"line 31: damaged \(run .* has scale 2\.0, and 1\.0 before"),
        (lambda lines: lines.append(dict(lines[0])), r"line 37: damaged \(run .* has two lines for firm 0 in period 1\)"),
        (lambda lines: lines.pop(14), r"lacks a firm in period 2 though it goes on to 3"),
        (lambda lines: (lines.pop(25), lines.pop(12)), r"lacks a firm in period 2 though it goes on to 3"),
    ],
)
def test_damaged_records_are_named(tmp_path: Path, damage: Callable[[list[Any]], None], message: str) -> None:
    lines = records(PAIRS, 3, runs=2)
    damage(lines)
    folder = write_experiment(tmp_path / "made", records(PAIRS, 3, runs=2), 3)
    write_records(folder, lines)
    with pytest.raises(RunError, match=r"records\.jsonl.*" + message):
        analyse(folder)
    assert not (folder / "summary.json").exists()


def test_a_line_that_is_no_json_is_named_unless_it_is_the_last_and_cut_off(tmp_path: Path) -> None:
    folder = experiment(tmp_path / "made", PAIRS, 3, runs=2)
    path = folder / "records.jsonl"
    text = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([*text[:3], "{oops\n", *text[3:]]), encoding="utf-8")
    with pytest.raises(RunError, match=r"records\.jsonl, line 4: damaged \(Invalid JSON"):
        analyse(folder)
    path.write_text("".join([*text, "{oops\n"]), encoding="utf-8")
    with pytest.raises(RunError, match="line 37: damaged"):
        analyse(folder)
    path.write_text("".join([*text, "{oops"]), encoding="utf-8")
    assert analyse(folder)["periods"] == 3


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = experiment(tmp_path / "made", PAIRS, 2)
    write_records(folder, [])
    with pytest.raises(RunError, match=r"records\.jsonl: no period is complete yet"):
        analyse(folder)
    (folder / "records.jsonl").unlink()
    with pytest.raises(RunError, match=r"records\.jsonl: cannot be read .*run the experiment first"):
        analyse(folder)
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    settings["agents"].pop()
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    write_records(folder, records(PAIRS, 2))
    with pytest.raises(RunError, match=r"agent 'monopoly', which settings\.json does not list"):
        analyse(folder)
    (folder / "settings.json").write_text("[", encoding="utf-8")
    with pytest.raises(RunError, match=r"settings\.json: damaged"):
        analyse(folder)


# --- statistics ----------------------------------------------------------------------------------------------------


def test_windows_shrink_with_the_experiment() -> None:
    assert [last_periods(n, 50) for n in (1, 2, 3, 20, 99, 100, 300)] == [1, 1, 2, 10, 50, 50, 50]


def test_convergence_is_about_deciles() -> None:
    assert converged([1.5] * 9) is None
    assert converged([1.5] * 10)
    # One outlier of twenty is beyond the deciles, four are not.
    assert converged([1.5] * 19 + [4.0])
    assert not converged([1.5] * 16 + [4.0] * 4)
    spread = np.linspace(1.0, 1.05, 101)
    assert converged(spread)
    assert not converged(np.linspace(1.0, 1.07, 101))


def test_holm_steps_down() -> None:
    # By hand: 4 x .01, 3 x .0133 = .04 (not below), 2 x .03, 1 x .04 (not below .06).
    assert holm([0.03, 0.01, 0.04, 0.0133]) == pytest.approx([0.06, 0.04, 0.06, 0.04])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_intervals_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(600):
        found = mean_over_runs(rng.normal(1.5, 0.1, 5).tolist())
        hits += found.low < 1.5 < found.high
    assert 0.92 < hits / 600 < 0.98


def test_shares_have_wilson_intervals() -> None:
    found = share_of_runs([True] * 7 + [False] * 3)
    z, p, n = stats.norm.ppf(0.975), 0.7, 10
    half = z * sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.7, centre - half, centre + half))


def test_groups_that_cannot_be_tested_have_reasons() -> None:
    found = welch_tests({"one": [1.0], "two": [1.0, 2.0], "same": [3.0, 3.0], "flat": [4.0, 4.0]}, "price")
    reasons = {(t["first"], t["second"]): t["reason"] for t in found}
    assert reasons["one", "two"] == "a test needs two runs of each pairing"
    assert reasons["same", "flat"] == "the runs of each pairing are all the same"
    assert reasons["two", "same"] == ""
    assert [t["p_holm"] is None for t in found] == [True, True, True, False, False, True]


def test_clustered_ols_is_least_squares_with_the_jackknife_over_runs() -> None:
    """Against a dummy-variable regression that is refitted without each run: the definition of the jackknife."""
    rng = np.random.default_rng(7)
    blocks, dummies, labels = [], [], []
    for run in range(6):
        for _ in range(2):
            x = rng.normal(size=(15, 2)).cumsum(axis=0)
            y = x @ [0.6, 0.2] + rng.normal() + rng.normal(size=15)
            blocks.append((y, x))
            labels += [run] * 15
    for place, _ in enumerate(blocks):
        column = np.zeros(15 * len(blocks))
        column[15 * place : 15 * place + 15] = 1
        dummies.append(column)
    y, x = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    clusters = np.array(labels)

    def fit(keep: np.ndarray) -> np.ndarray:
        design = np.column_stack((x, *dummies))[keep]
        return np.linalg.lstsq(design, y[keep], rcond=None)[0][:2]

    full = fit(np.ones(len(y), dtype=bool))
    moved = np.array([fit(clusters != run) - full for run in range(6)])
    errors = np.sqrt((moved**2).sum(axis=0) * 5 / 6)
    centred = [(b - b.mean(), a - a.mean(axis=0)) for b, a in blocks]
    found = clustered_ols(*(np.concatenate(parts) for parts in zip(*centred, strict=True)), clusters, absorbed=12)
    assert [c.estimate for c in found] == pytest.approx(full)
    assert [c.se for c in found] == pytest.approx(errors)
    half = stats.t.ppf(0.975, 5) * errors
    assert [c.low for c in found] == pytest.approx(full - half)
    assert [c.p for c in found] == pytest.approx(2 * stats.t.sf(np.abs(full) / errors, 5))


def test_regressions_that_cannot_be_made_have_reasons() -> None:
    rng = np.random.default_rng(1)
    x, runs = rng.normal(size=(40, 2)), np.repeat([0, 1, 2, 3], 10)
    y = x @ [1.0, 2.0] + rng.normal(size=40)
    assert {c.reason for c in clustered_ols(y[:2], x[:2], runs[:2])} == {"too few periods"}
    assert {c.reason for c in clustered_ols(y, x * [1, 0], runs)} == {"prices do not vary"}
    assert {c.reason for c in clustered_ols(y, x[:, :1] * [1, 2], runs)} == {"own and rival price move as one"}
    exact = clustered_ols(x @ [1.0, 2.0], x, runs)
    assert [c.reason for c in exact] == ["fits without error"] * 2
    assert [c.estimate for c in exact] == pytest.approx([1.0, 2.0])
    assert {(c.reason, c.low) for c in clustered_ols(y, x, np.zeros(40, dtype=int))} == {("one run", None)}
    alone = np.where(runs[:, None] == [0, 0], x, [[0.0, 0.0]])
    assert {c.reason for c in clustered_ols(y, alone, runs)} == {"rests on one run"}
