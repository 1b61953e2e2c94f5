"""From records to rates with intervals. Decisions in one game, that is with the same payoffs, are one cluster.

Other words for the same payoffs do not make another draw of what decides: one prompt's decisions share them, and so may two
prompts, where a grid of payoffs is small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
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


def game_played(record: Mapping[str, Any]) -> str:
    """The game of a record with its payoffs: what two prompts must differ in to count as independent."""
    return f"{record['game']}({', '.join(f'{name}={value}' for name, value in sorted(record['payoffs'].items()))})"


def summarise(records: Sequence[dict[str, Any]], targets: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each agent, target preference, split, game (or `all`) and decision (or `all`).

    Agreement counts the decisions at which the optimum rules some action out: with two actions, those with a unique optimum;
    with more, any action that is optimal alone, tied or as part of a mixture agrees. A reply that states no choice agrees with
    nothing. Cooperation is the share of the tree's first action among stated choices, and `optimal_cooperation` what theory
    does on the decisions that agreement counts. Where amounts are chosen, whose first is no more cooperative than the last,
    `amount` and `optimal_amount` take their place: from 0, the least that can be chosen, to 1, the most. Sensitivity is about
    decisions between two actions that are no amounts.

    Games of the transfer test have no rows for their decisions: too few prompts share one.
    """
    if not records:
        return []
    frame = pd.DataFrame.from_records(records)
    frame["cluster"] = [game_played(record) for record in records]
    frame["worded"] = [not _amounts(actions) for actions in frame["actions"]]
    rows = []
    for agent in frame["agent"].unique():
        for target in targets:
            for split in frame["split"].unique():
                part = frame[(frame["agent"] == agent) & (frame["split"] == split)]
                for game, decision, group in _groups(part, split != "games"):
                    head = {"agent": agent, "target": target, "split": split, "game": game, "decision": decision}
                    row = _row(group, target)
                    if split == "games" and game == "all":
                        # First actions, and amounts, of different games have nothing in common.
                        row |= dict.fromkeys(("cooperation", "optimal_cooperation", "amount", "optimal_amount"))
                    rows.append({**head, **row})
    return rows


def _groups(part: pd.DataFrame, by_decision: bool) -> Iterator[tuple[str, str, pd.DataFrame]]:
    if len(part):
        yield "all", "all", part
    for game in part["game"].unique():
        of_game = part[part["game"] == game]
        yield game, "all", of_game
        for decision in of_game["decision"].unique() if by_decision else ():
            yield game, decision, of_game[of_game["decision"] == decision]


def _amounts(actions: Sequence[str]) -> list[float]:
    """The numbers that actions are named by; none where they are named by words."""
    try:
        return [float(Fraction(action)) for action in actions]
    except ValueError:
        return []


def _amount(actions: Sequence[str], chosen: Sequence[str]) -> float:
    """Where the mean of the chosen amounts lies between the least and the most that can be chosen, in [0, 1]."""
    known = _amounts(actions)
    return (float(np.mean(_amounts(chosen))) - min(known)) / (max(known) - min(known))


def _row(group: pd.DataFrame, target: str) -> dict[str, Any]:
    optimum = group["optimum"].map(lambda optima: optima[target])
    decided = (optimum.map(len) > 0) & (optimum.map(len) < group["actions"].map(len))
    counted, best = group[decided], optimum[decided]
    agrees = [action in actions for action, actions in zip(counted["action"], best, strict=True)]
    read = counted[counted["probabilities"].notna()]
    probability = [
        sum(share[actions.index(action)] for action in wanted)
        for share, actions, wanted in zip(read["probabilities"], read["actions"], best[read.index], strict=True)
    ]
    took = group[group["action"].notna()]
    worded = took[took["worded"]]
    cooperated = (worded["action"] == worded["actions"].map(lambda actions: actions[0])).astype(float)
    given = took[~took["worded"]]
    amounts = [_amount(actions, [action]) for actions, action in zip(given["actions"], given["action"], strict=True)]
    # Between two words: whether theory asks for the first, and whether it was taken.
    pairs = counted[counted["worded"] & (counted["actions"].map(len) == 2)]
    first = pairs["actions"].map(lambda actions: actions[0])
    asked = best[pairs.index].map(lambda actions: actions[0]) == first
    stated = pairs["action"].notna()
    in_amounts = counted[~counted["worded"]]
    optimal = [_amount(actions, wanted) for actions, wanted in zip(in_amounts["actions"], best[in_amounts.index], strict=True)]
    return {
        "n": len(counted),
        "clusters": int(counted["cluster"].nunique()),
        "agreement": _rate(agrees, counted),
        "cooperation": _rate(cooperated.tolist(), worded),
        "optimal_cooperation": float(asked.mean()) if len(pairs) else None,
        "amount": _rate(amounts, given),
        "optimal_amount": float(np.mean(optimal)) if optimal else None,
        "sensitivity": sensitivity(
            (pairs["action"] == first)[stated].astype(float).tolist(),
            asked[stated].tolist(),
            pairs["cluster"][stated].tolist(),
        )
        if stated.any()
        else None,
        "probability": _rate(probability, read),
        "invalid": float((group["status"] == "unparseable").mean()),
        "refused": float((group["status"] == "refused").mean()),
    }


def _rate(values: Sequence[float], group: pd.DataFrame) -> Estimate | None:
    return cluster_rate(values, group["cluster"].tolist()) if len(group) else None
