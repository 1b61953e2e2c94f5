from __future__ import annotations

from pathlib import Path

import pytest

from moralfit.errors import RecipeError
from moralfit.pricing import SCRIPTED, PricingRecipe, benchmarks, load_pricing_recipe
from moralfit.pricing._prompt import WORDINGS
from moralfit.pricing._recipe import KINDS, plan

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("pricing-*.yaml"))
SMALL = "name: small\nagents: {base: base, nash: nash, grim: {kind: grim-trigger}}\n"


def load(tmp_path: Path, text: str, *overrides: str) -> PricingRecipe:
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    return load_pricing_recipe(tmp_path / "recipe.yaml", overrides)


def problems(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, text, *overrides)
    return [line.removeprefix("  - ") for line in str(caught.value).splitlines()[1:]]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_explains_every_knob(path: Path) -> None:
    recipe = load_pricing_recipe(path)
    assert plan(recipe)
    assert recipe.name == path.stem
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum(line.lstrip().startswith("#") for line in lines) >= 20


def test_there_are_the_quickstart_and_the_full_design() -> None:
    assert {path.stem for path in RECIPES} == {"pricing-quickstart", "pricing-full"}
    full = load_pricing_recipe(next(path for path in RECIPES if path.stem == "pricing-full"))
    assert (full.periods, full.runs, full.scales, full.wordings, full.prompt.history) == (
        300,
        7,
        (1, 3.2, 10),
        ("P1", "P2"),
        100,
    )
    assert (full.ceiling.low, full.ceiling.high) == (1.5, 2.5)


def test_a_resolved_recipe_reads_back_the_same(tmp_path: Path) -> None:
    for path in RECIPES:
        recipe = load_pricing_recipe(path)
        assert load(tmp_path, recipe.as_yaml()) == recipe


def test_every_kind_of_agent_can_be_named() -> None:
    assert set(SCRIPTED) < set(KINDS)
    assert {"base", "prompted", "adapter", "q-learned", "q-learning"} < set(KINDS)


def test_all_problems_are_told_at_once_with_the_nearest_valid_names(tmp_path: Path) -> None:
    told = problems(
        tmp_path,
        """
name: a b
nam: x
market: {costs: [1, 2, 3], kosts: 1}
agents:
  one: {kind: adaptor, adapter: runs/x}
  two: {kind: prompted, preference: {kind: moralis, kapa: 0.5}}
  three: {kind: grim-trigger, adapter: runs/x}
  four: {kind: adapter}
  five: {kind: nash, foo: 1}
  six: {kind: nash, learning: {points: 4}}
  seven: {kind: q-learning, learning: {points: 1}}
  eight: prompted
scales: [1, -1]
wordings: [P1, P3]
ceiling: {low: 2, high: 1}
pairings: some
temperature: 1
decoding: {temperature: hot, batch: 3}
""",
        "periods=0",
        "seed",
    )
    expected = [
        "'seed': an override has the form",
        "name: must consist of letters",
        "nam: unknown key, did you mean 'name'?",
        "market.kosts: unknown key, did you mean 'costs'?",
        "agents.one.kind: unknown kind, did you mean 'adapter'?",
        "agents.two.preference.kapa: unknown key, did you mean 'kappa'?",
        "agents.three: adapter is for agents of kind adapter",
        "agents.four: an agent of kind adapter needs adapter",
        "agents.five.foo: unknown key; valid here: kind, adapter, preference, learning",
        "agents.six: learning is for agents of kind q-learned or q-learning",
        "agents.seven.learning: points must be a whole number and at least 2",
        "agents.eight: an agent of kind prompted needs preference",
        "scales.1: input should be greater than 0",
        "wordings: unknown wording 'P3', did you mean 'P2'?",
        "ceiling: high must be at least low",
        "pairings: must be all, or a list of pairings",
        "temperature: unknown key, did you mean 'decoding.temperature'?",
        "decoding.temperature: input should be a valid number",
        "decoding.batch: unknown key, did you mean 'batch_size'?",
        "periods: input should be greater than or equal to 1",
    ]
    for start in expected:
        assert [line for line in told if line.startswith(start)], (start, told)
    assert len(told) == len(expected), told


@pytest.mark.parametrize(
    ("pairings", "message"),
    [
        ("[[base, nsh]]", "[base, nsh]: unknown agent 'nsh', did you mean 'nash'?"),
        ("[[base]]", "[base] names 1 for 2 firms"),
        ("[[base, nash], [base, nash]]", "a pairing is named twice"),
        ("[base, nash]", "must be all, or a list of pairings"),
        ("[]", "must be all, or a list of pairings"),
    ],
)
def test_pairings_name_agents_for_every_firm(tmp_path: Path, pairings: str, message: str) -> None:
    (told,) = problems(tmp_path, SMALL, f"pairings={pairings}")
    assert told.startswith("pairings: ")
    assert message in told


@pytest.mark.parametrize(
    ("market", "message"),
    [
        ("{mu: -1}", "mu must be above 0"),
        ("{costs: 9}", "leaves firm 0 without demand"),
        ("{costs: [1]}", "costs has 1 entries for 2 firms"),
        ("{costs: cheap}", "must be a number, or a list"),
        ("{qualities: [2, true]}", "must be a number, or a list"),
        ("{size: 0}", "size must be above 0"),
    ],
)
def test_impossible_markets_are_told(tmp_path: Path, market: str, message: str) -> None:
    (told,) = problems(tmp_path, SMALL, f"market={market}")
    assert told.startswith("market")
    assert message in told


@pytest.mark.parametrize("name", ["a-b", "a b", "_a", "a/b", "''"])
def test_names_of_agents_can_be_joined_by_dashes(tmp_path: Path, name: str) -> None:
    (told,) = problems(tmp_path, f"name: small\nagents: {{{name}: nash}}\n")
    assert told.startswith("agents: ")


def test_all_pairings_of_equal_firms_are_combinations_and_of_unequal_ones_are_ordered(tmp_path: Path) -> None:
    equal = load(tmp_path, SMALL).pairs()
    names = ["base", "nash", "grim"]
    assert equal == [(a, b) for i, a in enumerate(names) for b in names[i:]]
    unequal = load(tmp_path, SMALL, "market.costs=[1, 1.2]").pairs()
    assert unequal == [(a, b) for a in names for b in names]
    assert len(load(tmp_path, SMALL, "market.firms=3").pairs()) == 10


def test_runs_differ_in_what_they_should_and_share_the_rest(tmp_path: Path) -> None:
    recipe = load(tmp_path, SMALL, "scales=[1, 3.2]", "wordings=[P1, P2]", "runs=3", "seed=5")
    runs = plan(recipe)
    assert len(runs) == 6 * 2 * 2 * 3
    assert len({run.id for run in runs}) == len(runs)
    assert len({run.seed_of(firm, period) for run in runs for firm in (0, 1) for period in (1, 2)}) == 4 * len(runs)
    assert {run.wording for run in runs} <= set(WORDINGS)
    multiples = set()
    for run in runs:
        monopoly = benchmarks(run.market).monopoly.prices
        assert run.ceilings[0] == run.ceilings[1]
        assert 1.5 - 0.01 <= run.ceilings[0] / monopoly[0] <= 2.5 + 0.01
        multiples.add((run.market.scale, run.wording, run.replicate, run.ceilings))
    # One draw for each scale, wording and replicate, whoever meets.
    assert len(multiples) == 12
    assert len({m[3] for m in multiples}) > 9
    assert plan(recipe) == runs
    other = plan(load(tmp_path, SMALL, "scales=[1, 3.2]", "wordings=[P1, P2]", "runs=3", "seed=6"))
    assert all(a.ceilings != b.ceilings and a.seed_of(0, 1) != b.seed_of(0, 1) for a, b in zip(runs, other, strict=True))
