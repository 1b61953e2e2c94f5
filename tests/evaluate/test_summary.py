"""Rates, intervals and tables against numbers known otherwise."""

from __future__ import annotations

from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import binomtest

from moralfit.evaluate import by_decision, cluster_rate, overview, sensitivity, summarise


def wilson(k: int, n: int) -> tuple[float, float]:
    interval = binomtest(k, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


@pytest.mark.parametrize("value", [0, 1])
def test_all_alike_counts_clusters(value: int) -> None:
    found = cluster_rate([value] * 30, [str(n // 3) for n in range(30)])
    assert found["estimate"] == value
    assert (found["low"], found["high"]) == pytest.approx(wilson(10 * value, 10))


def test_independent_values_give_wilsons_interval() -> None:
    # Within each cluster as much variation as there can be: the floor of the design effect.
    values, clusters = [1, 0] * 20, [str(n // 2) for n in range(40)]
    found = cluster_rate(values, clusters)
    assert (found["low"], found["high"]) == pytest.approx(wilson(20, 40))


def test_perfectly_correlated_clusters_count_once() -> None:
    clusters = 4000
    values = [v for n in range(clusters) for v in [int(n % 4 == 0)] * 3]
    found = cluster_rate(values, [str(n // 3) for n in range(3 * clusters)])
    assert (found["low"], found["high"]) == pytest.approx(wilson(clusters // 4, clusters), abs=1e-5)


def test_coverage_is_near_95_percent() -> None:
    rng = np.random.default_rng(0)
    covered, draws, truth = 0, 1500, 0.8
    for _ in range(draws):
        # Beta-distributed rates by cluster, mean 0.8, three decisions each.
        rates = rng.beta(4, 1, size=60)
        values = (rng.random((60, 3)) < rates[:, None]).astype(float).ravel()
        found = cluster_rate(values.tolist(), [str(n // 3) for n in range(180)])
        covered += found["low"] <= truth <= found["high"]
    assert 0.93 < covered / draws < 0.975


def test_sensitivity() -> None:
    names = [str(n) for n in range(8)]
    asked = [True] * 4 + [False] * 4
    perfect = sensitivity([1, 1, 1, 1, 0, 0, 0, 0], asked, names)
    assert perfect is not None
    assert perfect["estimate"] == 1
    assert perfect["high"] == 1
    # Newcombe (1998): the distances of the single intervals, squared and added.
    low = 1 - (2 * (1 - wilson(4, 4)[0]) ** 2) ** 0.5
    assert perfect["low"] == pytest.approx(low)
    mirrored = sensitivity([0, 0, 0, 0, 1, 1, 1, 1], asked, names)
    assert mirrored is not None
    assert mirrored["estimate"] == -1
    assert mirrored["high"] == pytest.approx(-low)
    none = sensitivity([1, 0, 1, 0, 1, 0, 1, 0], asked, names)
    assert none is not None
    assert none["estimate"] == 0
    assert none["low"] < -0.4 < 0.4 < none["high"]
    assert sensitivity([1, 0], [True, True], ["a", "b"]) is None


def record(prompt: str, decision: str, action: str | None, best: list[str], **more: Any) -> dict[str, Any]:
    return {
        "agent": "tuned", "split": "payoffs", "prompt_id": prompt, "game": "trust_game", "decision": decision,
        "payoffs": {"T": 9, "R": 6, "P": 4, "S": prompt},
        "actions": ["I", "N"] if decision == "first" else ["G", "K"], "action": action, "optimum": {"moral": best},
        "status": "answered" if action else "unparseable", "probabilities": [0.9, 0.1], **more,
    }  # fmt: skip


RECORDS = [
    record("payoffs/0", "first", "I", ["I"]),
    record("payoffs/0", "after I", "G", ["G"]),
    record("payoffs/1", "first", "N", ["I"]),
    record("payoffs/1", "after I", "K", ["K"]),
    record("payoffs/2", "first", None, ["N"], status="refused"),
    record("payoffs/2", "after I", None, ["K"]),
    record("payoffs/3", "first", "I", ["I", "N"]),
]


def test_summary_of_hand_made_records() -> None:
    rows = {(r["game"], r["decision"]): r for r in summarise(RECORDS, ["moral"])}
    assert set(rows) == {("all", "all"), ("trust_game", "all"), ("trust_game", "first"), ("trust_game", "after I")}
    whole = rows["all", "all"]
    assert (whole["n"], whole["clusters"]) == (6, 3), "the tie does not count"
    assert whole["agreement"]["estimate"] == pytest.approx(3 / 6)
    assert whole["cooperation"]["estimate"] == pytest.approx(3 / 5), "stated choices, ties included"
    assert whole["optimal_cooperation"] == pytest.approx(3 / 6)
    assert whole["sensitivity"]["estimate"] == pytest.approx(2 / 3 - 0)
    assert whole["probability"]["estimate"] == pytest.approx((0.9 * 3 + 0.1 * 3) / 6)
    assert (whole["invalid"], whole["refused"]) == (pytest.approx(1 / 7), pytest.approx(1 / 7))
    first = rows["trust_game", "first"]
    assert (first["n"], first["agreement"]["estimate"], first["optimal_cooperation"]) == (
        3,
        pytest.approx(1 / 3),
        pytest.approx(2 / 3),
    )
    assert summarise([], ["moral"]) == []


def test_prompts_with_the_same_payoffs_are_one_cluster() -> None:
    """Twenty prompts, but two games: at a rate of one, the interval is that of two observations, not of twenty."""
    records = [
        record(f"payoffs/{n}", "first", "I", ["I"], payoffs={"T": 9, "R": 6, "P": 4, "S": n % 2}) for n in range(20)
    ]  # fmt: skip
    (row,) = [r for r in summarise(records, ["moral"]) if r["game"] == "all"]
    assert (row["n"], row["clusters"]) == (20, 2)
    assert (row["agreement"]["low"], row["agreement"]["high"]) == pytest.approx(wilson(2, 2))
    other = [{**r, "game": "ultimatum_game"} if n < 10 else r for n, r in enumerate(records)]
    (row,) = [r for r in summarise(other, ["moral"]) if r["game"] == "all"]
    assert row["clusters"] == 4, "the same payoffs in another game are another draw"


def test_summary_where_nothing_can_be_counted() -> None:
    rows = summarise([record("payoffs/0", "first", None, [], probabilities=None)], ["moral"])
    assert {r["decision"] for r in rows} == {"all", "first"}
    for r in rows:
        assert (r["n"], r["agreement"], r["cooperation"], r["sensitivity"], r["probability"]) == (0, None, None, None, None)
        assert r["invalid"] == 1


class TestTables:
    AGENTS = (
        ("random", "random", "random player", None),
        ("base", "base", "SmolLM2-135M-Instruct", None),
        ("prompted-economicus", "prompted", "base told to be homo economicus", "homo economicus"),
        ("prompted-moralis", "prompted", "base told to be homo moralis (kappa = 1)", "homo moralis (kappa = 1)"),
        ("tuned-economicus", "adapter", "tuned to be homo economicus", "homo economicus"),
        ("tuned-moralis", "adapter", "tuned to be homo moralis (kappa = 1)", "homo moralis (kappa = 1)"),
    )
    DECISIONS = (("sequential_prisoners_dilemma", ("first", "after C", "after D")), ("ultimatum_game", ("first", "after U")))

    def summary(self, keys: list[str]) -> dict[str, Any]:
        agents = [a for a in self.AGENTS if a[0] in keys]
        targets = list(dict.fromkeys(a[3] for a in agents if a[1] == "adapter"))
        wide = {"estimate": 1.0, "low": 0.964, "high": 1.0}
        rows = []
        for key, *_ in agents:
            for target in targets:
                for split in ("payoffs", "words"):
                    for game, decision in [("all", "all"), *((g, d) for g, ds in self.DECISIONS for d in ds)]:
                        rows.append({
                            "agent": key, "target": target, "split": split, "game": game, "decision": decision, "n": 300,
                            "clusters": 100, "agreement": wide, "cooperation": wide, "optimal_cooperation": 1.0,
                            "sensitivity": {"estimate": -0.25, "low": -0.5, "high": 0.1}, "probability": wide,
                            "invalid": 1.0, "refused": 1.0,
                        })  # fmt: skip
        names = ("key", "kind", "name", "preference")
        return {"schema": 1, "agents": [dict(zip(names, a, strict=True)) for a in agents], "rows": rows}

    @pytest.mark.parametrize(
        "keys",
        [
            ["random", "base", "prompted-moralis", "tuned-moralis"],
            ["base", "tuned-moralis"],
            ["tuned-moralis"],
            [a[0] for a in AGENTS],
        ],
    )
    def test_fit_100_columns(self, keys: list[str]) -> None:
        summary = self.summary(keys)
        console = Console(width=100, record=True, file=StringIO())
        console.print(overview(summary), by_decision(summary))
        text = console.export_text()
        assert "…" not in text
        assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
        targets = sum(key.startswith("tuned") for key in keys)
        assert text.count("100.0% [96, 100]") == 2 * len(keys) * targets
        assert text.count("prisoners dilemma") == text.count("ultimatum game") == targets
        for line in text.splitlines():
            if line.strip().startswith("after C"):
                # Decision, n, one agreement and one share for each agent shown, and theory.
                assert line.split()[:3] == ["after", "C", "300"]
                assert line.count("100%") == 2 * (1 + ("base" in keys)) + 1
        for _, _, name, _ in (a for a in self.AGENTS if a[0] in keys):
            assert f": {name}\n" in text
