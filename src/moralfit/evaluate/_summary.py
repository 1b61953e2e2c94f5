"""From records to rates with intervals. The decisions of one prompt share its payoffs, hence are one cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

_Z = float(norm.ppf(0.975))

Estimate = dict[str, float]


def cluster_rate(values: Sequence[float], clusters: Sequence[str]) -> Estimate:
    """A mean of values in [0, 1] with a 95% interval that allows for clusters.

    Wilson's (1927) interval with the effective sample size n / deff, where deff is the cluster-robust variance over the
    binomial one (at least one); at a rate of 0 or 1, where that ratio says nothing, each cluster counts as one observation.
    """
    x = np.asarray(values, dtype=float)
    n, mean = len(x), float(x.mean())
    codes = pd.factorize(np.asarray(clusters))[0]
    sums = np.bincount(codes, weights=x - mean)
    count = len(sums)
    binomial = mean * (1 - mean) / n
    if binomial < 1e-12:
        size = float(count)
    else:
        robust = float((sums**2).sum()) / n**2 * (count / max(1, count - 1))
        size = n / max(1.0, robust / binomial)
    centre = (mean + _Z**2 / (2 * size)) / (1 + _Z**2 / size)
    half = _Z / (1 + _Z**2 / size) * sqrt(mean * (1 - mean) / size + _Z**2 / (4 * size**2))
    return {"estimate": mean, "low": max(0.0, min(mean, centre - half)), "high": min(1.0, max(mean, centre + half))}


def sensitivity(first: Sequence[float], asked_for: Sequence[bool], clusters: Sequence[str]) -> Estimate | None:
    """How much more often the first action is taken where theory asks for it than where it asks for another, in [-1, 1].

    One is a perfect reaction to the incentive, zero none. The 95% interval is Newcombe's (1998) square-and-add of the two
    clustered intervals. None where theory asks for one action only.
    """
    x, asked = np.asarray(first, dtype=float), np.asarray(asked_for, dtype=bool)
    names = np.asarray(clusters)
    if asked.all() or not asked.any():
        return None
    yes = cluster_rate(x[asked].tolist(), names[asked].tolist())
    no = cluster_rate(x[~asked].tolist(), names[~asked].tolist())
    difference = yes["estimate"] - no["estimate"]
    low = difference - sqrt((yes["estimate"] - yes["low"]) ** 2 + (no["high"] - no["estimate"]) ** 2)
    high = difference + sqrt((yes["high"] - yes["estimate"]) ** 2 + (no["estimate"] - no["low"]) ** 2)
    return {"estimate": difference, "low": max(-1.0, low), "high": min(1.0, high)}


def summarise(records: Sequence[dict[str, Any]], targets: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each agent, target preference, split, game (or `all`) and decision (or `all`).

    Agreement counts only decisions with a unique optimum; a reply that states no choice agrees with nothing. Cooperation is the
    share of the tree's first action among stated choices, and `optimal_cooperation` what theory does on the decisions that
    agreement counts.
    """
    if not records:
        return []
    frame = pd.DataFrame.from_records(records)
    rows = []
    for agent in frame["agent"].unique():
        for target in targets:
            for split in frame["split"].unique():
                part = frame[(frame["agent"] == agent) & (frame["split"] == split)]
                for game, decision, group in _groups(part):
                    head = {"agent": agent, "target": target, "split": split, "game": game, "decision": decision}
                    rows.append({**head, **_row(group, target)})
    return rows


def _groups(part: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    if len(part):
        yield "all", "all", part
    for game in part["game"].unique():
        of_game = part[part["game"] == game]
        yield game, "all", of_game
        for decision in of_game["decision"].unique():
            yield game, decision, of_game[of_game["decision"] == decision]


def _row(group: pd.DataFrame, target: str) -> dict[str, Any]:
    optimum = group["optimum"].map(lambda optima: optima[target])
    unique = group[optimum.map(len) == 1]
    best = optimum[optimum.map(len) == 1].map(lambda actions: actions[0])
    first = unique["actions"].map(lambda actions: actions[0])
    took = group[group["action"].notna()]
    cooperated = (took["action"] == took["actions"].map(lambda actions: actions[0])).astype(float)
    stated = unique["action"].notna()
    answered = unique[stated]
    read = unique[unique["probabilities"].notna()]
    probability = [
        share[actions.index(wanted)]
        for share, actions, wanted in zip(read["probabilities"], read["actions"], best[read.index], strict=True)
    ]
    return {
        "n": len(unique),
        "clusters": int(unique["prompt_id"].nunique()),
        "agreement": cluster_rate((unique["action"] == best).astype(float).tolist(), unique["prompt_id"].tolist())
        if len(unique)
        else None,
        "cooperation": cluster_rate(cooperated.tolist(), took["prompt_id"].tolist()) if len(took) else None,
        "optimal_cooperation": float((best == first).mean()) if len(unique) else None,
        "sensitivity": sensitivity(
            (answered["action"] == first[stated]).astype(float).tolist(),
            (best[stated] == first[stated]).tolist(),
            answered["prompt_id"].tolist(),
        )
        if len(answered)
        else None,
        "probability": cluster_rate(probability, read["prompt_id"].tolist()) if len(read) else None,
        "invalid": float((group["status"] == "unparseable").mean()),
        "refused": float((group["status"] == "refused").mean()),
    }
