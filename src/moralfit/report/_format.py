"""Numbers, names and formulas as the page prints them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from moralfit.errors import GameError, RunError
from moralfit.games import exact
from moralfit.preferences import HomoEconomicus, HomoMoralis, SocialPreferences
from moralfit.report._load import Agent, Bounds, Estimate

_GREEK = {"alpha": "α", "beta": "β", "kappa": "κ"}
_GAMES = {
    "sequential_prisoners_dilemma": "Sequential prisoner’s dilemma",
    "trust_game": "Trust game",
    "ultimatum_game": "Ultimatum game",
    "prisoners_dilemma": "Prisoner’s dilemma, at once",
    "linear_public_good": "Public good, linear",
    "concave_public_good": "Public good, falling returns",
    "trust_amounts": "Trust, several amounts",
    "ultimatum_amounts": "Ultimatum, several offers",
    "repeated_trust_game": "Trust game, two rounds",
    "repeated_prisoners_dilemma": "Prisoner’s dilemma, two rounds",
    "all": "All games",
}
_SPLITS = {
    "payoffs": "Held-out payoffs",
    "words": "Held-out stories and labels",
    "games": "Other games, never trained on",
}
_PARTS = {"train": "Training", "heldout_payoffs": _SPLITS["payoffs"], "heldout_words": _SPLITS["words"]}
_DOES = {
    ("sequential_prisoners_dilemma", "C"): "cooperates",
    ("trust_game", "I"): "invests",
    ("trust_game", "G"): "gives back",
    ("ultimatum_game", "E"): "offers an equal split",
    ("ultimatum_game", "A"): "accepts",
}
#: C0 and C1 controls other than tab and newline: no text needs them, and SVG forbids them.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """Without the characters that a page cannot hold; each becomes a replacement mark."""
    return _CONTROLS.sub("\ufffd", text.replace("\r\n", "\n"))


def percent(share: float, places: int = 0, sign: str = "%") -> str:
    """A share in percent that reads 0 or 100 only if it is: 0.998 is 99.8%, not 100%."""
    value = round(100 * share, 9) + 0.0
    for digits in range(places, 2):
        text = f"{value:.{digits}f}"
        if value in (0, 100) or float(text) not in (0, 100):
            return text + sign
    return f"<0.1{sign}" if value < 50 else f">99.9{sign}"


def interval(estimate: Estimate | None, places: int = 0) -> str:
    """`94–99%`, or nothing where there is no interval."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{percent(estimate.low, places, '')}–{percent(estimate.high, places)}"


def signed(value: float) -> str:
    """`+0.94`, with a true minus sign."""
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def number(value: float) -> str:
    """`0.98` with a true minus sign; far away in powers of ten."""
    text = f"{round(value, 2) + 0.0:.2f}" if abs(value) < 100 else f"{value:.0e}".replace("e+0", "e").replace("e+", "e")
    return text.replace("-", "−")


def signed_interval(estimate: Estimate | None) -> str:
    """`+0.90 to +0.98`, or nothing where there is no interval."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{signed(estimate.low)} to {signed(estimate.high)}"


def spread(estimate: Bounds, sign: bool = False) -> str:
    """`1.44 to 1.52`, or the reason why there is no interval."""
    if estimate.low is None or estimate.high is None:
        return str(getattr(estimate, "reason", ""))
    write = signed if sign else number
    return f"{write(estimate.low)} to {write(estimate.high)}"


def count(number: float) -> str:
    """Integers plain, others with up to two decimals; commas between thousands."""
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.2f}".rstrip("0")


def minutes(seconds: float) -> str:
    """`35 s`, `9.8 min`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    whole = round(seconds / 60)
    return f"{whole // 60} h {whole % 60:02d} min"


def pretty(name: str) -> str:
    """Names of preferences with Greek letters, and no line break within `κ = 1`."""
    return re.sub(r"\b(alpha|beta|kappa)\b( = )?", lambda m: _GREEK[m[1]] + (m[2] or "").replace(" ", "\xa0"), name)


def kappa_of(name: str) -> float | None:
    """The kappa of a preference by its name; None if it has other weights too, or is none of ours."""
    if name == HomoEconomicus().name:
        return 0.0
    found = re.fullmatch(r"homo moralis \(kappa = ([0-9.eE+-]+)\)", name)
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None


def game_title(game: str) -> str:
    """`trust_game` as a title."""
    return _GAMES.get(game) or game.replace("_", " ").capitalize()


def split_title(split: str) -> str:
    """A part of the evaluation as a title."""
    return _SPLITS.get(split) or split.replace("_", " ").capitalize()


def part_title(part: str) -> str:
    """A part of the data set as a title; `train, open` is a part of a part."""
    name, comma, rest = part.partition(",")
    return (_PARTS.get(name) or name.replace("_", " ").capitalize()) + comma + rest


def decision_title(decision: str) -> str:
    """`first`, `after I`, `all` as a title."""
    return {"first": "First move", "all": "All decisions"}.get(decision) or decision[:1].upper() + decision[1:]


def first_action(game: str, action: str | None) -> str:
    """What the tree's first action does, as far as we know: `gives back (G)`, `X`, or nothing."""
    if action is None:
        return ""
    does = _DOES.get((game, action))
    return f"{does} ({action})" if does else action


def agent_labels(agents: Iterable[Agent]) -> dict[str, str]:
    """A short label for each agent's key: the first of kind, preference, name and key that no other agent has too."""
    agents = list(agents)
    candidates = {agent.key: _label_candidates(agent) for agent in agents}
    labels = {}
    for key, own in candidates.items():
        taken = {label for other, labels in candidates.items() if other != key for label in labels}
        labels[key] = next((label for label in own if label not in taken), key)
    return labels


def _label_candidates(agent: Agent) -> list[str]:
    short = {"base": "base", "prompted": "prompted base", "random": "random", "adapter": "tuned"}
    found = [short[agent.kind]] if agent.kind in short else []
    if agent.preference is not None:
        found.append(("told: " if agent.kind == "prompted" else "") + pretty(agent.preference))
    return [*found, pretty(agent.name)]


@dataclass(frozen=True)
class Formula:
    """A preference and the terms of its utility.

    Attributes:
        name: As evaluations call it.
        terms: (sign, weight, kind) with kind one of `actual`, `universal`, `behind`, `ahead`; a weight of one is left empty.
    """

    name: str
    terms: tuple[tuple[str, str, str], ...]


def formula(section: Any, source: str) -> Formula:
    """The utility that a recipe's `preference` section states.

    Raises:
        RunError: The section is no preference.
    """
    if isinstance(section, str):
        section = {"kind": section}
    if not isinstance(section, Mapping):
        raise RunError(f"{source}: damaged, it states no preference")
    if "moralis" in str(section.get("kind")) and section.get("kappa") is None:
        raise RunError(f"{source}: damaged (preference.kappa is missing)")
    try:
        weights = {name: exact(section.get(name) or 0, f"preference.{name}") for name in ("alpha", "beta", "kappa")}
        preference = SocialPreferences(**weights)
    except GameError as error:
        raise RunError(f"{source}: damaged ({error})") from None
    if not weights["alpha"] and not weights["beta"]:
        preference = HomoMoralis(weights["kappa"]) if weights["kappa"] else HomoEconomicus()
    kappa = weights["kappa"]
    weighted = ((1 - kappa, "actual"), (kappa, "universal"), (-weights["alpha"], "behind"), (-weights["beta"], "ahead"))
    terms = [("−" if w < 0 else "+", _weight(abs(w)), kind) for w, kind in weighted if w]
    first_sign = "" if terms[0][0] == "+" else "−"
    return Formula(preference.name, ((first_sign, *terms[0][1:]), *terms[1:]))


def _weight(value: Fraction) -> str:
    return "" if value == 1 else f"{float(value):g}"


def settings(section: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A recipe section as (key, value) lines, nested keys dotted."""
    if not isinstance(section, Mapping):
        return [] if section is None else [(prefix or "value", _value(section))]
    lines = []
    for key, value in section.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            lines += settings(value, name)
        elif value is not None:
            lines.append((name, _value(value)))
    return lines


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value)
    return str(value)
