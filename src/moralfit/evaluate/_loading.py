"""Adapters of runs, loaded over their common base, as agents beside that base: what every application plays with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from moralfit.agents import LanguageAgent
from moralfit.chat import LocalChat
from moralfit.errors import ModelError, RecipeError, RunError
from moralfit.files import sha256
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


@dataclass(frozen=True)
class Loaded:
    """Adapters over their common base, and the first one's recipe, which says what is done with them."""

    recipe: Recipe
    base: Base
    tuned: tuple[Tuned, ...]


def load_tuned(places: Sequence[Path], say: Callable[[str], None] = lambda text: None, overrides: Sequence[str] = ()) -> Loaded:
    """Loads the adapters of run or adapter folders over their base, and proves that each has an effect.

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
    return Loaded(recipe, base, tuple(tuned))


def language_agents(loaded: Loaded, **options: Any) -> list[tuple[LanguageAgent, str, dict[str, Any]]]:
    """The agents that a recipe compares, base first, each with a fingerprint of what it is and its description.

    Args:
        options: Of :class:`LocalChat`, such as `batch_size` and `max_new_tokens`; they are part of the fingerprints.
    """
    recipe, base, tuned = loaded.recipe, loaded.base, loaded.tuned
    origin = f"{base.name}@{base.revision} {base.machine.dtype} {json.dumps(options)}"
    found: list[tuple[LanguageAgent, str, dict[str, Any]]] = []

    def add(agent: LanguageAgent, fingerprint: str, preference: str | None, **more: Any) -> None:
        described = {"key": agent.key, "name": agent.name, "kind": agent.kind, "preference": preference, **more}
        found.append((agent, fingerprint, described))

    compare = recipe.evaluation.compare
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
    return found


def own_folder(places: Sequence[Path]) -> Path:
    """The folder for what is found out about these adapters: a run's own, or one beside them.

    Raises:
        RunError, ModelError, RecipeError: As :func:`find_adapter`.
    """
    found = [find_adapter(place) for place in places]
    first = places[0].resolve()
    if len(places) > 1:
        return first.parent / f"compare-{'-'.join(recipe.run.name for _, recipe in found)}"
    # An adapter folder stays as it is, ready to be pushed.
    return first.with_name(f"{first.name}-evaluated") if found[0][0] == places[0] else first


def _named(found: Sequence[tuple[Path, Recipe]]) -> list[Tuned]:
    """Keys for the adapters: `tuned` if there is one, else what tells them apart."""
    if len(found) == 1:
        return [Tuned("tuned", *found[0])]
    slugs = [recipe.preference.slug for _, recipe in found]
    keys = [f"tuned-{slug}" if slugs.count(slug) == 1 else f"tuned-{slug}-{number}" for number, slug in enumerate(slugs, 1)]
    return [Tuned(key.replace(".", "_"), folder, recipe) for key, (folder, recipe) in zip(keys, found, strict=True)]
