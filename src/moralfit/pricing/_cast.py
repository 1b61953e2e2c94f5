"""Who plays in an experiment: agents built from a recipe, all language models over one shared base."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from moralfit.chat import LocalChat
from moralfit.errors import ModelError, RunError
from moralfit.files import sha256
from moralfit.models import Base, add_adapter, chat_ids, load_base, read_adapter_config
from moralfit.pricing._agents import Period, PricingAgent, ScriptedAgent, View
from moralfit.pricing._benchmarks import benchmarks
from moralfit.pricing._language import LanguageFirm
from moralfit.pricing._learners import LearnedAgent, OnlineLearner
from moralfit.pricing._learning import QLearning, learn
from moralfit.pricing._prompt import Style, prompt
from moralfit.pricing._recipe import SPEAKING, AgentSection, PricingRecipe, RunPlan
from moralfit.recipe import Recipe

#: Notes are cut at this many tokens for each word that they may have.
TOKENS_A_WORD = 3


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


def build_cast(recipe: PricingRecipe, plans: Iterable[RunPlan], say: Callable[[str], None]) -> Cast:
    """Builds the agents that some run needs.

    Args:
        say: Prints a line.

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
    speakers = _speakers(recipe, speaking, tuned, plans, say) if speaking else {}
    for name in used:
        section = recipe.agents[name]
        if name in speakers:
            agents[name], described[name] = speakers[name]
        else:
            agents[name] = _scripted(recipe, name, section)
            described[name] = {"name": agents[name].name, "kind": section.kind, "preference": None}
            described[name]["fingerprint"] = f"{section.kind} {_parameters(section) or ''}".strip()
    return Cast(agents, described)


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
    say: Callable[[str], None],
) -> dict[str, tuple[LanguageFirm, dict[str, Any]]]:
    configs = {name: read_adapter_config(folder) for name, (folder, _) in tuned.items()}
    # The commit that was trained on, should the base have moved on since.
    revision = recipe.model.revision or next((c.get("revision") for c in configs.values()), None)
    base = load_base(recipe.model.model_copy(update={"revision": revision}))
    if foreign := {n: c["base_model_name_or_path"] for n, c in configs.items() if c["base_model_name_or_path"] != base.name}:
        listed = "; ".join(
            f"agents.{name}: {recipe.agents[name].adapter} was made for {other}" for name, other in foreign.items()
        )
        raise ModelError(f"{listed}, and model.base is {base.name}: all language models of an experiment share one base")
    keys = {}
    for name, (folder, _) in tuned.items():
        # PEFT makes module names of them.
        keys[name] = name.replace(".", "_dot_")
        add_adapter(base, folder, keys[name])
        say(f"{folder}: reloaded; moves the probe logits by up to {base.adapters[keys[name]]:.2f}")
    decoding, said = recipe.decoding, recipe.prompt
    context = context_length(base)
    origin = f"{base.name}@{base.revision} {base.machine.dtype} {json.dumps(decoding.model_dump(exclude={'batch_size'}))}"
    wordings = {plan.id: plan.wording for plan in plans}
    found = {}
    for name in names:
        section = recipe.agents[name]
        style = Style("P1", said.history, said.note_words, said.thoughts, _told(section))
        chat = LocalChat(
            base, keys.get(name), batch_size=decoding.batch_size, max_new_tokens=decoding.max_new_tokens,
            temperature=decoding.temperature,
        )  # fmt: skip
        described: dict[str, Any] = {"name": base.name.split("/")[-1], "kind": section.kind, "preference": None}
        described["fingerprint"] = origin
        if section.preference is not None:
            preference = section.preference.build().name
            described |= {"name": f"base told to be {preference}", "preference": preference}
        if name in tuned:
            folder, trained = tuned[name]
            preference, weights = trained.preference.build().name, sha256(folder / "adapter_model.safetensors")
            described |= {"name": f"tuned to be {preference}", "preference": preference, "adapter": section.adapter}
            described |= {"sha256": weights, "fingerprint": f"{origin} {weights}"}
            described["moves_logits_by"] = round(base.adapters[keys[name]], 4)
        firm = LanguageFirm(
            name, described["name"], chat, token_counter(base.tokenizer, said.system), context - decoding.max_new_tokens,
            style, wordings, said.system, decoding.retries, TOKENS_A_WORD * said.note_words, decoding.temperature > 0,
        )  # fmt: skip
        for market, ceiling in {(plan.market, max(plan.ceilings)) for plan in plans}:
            firm.check(market, ceiling)
        found[name] = firm, described
    return found


def token_counter(tokenizer: Any, system: str | None) -> Callable[[str], int]:
    """Gives the length of the conversation that consists of a text from the user, chat template included."""
    before = [] if system is None else [{"role": "system", "content": system}]
    return lambda text: len(chat_ids(tokenizer, [*before, {"role": "user", "content": text}]))


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


def context_length(base: Base) -> int:
    """How many tokens a model reads and writes at most, as its configuration and its tokenizer have it."""
    stated = [getattr(base.model.config.get_text_config(), "max_position_embeddings", None), base.tokenizer.model_max_length]
    # A tokenizer that knows no length states an astronomical one.
    known = [length for length in stated if isinstance(length, int) and length < 10**9]
    if not known:
        raise ModelError(f"model.base: {base.name} does not say how long its context is; use another model")
    return min(known)


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
