"""The records of an experiment, checked and put in order: one run is a panel of periods by firms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from moralfit.errors import RunError

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_REMEDY = "mend or remove the experiment's folder and run it again"
_Count = Annotated[int, Field(ge=0)]


class PriceRecord(BaseModel):
    """One line of `records.jsonl`: what one firm did in one period. Money is the run's own, at its price scale."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    format: Literal[1] = Field(alias="schema")
    run: str
    pairing: str
    agents: tuple[str, ...] = Field(min_length=2)
    firm: _Count
    agent: str
    period: Annotated[int, Field(ge=1)]
    scale: Annotated[float, Field(gt=0)]
    wording: str
    replicate: int
    ceiling: Annotated[float, Field(gt=0)]
    price: float
    quantity: Annotated[float, Field(ge=0)]
    profit: float
    status: Literal["answered", "retried", "fallback"] = "answered"
    retries: _Count = 0
    reply: str | None = None
    prompt: str | None = None
    plans: str = ""
    insights: str = ""
    history_shown: _Count | None = None
    prompt_tokens: _Count | None = None


@dataclass(frozen=True)
class Run:
    """One run as far as every firm has decided. Prices, profits and the ceiling are divided by the price scale.

    Attributes:
        prices, profits: (periods, firms). ceiling: (firms,). retried, fallback, worded: (periods, firms), the last for
            decisions of a language model. shown: (periods, firms), periods of history in the prompt, -1 where there is none.
        tokens: (periods, firms), length of the prompt, NaN where there is none.
    """

    key: str
    pairing: str
    agents: tuple[str, ...]
    scale: float
    wording: str
    replicate: int
    ceiling: Array
    prices: Array
    profits: Array
    retried: Flags
    fallback: Flags
    worded: Flags
    shown: npt.NDArray[np.int64]
    tokens: Array

    @property
    def periods(self) -> int:
        """How many periods are complete."""
        return len(self.prices)

    def firms(self, agent: str) -> list[int]:
        """The firms that an agent runs."""
        return [firm for firm, key in enumerate(self.agents) if key == agent]


@dataclass(frozen=True)
class Panel:
    """All runs of an experiment in the order in which they began.

    Attributes:
        excerpts: For each pairing and agent that speaks some records worth reading, each with what it is an example of.
    """

    runs: tuple[Run, ...]
    excerpts: dict[tuple[str, str], dict[str, PriceRecord]]


@dataclass
class _Growing:
    """A run while its lines come in."""

    head: PriceRecord
    rows: dict[tuple[int, int], tuple[float, ...]] = field(default_factory=dict)
    ceilings: dict[int, float] = field(default_factory=dict)


def read_panel(path: Path) -> Panel:
    """Reads `records.jsonl`.

    The last line may be cut off, and the last period of a run may lack firms: an experiment that was interrupted plays that
    period again, so neither counts.

    Raises:
        RunError: The file is missing, holds no complete period, or a line is damaged or contradicts an earlier one; the message
            names the line.
    """
    growing: dict[str, _Growing] = {}
    excerpts: dict[tuple[str, str], dict[str, PriceRecord]] = {}
    for number, record in _records(path):
        place = f"{path}, line {number}"
        run = growing.setdefault(record.run, _Growing(record))
        _check(record, run, place)
        run.rows[record.period, record.firm] = (
            record.price / record.scale,
            record.profit / record.scale,
            float(record.status == "retried"),
            float(record.status == "fallback"),
            float(record.reply is not None),
            float(-1 if record.history_shown is None else record.history_shown),
            float("nan") if record.prompt_tokens is None else float(record.prompt_tokens),
        )
        run.ceilings.setdefault(record.firm, record.ceiling / record.scale)
        if record.reply is not None:
            _keep(excerpts.setdefault((record.pairing, record.agent), {}), record)
    ordered = (_run(key, found, path) for key, found in growing.items())
    runs = tuple(run for run in ordered if run.periods)
    if not runs:
        raise RunError(f"{path}: no period is complete yet; run the experiment again to continue it")
    return Panel(runs, excerpts)


def _records(path: Path) -> Iterator[tuple[int, PriceRecord]]:
    """Lines with their numbers. Only newlines end a record: replies may hold what Python calls line breaks."""
    try:
        with path.open("rb") as file:
            held: tuple[int, bytes] | None = None
            for number, line in enumerate(file, 1):
                if line.strip():
                    if held is not None:
                        yield held[0], _parse(*held, path)
                    held = (number, line)
            if held is not None and not _cut_off(held[1]):
                yield held[0], _parse(*held, path)
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); run the experiment first") from None


def _cut_off(line: bytes) -> bool:
    """Whether writing stopped within this last line. One that is complete but wrong is damaged."""
    if line.endswith(b"\n"):
        return False
    try:
        json.loads(line)
    except ValueError:
        return True
    return False


def _parse(number: int, line: bytes, path: Path) -> PriceRecord:
    try:
        return PriceRecord.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        what = f"{where}: {first['msg']}" if where else first["msg"]
        raise RunError(f"{path}, line {number}: damaged ({what}); {_REMEDY}") from None


def _check(record: PriceRecord, run: _Growing, place: str) -> None:
    if record.firm >= len(record.agents) or record.agents[record.firm] != record.agent:
        said = ", ".join(record.agents)
        raise RunError(f"{place}: damaged (firm {record.firm} is not {record.agent!r} among the agents {said}); {_REMEDY}")
    for name in ("pairing", "agents", "scale", "wording", "replicate"):
        was, now = getattr(run.head, name), getattr(record, name)
        if was != now:
            raise RunError(f"{place}: damaged (run {record.run!r} has {name} {now!r}, and {was!r} before); {_REMEDY}")
    if (record.period, record.firm) in run.rows:
        raise RunError(
            f"{place}: damaged (run {record.run!r} has two lines for firm {record.firm} in period {record.period}); {_REMEDY}"
        )


def _keep(examples: dict[str, PriceRecord], record: PriceRecord) -> None:
    """Chosen by rule, not by hand; later records of the same kind do not replace the first."""
    examples.setdefault("the first decision", record)
    if record.status == "retried":
        examples.setdefault("the first answer that took more than one attempt", record)
    if record.status == "fallback":
        examples.setdefault("the first period without a readable answer", record)
    first = examples["the first decision"]
    if (record.run, record.firm) == (first.run, first.firm) and record.period > first.period:
        examples["the last decision of that run"] = record


def _run(key: str, growing: _Growing, path: Path) -> Run:
    head, rows = growing.head, growing.rows
    firms = range(len(head.agents))
    complete = [period for period in sorted({period for period, _ in rows}) if all((period, firm) in rows for firm in firms)]
    last = max(period for period, _ in rows)
    gaps = [after for before, after in pairwise((0, *complete)) if after != before + 1]
    # Only the period that was being played when writing stopped may be incomplete.
    if gaps or last > len(complete) + 1:
        missing = next(period for period in range(1, last + 1) if any((period, firm) not in rows for firm in firms))
        raise RunError(f"{path}: damaged (run {key!r} lacks a firm in period {missing} though it goes on to {last}); {_REMEDY}")
    table = np.array([[rows[period, firm] for firm in firms] for period in complete], dtype=np.float64)
    table = table.reshape(len(complete), len(head.agents), 7)
    return Run(
        key=key,
        pairing=head.pairing,
        agents=head.agents,
        scale=head.scale,
        wording=head.wording,
        replicate=head.replicate,
        ceiling=np.array([growing.ceilings.get(firm, np.nan) for firm in firms]),
        prices=table[:, :, 0],
        profits=table[:, :, 1],
        retried=table[:, :, 2] > 0,
        fallback=table[:, :, 3] > 0,
        worded=table[:, :, 4] > 0,
        shown=table[:, :, 5].astype(np.int64),
        tokens=table[:, :, 6],
    )
