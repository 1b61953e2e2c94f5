"""What a push uploads, file by file: the agent's repository and its data set's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from moralfit.errors import ModelError, RunError
from moralfit.evaluate import find_adapter
from moralfit.files import read_json, sha256
from moralfit.hub._cards import data_card, model_card
from moralfit.hub._leaks import check_leaks
from moralfit.hub._measured import Facts
from moralfit.models import EMBEDDED, RECIPE_FILE, hub_errors, hub_place, load_tokenizer
from moralfit.recipe import HubSection, Recipe, load_recipe

#: By these a repository is known as one of ours.
MARKERS = {"model": RECIPE_FILE, "dataset": "shortcuts.json"}
_CARD = "README.md"
_WEIGHTS = "adapter_model.safetensors"
_DATA = ("train.jsonl", "heldout_payoffs.jsonl", "heldout_words.jsonl", MARKERS["dataset"])
#: What tokenizers are saved as; a LoRA run leaves the base's as it was.
_TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "tokenizer.model", "vocab.json", "merges.txt",
)  # fmt: skip
#: SmolLM2's.
_EMBEDDED_LICENSE = {"license": "apache-2.0"}


@dataclass(frozen=True)
class Repository:
    """A repository of the Hub and all that goes there: contents, or the files that hold them, by name."""

    kind: Literal["model", "dataset"]
    name: str
    private: bool
    files: Mapping[str, bytes | Path]

    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {name: len(c) if isinstance(c, bytes) else c.stat().st_size for name, c in self.files.items()}


def contents(run: Path, hub: HubSection) -> tuple[Repository, Repository]:
    """The data set and the agent of a run, as they would be uploaded; nothing is.

    Raises:
        RunError: It is no run, it is unfinished, its evaluation is of other weights, its base is a folder of this machine, or a
            file holds what must not leave it. ModelError: The adapter is damaged.
    """
    if hub.repo_id is None:
        raise RunError(f"{run}: name the repository that it goes to, as in --repo-id yourname/moralis-smollm2")
    if not (run / "recipe.yaml").exists():
        raise RunError(f"{run}: not a run folder; only runs are pushed, since cards tell what a run recorded")
    folder, recipe = find_adapter(run)
    config, portable = _portable(folder, recipe, hub)
    data = {name: run / "dataset" / name for name in _DATA}
    if missing := [path for path in (*data.values(), run / "dataset" / _CARD) if not path.is_file()]:
        raise RunError(f"{missing[0]}: missing; the data set is pushed with the agent")
    base = config["base_model_name_or_path"]
    facts = Facts(
        repository=hub.repo_id,
        data=hub.data_repository,
        recipe=portable,
        base=base,
        revision=config.get("revision"),
        license={"license": hub.license} if hub.license else base_license(base, recipe),
        weights=sha256(folder / _WEIGHTS),
        hashes={name: sha256(path) for name, path in data.items()},
        environment=read_json(run / "environment.json") if (run / "environment.json").exists() else {},
        summary=_summary(run, sha256(folder / _WEIGHTS)),
    )
    model: dict[str, bytes | Path] = {
        _CARD: model_card(facts).encode(),
        "adapter_config.json": (json.dumps(config, indent=2) + "\n").encode(),
        _WEIGHTS: folder / _WEIGHTS,
        RECIPE_FILE: portable.as_yaml().encode(),
    }
    model |= {path.name: path for path in _changed_tokenizer(folder, recipe)}
    card = data_card((run / "dataset" / _CARD).read_text(encoding="utf-8"), facts)
    found = (
        Repository("dataset", facts.data, hub.private, {_CARD: card.encode(), **data}),
        Repository("model", facts.repository, hub.private, model),
    )
    for repository in found:
        owner = repository.name.split("/")[0]
        check_leaks(repository.files, owner)
    return found


def _portable(folder: Path, recipe: Recipe, hub: HubSection) -> tuple[dict[str, Any], Recipe]:
    """The adapter's settings and recipe as they go out, with a base that others can have.

    Raises:
        RunError: The base is a folder of this machine, and nothing says which repository it was copied from.
    """
    config = read_json(folder / "adapter_config.json")
    if not (folder / RECIPE_FILE).exists():
        raise RunError(f"{folder}: lacks {RECIPE_FILE}, without which nobody can load it")
    portable = load_recipe(folder / RECIPE_FILE)
    base, revision = recipe.model.base, None
    if hub.base_model is not None:
        named = hub_place(hub.base_model)
        if named is None:
            raise RunError(f"hub.base_model: {hub.base_model!r} is no repository of the Hub; say user/name or user/name@commit")
        base, revision = named
        config |= {"base_model_name_or_path": base, "revision": revision}
        portable = portable.model_copy(update={"model": portable.model.model_copy(update={"base": base, "revision": revision})})
    elif base != EMBEDDED and (Path(base).is_dir() or (hub_place(base) is None and "/" in base)):
        raise RunError(
            f"{folder}: its base {config['base_model_name_or_path']} is a folder of this machine, which others do not have; "
            "say which repository of the Hub it is a copy of, as in hub.base_model=user/name@commit"
        )
    return config, portable


def base_license(base: str, recipe: Recipe) -> dict[str, str]:
    """What the base's own card says of its licence; empty if it says nothing or cannot be asked."""
    if recipe.model.base == EMBEDDED:
        return dict(_EMBEDDED_LICENSE)
    from huggingface_hub import HfApi

    try:
        card = HfApi().model_info(base).card_data
    except hub_errors():
        return {}
    found = {key: getattr(card, key, None) for key in ("license", "license_name", "license_link")}
    return {key: said for key, said in found.items() if isinstance(said, str)}


def _summary(run: Path, weights: str) -> dict[str, Any] | None:
    """The run's evaluation, if there is one of these weights.

    Raises:
        RunError: It is of other weights.
    """
    path = run / "evaluation" / "summary.json"
    if not path.exists():
        return None
    summary: dict[str, Any] = read_json(path)
    if weights not in [agent.get("sha256") for agent in summary["agents"]]:
        raise RunError(f"{path}: an evaluation of other weights; evaluate again with --overwrite before pushing")
    return summary


def _changed_tokenizer(folder: Path, recipe: Recipe) -> Iterator[Path]:
    """The tokenizer's files in an adapter's folder, if it is another than the base's."""
    files = [folder / name for name in _TOKENIZER if (folder / name).is_file()]
    if not files:
        return
    from transformers import AutoTokenizer

    base = load_tokenizer(recipe.model)
    try:
        own = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(f"{folder}: its tokenizer cannot be read; delete {', '.join(file.name for file in files)}") from None
    same = (
        own.get_vocab() == base.get_vocab()
        and own.chat_template == base.chat_template
        and own.eos_token == base.eos_token
        and own.bos_token == base.bos_token
    )
    if not same:
        yield from files
