"""Other people's discrete-choice software gives the same estimates, standard errors and log-likelihood on the same data.

xlogit (Arteaga, Park, Beeramoole and Paz 2022, Journal of Choice Modelling 42) has its own likelihood, a BFGS of its own and a
numerical Hessian. Once it estimates the logit's coefficients, and once, in what it calls willingness-to-pay space, the
preference itself with its standard errors, so that the delta method here is checked too. Biogeme (Bierlaire 2023), where it
is installed, maximises the same likelihood by its own derivatives of a formula. Features are computed here from the definition
of utility, one plan at a time.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from estimate_samples import TRUE, grid_situations

from moralfit.estimate import EstimationError, estimate, from_plans, load_bruhin2019, simulate_choices

DATA = Path(os.environ.get("MORALFIT_BRUHIN2019", Path(__file__).parents[3] / "shared" / "data" / "bruhin2019"))


class Long:
    """One line for each alternative of each choice: what such packages read. Missing plans are not available."""

    def __init__(self, blocks):
        """`blocks`: for each situation (alternatives, F) features and how often each alternative was chosen."""
        self.most = max(len(features) for features, _ in blocks)
        x, chosen, available = [], [], []
        for features, counts in blocks:
            padded = np.zeros((self.most, features.shape[1]))
            padded[: len(features)] = features
            there = np.arange(self.most) < len(features)
            for alternative, count in enumerate(counts):
                for _ in range(int(count)):
                    x.append(padded)
                    available.append(there)
                    chosen.append(alternative)
        self.x, self.chosen, self.available = np.array(x), np.array(chosen), np.array(available)
        self.n = len(x)

    def xlogit(self, preference):
        """(values, standard errors, log-likelihood): coefficients, or the preference followed by 1/lambda."""
        xlogit = pytest.importorskip("xlogit")
        columns = self.x.shape[2]
        flat = self.x.reshape(-1, columns)
        options = {"scale_factor": -flat[:, 0]} if preference else {}
        model = xlogit.MultinomialLogit()
        model.fit(
            flat[:, 1:] if preference else flat,
            (np.arange(self.most) == self.chosen[:, None]).astype(int).ravel(),
            varnames=[f"x{k}" for k in range(columns)][1 if preference else 0 :],
            alts=np.tile(np.arange(self.most), self.n),
            ids=np.repeat(np.arange(self.n), self.most),
            avail=self.available.astype(int).ravel(),
            tol_opts={"ftol": 1e-13},
            verbose=0,
            **options,
        )
        assert model.convergence
        return model.coeff_, model.stderr, model.loglikelihood

    def biogeme(self, names):
        """The same for the preference and 1/lambda, from a formula."""
        pytest.importorskip("biogeme")
        import biogeme.biogeme as bio
        import pandas as pd
        from biogeme import models
        from biogeme.database import Database
        from biogeme.expressions import Beta, Variable

        columns = {"chosen": self.chosen}
        for a in range(self.most):
            columns[f"there_{a}"] = self.available[:, a].astype(int)
            columns |= {f"x{k}_{a}": self.x[:, a, k] for k in range(self.x.shape[2])}
        Path("biogeme.toml").touch()  # or it writes one, which newer versions of tomlkit refuse
        database = Database("choices", pd.DataFrame(columns))
        weights = [Beta(name, 0.0, None, None, 0) for name in names]
        sensitivity = Beta("sensitivity", 1.0, None, None, 0)
        utility = {}
        for a in range(self.most):
            total = Variable(f"x0_{a}")
            for k, weight in enumerate(weights):
                total = total + weight * Variable(f"x{k + 1}_{a}")
            utility[a] = total * sensitivity
        there = {a: Variable(f"there_{a}") for a in range(self.most)}
        model = bio.BIOGEME(database, models.loglogit(utility, there, Variable("chosen")))
        model.modelName = "check"
        model.generate_html = model.generate_pickle = model.save_iterations = False
        found = model.estimate()
        table = found.getEstimatedParameters(onlyRobust=False)
        order = [*names, "sensitivity"]
        return table.loc[order, "Value"].to_numpy(), table.loc[order, "Std err"].to_numpy(), found.data.logLike


def close(ours, theirs, se):
    """Within a five-hundredth of a standard error, which is what their stopping rules promise."""
    return np.abs(np.array(ours) - np.array(theirs)) <= 0.002 * np.array(se)


@pytest.fixture(scope="module")
def play():
    """Simulated plans of three kinds of games, and the same as lines with features from the definition of utility."""
    situations = grid_situations()
    choices = simulate_choices(TRUE, 1.0, situations, agents=6, repeats=2, seed=3)
    counts = np.split(choices.counts, np.cumsum([len(game.plans()) for game, _ in situations])[:-1], axis=1)
    blocks = []
    for (game, belief), block in zip(situations, counts, strict=True):
        rows = []
        for plan in game.plans():
            actual, universal = game.payoff(plan, belief), game.payoff(plan, plan)
            rows.append([actual, universal - actual, -game.behindness(plan, belief), -game.aheadness(plan, belief)])
        blocks.append((np.array(rows, dtype=np.float64), block.sum(axis=0)))
    return estimate(from_plans(situations, counts)), Long(blocks)


NAMES = ("kappa", "alpha", "beta")


def test_xlogit_finds_the_same_coefficients(play):
    ours, long = play
    values, errors, loglik = long.xlogit(preference=False)
    assert long.n == ours.n
    assert loglik == pytest.approx(ours.loglik, abs=1e-5)
    expected = [ours.sigma, *(ours.parameters[name] * ours.sigma for name in NAMES)]
    assert close(expected, values, errors).all()
    assert errors[0] == pytest.approx(ours.sigma_se, rel=1e-3)


def test_xlogit_finds_the_same_preference_and_standard_errors(play):
    ours, long = play
    values, errors, loglik = long.xlogit(preference=True)
    assert loglik == pytest.approx(ours.loglik, abs=1e-5)
    assert close([*(ours.parameters[name] for name in NAMES), ours.sigma], values, errors).all()
    assert errors == pytest.approx([*(ours.se[name] for name in NAMES), ours.sigma_se], rel=1e-3)


def test_a_wrong_sign_would_be_seen(play):
    ours, long = play
    values, errors, _ = long.xlogit(preference=True)
    assert not close([*(-ours.parameters[name] for name in NAMES), ours.sigma], values, errors)[:3].any()


def test_biogeme_finds_the_same_preference_and_standard_errors(play, tmp_path, monkeypatch):
    ours, long = play
    monkeypatch.chdir(tmp_path)  # it leaves files behind
    values, errors, loglik = long.biogeme(NAMES)
    assert loglik == pytest.approx(ours.loglik, abs=1e-4)
    assert close([*(ours.parameters[name] for name in NAMES), ours.sigma], values, errors).all()
    assert errors == pytest.approx([*(ours.se[name] for name in NAMES), ours.sigma_se], rel=1e-3)


@pytest.fixture(scope="module")
def people():
    """The choices of Bruhin, Fehr and Schunk, and the same as lines, read from the file without moralfit."""
    import pandas as pd

    try:
        ours = estimate(load_bruhin2019(DATA))
    except EstimationError as error:
        pytest.skip(str(error))
    frame = pd.read_csv(DATA / "choices_session1.csv")
    out = pd.read_csv(DATA / "excluded_subjects.csv", header=None)[0]
    frame = frame[~frame["sid"].isin(out)]
    long = object.__new__(Long)
    sides = []
    for side in "xy":
        gap = frame[f"other_{side}"] - frame[f"self_{side}"]
        sides.append(np.stack([frame[f"self_{side}"], *(frame[c] * gap for c in (f"s_{side}", f"r_{side}", "q", "v"))], axis=1))
    long.x = np.stack(sides, axis=1).astype(np.float64)
    long.chosen = (1 - frame["choice_x"]).to_numpy()
    long.n, long.most = len(frame), 2
    long.available = np.ones((long.n, 2), dtype=bool)
    # Points are in the hundreds, which their BFGS does not like: 100 points are the unit.
    long.x /= 100
    return ours, long


def test_xlogit_agrees_on_people(people):
    ours, long = people
    names = ("a", "b", "g", "d")
    assert long.n == ours.n == 18_720
    values, errors, loglik = long.xlogit(preference=True)
    assert loglik == pytest.approx(ours.loglik, abs=1e-4)
    assert close([*(ours.parameters[name] for name in names), 100 * ours.sigma], values, errors).all()
    assert errors == pytest.approx([*(ours.se[name] for name in names), 100 * ours.sigma_se], rel=2e-3)


def test_biogeme_agrees_on_people(people, tmp_path, monkeypatch):
    ours, long = people
    names = ("a", "b", "g", "d")
    monkeypatch.chdir(tmp_path)
    values, errors, loglik = long.biogeme(names)
    assert loglik == pytest.approx(ours.loglik, abs=1e-3)
    assert close([*(ours.parameters[name] for name in names), 100 * ours.sigma], values, errors).all()
    assert errors == pytest.approx([*(ours.se[name] for name in names), 100 * ours.sigma_se], rel=2e-3)
