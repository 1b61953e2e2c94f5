"""Choices of people: the experiment of Bruhin, Fehr and Schunk (2019), Journal of the European Economic Association 17(4).

The data is not part of moralfit. Download the public, MIT-licensed replication repository of Pozzi and Nunnari, which carries
it, and put these files into one folder:

- `choices_session1.csv`: 174 subjects x 117 choices between allocations X and Y; columns sid, self_x, other_x, self_y, other_y
  (payoff points), choice_x (1 if X), s_x, s_y (1 if behind), r_x, r_y (1 if ahead), q (1 if the other was kind before) and
  v (1 if the other was unkind).
- `excluded_subjects.csv`: the sids that the authors leave out, one a line, without a header.
- `trust_games.csv`: sid, cost, trustworthy (1 or 0), second movers in ten trust games.

Their model: utility is (1 - w) self + w other with w = a s + b r + g q + d v. In the signs of this package alpha = -a and
beta = b; their choice sensitivity sigma is 1/lambda.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moralfit.errors import EstimationError
from moralfit.estimate._choices import Array, Choices, collect, named
from moralfit.estimate._model import LAMBDA

if TYPE_CHECKING:
    import pandas as pd

FEATURES = ("payoff", "a", "b", "g", "d")
_SITUATION = ["self_x", "self_y", "other_x", "other_y", "s_x", "s_y", "r_x", "r_y", "q", "v"]

#: Second mover in the trust games, in points: by being trustworthy it gets 1200 - cost and the first mover 900, otherwise it
#: gets 1200 and the first mover nothing. Source: Bruhin, Fehr and Schunk (2019), section 4.5, and their replication code.
TRUST_TOTAL, TRUST_RETURN = 1200.0, 900.0


def _read(folder: Path | str, name: str, columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    path = Path(folder) / name
    if not path.is_file():
        raise EstimationError(f"{path}: not found; load_bruhin2019 says where the replication repository with it is")
    frame = pd.read_csv(path)
    if missing := [column for column in columns if column not in frame.columns]:
        raise EstimationError(f"{path}: lacks the columns {named(missing)}")
    if (bad := frame.index[frame[columns].isna().any(axis=1)]).size:
        raise EstimationError(f"{path}: empty values in rows {named(list(bad))}")
    return frame


def load_bruhin2019(folder: Path | str, session: int = 1) -> Choices:
    """The experiment's choices between allocations, subjects that the authors exclude left out.

    Args:
        folder: Where the CSV files lie; this module says where to get them. session: 1 or 2 (`choices_session2.csv`).

    Returns:
        Choices with the features payoff, a, b, g and d, points; session 1 has 160 agents, 117 situations and 18,720
        observations.

    Raises:
        EstimationError: A file or column is missing, or a value is.
    """
    frame = _read(folder, f"choices_session{session}.csv", ["sid", "choice_x", *_SITUATION])
    excluded = Path(folder) / "excluded_subjects.csv"
    if excluded.is_file():
        frame = frame[~frame["sid"].isin([int(line) for line in excluded.read_text().split() if line.isdigit()])]
    return allocation_choices(frame)


def allocation_choices(frame: pd.DataFrame) -> Choices:
    """Choices from a table with the columns of `choices_session1.csv`.

    Raises:
        EstimationError: The table is empty or `choice_x` holds something other than 0 and 1.
    """
    if frame.empty:
        raise EstimationError("the table of allocation choices is empty")
    chosen = frame["choice_x"].to_numpy()
    if (bad := frame.index[~np.isin(chosen, (0, 1))]).size:
        raise EstimationError(f"choice_x must be 0 or 1; rows {named(list(bad))} are not")
    values = np.ascontiguousarray(frame[_SITUATION].to_numpy(dtype=np.float64))
    # Equal rows have equal bytes: much faster than comparing ten columns.
    packed = values.view(np.dtype((np.void, values.dtype.itemsize * values.shape[1]))).ravel()
    _, first, place = np.unique(packed, return_index=True, return_inverse=True)
    faced = values[first]
    sids, unit = np.unique(frame["sid"].to_numpy(), return_inverse=True)
    # Cell 2 s is X in situation s, cell 2 s + 1 is Y.
    size = 2 * len(faced)
    cell = 2 * place + (1 - chosen.astype(np.intp))
    counts = np.bincount(unit * size + cell, minlength=len(sids) * size).reshape(len(sids), size).astype(np.float64)
    features = [_allocations(dict(zip(_SITUATION, row, strict=True))) for row in faced]
    labels = [f"({r[0]:g}, {r[2]:g}) or ({r[1]:g}, {r[3]:g}), q = {r[8]:g}, v = {r[9]:g}" for r in faced]
    cells = [(s, (a,)) for s in range(len(faced)) for a in (0, 1)]
    return collect(FEATURES, features, cells, counts, [str(sid) for sid in sids], labels, ["allocation"] * len(faced))


def _allocations(row: Mapping[str, float]) -> Array:
    return np.array(
        [
            [own, *(indicator * (other - own) for indicator in (row[f"s_{side}"], row[f"r_{side}"], row["q"], row["v"]))]
            for side in "xy"
            for own, other in [(row[f"self_{side}"], row[f"other_{side}"])]
        ]
    )


def trust_features(cost: float) -> Array:
    """(2, 5) features of being trustworthy and of not being so; the first mover was kind, so q is one."""
    found = []
    for own, other in ((TRUST_TOTAL - cost, TRUST_RETURN), (TRUST_TOTAL, 0.0)):
        gap = other - own
        found.append([own, gap * (gap > 0), gap * (gap < 0), gap, 0.0])
    return np.array(found)


def predict_trust(values: Mapping[str, float], costs: Array) -> Array:
    """The probability of being trustworthy at each cost (points), under estimated a, b, g, d and lambda."""
    weights = np.array([1.0, *(values[name] for name in FEATURES[1:])]) / values[LAMBDA]
    return np.array([1 / (1 + np.exp(-float((x[0] - x[1]) @ weights))) for x in map(trust_features, costs)])


def load_trust_games(folder: Path | str) -> pd.DataFrame:
    """The second movers' choices: sid (as text), cost (points), trustworthy (0 or 1).

    Raises:
        EstimationError: The file is missing or damaged.
    """
    frame = _read(folder, "trust_games.csv", ["sid", "cost", "trustworthy"])
    return frame.assign(sid=frame["sid"].astype(str))


def score_predictions(frame: pd.DataFrame, predictions: Mapping[str, Array]) -> pd.DataFrame:
    """How well probabilities predict who is trustworthy, next to chance and to the best constant in hindsight.

    Args:
        frame: As :func:`load_trust_games` returns it. predictions: For each row, by name of the predictor.

    Returns:
        By predictor: `share_error`, mean absolute error of the predicted share at each cost; `log_score`, mean log-probability
        of what was done; `choice_error`, mean absolute error choice by choice; `right`, the share of choices predicted.
    """
    import pandas as pd

    done = frame["trustworthy"].to_numpy(dtype=np.float64)
    everything = {"chance": np.full(len(done), 0.5), "constant": np.full(len(done), done.mean()), **predictions}
    rows = []
    for name, p in everything.items():
        by_cost = frame.assign(p=p).groupby("cost")[["p", "trustworthy"]].mean()
        right = np.where(p == 0.5, 0.5, (p > 0.5) == (done > 0.5))
        rows.append(
            {
                "predictor": name,
                "share_error": float((by_cost["p"] - by_cost["trustworthy"]).abs().mean()),
                "log_score": float(np.log(np.where(done > 0, p, 1 - p)).mean()),
                "choice_error": float(np.abs(p - done).mean()),
                "right": float(right.mean()),
            }
        )
    return pd.DataFrame(rows).set_index("predictor")
