"""A push that cannot happen ends in one message and leaves the run alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from moralfit.errors import RunError
from moralfit.hub import push_run
from moralfit.recipe import HubSection

HUB = HubSection(push=True, repo_id="someone/moralis")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for name in ("adapter", "dataset"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("content")
    return tmp_path


def test_offline(run: Path) -> None:
    with pytest.raises(RunError, match=r"hub\.push: someone/moralis was not pushed .*hf auth login.*same command again"):
        push_run(run, HUB)


@pytest.mark.parametrize("token", ["", "hf_none"])
def test_no_network(token: str, run: Path) -> None:
    # A new process, since the library reads its settings when it is imported. Nobody listens on port 9.
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(run),
        "HF_TOKEN": token,
    }
    code = (
        "from pathlib import Path; from moralfit.hub import push_run; from moralfit.recipe import HubSection\n"
        "from moralfit.errors import RunError\n"
        "try: push_run(Path('.'), HubSection(push=True, repo_id='someone/moralis'))\n"
        "except RunError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=run, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "hub.push: someone/moralis was not pushed" in done.stdout


def test_malformed_name(run: Path) -> None:
    with pytest.raises(RunError, match="was not pushed"):
        push_run(run, HubSection(push=True, repo_id="a/b/c"))
