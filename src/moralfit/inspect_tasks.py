"""The evaluation as tasks of Inspect (https://inspect.aisi.org.uk): `inspect eval moralfit/games --model ... -T recipe=...`.

Prompts, parser and solver are those of :mod:`moralfit.evaluate`; Inspect asks the model, keeps the log and shows it. The module
is not called `inspect`, which would hide Python's own wherever this folder is the first on the path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import sqrt
from pathlib import Path
from typing import Any, get_args

from moralfit.errors import RecipeError
from moralfit.evaluate import Item, Part, Target, cluster_rate, items, target
from moralfit.evaluate._play import _plain
from moralfit.evaluate._summary import game_played
from moralfit.recipe import Recipe, load_recipe
from moralfit.words import parse_reply, preference_in_words

try:
    from inspect_ai import Task, task
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig
    from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Value, metric, scorer
    from inspect_ai.solver import TaskState, generate
except ImportError:
    raise ImportError("moralfit.inspect_tasks needs Inspect: pip install 'moralfit[inspect]'") from None

#: What becomes of a prompt. `agrees` and `differs` are about the decisions at which the optimum rules some action out; where no
#: decision of a prompt is of that kind, an answer is `undecided`.
STATUSES = ("agrees", "differs", "undecided", "refused", "unparseable")


@task
def games(recipe: str, part: str = "payoffs", overrides: str | Sequence[str] = (), told: bool = False) -> Task:
    """Held-out games, each with what the solver does there.

    Args:
        recipe: Of the agent, whose preference play is held against, or of any other with the games that shall be played.
        part: `payoffs` (other payoffs than in training), `words` (other stories and labels too) or `games` (other games, as
            many as `evaluation.transfer_prompts` says).
        overrides: Of the recipe, such as `evaluation.prompts=48`; several in a list.
        told: Whether the model is told its preference before each prompt.

    Raises:
        RecipeError: The recipe, an override or the part makes no sense, or leaves nothing to play.
    """
    given = (overrides,) if isinstance(overrides, str) else tuple(overrides)
    resolved, held = _held(str(Path(recipe).resolve()), part, given)
    return Task(
        dataset=MemoryDataset([_sample(resolved, item, found, told) for item, found in held.values()], name=f"games-{part}"),
        solver=generate(),
        scorer=agreement_with_solver(str(Path(recipe).resolve()), part, list(given)),
        config=GenerateConfig(temperature=0.0, max_tokens=resolved.evaluation.max_new_tokens),
        metadata={"preference": resolved.preference.build().name, "part": part, "told": told},
    )


@lru_cache(maxsize=8)
def _held(recipe: str, part: str, overrides: tuple[str, ...]) -> tuple[Recipe, Mapping[str, tuple[Item, Target]]]:
    """The recipe, and by their names all prompts with the solver's answers."""
    if part not in get_args(Part):
        raise RecipeError(f"part={part}: there are the parts {', '.join(get_args(Part))}")
    resolved = load_recipe(recipe, overrides)
    preference = resolved.preference.build()
    found = {item.id: (item, target(item.scene, preference)) for item in items(resolved, part)}  # type: ignore[arg-type]
    if not found:
        raise RecipeError(f"part={part}: nothing to play; add the override evaluation.transfer_prompts=48")
    return resolved, found


def _sample(recipe: Recipe, item: Item, solved: Target, told: bool) -> Sample:
    scene, game = item.scene, item.scene.game
    *before, last = item.messages
    text = last["content"]
    if told:
        text = f"{preference_in_words(recipe.preference.build())}\n\n{text}"
    optimum = [
        "/".join(scene.label(d, a) for a in wanted) or "?" for d, wanted in zip(scene.asked, solved.optimum, strict=True)
    ]
    return Sample(
        id=item.id,
        input=[*(ChatMessageSystem(content=message["content"]) for message in before), ChatMessageUser(content=text)],
        target=f"Answer: {', '.join(optimum)}",
        metadata={
            "cluster": game_played({"game": game.name, "payoffs": {k: _plain(v) for k, v in game.parameters.items()}}),
            "game": game.name,
            "frame": scene.frame.name,
            "belief": "unstated" if scene.belief is None else "stated",
            "decisions": [game.information_sets[decision].name for decision in scene.asked],
        },
    )


def _totals(scores: Sequence[SampleScore], *names: str) -> list[float]:
    values = [score.score.as_dict() for score in scores]
    return [sum(float(value[name] or 0) for value in values) for name in names]


@metric
def agreement() -> Metric:
    """The share of decisions at which the model does what the solver does, of those where the optimum rules some action out."""

    def of(scores: list[SampleScore]) -> Value:
        agreed, decided = _totals(scores, "agreed", "decided")
        return agreed / decided if decided else float("nan")

    return of


@metric
def agreement_stderr() -> Metric:
    """Its standard error, clustered by game with its payoffs, with the correction for few clusters that Inspect's own has."""

    def of(scores: list[SampleScore]) -> Value:
        agreed, decided = _totals(scores, "agreed", "decided")
        clusters = _clusters(scores)
        if not decided or len(clusters) < 2:
            return float("nan")
        squares = sum((yes - agreed / decided * count) ** 2 for yes, count in clusters.values())
        return sqrt(squares * len(clusters) / (len(clusters) - 1)) / decided

    return of


@metric
def agreement_interval() -> Metric:
    """Its 95% interval as `python -m moralfit.evaluate` has it, which stays within 0 and 1; of one epoch."""

    def of(scores: list[SampleScore]) -> Value:
        values: list[float] = []
        names: list[str] = []
        for score in scores:
            counts = score.score.as_dict()
            agreed, decided = round(float(counts["agreed"] or 0)), round(float(counts["decided"] or 0))
            values += [1.0] * agreed + [0.0] * (decided - agreed)
            names += [_cluster(score)] * decided
        found = cluster_rate(values, names) if values else {"low": float("nan"), "high": float("nan")}
        return {"low": found["low"], "high": found["high"]}

    return of


@metric
def unparseable() -> Metric:
    """The share of prompts whose reply states no choice, and does not decline to."""

    def of(scores: list[SampleScore]) -> Value:
        return _totals(scores, "unparseable")[0] / len(scores) if scores else float("nan")

    return of


@metric
def refused() -> Metric:
    """The share of prompts whose reply declines to choose."""

    def of(scores: list[SampleScore]) -> Value:
        return _totals(scores, "refused")[0] / len(scores) if scores else float("nan")

    return of


def _clusters(scores: Sequence[SampleScore]) -> dict[str, tuple[float, float]]:
    """For each game with its payoffs, how many decisions agree and how many count; games where none counts are left out."""
    found: dict[str, tuple[float, float]] = {}
    for score in scores:
        agreed, decided = _totals([score], "agreed", "decided")
        before = found.get(_cluster(score), (0.0, 0.0))
        if decided:
            found[_cluster(score)] = before[0] + agreed, before[1] + decided
    return found


def _cluster(score: SampleScore) -> str:
    return str((score.sample_metadata or {})["cluster"])


@scorer(metrics=[agreement(), agreement_stderr(), agreement_interval(), unparseable(), refused()])
def agreement_with_solver(recipe: str, part: str = "payoffs", overrides: Sequence[str] = ()) -> Scorer:
    """Reads the reply as the evaluation does, and counts decisions that agree with the solver.

    A score is counts: `agreed` of `decided` decisions, and whether the reply is `unparseable` or `refused`; `metadata.status`
    is one of :data:`STATUSES`. A reply that states no choice agrees with nothing.

    Args:
        recipe, part, overrides: As :func:`games` was given; a log can be scored again as long as the recipe is there.
    """
    _, held = _held(recipe, part, tuple(overrides))

    async def score(state: TaskState, target: Any) -> Score:
        item, solved = held[str(state.sample_id)]
        scene = item.scene
        reply = state.output.completion
        parsed = parse_reply(scene, reply)
        agreed = decided = 0
        for place, decision in enumerate(scene.asked):
            wanted = solved.optimum[place]
            if 0 < len(wanted) < len(scene.game.information_sets[decision].actions):
                decided += 1
                agreed += bool(parsed.actions) and parsed.actions[place] in wanted
        status: str = parsed.status
        if status == "answered":
            status = "undecided" if not decided else "agrees" if agreed == decided else "differs"
        stated = ", ".join(scene.label(d, a) for d, a in zip(scene.asked, parsed.actions, strict=False))
        return Score(
            value={
                "agreed": agreed,
                "decided": decided,
                "unparseable": int(status == "unparseable"),
                "refused": int(status == "refused"),
            },
            answer=stated or None,
            explanation=f"{status}: {agreed} of {decided} decisions as the solver",
            reason={"unparseable": "invalid_response_format", "refused": "refusal"}.get(status),
            metadata={"status": status},
        )

    return score
