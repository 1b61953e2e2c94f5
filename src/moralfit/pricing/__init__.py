"""Repeated price competition: logit markets, their benchmarks, and agents that set prices in them."""

from moralfit.pricing._agents import (
    SCRIPTED,
    Decision,
    Paths,
    Period,
    PricingAgent,
    ScriptedAgent,
    View,
    simulate,
)
from moralfit.pricing._analysis import analyse
from moralfit.pricing._benchmarks import (
    Benchmarks,
    Conduct,
    Universe,
    benchmarks,
    bertrand_nash,
    best_reply,
    conduct_at,
    joint_monopoly,
    monopoly_alone,
    moralis_equilibrium,
    price_index,
    profit_gain,
)
from moralfit.pricing._experiment import run_experiment
from moralfit.pricing._language import LanguageFirm, last_price
from moralfit.pricing._learners import LearnedAgent, OnlineLearner
from moralfit.pricing._learning import (
    ImpulseResponse,
    LearnedSession,
    QLearning,
    impulse_response,
    learn,
    learn_sessions,
    price_grid,
)
from moralfit.pricing._market import LogitMarket
from moralfit.pricing._page import write_pricing_report
from moralfit.pricing._prompt import WORDINGS, Prompt, Style, prompt
from moralfit.pricing._reading import Answer, read_price, read_reply
from moralfit.pricing._recipe import PricingRecipe, RunPlan, load_pricing_recipe, plan

__all__ = [
    "SCRIPTED",
    "WORDINGS",
    "Answer",
    "Benchmarks",
    "Conduct",
    "Decision",
    "ImpulseResponse",
    "LanguageFirm",
    "LearnedAgent",
    "LearnedSession",
    "LogitMarket",
    "OnlineLearner",
    "Paths",
    "Period",
    "PricingAgent",
    "PricingRecipe",
    "Prompt",
    "QLearning",
    "RunPlan",
    "ScriptedAgent",
    "Style",
    "Universe",
    "View",
    "analyse",
    "benchmarks",
    "bertrand_nash",
    "best_reply",
    "conduct_at",
    "impulse_response",
    "joint_monopoly",
    "last_price",
    "learn",
    "learn_sessions",
    "load_pricing_recipe",
    "monopoly_alone",
    "moralis_equilibrium",
    "plan",
    "price_grid",
    "price_index",
    "profit_gain",
    "prompt",
    "read_price",
    "read_reply",
    "run_experiment",
    "simulate",
    "write_pricing_report",
]
