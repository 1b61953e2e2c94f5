"""Evaluation: reloaded adapters, their base and a random player on games never trained on."""

from moralfit.evaluate._evaluate import RECIPE_FILE, evaluate, find_adapter
from moralfit.evaluate._play import SCHEMA
from moralfit.evaluate._scenes import HELD, Held, Item, Target, items, target
from moralfit.evaluate._summary import cluster_rate, sensitivity, summarise
from moralfit.evaluate._table import by_decision, overview

__all__ = [
    "HELD",
    "RECIPE_FILE",
    "SCHEMA",
    "Held",
    "Item",
    "Target",
    "by_decision",
    "cluster_rate",
    "evaluate",
    "find_adapter",
    "items",
    "overview",
    "sensitivity",
    "summarise",
    "target",
]
