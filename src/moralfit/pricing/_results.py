"""An experiment's results as one table: what each pairing did, beside what theory and the literature expect there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from moralfit.errors import GameError
from moralfit.pricing._benchmarks import Conduct, Universe, benchmarks, moralis_equilibrium, profit_gain
from moralfit.pricing._market import LogitMarket
from moralfit.pricing._statistics import Json

HEAD = ("pairing", "agent", "runs", "price", "profit", "Delta", "asked again", "fallback")
#: Columns of text; the others hold numbers.
_TEXTS = 2
_CAPTION = (
    "Delta: 0 is Bertrand-Nash, 1 is joint monopoly. Asked again: decisions whose first answer named no valid price, and a "
    "later one did. Fallback: none did, and the last price stands. Theory: equilibria, kappa being homo moralis with, in "
    "brackets, who everyone is. Published: Calvano et al. (2020)."
)
#: Who "everyone" is to homo moralis, as the table says it.
_EVERYONE: dict[Universe, str] = {"firms": "firms", "firms+consumers": "firms, buyers"}


class Line(NamedTuple):
    """A line of the table, with one cell for each column of :data:`HEAD`; lines of a group stand together."""

    group: str
    cells: tuple[str, ...]


def result_lines(summary: Json) -> list[Line]:
    """All runs of each pairing, and of each agent where two different ones meet; then theory, and what was published.

    Args:
        summary: What :func:`moralfit.pricing.analyse` returns.
    """
    mixed = {pairing["key"]: len(set(pairing["agents"])) > 1 for pairing in summary["pairings"]}
    everybody = "both" if len(summary["benchmarks"]["cost"]) == 2 else "all"
    found: list[Line] = []
    for row in summary["rows"]:
        if row["scale"] != "all" or row["wording"] != "all" or (row["agent"] != "all" and not mixed[row["pairing"]]):
            continue
        pairing, agent = row["pairing"], everybody if row["agent"] == "all" else row["agent"]
        measured = [_interval(row["price"], 3), _interval(row["profit"], 2), _interval(row["delta"], 2)]
        shares = ["" if row[name] is None else f"{row[name]:.0%}" for name in ("retried", "fallback")]
        shown = "" if found and found[-1].group == pairing else pairing
        found.append(Line(pairing, (shown, agent, str(row["runs"]), *measured, *shares)))
    return [*found, *_references(LogitMarket(**summary["market"]), summary["agents"])]


def result_table(summary: Json) -> Table:
    """The lines for a terminal."""
    table = Table(title=_title(summary), caption=_CAPTION)
    for place, name in enumerate(HEAD):
        table.add_column(name, justify="left" if place < _TEXTS else "right", overflow="fold")
    before = None
    for line in result_lines(summary):
        if before not in (None, line.group):
            table.add_section()
        before = line.group
        table.add_row(*line.cells)
    return table


def result_markdown(summary: Json, pace: str = "") -> str:
    """The lines for a page or a paper, after what a reader must know before trusting them; `pace` is a sentence for its end."""
    rows = [HEAD, ("---",) * _TEXTS + ("---:",) * (len(HEAD) - _TEXTS), *(line.cells for line in result_lines(summary))]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    warned = [f"> **Warning:** {' '.join(note.split())}" for note in summary["notes"]]
    return "\n\n".join([*warned, f"{_title(summary)}.", table, " ".join([_CAPTION, pace]).strip()]) + "\n"


def result_warnings(summary: Json) -> list[Text]:
    """What a reader must know before trusting the numbers, for a terminal."""
    return [Text(f"Warning: {note}", style="bold red") for note in summary["notes"]]


def pace_of(out: Path, summary: Json) -> str:
    """How long a period took and how long prompts were, of experiments in which somebody speaks; otherwise nothing.

    Args:
        out: The experiment's folder, whose `timings.jsonl` may be missing.
    """
    pairings = [row for row in summary["rows"] if (row["agent"], row["scale"], row["wording"]) == ("all",) * 3]
    worded = sum(row["worded"] for row in pairings)
    seconds = [sum(agent["seconds"] for agent in line["agents"].values()) for line in _timings(out / "timings.jsonl")]
    if not worded or not seconds:
        return ""
    tokens = sum(row["tokens"] * row["worded"] for row in pairings if row["tokens"] is not None) / worded
    return (
        f"{sum(seconds) / len(seconds):.3g} s a period with {worded / summary['periods']:.0f} decisions in words; prompts have "
        f"{tokens:.0f} tokens on average."
    )


def _timings(path: Path) -> Iterator[dict[str, Any]]:
    """Whole lines; the last may be cut off."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _title(summary: Json) -> str:
    first, last = summary["window"]["first"], summary["window"]["last"]
    return f"{summary['experiment']}: periods {first} to {last}, in money at scale 1, ± for 95% intervals over runs"


def _references(market: LogitMarket, agents: Sequence[Json]) -> list[Line]:
    """Equilibria of the preferences that agents were trained for or told, and what Q-learning was reported to reach."""
    # The report's, which knows preferences by their names; it draws, and so takes long to import.
    from moralfit.report._format import kappa_of

    known = {kappa_of(agent["preference"]) for agent in agents if agent["preference"] is not None}
    marks = benchmarks(market)
    found = [_reference(market, "Bertrand-Nash", marks.nash), _reference(market, "joint monopoly", marks.monopoly)]
    for kappa in sorted(kappa for kappa in known if kappa):
        for universe, everyone in _EVERYONE.items():
            name = f"kappa {kappa:g} ({everyone})"
            found.append(_reference(market, name, moralis_equilibrium(market, kappa, universe)))
    if market == LogitMarket(size=market.size):
        cells = ("Q-learners", "published", "", "", "", "about 0.85", "", "")
        found.append(Line("published", cells))
    return found


def _reference(market: LogitMarket, name: str, conduct: Conduct) -> Line:
    price, profit = (sum(values) / market.n for values in (conduct.prices, conduct.profits))
    try:
        delta = f"{float(profit_gain(market, conduct.profits)):.2f}"
    except GameError:
        # Products that hardly compete, where monopoly pays no more than Nash.
        delta = "-"
    return Line("theory", (name, "theory", "", f"{price:.3f}", f"{profit:.2f}", delta, "", ""))


def _interval(measured: Json, places: int) -> str:
    if measured["estimate"] is None:
        return "-"
    text = f"{measured['estimate']:.{places}f}"
    # Student's interval lies evenly about the mean.
    return text if measured["high"] is None else f"{text} ± {measured['high'] - measured['estimate']:.{places}f}"
