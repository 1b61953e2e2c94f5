"""The language models of an experiment: on this machine over one shared base, or on a server."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moralfit.chat import LocalChat
from moralfit.errors import ModelError, ServerError
from moralfit.models import Base, add_adapter, chat_ids, load_base, load_tokenizer, read_adapter_config
from moralfit.pricing._recipe import PricingRecipe
from moralfit.recipe import ModelSection, Recipe, parse_recipe

if TYPE_CHECKING:
    from moralfit.evaluate import Server
    from moralfit.served import ServedChat

#: Folder and recipe of the adapters among the agents, by the agents' names.
Adapters = Mapping[str, tuple[Path, Recipe]]


@dataclass(frozen=True)
class Voices:
    """What firms speak with.

    Attributes:
        name: The base's, for tables. tokenizer: For the lengths of prompts. context: Tokens that a model reads and writes.
        chat: Given an agent with an adapter, or None for the base, and the agent's fingerprint. origin: For the same, what
            replies depend on. describe: For the same, what an agent's description says of its model.
        server: That they are on; None for here.
    """

    name: str
    tokenizer: Any
    context: int
    chat: Callable[[str | None, str], LocalChat | ServedChat]
    origin: Callable[[str | None], str]
    describe: Callable[[str | None], dict[str, Any]]
    server: Server | None = None


def find_voices(recipe: PricingRecipe, tuned: Adapters, out: Path | None, say: Callable[[str], None]) -> Voices:
    """Loads the base and the adapters, or finds them on the recipe's server.

    Args:
        out: The experiment's folder, where a server's answers are kept.

    Raises:
        ModelError: Something is missing, damaged, for another base, or without effect. ServerError: The server cannot be
            reached, serves none of this, or does not say how much its models read.
    """
    configs = {name: read_adapter_config(folder) for name, (folder, _) in tuned.items()}
    # The commit that was trained on, should the base have moved on since.
    revision = recipe.model.revision or next((c.get("revision") for c in configs.values()), None)
    section = recipe.model.model_copy(update={"revision": revision})
    bases = {name: config["base_model_name_or_path"] for name, config in configs.items()}
    if recipe.serve.endpoint is not None:
        return _served(recipe, section, tuned, bases, out, say)
    return _local(recipe, section, tuned, bases, say)


def _local(
    recipe: PricingRecipe, section: ModelSection, tuned: Adapters, bases: Mapping[str, str], say: Callable[[str], None]
) -> Voices:
    base = load_base(section)
    _check_bases(recipe, bases, base.name)
    keys: dict[str | None, str] = {}
    for name, (folder, _) in tuned.items():
        # PEFT makes module names of them.
        keys[name] = name.replace(".", "_dot_")
        add_adapter(base, folder, keys[name])
        say(f"{folder}: reloaded; moves the probe logits by up to {base.adapters[keys[name]]:.2f}")
    decoding = recipe.decoding
    origin = f"{base.name}@{base.revision} {base.machine.dtype} {json.dumps(decoding.model_dump(exclude={'batch_size'}))}"

    def chat(name: str | None, identity: str) -> LocalChat:
        return LocalChat(
            base, keys.get(name), batch_size=decoding.batch_size, max_new_tokens=decoding.max_new_tokens,
            temperature=decoding.temperature,
        )  # fmt: skip

    def describe(name: str | None) -> dict[str, Any]:
        return {} if name is None else {"moves_logits_by": round(base.adapters[keys[name]], 4)}

    return Voices(base.name.split("/")[-1], base.tokenizer, context_length(base), chat, lambda name: origin, describe)


def _served(
    recipe: PricingRecipe,
    section: ModelSection,
    tuned: Adapters,
    bases: Mapping[str, str],
    out: Path | None,
    say: Callable[[str], None],
) -> Voices:
    # The evaluation brings the estimators along, which rules in a market have no use for.
    from moralfit.evaluate import Fitted, open_server, served_name, upstream_name
    from moralfit.served import shown

    upstream = upstream_name(section)
    _check_bases(recipe, bases, upstream)
    tokenizer = load_tokenizer(section)
    fitted = [Fitted(name, served_name(str(recipe.agents[name].adapter), own), folder) for name, (folder, own) in tuned.items()]
    # Of adapters that were trained on different games, the first one's serve all.
    plain = {"name": "probes", "preference": {"kind": "economicus"}}
    probes = next((own for _, own in tuned.values()), None) or parse_recipe(plain, "probes")
    server = open_server(recipe.serve, section, upstream, section.revision, fitted, probes, out, say)
    if server.context is None:
        raise ServerError(
            f"{server.endpoint.url}: does not say how many tokens {server.names[None]} reads and writes at most; say so, as in "
            "serve.context=8192"
        )
    decoding = recipe.decoding
    options = decoding.model_dump(exclude={"batch_size"})

    def chat(name: str | None, identity: str) -> ServedChat:
        return server.chat(name, max_new_tokens=decoding.max_new_tokens, temperature=decoding.temperature, identity=identity)

    shown_name = shown(server.names[None]).split("/")[-1]
    return Voices(
        shown_name, tokenizer, server.context, chat, lambda name: server.origin(name, options), server.describe, server
    )


def _check_bases(recipe: PricingRecipe, bases: Mapping[str, str], base: str) -> None:
    if foreign := {name: other for name, other in bases.items() if other != base}:
        listed = "; ".join(
            f"agents.{name}: {recipe.agents[name].adapter} was made for {other}" for name, other in foreign.items()
        )
        raise ModelError(f"{listed}, and model.base is {base}: all language models of an experiment share one base")


def token_counter(tokenizer: Any, system: str | None) -> Callable[[str], int]:
    """Gives the length of the conversation that consists of a text from the user, chat template included."""
    before = [] if system is None else [{"role": "system", "content": system}]
    return lambda text: len(chat_ids(tokenizer, [*before, {"role": "user", "content": text}]))


def context_length(base: Base) -> int:
    """How many tokens a model reads and writes at most, as its configuration and its tokenizer have it."""
    stated = [getattr(base.model.config.get_text_config(), "max_position_embeddings", None), base.tokenizer.model_max_length]
    # A tokenizer that knows no length states an astronomical one.
    known = [length for length in stated if isinstance(length, int) and length < 10**9]
    if not known:
        raise ModelError(f"model.base: {base.name} does not say how long its context is; use another model")
    return min(known)
