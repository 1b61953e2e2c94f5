"""Seconds to estimate on 18,720 choices, pooled and as three types, next to an independent package.

    OMP_NUM_THREADS=1 python benchmarks/estimation_speed.py [--data FOLDER] [--runs 9] [--no-independent]

FOLDER holds the files that `moralfit.estimate.load_bruhin2019` names; without it, or where it is missing, choices of the same
shape are simulated (160 agents, 117 pairs of allocations, three types). The independent package is xlogit, which gets one line
for each allocation of each choice, and once more the choices collapsed to counts, as moralfit does it by itself.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moralfit.estimate import Choices, allocation_choices, estimate, mixture
from moralfit.models import cpu_name

if TYPE_CHECKING:
    import pandas as pd

#: Shares and (a, b, g, d, sigma) of the simulated population: near what Bruhin, Fehr and Schunk (2019) print.
TYPES = [
    (0.405, (0.159, 0.463, 0.151, -0.054, 0.018)),
    (0.474, (0.065, 0.130, -0.001, -0.027, 0.032)),
    (0.121, (-0.435, -0.145, 0.171, -0.075, 0.008)),
]


def simulated(agents: int = 160, pairs: int = 117, seed: int = 0) -> pd.DataFrame:
    """A table of choices between allocations with the columns of `choices_session1.csv`."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    own, other = rng.integers(10, 120, (2, pairs, 2)) * 10.0
    kind = rng.integers(3, size=pairs)  # the other was kind before, unkind, or had no say
    weights = np.array([values for _, values in TYPES])[rng.choice(3, size=agents, p=[share for share, _ in TYPES])]
    a, b, g, d, sigma = weights.T[:, :, None, None]
    behind, ahead = own < other, own > other
    w = a * behind + b * ahead + g * (kind == 1)[:, None] + d * (kind == 2)[:, None]
    u = sigma * ((1 - w) * own + w * other)  # (agents, pairs, 2)
    chosen = rng.random((agents, pairs)) < 1 / (1 + np.exp(u[:, :, 1] - u[:, :, 0]))
    sid, pair = (index.ravel() for index in np.indices((agents, pairs)))
    columns = {"sid": sid, "choice_x": chosen.ravel().astype(int)}
    for k, side in enumerate("xy"):
        columns |= {f"self_{side}": own[pair, k], f"other_{side}": other[pair, k]}
        columns |= {f"s_{side}": behind[pair, k].astype(int), f"r_{side}": ahead[pair, k].astype(int)}
    return pd.DataFrame({**columns, "q": (kind == 1)[pair].astype(int), "v": (kind == 2)[pair].astype(int)})


def table(folder: Path | None) -> tuple[pd.DataFrame, str]:
    """The choices as a table, and what they are."""
    import pandas as pd

    if folder is None or not (folder / "choices_session1.csv").is_file():
        return simulated(), "simulated choices of the same shape"
    frame = pd.read_csv(folder / "choices_session1.csv")
    excluded = [int(line) for line in (folder / "excluded_subjects.csv").read_text().split() if line.isdigit()]
    return frame[~frame["sid"].isin(excluded)], "Bruhin, Fehr and Schunk (2019), session 1"


def seconds(task: Callable[[], Any], runs: int) -> tuple[float, Any]:
    """The median of several runs, a first one not counted, and what the last returned."""
    found, times = task(), []
    for _ in range(runs):
        start = time.perf_counter()
        found = task()
        times.append(time.perf_counter() - start)
    return statistics.median(times), found


def xlogit_fit(x: Any, chosen: Any, weights: Any = None) -> Any:
    """The same model by xlogit; `x` (choices, 2, features), payoffs in hundreds of points."""
    model = import_module("xlogit").MultinomialLogit()
    n = len(x)
    model.fit(
        x.reshape(2 * n, -1),
        (np.arange(2) == chosen[:, None]).astype(int).ravel(),
        varnames=list("pabgd"),
        alts=np.tile([0, 1], n),
        ids=np.repeat(np.arange(n), 2),
        weights=None if weights is None else np.repeat(weights, 2),
        verbose=0,
    )
    return model


def machine() -> str:
    """Hardware and versions."""
    packages = []
    for package in ("numpy", "scipy", "xlogit"):
        try:
            packages.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            packages.append(f"no {package}")
    threads = os.environ.get("OMP_NUM_THREADS", "any number of")
    packages.insert(0, f"Python {platform.python_version()}")
    return f"{cpu_name()}, {threads} thread(s); {', '.join(packages)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the files of Bruhin, Fehr and Schunk")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--mixture-runs", type=int, default=3)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--no-independent", action="store_true")
    given = parser.parse_args()
    frame, what = table(given.data)
    choices: Choices = allocation_choices(frame)
    print(f"{what}: {choices.n:,.0f} choices of {len(choices.agent_names)} agents in {len(choices.situations)} situations")
    print(f"{machine()}; medians of {given.runs} runs, of {given.mixture_runs} for the mixture\n")
    rows: list[tuple[str, float, str]] = []
    pooled, one = seconds(lambda: estimate(choices), given.runs)
    whole, _ = seconds(lambda: estimate(allocation_choices(frame)), given.runs)
    types, three = seconds(lambda: mixture(choices, 3, starts=given.starts), given.mixture_runs)
    rows.append(("moralfit, pooled", pooled, f"log-likelihood {one.loglik:.4f}, {one.status}"))
    rows.append(("moralfit, pooled, with reading the data frame", whole, ""))
    said = f"log-likelihood {three.loglik:.4f}, {'converged' if three.converged else 'NOT CONVERGED'}"
    rows.append((f"moralfit, three types, {given.starts} starts", types, said))
    if not given.no_independent and find_spec("xlogit") is not None:
        starts = choices.situation_starts
        pairs = np.stack([choices.features[starts], choices.features[starts + 1]], axis=1) / 100
        counts = choices.counts.sum(axis=0)
        situation, side = choices.situation_of_cell, choices.cell_members - starts[choices.situation_of_cell]
        each = counts.astype(int)
        lines = (np.repeat(pairs[situation], each, axis=0), np.repeat(side, each))
        long, other = seconds(lambda: xlogit_fit(*lines), given.runs)
        rows.append((f"xlogit, {len(lines[0]):,} choices", long, f"log-likelihood {other.loglikelihood:.4f}"))
        short, collapsed = seconds(lambda: xlogit_fit(pairs[situation], side, counts), given.runs)
        rows.append((f"xlogit, {len(counts)} weighted lines", short, f"log-likelihood {collapsed.loglikelihood:.4f}"))
        rows.append(("ratio, choice by choice", long / whole, "xlogit / moralfit with reading"))
        rows.append(("ratio, both on counts", short / pooled, "xlogit / moralfit"))
    print("| what | median | |\n| --- | ---: | --- |")
    for label, value, note in rows:
        shown = f"{value:.1f}" if label.startswith("ratio") else f"{1000 * value:.1f} ms" if value < 1 else f"{value:.2f} s"
        print(f"| {label} | {shown} | {note} |")


if __name__ == "__main__":
    main()
