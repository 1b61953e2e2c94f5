"""Evaluation: reloaded adapters, their base and a random player on games never trained on."""

from moralfit.evaluate._beliefs import belief_question, parse_shares
from moralfit.evaluate._estimates import estimates, main_beliefs
from moralfit.evaluate._evaluate import evaluate
from moralfit.evaluate._loading import (
    Loaded,
    Tuned,
    find_adapter,
    language_agents,
    load_tuned,
    own_folder,
    served_name,
)
from moralfit.evaluate._play import SCHEMA, play
from moralfit.evaluate._scenes import HELD, PARTS, Held, Item, Part, Target, items, target
from moralfit.evaluate._server import JOURNAL, Fitted, Server, open_server, upstream_name
from moralfit.evaluate._summary import cluster_rate, sensitivity, summarise
from moralfit.evaluate._table import by_decision, by_family, new_table, overview, served_by, short_names
from moralfit.evaluate._wants import tables, wants

__all__ = [
    "HELD",
    "JOURNAL",
    "PARTS",
    "SCHEMA",
    "Fitted",
    "Held",
    "Item",
    "Loaded",
    "Part",
    "Server",
    "Target",
    "Tuned",
    "belief_question",
    "by_decision",
    "by_family",
    "cluster_rate",
    "estimates",
    "evaluate",
    "find_adapter",
    "items",
    "language_agents",
    "load_tuned",
    "main_beliefs",
    "new_table",
    "open_server",
    "overview",
    "own_folder",
    "parse_shares",
    "play",
    "sensitivity",
    "served_by",
    "served_name",
    "short_names",
    "summarise",
    "tables",
    "target",
    "upstream_name",
    "wants",
]
