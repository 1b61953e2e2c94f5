"""Pushing over real HTTP: what is uploaded, what is refused, and what happens when it goes wrong."""

from __future__ import annotations

import json
import re
import sys
from io import StringIO
from pathlib import Path

import pytest
from hub_server import EXPIRED, GOOD, Hub
from huggingface_hub import DatasetCard, ModelCard
from rich.console import Console
from tiny_model import TINY, Recipes

from moralfit.console import run_cli
from moralfit.errors import RunError
from moralfit.hub import contents, push_run
from moralfit.hub._cards import formula
from moralfit.preferences import HomoEconomicus, HomoMoralis, SocialPreferences
from moralfit.push.__main__ import app
from moralfit.recipe import HubSection, load_recipe

MODEL, DATA = ("model", "someone/moralis"), ("dataset", "someone/moralis-data")


def writes(hub: Hub) -> list[str]:
    return [f"{method} {path}" for method, path in hub.requests if method in ("POST", "PUT")]


class TestWhatIsUploaded:
    @pytest.fixture
    def pushed(self, run: Path, online: Hub, to: HubSection) -> Hub:
        assert push_run(run, to) == f"{online.address}/someone/moralis"
        return online

    def test_files(self, run: Path, pushed: Hub) -> None:
        model, data = pushed.repos[MODEL], pushed.repos[DATA]
        assert model.private
        assert data.private
        assert set(model.files) == {
            ".gitattributes", "README.md", "adapter_config.json", "adapter_model.safetensors", "moralfit.yaml",
        }  # fmt: skip
        assert model.files["adapter_model.safetensors"] == (run / "adapter/adapter_model.safetensors").read_bytes()
        assert data.files["train.jsonl"] == (run / "dataset/train.jsonl").read_bytes()
        assert len(model.messages) == len(data.messages) == 2  # the Hub's first commit and ours
        settings = json.loads(model.files["adapter_config.json"])
        assert settings["base_model_name_or_path"] == f"maker/{TINY}"
        assert settings["revision"] == pushed.repos["model", f"maker/{TINY}"].head

    def test_no_file_names_this_machine_or_the_token(self, pushed: Hub, tmp_path: Path) -> None:
        for key in (MODEL, DATA):
            for name, data in pushed.repos[key].files.items():
                for leak in (str(tmp_path), str(Path.home()), GOOD):
                    assert leak.encode() not in data, name
        assert set(pushed.tokens) == {GOOD}

    def test_model_card(self, run: Path, pushed: Hub) -> None:
        card = ModelCard(pushed.repos[MODEL].files["README.md"].decode())
        assert card.data.base_model == f"maker/{TINY}"
        assert card.data.license == "apache-2.0"
        assert card.data.datasets == ["someone/moralis-data"]
        summary = json.loads((run / "evaluation/summary.json").read_text())
        rows = {r["split"]: r for r in summary["rows"] if r["agent"] == "tuned" and r["game"] == "all"}
        found = {(r.dataset_split, r.metric_type): r for r in card.data.eval_results}
        for split, row in rows.items():
            result, share = found[split, "accuracy"], row["agreement"]
            assert result.metric_value == round(share["estimate"], 4)
            assert result.metric_args["low"] == round(share["low"], 4)
            assert result.metric_args["high"] == round(share["high"], 4)
            assert result.metric_args["confidence_level"] == 0.95
        assert set(rows) == {"payoffs", "words"}
        for said in (
            "u(x, y) = (1 - kappa) pi(x, y) + kappa pi(x, x), kappa = 1",
            pushed.repos["model", f"maker/{TINY}"].head,
            "kind: moralis",
            "Intended use and limits",
            "What it wants",
        ):
            assert said in card.text

    def test_data_card(self, pushed: Hub) -> None:
        import hashlib

        card = DatasetCard(pushed.repos[DATA].files["README.md"].decode())
        assert card.data.to_dict()["size_categories"] == "n<1K"
        assert "https://huggingface.co/someone/moralis)" in card.text
        assert hashlib.sha256(pushed.repos[DATA].files["train.jsonl"]).hexdigest() in card.text
        assert card.data.configs[0]["data_files"][0] == {"split": "train", "path": "train.jsonl"}

    def test_pushed_again_nothing_is_uploaded(self, run: Path, pushed: Hub, to: HubSection) -> None:
        puts, heads = list(pushed.puts), [pushed.repos[key].head for key in (MODEL, DATA)]
        assert len(puts) == 1
        push_run(run, to)
        assert pushed.puts == puts
        assert [pushed.repos[key].head for key in (MODEL, DATA)] == heads

    def test_what_changed_is_uploaded_alone(self, run: Path, pushed: Hub, to: HubSection) -> None:
        before, puts = pushed.repos[MODEL].files, list(pushed.puts)
        push_run(run, to.model_copy(update={"license": "mit"}))
        after = pushed.repos[MODEL].files
        assert {name for name in after if after[name] != before[name]} == {"README.md"}
        assert ModelCard(after["README.md"].decode()).data.license == "mit"
        assert pushed.puts == puts


class TestWhatGoesWrong:
    def refused(self, run: Path, to: HubSection) -> str:
        with pytest.raises(RunError) as error:
            push_run(run, to)
        assert GOOD not in str(error.value)
        assert EXPIRED not in str(error.value)
        return str(error.value)

    def test_expired_token(self, run: Path, online: Hub, to: HubSection, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", EXPIRED)
        message = self.refused(run, to)
        assert re.search(r"someone/moralis-data was not pushed \(401: .*expired\).*hf auth login.*same command again", message)
        assert set(online.repos) == {("model", f"maker/{TINY}")}

    def test_no_token(self, run: Path, online: Hub, to: HubSection, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HF_TOKEN")
        assert "401" in self.refused(run, to)

    def test_somebody_elses_name(self, run: Path, online: Hub, to: HubSection) -> None:
        message = self.refused(run, to.model_copy(update={"repo_id": "another/moralis"}))
        assert "403: the token may not do that: You don't have the rights" in message

    def test_connection_lost_half_way(self, run: Path, online: Hub, to: HubSection) -> None:
        online.cut = 1000
        assert "someone/moralis was not pushed" in self.refused(run, to)
        # The data set is there as a whole, of the agent nothing.
        assert online.repos[DATA].messages == ["initial commit", "Data set made with moralfit"]
        assert online.repos[MODEL].messages == ["initial commit"]
        online.cut = 0
        push_run(run, to)
        assert online.repos[DATA].messages == ["initial commit", "Data set made with moralfit"]
        assert "adapter_model.safetensors" in online.repos[MODEL].files

    def test_connection_lost_once(self, run: Path, online: Hub, to: HubSection) -> None:
        online.cut = 1
        push_run(run, to)
        assert online.puts == [(run / "adapter/adapter_model.safetensors").stat().st_size]

    def test_commit_refused_then_pushed_again(self, run: Path, online: Hub, to: HubSection) -> None:
        online.refuse_commits = 1
        assert "someone/moralis-data was not pushed" in self.refused(run, to)
        push_run(run, to)
        assert "moralfit.yaml" in online.repos[MODEL].files

    def test_existing_public_repository(self, run: Path, online: Hub, to: HubSection) -> None:
        online.seed(MODEL[1], {})
        before = online.repos[MODEL].head
        assert "someone/moralis: is public" in self.refused(run, to)
        assert online.repos[MODEL].head == before
        push_run(run, to.model_copy(update={"private": False}))
        assert "moralfit.yaml" in online.repos[MODEL].files

    def test_existing_repository_of_something_else(self, run: Path, online: Hub, to: HubSection) -> None:
        online.seed(MODEL[1], {"model.safetensors": b"theirs"}, private=True)
        assert "someone/moralis: holds something else (model.safetensors)" in self.refused(run, to)
        assert online.repos[MODEL].files["model.safetensors"] == b"theirs"

    def test_no_network(self, run: Path, online: Hub, to: HubSection, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
        assert "was not pushed" in self.refused(run, to)

    def test_offline(self, run: Path, to: HubSection, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert re.search(r"was not pushed .*hf auth login.*same command again", self.refused(run, to))


class TestRefusedBeforeAnythingIsSent:
    def refused(self, run: Path, online: Hub, to: HubSection) -> str:
        with pytest.raises(RunError) as error:
            push_run(run, to)
        assert writes(online) == []
        return str(error.value)

    def test_local_base(self, run: Path, online: Hub, to: HubSection) -> None:
        message = self.refused(run, online, to.model_copy(update={"base_model": None}))
        assert f"its base {TINY} is a folder of this machine" in message
        assert "hub.base_model=user/name@commit" in message

    def test_evaluation_of_other_weights(self, run: Path, online: Hub, to: HubSection) -> None:
        path = run / "evaluation/summary.json"
        path.write_text(re.sub(r'"sha256": "[0-9a-f]+"', '"sha256": "0"', path.read_text()))
        assert "an evaluation of other weights" in self.refused(run, online, to)

    def test_no_repository(self, run: Path, online: Hub) -> None:
        assert "--repo-id yourname/" in self.refused(run, online, HubSection())

    def test_no_run(self, run: Path, online: Hub, to: HubSection) -> None:
        assert "not a run folder" in self.refused(run / "adapter", online, to)

    @pytest.mark.parametrize(
        ("file", "text", "said"),
        [
            ("adapter/moralfit.yaml", "/home/ada/models", "what looks like a path of some machine, '/home/ada/models'"),
            ("adapter/moralfit.yaml", "C:\\Users\\ada", "what looks like a path of some machine"),
            ("adapter/moralfit.yaml", "written by zebulon", "the name of this machine's user"),
            ("adapter/adapter_config.json", "/somewhere/else/here", "a folder of this machine, /somewhere/else"),
            ("dataset/train.jsonl", "zebulon@example.org", "the name of this machine's user"),
            ("dataset/README.md", "~/models", "what looks like a path of some machine"),
            ("dataset/shortcuts.json", "sesame-sesame-sesame", "a secret from the environment"),
            ("dataset/README.md", "hf_" + "a" * 30, "a Hugging Face token"),
            ("dataset/heldout_words.jsonl", "-----BEGIN RSA PRIVATE KEY-----", "a private key"),
        ],
    )
    def test_leaks(
        self, file: str, text: str, said: str, run: Path, online: Hub, to: HubSection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", "/somewhere/else")
        monkeypatch.setenv("LOGNAME", "zebulon")
        monkeypatch.setenv("SOME_API_KEY", "sesame-sesame-sesame")
        path = run / file
        if file.endswith("moralfit.yaml"):
            path.write_text(path.read_text().replace("system: null", f"system: {text}"))
        elif file.endswith(".json"):
            path.write_text(json.dumps({**json.loads(path.read_text()), "loftq_config": {"note": text}}))
        else:
            path.write_text(path.read_text() + text + "\n")
        message = self.refused(run, online, to)
        # The card quotes the recipe, and comes first.
        assert re.match(rf"(README\.md|{re.escape(Path(file).name)}) is not uploaded, nor is anything else", message)
        assert said in message
        assert not any(secret in message for secret in ("hf_a", "sesame"))

    def test_leak_in_the_header_of_weights(self, run: Path, online: Hub, to: HubSection) -> None:
        from safetensors.torch import load_file, save_file

        path = run / "adapter/adapter_model.safetensors"
        save_file(load_file(path), path, metadata={"made in": "/home/ada/moralfit"})
        (run / "evaluation/summary.json").unlink()
        assert "adapter_model.safetensors is not uploaded" in self.refused(run, online, to)

    def test_a_user_called_like_a_word(self, run: Path, to: HubSection, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LOGNAME", "picks")
        contents(run, to)


class TestTokenizer:
    def names(self, run: Path, to: HubSection) -> set[str]:
        return set(contents(run, to)[1].files)

    def test_the_bases_own_stays_away(self, run: Path, to: HubSection) -> None:
        from transformers import AutoTokenizer

        AutoTokenizer.from_pretrained(TINY).save_pretrained(run / "adapter")
        assert (run / "adapter/tokenizer.json").exists()
        assert "tokenizer.json" not in self.names(run, to)

    def test_a_changed_one_goes_along(self, run: Path, to: HubSection) -> None:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(TINY)
        tokenizer.add_tokens(["<cooperate>"])
        tokenizer.save_pretrained(run / "adapter")
        assert {"tokenizer.json", "tokenizer_config.json"} <= self.names(run, to)


def test_dry_run(
    run: Path, online: Hub, to: HubSection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(run), f"hub.base_model={to.base_model}", "--repo-id", "someone/moralis", "--dry-run"]
    monkeypatch.setattr(sys, "argv", ["moralfit.push", *arguments])
    with pytest.raises(SystemExit) as stop:
        run_cli(app)
    shown = capsys.readouterr().out
    assert not stop.value.code, shown
    assert writes(online) == []
    for repository in contents(run, to):
        assert f"{repository.kind} {repository.name}, private" in shown
        for name, size in repository.sizes().items():
            assert re.search(rf"{re.escape(name)}\s+│\s+{size:,}", shown), name
    assert "base_model: maker/tiny-llama" in shown
    push_run(run, to)
    for repository in contents(run, to):
        there = online.repos[repository.kind, repository.name].files
        assert {name: len(there[name]) for name in there if name != ".gitattributes"} == repository.sizes()


def test_push_at_the_end_of_a_run(write_recipe: Recipes, online: Hub, to: HubSection) -> None:
    from moralfit.train import Run

    section = {"push": True, "repo_id": "someone/other", "base_model": to.base_model}
    console = Console(width=200, record=True, file=StringIO())
    Run(load_recipe(write_recipe(hub=section, evaluation={"prompts": 1, "compare": ["random"]})), console).go(False)
    assert f"pushed to {online.address}/someone/other" in console.export_text()
    assert "moralfit.yaml" in online.repos["model", "someone/other"].files


@pytest.mark.parametrize("name", ["a/b/c", "moralis", "some one/moralis", "someone/.."])
def test_malformed_name(name: str) -> None:
    with pytest.raises(ValueError, match="user/name"):
        HubSection(repo_id=name)


@pytest.mark.parametrize(
    ("preference", "said"),
    [
        (HomoEconomicus(), "u(x, y) = pi(x, y)"),
        (HomoMoralis(0.5), "u(x, y) = (1 - kappa) pi(x, y) + kappa pi(x, x), kappa = 0.5"),
        (
            SocialPreferences(alpha=0.25, beta=-1),
            "u(x, y) = pi(x, y) - alpha E[max(0, other - own)] - beta E[max(0, own - other)], alpha = 0.25, beta = -1",
        ),
    ],
)
def test_formula(preference: SocialPreferences, said: str) -> None:
    assert formula(preference) == said
