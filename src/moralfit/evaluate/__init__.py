"""Evaluation: reloaded adapters, their base and a random player on games never trained on."""

from moralfit.evaluate._beliefs import belief_question, parse_shares
from moralfit.evaluate._estimates import estimates
from moralfit.evaluate._evaluate import RECIPE_FILE, evaluate, find_adapter
from moralfit.evaluate._play import SCHEMA
from moralfit.evaluate._scenes import HELD, PARTS, Held, Item, Part, Target, items, target
from moralfit.evaluate._summary import cluster_rate, sensitivity, summarise
from moralfit.evaluate._table import by_decision, by_family, overview
from moralfit.evaluate._wants import tables, wants

__all__ = [
    "HELD",
    "PARTS",
    "RECIPE_FILE",
    "SCHEMA",
    "Held",
    "Item",
    "Part",
    "Target",
    "belief_question",
    "by_decision",
    "by_family",
    "cluster_rate",
    "estimates",
    "evaluate",
    "find_adapter",
    "items",
    "overview",
    "parse_shares",
    "sensitivity",
    "summarise",
    "tables",
    "target",
    "wants",
]
