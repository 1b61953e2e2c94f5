"""Models: the embedded one, any causal language model of the Hub, adapters over them, and the machine they run on."""

from moralfit.models._embedded import cache_folder, embedded_model
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
from moralfit.models._machine import Machine, choose_machine, cpu_name, environment

__all__ = [
    "EMBEDDED",
    "Base",
    "Machine",
    "Messages",
    "add_adapter",
    "cache_folder",
    "chat_ids",
    "choose_machine",
    "cpu_name",
    "embedded_model",
    "end_ids",
    "environment",
    "first_line",
    "load_base",
    "load_tokenizer",
    "read_adapter_config",
    "release_memory",
]
