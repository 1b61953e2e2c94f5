"""What a server calls a model. We spell `base` and `base:ADAPTER`; every engine has its own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from moralfit.errors import ServerError
from moralfit.recipe import ServeSection


def resolve(section: ServeSection, upstream: str, adapter: str | None, cards: Sequence[Mapping[str, Any]] | None) -> str:
    """The server's name for a base, or for an adapter over it.

    In this order: what `serve.names` says for `base` or `base:ADAPTER`; for a base its name on the Hub; for an adapter
    `BASE:ADAPTER` (gateways), then `ADAPTER` alone (vLLM's `--lora-modules`), whichever the server lists.

    Args:
        upstream: The base's name on the Hub. adapter: The adapter's name; None for the base. cards: What the server lists.

    Raises:
        ServerError: The server lists its models, and this one is not among them; or it is an adapter over another base.
    """
    ours = "base" if adapter is None else f"base:{adapter}"
    if ours in section.names:
        return section.names[ours]
    base = section.names.get("base", upstream)
    candidates = [base] if adapter is None else [f"{base}:{adapter}", adapter]
    if cards is None:
        # Nothing to choose by; a name that is not known is refused at the first request.
        return candidates[0]
    known = {str(card["id"]): card for card in cards}
    for name in candidates:
        if name in known:
            parent = known[name].get("parent")
            if adapter is not None and isinstance(parent, str) and parent != base:
                raise ServerError(f"{section.endpoint}: {name} is an adapter over {parent}, not over {base}")
            return name
    listed = ", ".join([*known][:20])
    raise ServerError(
        f"{section.endpoint}: serves no {' or '.join(candidates)}, but {listed}; say which of them is meant, as in "
        f"serve.names={{{ours!r}: {next(iter(known))!r}}}"
    )


def shown(model: str) -> str:
    """A model's name for files and tables: of a folder, its last part, since paths tell of a machine."""
    return PurePath(model).name if model.startswith(("/", "~", ".")) else model
