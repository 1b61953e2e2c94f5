"""Models: the embedded one, any causal language model of the Hub, adapters over them, and the machine they run on."""

from moralfit.models._embedded import REVISION, UPSTREAM, cache_folder, embedded_model
from moralfit.models._fetch import RECIPE_FILE, check_adapter, fetch_adapter, hub_errors, hub_place, hub_problem
from moralfit.models._load import (
    EMBEDDED,
    Base,
    Messages,
    add_adapter,
    chat_ids,
    end_ids,
    first_line,
    load_base,
    load_tokenizer,
    read_adapter_config,
    release_memory,
)
from moralfit.models._machine import Machine, choose_machine, cpu_name, environment, installed, unmet

__all__ = [
    "EMBEDDED",
    "RECIPE_FILE",
    "REVISION",
    "UPSTREAM",
    "Base",
    "Machine",
    "Messages",
    "add_adapter",
    "cache_folder",
    "chat_ids",
    "check_adapter",
    "choose_machine",
    "cpu_name",
    "embedded_model",
    "end_ids",
    "environment",
    "fetch_adapter",
    "first_line",
    "hub_errors",
    "hub_place",
    "hub_problem",
    "installed",
    "load_base",
    "load_tokenizer",
    "read_adapter_config",
    "release_memory",
    "unmet",
]
