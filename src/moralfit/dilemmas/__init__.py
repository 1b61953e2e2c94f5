"""Moral dilemmas: factorial designs that ask agents what is moral, what they would do, and what others should do.

The dilemmas are never in training: they measure what carries over from small games.
"""

from moralfit.dilemmas._ask import SCHEMA, ask
from moralfit.dilemmas._catalogue import FAMILIES
from moralfit.dilemmas._design import Item, design
from moralfit.dilemmas._experiment import Settings, run_agents, run_dilemmas
from moralfit.dilemmas._family import QUESTIONS, DilemmaFamily, HumanLine, Stakes, Wording
from moralfit.dilemmas._markdown import markdown
from moralfit.dilemmas._reading import Answer, read_choice, read_number
from moralfit.dilemmas._summary import summarise
from moralfit.dilemmas._table import tables

__all__ = [
    "FAMILIES",
    "QUESTIONS",
    "SCHEMA",
    "Answer",
    "DilemmaFamily",
    "HumanLine",
    "Item",
    "Settings",
    "Stakes",
    "Wording",
    "ask",
    "design",
    "markdown",
    "read_choice",
    "read_number",
    "run_agents",
    "run_dilemmas",
    "summarise",
    "tables",
]
