"""An evaluation from start to end: which agents, over which base, on which items, and what is left on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from moralfit.agents import Agent, RandomAgent
from moralfit.evaluate._beliefs import elicit, forget
from moralfit.evaluate._estimates import estimates
from moralfit.evaluate._loading import Loaded, language_agents, load_tuned
from moralfit.evaluate._play import SCHEMA, play
from moralfit.evaluate._scenes import PARTS, items
from moralfit.evaluate._summary import summarise
from moralfit.files import write_json


def evaluate(
    places: Sequence[Path],
    out: Path,
    overwrite: bool = False,
    progress: Callable[[Agent, int, int], None] = lambda agent, done, total: None,
    say: Callable[[str], None] = lambda text: None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Plays the adapters of runs or adapter folders beside their common base, and writes `out`.

    Args:
        places: Run or adapter folders, the first one's recipe says what is played; or a recipe, whose base plays alone.
        overwrite: Replace an evaluation of something else that stands in `out`, once everything is loaded: what keeps this one
            from beginning leaves that one as it was.
        out: Gets `records.jsonl`, `settings.json`, `summary.json`; `beliefs.jsonl` where beliefs are elicited, and
            `served.jsonl` where a server answers.
        progress: Called with an agent, its items done, and the items in all. say: Prints a line.
        overrides: Changes to the evaluation section of that recipe, such as `evaluation.transfer_prompts=44`; and
            `serve.endpoint=URL` with other keys of :class:`ServeSection`, for models on a server.

    Returns:
        The summary as written.

    Raises:
        RunError, ModelError: Something is missing, damaged, for another base, or without effect. RecipeError: As
            :func:`find_adapter`. ServerError: A server cannot be reached, refuses something, or serves none of this.
    """
    loaded = load_tuned(places, say, overrides, out, overwrite)
    recipe = loaded.recipe
    targets = {wanted.build().name: wanted.build() for wanted in loaded.wanted}
    agents, fingerprints, described = _agents(loaded)
    played = [item for part in PARTS for item in items(recipe, part)]
    total = len(played)
    by_key = {agent.key: agent for agent in agents}
    # Prompts between two writes; a server's answers are on disk before.
    portion = 4 * (recipe.evaluation.batch_size if loaded.server is None else loaded.server.endpoint.section.concurrency)

    def begin() -> None:
        if overwrite:
            forget(out)
        if loaded.server is not None:
            loaded.server.journal.begin()

    records = play(
        out, agents, fingerprints, played, targets, recipe.evaluation.probabilities,
        lambda key, done: progress(by_key[key], done, total), overwrite, portion, begin,
    )  # fmt: skip
    summary: dict[str, Any] = {"schema": SCHEMA, "agents": described, "rows": summarise(records, list(targets))}
    beliefs: list[dict[str, Any]] = []
    if recipe.evaluation.elicit_beliefs:
        unstated = sum(item.scene.belief is None for item in played)
        say(f"asking agents what they expect of others, {unstated} prompts each")
        beliefs = elicit(out, agents, fingerprints, played, portion)
    preferences = {agent["key"]: targets.get(agent["preference"] or "") for agent in described}
    summary["estimates"] = estimates(records, preferences, beliefs)
    if loaded.server is not None:
        summary |= {"served": loaded.server.account(), "notes": loaded.server.notes}
    write_json(out / "summary.json", summary)
    return summary


def _agents(loaded: Loaded) -> tuple[list[Agent], dict[str, str], list[dict[str, Any]]]:
    """The agents in the order in which people read them, what each was loaded from, and their description."""
    section = loaded.recipe.evaluation
    agents: list[Agent] = []
    fingerprints: dict[str, str] = {}
    described: list[dict[str, Any]] = []
    if "random" in section.compare:
        chance = RandomAgent()
        agents.append(chance)
        fingerprints[chance.key] = "random"
        described.append({"key": chance.key, "name": chance.name, "kind": chance.kind, "preference": None})
    for agent, fingerprint, description in language_agents(
        loaded, batch_size=section.batch_size, max_new_tokens=section.max_new_tokens
    ):
        agents.append(agent)
        fingerprints[agent.key] = fingerprint
        described.append(description)
    return agents, fingerprints, described
