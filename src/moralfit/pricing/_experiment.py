"""An experiment from start to end: all runs advance together, one batch an agent and period, and every period is on disk once
played.

A folder holds `experiment.yaml` (the recipe as resolved), `settings.json` (agents and markets with their benchmarks),
`records.jsonl` (one line for each firm and period) and `timings.jsonl` (seconds, which differ each time, and so are no part of
the records).
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from moralfit.errors import RecipeError, RunError
from moralfit.files import read_json, write_json, write_text
from moralfit.pricing._agents import Decision, Period, PricingAgent, View
from moralfit.pricing._benchmarks import benchmarks
from moralfit.pricing._cast import Cast, build_cast
from moralfit.pricing._language import LanguageFirm
from moralfit.pricing._market import LogitMarket
from moralfit.pricing._recipe import PricingRecipe, RunPlan, load_pricing_recipe, plan

#: Version of the records and settings; raised when a field changes its meaning.
SCHEMA = 1
#: What may differ between two calls that continue the same experiment: where and how fast it is played, and for how long, which
#: no firm is told.
_FREE = ("output", "model.device", "model.attention", "decoding.batch_size", "periods")
#: Where models run changes what agents were made from, which is compared apart.
_PLACE = "serve."

Record = dict[str, Any]


@dataclass
class _Course:
    """A run while it is played: its history, and what each firm wrote last."""

    plan: RunPlan
    history: list[Period] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.notes = [("", "")] * self.plan.market.n

    def view(self, firm: int, period: int) -> View:
        own = self.plan
        seed = own.seed_of(firm, period)
        return View(own.id, firm, period, own.market, own.ceilings[firm], self.history, self.notes[firm], seed)

    def advance(self, period: Period, notes: Sequence[tuple[str, str]]) -> None:
        self.history.append(period)
        self.notes = list(notes)


def run_experiment(
    recipe: PricingRecipe,
    out: Path,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda text: None,
    cast: Callable[[PricingRecipe, Sequence[RunPlan], Callable[[str], None]], Cast] | None = None,
) -> bool:
    """Plays what is missing of an experiment.

    Args:
        out: The experiment's folder.
        overwrite: Delete an earlier experiment there, once all agents are loaded: what keeps this one from beginning leaves
            that one as it was.
        progress: Called with the periods played and the periods in all. say: Prints a line.
        cast: Builds the agents; by default :func:`build_cast`.

    Returns:
        Whether anything was played; False if the experiment was finished already.

    Raises:
        RunError: The folder holds another experiment, or cannot be written. Others: as building the agents raises them, and
            whatever an agent raises; the periods before are on disk, and the same call goes on.
    """
    aside = _set_aside(out) if overwrite else None
    try:
        begun = _begin(recipe, out, progress, say, cast)
    except BaseException:
        if aside is not None:
            shutil.rmtree(out, ignore_errors=True)
            aside.rename(out)
        raise
    if aside is not None:
        shutil.rmtree(aside)
    if begun is None:
        return False
    courses, players, done = begun
    _play(recipe, out, courses, players.agents, done, progress)
    if players.server is not None:
        write_json(out / "settings.json", {**read_json(out / "settings.json"), "served": players.server.account()})
    return True


def _begin(
    recipe: PricingRecipe,
    out: Path,
    progress: Callable[[int, int], None],
    say: Callable[[str], None],
    cast: Callable[[PricingRecipe, Sequence[RunPlan], Callable[[str], None]], Cast] | None,
) -> tuple[list[_Course], Cast, int] | None:
    """All that comes before the first period that is played: runs, agents, and periods played before; None if all are."""
    _claim(recipe, out)
    courses = [_Course(run) for run in plan(recipe)]
    done = _restore(out / "records.jsonl", courses, say)
    if done > recipe.periods:
        raise RunError(f"{out}: {done} periods are played already; raise periods to go on, or pass --overwrite to start anew")
    write_text(out / "experiment.yaml", recipe.as_yaml())
    progress(done, recipe.periods)
    if done == recipe.periods:
        return None
    if done:
        say(f"{out}: {done} of {recipe.periods} periods are there; going on")
    runs = [course.plan for course in courses]
    players = build_cast(recipe, runs, say, out) if cast is None else cast(recipe, runs, say)
    _settle(recipe, out, players, done, courses)
    return courses, players, done


def _set_aside(out: Path) -> Path | None:
    """Moves an earlier experiment to a hidden folder beside, where a kill leaves it too; None if there is none.

    Raises:
        RunError: The folder holds something else.
    """
    aside = out.with_name(f".{out.name}.replaced")
    if aside.exists():
        # A kill left it there: it is put back, unless a later experiment has begun since.
        shutil.rmtree(aside) if out.exists() else aside.rename(out)
    if not out.exists():
        return None
    if not out.is_dir() or (not (out / "experiment.yaml").exists() and any(out.iterdir())):
        raise RunError(f"{out}: not the folder of a pricing experiment; it is not overwritten. Choose another --out")
    return out.rename(aside)


def _claim(recipe: PricingRecipe, out: Path) -> None:
    """Takes the folder for this experiment, or finds that it is this one's already."""
    stored = out / "experiment.yaml"
    if not stored.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise RunError(f"{out}: exists and is not the folder of a pricing experiment; move it away or choose another --out")
        return
    try:
        earlier = load_pricing_recipe(stored)
    except RecipeError as error:
        raise RunError(f"{stored}: damaged; pass --overwrite to delete that experiment and start anew ({error})") from None
    one, other = _flat(yaml.safe_load(earlier.as_yaml())), _flat(yaml.safe_load(recipe.as_yaml()))
    differing = [key for key in dict.fromkeys([*one, *other]) if one.get(key) != other.get(key)]
    changed = [key for key in differing if key not in _FREE and not key.startswith(_PLACE)]
    if changed:
        raise RunError(
            f"{out}: holds another experiment (differs in {', '.join(changed)}). Give this one another name (name=...) or "
            "--out, or pass --overwrite to delete that one"
        )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted keys; an agent that is missing differs as a whole."""
    if not isinstance(value, dict):
        return {prefix.rstrip("."): value}
    return {key: inner for name, part in value.items() for key, inner in _flat(part, f"{prefix}{name}.").items()}


def _settle(recipe: PricingRecipe, out: Path, players: Cast, done: int, courses: Sequence[_Course]) -> None:
    """Writes the settings; agents of a continued experiment must be what they were."""
    path = out / "settings.json"
    now = {name: described["fingerprint"] for name, described in players.described.items()}
    notes = [] if players.server is None else players.server.notes
    if done:
        earlier = read_json(path)
        listed = earlier.get("agents") if isinstance(earlier, dict) else None
        was = {a.get("key"): a.get("fingerprint") for a in listed if isinstance(a, dict)} if isinstance(listed, list) else {}
        if changed := [name for name in now if now[name] != was.get(name)]:
            raise RunError(
                f"{out}: {', '.join(changed)} changed since the experiment began, such as by a new training; pass --overwrite "
                "to start anew, or choose another --out"
            )
        # The periods before were played with what they warn of, whoever answers now.
        notes = list(dict.fromkeys([*earlier.get("notes", []), *notes]))
    markets = {course.plan.market.scale: course.plan.market for course in courses}
    write_json(
        path,
        {
            "schema": SCHEMA,
            "agents": [{"key": name, **described} for name, described in players.described.items()],
            "markets": [_described(market) for market in markets.values()],
            "runs": len(courses),
            "notes": notes,
        },
    )


def _described(market: LogitMarket) -> dict[str, Any]:
    return {**asdict(market), "benchmarks": asdict(benchmarks(market))}


def _play(
    recipe: PricingRecipe,
    out: Path,
    courses: Sequence[_Course],
    agents: Mapping[str, PricingAgent],
    done: int,
    progress: Callable[[int, int], None],
) -> None:
    seats = [(number, firm) for number, course in enumerate(courses) for firm in range(course.plan.market.n)]
    for period in range(done + 1, recipe.periods + 1):
        decisions: dict[tuple[int, int], Decision] = {}
        prompts: dict[tuple[int, int], str] = {}
        seconds: dict[str, float] = {}
        for name, agent in agents.items():
            own = [(number, firm) for number, firm in seats if courses[number].plan.agents[firm] == name]
            views = [courses[number].view(firm, period) for number, firm in own]
            start = time.perf_counter()
            decisions.update(zip(own, agent.decide(views), strict=True))
            seconds[name] = round(time.perf_counter() - start, 3)
            if recipe.keep_prompts and isinstance(agent, LanguageFirm):
                prompts.update((seat, agent.prompt(view).text) for seat, view in zip(own, views, strict=True))
        lines = []
        for number, course in enumerate(courses):
            firms = range(course.plan.market.n)
            made = [decisions[number, firm] for firm in firms]
            happened = _period(course.plan.market, [decision.price for decision in made])
            lines += [_record(course.plan, period, firm, made[firm], happened, prompts.get((number, firm))) for firm in firms]
            course.advance(happened, [(decision.plans, decision.insights) for decision in made])
        _append(out / "records.jsonl", lines)
        counts = {name: sum(course.plan.agents.count(name) for course in courses) for name in agents}
        timing = {name: {"seconds": seconds[name], "decisions": counts[name]} for name in agents}
        _append(out / "timings.jsonl", [{"period": period, "agents": timing}])
        progress(period, recipe.periods)


def _period(market: LogitMarket, prices: Sequence[float]) -> Period:
    return Period(tuple(prices), tuple(market.quantities(prices).tolist()), tuple(market.profits(prices).tolist()))


def _record(run: RunPlan, period: int, firm: int, decision: Decision, happened: Period, prompt: str | None) -> Record:
    return {
        "schema": SCHEMA,
        "run": run.id,
        "pairing": run.pairing,
        "agents": list(run.agents),
        "firm": firm,
        "agent": run.agents[firm],
        "period": period,
        "scale": run.market.scale,
        "wording": run.wording,
        "replicate": run.replicate,
        "ceiling": run.ceilings[firm],
        "price": decision.price,
        "quantity": happened.quantities[firm],
        "profit": happened.profits[firm],
        "status": decision.status,
        "retries": decision.retries,
        "reply": decision.reply,
        **({} if prompt is None else {"prompt": prompt}),
        "plans": decision.plans,
        "insights": decision.insights,
        "history_shown": decision.history_shown,
        "prompt_tokens": decision.prompt_tokens,
    }


def _append(path: Path, records: Sequence[Record]) -> None:
    """Adds lines and sees to it that they are on disk.

    Raises:
        RunError: The disk is full, or the place cannot be written. What stood there before is still there; a part of a line may
            follow it, which is dropped when the experiment goes on.
    """
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    try:
        with path.open("a", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written ({error.strerror or error}); all earlier periods are there: free some space and run "
            "the same command again to go on"
        ) from None


def _restore(path: Path, courses: Sequence[_Course], say: Callable[[str], None]) -> int:
    """Brings the runs to where the records end. What follows the last whole period is cut off, and will be played again.

    Returns:
        The number of whole periods.

    Raises:
        RunError: The records cannot be read or cut.
    """
    if not path.exists():
        return 0
    expected = [(course.plan.id, firm) for course in courses for firm in range(course.plan.market.n)]
    done = whole = 0
    try:
        with path.open("rb") as file:
            while (rows := _rows(file, expected, done + 1)) is not None:
                done, whole = done + 1, file.tell()
                position = 0
                for course in courses:
                    own = rows[position : (position := position + course.plan.market.n)]
                    happened = _period(course.plan.market, [row["price"] for row in own])
                    course.advance(happened, [(row["plans"], row["insights"]) for row in own])
        rest = path.stat().st_size - whole
        if rest:
            _cut(path, whole, len(expected), done, say)
    except OSError as error:
        raise RunError(f"{path}: cannot be read or cut ({error.strerror or error})") from None
    return done


def _rows(file: Any, expected: Sequence[tuple[str, int]], period: int) -> list[Record] | None:
    """The records of the next period, or None if they are not all there as they were written."""
    found = []
    for run, firm in expected:
        line = file.readline()
        try:
            row = json.loads(line)
            fits = (row["run"], row["firm"], row["period"]) == (run, firm, period)
            if not fits or not line.endswith(b"\n") or not isinstance(row["price"], float):
                return None
            found.append({"price": row["price"], "plans": str(row["plans"]), "insights": str(row["insights"])})
        except (ValueError, KeyError, TypeError):
            return None
    return found


def _cut(path: Path, whole: int, lines: int, done: int, say: Callable[[str], None]) -> None:
    """Cuts the records after their last whole period; what is more than one period is kept beside them, for it was paid for."""
    with path.open("rb") as file:
        file.seek(whole)
        rest = file.read().count(b"\n")
    if rest >= lines:
        kept = path.with_name("records.damaged.jsonl")
        shutil.copyfile(path, kept)
        say(f"{path}: damaged in period {done + 1}; it is played again from there, and {kept.name} keeps what was there")
    os.truncate(path, whole)
