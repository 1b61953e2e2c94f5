"""What does each agent want? Its preference, estimated from the choices it made in the evaluation.

Two models of :data:`moralfit.estimate.MODELS` are estimated. *Homo moralis* frees kappa and the noise and holds alpha and beta
at zero: that is what agents are trained for here, so the question is whether the one weight comes back. *Full* frees alpha and
beta too, and shows whether something else hides behind it. How well the held-out prompts that state a belief tell these apart
is known beforehand. With whole plans and a noise of one point, the standard error of kappa at 0, 1/2 and 1 is 0.07, 0.07 and
0.10 alone and 0.09, 0.13 and 0.22 beside alpha and beta (condition numbers 10 to 27) for the quickstart with 96 prompts a part;
0.14, 0.15 and 0.21, and 0.17, 0.34 and 0.67, with 20; and 0.01 to 0.03 either way for the GPU recipes' 300. Few prompts tell
kappa, but not all three weights: kappa alone comes first.

Utility depends on what others are expected to do. `stated` uses only the prompts that say it, which assumes nothing.
`convention` adds the others with the belief that convention gives to the preference an agent was trained for or told.
`elicited` adds them with what the agent itself said when asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Literal, TypeAlias

from moralfit.estimate import MODELS, Estimate, EstimationError, estimate, from_records
from moralfit.estimate._diagnose import is_point
from moralfit.evaluate._summary import game_played
from moralfit.games import GAMES, TRANSFER_GAMES
from moralfit.preferences import SocialPreferences

Record: TypeAlias = dict[str, Any]
Use: TypeAlias = Literal["answers", "probabilities"]

#: With fewer readable prompts, or a smaller share of them, those that can be read say nothing about the others.
FEWEST, LEAST_SHARE = 20, 0.25
#: A likelihood-ratio test against a player who takes all plans with the same probability, below which weights mean something.
_LEVEL = 0.05
_MODELS = ("homo moralis", "full")
_CLUSTER = "game with payoffs"
_MAKERS = {**GAMES, **{name: family.make for name, family in TRANSFER_GAMES.items()}}
_SPLITS = {"trained": ("payoffs", "words"), "other": ("games",)}


def estimates(
    records: Sequence[Record],
    preferences: Mapping[str, SocialPreferences | None],
    beliefs: Sequence[Record] = (),
) -> list[dict[str, Any]]:
    """Estimates for every agent from its answers and, separately, from its option probabilities.

    Args:
        records: Of an evaluation. preferences: For each agent's key what it was trained for or told, None for nothing.
        beliefs: What agents said they expect of others, as :func:`moralfit.evaluate._beliefs.elicit` records it.

    Returns:
        One entry for each agent, `games` (`trained`: of the kind it was trained on; `other`: of the transfer test), `use`
        (`answers`, `probabilities`), `beliefs` and `model`, with `prompts` asked and `read`, `status`, `weights` (each with
        `estimate`, `low`, `high`: 95% intervals clustered by game with its payoffs; for a separated estimate the ends of the
        set that explains every choice), `noise` in payoff points, `p_chance` and `remark`, which says in words why there is no
        estimate.
    """
    said = {(b["agent"], b["prompt_id"]): b["belief"] for b in beliefs if b["belief"] is not None}
    found = []
    for agent, preference in preferences.items():
        for games, splits in _SPLITS.items():
            own = [record for record in records if record["agent"] == agent and record["split"] in splits]
            if not own:
                continue
            stated = [record for record in own if record["belief"] is not None]
            told = [{**r, "belief": r["belief"] or said.get((agent, r["prompt_id"]))} for r in own]
            by_beliefs = {"stated": stated}
            if preference is not None:
                by_beliefs["convention"] = own
            if beliefs:
                by_beliefs["elicited"] = [record for record in told if record["belief"] is not None]
            for name, used in by_beliefs.items():
                for use in ("answers", "probabilities"):
                    head = {"agent": agent, "games": games, "use": use, "beliefs": name}
                    if use == "answers" or any(record["probabilities"] is not None for record in used):
                        found += [{**head, **entry} for entry in _models(used, use, preference)]
    return found


def main_beliefs(entries: Sequence[Mapping[str, Any]]) -> str:
    """Which beliefs tables and figures show: what agents said, where they were asked, and what prompts state otherwise."""
    return "elicited" if any(entry["beliefs"] == "elicited" for entry in entries) else "stated"


def _models(records: Sequence[Record], use: Any, preference: SocialPreferences | None) -> list[dict[str, Any]]:
    """Both models on the same records."""
    prompts = {record["prompt_id"] for record in records}
    key = "action" if use == "answers" else "probabilities"
    unread = {record["prompt_id"] for record in records if record[key] is None}
    read = len(prompts - unread)
    counts = {"prompts": len(prompts), "read": read}
    choices = None
    if not prompts:
        reason = "no prompt states a belief"
    elif read < FEWEST or read < LEAST_SHARE * len(prompts):
        reason = f"only {read} prompts" if read == len(prompts) else f"only {read} of {len(prompts)} replies readable"
    else:
        try:
            named = [{**record, _CLUSTER: game_played(record)} for record in records]
            choices = from_records(named, use=use, assume=preference, games=_MAKERS, clusters=(_CLUSTER,))
        except EstimationError as error:
            reason = str(error)
    if choices is None:
        return [{"model": model, **counts, "status": "too few", **_nothing(), "remark": reason} for model in _MODELS]
    found = []
    for model in _MODELS:
        try:
            result = estimate(choices, fixed=MODELS[model], standard_errors="cluster", cluster=_CLUSTER, label=model)
        except EstimationError as error:
            found.append({"model": model, **counts, "status": "too few", **_nothing(), "remark": str(error)})
        else:
            found.append({"model": model, **counts, **_entry(result, use)})
    return found


def _nothing() -> dict[str, Any]:
    return {"weights": {}, "noise": None, "p_chance": None, "share_predicted": None}


def _entry(result: Estimate, use: Use) -> dict[str, Any]:
    """An estimate as it is stored."""
    from scipy.stats import chi2

    gain = 2 * (result.loglik - result.null_loglik)
    p = float(chi2.sf(max(gain, 0.0), len(result.free))) if isfinite(gain) else None
    entry: dict[str, Any] = {
        "status": result.status,
        "weights": {},
        "noise": None,
        "p_chance": p,
        "share_predicted": result.share_predicted if isfinite(result.share_predicted) else None,
        "remark": "",
    }
    free = [name for name in result.model if name not in result.fixed]
    if p is not None and p > _LEVEL:
        how = f"no better than chance, p = {p:.2f}" if use == "answers" else "close to even odds whatever the payoffs"
        return {**entry, "status": "chance", "remark": how}
    if result.converged:
        weights = {name: _bounded(result.parameters[name], *result.intervals[name]) for name in free}
        return {**entry, "weights": weights, "noise": _bounded(result.parameters["lambda"], *result.intervals["lambda"])}
    if result.region is not None:
        weights = {name: _bounded(None, *result.region.limits[name]) for name in free}
        points = [is_point(*result.region.limits[name]) for name in free]
        which = "this value alone" if all(points) else "every value in the range"
        return {**entry, "weights": weights, "remark": f"no slips: {which} explains every choice"}
    if result.status == "separated" and result.penalised is not None:
        weights = {name: _bounded(result.penalised[name], None, None) for name in free}
        return {**entry, "weights": weights, "remark": "hardly any slips: a penalised estimate, no interval"}
    why = {
        "unidentified": "not identified by these prompts",
        "undefined": "choices do not follow this utility",
        "not converged": "the search did not converge",
        "separated": "hardly any slips: no estimate",
        "too few": "too few choices",
    }
    return {**entry, "remark": why[result.status]}


def _bounded(value: float | None, low: float | None, high: float | None) -> dict[str, float | None]:
    """JSON has neither NaN nor infinities."""
    parts = {"estimate": value, "low": low, "high": high}
    return {name: None if part is None or not isfinite(part) else float(part) for name, part in parts.items()}
