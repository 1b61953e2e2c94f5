"""The study of benchmarks/recovery_study.py with few samples: known preferences come back, with honest standard errors."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom
from typer import Typer
from typer.testing import CliRunner

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "recovery_study.py"
SAMPLES = 60


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("recovery_study", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    sys.modules["recovery_study"] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    yield module
    del sys.modules["recovery_study"]


@pytest.fixture(scope="module")
def rows(script):
    return script.study(SAMPLES, seed=1, points=("mixed",))


def complaints(rows, chance=1e-5):
    """What is wrong with a table: coverage or bias that chance gives with this probability, or standard errors far off."""
    said = []
    for row in rows:
        name, n = f"{row.form} {row.point} {row.parameter}", row.converged
        if n < 0.95 * row.samples:
            said.append(f"{name}: {n} of {row.samples} converged")
        if round(row.coverage * n) < binom.ppf(chance, n, 0.95):
            said.append(f"{name}: coverage {row.coverage:.2f}")
        # Lambda is a ratio's inverse, and has a bias of the order of a tenth of its standard error.
        if abs(row.bias) > (4.5 / np.sqrt(n) + 0.2) * row.empirical_se:
            said.append(f"{name}: bias {row.bias:.3f}")
        if not 0.67 < row.mean_se / row.empirical_se < 1.5:
            said.append(f"{name}: mean se {row.mean_se:.3f}, empirical {row.empirical_se:.3f}")
    return said


def test_known_preferences_come_back_in_every_form(rows):
    assert len(rows) == 3 * 4
    assert complaints(rows) == []
    # Together the intervals cover as often as one of 95 % does: 12 of them, of which four at a time share a sample.
    assert 0.91 < np.mean([row.coverage for row in rows]) < 0.99


def test_the_check_sees_intervals_that_are_too_short_and_estimates_that_are_off(script):
    truth = script.values_of(script.POINTS["mixed"])
    samples = [script.one_sample(n, form="plans", place=4, seed=1, profile=False) for n in range(SAMPLES)]

    def spoilt(shift, factor):
        made = []
        for sample in samples:
            found, se = np.array(sample.found) + shift * np.array(sample.se), np.array(sample.se) * factor
            covers = np.abs(found - list(truth.values())) <= 1.96 * se
            made.append(replace(sample, found=tuple(found), se=tuple(se), covers=tuple(covers)))
        return complaints(script.summarise("plans", "mixed", truth, made))

    assert spoilt(0, 1) == []
    assert any("coverage" in said for said in spoilt(0, 0.5))
    assert any("mean se" in said for said in spoilt(0, 0.5))
    assert any("bias" in said for said in spoilt(1, 1))


def test_figures_do_not_depend_on_the_order_of_the_samples(script):
    def backwards(function, numbers):
        return [function(number) for number in reversed(numbers)][::-1]

    options = {"seed": 5, "forms": ("plans",), "points": ("homo moralis",)}
    assert script.study(3, **options) == script.study(3, **options, run=backwards)
    assert script.study(3, **options) != script.study(3, **{**options, "seed": 6})


def test_three_types_come_back(script):
    rows, right = script.population_study(6, seed=2, starts=3)
    assert right > 0.95
    for row in rows:
        assert row.converged == 6
        assert abs(row.bias) < 2.5 * row.mean_se
        assert row.mean_se < (0.06 if row.parameter == "share" else 0.2)


def test_the_grid_identifies_everything(script):
    grid = script.default_grid()
    assert len(set(grid.situations)) == 60
    assert grid.report.identified
    assert {game.name for game, _ in grid.situations} == set(script.GAMES)
    assert grid.efficiency < 1


def test_the_table_is_written_between_the_markers_only(script, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{script.START}\nold\n{script.END}\nafter\n", encoding="utf-8")
    app = Typer()
    app.command()(script.main)
    asked = ["--samples", "2", "--populations", "0", "--form", "plans", "--write", str(page)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{script.START}\n")
    assert text.endswith(f"{script.END}\nafter\n")
    assert "old" not in text
    assert text.count("| plans | mixed, noisy |") == 1 + 4
    assert "without an estimate" in done.output
    page.write_text("nothing", encoding="utf-8")
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code != 0
    assert page.read_text(encoding="utf-8") == "nothing"
