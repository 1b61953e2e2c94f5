"""What the page says about the run itself: what was trained, on what, where, how it went, and how to load it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from moralfit.report._evaluation import Panel
from moralfit.report._figures import curve
from moralfit.report._format import count, game_title, minutes, settings
from moralfit.report._load import RunFolder, Step


@dataclass(frozen=True)
class ShortcutTable:
    """Rules that ignore what matters, best first, with their score on each part of the data set."""

    parts: tuple[str, ...]
    lines: tuple[tuple[str, tuple[float | None, ...]], ...]

    @property
    def has_open(self) -> bool:
        """Whether some part is only the open decisions of another."""
        return any(part.endswith(", open") for part in self.parts)


def base_model(folder: RunFolder) -> str | None:
    """The base model as people look it up: the recipe's name for it, or the adapter's where the recipe's is only ours."""
    model = _section(folder, "model") or {"base": (folder.recipe or {}).get("model")}
    stated = model.get("base")
    if folder.adapter_base is not None and stated in (None, "embedded"):
        return folder.adapter_base
    return None if stated is None else str(stated)


def facts(folder: RunFolder) -> list[tuple[str, str]]:
    """Terms and texts of the header; each only as far as the folder says so."""
    found = {
        "Base model": base_model(folder) or "",
        "Data": _data(folder),
        "Training": _training(folder),
        "Hardware": _hardware(folder),
        "Time": _time(folder),
    }
    return [(term, text) for term, text in found.items() if text]


def _section(folder: RunFolder, name: str) -> Mapping[str, Any]:
    section = (folder.recipe or {}).get(name)
    return section if isinstance(section, Mapping) else {}


def _counted(number: float, noun: str) -> str:
    """`1 step`, `250 steps`."""
    text = count(number)
    return f"{text} {noun}" if text == "1" else f"{text} {noun}s"


def _data(folder: RunFolder) -> str:
    data = _section(folder, "data")
    parts = []
    if isinstance(data.get("train_samples"), int):
        parts.append(f"{_counted(data['train_samples'], 'training sample')} written and proved by the solver")
    if isinstance(data.get("games"), list):
        parts.append(", ".join(game_title(str(game)).lower() for game in data["games"]))
    grid = data.get("payoffs")
    if isinstance(grid, Mapping) and {"low", "high"} <= set(grid):
        parts.append(f"payoffs {grid['low']} to {grid['high']}")
    return "; ".join(parts)


def _training(folder: RunFolder) -> str:
    lora = _section(folder, "lora")
    parts = [f"LoRA, r = {lora['r']}"] if "r" in lora else []
    if folder.steps:
        last = folder.steps[-1]
        logged = {"step": last.step, "epoch": last.epoch, "token": last.tokens}
        parts += [_counted(number, noun) for noun, number in logged.items() if number is not None]
    return ", ".join(parts)


def _hardware(folder: RunFolder) -> str:
    environment = folder.environment
    if environment is None:
        return ""
    device = "no GPU" if environment.device == "cpu" else environment.gpu or environment.device
    cores = environment.cores and _counted(environment.cores, "core")
    return ", ".join(part for part in (device, environment.cpu, cores, environment.dtype) if part)


def _time(folder: RunFolder) -> str:
    spent = folder.environment.seconds.items() if folder.environment else ()
    known = {name: seconds for name, seconds in spent if seconds is not None}
    if not known:
        return ""
    return f"{minutes(sum(known.values()))} in all: " + ", ".join(f"{name} {minutes(s)}" for name, s in known.items())


def curves(steps: tuple[Step, ...]) -> list[Panel]:
    """Loss, token accuracy and learning rate by step, as far as they were logged."""
    kinds: tuple[tuple[str, Literal["loss", "accuracy", "rate"], str, str], ...] = (
        ("loss", "loss", "Training loss", "adapter-1"),
        ("mean_token_accuracy", "accuracy", "Supervised tokens predicted", "adapter-1"),
        ("learning_rate", "rate", "Learning rate", "random"),
    )
    panels = []
    for measure, scale, title, style in kinds:
        logged = [(step.step, value) for step in steps if (value := getattr(step, measure)) is not None]
        if len(logged) > 1:
            places, values = zip(*logged, strict=True)
            panels.append(Panel(title, (curve(f"curve-{measure}", f"{title} by step", places, values, scale, style),)))
    return panels


def settings_tables(folder: RunFolder) -> list[tuple[str, list[tuple[str, str]]]]:
    """The recipe's sections as titled lists of keys and values."""
    titles = {"model": "Model", "data": "Data", "lora": "LoRA", "training": "Training", "evaluation": "Evaluation"}
    recipe = folder.recipe or {}
    found = [("Run", settings({"seed": recipe.get("seed")}))]
    found += [(title, settings(recipe.get(section))) for section, title in titles.items()]
    return [(title, lines) for title, lines in found if lines]


def shortcuts(folder: RunFolder) -> ShortcutTable | None:
    """The table of shortcuts; None if none were measured."""
    parts = {part: rules for part, rules in folder.shortcuts.items() if rules}
    if not parts:
        return None
    names = dict.fromkeys(rule for rules in parts.values() for rule in rules)
    lines = [(rule, tuple(rules.get(rule) for rules in parts.values())) for rule in names]
    lines.sort(key=lambda line: -max(score for score in line[1] if score is not None))
    return ShortcutTable(tuple(parts), tuple(lines))


def load_lines(folder: RunFolder) -> list[str]:
    """Python that loads base model and adapter."""
    place = (Path(folder.path.resolve().name) / (folder.adapter or "adapter")).as_posix()
    base = folder.adapter_base or base_model(folder)
    words = place if base in (None, "embedded") else base
    return [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        f"model = AutoModelForCausalLM.from_pretrained({json.dumps(place, ensure_ascii=False)})",
        f"tokenizer = AutoTokenizer.from_pretrained({json.dumps(words, ensure_ascii=False)})",
    ]
