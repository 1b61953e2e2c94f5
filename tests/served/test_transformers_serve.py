"""A real `transformers serve` process with the embedded model and an adapter: the same play as here, also when it is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from served_samples import random_adapter
from tiny_model import VALUES

from moralfit.errors import ServerError
from moralfit.evaluate import evaluate, tables
from moralfit.models import embedded_model
from moralfit.recipe import parse_recipe

pytestmark = pytest.mark.slow
pytest.importorskip("uvicorn", reason="transformers[serving] is not installed")

UPSTREAM = "HuggingFaceTB/SmolLM2-135M-Instruct"
RUN, SERVED = Path("runs/tiny-moralis-1"), Path("served")
#: In single precision neither batches nor their padding decide between near ties. Three prompts and few tokens: seconds each.
CHANGES: dict[str, Any] = {
    "model": {"base": "embedded", "device": "cpu", "dtype": "float32"},
    "evaluation": {"prompts": 3, "batch_size": 4, "max_new_tokens": 16, "compare": ["base"]},
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a run, and with what the server is given: the adapter beside its base."""
    monkeypatch.chdir(tmp_path)
    model = embedded_model()
    random_adapter(model, RUN / "adapter", UPSTREAM)
    recipe = parse_recipe({**VALUES, **CHANGES}, "test").as_yaml()
    (RUN / "recipe.yaml").write_text(recipe)
    SERVED.mkdir()
    for file in model.iterdir():
        (SERVED / file.name).symlink_to(file)
    for file in (RUN / "adapter").iterdir():
        shutil.copy(file, SERVED)
    return tmp_path


@contextmanager
def serving(port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`transformers serve` on loopback; its process, once it answers."""
    command = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve"]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    with log.open("wb") as file:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        process = subprocess.Popen([*command, *options], stdout=file, stderr=subprocess.STDOUT, env=environment)
    try:
        deadline = time.monotonic() + 300
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        yield process
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def records(out: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (out / "records.jsonl").read_text().split("\n") if line]
    return [{key: value for key, value in record.items() if key != "probabilities"} for record in found]


def answered(log: Path) -> int:
    return log.read_text().count('"POST /v1/chat/completions HTTP/1.1" 200')


def test_plays_as_here_and_goes_on_after_the_server_was_killed(place: Path) -> None:
    port, said = free_port(), list[str]()
    names = json.dumps({"base": str(embedded_model()), f"base:{RUN.name}": str(place / SERVED)})
    overrides = [f"serve.endpoint=http://127.0.0.1:{port}/v1", f"serve.names={names}", "serve.check=3", "serve.concurrency=2"]
    first, second = place / "first.log", place / "second.log"
    with serving(port, first) as process:

        def kill(agent: Any, done: int, total: int) -> None:
            if agent.key == "tuned" and done == 2:
                process.send_signal(signal.SIGKILL)

        with pytest.raises(ServerError, match="run the same command again to go on"):
            evaluate([RUN], Path("out"), progress=kill, say=said.append, overrides=[*overrides, "serve.patience=1"])
    assert process.returncode == -signal.SIGKILL
    assert sum("the same answer as local transformers" in line for line in said) == 2
    assert sum("option probabilities are left out" in line for line in said) == 1
    assert any("connection lost or refused" in line for line in said)
    with serving(port, second):
        summary = evaluate([RUN], Path("out"), overrides=overrides)
    assert summary["notes"] == []
    agents = {agent["key"]: agent for agent in summary["agents"]}
    for key in ("base", "tuned"):
        assert agents[key]["check"]["agreement"] == 1, "in single precision every probe decision is the same"
        assert agents[key]["check"]["difference"] is None, "it offers no probabilities"
    assert (agents["base"]["served"], agents["tuned"]["served"]) == (embedded_model().name, SERVED.name)
    here = evaluate([RUN], Path("here"))
    found = records(Path("out"))
    assert found == records(Path("here"))
    by_agent = {key: [record["reply"] for record in found if record["agent"] == key] for key in ("base", "tuned")}
    assert by_agent["base"] != by_agent["tuned"]
    assert summary["rows"] != []
    assert here["rows"][0]["n"] == summary["rows"][0]["n"]
    served = summary["served"]
    # Twelve replies and the probes, each once over both attempts, however often they had to be sent.
    prompts = len({(record["agent"], record["prompt_id"]) for record in found})
    assert prompts == 12
    journal = [json.loads(line) for line in Path("out/served.jsonl").read_text().split("\n") if line]
    asked = [line["key"] for line in journal if line["usage"][0]]
    assert len(asked) == len(set(asked)) == served["requests"] >= prompts
    assert 1 <= answered(second) <= 6, "only what was missing"
    assert served["prompt_tokens"] > 100 * prompts
    assert served["completion_tokens"] >= 10 * prompts
    assert str(place) not in Path("out/served.jsonl").read_text() + Path("out/settings.json").read_text()
    console = Console(width=120, record=True, file=(place / "table.txt").open("w"))
    console.print(tables(summary))
    assert f"served by http://127.0.0.1:{port}/v1: {served['requests']:,} requests" in console.export_text()
    assert yaml.safe_load((RUN / "recipe.yaml").read_text())["model"]["base"] == "embedded"


@pytest.mark.parametrize(
    ("wrong", "why"), [("nobody/nothing", "We couldn't connect to .* in the cached files"), ("./nowhere", "Repo id must use")]
)
def test_a_model_that_is_not_there_is_said_soon(place: Path, wrong: str, why: str) -> None:
    port, names = free_port(), json.dumps({"base": wrong, f"base:{RUN.name}": wrong})
    overrides = [f"serve.endpoint=http://127.0.0.1:{port}/v1", "serve.check=0", "serve.patience=300"]
    with serving(port, place / "log"):
        start = time.monotonic()
        # Some more than three tries where the server, which is busy with another request, drops the question.
        with pytest.raises(ServerError, match=rf"cannot load the model \({why}.*\) \(asked for {wrong}\).*serve\.names"):
            evaluate([RUN], Path("out"), overrides=[*overrides, f"serve.names={names}"])
        assert time.monotonic() - start < 150
