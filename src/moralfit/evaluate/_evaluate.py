"""An evaluation from start to end: which agents, over which base, on which items, and what is left on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from moralfit.agents import Agent, LanguageAgent, RandomAgent
from moralfit.chat import LocalChat
from moralfit.errors import ModelError, RecipeError, RunError
from moralfit.evaluate._beliefs import elicit, forget
from moralfit.evaluate._estimates import estimates
from moralfit.evaluate._play import SCHEMA, play
from moralfit.evaluate._scenes import PARTS, items
from moralfit.evaluate._summary import summarise
from moralfit.files import sha256, write_json
from moralfit.models import Base, add_adapter, load_base, read_adapter_config
from moralfit.recipe import Recipe, load_recipe, parse_recipe
from moralfit.words import preference_in_words

#: The recipe's copy inside an adapter folder, so that an adapter alone can be evaluated.
RECIPE_FILE = "moralfit.yaml"


@dataclass(frozen=True)
class Tuned:
    """An adapter with the recipe it was trained by."""

    key: str
    folder: Path
    recipe: Recipe


def find_adapter(place: Path, overrides: Sequence[str] = ()) -> tuple[Path, Recipe]:
    """The adapter folder and recipe of a run folder or of an adapter folder.

    Args:
        overrides: Changes to the recipe's evaluation, such as `evaluation.transfer_prompts=44`.

    Raises:
        RunError: It is neither, or the run is unfinished. ModelError: The adapter is damaged. RecipeError: An override makes no
            sense, or is about something that the adapter was trained with.
    """
    if not place.is_dir():
        raise RunError(f"{place}: no such run or adapter folder")
    # A run's own recipe knows where a local base lies; the copy that goes out with the adapter does not.
    run = (place / "recipe.yaml").exists()
    folder, path = (place / "adapter", place / "recipe.yaml") if run else (place, place / RECIPE_FILE)
    if run and not folder.is_dir():
        raise RunError(f"{place}: the run has no adapter yet; run its training to the end first")
    read_adapter_config(folder)
    if not path.exists():
        raise RunError(f"{folder}: an adapter without {RECIPE_FILE}, which says what it was trained for")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        values = None
    if not isinstance(values, dict):
        raise RunError(f"{path}: damaged, it holds no recipe")
    if fixed := [override for override in overrides if not override.startswith("evaluation.")]:
        raise RecipeError(
            f"{fixed[0]!r}: only keys of the evaluation section can be changed here, as in evaluation.prompts=100; "
            f"{place} was trained with the rest"
        )
    return folder, load_recipe(path, overrides) if overrides else parse_recipe(values, str(path))


def evaluate(
    places: Sequence[Path],
    out: Path,
    overwrite: bool = False,
    progress: Callable[[Agent, int, int], None] = lambda agent, done, total: None,
    say: Callable[[str], None] = lambda text: None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Plays the adapters of runs or adapter folders beside their common base, and writes `out`.

    Args:
        places: Run or adapter folders; the first one's recipe says what is played.
        out: Gets `records.jsonl`, `settings.json`, `summary.json` and, where beliefs are elicited, `beliefs.jsonl`.
        progress: Called with an agent, its items done, and the items in all. say: Prints a line.
        overrides: Changes to the evaluation section of that recipe, such as `evaluation.transfer_prompts=44`.

    Returns:
        The summary as written.

    Raises:
        RunError, ModelError: Something is missing, damaged, for another base, or without effect. RecipeError: As
            :func:`find_adapter`.
    """
    tuned = _named([find_adapter(place, () if number else overrides) for number, place in enumerate(places)])
    recipe = tuned[0].recipe
    configs = [read_adapter_config(t.folder) for t in tuned]
    bases = dict.fromkeys(config["base_model_name_or_path"] for config in configs)
    if len(bases) > 1:
        raise ModelError(f"adapters for different bases cannot share one: {' and '.join(bases)}; evaluate them one by one")
    # The commit that was trained on, should the base have moved on since.
    section = recipe.model.model_copy(update={"revision": recipe.model.revision or configs[0].get("revision")})
    base = load_base(section)
    for t in tuned:
        add_adapter(base, t.folder, t.key)
        say(f"{t.folder}: reloaded; moves the probe logits by up to {base.adapters[t.key]:.2f}")
    targets = {t.recipe.preference.build().name: t.recipe.preference.build() for t in tuned}
    agents, fingerprints, described = _agents(recipe, base, tuned)
    played = [item for part in PARTS for item in items(recipe, part)]
    total = len(played)
    by_key = {agent.key: agent for agent in agents}
    if overwrite:
        forget(out)
    records = play(
        out, agents, fingerprints, played, targets, recipe.evaluation.probabilities,
        lambda key, done: progress(by_key[key], done, total), overwrite, 4 * recipe.evaluation.batch_size,
    )  # fmt: skip
    summary: dict[str, Any] = {"schema": SCHEMA, "agents": described, "rows": summarise(records, list(targets))}
    beliefs: list[dict[str, Any]] = []
    if recipe.evaluation.elicit_beliefs:
        unstated = sum(item.scene.belief is None for item in played)
        say(f"asking agents what they expect of others, {unstated} prompts each")
        beliefs = elicit(out, agents, fingerprints, played, 4 * recipe.evaluation.batch_size)
    preferences = {agent["key"]: targets.get(agent["preference"] or "") for agent in described}
    summary["estimates"] = estimates(records, preferences, beliefs)
    write_json(out / "summary.json", summary)
    return summary


def _named(found: Sequence[tuple[Path, Recipe]]) -> list[Tuned]:
    """Keys for the adapters: `tuned` if there is one, else what tells them apart."""
    if len(found) == 1:
        return [Tuned("tuned", *found[0])]
    slugs = [recipe.preference.slug for _, recipe in found]
    keys = [f"tuned-{slug}" if slugs.count(slug) == 1 else f"tuned-{slug}-{number}" for number, slug in enumerate(slugs, 1)]
    return [Tuned(key.replace(".", "_"), folder, recipe) for key, (folder, recipe) in zip(keys, found, strict=True)]


def _agents(recipe: Recipe, base: Base, tuned: Sequence[Tuned]) -> tuple[list[Agent], dict[str, str], list[dict[str, Any]]]:
    """The agents in the order in which people read them, what each was loaded from, and their description."""
    options: dict[str, Any] = {"batch_size": recipe.evaluation.batch_size, "max_new_tokens": recipe.evaluation.max_new_tokens}
    origin = f"{base.name}@{base.revision} {base.machine.dtype} {json.dumps(options)}"
    agents: list[Agent] = []
    fingerprints: dict[str, str] = {}
    described: list[dict[str, Any]] = []

    def add(agent: Agent, fingerprint: str, preference: str | None, **more: Any) -> None:
        agents.append(agent)
        fingerprints[agent.key] = fingerprint
        described.append({"key": agent.key, "name": agent.name, "kind": agent.kind, "preference": preference, **more})

    compare = recipe.evaluation.compare
    if "random" in compare:
        add(RandomAgent(), "random", None)
    if "base" in compare:
        add(LanguageAgent("base", base.name.split("/")[-1], "base", LocalChat(base, **options)), origin, None)
    seen = set()
    for t in tuned:
        preference = t.recipe.preference.build()
        if "prompted" in compare and preference.name not in seen:
            seen.add(preference.name)
            key = "prompted" if len(tuned) == 1 else f"prompted-{t.recipe.preference.slug}"
            told = preference_in_words(preference)
            chat = LocalChat(base, preamble=told, **options)
            add(
                LanguageAgent(key, f"base told to be {preference.name}", "prompted", chat),
                f"{origin} {told}",
                preference.name,
                preamble=told,
            )
    for t in tuned:
        preference = t.recipe.preference.build()
        weights = sha256(t.folder / "adapter_model.safetensors")
        agent = LanguageAgent(t.key, f"tuned to be {preference.name}", "adapter", LocalChat(base, t.key, **options))
        add(agent, f"{origin} {weights}", preference.name, sha256=weights, moves_logits_by=round(base.adapters[t.key], 4))
    return agents, fingerprints, described
