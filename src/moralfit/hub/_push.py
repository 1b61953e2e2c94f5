"""Uploading: each repository in one commit, so that a lost connection leaves it as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from moralfit.errors import RunError
from moralfit.hub._contents import MARKERS, Repository, contents
from moralfit.models import hub_errors, hub_problem
from moralfit.recipe import HubSection

#: What the Hub itself puts into a new repository.
_THEIRS = {".gitattributes", "README.md", "LICENSE", ".gitignore"}


def push_run(run: Path, hub: HubSection) -> str:
    """Uploads a run's data set and its adapter, each with its card. What is there already is not uploaded again.

    Returns:
        The address of the agent's repository.

    Raises:
        RunError: No login, no right to write there, no network, a repository that holds something else or is more public than
            asked for; or as :func:`contents`. ModelError: As :func:`contents`.
    """
    from huggingface_hub import HfApi

    api, address = HfApi(), ""
    for repository in contents(run, hub):
        try:
            address = _push(api, repository)
        except hub_errors() as error:
            raise RunError(
                f"hub.push: {repository.name} was not pushed ({hub_problem(error)}). The adapter is complete in {run}; log in "
                "with `hf auth login`, or set HF_TOKEN in the environment, and run the same command again, which uploads what "
                "is missing; or set hub.push=false"
            ) from None
    return address


def _push(api: Any, repository: Repository) -> str:
    from huggingface_hub import CommitOperationAdd

    kind, name = repository.kind, repository.name
    url = api.create_repo(name, repo_type=kind, private=repository.private, exist_ok=True)
    info = api.repo_info(name, repo_type=kind)
    if repository.private and not info.private:
        raise RunError(
            f"{name}: is public, and pushes are private unless you say otherwise; say --public (hub.private=false), or name "
            "another repository"
        )
    there = {file.rfilename for file in info.siblings or []}
    if MARKERS[kind] not in there and (foreign := sorted(there - _THEIRS)):
        raise RunError(f"{name}: holds something else ({', '.join(foreign[:3])}); name another repository")
    additions = [
        CommitOperationAdd(path, content if isinstance(content, bytes) else str(content))
        for path, content in repository.files.items()
    ]
    what = "Agent" if kind == "model" else "Data set"
    api.create_commit(name, additions, commit_message=f"{what} made with moralfit", repo_type=kind)
    return str(url)


def show(repositories: tuple[Repository, ...], console: Console) -> None:
    """What would be uploaded: every file with its size, and the agent's card."""
    for repository in repositories:
        sizes = repository.sizes()
        kept = "private" if repository.private else "PUBLIC"
        console.print(f"{repository.kind} {repository.name}, {kept}")
        table = Table()
        table.add_column("file")
        table.add_column("bytes", justify="right")
        for name, size in sizes.items():
            table.add_row(name, f"{size:,}")
        table.add_row("in all", f"{sum(sizes.values()):,}", style="bold")
        console.print(table)
    card = repositories[-1].files["README.md"]
    assert isinstance(card, bytes)
    console.print(f"the card of {repositories[-1].name}:\n")
    console.print(Text(card.decode()), soft_wrap=True)
