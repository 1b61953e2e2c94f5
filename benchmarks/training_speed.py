"""Training tokens per second: moralfit's trainer against TRL's SFTTrainer, which is what `trl sft` runs.

    python benchmarks/training_speed.py --steps 20 --batch-size 8

Both get the same rows in the same batches, the same weights, LoRA, learning rate and seed, in one process; each the attention
that it chooses by itself, which on a CPU is transformers' own for moralfit and torch's fused one for TRL. They take turns for
`--rounds` rounds, so that whatever else the machine does slows both. Losses are printed side by side.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from moralfit.console import quiet_libraries, silence_progress_bars
from moralfit.dataset import row, samples
from moralfit.models import Base, environment, load_base, release_memory
from moralfit.recipe import Recipe, parse_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--base", default="embedded")
    given = parser.parse_args()
    silence_progress_bars()
    from datasets import Dataset

    recipe = parse_recipe(
        {
            "name": "benchmark",
            "preference": {"kind": "moralis", "kappa": 1.0},
            "model": {"base": given.base},
            "data": {"train_samples": given.steps * given.batch_size},
            "training": {"batch_size": given.batch_size, "log_every": 1, "trl": {"save_strategy": "no"}},
        },
        "benchmark",
    )
    rows = Dataset.from_list([row(sample, None) for sample in samples(recipe, "train")])
    names, tokens = ("moralfit", "trl"), 0
    seconds: dict[str, list[float]] = {name: [] for name in names}
    losses: dict[str, list[float]] = {}
    for turn in range(given.rounds):
        # Who goes first changes from round to round.
        for name in names if turn % 2 == 0 else names[::-1]:
            base = load_base(recipe.model, training=name == "moralfit")
            spent, losses[name], tokens = trained(name, base, recipe, rows)
            seconds[name].append(spent)
            release_memory()
    machine = environment(base.machine)
    print(f"machine: {machine['cpu']}, {machine['cores']} cores, GPU {machine['gpu'] or 'none'}, {machine['dtype']}")
    print(f"{len(rows)} rows, {tokens:,} tokens, batches of {given.batch_size}, {base.name}, {given.rounds} rounds")
    print("step  moralfit  trl")
    for step, (ours, theirs) in enumerate(zip(losses["moralfit"], losses["trl"], strict=True), 1):
        print(f"{step:4}  {ours:8.4f}  {theirs:.4f}")
    for name in names:
        each = ", ".join(f"{tokens / spent:.0f}" for spent in seconds[name])
        print(f"{name}: {tokens * given.rounds / sum(seconds[name]):.0f} tokens/s (by round: {each})")
    print(f"ratio: {sum(seconds['trl']) / sum(seconds['moralfit']):.2f}")


def trained(name: str, base: Base, recipe: Recipe, rows: Any) -> tuple[float, list[float], int]:
    """Seconds between the first step's beginning and the last one's end, the loss of each step, and the tokens."""
    from transformers import TrainerCallback
    from transformers.trainer_callback import PrinterCallback
    from trl import SFTTrainer

    from moralfit.train._trainer import build_trainer

    times: list[float] = []
    losses: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            times.append(time.perf_counter())

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            times.append(time.perf_counter())
            if "loss" in logs:
                losses.append(float(logs["loss"]))

    with tempfile.TemporaryDirectory() as folder:
        trainer: Any = build_trainer(base, recipe.lora, recipe.training, recipe.seed, rows, Path(folder), [])
        tokens = sum(len(ids) for ids in trainer.train_dataset["input_ids"])
        if name == "trl":
            stock = SFTTrainer(
                model=trainer.model, args=trainer.args, train_dataset=trainer.train_dataset, processing_class=base.tokenizer
            )
            # The same batches: the stock sampler groups by length in another order.
            stock._get_train_sampler = trainer._get_train_sampler
            stock.remove_callback(PrinterCallback)
            trainer = stock
        trainer.add_callback(Clock())
        trainer.train()
    return times[-1] - times[0], losses, tokens


if __name__ == "__main__":
    quiet_libraries()
    main()
