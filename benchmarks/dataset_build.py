"""How long a data set takes to build, proofs included: `python benchmarks/dataset_build.py [SAMPLES] [PREFERENCE ...]`.

Prints one JSON line per preference. Seconds are of CPU time in this one process, since a busy machine stretches the wall time.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from moralfit.dataset import build_dataset
from moralfit.recipe import parse_recipe

PREFERENCES: dict[str, dict[str, object]] = {
    "moralis-1": {"kind": "moralis", "kappa": 1.0},
    "moralis-0.5": {"kind": "moralis", "kappa": 0.5},
    "economicus": {"kind": "economicus"},
}


def cpu() -> str:
    """The processor's name where Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main(samples: int, preferences: list[str]) -> None:
    for name in preferences:
        data = {"train_samples": samples, "heldout_samples": 1}
        recipe = parse_recipe({"name": "benchmark", "preference": PREFERENCES[name], "data": data}, "benchmark")
        with TemporaryDirectory() as folder:
            start, wall = time.process_time(), time.perf_counter()
            build_dataset(recipe, Path(folder) / "data")
            seconds, wall = time.process_time() - start, time.perf_counter() - wall
        print(
            json.dumps(
                {
                    "preference": name,
                    "samples": samples,
                    "cpu seconds": round(seconds, 1),
                    "wall seconds": round(wall, 1),
                    "cpu ms/sample": round(1000 * seconds / samples, 3),
                    "machine": f"{cpu()}, {os.cpu_count()} cores, Python {platform.python_version()}",
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, sys.argv[2:] or list(PREFERENCES))
