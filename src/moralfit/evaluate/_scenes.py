"""What is played in an evaluation: scenes that were never trained on, the same for every agent and preference."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from random import Random
from typing import Literal, TypeAlias

from moralfit.dataset import draw_belief, held_out
from moralfit.errors import GameError, RecipeError
from moralfit.games import REGIONS, TRANSFER_GAMES, Game, PayoffGrid, Region, Strategy, make_game, region, sample_payoffs
from moralfit.models import Messages
from moralfit.preferences import HomoEconomicus, HomoMoralis, SocialPreferences
from moralfit.recipe import Recipe
from moralfit.solve import assumed_belief, solve
from moralfit.words import Scene, askable, frames, render_prompt, sample_scene, transfer_frames

#: `payoffs`: other payoffs than in training. `words`: those, and other frames, labels and units.
Held: TypeAlias = Literal["payoffs", "words"]
HELD: tuple[Held, ...] = ("payoffs", "words")
#: `games`: other games, which no data set holds.
Part: TypeAlias = Literal["payoffs", "words", "games"]
PARTS: tuple[Part, ...] = (*HELD, "games")
#: An optimum that is one action, several equally good ones, or a mixture of several.
Kind: TypeAlias = Literal["unique", "tied", "mixed"]

#: T, R, P, S in points.
Payoffs: TypeAlias = tuple[int, int, int, int]

#: Preferences that all must have a pure belief by convention before a prompt about another game leaves the belief unstated.
_REFERENCES = (HomoEconomicus(), *(HomoMoralis(Fraction(quarters, 4)) for quarters in (1, 2, 3)))
#: Kinds of beliefs where one must be stated and the recipe states none: shares of 0, 1/2 and 1.
_HALVES = (0, 0, 1, 0)
#: Draws after which all payoffs of the grid are listed; one in five is held out, so that this many seldom fail on a large grid.
_PATIENCE = 200


@dataclass(frozen=True)
class Item:
    """One prompt of an evaluation. `region` is None for the games of the transfer test."""

    split: Part
    number: int
    seed: str
    region: Region | None
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
        optimum: For each asked decision the optimal actions, alone or as part of a mixture; empty where no belief is stated and
            none follows by convention.
        kinds: For each asked decision what kind of optimum that is; None where there is none.
        advantage: For each asked decision the utility, in payoff points, of the best plan with the first action less that of
            the best with another; None where more than two actions or mixtures are to be compared.
    """

    optimum: tuple[tuple[str, ...], ...]
    kinds: tuple[Kind | None, ...]
    advantage: tuple[float | None, ...]


def items(recipe: Recipe, part: Part) -> list[Item]:
    """The prompts of a part. Games take turns, as do payoff regions; nothing depends on a preference, for fair comparison.

    No payoffs come twice for a game within a part, unless the grid holds no others in their region.

    Raises:
        RecipeError: The grid holds no payoffs that are kept out of training.
    """
    if part == "games":
        return _transfer_items(recipe)
    data, grid = recipe.data, recipe.data.payoffs.build()
    used: dict[str, set[Payoffs]] = {}
    found = []
    for number in range(recipe.evaluation.prompts):
        seed = f"{recipe.seed}/evaluate/{part}/{number}"
        rng = Random(seed)
        name = data.games[number % len(data.games)]
        where = REGIONS[number // len(data.games) % len(REGIONS)]
        payoffs = _payoffs(rng, grid, where, used.setdefault(name, set()))
        used[name].add(payoffs)
        game = make_game(name, *payoffs)
        decision = None if rng.random() < data.plan_share else rng.randrange(len(game.information_sets))
        scene = sample_scene(rng, game, frames(part == "words"), draw_belief(rng, game, data.beliefs.weights), decision)
        T, R, _, S = payoffs
        found.append(Item(part, number, seed, region(T, R, S), scene, _messages(recipe, scene)))
    return found


def _payoffs(rng: Random, grid: PayoffGrid, where: Region, used: AbstractSet[Payoffs]) -> Payoffs:
    """Random payoffs that are kept out of training: of a region, if the grid has any there, and not in `used`, if it can be."""
    for _ in range(_PATIENCE):
        payoffs = sample_payoffs(rng, grid, where)
        if payoffs not in used and held_out(payoffs):
            return payoffs
    # Few are left, so that drawing at random takes too long or for ever: here are all of them.
    points = range(grid.low, grid.high + 1, grid.step)
    known = [payoffs for S, P, R, T in combinations(points, 4) if held_out(payoffs := (T, R, P, S))]
    if not known:
        raise RecipeError("data.payoffs: no payoffs on this grid are kept out of training; widen it with data.payoffs.high")
    here = [payoffs for payoffs in known if region(payoffs[0], payoffs[1], payoffs[3]) == where]
    return rng.choice([payoffs for payoffs in here if payoffs not in used] or here or known)


def _transfer_items(recipe: Recipe) -> list[Item]:
    """The families of the transfer test in turn, in their own stories.

    As in training, whole plans are asked for with the recipe's share (one decision, where a plan is too long for one question)
    and kinds of beliefs are drawn with the recipe's weights. A belief is left unstated only where convention fills it in.
    """
    families = tuple(TRANSFER_GAMES.values())
    found = []
    for number in range(recipe.evaluation.transfer_prompts):
        seed = f"{recipe.seed}/evaluate/games/{number}"
        rng = Random(seed)
        game = families[number % len(families)].sample(rng)
        plans, singles = None in askable(game), [decision for decision in askable(game) if decision is not None]
        decision = None if plans and (rng.random() < recipe.data.plan_share or not singles) else rng.choice(singles)
        scene = sample_scene(rng, game, transfer_frames(game), _stated(rng, game, recipe.data.beliefs.weights), decision)
        found.append(Item("games", number, seed, None, scene, _messages(recipe, scene)))
    return found


def _messages(recipe: Recipe, scene: Scene) -> Messages:
    messages = [{"role": "user", "content": render_prompt(scene)}]
    if recipe.data.system is not None:
        messages.insert(0, {"role": "system", "content": recipe.data.system})
    return messages


def _stated(rng: Random, game: Game, weights: Sequence[float]) -> Strategy | None:
    """A belief of a random kind about play of any game; None where convention gives what is not stated."""
    belief = draw_belief(rng, game, weights)
    if belief is None and not _conventional(game):
        _, *stated = weights  # the first is the weight of stating nothing
        return draw_belief(rng, game, (0, *stated) if any(stated) else _HALVES)
    return belief


def _conventional(game: Game) -> bool:
    """Whether everybody, whatever the weight on what if everyone did this, would expect something definite of others."""
    try:
        beliefs = (assumed_belief(game, preference) for preference in _REFERENCES)
        return all(belief is not None and all(p in (0, 1) for entry in belief for p in entry) for belief in beliefs)
    except GameError:
        return False


def target(scene: Scene, preference: SocialPreferences) -> Target:
    """The solver's answer to a scene, ties and mixtures included; utility is in payoff points."""
    game = scene.game
    try:
        optimum = solve(game, preference, scene.belief)
    except GameError:
        nothing = (None,) * len(scene.asked)
        return Target(((),) * len(scene.asked), nothing, nothing)
    kinds: list[Kind] = []
    for decision in scene.asked:
        mixes = any(sum(p > 0 for p in strategy[decision]) > 1 for strategy in optimum.strategies)
        kinds.append("unique" if len(optimum.actions(decision)) == 1 else "mixed" if mixes else "tied")
    advantage: list[float | None] = [None] * len(scene.asked)
    pairs = [place for place, decision in enumerate(scene.asked) if len(game.information_sets[decision].actions) == 2]
    if pairs and (game.multilinear or not preference.kappa):
        plans = list(zip(game.plans(), optimum.utilities, strict=True))
        for place in pairs:
            decision = scene.asked[place]
            first = game.information_sets[decision].actions[0]
            best: dict[bool, Fraction] = {}
            for plan, utility in plans:
                best[plan[decision] == first] = max(utility, best.get(plan[decision] == first, utility))
            advantage[place] = float(best[True] - best[False])
    return Target(tuple(optimum.actions(decision) for decision in scene.asked), tuple(kinds), tuple(advantage))
