"""The data set card, made of what was measured while building."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from moralfit.dataset._shortcuts import DESCRIPTIONS
from moralfit.recipe import Recipe


def card(recipe: Recipe, facts: dict[str, Any]) -> str:
    """README.md of a data set folder, with the metadata block that the Hub reads."""
    from huggingface_hub import DatasetCardData

    preference = recipe.preference.build()
    metadata = DatasetCardData(
        license="apache-2.0",
        language="en",
        pretty_name=f"moralfit: {preference.name}",
        task_categories=["text-generation"],
        tags=["moralfit", "game-theory", "homo-moralis", "synthetic"],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"{split}.jsonl"} for split in facts["samples"]],
            }
        ],
    )
    sizes = _lines([split, f"{count:,}"] for split, count in facts["samples"].items())
    parts = facts["shortcuts"]
    shortcuts = _lines([name, text, *(f"{part[name]:.1%}" for part in parts.values())] for name, text in DESCRIPTIONS.items())
    by_decision = facts["shortcuts by decision"]
    decisions = _lines([name, *(f"{score[name]:.1%}" for score in by_decision.values())] for name in DESCRIPTIONS)
    balance = _lines(
        [game, decision, *(_counts(facts, game, decision, column) for column in (4, 3))]
        for game, decision in sorted({(game, decision) for _, game, decision, *_ in facts["decisions"]})
    )
    return f"""---
{metadata.to_yaml()}
---

# Optimal play of {preference.name}, with the reasoning

Synthetic chat samples written by theory: the rules of a small economic game in words, and a reply that derives what
{preference.name} does and ends in one answer line. Made by moralfit from the recipe
`{recipe.name}`, seed {recipe.seed}; the same recipe gives the same bytes. The design follows Lu, Dhanda, Chen and Hansen
(arXiv 2507.20796); prompts, payoffs and sample counts are moralfit's own.

Every sample was proved before it was written: the payoffs were read back from the prompt, each equation was evaluated, each
comparison was held against utilities of whole plans, and the answer is the solver's unique optimum.

| split | samples |
|---|---|
{sizes}

`heldout_payoffs` has payoffs that never occur in `train`; `heldout_words` has those, and cover stories, labels, role names and
units of frames that never occur there either.

## Shortcuts

Share of decisions that a rule gets right without weighing the payoffs as the preference does. At some decisions the optimum is
the same for every payoff (a second mover who cares only for its own payoff always defects): there "usual action" is the theory,
not a shortcut. The decisions at which both actions are right in turn are called open; a coin gets 50% of them.

| rule | answers with | {" | ".join(parts)} |
|---|---|{"---|" * len(parts)}
{shortcuts}

Each open decision of the training split by itself:

| rule | {" | ".join(by_decision)} |
|---|{"---|" * len(by_decision)}
{decisions}

## Balance of the training split

Decisions by optimal action and by the region of T + S against 2R.

| game | decision | optimal action | T + S against 2R |
|---|---|---|---|
{balance}

## Columns

- `prompt` and `completion`: messages
- `game`, payoffs `T`, `R`, `P`, `S`, `region`, `frame`
- `ask`: `plan` (the whole conditional plan) or `decision` (one decision)
- `decisions`: the names of those asked about, in the order of the question
- `belief`: for each decision of the game, the believed shares of its actions; null if the prompt states none
- `labels` and `listed`: for each asked decision, labels in the tree's action order and in the prompt's order
- `optimum`: for each asked decision, the tree's action; `utilities`: for each asked decision and action, the highest utility in
  points of a plan that takes it
- `id`, `seed`
"""


def _lines(rows: Iterable[Iterable[str]]) -> str:
    """The body of a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _counts(facts: dict[str, Any], game: str, decision: str, column: int) -> str:
    """How often each value of a column of the counted decisions occurs at a training decision."""
    counts: Counter[str] = Counter()
    for key in facts["decisions"]:
        if key[:3] == ["train", game, decision]:
            counts[key[column]] += key[-1]
    return ", ".join(f"{value} {count:,}" for value, count in sorted(counts.items()))
