"""The data set card, made of what was measured while building."""

from __future__ import annotations

from collections import Counter
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
    sizes = "\n".join(f"| {split} | {count:,} |" for split, count in facts["samples"].items())
    splits = list(facts["shortcuts"])
    shortcuts = "\n".join(
        f"| {name} | {text} | " + " | ".join(f"{facts['shortcuts'][split][name]:.1%}" for split in splits) + " |"
        for name, text in DESCRIPTIONS.items()
    )
    by_answer: Counter[tuple[str, str, str]] = Counter()
    by_region: Counter[tuple[str, str, str]] = Counter()
    for split, game, decision, where, answer, count in facts["decisions"]:
        if split == "train":
            by_answer[game, decision, answer] += count
            by_region[game, decision, where] += count
    answers = "\n".join(
        f"| {game} | {decision} | "
        + ", ".join(f"{a} {n:,}" for (g, d, a), n in sorted(by_answer.items()) if (g, d) == (game, decision))
        + " | "
        + ", ".join(f"{w} {n:,}" for (g, d, w), n in sorted(by_region.items()) if (g, d) == (game, decision))
        + " |"
        for game, decision in dict.fromkeys((g, d) for g, d, _ in sorted(by_answer))
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

`heldout_payoffs` has payoffs that never occur in `train`; `heldout_words` has those, and cover stories, labels and role names that
never occur there either.

## Shortcuts

Share of decisions that a rule gets right without weighing the payoffs as the preference does. Some decisions have the same optimum
for every payoff (a second mover who cares only for its own payoff always defects): there "usual action" is the theory, not a
shortcut.

| rule | answers with | {" | ".join(splits)} |
|---|---|{"---|" * len(splits)}
{shortcuts}

## Balance of the training split

Decisions by optimal action and by the region of T + S against 2R.

| game | decision | optimal action | T + S against 2R |
|---|---|---|---|
{answers}

## Columns

`prompt` and `completion` (messages), `game`, payoffs `T`, `R`, `P`, `S`, `region`, `frame`, `ask` (`plan`: the whole conditional plan;
`decision`: one decision), `decisions`, `belief` (per decision of the game, the believed shares of its actions; null: by convention),
`labels` and `listed` (per asked decision: labels in the tree's action order, and in the prompt's order), `optimum` (the tree's actions),
`utilities` (per asked decision and action: the highest utility in points of a plan that takes it), `id`, `seed`.
"""
