"""From records to approval, the social dilemma and biases, with intervals, beside theory and people.

Clusters. The replies to one *story* (a scenario in one of its paraphrases) share its words and numbers, whatever the question
and the format, so stories are the clusters. Paraphrases alone cannot be: there are three, and no interval can be had from
three; what is found holds for these wordings, and the spread between them is reported on its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd

from moralfit.dilemmas._ask import SCHEMA, Record
from moralfit.dilemmas._design import FORMATS, Item, balance
from moralfit.dilemmas._family import QUESTIONS, DilemmaFamily
from moralfit.dilemmas._theory import Theory
from moralfit.evaluate import cluster_rate, sensitivity
from moralfit.games import exact

Estimate = dict[str, float]
#: Two are stated in replies, and two are read off the model as if it answered without reasoning: the number that it expects of
#: itself on a scale, and the weight of approval among the two letters of a forced choice.
READ = {"expected": "scale", "probability": "choice"}
MEASURES = (*FORMATS, *READ)
#: Scales and forced choices together: what was said, and what was read off the model.
POOLED = ("stated", "logits")
#: The kappas that theory always speaks of: homo economicus, half-way, and homo kantiensis.
_KAPPAS = (Fraction(0), Fraction(1, 2), Fraction(1))


def summarise(
    families: Sequence[DilemmaFamily],
    items: Sequence[Item],
    records: Sequence[Record],
    agents: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that tables, figures and reports show, as `summary.json` holds it (`schema` 1).

    Keys of the summary:
        schema, settings: Version; cells, samples, seed, temperature, max_new_tokens.
        agents: `key`, `name`, `kind` (base, prompted, adapter), `preference`, `kappa` (None for a base).
        families: By key, in the order asked:
            title, act, source, model: In words; `model` is the payoff model. axis, gradient: The x axis in words, and its
                factor. levels: The levels of that factor. main: What `rows` without a factor, `dilemma`, `sensitivity` and
                `switching` are about, such as `{"perspective": "passenger"}`. questions: Each question in a few words.
            balance: How often each paraphrase and order was asked.
            human: `question`, `says`, `source`, `where`, `value` (in [0, 1], or None).
            theory: `kappa`, `name`, `standpoint` ("role known" or "veil"), `question`, `level` (or "all"), `approval`: the
                mean answer of theory over the cells that `rows` has there.
            switching: `question`, `level`, `standpoint`, `cells`: how many, `kappas`: the different switching points of those
                that have one, ascending, `beyond`: how many of the cells do not approve at kappa = 1 (ties included), and
                `approves`: for which kappas one approves in each cell, in a word, each once: "> 0.55", "always", "never".
            rows: `agent`, `question`, `measure` ("scale" and "choice" as replied, "expected" and "probability" as read off
                the model for them, "stated" for both replies together, "logits" for both readings), `factor` and `level`
                (None and "all" over the main cells), `n` asked, `answered`, and of their replies `refused` and `unparseable`,
                `stories`, `approval` (estimate, low, high in [0, 1], or None). A factor of `main` itself, such as
                perspective, is compared over the scenarios that all its levels share.
            dilemma: `agent`, `measure`, `gap` (estimate, low, high in [-1, 1], or None), `others`, `own` (approval),
                `stories`, `theory`: by kappa as text and standpoint, the gap of theory.
            sensitivity: `agent`, `question`, `measure`, `change`: approval at the last level of the gradient less at the
                first (estimate, low, high, or None), `theory`: as in dilemma.
            order: `agent`, `measure`, `shift`: approval where it is listed first (or the upper end of the scale) less where
                it is last, 0 without bias; `first_option`: how often A is taken, or None for scales.
            paraphrases: `agent`, `measure`, `approval` by paraphrase number, `spread` between the largest and the smallest.
            outcomes: `agent`, `format`, `n`, `answered`, `refused`, `unparseable` (shares).
    """
    frame = pd.DataFrame.from_records(list(records), exclude=["prompt", "reply", "seed", "item"])
    frame = pd.concat([frame, pd.DataFrame(list(frame["cell"])).drop(columns="question")], axis=1)
    for column in ("approval", *READ):
        # All missing, they would be objects.
        frame[column] = frame[column].astype(float)
    return {
        "schema": SCHEMA,
        "settings": dict(settings),
        "agents": [dict(agent) for agent in agents],
        "families": {
            family.key: _family(
                family,
                [item for item in items if item.family == family.key],
                frame[frame["family"] == family.key],
                [str(agent["key"]) for agent in agents],
                _types(agents),
            )
            for family in families
        },
    }


def _types(agents: Sequence[Mapping[str, Any]]) -> list[Fraction]:
    """The kappas that theory speaks of: the usual ones and those of the agents."""
    own = {exact(agent["kappa"], "kappa") for agent in agents if agent.get("kappa") is not None}
    return sorted({*_KAPPAS, *own})


def _family(
    family: DilemmaFamily, items: Sequence[Item], frame: pd.DataFrame, agents: Sequence[str], kappas: Sequence[Fraction]
) -> dict[str, Any]:
    main = frame[_is_main(family, frame)]
    cells = main.drop_duplicates(["scenario", "question"])
    theory = Theory(family, cells, kappas)
    levels = [level for level in family.factors[family.gradient] if level in set(frame[family.gradient])]
    return {
        "title": family.title,
        "act": family.act,
        "source": family.source,
        "model": family.theory,
        "axis": family.axis,
        "gradient": family.gradient,
        "levels": levels,
        "main": dict(family.main),
        "questions": dict(family.titles),
        "balance": balance(items),
        "human": [{**vars(line), "where": dict(line.where)} for line in family.human],
        "theory": list(theory.rows(levels)),
        "switching": list(theory.switching(levels)),
        "rows": [row for agent in agents for row in _rows(family, frame[frame["agent"] == agent], agent)],
        "dilemma": [
            {**_gap(main[main["agent"] == agent], measure), "agent": agent, "measure": measure, "theory": theory.gaps()}
            for agent in agents
            for measure in (*POOLED, *MEASURES)
        ],
        "sensitivity": [
            {
                "agent": agent,
                "question": question,
                "measure": measure,
                "change": _change(main[(main["agent"] == agent) & (main["question"] == question)], measure, family, levels),
                "theory": theory.changes(question, levels),
            }
            for agent in agents
            for question in QUESTIONS
            for measure in (*POOLED, *MEASURES)
        ],
        "order": [
            {"agent": agent, "measure": measure, **_order(frame[frame["agent"] == agent], measure)}
            for agent in agents
            for measure in MEASURES
        ],
        "paraphrases": [
            {"agent": agent, "measure": measure, **_paraphrases(frame[frame["agent"] == agent], measure)}
            for agent in agents
            for measure in MEASURES
        ],
        "outcomes": [
            {"agent": agent, "format": form, **_outcomes(frame[(frame["agent"] == agent) & (frame["format"] == form)])}
            for agent in agents
            for form in FORMATS
        ],
    }


def _is_main(family: DilemmaFamily, frame: pd.DataFrame) -> Any:
    keep = pd.Series(True, index=frame.index)
    for factor, level in family.main.items():
        keep &= frame[factor] == level
    return keep


def _measured(group: pd.DataFrame, measure: str) -> tuple[pd.DataFrame, pd.Series]:
    """The records asked in a measure's format, and their values, missing where there was no answer."""
    asked = group if measure in POOLED else group[group["format"] == READ.get(measure, measure)]
    if measure == "logits":
        return asked, asked["expected"].fillna(asked["probability"])
    return asked, asked[measure if measure in READ else "approval"].astype(float)


def _rate(group: pd.DataFrame, measure: str) -> dict[str, Any]:
    asked, values = _measured(group, measure)
    known = values.notna()
    estimate = _mean(values[known], asked["story"][known], measure) if known.any() else None
    return {
        "n": len(asked),
        "answered": int(known.sum()),
        "refused": int((asked["status"] == "refused").sum()),
        "unparseable": int((asked["status"] == "unparseable").sum()),
        "stories": int(asked["story"][known].nunique()),
        "approval": estimate,
    }


def _mean(values: pd.Series, stories: pd.Series, measure: str) -> Estimate:
    """A mean in [0, 1] with a clustered interval.

    What is stated is mostly 0 or 1, and gets a proportion's interval. What is read off a model varies much less than that: its
    interval is that of a mean of clusters (linearised; Cochran 1977), with Student's t, if there are at least three.
    """
    share = cluster_rate(values.tolist(), stories.tolist())
    if measure not in (*READ, "logits"):
        return share
    mean, influence = share["estimate"], (values - values.mean()).groupby(stories).sum() / len(values)
    half = _half_width(influence)
    return share if half is None else {"estimate": mean, "low": max(0.0, mean - half), "high": min(1.0, mean + half)}


def _half_width(influence: pd.Series) -> float | None:
    """Half a 95 % interval from what each cluster adds to an estimate; None where they do not differ, or are one or two.

    From two clusters, Student's t has an interval that says nothing; a proportion's is wide enough and does.
    """
    from scipy.stats import t

    count = len(influence)
    error = sqrt(float((influence**2).sum()) * count / (count - 1)) if count > 2 else 0.0
    return error * float(t.ppf(0.975, count - 1)) if error > 1e-9 else None


def _rows(family: DilemmaFamily, frame: pd.DataFrame, agent: str) -> Iterator[dict[str, Any]]:
    for question in QUESTIONS:
        group = frame[frame["question"] == question]
        main = group[_is_main(family, group)]
        for measure in (*POOLED, *MEASURES):
            head = {"agent": agent, "question": question, "measure": measure}
            yield {**head, "factor": None, "level": "all", **_rate(main, measure)}
            for factor, levels in family.factors.items():
                part = _shared(family, group, factor) if factor in family.main else main
                for level in levels:
                    at_level = part[part[factor] == level]
                    if len(at_level):
                        yield {**head, "factor": factor, "level": level, **_rate(at_level, measure)}


def _shared(family: DilemmaFamily, group: pd.DataFrame, factor: str) -> pd.DataFrame:
    """The records of scenarios that were asked at every level of a factor that occurs."""
    others = [name for name in family.factors if name != factor]
    wanted = group[factor].nunique()
    seen = group.groupby(others)[factor].transform("nunique")
    return group[seen == wanted]


def _gap(main: pd.DataFrame, measure: str) -> dict[str, Any]:
    """Approval of others' doing it less of doing it oneself, over the stories to which both were answered.

    The interval is that of a difference of two ratio estimates with clusters (linearised; Cochran 1977), with Student's t.
    Where no reply differs from its mean, or there are but two stories, it is Newcombe's (1998) from the two clustered
    intervals instead.
    """
    asked, values = _measured(main, measure)
    known = asked.assign(value=values)[values.notna()]
    parts = {question: known[known["question"] == question] for question in ("others", "own")}
    both = set(parts["others"]["story"]) & set(parts["own"]["story"])
    if not both:
        return {"gap": None, "others": None, "own": None, "stories": 0}
    others, own = (part[part["story"].isin(both)] for part in parts.values())
    rates = [_mean(part["value"], part["story"], measure) for part in (others, own)]
    gap = rates[0]["estimate"] - rates[1]["estimate"]
    influence = (others["value"] - rates[0]["estimate"]).groupby(others["story"]).sum() / len(others)
    influence = influence - (own["value"] - rates[1]["estimate"]).groupby(own["story"]).sum() / len(own)
    if (half := _half_width(influence)) is not None:
        low, high = gap - half, gap + half
    else:
        (a, b) = rates
        low = gap - sqrt((a["estimate"] - a["low"]) ** 2 + (b["high"] - b["estimate"]) ** 2)
        high = gap + sqrt((a["high"] - a["estimate"]) ** 2 + (b["estimate"] - b["low"]) ** 2)
    return {
        "gap": {"estimate": gap, "low": max(-1.0, low), "high": min(1.0, high)},
        "others": rates[0],
        "own": rates[1],
        "stories": len(both),
    }


def _change(group: pd.DataFrame, measure: str, family: DilemmaFamily, levels: Sequence[Any]) -> Estimate | None:
    ends = group[group[family.gradient].isin([levels[0], levels[-1]])]
    asked, values = _measured(ends, measure)
    known = values.notna()
    last = asked[family.gradient] == levels[-1]
    return _difference(values[known], last[known], asked["story"][known], measure)


def _difference(values: pd.Series, first: pd.Series, clusters: pd.Series, measure: str) -> Estimate | None:
    """Mean where `first` holds less mean elsewhere, with a clustered interval; None where one side is empty."""
    if values.empty:
        return None
    stated = sensitivity(values.tolist(), first.tolist(), clusters.tolist())
    if stated is None or measure not in (*READ, "logits"):
        return stated
    means = values.groupby(first).transform("mean")
    influence: pd.Series = (values - means) / np.where(first, first.sum(), -(~first).sum())
    half, gap = _half_width(influence.groupby(clusters).sum()), stated["estimate"]
    return stated if half is None else {"estimate": gap, "low": max(-1.0, gap - half), "high": min(1.0, gap + half)}


def _order(group: pd.DataFrame, measure: str) -> dict[str, Any]:
    asked, values = _measured(group, measure)
    known = values.notna()
    values, asked = values[known], asked[known]
    first = asked["approve_first"].astype(bool)
    taken = None
    if measure not in ("scale", "expected") and known.any():
        as_first = values.where(first, 1 - values)
        taken = _mean(as_first, asked["story"], measure)
    return {"shift": _difference(values, first, asked["story"], measure), "first_option": taken}


def _paraphrases(group: pd.DataFrame, measure: str) -> dict[str, Any]:
    asked, values = _measured(group, measure)
    means = values.groupby(asked["paraphrase"]).mean().dropna()
    by_number = {str(number): float(mean) for number, mean in means.items()}
    return {"approval": by_number, "spread": float(means.max() - means.min()) if len(means) else None}


def _outcomes(group: pd.DataFrame) -> dict[str, Any]:
    shares = {status: float((group["status"] == status).mean()) for status in ("answered", "refused", "unparseable")}
    return {"n": len(group), **shares}
