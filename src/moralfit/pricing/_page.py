"""An experiment as one self-contained page: an overview, and for each pairing what it did and said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from moralfit.files import write_text
from moralfit.pricing._figures import POINTS, Limits, limits, price_paths, price_profit
from moralfit.pricing._panel import PriceRecord, Run, read_panel
from moralfit.report._format import percent
from moralfit.report._load import Agent
from moralfit.report._market import Market, market, pairing_title
from moralfit.report._market_summary import ALL, MarketRow, MarketRun, Pairing, Reaction, Test, load_market
from moralfit.report._page import environment

#: Most characters of a prompt, reply or note that the page shows; the records have all of them.
_LONGEST = 6000


@dataclass(frozen=True)
class Excerpt:
    """One decision of a language model as it was made.

    Attributes:
        why: What it is an example of; examples are chosen by rule. cut: Whether some text is longer than what is shown.
    """

    why: str
    agent: str
    record: PriceRecord
    prompt: str
    reply: str
    cut: bool


@dataclass(frozen=True)
class PairingPage:
    """What the section about one pairing shows.

    Attributes:
        totals: All runs, by agent and together. cells: Each combination of price scale and wording, all firms together.
        unusual: What a reader should know before trusting the numbers.
    """

    number: int
    title: str
    agents: tuple[str, ...]
    figures: tuple[tuple[str, Markup], ...]
    totals: tuple[MarketRow, ...]
    cells: tuple[MarketRow, ...]
    reactions: tuple[Reaction, ...]
    excerpts: tuple[Excerpt, ...]
    unusual: tuple[str, ...]


def write_pricing_report(out: Path) -> Path:
    """Writes `report.html` into an experiment folder, from its `summary.json` and `records.jsonl`.

    The page is one file that loads nothing from elsewhere. What language models said is shown as text, whatever it is.

    Returns:
        The path of the page.

    Raises:
        RunError: A file is missing or damaged; the message names it. An older page stays in place.
    """
    summary = load_market(out / "summary.json")
    panel = read_panel(out / "records.jsonl")
    shown = market(summary, "overview")
    marks = summary.benchmarks
    runs = [run for run in panel.runs if run.pairing in {pairing.key for pairing in summary.pairings}]
    prices = [float(price) for run in runs for price in _reach(run, summary.periods)]
    points = [(price, profit) for run in summary.runs for price, profit in zip(run.price, run.profit, strict=True)]
    on = limits([*prices, *(price for price, _ in points)], [profit for _, profit in points], marks)
    context: dict[str, Any] = {
        "title": f"{summary.experiment}: moralfit market",
        "market": shown,
        "facts": _facts(shown, runs),
        "tests": _named_tests(summary.tests, shown),
        "pages": [
            _pairing(number, pairing, shown, [run for run in runs if run.pairing == pairing.key], panel.excerpts, on)
            for number, pairing in enumerate(summary.pairings, 1)
        ],
        "points": POINTS,
    }
    path = out / "report.html"
    write_text(path, environment("pricing").get_template("pricing.html.j2").render(context))
    return path


def _reach(run: Run, periods: int) -> list[float]:
    """The extremes of what is drawn of a run."""
    means = [run.prices[:periods, run.firms(agent)].mean(axis=1) for agent in dict.fromkeys(run.agents)]
    return [float(extreme(mean)) for mean in means for extreme in (np.min, np.max)]


def _facts(shown: Market, runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Terms and texts of the header."""
    summary = shown.summary
    length = _counted(summary.periods, "period")
    if summary.planned is not None and summary.planned > summary.periods:
        length += f" of {summary.planned:,} planned: the experiment is not finished"
    scales = sorted({run.scale for run in runs})
    wordings = sorted({run.wording for run in runs if run.wording})
    design = [f"{_counted(len(runs), 'run')} in {_counted(len(summary.pairings), 'pairing')}"]
    design.append(f"price scale{'s' * (len(scales) != 1)} {', '.join(f'{scale:g}' for scale in scales)}")
    if wordings:
        design.append(f"goal wording{'s' * (len(wordings) != 1)} {', '.join(wordings)}")
    facts = {
        "Agents": "; ".join(_who(shown, agent) for agent in summary.agents),
        "Length": length,
        "Design": "; ".join(design),
        "Market": _market_words(summary.market),
    }
    return [(term, text) for term, text in facts.items() if text]


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _who(shown: Market, agent: Agent) -> str:
    """What the figures call an agent and, where that says little, its name."""
    label = shown.labels[agent.key]
    return f"{label} ({agent.name})" if agent.kind == "base" and agent.name != label else label


def _market_words(values: Mapping[str, Any]) -> str:
    names = {"qualities": "quality", "costs": "cost", "mu": "μ", "outside": "outside good", "size": "market size"}
    parts = []
    for key, name in names.items():
        value = values.get(key)
        if value is not None:
            each = value if isinstance(value, list) else [value]
            numbers = [f"{number:g}" for number in (each[:1] if len(set(each)) == 1 else each)]
            parts.append(f"{name} {', '.join(numbers)}")
    return "logit demand, " + ", ".join(parts) + ", at scale 1" if parts else ""


def _named_tests(tests: Sequence[Test], shown: Market) -> list[tuple[str, list[tuple[str, str, Test]]]]:
    titles = {pairing.key: pairing_title(pairing, shown.labels) for pairing in shown.summary.pairings}
    measures = {"price": "Mean price", "profit": "Mean profit"}
    found = []
    for measure in dict.fromkeys(test.measure for test in tests):
        lines = [(titles.get(t.first, t.first), titles.get(t.second, t.second), t) for t in tests if t.measure == measure]
        found.append((measures.get(measure, measure), lines))
    return found


def _pairing(
    number: int,
    pairing: Pairing,
    shown: Market,
    runs: Sequence[Run],
    excerpts: Mapping[tuple[str, str], Mapping[str, PriceRecord]],
    on: Limits,
) -> PairingPage:
    summary = shown.summary
    agents = tuple(dict.fromkeys(pairing.agents))
    title = pairing_title(pairing, shown.labels)
    paths = {agent: [run.prices[: summary.periods, run.firms(agent)].mean(axis=1) for run in runs] for agent in agents}
    ends = {
        agent: [_end(run, [firm for firm, key in enumerate(pairing.agents) if key == agent]) for run in summary.runs
                if run.pairing == pairing.key]
        for agent in agents
    }  # fmt: skip
    marks = summary.benchmarks
    figures = (
        ("Prices", price_paths(f"paths-{number}", f"{title}: prices by period", paths, shown.styles, marks, on)),
        ("Price and profit", price_profit(f"points-{number}", f"{title}: price and profit", ends, shown.styles, marks, on)),
    )
    rows = [row for row in summary.rows if row.pairing == pairing.key]
    said = [_excerpt(why, agent, record) for agent in agents for why, record in excerpts.get((pairing.key, agent), {}).items()]
    cells = tuple(row for row in rows if not row.total and row.agent == ALL)
    return PairingPage(
        number=number,
        title=title,
        agents=agents,
        figures=figures,
        totals=next((block.rows for block in shown.blocks if block.title == title), ()),
        cells=cells if len(cells) > 1 else (),
        reactions=tuple(line for line in summary.regressions if line.pairing == pairing.key),
        excerpts=tuple(said),
        unusual=_unusual(summary.total(pairing.key), summary.periods),
    )


def _end(run: MarketRun, firms: Sequence[int]) -> tuple[float, float]:
    return sum(run.price[firm] for firm in firms) / len(firms), sum(run.profit[firm] for firm in firms) / len(firms)


def _excerpt(why: str, agent: str, record: PriceRecord) -> Excerpt:
    prompt, reply = record.prompt or "", record.reply or ""
    cut = max(len(prompt), len(reply)) > _LONGEST
    return Excerpt(why, agent, record, prompt[:_LONGEST], reply[:_LONGEST], cut)


def _unusual(row: MarketRow | None, periods: int) -> tuple[str, ...]:
    found = []
    if row is not None:
        if row.runs == 1:
            found.append("There is one run, so nothing can be said about how runs differ.")
        if row.fallback:
            much = ": the means below are as much about that rule as about the model" if row.fallback > 0.2 else ""
            found.append(
                f"In {percent(row.fallback)} of the language models’ decisions no valid price could be read, and the firm’s "
                f"last price stood{much}."
            )
        if row.shortened:
            found.append(f"{percent(row.shortened)} of prompts showed a shorter history than the design asks for.")
    if periods < 100:
        found.append(f"{periods} periods are short of the published 300: expect less settled prices.")
    return tuple(found)
