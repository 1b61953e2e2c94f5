"""Who plays in an experiment: agents built from a recipe, all language models over one shared base."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moralfit.errors import ModelError, RunError
from moralfit.files import sha256
from moralfit.pricing._agents import Period, PricingAgent, ScriptedAgent, View
from moralfit.pricing._benchmarks import benchmarks
from moralfit.pricing._language import LanguageFirm
from moralfit.pricing._learners import LearnedAgent, OnlineLearner
from moralfit.pricing._learning import QLearning, learn
from moralfit.pricing._prompt import Style, prompt
from moralfit.pricing._recipe import SPEAKING, AgentSection, PricingRecipe, RunPlan
from moralfit.pricing._voices import Voices, find_voices, token_counter
from moralfit.recipe import Recipe

if TYPE_CHECKING:
    from moralfit.evaluate import Server

#: Notes are cut at this many tokens for each word that they may have.
TOKENS_A_WORD = 3
#: Most tokens of what completes a begun price line, and of the words around it that are ours.
COMPLETION, LABELS = 12, 20


@dataclass(frozen=True)
class Cast:
    """The agents of an experiment.

    Attributes:
        agents: By their names in the recipe. described: For each what it is, for settings and reports; `fingerprint` is what
        it was
            made from, which a continued experiment must find unchanged.
    """

    agents: Mapping[str, PricingAgent]
    described: Mapping[str, dict[str, Any]]
    server: Server | None = None


def build_cast(recipe: PricingRecipe, plans: Iterable[RunPlan], say: Callable[[str], None], out: Path | None = None) -> Cast:
    """Builds the agents that some run needs.

    Args:
        say: Prints a line.
        out: The experiment's folder, where a server's answers are kept; None for nowhere.

    Raises:
        RunError, ModelError: The base or an adapter is missing, damaged, for another base, or without effect; or the prompts
        do not
            fit into the model's context.
    """
    plans = list(plans)
    used = [name for name in recipe.agents if any(name in plan.agents for plan in plans)]
    agents: dict[str, PricingAgent] = {}
    described: dict[str, dict[str, Any]] = {}
    tuned = adapters(recipe, used)
    speaking = [name for name in used if recipe.agents[name].kind in SPEAKING]
    voices = find_voices(recipe, tuned, out, say) if speaking else None
    speakers = {} if voices is None else _speakers(recipe, speaking, tuned, plans, voices)
    for name in used:
        section = recipe.agents[name]
        if name in speakers:
            agents[name], described[name] = speakers[name]
        else:
            agents[name] = _scripted(recipe, name, section)
            described[name] = {"name": agents[name].name, "kind": section.kind, "preference": None}
            described[name]["fingerprint"] = f"{section.kind} {_parameters(section) or ''}".strip()
    return Cast(agents, described, None if voices is None else voices.server)


def adapters(recipe: PricingRecipe, used: Iterable[str]) -> dict[str, tuple[Path, Recipe]]:
    """Folder and recipe of the adapters among some agents. Raises ModelError with all that is wrong with any."""
    places = {name: recipe.agents[name].adapter for name in used if recipe.agents[name].adapter is not None}
    if not places:
        return {}
    # The evaluation brings the estimators along, which rules in a market have no use for.
    from moralfit.evaluate import find_adapter

    found: dict[str, tuple[Path, Recipe]] = {}
    problems = []
    for name, place in places.items():
        try:
            found[name] = find_adapter(Path(str(place)))
        except (ModelError, RunError) as error:
            problems.append(f"agents.{name}: {error}")
    if problems:
        raise ModelError("; ".join(problems))
    return found


def _speakers(
    recipe: PricingRecipe,
    names: Iterable[str],
    tuned: Mapping[str, tuple[Path, Recipe]],
    plans: Iterable[RunPlan],
    voices: Voices,
) -> dict[str, tuple[LanguageFirm, dict[str, Any]]]:
    decoding, said = recipe.decoding, recipe.prompt
    notes = TOKENS_A_WORD * said.note_words
    # A completion reads its notes beside the prompt.
    longest = max(decoding.max_new_tokens, (2 * notes + LABELS + COMPLETION) * decoding.guided)
    room = voices.context - longest
    wordings = {plan.id: plan.wording for plan in plans}
    found = {}
    for name in names:
        section = recipe.agents[name]
        style = Style("P1", said.history, said.note_words, said.thoughts, _told(section))
        described: dict[str, Any] = {"name": voices.name, "kind": section.kind, "preference": None}
        adapter = name if name in tuned else None
        origin = voices.origin(adapter)
        described["fingerprint"] = origin
        if section.preference is not None:
            preference = section.preference.build().name
            described |= {"name": f"base told to be {preference}", "preference": preference}
        if name in tuned:
            folder, trained = tuned[name]
            preference, weights = trained.preference.build().name, sha256(folder / "adapter_model.safetensors")
            described |= {"name": f"tuned to be {preference}", "preference": preference, "adapter": section.adapter}
            described |= {"sha256": weights, "fingerprint": f"{origin} {weights}"}
        described |= voices.describe(adapter)
        if voices.server is not None:
            described["name"] += ", served"
        chat = voices.chat(adapter, described["fingerprint"])
        completer = replace(chat, max_new_tokens=COMPLETION) if decoding.guided else None
        firm = LanguageFirm(
            name, described["name"], chat, token_counter(voices.tokenizer, said.system), room, style, wordings, said.system,
            decoding.retries, notes, decoding.temperature > 0, completer, decoding.max_new_tokens,
        )  # fmt: skip
        for market, ceiling in {(plan.market, max(plan.ceilings)) for plan in plans}:
            firm.check(market, ceiling)
        found[name] = firm, described
    return found


def prompt_lengths(recipe: PricingRecipe, plans: Sequence[RunPlan], tokenizer: Any) -> tuple[int, int]:
    """Tokens of a first prompt, and of one with the longest history and full notes."""
    count, run = token_counter(tokenizer, recipe.prompt.system), plans[0]
    style = Style(run.wording, recipe.prompt.history, recipe.prompt.note_words, recipe.prompt.thoughts)
    start = View(run.id, 0, 1, run.market, run.ceilings[0], (), ("", ""), "")
    nash = benchmarks(run.market).nash
    periods = recipe.periods - 1
    past = [Period(nash.prices, nash.quantities, nash.profits)] * periods
    late = replace(start, period=periods + 1, history=past)
    longest = count(prompt(late, style, min(periods, style.history)))
    return count(prompt(start, style, 0)), longest + 2 * TOKENS_A_WORD * recipe.prompt.note_words


def _told(section: AgentSection) -> float | None:
    """The kappa that a firm is told; economicus has none, which is 0."""
    return None if section.preference is None else section.preference.kappa or 0.0


def _parameters(section: AgentSection) -> QLearning | None:
    if section.kind not in ("q-learned", "q-learning"):
        return None
    return QLearning() if section.learning is None else section.learning.build()


def _scripted(recipe: PricingRecipe, name: str, section: AgentSection) -> PricingAgent:
    parameters = _parameters(section)
    if parameters is None:
        return ScriptedAgent(section.kind, name)
    if section.kind == "q-learning":
        return OnlineLearner(parameters, key=name)
    return LearnedAgent(learn(recipe.market.build(1.0), parameters, recipe.seed), key=name)
