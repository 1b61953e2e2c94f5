"""Evaluation, pricing and dilemmas with models on a server: the same results as here, checked, counted, and gone on with."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_server import Fake, status
from rich.console import Console
from served_samples import RUN
from tiny_model import TINY, VALUES

from moralfit.console import run_cli
from moralfit.dilemmas import Settings, run_dilemmas
from moralfit.errors import ModelError, RunError, ServerError
from moralfit.evaluate import evaluate, load_tuned, own_folder, tables
from moralfit.evaluate.__main__ import app
from moralfit.pricing import PricingRecipe, analyse, run_experiment, write_pricing_report
from moralfit.served import KEY

SECRET = "mf-0123456789-do-not-tell"
OUT = Path("out")


def serve(fake: Fake, *more: str) -> list[str]:
    # All of the tiny model's 512 tokens, so that no option is out of sight.
    return [f"serve.endpoint={fake.url}", "serve.patience=2", "serve.top_logprobs=512", "serve.check=4", *more]


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "records.jsonl").read_text().split("\n") if line]


def bare(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key != "probabilities"} for record in found]


def test_the_same_as_here(run: Path, server: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, SECRET)
    said: list[str] = []
    there = evaluate([run], OUT, overrides=serve(server, "serve.prompt_price=2", "serve.completion_price=6"), say=said.append)
    here = evaluate([run], Path("here"))
    assert bare(records(OUT)) == bare(records(Path("here")))
    pairs = [(one["probabilities"], two["probabilities"]) for one, two in zip(records(OUT), records(Path("here")), strict=True)]
    assert [record["labels"] for record in records(OUT) if record["probabilities"] is None] == []
    assert [one for one, _ in pairs] == [pytest.approx(two, abs=1e-4) for _, two in pairs]
    assert len({tuple(one) for one, _ in pairs}) > 20
    agents = {agent["key"]: agent for agent in there["agents"]}
    assert {key: agent.get("served") for key, agent in agents.items()} == {
        "random": None,
        "base": TINY,
        "prompted": TINY,
        "tuned": RUN.name,
    }
    assert agents["tuned"]["name"].endswith("(kappa = 1), served")
    for key in ("base", "tuned"):
        check = agents[key]["check"]
        assert (check["same"], check["agreement"]) == (check["decisions"], 1.0)
        assert check["decisions"] >= 4
        assert check["probabilities"] >= 1
        assert check["difference"] < 1e-4
    assert there["notes"] == []
    assert sum("the same answer as local transformers to" in line for line in said) == 2
    served = there["served"]
    assert served["requests"] == len(server.requests)
    assert served["prompt_tokens"] > 1000
    assert served["cost"] == pytest.approx((2 * served["prompt_tokens"] + 6 * served["completion_tokens"]) / 1e6)
    assert {*served["models"]} == {TINY, RUN.name}
    assert "served" not in here
    fingerprints = [json.loads((out / "settings.json").read_text())["agents"] for out in (OUT, Path("here"))]
    assert all(fingerprints[0][key] != fingerprints[1][key] for key in ("base", "prompted", "tuned"))
    written = [file.read_text() for file in OUT.iterdir()]
    assert not any(SECRET in text or str(Path.cwd()) in text for text in written)
    with pytest.raises(RunError, match="another base and prompted and tuned"):
        evaluate([run], OUT)


def test_goes_on_where_the_server_died(run: Path, server: Fake) -> None:
    whole = evaluate([run], Path("whole"), overrides=serve(server))
    wanted, paid = records(Path("whole")), len(server.requests)
    server.requests.clear()
    # The 30th request and all after it find the server gone.
    healthy = server.answer
    server.answer = lambda body: 1 / 0 if len(server.requests) > 30 else healthy(body)  # type: ignore[assignment, return-value]
    with pytest.raises(ServerError, match="run the same command again to go on"):
        evaluate([run], OUT, overrides=serve(server, "serve.patience=0.2"))
    kept = len((OUT / "served.jsonl").read_text().splitlines())
    assert kept >= 25
    server.answer = healthy
    server.requests.clear()
    again = evaluate([run], OUT, overrides=serve(server, "serve.concurrency=2"))
    assert records(OUT) == wanted
    assert again["rows"] == whole["rows"]
    assert again["served"]["requests"] == paid, "counted over both attempts"
    assert len(server.requests) < paid - 20
    server.requests.clear()
    evaluate([run], OUT, overrides=serve(server))
    assert server.requests == []
    evaluate([run], OUT, overwrite=True, overrides=serve(server))
    assert len(server.requests) == paid


def test_overwriting_begins_when_everything_is_loaded(run: Path, server: Fake) -> None:
    evaluate([run], OUT, overrides=serve(server))
    before = {file.name: file.read_bytes() for file in OUT.iterdir()}
    assert "served.jsonl" in before
    weights = run / "adapter" / "adapter_model.safetensors"
    whole, models = weights.read_bytes(), server.models

    def fails(error: type[Exception], match: str) -> None:
        with pytest.raises(error, match=match):
            evaluate([run], OUT, overwrite=True, overrides=serve(server))
        assert {file.name: file.read_bytes() for file in OUT.iterdir()} == before

    weights.write_bytes(whole[:1000])
    fails(ModelError, "the adapter cannot be loaded")
    weights.write_bytes(whole)
    server.models = [{"id": "other"}]
    fails(ServerError, "serves no")
    server.models, server.script = models, [status(400, "no")] * 99
    fails(ServerError, "status 400")
    server.script = []
    evaluate([run], OUT, overwrite=True, overrides=serve(server))
    server.requests.clear()
    evaluate([run], OUT, overrides=serve(server))
    assert server.requests == [], "what was asked before the earlier journal was replaced is in the new one"


def test_another_model_than_was_trained_is_seen(run: Path, server: Fake) -> None:
    """A server that leaves the adapter out, as many do when they are asked for it in a way they do not know."""
    healthy, following = server.answer, server.following
    assert following is not None
    server.answer = lambda body: "Answer: nothing" if body["model"] == RUN.name else healthy(body)
    said: list[str] = []
    summary = evaluate([run], OUT, overrides=serve(server, "evaluation.probabilities=false"), say=said.append)
    (note,) = summary["notes"]
    assert f"the server's {RUN.name} gives the same answer to 0 of" in note
    assert f"Warning: {note}" in said
    console = Console(width=400, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(tables(summary))
    assert note in console.export_text()
    server.answer = healthy
    # One that begins a turn of its own where it should go on with the begun reply: certain of what stands first.
    server.following = lambda body: [(token, -9.0 * n) for n, (token, _) in enumerate(following(body))]
    summary = evaluate([run], Path("other"), overrides=serve(server))
    assert all(agent["check"]["agreement"] == 1 for agent in summary["agents"] if "check" in agent)
    assert sum("in option probabilities" in note for note in summary["notes"]) == 2


def test_without_probabilities(run: Path, server: Fake) -> None:
    server.following = None
    said: list[str] = []
    summary = evaluate([run], OUT, overrides=serve(server), say=said.append)
    assert sum("option probabilities are left out" in line for line in said) == 1
    assert all(record["probabilities"] is None for record in records(OUT) if record["agent"] != "random")
    assert all(agent["check"]["difference"] is None for agent in summary["agents"] if "check" in agent)


def test_no_check_loads_nothing(run: Path, server: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*given: Any, **more: Any) -> None:
        raise ModelError("model.base: cannot be loaded")

    monkeypatch.setattr("moralfit.evaluate._server.load_base", load)
    with pytest.raises(ModelError, match=r"serve\.check=0 goes without"):
        load_tuned([run], overrides=serve(server))
    assert load_tuned([run], overrides=serve(server, "serve.check=0")).server is not None


def test_names_and_refusals(run: Path, server: Fake) -> None:
    server.models = [{"id": "smollm2:135m"}]
    with pytest.raises(ServerError, match=rf"serves no {TINY}, but smollm2:135m.*serve\.names"):
        load_tuned([run], overrides=serve(server))
    names = f"serve.names={{base: 'smollm2:135m', 'base:{RUN.name}': mine}}"
    loaded = load_tuned([run], overrides=serve(server, "serve.check=0", names))
    assert loaded.server is not None
    assert loaded.server.names == {None: "smollm2:135m", "tuned": "mine"}
    server.script = [status(401)] * 9
    with pytest.raises(ServerError, match=KEY):
        evaluate([run], OUT, overrides=serve(server, "serve.check=0", names))


def test_command_line(run: Path, server: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["moralfit", str(run), "evaluation.prompts=1", *serve(server)])
    with pytest.raises(SystemExit) as leaving:
        run_cli(app)
    assert leaving.value.code in (0, None)
    printed = " ".join(capsys.readouterr().out.split())
    assert f"served by {server.url}: " in printed
    # What was played here stays as it is.
    assert own_folder([run], serve(server)).name == f"{RUN.name}-served"
    assert (run.with_name(f"{RUN.name}-served") / "report.html").exists()
    assert not (run / "evaluation").exists()


def test_a_base_alone(run: Path, server: Fake) -> None:
    """What hosted models need: a recipe says what is played, and there is no adapter."""
    Path("recipe.yaml").write_text(yaml.safe_dump({**VALUES, "evaluation": {"prompts": 2, "max_new_tokens": 8}}))
    server.models = None
    summary = evaluate([Path("recipe.yaml")], OUT, overrides=serve(server, "serve.check=0", f"serve.names={{base: {TINY}}}"))
    assert [agent["key"] for agent in summary["agents"]] == ["random", "base", "prompted"]
    assert {row["target"] for row in summary["rows"]} == {"homo moralis (kappa = 1)"}
    evaluate([Path("recipe.yaml")], Path("here"))
    assert bare(records(OUT)) == bare(records(Path("here")))


def test_warnings_reach_what_people_read(run: Path, server: Fake) -> None:
    """Markets and dilemmas with a server that leaves the adapter out."""
    healthy = server.answer
    server.answer = lambda body: "Answer: nothing" if body["model"] == RUN.name else healthy(body)
    run_experiment(pricing(run, server), OUT)
    (note,) = analyse(OUT)["notes"]
    assert f"the server's {RUN.name} gives the same answer to 0 of" in note
    assert escape(note, quote=True) in write_pricing_report(OUT).read_text().replace("&#39;", "&#x27;")
    # The periods before were played with it, whoever plays the others.
    server.answer = healthy
    (OUT / "served.jsonl").unlink()
    assert run_experiment(pricing(run, server).model_copy(update={"periods": 3}), OUT)
    assert analyse(OUT)["notes"] == [note]


def test_dilemmas_warn_too(run: Path, server: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moralfit.dilemmas._figures.write_figures", lambda summary, out: [])
    items = Settings.items
    monkeypatch.setattr(Settings, "items", lambda self: items(self)[:2])
    server.answer = lambda body: "Answer: nothing"
    summary = run_dilemmas(
        [run], OUT, Settings(families=("vaccination",), samples=1, max_new_tokens=8), overrides=serve(server)
    )
    assert len(summary["notes"]) == 2
    assert json.loads((OUT / "summary.json").read_text()) == json.loads(json.dumps(summary))
    written = (OUT / "tables.md").read_text()
    assert written.startswith(f"> **Warning:** {summary['notes'][0]}\n\n> **Warning:** {summary['notes'][1]}\n\n#")


@pytest.mark.slow
def test_dilemmas(run: Path, server: Fake) -> None:
    settings = Settings(families=("vaccination",), samples=1, max_new_tokens=8)
    summary = run_dilemmas([run], OUT, settings, overrides=serve(server))
    assert {agent["key"]: agent.get("served") for agent in summary["agents"]}["tuned"] == RUN.name
    found = records(OUT)
    assert len({record["agent"] for record in found}) == 3
    assert any(record["probability"] is not None for record in found)
    assert summary["served"]["requests"] == len(server.requests)
    assert any(body["temperature"] == 0.7 and "seed" in body for body in server.requests)
    server.requests.clear()
    (OUT / "records.jsonl").write_bytes(b"\n".join((OUT / "records.jsonl").read_bytes().split(b"\n")[:10]))
    run_dilemmas([run], OUT, settings, overrides=serve(server))
    assert records(OUT) == found
    assert server.requests == [], "the journal has what the records lost"


def pricing(run: Path, server: Fake, **serving: Any) -> PricingRecipe:
    return PricingRecipe.model_validate(
        {
            "name": "served",
            "model": VALUES["model"],
            "agents": {"base": "base", "tuned": {"kind": "adapter", "adapter": str(run)}, "rule": "nash"},
            "pairings": [["base", "tuned"], ["tuned", "rule"]],
            "periods": 2,
            "runs": 1,
            "prompt": {"note_words": 4, "history": 2, "thoughts": False},
            "decoding": {"max_new_tokens": 8, "retries": 1, "temperature": 0.0},
            "serve": {"endpoint": server.url, "patience": 0.2, "check": 4, "top_logprobs": 512, **serving},
        }
    )


def test_pricing(run: Path, server: Fake) -> None:
    said: list[str] = []
    assert run_experiment(pricing(run, server), OUT, say=said.append)
    settings = json.loads((OUT / "settings.json").read_text())
    agents = {agent["key"]: agent for agent in settings["agents"]}
    assert {key: agent.get("served") for key, agent in agents.items()} == {"base": TINY, "tuned": RUN.name, "rule": None}
    assert agents["tuned"]["check"]["agreement"] == 1
    assert settings["served"]["requests"] == len(server.requests)
    local = pricing(run, server).model_copy(update={"serve": pricing(run, server, endpoint=None).serve})
    assert run_experiment(local, Path("here"))
    assert records(OUT) == records(Path("here"))
    # The same experiment, but on this machine.
    longer = local.model_copy(update={"periods": 3})
    with pytest.raises(RunError, match="base, tuned changed since"):
        run_experiment(longer, OUT)


def test_pricing_goes_on(run: Path, server: Fake) -> None:
    run_experiment(pricing(run, server), Path("whole"))
    paid = len(server.requests)
    server.requests.clear()
    healthy = server.answer
    server.answer = lambda body: 1 / 0 if len(server.requests) > paid - 3 else healthy(body)  # type: ignore[assignment, return-value]
    with pytest.raises(ServerError):
        run_experiment(pricing(run, server), OUT)
    server.answer = healthy
    server.requests.clear()
    assert run_experiment(pricing(run, server, concurrency=1, patience=5.0), OUT)
    assert records(OUT) == records(Path("whole"))
    assert 1 <= len(server.requests) <= 6


def test_a_context_that_nobody_knows(run: Path, server: Fake) -> None:
    server.models = None
    names = {"base": TINY, f"base:{RUN.name}": RUN.name}
    with pytest.raises(ServerError, match=r"serve\.context=8192"):
        run_experiment(pricing(run, server, names=names, check=0), OUT)
    with pytest.raises(ModelError, match="context leaves"):
        run_experiment(pricing(run, server, names=names, check=0, context=256), Path("small"))
