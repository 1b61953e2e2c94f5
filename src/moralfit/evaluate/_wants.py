"""The tables of estimated preferences that a person reads at the end of a run, at most 100 columns wide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group
from rich.text import Text

from moralfit.estimate._diagnose import ends, is_point
from moralfit.evaluate._estimates import main_beliefs
from moralfit.evaluate._table import by_decision, by_family, new_table, overview, served_by, short_names

_BELIEFS = {
    "stated": "from the prompts that state a belief",
    "elicited": "beliefs as stated, or as the agent said when asked",
}
_PARAMETERS = ("kappa", "alpha", "beta")
_REMARKS = {
    "converged": "",
    "chance": "no better than chance",
    "too few": "too few readable",
    "separated": "no slips: all of it fits",
    "undefined": "follows no such utility",
}
_NOTE = """kappa: 0 own payoff alone, 1 only what if everyone did this; alpha, beta: dislike of being behind,
ahead; noise: in payoff points, the smaller the fewer slips."""


def tables(summary: Mapping[str, Any]) -> Group:
    """Everything that is printed at the end of an evaluation."""
    found = dict(summary)
    return Group(overview(found), by_decision(found), by_family(found), wants(summary), served_by(summary))


def wants(summary: Mapping[str, Any]) -> Group:
    """What each agent wants: its estimated kappa beside what it was trained for or told; then all three weights.

    Empty for evaluations from before there were estimates.
    """
    entries = summary.get("estimates") or []
    if not entries:
        return Group()
    beliefs = main_beliefs(entries)
    names = short_names(summary)
    known = {(e["agent"], e["games"], e["use"], e["model"]): e for e in entries if e["beliefs"] == beliefs}
    alone = new_table(f"What does each agent want? kappa estimated alone, {_BELIEFS[beliefs]}")
    for heading in ("agent", "aim"):
        alone.add_column(heading, no_wrap=True)
    for heading in ("kappa [95%]", "noise", "prompts"):
        alone.add_column(heading, justify="right", no_wrap=True)
    alone.add_column("remark", no_wrap=True)
    full = new_table("The same with all three weights free")
    full.add_column("agent", no_wrap=True)
    for name in _PARAMETERS:
        full.add_column(f"{name} [95%]", justify="right", no_wrap=True)
    full.add_column("noise", justify="right", no_wrap=True)
    for agent in summary["agents"]:
        for place, (label, games, use) in enumerate(_lines(names[agent["key"]])):
            entry = known.get((agent["key"], games, use, "homo moralis"))
            if entry is not None:
                aim = "" if place else _aim(agent)
                count = f"{entry['read']} of {entry['prompts']}"
                alone.add_row(label, aim, weight(entry, "kappa"), _noise(entry), count, _short(entry))
            other = known.get((agent["key"], games, use, "full"))
            if other is not None and use == "answers":
                full.add_row(label, *(weight(other, name) for name in _PARAMETERS), _noise(other))
    return Group(alone, full, Text(_NOTE, style="dim"), Text())


def _lines(name: str) -> Iterator[tuple[str, str, str]]:
    yield name, "trained", "answers"
    yield "  other games", "other", "answers"
    yield "  from logits", "trained", "probabilities"


def _aim(agent: Mapping[str, Any]) -> str:
    """`homo moralis (kappa = 0.5)` as what it says about kappa."""
    preference = agent["preference"]
    if preference is None:
        return "-"
    return str(preference).removeprefix("homo moralis ").strip("()").replace("homo economicus", "kappa = 0")


def weight(entry: Mapping[str, Any], name: str) -> str:
    """`0.98 [0.90, 1.06]`; the set alone where the choices leave one, `only 1.00` if that is one value; a dash for nothing."""
    found = entry["weights"].get(name)
    if found is None:
        return "-"
    value, low, high = (_number(found[part]) for part in ("estimate", "low", "high"))
    if found["estimate"] is None:
        if found["low"] is None or found["high"] is None:
            # Not "[any, 0.00]", which the terminal would take for markup.
            return f"at most {high}" if found["high"] is not None else f"at least {low}" if found["low"] is not None else "any"
        if is_point(found["low"], found["high"]):
            return f"only {low}"
        return f"all of [{', '.join(ends(found['low'], found['high'], 'f', 2))}]"
    return value if found["low"] is None and found["high"] is None else f"{value} [{low}, {high}]"


def _number(value: float | None) -> str:
    if value is None:
        return "any"
    return f"{round(value, 2) + 0.0:.2f}" if abs(value) < 100 else f"{value:.0e}".replace("e+0", "e")


def _noise(entry: Mapping[str, Any]) -> str:
    return "-" if entry["noise"] is None else _number(entry["noise"]["estimate"])


def _short(entry: Mapping[str, Any]) -> str:
    """The remark in a few words."""
    if entry["status"] == "separated" and entry["weights"].get("kappa", {}).get("estimate") is not None:
        return "penalised: hardly a slip"
    if entry["status"] == "too few" and entry["read"] == entry["prompts"]:
        return "too few prompts"
    if entry["status"] == "separated" and (kappa := entry["weights"].get("kappa")) and is_point(kappa["low"], kappa["high"]):
        return "no slips: only this fits"
    return _REMARKS.get(entry["status"], str(entry["status"]))
