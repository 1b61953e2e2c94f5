"""Tells secrets from other text, so that none gets into a recipe, a message, or a file that goes out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

#: What the services that a run talks to call their secrets; only these shapes can be told from other text.
_SHAPES = {
    "a Hugging Face token": r"\b(?:hf|api_org)_[A-Za-z0-9]{16,}\b",
    "an API key": r"\b(?:sk|rk)-[A-Za-z0-9_-]{20,}",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})\b",
    "an AWS key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a password in an address": r"\b[a-z][a-z0-9+.-]*://[^\s/:@\"']{1,64}:[^\s/:@\"']{1,256}@",
}
_PATTERNS = {kind: re.compile(shape) for kind, shape in _SHAPES.items()}
#: Keys whose values are secrets whatever they look like. `eos_token` and its like are none.
_KEYS = re.compile(
    r"(?:(?:hf|hub|hub_model|api|access|auth|use_auth|bearer|user|wandb)_?)?(?:token|key|secret)|passw(?:or)?d|secrets?"
)
#: A recipe has some hundred values; one that YAML's aliases unfold to millions is no recipe.
_MOST_VALUES = 20_000


def secret_in(text: str) -> str | None:
    """What kind of secret occurs in a text; None for none."""
    return next((kind for kind, pattern in _PATTERNS.items() if pattern.search(text)), None)


def without_secrets(text: str) -> str:
    """The text with every secret in it replaced, for messages."""
    for pattern in _PATTERNS.values():
        text = pattern.sub("[secret]", text)
    return text


def secrets_in_recipe(values: Any) -> Iterator[str]:
    """What is wrong with a recipe that holds secrets, one message a place; a message never shows the secret.

    Args:
        values: What YAML made of it: mappings, lists and scalars.
    """
    waiting: list[tuple[str, Any]] = [("", values)]
    count = 0
    while waiting:
        place, value = waiting.pop(0)
        count += 1
        if count + len(waiting) > _MOST_VALUES:
            yield f"more than {_MOST_VALUES:,} values: not a recipe"
            return
        name = place.rpartition(".")[2].lower()
        if isinstance(value, dict):
            waiting += [(f"{place}.{key}".lstrip("."), inner) for key, inner in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(place, inner) for inner in value]
        elif _KEYS.fullmatch(name) or (isinstance(value, str) and secret_in(value)):
            what = (isinstance(value, str) and secret_in(value)) or "a secret"
            yield (
                f"{without_secrets(place)}: {what} does not belong in a recipe, which is stored and passed on; log in with "
                "`hf auth login`, or set HF_TOKEN in the environment"
            )
