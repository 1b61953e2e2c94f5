"""Tokens a second and peak memory of training, in up to four comparisons that take turns on the same rows.

    python benchmarks/training_speed.py
    python benchmarks/training_speed.py --parts trl qlora packing processes --steps 20 --batch-size 8

The parts compare

    trl        moralfit's trainer and TRL's SFTTrainer, which is what `trl sft` runs: the same batches, weights, LoRA and seed
    qlora      the base as it is and in 4 bits (model.quantize=nf4, with the optimizer that goes with it)
    packing    padded batches grouped by length, and packs of as many tokens a step
    processes  one process, and two with half of the batch each; on GPUs, one and two of them

Every turn is a process of its own, so that one's memory is not another's: on a GPU the most that torch allocated, on a CPU the
most that was resident while training. Who goes first changes from round to round, and whatever else the machine does slows all
alike. Each trainer has the attention that it chooses by itself. Tokens are those of the samples, without padding; seconds run
from the first step's beginning to the last one's end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from moralfit.console import quiet_libraries, silence_progress_bars
from moralfit.dataset import row, samples
from moralfit.models import choose_machine, environment, load_base
from moralfit.recipe import Recipe, parse_recipe

PARTS = {
    "trl": ("moralfit", "trl"),
    "qlora": ("lora", "qlora"),
    "packing": ("padded", "packed"),
    "processes": ("one", "two"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["trl"])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--base", default="embedded")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--turn", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.turn:
        take_turn(given)
        return
    recipe = recipe_of("moralfit", given)
    machine = choose_machine(recipe.model)
    found = environment(machine)
    print(f"machine: {found['cpu']}, {found['cores']} cores, GPU {found['gpu'] or 'none'}, {machine.device} in {machine.dtype}")
    print(", ".join(f"{name} {found['packages'][name]}" for name in ("torch", "transformers", "trl", "peft", "bitsandbytes")))
    print(f"{given.base}, {given.steps} steps of {given.batch_size} samples, {given.rounds} rounds")
    for part in given.parts:
        if part == "processes" and machine.device == "cuda" and gpus() < 2:
            print(f"\n{part}: needs two GPUs; left out")
            continue
        compare(part, given)


def compare(part: str, given: argparse.Namespace) -> None:
    """Runs the turns of a part and prints its table."""
    names = PARTS[part]
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(given.rounds):
        for name in names if number % 2 == 0 else names[::-1]:
            turns[name].append(run_turn(name, given))
    print(f"\n{part}: {turns[names[0]][0]['tokens']:,} tokens")
    print(f"  {'':10} {'tokens/s':>9} {'by round':>16} {'peak memory':>12} {'first loss':>11} {'last loss':>10}")
    speed = {}
    for name, rounds in turns.items():
        speed[name] = sum(turn["tokens"] for turn in rounds) / sum(turn["seconds"] for turn in rounds)
        each = ", ".join(f"{turn['tokens'] / turn['seconds']:.0f}" for turn in rounds)
        peak, losses = max(turn["peak"] for turn in rounds) / 1e9, rounds[0]["losses"]
        print(f"  {name:10} {speed[name]:9.0f} {each:>16} {peak:9.2f} GB {losses[0]:11.4f} {losses[-1]:10.4f}")
    print(f"  ratio {names[0]} / {names[1]}: {speed[names[0]] / speed[names[1]]:.2f}")


def run_turn(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """One training in a process of its own, or in two."""
    options = ["steps", "batch_size", "base", "device"]
    arguments = [text for key in options for text in (f"--{key.replace('_', '-')}", str(getattr(given, key)))]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if name == "two" else []
    # The cores are shared out; a launcher would give each process one.
    threads = max(1, (os.cpu_count() or 1) // (2 if name == "two" else 1))
    command = [sys.executable, *launch, __file__, *arguments, "--turn", name]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": str(threads)}
    )
    if done.returncode:
        sys.exit(f"{name}: {done.stderr}")
    turn: dict[str, Any] = json.loads(next(line for line in reversed(done.stdout.splitlines()) if line.startswith("{")))
    return turn


def recipe_of(name: str, given: argparse.Namespace) -> Recipe:
    training: dict[str, Any] = {"batch_size": given.batch_size, "log_every": 1, "trl": {"save_strategy": "no"}}
    if name == "two":
        training["batch_size"] = max(1, given.batch_size // 2)
    if name == "packed":
        training |= {"packing": True, "batch_size": 1}
    model = {"base": given.base, "device": given.device}
    return parse_recipe(
        {
            "name": "benchmark",
            "preference": {"kind": "moralis", "kappa": 1.0},
            "model": model | ({"quantize": "nf4"} if name == "qlora" else {}),
            "data": {"train_samples": given.steps * given.batch_size},
            "training": training,
        },
        "benchmark",
    )


def take_turn(given: argparse.Namespace) -> None:
    """Trains once and prints what it took."""
    silence_progress_bars()
    from datasets import Dataset
    from transformers import TrainerCallback
    from transformers.trainer_callback import PrinterCallback
    from trl import SFTTrainer

    from moralfit.train._trainer import build_trainer

    times: list[float] = []
    losses: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if not times:
                forget_peak()
            times.append(time.perf_counter())

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            times.append(time.perf_counter())
            if "loss" in logs:
                losses.append(float(logs["loss"]))

    recipe = recipe_of(given.turn, given)
    rows = Dataset.from_list([row(sample, None) for sample in samples(recipe, "train")])
    training = recipe.training
    if training.packing:
        # As many tokens a step as the padded batches have, in one row.
        training = training.model_copy(update={"max_length": packed_length(recipe, rows, given.batch_size)})
    base = load_base(recipe.model, training=given.turn != "trl")
    with tempfile.TemporaryDirectory() as folder:
        trainer: Any = build_trainer(base, recipe.lora, training, recipe.seed, rows, Path(folder), [])
        tokens = sum(len(ids) for ids in trainer.train_dataset["input_ids"])
        if given.turn == "trl":
            stock = SFTTrainer(
                model=trainer.model, args=trainer.args, train_dataset=trainer.train_dataset, processing_class=base.tokenizer
            )
            # The same batches: the stock sampler groups by length in another order.
            stock._get_train_sampler = trainer._get_train_sampler
            stock.remove_callback(PrinterCallback)
            trainer = stock
        trainer.add_callback(Clock())
        trainer.train()
    if int(os.environ.get("RANK", 0)) == 0:
        print(json.dumps({"seconds": times[-1] - times[0], "losses": losses, "tokens": tokens, "peak": peak()}))


def packed_length(recipe: Recipe, rows: Any, batch: int) -> int:
    """Tokens of an average padded batch, and at least of the longest sample."""
    from moralfit.models import load_tokenizer

    tokenizer = load_tokenizer(recipe.model)
    texts = [tokenizer.apply_chat_template(r["prompt"] + r["completion"], tokenize=False) for r in rows]
    lengths = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    return max(*lengths, sum(lengths) * batch // len(lengths))


def gpus() -> int:
    import torch

    return torch.cuda.device_count()


def forget_peak() -> None:
    """Begins the record of memory anew: loading is not training."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Bytes: the most that torch had allocated on this GPU, or that this process had resident."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


if __name__ == "__main__":
    quiet_libraries()
    main()
