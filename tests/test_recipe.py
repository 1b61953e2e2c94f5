from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from moralfit.errors import RecipeError
from moralfit.games import GAMES
from moralfit.preferences import HomoEconomicus, HomoMoralis
from moralfit.recipe import Recipe, load_recipe, parse_recipe

#: Those of training runs; the others have tests of their own.
RECIPES = sorted(
    path
    for path in (Path(__file__).parents[1] / "recipes").glob("*.yaml")
    if not path.stem.startswith(("pricing-", "sweep-", "tournament"))
)
SMALL = "name: small\npreference: {kind: moralis, kappa: 0.5}\n"


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def load(tmp_path: Path, text: str | bytes, *overrides: str) -> Recipe:
    return load_recipe(written(tmp_path, text), overrides)


def problems(tmp_path: Path, text: str | bytes, *overrides: str) -> list[str]:
    """What is wrong, without the file's name, one entry a problem."""
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, text, *overrides)
    first, *listed = str(caught.value).splitlines()
    assert first.startswith(f"{tmp_path / 'recipe.yaml'}: ")
    if listed:
        assert f"{len(listed)} problem" in first
    return [line.removeprefix("  - ") for line in listed] or [first.partition(": ")[2]]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_both_preferences_fit(path: Path) -> None:
    recipe = load_recipe(path)
    assert set(recipe.data.games) <= set(GAMES)
    assert load_recipe(path, ["preference=economicus"]).preference.build() == HomoEconomicus()
    assert load_recipe(path, ["preference=moralis", "preference.kappa=0.25"]).preference.build() == HomoMoralis(Fraction(1, 4))


def test_there_are_recipes() -> None:
    assert {"quickstart"} <= {path.stem for path in RECIPES}


def test_defaults_are_a_whole_run(tmp_path: Path) -> None:
    recipe = load(tmp_path, SMALL)
    assert recipe.data.games == tuple(GAMES)
    assert recipe.model.base == "embedded"
    assert recipe.run == Path("runs/small-moralis-0.5")
    assert load(tmp_path, SMALL, "preference=economicus").run == Path("runs/small-economicus")


@pytest.mark.parametrize(
    "extra",
    [
        "",
        'data: {system: "5e-4", games: [trust_game], beliefs: {unstated: 0.1}}\n',
        "data: {system: 'Zeile 1\n\n  # kein Kommentar: ü'}\n",
        'lora: {target_modules: [q_proj, v_proj], peft: {use_rslora: true, rank_pattern: {"1e3": 8}}}\n',
        "training: {learning_rate: 5e-5, trl: {packing: false, x: null, y: [1, 2.5, a]}}\n",
        "evaluation: {compare: []}\nhub: {push: true, repo_id: me/it}\n",
    ],
)
def test_resolved_yaml_reads_back_equal(tmp_path: Path, extra: str) -> None:
    recipe = load(tmp_path, SMALL + extra)
    text = recipe.as_yaml()
    again = load(tmp_path, text)
    assert again == recipe
    assert again.as_yaml() == text


def test_resolved_yaml_holds_what_was_given(tmp_path: Path) -> None:
    recipe = load(tmp_path, SMALL + 'data: {system: "5e-4"}\n', "training.learning_rate=5e-4")
    assert recipe.data.system == "5e-4"
    assert recipe.training.learning_rate == 0.0005
    assert load(tmp_path, recipe.as_yaml()).data.system == "5e-4"


def test_every_problem_is_listed_at_once_with_the_nearest_key(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
name: "two words"
seed: -1
preference: {kind: moralist, kapa: 2}
trainig: {epochs: 2}
learning_rate: 1e-4
lora: {r: true, alpha: .nan, learning_rat: 1, target_modules: [1]}
data: {games: [trust_gam], payoffs: {low: 1, hihg: 9}, plan_share: 1.5, heldout_samples: "9"}
evaluation: {compare: [bse]}
hub: 5
""",
    )
    by_key = {problem.partition(":")[0]: problem.partition(":")[2] for problem in found}
    assert len(by_key) == len(found) == 16
    expected = {
        "name": "(got 'two words')",
        "seed": "greater than or equal to 0 (got -1)",
        "preference.kind": "did you mean 'moralis'?",
        "preference.kapa": "unknown key, did you mean 'kappa'?; valid here: kind, kappa",
        "trainig": "did you mean 'training'?",
        "learning_rate": "did you mean 'training.learning_rate'?",
        "lora.r": "valid integer (got True)",
        "lora.alpha": "finite number (got nan)",
        "lora.learning_rat": "did you mean 'training.learning_rate'?",
        "lora.target_modules": "a list of module names (got [1])",
        "data.games": "unknown game 'trust_gam', did you mean 'trust_game'?",
        "data.payoffs.hihg": "did you mean 'high'?; valid here: low, high, step",
        "data.plan_share": "less than or equal to 1 (got 1.5)",
        "data.heldout_samples": "valid integer (got '9')",
        "evaluation.compare.0": "did you mean 'base'?",
        "hub": "keys of its own (got 5)",
    }
    assert sorted(by_key) == sorted(expected)
    for key, words in expected.items():
        assert words in by_key[key], key


@pytest.mark.parametrize(
    ("preference", "message"),
    [
        ("{kind: moralis, kappa: 1.01}", "preference.kappa: kappa must lie between 0 .* and 1 .*got 1.01"),
        ("{kind: moralis, kappa: -0.1}", "preference.kappa: kappa must lie between"),
        ("{kind: moralis, kappa: .inf}", "preference.kappa: input should be a finite number"),
        ("{kind: moralis, kappa: .nan}", "preference.kappa: input should be a finite number"),
        ("{kind: moralis, kappa: half}", "preference.kappa: input should be a valid number .got 'half'."),
        ("{kind: moralis}", "preference: homo moralis needs kappa, for example preference.kappa=0.5"),
        ("moralis", "preference: homo moralis needs kappa"),
        ("{kind: economicus, kappa: 0.5}", "preference: homo economicus has no kappa"),
        ("{}", "preference.kind: required but not given"),
        ("[a]", "preference: a section has keys of its own"),
    ],
)
def test_preference_problems(tmp_path: Path, preference: str, message: str) -> None:
    (found,) = problems(tmp_path, f"name: x\npreference: {preference}\n")
    import re

    assert re.match(message, found), found


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("data: {payoffs: {low: 1, high: 5}}", "data.payoffs: payoff grid 1..5 in steps of 1: needs"),
        ("data: {payoffs: {step: 0}}", "data.payoffs: payoff grid 1..20 in steps of 0"),
        ("data: {games: []}", "data.games: name each game once, and at least one"),
        ("data: {games: [trust_game, trust_game]}", "data.games: name each game once"),
        ("data: {games: trust_game}", "data.games: input should be a valid tuple"),
        ("data: {beliefs: {unstated: 0, certain: 0, halves: 0}}", "data.beliefs: at least one kind of belief"),
        ("data: {beliefs: {halves: .inf}}", "data.beliefs.halves: input should be a finite number"),
        ("data: {train_samples: 0}", "data.train_samples: input should be greater than or equal to 1"),
        ("data: {train_samples: 10.5}", "data.train_samples: input should be a valid integer"),
        ("training: {learning_rate: fast}", "training.learning_rate: input should be a valid number (got 'fast')"),
        ("training: {trl: [1]}", "training.trl: input should be a valid dictionary (got [1])"),
        ("model: {dtype: fp16}", "model.dtype: input should be 'auto', 'float32', 'bfloat16' or 'float16' (got 'fp16')"),
        ("hub: {push: true}", "hub: hub.push needs hub.repo_id"),
        ("hub: {push: 'yes'}", "hub.push: input should be a valid boolean (got 'yes')"),
        ("3: x", "3: keys should be strings"),
    ],
)
def test_one_problem_each(tmp_path: Path, section: str, message: str) -> None:
    (found,) = problems(tmp_path, SMALL + section + "\n")
    assert found.startswith(message), found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nname: y\n", "not valid YAML: line 2, column 1: key 'name' appears twice"),
        ("lora: {r: 1, r: 2}\n", "not valid YAML: line 1, column 14: key 'r' appears twice"),
        ("name: [1\nlora: {}\n", "not valid YAML: line 2, column 5:"),
        ("name: !!python/object:os.system x\n", "not valid YAML: line 1, column 7: could not determine a constructor"),
        ("name: \x00\n", "not valid YAML: "),
        (b"name: \xff\n", "the recipe is not UTF-8 text"),
        ("", "a recipe is a mapping of sections, not NoneType"),
        ("- a\n", "a recipe is a mapping of sections, not list"),
    ],
)
def test_unreadable_files(tmp_path: Path, text: str | bytes, message: str) -> None:
    (found,) = problems(tmp_path, text)
    assert found.startswith(message), found


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.yaml: cannot read the recipe \(No such file or directory\); recipes/ has"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="Is a directory"):
        load_recipe(tmp_path)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("preference.kappa=0.25", "preference.kappa", 0.25),
        ("preference.kappa=1", "preference.kappa", 1.0),
        ("training.learning_rate=5e-4", "training.learning_rate", 5e-4),
        ("training.learning_rate=1E-4", "training.learning_rate", 1e-4),
        ("data.payoffs.high=30", "data.payoffs.high", 30),
        ("data.games=[trust_game, ultimatum_game]", "data.games", ("trust_game", "ultimatum_game")),
        ("lora.target_modules=[q_proj]", "lora.target_modules", ("q_proj",)),
        ("lora.peft.use_dora=true", "lora.peft", {"use_dora": True}),
        ("training.trl={packing: false, neftune_noise_alpha: 5}", "training.trl", {"packing": False, "neftune_noise_alpha": 5}),
        ("data.system=a=b", "data.system", "a=b"),
        ("data.system='x: y'", "data.system", "x: y"),
        ("data.system=null", "data.system", None),
        ("data.system=", "data.system", None),
        ("model.revision='123'", "model.revision", "123"),
        ("hub.private=false", "hub.private", False),
    ],
)
def test_overrides(tmp_path: Path, override: str, key: str, value: Any) -> None:
    found: Any = load(tmp_path, SMALL + 'data: {system: "before"}\n', override)
    for part in key.split("."):
        found = getattr(found, part)
    assert found == value
    assert type(found) is type(value)


def test_overrides_apply_in_order(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL, "seed=1", "seed=2").seed == 2
    economicus = load(tmp_path, SMALL, "preference=economicus")
    assert (economicus.preference.kind, economicus.preference.kappa) == ("economicus", None)
    moralis = load(tmp_path, SMALL, "preference=economicus", "preference=moralis", "preference.kappa=0.75")
    assert moralis.preference.kappa == 0.75
    both = problems(tmp_path, SMALL, "preference=economicus", "preference.kappa=0.5")
    assert both == ["preference: homo economicus has no kappa: leave it out; on the command line say preference=economicus"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "'seed': an override has the form section.key=value"),
        ("=3", "'=3': an override has the form"),
        ("lora..r=3", "'lora..r=3': an override has the form"),
        ("--seed=3", "'--seed=3': an override has the form"),
        ("seed.x=3", "'seed.x=3': seed is a value, not a section"),
        ("data.system=[", "'data.system=[': the value is not valid YAML; put text"),
        ("lorra.r=3", "lorra: unknown key, did you mean 'lora'?"),
        ("data.payofs.high=9", "data.payofs: unknown key, did you mean 'payoffs'?"),
        ("lora=3", "lora: a section has keys of its own (got 3)"),
    ],
)
def test_bad_overrides(tmp_path: Path, override: str, message: str) -> None:
    found = problems(tmp_path, SMALL + "seed: 1\n", override)
    assert len(found) == 1
    assert found[0].startswith(message), found


def test_problems_of_overrides_come_with_those_of_the_file(tmp_path: Path) -> None:
    found = problems(tmp_path, SMALL + "sed: 1\n", "lora", "lora.r=0")
    assert [problem.split(":")[0] for problem in found] == ["'lora'", "lora.r", "sed"]


def test_what_is_parsed_is_left_as_it_was() -> None:
    values = {"name": "x", "preference": "economicus"}
    assert parse_recipe(values, "stored").preference.build() == HomoEconomicus()
    assert values == {"name": "x", "preference": "economicus"}
    with pytest.raises(RecipeError, match=r"^stored: 1 problem in the recipe\n  - preference: required but not given$"):
        parse_recipe({"name": "x"}, "stored")


def test_kappa_is_the_number_that_was_written(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL, "preference.kappa=0.1").preference.build() == HomoMoralis(Fraction(1, 10))
