"""The notebooks about applications run from top to bottom: with a tiny model, with its adapter, and with the embedded model.

The tiny model says nothing that makes sense, so what is asserted of its words is how they are counted.
"""

import os
from io import StringIO
from pathlib import Path

import pytest
import torch
import yaml
from rich.console import Console
from test_notebooks import run
from tiny_model import TINY, VALUES

from moralfit.recipe import load_recipe
from moralfit.train import Run


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A folder with a run of the tiny model that goes by the name of the quickstart's."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("notebook-runs")
    (folder / TINY).symlink_to(tiny)
    values = {**VALUES, "name": "quickstart", "training": {**VALUES["training"], "epochs": 1}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values))
    before = Path.cwd()
    os.chdir(folder)
    try:
        started = Run(load_recipe("recipe.yaml"), Console(file=StringIO()))
        started._claim(False)
        started._data()
        started._train()
    finally:
        os.chdir(before)
    return folder


def pictures(shown, *names):
    """Every axis of each picture has something drawn on it, and there are no other pictures."""
    figures = {name: value for name, value in shown.items() if name.startswith("figure_")}
    assert sorted(figures) == sorted(names)
    for name, figure in figures.items():
        assert figure.axes, name
        assert all(axis.has_data() for axis in figure.axes), name


# --- Pricing


def theory_of_prices(shown):
    assert shown["table"]["price"].round(4).to_list() == [1.0, 1.4729, 1.9250]
    assert shown["table"]["Delta"].to_list()[1:] == pytest.approx([0, 1])
    solved = {key: found for key, (found, _) in shown["checked"].items()}
    firms = [solved["firms", kappa] for kappa in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert firms == pytest.approx([1.4729, 1.5829, 1.7106, 1.8293, 1.9250], abs=1e-4)
    assert solved["firms+consumers", 0.5] == pytest.approx(1.435, abs=1e-3)
    assert solved["firms+consumers", 1.0] == pytest.approx(1.0)
    for found, best in shown["checked"].values():
        assert found == pytest.approx(best, abs=5e-4)


def learning_and_rules(shown):
    assert all(session.converged for session in shown["sessions"])
    assert len(shown["deltas"]) == 20
    # Calvano et al. (2020) report about .85 over a thousand sessions.
    assert shown["deltas"].mean() == pytest.approx(0.85, abs=0.06)
    before, forced, after = shown["paths"][:3]
    assert forced[0] < before[0] - 0.1
    assert forced[1] == pytest.approx(before[1], abs=0.03)
    # The rival's punishment, and the return.
    assert after[1] < before[1] - 0.1
    assert shown["paths"][-1] == pytest.approx(before, abs=0.03)
    assert (shown["gains"] <= 0).mean() >= 0.8
    duels = shown["duels"]
    assert duels.loc["nash", "nash"] == pytest.approx(0, abs=1e-9)
    for rule in ("monopoly", "grim-trigger", "price-matching"):
        assert duels.loc[rule, "monopoly"] == pytest.approx(1)
    assert duels["monopoly"].idxmax() == "best-reply"
    assert duels.loc["best-reply", "monopoly"] > 1.5
    assert duels["nash"].max() == pytest.approx(0, abs=1e-9)


def words_about_prices(shown, printed, agents):
    records, nash = shown["records"], shown["nash"]
    assert len(records) == 2 * 3 * len(shown["pairings"])
    assert set(records["agent"]) == {"nash", *agents}
    assert records.loc[records["agent"] == "nash", "price"].to_list() == pytest.approx([nash] * 3)
    assert set(shown["outcomes"].index) == {*agents, "All"}
    spoken = records[records["agent"] != "nash"]
    assert shown["outcomes"].loc["All", "All"] == len(spoken)
    assert (spoken["price"] <= spoken["ceiling"]).all()
    assert "Nobody buys at a price above" in printed
    assert "It is now period 3." in printed
    fallback = spoken[spoken["pairing"] == "base-base"]["status"] == "fallback"
    assert shown["ends"].loc["base-base", "fallback"] == pytest.approx(fallback.mean())
    assert len(shown["figure_words"].axes) == len(shown["pairings"])


PRICING = ("figure_moralis", "figure_learning", "figure_rules", "figure_words")


def test_pricing(workplace, monkeypatch, capsys):
    monkeypatch.setenv("MORALFIT_NOTEBOOK_BASE", TINY)
    shown = run("03_pricing.ipynb")
    theory_of_prices(shown)
    learning_and_rules(shown)
    printed = capsys.readouterr().out
    assert "the base plays alone" in printed
    words_about_prices(shown, printed, {"base"})
    pictures(shown, *PRICING)


def test_pricing_with_an_adapter(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    monkeypatch.setenv("MORALFIT_NOTEBOOK_BASE", TINY)
    shown = run("03_pricing.ipynb")
    printed = capsys.readouterr().out
    assert "quickstart-moralis-1/adapter: reloaded" in printed
    words_about_prices(shown, printed, {"base", "moralis"})
    pictures(shown, *PRICING)


@pytest.mark.slow
def test_pricing_with_the_embedded_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shown = run("03_pricing.ipynb")
    words_about_prices(shown, capsys.readouterr().out, {"base"})
    pictures(shown, *PRICING)


# --- Dilemmas


def theory_of_dilemmas(shown, printed):
    assert shown["sizes"].loc["Autonomous vehicles"].to_list() == [50, 180]
    street = [int(n) for n in shown["street"]]
    assert {1, 2, 5, 10, 100} <= set(street)
    for (aboard, standpoint), values in shown["thresholds"].items():
        m = 1 if aboard == "alone" else 2
        found = dict(zip(street, values, strict=True))
        for n in street:
            if n <= m:
                assert found[n] != found[n], (aboard, standpoint, n)
            else:
                expected = (n + m) / (2 * n) if standpoint == "role known" else 1 / (n - m + 1)
                assert found[n] == pytest.approx(expected)
    answers = shown["answers"]
    assert answers.loc["social dilemma"].to_list() == [1, 1, 0, 0]
    assert answers.loc["own"].to_list() == [0, 0, 1, 1]
    assert answers.loc["rule"].to_list() == [1, 1, 1, 1]
    # Half of those that are not vaccinated would fall ill at a coverage of 60: kappa > (.7 - .5) / (.8 - .5).
    assert shown["joining"][7][60] == pytest.approx(2 / 3)
    assert shown["joining"][7][0] == shown["joining"][3][60] == 0
    for values in shown["joining"].values():
        assert values == sorted(values)
    assert "76 % find it more moral to sacrifice one passenger for ten pedestrians" in printed
    assert "Bonnefon, Shariff and Rahwan (2016)" in printed
    assert "Answer: number" in printed
    assert "Answer: letter" in printed


def words_about_dilemmas(shown, agents):
    items, records = shown["items"], shown["records"]
    assert len(items) == 2 * 3 * 4 * 2 * 2
    assert len(records) == len(items) * len(agents)
    assert [agent["key"] for agent in shown["summary"]["agents"]] == agents
    for key, title in (("autonomous-vehicles", "Autonomous vehicles"), ("vaccination", "Vaccination")):
        family = shown["summary"]["families"][key]
        assert len(family["levels"]) == 3
        for agent in agents:
            own = [r for r in records if (r["family"], r["agent"], r["format"]) == (key, agent, "choice")]
            assert len(own) == 24
            share = sum(r["status"] == "answered" for r in own) / len(own)
            assert shown["quality"].loc[(key, agent), "answered, choice"] == f"{share:.0%}"
            assert all(0 < r["probability"] < 1 for r in own)
            moral = [r for r in records if (r["family"], r["agent"], r["question"]) == (key, agent, "moral")]
            asked = [r["expected"] if r["format"] == "scale" else r["probability"] for r in moral]
            cell = shown["tables"][title].loc[(title, "moral", agent, "logits"), "all"]
            assert cell.startswith(f"{sum(asked) / len(asked):.0%} [")
    assert len(shown["figure_cars"].axes) == len(shown["figure_vaccines"].axes) == 4


DILEMMAS = ("figure_switching", "figure_vaccination", "figure_cars", "figure_vaccines")


def test_dilemmas(workplace, monkeypatch, capsys):
    monkeypatch.setenv("MORALFIT_NOTEBOOK_BASE", TINY)
    shown = run("04_dilemmas.ipynb")
    printed = capsys.readouterr().out
    theory_of_dilemmas(shown, printed)
    assert "the base answers alone" in printed
    words_about_dilemmas(shown, ["base"])
    pictures(shown, *DILEMMAS)


def test_dilemmas_with_an_adapter(trained, monkeypatch):
    monkeypatch.chdir(trained)
    monkeypatch.setenv("MORALFIT_NOTEBOOK_BASE", TINY)
    shown = run("04_dilemmas.ipynb")
    words_about_dilemmas(shown, ["base", "prompted", "tuned"])
    pictures(shown, *DILEMMAS)


@pytest.mark.slow
def test_dilemmas_with_the_embedded_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = run("04_dilemmas.ipynb")
    words_about_dilemmas(shown, ["base"])
    pictures(shown, *DILEMMAS)
