"""What the documents show is what the code does: samples, Python blocks, commands, and files that they name."""

from __future__ import annotations

import ast
import re
import shlex
from fractions import Fraction
from functools import cache
from importlib import import_module
from itertools import product
from pathlib import Path
from textwrap import indent

import pytest
import typer

from moralfit.games import sequential_prisoners_dilemma
from moralfit.preferences import HomoEconomicus, HomoMoralis
from moralfit.pricing import load_pricing_recipe
from moralfit.recipe import load_recipe, split_serve
from moralfit.words import FRAMES, Scene, check_sample, derive, render_prompt

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md"))))
#: Blocks that are not executed: what is in them, and why. What they import of ours must exist all the same.
NOT_RUN = {
    "yourname/moralis@commit": "fetches an agent from the Hub; tests/hub/test_load_agent.py does so from a hub of its own",
    "AutoPeftModelForCausalLM": "fetches a base from the Hub, which no test reaches",
    "load_bruhin2019(folder)": "data that is not ours to ship, and minutes; tests/estimate/test_bruhin.py has these calls",
}


@cache
def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks() -> list[tuple[str, str]]:
    return [(name, block) for name in DOCUMENTS for block in re.findall(r"^```python\n(.+?)^```$", text(name), re.S | re.M)]


class TestSample:
    """The prompt of README.md and its two replies."""

    @pytest.fixture
    def scene(self) -> Scene:
        game = sequential_prisoners_dilemma(T=9, R=6, P=3, S=1)
        frame = next(frame for frame in FRAMES if frame.name == "neighbours")
        return Scene(
            game=game,
            frame=frame,
            labels=(("path", "fence"),) * 3,
            order=((0, 1),) * 3,
            setting=frame.settings[0],
            roles=frame.roles[0],
            unit=frame.units[0],
            phrasing=(0, 0, 1),
            belief=game.strategy((1, Fraction(1, 2), 0)),
            decision=None,
        )

    def test_prompt(self, scene: Scene) -> None:
        assert f"\n{indent(render_prompt(scene), '    ')}\n" in text("README.md")

    @pytest.mark.parametrize("preference", [HomoMoralis(1), HomoEconomicus()])
    def test_reply(self, preference: HomoMoralis, scene: Scene) -> None:
        derivation = derive(scene, preference)
        check_sample(scene, preference, derivation.belief, render_prompt(scene), derivation.text)
        assert f"\n{indent(derivation.text, '    ')}\n" in text("README.md")


def test_every_reason_not_to_run_a_block_applies_to_one() -> None:
    for phrase in NOT_RUN:
        assert sum(phrase in block for _, block in blocks()) == 1, phrase


@pytest.mark.parametrize(("name", "block"), blocks(), ids=lambda value: value if value.endswith(".md") else "")
def test_python_block(name: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tree = ast.parse(block)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("moralfit"):
            module = import_module(str(node.module))
            assert [each.name for each in node.names if not hasattr(module, each.name)] == []
    if any(phrase in block for phrase in NOT_RUN):
        return
    plans = ["".join(plan) for plan in product("CD", repeat=3)]
    rows = [
        f"{agent},sequential_prisoners_dilemma,{payoffs},{belief},{plan},{1 + (3 * place + number) % 7}"
        for number, (agent, payoffs, belief) in enumerate(product("ab", ("9,6,3,1", "8,7,4,2", "20,9,8,1"), (0.2, 0.5, 0.8)))
        for place, plan in enumerate(plans)
    ]
    (tmp_path / "choices.csv").write_text("\n".join(["agent,game,T,R,P,S,belief,plan,count", *rows]))
    exec(compile(tree, name, "exec"), {})


def commands() -> list[tuple[str, str]]:
    """Every `python -m moralfit.x ...` in code spans and indented lines, with its document."""
    found = []
    for name in DOCUMENTS:
        pieces = [*re.findall(r"`([^`\n]+)`", text(name)), *re.findall(r"^ {4}(\S.+)$", text(name), re.M)]
        found += [(name, match[1]) for piece in pieces if (match := re.search(r"python -m (moralfit\..+)$", piece))]
    return found


@pytest.mark.parametrize(("name", "command"), commands())
def test_command_is_understood(name: str, command: str) -> None:
    module, *arguments = shlex.split(command, comments=True)
    parser = typer.main.get_command(import_module(f"{module}.__main__").app)
    # Without calling anything: raises where an option is unknown or an argument is missing.
    parser.make_context(module, list(arguments))
    files = [argument for argument in arguments if argument.endswith(".yaml")]
    overrides = [argument for argument in arguments if "=" in argument and not argument.startswith("-")]
    assert all((ROOT / file).is_file() for file in files)
    if module in ("moralfit.train", "moralfit.dataset"):
        load_recipe(ROOT / files[0], overrides)
    elif module == "moralfit.evaluate":
        _, own = split_serve(overrides)
        assert files or all(override.startswith("evaluation.") for override in own)
        load_recipe(ROOT / (files or ["recipes/quickstart.yaml"])[0], own)
    elif module == "moralfit.dilemmas":
        assert split_serve(overrides)[1] == []
    elif module == "moralfit.pricing":
        load_pricing_recipe(ROOT / files[0], overrides)


def test_commands_are_found() -> None:
    """Of a document that is written in another way, nothing would be checked."""
    modules = {command.split()[0] for name, command in commands() if name == "README.md"}
    assert modules >= {"moralfit.train", "moralfit.evaluate", "moralfit.dataset"}
    assert len(blocks()) >= 5


def test_overrides_and_options_that_the_readme_names_exist() -> None:
    spans = re.findall(r"`([^`\n]+)`", text("README.md"))
    overrides = [span.split() for span in spans if re.fullmatch(r"[a-z_]+(\.[a-z_]+)*=\S+( [a-z_.]+=\S+)*", span)]
    assert ["preference.kappa=0.5", "lora.r=8"] in overrides
    for given in overrides:
        _, own = split_serve(given)
        load_recipe(ROOT / "recipes/quickstart.yaml", own)
    parser = typer.main.get_command(import_module("moralfit.train.__main__").app)
    known = {option for parameter in parser.params for option in parameter.opts}
    named = {span for span in spans if span.startswith("--")}
    assert {"--validate", "--dry-run"} <= named <= known


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_are_named_exist(name: str) -> None:
    found = re.findall(r"(?<![\w/.])((?:[\w.-]+/)+[\w-]+\.(?:py|yaml|ipynb|md))\b", text(name))
    there = (ROOT, ROOT / "src/moralfit", (ROOT / name).parent)
    assert [file for file in found if not any((place / file).is_file() for place in there)] == []
    assert found


def test_ci_overlooks_no_failure() -> None:
    """Under `set -e`, bash goes on after a negated command that fails."""
    assert re.findall(r"^\s*! .*", text(".ci/run"), re.M) == []
