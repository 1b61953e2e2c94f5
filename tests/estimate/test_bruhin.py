"""Real choices against what Bruhin, Fehr and Schunk (2019) print; read where they are, never part of the project."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from moralfit.estimate import (
    EstimationError,
    allocation_choices,
    estimate,
    load_bruhin2019,
    load_trust_games,
    mixture,
    predict_trust,
    score_predictions,
    trust_features,
)

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("MORALFIT_BRUHIN2019", ROOT.parent / "shared" / "data" / "bruhin2019"))
needs_data = pytest.mark.skipif(not (FOLDER / "choices_session1.csv").is_file(), reason="no Bruhin-Fehr-Schunk data here")


@pytest.fixture(scope="module")
def people():
    return load_bruhin2019(FOLDER)


@pytest.fixture(scope="module")
def three(people):
    return mixture(people, 3, starts=5, standard_errors="cluster")


@needs_data
def test_the_pooled_estimates_are_the_published_digits(people):
    found = estimate(people, standard_errors="cluster")
    assert (people.n, len(people.agent_names), found.clusters) == (18720, 160, 160)
    assert found.converged
    assert round(found.loglik, 2) == -5472.31
    assert {name: round(found.parameters[name], 3) for name in "abgd"} == {"a": 0.083, "b": 0.261, "g": 0.072, "d": -0.042}
    assert round(found.sigma, 4) == 0.0156
    # Ours, with CR3; the documentation prints them.
    assert {name: round(found.se[name], 4) for name in "abgd"} == {"a": 0.0148, "b": 0.0188, "g": 0.0135, "d": 0.0113}
    assert round(found.sigma_se, 4) == 0.0007
    assert found.interval("b")[0] > 0


@needs_data
def test_the_three_types_are_the_published_ones(three):
    assert three.converged
    assert three.warnings == ()
    order = [1, 0, 2]  # printed: strongly altruistic, moderately altruistic, behindness averse; here the largest first
    assert [round(float(three.shares[k]), 3) for k in order] == [0.405, 0.474, 0.121]
    printed = {
        "a": (0.159, 0.065, -0.435),
        "b": (0.463, 0.130, -0.145),
        "g": (0.151, -0.001, 0.171),
        "d": (-0.054, -0.027, -0.075),
    }
    for name, values in printed.items():
        assert tuple(round(three.types[k][name], 3) for k in order) == values
    assert [round(1 / three.types[k]["lambda"], 3) for k in order] == [0.018, 0.032, 0.008]
    # Standard errors are ours too.
    assert [round(float(three.share_se[k]), 3) for k in order] == [0.051, 0.042, 0.046]
    errors = {
        "a": (0.043, 0.013, 0.130),
        "b": (0.032, 0.017, 0.180),
        "g": (0.028, 0.012, 0.139),
        "d": (0.029, 0.012, 0.202),
    }
    for name, values in errors.items():
        assert tuple(round(three.se[k][name], 3) for k in order) == values
    assert sum(s.converged and s.loglik > three.loglik - 1e-4 for s in three.starts) >= 4


@needs_data
def test_the_types_predict_trust_games_better_than_chance(people, three):
    frame = load_trust_games(FOLDER)
    shares = frame.groupby("cost")["trustworthy"].mean()
    assert shares.round(2).tolist() == [0.94, 0.8, 0.76, 0.71, 0.61, 0.56, 0.48, 0.41, 0.29, 0.12]
    assert set(frame["sid"]) <= set(people.agent_names)
    costs = frame["cost"].to_numpy(dtype=float)
    by_type = np.array([predict_trust(values, costs) for values in three.types])
    scored = score_predictions(
        frame,
        {
            "pooled": predict_trust(estimate(people).parameters, costs),
            "types": three.shares @ by_type,
            "own type": (three.memberships().loc[frame["sid"]].to_numpy() * by_type.T).sum(axis=1),
        },
    )
    assert scored.loc["chance", "log_score"] == pytest.approx(-np.log(2))
    # Population shares: closer than chance and than the best constant, by both measures.
    for worse in ("chance", "constant"):
        assert scored.loc["types", "share_error"] < 0.65 * scored.loc[worse, "share_error"]
        assert scored.loc["types", "log_score"] > scored.loc[worse, "log_score"] + 0.07
    # Person by person, knowing the type helps; but types estimated on dictator games are too sure of themselves.
    assert scored.loc["own type", "right"] > 0.7
    assert scored.loc["pooled", "right"] > 0.69


@needs_data
@pytest.mark.slow
def test_speed(people):
    estimate(people)
    begun = time.perf_counter()
    estimate(people)
    assert time.perf_counter() - begun < 0.05
    begun = time.perf_counter()
    mixture(people, 3, starts=20)
    assert time.perf_counter() - begun < 10


def rows(n=8):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.integers(1, 9, size=(n, 4)) * 100, columns=["self_x", "self_y", "other_x", "other_y"])
    for side in "xy":
        frame[f"s_{side}"] = (frame[f"other_{side}"] > frame[f"self_{side}"]).astype(int)
        frame[f"r_{side}"] = (frame[f"other_{side}"] < frame[f"self_{side}"]).astype(int)
    return frame.assign(sid=np.arange(n) // 4, q=0, v=np.arange(n) % 2, choice_x=np.arange(n) % 2)


def test_features_are_the_utility_of_the_paper():
    frame = rows()
    choices = allocation_choices(frame)
    a, b, g, d = 0.1, 0.4, 0.2, -0.3
    for row in frame.to_dict("records"):
        utility = []
        for side in "xy":
            w = a * row[f"s_{side}"] + b * row[f"r_{side}"] + g * row["q"] + d * row["v"]
            utility.append((1 - w) * row[f"self_{side}"] + w * row[f"other_{side}"])
        found = choices.features @ [1, a, b, g, d]
        pairs = found.reshape(-1, 2)
        assert any(pair == pytest.approx(utility) for pair in pairs)
    assert choices.counts.sum() == len(frame)
    assert choices.agents == ("0", "1")


def test_trust_is_an_allocation_after_kindness():
    weights = np.array([1, 0.1, 0.4, 0.2, -0.3])
    behind, ahead = trust_features(800)[0] @ weights, trust_features(100)[0] @ weights
    assert behind == pytest.approx(400 + (0.1 + 0.2) * 500)
    assert ahead == pytest.approx(1100 + (0.4 + 0.2) * (900 - 1100))
    assert trust_features(800)[1] @ weights == pytest.approx((1 - 0.6) * 1200)
    p = predict_trust({"a": 0.1, "b": 0.4, "g": 0.2, "d": -0.3, "lambda": 300.0}, np.array([800.0]))
    assert p == pytest.approx([1 / (1 + np.exp(-(behind - 480) / 300))])


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(EstimationError, match=r"choices_session1.csv: not found"):
        load_bruhin2019(tmp_path)
    frame = rows()
    frame.drop(columns="q").to_csv(tmp_path / "choices_session1.csv", index=False)
    with pytest.raises(EstimationError, match="lacks the columns q"):
        load_bruhin2019(tmp_path)
    frame.astype(float).assign(self_x=[100.0, np.nan, *[200.0] * 6]).to_csv(tmp_path / "choices_session1.csv", index=False)
    with pytest.raises(EstimationError, match="empty values in rows 1"):
        load_bruhin2019(tmp_path)
    frame.assign(choice_x=[2, *[1] * 7]).to_csv(tmp_path / "choices_session1.csv", index=False)
    with pytest.raises(EstimationError, match="must be 0 or 1; rows 0 are not"):
        load_bruhin2019(tmp_path)
    frame.to_csv(tmp_path / "choices_session1.csv", index=False)
    (tmp_path / "excluded_subjects.csv").write_text("1\n")
    assert load_bruhin2019(tmp_path).agents == ("0",)
