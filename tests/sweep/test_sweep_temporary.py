"""Temporary folders of sweeps on Ray: those of dead processes go, and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from moralfit.sweep._temporary import remove_stale, session_folder

pytest.importorskip("fcntl", reason="Ray runs sweeps on systems with file locks")

DRIVER = """
import subprocess, sys, time
from pathlib import Path
from moralfit.sweep._temporary import session_folder
with session_folder(Path(sys.argv[1])) as folder:
    (folder / "session").mkdir()
    # A child that outlives its driver must not keep the folder.
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdin=subprocess.DEVNULL)
    print(folder, child.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process with a folder in `tmp_path`, and that folder."""
    with subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder, child = process.stdout.readline().split()
        try:
            yield process, Path(folder)
        finally:
            os.kill(int(child), signal.SIGKILL)
            process.kill()


def test_a_folder_goes_with_its_session(tmp_path: Path) -> None:
    with session_folder(tmp_path) as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith("moralfit-ray-")
        assert (folder.stat().st_mode & 0o777) == 0o700
    assert list(tmp_path.iterdir()) == []


def test_that_of_a_killed_process_goes_with_the_next_session(
    tmp_path: Path, driver: tuple[subprocess.Popen[str], Path]
) -> None:
    process, left = driver
    remove_stale(tmp_path)
    with session_folder(tmp_path) as mine:
        assert (left / "session").is_dir(), "its owner lives"
    process.kill()
    process.wait()
    with session_folder(tmp_path) as mine:
        assert list(tmp_path.iterdir()) == [mine]


def test_what_may_belong_to_somebody_else_stays(tmp_path: Path, driver: tuple[subprocess.Popen[str], Path]) -> None:
    process, left = driver
    process.kill()
    process.wait()
    (tmp_path / "moralfit-ray-unlocked").mkdir()
    (tmp_path / "moralfit-ray-file").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "owner.lock").touch()
    (tmp_path / "moralfit-ray-link").symlink_to(elsewhere)
    (tmp_path / "moralfit-other").mkdir()
    used = tmp_path / "moralfit-ray-used"
    used.mkdir()
    (used / "owner.lock").touch()
    names = {path.name for path in tmp_path.iterdir()}
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", f"--temp_dir={used}"]) as user:
        remove_stale(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == names - {left.name}
        assert (elsewhere / "owner.lock").exists()
        user.kill()
    remove_stale(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == names - {left.name, used.name}


def test_that_of_another_user_stays(
    tmp_path: Path, driver: tuple[subprocess.Popen[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, left = driver
    process.kill()
    process.wait()
    with monkeypatch.context() as other:
        other.setattr(os, "geteuid", lambda: 12345)
        remove_stale(tmp_path)
        assert left.exists()
    remove_stale(tmp_path)
    assert not left.exists()
