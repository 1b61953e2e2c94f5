"""Names and recipe values of the tiny model that `conftest.py` makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

TINY = "tiny-llama"
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

#: A run of six steps and a few prompts; tests change what they need.
VALUES: dict[str, Any] = {
    "name": "tiny",
    "seed": 3,
    "output": "runs",
    "model": {"base": TINY, "device": "cpu", "dtype": "float32"},
    "preference": {"kind": "moralis", "kappa": 1.0},
    "data": {"train_samples": 12, "heldout_samples": 3},
    "lora": {"r": 4, "alpha": 8},
    "training": {"epochs": 2, "batch_size": 4, "learning_rate": 0.02, "save_every": 1, "log_every": 1},
    "evaluation": {"prompts": 3, "batch_size": 4, "max_new_tokens": 8},
}

Recipes = Callable[..., Path]
