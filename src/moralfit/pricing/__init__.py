"""Repeated price competition: logit markets, their benchmarks, and agents that set prices in them."""

from typing import TYPE_CHECKING, Any

from moralfit.pricing._agents import SCRIPTED, Decision, Period, PricingAgent, ScriptedAgent, View, simulate
from moralfit.pricing._analysis import analyse
from moralfit.pricing._benchmarks import benchmarks, best_reply, conduct_at, moralis_equilibrium, price_index, profit_gain
from moralfit.pricing._experiment import run_experiment
from moralfit.pricing._language import LanguageFirm
from moralfit.pricing._learners import LearnedAgent, OnlineLearner
from moralfit.pricing._learning import QLearning, impulse_response, learn, learn_sessions
from moralfit.pricing._market import LogitMarket
from moralfit.pricing._prompt import Style
from moralfit.pricing._recipe import SPEAKING, PricingRecipe, load_pricing_recipe
from moralfit.pricing._statistics import mean_over_runs

if TYPE_CHECKING:
    from moralfit.pricing._page import write_pricing_report

__all__ = [
    "SCRIPTED",
    "SPEAKING",
    "Decision",
    "LanguageFirm",
    "LearnedAgent",
    "LogitMarket",
    "OnlineLearner",
    "Period",
    "PricingAgent",
    "PricingRecipe",
    "QLearning",
    "ScriptedAgent",
    "Style",
    "View",
    "analyse",
    "benchmarks",
    "best_reply",
    "conduct_at",
    "impulse_response",
    "learn",
    "learn_sessions",
    "load_pricing_recipe",
    "mean_over_runs",
    "moralis_equilibrium",
    "price_index",
    "profit_gain",
    "run_experiment",
    "simulate",
    "write_pricing_report",
]


def __getattr__(name: str) -> Any:
    # The page draws with matplotlib, which takes longer to import than all of this and is seldom wanted with it.
    if name == "write_pricing_report":
        from moralfit.pricing._page import write_pricing_report

        return write_pricing_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
