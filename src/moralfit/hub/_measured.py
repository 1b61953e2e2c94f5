"""What was measured of an agent, as its card shows it: tables for people, and entries for the Hub's `model-index`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from moralfit.recipe import Recipe

_SPLITS = {
    "payoffs": "held-out games: payoffs never trained on",
    "words": "held-out games: payoffs, stories, labels and units never trained on",
    "games": "other games, of kinds never trained on",
}
#: Kinds of agents in the order in which people compare them.
_KINDS = {"adapter": "**this agent**", "base": "base model", "prompted": "base told the preference", "random": "random player"}


@dataclass(frozen=True)
class Facts:
    """What a card says about a run.

    Attributes:
        repository, data: Where the agent and its data set go. base, revision: What the adapter names.
        license: Of the base, as the Hub's metadata spell it (`license`, `license_name`, `license_link`); empty if not known.
        weights, hashes: SHA-256 of the weights, and of each file of the data set.
        environment, summary: What the run recorded of its machine and of its evaluation; None if it was not evaluated.
    """

    repository: str
    data: str
    recipe: Recipe
    base: str
    revision: str | None
    license: Mapping[str, str]
    weights: str
    hashes: Mapping[str, str]
    environment: Mapping[str, Any]
    summary: Mapping[str, Any] | None


def _own(facts: Facts) -> tuple[Mapping[str, Any] | None, list[Mapping[str, Any]]]:
    """The agent's entry in the evaluation, and its rows over all games."""
    summary = facts.summary or {"agents": (), "rows": ()}
    agent = next((a for a in summary["agents"] if a["kind"] == "adapter"), None)
    rows = [r for r in summary["rows"] if agent and r["agent"] == agent["key"] and r["game"] == r["decision"] == "all"]
    return agent, [row for row in rows if row["target"] == facts.recipe.preference.build().name]


def results(facts: Facts) -> list[Any]:
    """The evaluation as the Hub's `model-index` has it; intervals stand in the arguments of each metric."""
    _, rows = _own(facts)
    found: list[Any] = []
    for row in rows:
        split, counts = row["split"], {"decisions": row["n"], "games": row.get("clusters")}
        name = f"agreement with the solver of {row['target']}"
        found += _result(_SPLITS.get(split, split), split, "accuracy", name, row.get("agreement"), counts)
        name = "difference in its choices where theory switches"
        found += _result(_SPLITS.get(split, split), split, "sensitivity", name, row.get("sensitivity"), counts)
        if row.get("invalid") is not None:
            share = {"estimate": row["invalid"] + (row.get("refused") or 0)}
            name = "share of decisions that cannot be read"
            found += _result(_SPLITS.get(split, split), split, "unparseable", name, share, counts)
    for entry in _estimates(facts):
        for name, bounds in (*entry["weights"].items(), ("noise", entry["noise"])):
            free = "kappa alone" if entry["model"] == "homo moralis" else "all weights"
            title, counts = f"preference implied by its choices, {free}", {"prompts": entry["read"]}
            found += _result(title, f"estimated: {free}", name, f"estimated {name}", bounds, counts)
    return found


def _result(
    dataset: str, split: str, metric: str, name: str, bounds: Mapping[str, Any] | None, counts: Mapping[str, Any]
) -> Iterator[Any]:
    """One measured value; none where there is no estimate."""
    from huggingface_hub import EvalResult

    if bounds is None or bounds["estimate"] is None:
        return
    ends = {end: round(bounds[end], 4) for end in ("low", "high") if bounds.get(end) is not None}
    yield EvalResult(
        task_type="text-generation",
        task_name="economic games",
        # The Hub wants the name of a data set; these are games that the evaluation draws, not rows of the training data's.
        dataset_type="moralfit-games",
        dataset_name=dataset,
        dataset_split=split,
        metric_type=metric,
        metric_name=name,
        metric_value=round(bounds["estimate"], 4),
        metric_args={**({"confidence_level": 0.95, **ends} if ends else {}), **counts},
    )


def _estimates(facts: Facts) -> list[Mapping[str, Any]]:
    """What the agent's answers to the kinds of games it was trained on imply, from prompts that state a belief."""
    agent, _ = _own(facts)
    found = (facts.summary or {}).get("estimates") or []
    wanted = {"games": "trained", "use": "answers", "beliefs": "stated"}
    return [e for e in found if agent and e["agent"] == agent["key"] and all(e[key] == value for key, value in wanted.items())]


def agreement(facts: Facts) -> str:
    """The table of agreement, this agent first."""
    agent, own = _own(facts)
    if facts.summary is None or agent is None or not own:
        return "It was not evaluated."
    splits = [row["split"] for row in own]
    target = own[0]["target"]
    known = {(r["agent"], r["split"]): r for r in facts.summary["rows"] if r["target"] == target and r["game"] == "all"}
    lines = [f"| | {' | '.join(_SPLITS.get(split, split) for split in splits)} |", f"|---|{'---|' * len(splits)}"]
    for kind, label in _KINDS.items():
        for other in facts.summary["agents"]:
            if other["kind"] == kind and (kind != "adapter" or other is agent):
                cells = (_percent((known.get((other["key"], split)) or {}).get("agreement")) for split in splits)
                lines.append(f"| {label} | {' | '.join(cells)} |")
    counts = ", ".join(f"{row['n']} decisions in {row['clusters']} games" for row in own)
    unread = max((row["invalid"] or 0) + (row["refused"] or 0) for row in own)
    said = (
        f"Up to {unread:.1%} of its decisions could not be read; they count as wrong" if unread else "It could always be read"
    )
    return (
        f"Agreement with the solver of {target}, with 95% intervals clustered by game ({counts}):\n\n"
        + "\n".join(lines)
        + f"\n\n{said}."
    )


def estimated(facts: Facts) -> str:
    """The estimated preference, or why there is none."""
    entries = _estimates(facts)
    if not entries:
        return "Its preference was not estimated."
    lines = ["| weights that are free | kappa | alpha | beta | noise, in points |", "|---|---|---|---|---|"]
    for entry in entries:
        free = "kappa" if entry["model"] == "homo moralis" else "all three"
        cells = [_bounds(entry["weights"].get(name)) for name in ("kappa", "alpha", "beta")] + [_bounds(entry["noise"])]
        note = f" ({entry['remark']})" if entry["remark"] else ""
        lines.append(f"| {free}{note} | {' | '.join(cells)} |")
    aim = f"kappa = {float(facts.recipe.preference.build().kappa):g}"
    return (
        "The preference that its choices imply (conditional logit over whole plans, "
        f"{entries[0]['read']} held-out prompts that state a belief, 95% intervals clustered by game). It was trained "
        f"for {aim}.\n\n" + "\n".join(lines)
    )


def _bounds(bounds: Mapping[str, Any] | None) -> str:
    if bounds is None:
        return "-"
    low, high = ("any" if bounds.get(end) is None else f"{bounds[end]:.2f}" for end in ("low", "high"))
    return f"[{low}, {high}]" if bounds["estimate"] is None else f"{bounds['estimate']:.2f} [{low}, {high}]"


def _percent(share: Mapping[str, Any] | None) -> str:
    if share is None:
        return "-"
    if share.get("low") is None or share.get("high") is None:
        return f"{share['estimate']:.1%}"
    return f"{share['estimate']:.1%} [{100 * share['low']:.0f}, {100 * share['high']:.0f}]"
