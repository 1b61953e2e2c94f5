"""Adapters of others: where they are fetched from, and what is looked at before anything of theirs is read.

An adapter is data. Three files of it are fetched and no other; pickles, which can run code when read, are refused, as are
sizes that no adapter has, and settings of PEFT's that import modules by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moralfit.credentials import without_secrets
from moralfit.errors import ModelError
from moralfit.models._load import first_line, read_adapter_config
from moralfit.recipe import REPOSITORY

#: The recipe's copy inside an adapter folder, so that an adapter alone can be evaluated.
RECIPE_FILE = "moralfit.yaml"
#: What is fetched of an adapter, each with the most bytes that it may have. A rank of 64 on a 70B model has 3.3 GB in fp32.
LIMITS = {"adapter_config.json": 1 << 20, RECIPE_FILE: 1 << 20, "adapter_model.safetensors": 4 << 30}
#: Names that end so are pickles, or archives of them.
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz")
#: LoRA weights grow with the rank, which a small file of settings states.
_HIGHEST_RANK = 4096
_PLACE = re.compile(rf"(?P<repository>{REPOSITORY.pattern})(?:@(?P<revision>[\w][\w./-]{{0,200}}))?", re.ASCII)


def hub_place(place: str | Path) -> tuple[str, str | None] | None:
    """Repository and revision that `user/name` or `user/name@revision` stands for; None if it is no name of the Hub's."""
    found = _PLACE.fullmatch(Path(place).as_posix())
    return None if found is None else (found["repository"], found["revision"])


def fetch_adapter(repository: str, revision: str | None = None) -> Path:
    """Downloads an adapter from the Hub into its cache, at a commit, branch or tag; without the network, what is cached.

    Returns:
        The folder of the commit.

    Raises:
        ModelError: It is not there, may not be read, cannot be reached, or holds what :func:`check_files` refuses.
    """
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.errors import OfflineModeIsEnabled

    where = f"{repository}@{revision}" if revision else repository
    try:
        info = HfApi().model_info(repository, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size for file in info.siblings or []}
        check_files(where, {name: size for name, size in sizes.items() if "/" not in name})
        paths = [Path(hf_hub_download(repository, name, revision=info.sha)) for name in LIMITS if name in sizes]
        if not paths:
            raise ModelError(f"{where}: not an adapter (no adapter_config.json)")
        # By its branch as well, so that the cache knows the commit by that name; nothing is fetched twice.
        hf_hub_download(repository, paths[0].name, revision=revision)
        return paths[0].parent
    except OfflineModeIsEnabled:
        try:
            return Path(snapshot_download(repository, revision=revision, local_files_only=True, allow_patterns=list(LIMITS)))
        except (OSError, ValueError):
            raise ModelError(
                f"{where}: no such run or adapter folder here; if it is a repository of the Hub, it is not in the cache, and "
                "HF_HUB_OFFLINE forbids to fetch it"
            ) from None
    except hub_errors() as error:
        raise ModelError(
            f"{where}: no such run or adapter folder here, and not fetched from the Hub ({hub_problem(error)}). A private "
            "one needs `hf auth login`, or HF_TOKEN in the environment"
        ) from None


def check_files(where: str | Path, sizes: Mapping[str, int | None]) -> None:
    """Refuses an adapter's folder for the names and bytes of its files.

    Raises:
        ModelError: A file is a pickle, or larger than any adapter's.
    """
    if pickles := sorted(name for name in sizes if name.lower().endswith(PICKLES)):
        raise ModelError(
            f"{where}: holds {', '.join(pickles[:3])}; pickled weights are not loaded, since they can run code when they are "
            "read. Ask for adapter_model.safetensors without such files beside it, or delete them from your own folder"
        )
    for name, limit in LIMITS.items():
        if (sizes.get(name) or 0) > limit:
            raise ModelError(f"{where}: {name} has {sizes[name]:,} bytes; more than {limit:,} are not read")


def check_adapter(folder: Path) -> dict[str, Any]:
    """The settings of an adapter's folder, after a look at everything in it that will be read.

    Raises:
        ModelError: As :func:`check_files` and :func:`read_adapter_config`; or its settings ask for what is no plain LoRA.
    """
    if folder.is_dir():
        check_files(folder, {file.name: file.stat().st_size for file in folder.iterdir() if file.is_file()})
    config = read_adapter_config(folder)
    path = folder / "adapter_config.json"
    if config.get("peft_type") != "LORA":
        raise ModelError(f"{path}: peft_type is {config.get('peft_type')!r}; only LORA is loaded")
    if odd := [key for key in ("auto_mapping", "megatron_config") if config.get(key)]:
        raise ModelError(f"{path}: sets {odd[0]}, which imports modules by name; it is not loaded")
    ranks = [config.get("r"), *(config.get("rank_pattern") or {}).values()]
    if not all(type(rank) is int and 0 < rank <= _HIGHEST_RANK for rank in ranks):
        raise ModelError(f"{path}: states a rank that is no whole number from 1 to {_HIGHEST_RANK}")
    return config


def hub_errors() -> tuple[type[Exception], ...]:
    """What calls to the Hub raise: errors of its library and of the HTTP client below, and those of files and values."""
    # Which client that is depends on the version.
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    # An upload that failed comes as a RuntimeError around the reason.
    return (HTTPError, OSError, ValueError, RuntimeError)


def hub_problem(error: Exception) -> str:
    """What went wrong in a call to the Hub, in one line without a secret."""
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    cause = error.__cause__ if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception) else error
    if isinstance(cause, RevisionNotFoundError):
        return "it has no such revision"
    if isinstance(cause, HfHubHTTPError) and cause.response is not None:
        status, said = cause.response.status_code, cause.response.headers.get("X-Error-Message") or ""
        if status == 401:
            return f"401: no token, or one that is not accepted: {said}" if said else "401: no token, or one that has expired"
        if isinstance(cause, RepositoryNotFoundError):
            return "there is no such repository, or it is private"
        if status == 403:
            return f"403: the token may not do that: {said}"
    return without_secrets(first_line(cause))
