"""The estimation notebook runs from top to bottom, with the experiment's data and without."""

import os
from pathlib import Path

import numpy as np
import pytest
from test_notebooks import run

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("MORALFIT_BRUHIN2019", ROOT.parent / "shared" / "data" / "bruhin2019"))


def agrees(shown):
    """What does not depend on the data of the experiment."""
    assert not shown["warned"].identified
    assert "kappa" in shown["warned"].lost
    assert shown["chosen"].report.identified
    assert shown["chosen"].efficiency < 0.9
    for name, value in shown["moral"].items():
        low, high = shown["found"].interval(name, 0.999)
        assert low < value < high
    tests = {(t.restricted, t.general): t.p_value for t in shown["compared"].tests}
    assert tests["homo economicus", "full"] < 1e-6
    # The picture's shaded interval is about where the profile crosses its line.
    inside = shown["grid"][shown["profile"] > shown["found"].loglik - 1.92]
    low, high = shown["found"].interval("kappa")
    assert inside.min() == pytest.approx(low, abs=0.04)
    assert inside.max() == pytest.approx(high, abs=0.04)
    errs = shown["estimates"]["never errs"]
    assert errs.status == "separated"
    assert np.isnan(errs.parameters["kappa"])
    for name, (low, high) in errs.region.limits.items():
        assert low - 1e-6 <= shown["moral"][name] <= high + 1e-6
    others = [one for label, one in shown["estimates"].items() if label != "never errs"]
    assert all(one.converged for one in others)
    assert len(shown["figure_agents"].axes) == 3
    assert shown["pooled"].converged
    assert shown["types"].converged
    assert all(figure.axes for name, figure in shown.items() if name.startswith("figure_"))


def test_with_simulated_people(monkeypatch, tmp_path):
    monkeypatch.setenv("MORALFIT_BRUHIN2019", str(tmp_path))
    shown = run("02_estimation.ipynb")
    agrees(shown)
    assert not shown["real"]
    assert shown["types"].shares == pytest.approx([0.6, 0.4], abs=1e-3)
    assert shown["types"].types[0]["b"] == pytest.approx(0.45, abs=0.05)
    assert shown["pooled"].n == 18_720


@pytest.mark.skipif(not (DATA / "choices_session1.csv").is_file(), reason="the data of Bruhin, Fehr and Schunk is not here")
def test_with_real_people(monkeypatch):
    monkeypatch.setenv("MORALFIT_BRUHIN2019", str(DATA))
    shown = run("02_estimation.ipynb")
    assert shown["real"]
    assert shown["types"].shares == pytest.approx([0.474, 0.405, 0.121], abs=5e-4)
    scores = shown["scores"]
    assert scores.loc["types", "share_error"] < 0.65 * scores.loc["chance", "share_error"]
    assert scores.loc["types", "log_score"] > scores.loc["chance", "log_score"]
