"""The way to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from moralfit.errors import RunError
from moralfit.models import first_line
from moralfit.recipe import HubSection


def push_run(run: Path, hub: HubSection) -> str:
    """Uploads a run's adapter, and its data set beside it, to `hub.repo_id`.

    Returns:
        The address of the repository.

    Raises:
        RunError: No login, no right to write there, or no network.
    """
    from huggingface_hub import HfApi

    # What its HTTP client raises; which client that is depends on its version.
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    assert hub.repo_id is not None
    api = HfApi()
    try:
        url = api.create_repo(hub.repo_id, private=hub.private, exist_ok=True)
        api.upload_folder(repo_id=url.repo_id, folder_path=run / "adapter", commit_message="Adapter trained with moralfit")
        api.upload_folder(
            repo_id=url.repo_id, folder_path=run / "dataset", path_in_repo="dataset", commit_message="Its training data"
        )
    except (HTTPError, OSError, ValueError) as error:
        # No login, no right, no network, offline mode and a malformed name come as one of these.
        raise RunError(
            f"hub.push: {hub.repo_id} was not pushed ({first_line(error)}). The adapter is complete in {run}; log in with "
            "`hf auth login` and run the same command again, or set hub.push=false"
        ) from None
    return str(url)
