"""Secrets stay out of recipes, recipes run nothing, and a page shows what a model says as text."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from moralfit.credentials import secret_in, secrets_in_recipe, without_secrets
from moralfit.errors import RecipeError
from moralfit.recipe import load_recipe
from moralfit.report import write_report

TOKEN = "hf_" + "aB3" * 11
SMALL = "name: x\npreference: economicus\n"


class TestRecipes:
    def problem(self, tmp_path: Path, text: str, *overrides: str) -> str:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        with pytest.raises(RecipeError) as error:
            load_recipe(path, overrides)
        return str(error.value)

    @pytest.mark.parametrize(
        "text",
        [
            "hub: {token: %s}",
            "hub: {repo_id: %s}",
            "hub: {push: %s}",
            "hf_token: whatever",
            "model: {base: %s}",
            "data: {system: 'say %s now'}",
            "lora: {peft: {deep: {er: [1, {api_key: x}]}}}",
            "training: {trl: {hub_token: %s}}",
            "training: {trl: {report_to: 'https://me:secret@example.org'}}",
            "evaluation: {compare: [%s]}",
            "seed: %s",
        ],
    )
    def test_a_secret_is_refused_and_not_shown(self, text: str, tmp_path: Path) -> None:
        message = self.problem(tmp_path, SMALL + text.replace("%s", TOKEN) + "\n")
        assert "does not belong in a recipe" in message
        assert "HF_TOKEN in the environment" in message
        assert TOKEN not in message
        assert "secret@" not in message

    def test_on_the_command_line(self, tmp_path: Path) -> None:
        message = self.problem(tmp_path, SMALL, f"hub.token={TOKEN}")
        assert "hub.token: a Hugging Face token does not belong in a recipe" in message
        assert TOKEN not in message
        assert TOKEN not in self.problem(tmp_path, SMALL, f"{TOKEN}")

    def test_tokens_of_a_tokenizer_are_none(self) -> None:
        harmless = {
            "training": {"trl": {"eos_token": "<|im_end|>", "pad_token": "<pad>"}},
            "evaluation": {"max_new_tokens": 8},
            "hub": {"token": {}},
            "name": "hf_short",
        }
        assert list(secrets_in_recipe(harmless)) == []

    def test_a_recipe_that_unfolds_without_end(self, tmp_path: Path) -> None:
        lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
        assert "values: not a recipe" in self.problem(tmp_path, SMALL + "\n".join(lines))

    @pytest.mark.parametrize(
        "tag",
        [
            "!!python/object/apply:os.system ['touch ran']",
            "!!python/object/new:os.system ['touch ran']",
            "!!python/name:os.system ''",
            "!!python/module:os ''",
            "!!python/object:moralfit.recipe.Recipe {}",
            "!!python/tuple [1, 2]",
            "!run touch",
        ],
    )
    def test_no_code(self, tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert "could not determine a constructor" in self.problem(tmp_path, f"{SMALL}output: {tag}\n")
        assert "not valid YAML" in self.problem(tmp_path, SMALL, f"output={tag}")
        assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"x {TOKEN} y", "a Hugging Face token"),
        ("api_org_" + "a" * 34, "a Hugging Face token"),
        ("sk-proj-" + "a1" * 20, "an API key"),
        ("ghp_" + "a" * 36, "a GitHub token"),
        ("AKIA" + "A1" * 8, "an AWS key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "a private key"),
        ("http://me:pass@host", "a password in an address"),
        ("hf_xet, hf_hub_download, risk-averse", None),
        ("http://127.0.0.1:8000/v1 and me@example.org", None),
        ("https://huggingface.co/user/name@main: see there", None),
    ],
)
def test_what_a_secret_looks_like(text: str, kind: str | None) -> None:
    assert secret_in(text) == kind
    assert (without_secrets(text) == text) == (kind is None)
    assert secret_in(without_secrets(text)) is None


#: What a model could say to a page: elements, handlers, ends of the elements that may surround it, styles and templates.
SAID = (
    "<script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "</pre></article></script><script>document.title = 'owned'</script>",
    "'\"><svg onload=\"document.title='owned'\"></svg>",
    "<style>body {display: none}</style><iframe src=\"javascript:parent.document.title='owned'\"></iframe>",
    "<details open ontoggle=\"document.title='owned'\">",
)
CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; Debian's package is called chromium")
class TestInABrowser:
    def shown(self, page: Path) -> tuple[str, str]:
        """Title and elements of a page after its scripts, if it has any, have run."""
        assert CHROMIUM is not None
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        command += [
            f"--user-data-dir={page.parent / 'profile'}",
            "--virtual-time-budget=3000",
            "--dump-dom",
            page.resolve().as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert "<html" in done.stdout, done.stderr[-500:]
        title = re.search(r"<title>(.*?)</title>", done.stdout)
        return unescape(title[1]) if title else "", done.stdout

    @pytest.mark.parametrize("said", SAID[:4])
    def test_a_page_that_does_not_escape_is_owned(self, said: str, tmp_path: Path) -> None:
        """Were it not, the test below could not fail."""
        page = tmp_path / "page.html"
        page.write_text(
            f"<!doctype html><html><head><title>mine</title></head><body><article><pre>{said}</pre></article></body>"
        )
        assert self.shown(page)[0] == "owned"

    def test_what_a_model_says_is_text(self, run: Path) -> None:
        path = run / "evaluation/records.jsonl"
        records = [json.loads(line) for line in path.read_text().splitlines()]
        said = " ".join(SAID)
        for record in records:
            record["reply"] = f"{said}\n{record['reply']}"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        before = Path(write_report(run)).read_text()
        title, elements = self.shown(run / "report.html")
        assert title == unescape(re.search(r"<title>(.*?)</title>", before)[1]) != "owned"  # type: ignore[index]
        assert not re.search(r"<(script|img|iframe|svg onload|details open ontoggle)", elements)
        # Shown, not dropped: the browser's own serialisation has it as text.
        text = unescape(re.sub(r"<[^>]+>", "", elements))
        assert "<script>document.title = 'owned'</script>" in text
        assert "</pre></article></script>" in text
