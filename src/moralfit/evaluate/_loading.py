"""Adapters of runs, loaded over their common base, as agents beside that base: what every application plays with."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from moralfit.agents import LanguageAgent
from moralfit.chat import Chat, LocalChat
from moralfit.errors import ModelError, RecipeError, RunError
from moralfit.evaluate._server import Fitted, Server, open_server, upstream_name
from moralfit.files import sha256
from moralfit.models import (
    EMBEDDED,
    RECIPE_FILE,
    UPSTREAM,
    Base,
    add_adapter,
    check_adapter,
    fetch_adapter,
    hub_place,
    load_base,
    read_adapter_config,
)
from moralfit.recipe import PreferenceSection, Recipe, load_recipe, parse_recipe, split_serve
from moralfit.served import shown
from moralfit.words import preference_in_words

#: A commit; branches and tags move.
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Tuned:
    """An adapter with the recipe it was trained by."""

    key: str
    folder: Path
    recipe: Recipe


def find_adapter(place: str | Path, overrides: Sequence[str] = ()) -> tuple[Path, Recipe]:
    """The adapter folder and recipe of a run folder, of an adapter folder, or of a repository of the Hub, which is fetched.

    Args:
        place: A folder, `user/name` or `user/name@revision`; a folder of that name comes first, and `user/name` is one that is
            missing where there is a folder `user`.
        overrides: Changes to the recipe's evaluation, such as `evaluation.transfer_prompts=44`.

    Returns:
        The folder, and the recipe with the commit of the base that was trained on, where one is known.

    Raises:
        RunError: It is none of these, or the run is unfinished. ModelError: The adapter is damaged, cannot be fetched, is not
            safe to read, or was trained on another base than its recipe says. RecipeError: An override makes no sense, or is
            about something that the adapter was trained with.
    """
    there, fetched = Path(place), False
    if not there.is_dir():
        named = hub_place(place)
        if named is None or str(place).startswith((".", "/", "~")):
            raise RunError(_not_there(place))
        if named[1] is None and there.parent.is_dir():
            raise RunError(f"{_not_there(place)} (a repository of the Hub would be {there.as_posix()}@main)")
        there, fetched = fetch_adapter(*named), True
    # A run's own recipe knows where a local base lies; the copy that goes out with the adapter does not.
    run = not fetched and (there / "recipe.yaml").exists()
    folder, path = (there / "adapter", there / "recipe.yaml") if run else (there, there / RECIPE_FILE)
    if run and not folder.is_dir():
        raise RunError(f"{place}: the run has no adapter yet; run its training to the end first")
    config = check_adapter(folder)
    if not path.exists():
        raise RunError(f"{place if fetched else folder}: an adapter without {RECIPE_FILE}, which says what it was trained for")
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
    recipe = load_recipe(path, overrides) if overrides else parse_recipe(values, str(path))
    return folder, _with_its_base(place, recipe, config, fetched)


def _not_there(place: str | Path) -> str:
    """That a folder is missing, with those beside it that are called nearly the same."""
    parent, name = Path(place).parent, Path(place).name
    try:
        beside = sorted(other.name for other in parent.iterdir() if other.is_dir())
    except OSError:
        beside = []
    near = [str(parent / other) for other in get_close_matches(name, beside)]
    return f"{place}: no such run or adapter folder" + (f"; did you mean {' or '.join(near)}?" if near else "")


def _with_its_base(place: str | Path, recipe: Recipe, config: dict[str, Any], fetched: bool) -> Recipe:
    """The recipe with the commit of the base that the adapter names.

    Raises:
        ModelError: The adapter names another base than its recipe; or a fetched one names a folder instead of a repository.
    """
    base, named, revision = recipe.model.base, config["base_model_name_or_path"], config.get("revision")
    if fetched and not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", base, re.ASCII):
        raise ModelError(f"{place}: its recipe names the base {base}, which is no repository of the Hub")
    # An adapter on a local folder names it by its last part.
    if named not in ((UPSTREAM,) if base == EMBEDDED else (base, Path(base).resolve().name)):
        raise ModelError(f"{place}: the adapter was made for {named}, and its recipe says {base}")
    if base == EMBEDDED or not (isinstance(revision, str) and _COMMIT.fullmatch(revision)):
        return recipe
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"revision": revision})})


@dataclass(frozen=True)
class Loaded:
    """Adapters over their common base, and the first one's recipe, which says what is done with them.

    Attributes:
        base: On this machine; None where a server has them.
        server: That server; None where they are here.
    """

    recipe: Recipe
    base: Base | None
    tuned: tuple[Tuned, ...]
    server: Server | None = None

    @property
    def name(self) -> str:
        """The base's name, for tables."""
        return (self.base.name if self.base is not None else shown(self._server.names[None])).split("/")[-1]

    @property
    def wanted(self) -> list[PreferenceSection]:
        """What the adapters were trained for, or what the recipe is about where there are none."""
        return [t.recipe.preference for t in self.tuned] or [self.recipe.preference]

    def chat(self, adapter: str | None, preamble: str | None = None, identity: str = "", **options: Any) -> Chat:
        """The chat with an adapter, or with the base."""
        if self.base is not None:
            return LocalChat(self.base, adapter, preamble, **options)
        return self._server.chat(adapter, preamble, identity=identity, **options)

    def origin(self, adapter: str | None, options: Mapping[str, Any]) -> str:
        """What an agent's fingerprint says of its model."""
        if self.base is None:
            return self._server.origin(adapter, options)
        return f"{self.base.name}@{self.base.revision} {self.base.machine.dtype} {json.dumps(options)}"

    def describe(self, adapter: str | None) -> dict[str, Any]:
        """What an agent's description says of its model."""
        if self.base is None:
            return self._server.describe(adapter)
        return {} if adapter is None else {"moves_logits_by": round(self.base.adapters[adapter], 4)}

    @property
    def _server(self) -> Server:
        assert self.server is not None
        return self.server


def load_tuned(
    places: Sequence[Path],
    say: Callable[[str], None] = lambda text: None,
    overrides: Sequence[str] = (),
    out: Path | None = None,
    anew: bool = False,
) -> Loaded:
    """Loads the adapters of run or adapter folders over their base, and proves that each has an effect.

    With `serve.endpoint=URL` among the overrides they are looked for on a server instead, and held against those here.

    Args:
        places: Runs and adapters, or one recipe, whose base is played alone.
        out: Where what a server answers is kept; None for nowhere. anew: As :func:`open_server`.

    Raises:
        RunError, ModelError: Something is missing, damaged, for another base, or without effect. RecipeError: As
            :func:`find_adapter`. ServerError: As :func:`open_server`.
    """
    serve, overrides = split_serve(overrides)
    if is_recipe(places):
        tuned, recipe = [], load_recipe(places[0], overrides)
    else:
        tuned = _named([find_adapter(place, () if number else overrides) for number, place in enumerate(places)])
        recipe = tuned[0].recipe
    configs = [read_adapter_config(t.folder) for t in tuned]
    bases = dict.fromkeys(config["base_model_name_or_path"] for config in configs) or [upstream_name(recipe.model)]
    if len(bases) > 1:
        raise ModelError(f"adapters for different bases cannot share one: {' and '.join(bases)}; evaluate them one by one")
    # The commit that was trained on, should the base have moved on since.
    trained_on = configs[0].get("revision") if configs else None
    section = recipe.model.model_copy(update={"revision": recipe.model.revision or trained_on})
    if serve.endpoint is not None:
        fitted = [Fitted(t.key, served_name(place, t.recipe), t.folder) for place, t in zip(places, tuned, strict=False)]
        server = open_server(serve, section, next(iter(bases)), section.revision, fitted, recipe, out, say, anew)
        return Loaded(recipe, None, tuple(tuned), server)
    base = load_base(section)
    for t in tuned:
        add_adapter(base, t.folder, t.key)
        say(f"{t.folder}: reloaded; moves the probe logits by up to {base.adapters[t.key]:.2f}")
    return Loaded(recipe, base, tuple(tuned))


def is_recipe(places: Sequence[str | Path]) -> bool:
    """Whether what is to be played is a recipe's base, and no adapter."""
    return len(places) == 1 and Path(places[0]).suffix in (".yaml", ".yml")


def served_name(place: str | Path, recipe: Recipe) -> str:
    """What an adapter is called on a server, in `base:NAME`: its run's or repository's name."""
    name = Path(place).name.partition("@")[0]
    return recipe.run.name if name in ("", "adapter") else name


def language_agents(loaded: Loaded, **options: Any) -> list[tuple[LanguageAgent, str, dict[str, Any]]]:
    """The agents that a recipe compares, base first, each with a fingerprint of what it is and its description.

    Args:
        options: Of :class:`LocalChat`, such as `batch_size` and `max_new_tokens`; they are part of the fingerprints.
    """
    recipe, tuned = loaded.recipe, loaded.tuned
    served = "" if loaded.server is None else ", served"
    found: list[tuple[LanguageAgent, str, dict[str, Any]]] = []

    def add(key: str, name: str, kind: str, adapter: str | None, preference: str | None, what: str = "", **more: Any) -> None:
        fingerprint = f"{loaded.origin(adapter, options)} {what}".strip()
        chat = loaded.chat(adapter, more.get("preamble"), fingerprint, **options)
        described = {"key": key, "name": f"{name}{served}", "kind": kind, "preference": preference}
        found.append(
            (LanguageAgent(key, f"{name}{served}", kind, chat), fingerprint, {**described, **more, **loaded.describe(adapter)})
        )

    compare = recipe.evaluation.compare
    if "base" in compare:
        add("base", loaded.name, "base", None, None)
    seen = set()
    for wanted in loaded.wanted:
        preference = wanted.build()
        if "prompted" in compare and preference.name not in seen:
            seen.add(preference.name)
            key = "prompted" if len(loaded.wanted) == 1 else f"prompted-{wanted.slug}"
            told = preference_in_words(preference)
            add(key, f"base told to be {preference.name}", "prompted", None, preference.name, told, preamble=told)
    for t in tuned:
        preference = t.recipe.preference.build()
        weights = sha256(t.folder / "adapter_model.safetensors")
        add(t.key, f"tuned to be {preference.name}", "adapter", t.key, preference.name, weights, sha256=weights)
    return found


def own_folder(places: Sequence[Path], overrides: Sequence[str] = ()) -> Path:
    """The folder for what is found out about these adapters: a run's own, or one beside them.

    What models on a server did goes beside what they did here.

    Raises:
        RunError, ModelError, RecipeError: As :func:`find_adapter`.
    """
    serve, overrides = split_serve(overrides)
    folder = _local_folder(places, overrides)
    return folder if serve.endpoint is None else folder.with_name(f"{folder.name}-served")


def _local_folder(places: Sequence[Path], overrides: Sequence[str]) -> Path:
    if is_recipe(places):
        recipe = load_recipe(places[0], overrides)
        return Path(recipe.output).resolve() / f"{recipe.name}-base"
    found = [find_adapter(place) for place in places]
    # What was fetched lies in a cache, where nothing is written.
    here = places[0].is_dir()
    first = places[0].resolve() if here else Path("runs").resolve() / re.sub(r"[/@]+", "--", places[0].as_posix())
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
