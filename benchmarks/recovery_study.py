"""Does estimation find preferences that are known? Bias, spread, standard errors and coverage over many simulated samples.

    python benchmarks/recovery_study.py --samples 500                      # prints the tables
    python benchmarks/recovery_study.py --samples 500 --write docs/estimation.md

A sample is one agent that answers the default grid (see :func:`default_grid`): 60 situations, in three forms.

- plans: 4 complete plans in each situation, 240 in all; standard errors from the information matrix.
- decisions: 480 answers to one decision each, drawn at random among a situation's decisions; the other decisions stay unseen.
- probabilities: one distribution over plans for each situation, scattered round the logit's as a Dirichlet distribution of
  concentration 20, whose mean is the logit's. It stands for probabilities that were read from a model and are not exactly a
  logit; how far they scatter is not known beforehand, so standard errors are clustered by situation.

The mixture has 90 agents who choose once in each situation; each agent's type is drawn anew for each sample.
"""

from __future__ import annotations

import os
import platform
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import scipy
import typer
from numpy.typing import NDArray
from scipy.stats import binom, chi2

from moralfit.estimate import (
    Choices,
    Design,
    Estimate,
    choice_probabilities,
    design,
    estimate,
    from_plans,
    game_key,
    mixture,
    pool,
    read_choices,
    simulate_choices,
    situations_of,
)
from moralfit.games import GAMES, REGIONS, PayoffGrid, sample_payoffs

Array: TypeAlias = NDArray[np.float64]
Form: TypeAlias = Literal["plans", "decisions", "probabilities"]

NAMES = ("alpha", "beta", "kappa", "lambda")
FORMS: tuple[Form, ...] = ("plans", "decisions", "probabilities")
#: Whom to recover: alpha, beta, kappa and lambda (points; the grid's payoffs are 1 to 20).
POINTS: dict[str, tuple[float, float, float, float]] = {
    "homo economicus": (0.0, 0.0, 0.0, 1.5),
    "homo moralis": (0.0, 0.0, 0.5, 1.5),
    "homo kantiensis": (0.0, 0.0, 1.0, 1.5),
    "inequity-averse": (0.6, 0.3, 0.0, 1.5),
    "mixed": (0.3, 0.2, 0.4, 1.5),
    "mixed, noisy": (0.3, 0.2, 0.4, 4.0),
}
#: The population of the mixture: share, then alpha, beta, kappa, lambda.
TYPES: dict[str, tuple[float, tuple[float, float, float, float]]] = {
    "homo economicus": (0.4, (0.0, 0.0, 0.0, 1.5)),
    "homo moralis": (0.35, (0.0, 0.0, 0.6, 1.5)),
    "inequity-averse": (0.25, (0.6, 0.4, 0.0, 2.0)),
}
PLANS, DECISIONS, CONCENTRATION, PEOPLE = 4, 8, 20.0, 90
START, END = "<!-- recovery study: begin -->", "<!-- recovery study: end -->"


def values_of(point: Sequence[float]) -> dict[str, float]:
    """By name."""
    return dict(zip(NAMES, map(float, point), strict=True))


@cache
def default_grid() -> Design:
    """Sixty situations, D-optimal among 267 for the five preferences of :data:`POINTS` at once.

    Candidates are ten games of each of the three training families in each payoff region (T + S above, at and below 2R) with
    payoffs 1 to 20 (less those drawn twice), each with three beliefs: others take the first action with probability 0.2, 0.5 or
    0.8. Own payoff depends on the belief and pi(x, x) does not, which tells kappa apart; the regions turn what universalising
    asks for; and no single preference is favoured.
    """
    rng = random.Random(0)
    drawn = [
        GAMES[name](*sample_payoffs(rng, PayoffGrid(1, 20), where)) for name in GAMES for where in REGIONS for _ in range(10)
    ]
    candidates = situations_of(list(dict.fromkeys(drawn)), (0.2, 0.5, 0.8))
    return design(candidates, 60, at=[values_of(point) for point in list(POINTS.values())[:5]])


@cache
def decision_cells() -> tuple[Choices, tuple[tuple[tuple[int, NDArray[np.intp]], ...], ...]]:
    """Every answer to every decision of the grid once; and by situation its decisions: first cell, answer of each plan."""
    import pandas as pd

    situations = default_grid().situations
    rows: list[dict[str, Any]] = []
    decisions = []
    for game, belief in situations:
        here = []
        for place, information in enumerate(game.information_sets):
            answers = np.array([information.actions.index(plan[place]) for plan in game.plans()])
            here.append((len(rows), answers))
            rows += [
                {"agent": "agent", "game": game_key(game), "decision": information.name, "action": action, "belief": belief}
                for action in information.actions
            ]
        decisions.append(tuple(here))
    template = read_choices(pd.DataFrame(rows), games={game_key(game): game for game, _ in situations})
    if template.counts.shape != (1, len(rows)) or (template.counts != 1).any():
        raise RuntimeError("answers and cells no longer correspond")
    return template, tuple(decisions)


def draw(form: Form, point: Mapping[str, float], seed: int) -> Choices:
    """One sample of one agent."""
    situations = default_grid().situations
    if form == "plans":
        return simulate_choices(point, point["lambda"], situations, repeats=PLANS, seed=seed)
    rng = np.random.default_rng(seed)
    shares = choice_probabilities(point, point["lambda"], situations)
    if form == "probabilities":
        return from_plans(situations, [rng.dirichlet(CONCENTRATION * p) for p in shares])
    template: Choices
    template, decisions = decision_cells()
    counts = np.zeros_like(template.counts)
    for p, here in zip(shares, decisions, strict=True):
        plans = rng.choice(len(p), size=DECISIONS, p=p)
        asked = rng.integers(len(here), size=DECISIONS)
        for plan, which in zip(plans, asked, strict=True):
            first, answers = here[which]
            counts[0, first + answers[plan]] += 1
    return replace(template, counts=counts)


def seed_of(seed: int, *path: int) -> int:
    """A child seed that does not depend on which process draws the sample."""
    return int(np.random.SeedSequence([seed, *path]).generate_state(1)[0])


@dataclass(frozen=True)
class Sample:
    """What became of one sample: NaN where there is no estimate. `profile`: whether the profile interval covers."""

    status: str
    found: tuple[float, ...]
    se: tuple[float, ...]
    covers: tuple[bool, ...]
    profile: tuple[bool, ...] | None = None


def fit(form: Form, choices: Choices, **options: Any) -> Estimate:
    """The estimate that the documentation recommends for this form."""
    if form == "probabilities":
        return estimate(choices, standard_errors="cluster", cluster="situation", **options)
    return estimate(choices, **options)


def one_sample(number: int, *, form: Form, place: int, seed: int, profile: bool) -> Sample:
    truth = values_of(list(POINTS.values())[place])
    choices = draw(form, truth, seed_of(seed, FORMS.index(form), place, number))
    found = fit(form, choices)
    covers = tuple(low <= truth[name] <= high for name, (low, high) in ((n, found.intervals[n]) for n in NAMES))
    inside = None
    if profile and found.converged:
        # A profile-likelihood interval covers the truth iff the likelihood-ratio test does not reject it.
        limit = float(chi2.ppf(0.95, 1)) / 2
        inside = tuple(found.loglik - estimate(choices, fixed={name: truth[name]}).loglik <= limit for name in NAMES)
    return Sample(
        found.status,
        tuple(found.parameters[n] for n in NAMES),
        tuple(found.se.get(n, float("nan")) for n in NAMES),
        covers,
        inside,
    )


@dataclass(frozen=True)
class Row:
    """One line of the table: a parameter of one point in one form. Coverage is among converged samples."""

    form: str
    point: str
    parameter: str
    truth: float
    bias: float
    rmse: float
    mean_se: float
    empirical_se: float
    coverage: float
    converged: int
    samples: int
    profile: float | None = None


def summarise(form: str, point: str, truth: Mapping[str, float], samples: Sequence[Sample]) -> list[Row]:
    good = [sample for sample in samples if sample.status == "converged"]
    if not good:
        raise SystemExit(f"{form}, {point}: none of {len(samples)} samples has an estimate")
    found, se = np.array([s.found for s in good]), np.array([s.se for s in good])
    covers = np.array([s.covers for s in good])
    profiles = np.array([s.profile for s in good]) if good[0].profile is not None else None
    return [
        Row(
            form,
            point,
            name,
            truth[name],
            float((found[:, k] - truth[name]).mean()),
            float(np.sqrt(((found[:, k] - truth[name]) ** 2).mean())),
            float(se[:, k].mean()),
            float(found[:, k].std(ddof=1)) if len(good) > 1 else float("nan"),
            float(covers[:, k].mean()),
            len(good),
            len(samples),
            None if profiles is None else float(profiles[:, k].mean()),
        )
        for k, name in enumerate(NAMES)
    ]


Mapper: TypeAlias = Callable[[Callable[[int], Any], range], Sequence[Any]]


def serial(function: Callable[[int], Any], numbers: range) -> Sequence[Any]:
    """In this process."""
    return [function(number) for number in numbers]


def study(
    samples: int,
    seed: int = 0,
    forms: Sequence[Form] = FORMS,
    points: Sequence[str] = tuple(POINTS),
    profile: bool = False,
    run: Mapper = serial,
) -> list[Row]:
    """The table for agents with one preference."""
    rows = []
    for form in forms:
        for name in points:
            place = list(POINTS).index(name)
            # A likelihood ratio means nothing for weights that are no counts.
            task = partial(one_sample, form=form, place=place, seed=seed, profile=profile and form != "probabilities")
            rows += summarise(form, name, values_of(POINTS[name]), run(task, range(samples)))
    return rows


@dataclass(frozen=True)
class Population:
    """One sample of the mixture, types in the order of :data:`TYPES`; NaN where it did not converge."""

    converged: bool
    found: Array  # (types, share and parameters)
    se: Array
    right: float


def one_population(number: int, *, seed: int, starts: int) -> Population:
    rng = np.random.default_rng(seed_of(seed, 99, number))
    truths = [values_of(point) for _, point in TYPES.values()]
    sizes = rng.multinomial(PEOPLE, [share for share, _ in TYPES.values()])
    groups = [
        simulate_choices(
            truth, truth["lambda"], default_grid().situations, int(size), seed=int(rng.integers(2**31)), prefix=f"{k}:"
        )
        for k, (truth, size) in enumerate(zip(truths, sizes, strict=True))
        if size
    ]
    found = mixture(pool(*groups), len(TYPES), starts=starts, seed=number)
    if not found.converged:
        empty = np.full((len(TYPES), 1 + len(NAMES)), np.nan)
        return Population(False, empty, empty, float("nan"))
    values = np.array([[share, *(one[n] for n in NAMES)] for share, one in zip(found.shares, found.types, strict=True)])
    errors = np.array([[share, *(one[n] for n in NAMES)] for share, one in zip(found.share_se, found.se, strict=True)])
    wanted = np.array([[truth[n] for n in NAMES] for truth in truths])
    # Types have no names: they are matched to the truth by their parameters.
    order = list(min(permutations(range(len(TYPES))), key=lambda p: float(np.abs(values[list(p), 1:] - wanted).sum())))
    true_type = np.array([int(agent.partition(":")[0]) for agent in found.agents])
    right = float((found.membership[:, order].argmax(axis=1) == true_type).mean())
    return Population(True, values[order], errors[order], right)


def population_study(samples: int, seed: int = 0, starts: int = 5, run: Mapper = serial) -> tuple[list[Row], float]:
    """The table for the mixture, and the share of agents whose most probable type is theirs."""
    ended: Sequence[Population] = run(partial(one_population, seed=seed, starts=starts), range(samples))
    good = [one for one in ended if one.converged]
    if not good:
        raise SystemExit(f"none of {samples} mixtures converged")
    rows = []
    for k, (name, (share, point)) in enumerate(TYPES.items()):
        for j, parameter in enumerate(("share", *NAMES)):
            truth = share if parameter == "share" else values_of(point)[parameter]
            found, se = np.array([(one.found[k, j], one.se[k, j]) for one in good]).T
            # As Estimate.interval: normal, for lambda on the log scale.
            away = found * np.log(found / truth) if parameter == "lambda" else found - truth
            rows.append(
                Row(
                    "mixture",
                    name,
                    parameter,
                    truth,
                    float((found - truth).mean()),
                    float(np.sqrt(((found - truth) ** 2).mean())),
                    float(se.mean()),
                    float(found.std(ddof=1)) if len(good) > 1 else float("nan"),
                    float((np.abs(away) <= 1.959964 * se).mean()),
                    len(good),
                    samples,
                )
            )
    return rows, float(np.mean([one.right for one in good]))


def line(*cells: str) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def coverages(rows: Sequence[Row]) -> str:
    """Coverage in percent, a row for each agent; after a stroke that of the profile-likelihood interval, where asked for."""
    lines = [line("input", "agent", *NAMES, "without an estimate"), line("---", "---", *["---:"] * 5)]
    for form, point in dict.fromkeys((row.form, row.point) for row in rows):
        here = {row.parameter: row for row in rows if (row.form, row.point) == (form, point)}
        cells = [
            f"{100 * row.coverage:.1f}" + ("" if row.profile is None else f" / {100 * row.profile:.1f}")
            for row in (here[name] for name in NAMES)
        ]
        lost = here["kappa"].samples - here["kappa"].converged
        lines.append(line(form, point, *cells, f"{lost} of {here['kappa'].samples}"))
    return "\n".join(lines)


def details(rows: Sequence[Row], coverage: bool) -> str:
    """Bias, spread and standard errors, a row for each parameter."""
    names = ["input", "agent", "parameter", "true", "bias", "RMSE", "mean se", "empirical se"] + ["coverage"] * coverage
    lines = [line(*names), line(*["---"] * 3, *["---:"] * (len(names) - 3))]
    for row in rows:
        numbers = [f"{v:.3f}" for v in (row.bias, row.rmse, row.mean_se, row.empirical_se)]
        covered = [f"{100 * row.coverage:.1f}"] * coverage
        lines.append(line(row.form, row.point, row.parameter, f"{row.truth:g}", *numbers, *covered))
    return "\n".join(lines)


def by_chance(n: int, low: float, high: float) -> float:
    """The probability that n samples of an interval that covers 95 % give a share outside [low, high]."""
    most, least = np.floor(high * n + 1e-9), np.ceil(low * n - 1e-9)
    return 1 - float(binom.cdf(most, n, 0.95) - binom.cdf(least - 1, n, 0.95))


def verdict(rows: Sequence[Row], low: float = 0.93, high: float = 0.97) -> str:
    """How many intervals cover as often as they should, which do not, and how many chance alone would put there."""
    outside = [row for row in rows if not low - 1e-9 <= row.coverage <= high + 1e-9]
    said = f"{len(rows) - len(outside)} of {len(rows)} intervals cover {100 * low:.0f} to {100 * high:.0f} %; if all covered "
    said += f"exactly 95 %, this number of samples would put {sum(by_chance(r.converged, low, high) for r in rows):.1f} outside"
    names = [f"{row.form}, {row.point}, {row.parameter} {100 * row.coverage:.1f} %" for row in outside]
    shown = "; ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return f"{said}. Outside: {shown or 'none'}."


def machine() -> str:
    """The processor's name where Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}"
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, {versions}"


def main(
    samples: Annotated[int, typer.Option(help="Samples of each agent and form.")] = 500,
    populations: Annotated[int | None, typer.Option(help="Samples of the mixture; as many as --samples if not given.")] = None,
    seed: int = 0,
    processes: Annotated[int, typer.Option(help="1: this process alone. The figures do not depend on it.")] = 1,
    starts: Annotated[int, typer.Option(help="Random starts of each mixture.")] = 5,
    form: Annotated[list[str] | None, typer.Option(help="plans, decisions or probabilities; all if not given.")] = None,
    profile: Annotated[bool, typer.Option(help="Also the coverage of profile-likelihood intervals.")] = False,
    write: Annotated[Path | None, typer.Option(help="A Markdown file whose part between the markers is replaced.")] = None,
) -> None:
    """Prints bias, RMSE, standard errors and coverage of 95 % intervals for agents with known preferences."""
    if samples < 2 or processes < 1:
        raise typer.BadParameter("samples must be at least 2 and processes at least 1")
    if unknown := [name for name in form or () if name not in FORMS]:
        raise typer.BadParameter(f"unknown form {', '.join(unknown)}; there are {', '.join(FORMS)}")
    if write is not None and not (write.is_file() and START in write.read_text(encoding="utf-8")):
        raise typer.BadParameter(f"{write} has no line {START}")
    count = samples if populations is None else populations
    begun, cpu = time.perf_counter(), time.process_time()
    forms = tuple(name for name in FORMS if form is None or name in form)
    with ProcessPoolExecutor(processes) as pooled:

        def spread(function: Callable[[int], Any], numbers: range) -> Sequence[Any]:
            return list(pooled.map(function, numbers, chunksize=10))

        run = serial if processes == 1 else spread
        rows = study(samples, seed, forms, profile=profile, run=run)
        types, right = population_study(count, seed, starts, run) if count else ([], float("nan"))
    minutes = (time.perf_counter() - begun) / 60
    grid = default_grid()
    asked = " ".join(["python benchmarks/recovery_study.py", f"--samples {samples}", *(["--profile"] if profile else [])])
    parts = [
        f"`{asked}`: seed {seed}, {minutes:.1f} minutes with {processes} process{'es' * (processes > 1)}"
        + (f", {(time.process_time() - cpu) / 60:.1f} of CPU" if processes == 1 else "")
        + f"; {machine()}. The grid: {len(grid.situations)} situations; of plans spread over all candidates "
        f"{1 / grid.efficiency:.2f} times as many would be needed.",
        f"Coverage of 95 % intervals in percent{', normal / profile likelihood' if profile else ''}, {samples} samples:",
        coverages(rows),
        verdict(rows),
        "<details><summary>Bias, RMSE and standard errors</summary>",
        details(rows, coverage=False),
        "</details>",
    ]
    if types:
        lost = count - types[0].converged
        parts += [
            f"Three types, {PEOPLE} agents, {len(grid.situations)} choices each, {count} samples, {starts} starts each:",
            details(types, coverage=True),
            f"{verdict(types)} Without an estimate: {lost} of {count}. Agents whose most probable type is their true one: "
            f"{100 * right:.1f} %.",
        ]
    text = "\n\n".join(parts)
    print(text)
    if write is not None:
        before, _, rest = write.read_text(encoding="utf-8").partition(START)
        write.write_text(f"{before}{START}\n\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
