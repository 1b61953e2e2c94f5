"""A finished run of the tiny model, and a hub that it can be pushed to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import huggingface_hub.constants as constants
import pytest
import yaml
from hub_server import GOOD, Hub, serve
from rich.console import Console
from tiny_model import TINY, VALUES

from moralfit.recipe import HubSection, load_recipe

MAKER = f"maker/{TINY}"


@pytest.fixture(scope="session")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiny model, trained and evaluated once for all tests here."""
    from moralfit.train import Run

    place = tmp_path_factory.mktemp("trained")
    (place / TINY).symlink_to(tiny)
    before = Path.cwd()
    os.chdir(place)
    try:
        Path("recipe.yaml").write_text(yaml.safe_dump(VALUES))
        Run(load_recipe("recipe.yaml"), Console(file=StringIO())).go(False)
    finally:
        os.chdir(before)
    return place / "runs/tiny-moralis-1"


@pytest.fixture
def run(trained: Path, workplace: Path) -> Path:
    """A copy of the run, in an empty current folder with the tiny model."""
    shutil.copytree(trained, "runs/tiny-moralis-1")
    return Path("runs/tiny-moralis-1")


@pytest.fixture
def online(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub that huggingface_hub talks to, in this process and in those started from it. It holds the tiny base."""
    with serve() as hub:
        hub.seed(MAKER, tiny).files["README.md"] = b"---\nlicense: apache-2.0\n---\n"
        for name, value in {
            "HF_ENDPOINT": hub.address,
            "HF_TOKEN": GOOD,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HOME": str(tmp_path / "hf"),
        }.items():
            monkeypatch.setenv(name, value)
        # The library reads its settings when it is imported.
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        yield hub


@pytest.fixture
def to(online: Hub, tiny: Path) -> HubSection:
    """Where the run goes, and the repository that its base, a folder here, is a copy of."""
    return HubSection(repo_id="someone/moralis", base_model=f"{MAKER}@{online.repos['model', MAKER].head}")
