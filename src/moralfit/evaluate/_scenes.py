"""What is played in an evaluation: scenes with payoffs that were never trained on, the same for every agent and preference."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Literal, TypeAlias

from moralfit.dataset import Sampler, held_out
from moralfit.games import REGIONS, Region, make_game, sample_payoffs
from moralfit.models import Messages
from moralfit.preferences import SocialPreferences
from moralfit.recipe import Recipe
from moralfit.solve import assumed_belief, optimal_plans
from moralfit.words import Scene, frames, render_prompt, sample_scene

#: `payoffs`: other payoffs than in training. `words`: those, and other frames, labels and units.
Held: TypeAlias = Literal["payoffs", "words"]
HELD: tuple[Held, ...] = ("payoffs", "words")


@dataclass(frozen=True)
class Item:
    """One prompt of an evaluation."""

    split: Held
    number: int
    seed: str
    region: Region
    scene: Scene
    messages: Messages

    @property
    def id(self) -> str:
        """Split and number, such as `payoffs/17`."""
        return f"{self.split}/{self.number}"


@dataclass(frozen=True)
class Target:
    """What a preference does in one scene.

    Attributes:
        optimum: For each asked decision the optimal actions; empty where no belief is stated and none follows by convention.
        advantage: For each asked decision the utility, in points, of the best plan with the first action less that of the best
            with another.
    """

    optimum: tuple[tuple[str, ...], ...]
    advantage: tuple[float | None, ...]


def items(recipe: Recipe, split: Held) -> list[Item]:
    """The prompts of a split. Games and payoff regions take turns; nothing depends on a preference, for fair comparison."""
    data = recipe.data
    # The sampler draws beliefs; its answers, which depend on a preference, are not used.
    sampler = Sampler(data, recipe.preference.build(), recipe.seed)
    found = []
    for number in range(recipe.evaluation.prompts):
        seed = f"{recipe.seed}/evaluate/{split}/{number}"
        rng = Random(seed)
        name = data.games[number % len(data.games)]
        where = REGIONS[number // len(data.games) % len(REGIONS)]
        while not held_out(payoffs := sample_payoffs(rng, sampler.grid, where)):
            continue
        game = make_game(name, *payoffs)
        decisions = len(game.information_sets)
        decision = None if rng.random() < data.plan_share else rng.randrange(decisions)
        scene = sample_scene(rng, game, frames(split == "words"), sampler.belief(rng, decisions), decision)
        messages = [{"role": "user", "content": render_prompt(scene)}]
        if data.system is not None:
            messages.insert(0, {"role": "system", "content": data.system})
        found.append(Item(split, number, seed, where, scene, messages))
    return found


def target(scene: Scene, preference: SocialPreferences) -> Target:
    """The solver's answer to a scene, ties included."""
    game = scene.game
    belief = scene.belief if scene.belief is not None else assumed_belief(game, preference)
    if belief is None:
        return Target(((),) * len(scene.asked), (None,) * len(scene.asked))
    solution = optimal_plans(game, preference, belief)
    plans = list(zip(game.plans(), solution.utilities, strict=True))
    advantage = []
    for decision in scene.asked:
        first = game.information_sets[decision].actions[0]
        best: dict[bool, Fraction] = {}
        for plan, utility in plans:
            best[plan[decision] == first] = max(utility, best.get(plan[decision] == first, utility))
        advantage.append(float(best[True] - best[False]))
    return Target(tuple(solution.actions(decision) for decision in scene.asked), tuple(advantage))
