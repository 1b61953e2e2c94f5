"""One sample as a pure function of (recipe, seed, split, number), so that any order and any number of workers agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from random import Random
from typing import Any, Literal, TypeAlias
from zlib import crc32

from moralfit.errors import RecipeError, WordsError
from moralfit.games import REGIONS, Game, Plan, Region, Strategy, make_game, region, sample_payoffs
from moralfit.preferences import SocialPreferences
from moralfit.recipe import BELIEF_SHARES, DataSection
from moralfit.solve import Solution, equilibrium_belief, optimal_plans
from moralfit.words import Scene, check_sample, derive, frames, render_prompt, sample_scene

#: `train` teaches; `heldout_payoffs` has other payoffs; `heldout_words` has those and other frames, labels and units too.
Split: TypeAlias = Literal["train", "heldout_payoffs", "heldout_words"]
SPLITS: tuple[Split, ...] = ("train", "heldout_payoffs", "heldout_words")

#: One payoff quadruple in this many is kept out of training, whatever the seed.
_HELD_OUT_SHARE = 5
#: Draws per question that find out which answers theory can give, and an answer's smallest share of them to be asked for.
_PILOT_DRAWS = 300
_SMALLEST_SHARE = 0.02
#: A region is drawn for an answer if at least this share of what led to the answer lies in it: rarer ones cost too many draws.
_REGION_SHARE = 0.1
#: Answers of several decisions are weighed until the actions at each are even, but none below this share of an equal weight.
_SMALLEST_WEIGHT = 0.45
_SCALING_ROUNDS = 60
#: Where one decision is asked about, those with one optimum for all payoffs are drawn this often relative to the others.
_FIXED_WEIGHT = 0.25
#: Draws after which another region is tried, and after which the recipe is at fault.
_PATIENCE = 500
_MOST_DRAWS = 10_000


def held_out(payoffs: tuple[int, int, int, int]) -> bool:
    """Whether these payoffs (T, R, P, S) belong to the held-out splits; a fixed property of the numbers, not of a seed."""
    return crc32(repr(tuple(payoffs)).encode()) % _HELD_OUT_SHARE == 0


def draw_belief(rng: Random, game: Game, weights: Sequence[float]) -> Strategy | None:
    """A belief about play of a game: first its kind, then shares at each decision; None where none is to be stated.

    Args:
        weights: Of the kinds, in the order of :data:`moralfit.recipe.BELIEF_SHARES`.
    """
    shares = rng.choices(BELIEF_SHARES, weights)[0]
    if shares is None:
        return None
    found = []
    for information in game.information_sets:
        size = len(information.actions)
        # Of several actions, others take one or two: more would be a long sentence.
        one, other = rng.sample(range(size), 2) if size > 2 else (0, 1)
        entry = [Fraction(0)] * size
        entry[one] = rng.choice(shares)
        entry[other] = 1 - entry[one]
        found.append(entry)
    return game.strategy(found)


@dataclass(frozen=True)
class Sample:
    """A scene with its proved reply."""

    number: int
    split: Split
    seed: str
    scene: Scene
    prompt: str
    reply: str
    answers: Plan
    solution: Solution


@dataclass(frozen=True)
class _Question:
    """What may be answered to one question about a game.

    Attributes:
        weights: How often each answer is drawn.
        settings: For each answer and each region of payoffs in which it is common, the beliefs it was found with.
    """

    weights: dict[Plan, float]
    settings: dict[Plan, dict[Region, list[Strategy | None]]]


class Sampler:
    """Draws balanced samples: games in turn, actions at each decision evenly as far as theory allows, regions evenly within.

    Args:
        data: The data section of a recipe. preference: Whose optimum is taught. seed: Root of all randomness.
    """

    def __init__(self, data: DataSection, preference: SocialPreferences, seed: int) -> None:
        self.data, self.preference, self.seed = data, preference, seed
        self.grid = data.payoffs.build()

    def sample(self, split: Split, number: int) -> Sample:
        """Sample `number` of a split.

        Raises:
            RecipeError: No draw of some game has a unique optimum, or the grid holds no payoffs of this split that give the
                answer whose turn it is.
        """
        name = self.data.games[number % len(self.data.games)]
        seed = f"{self.seed}/{split}/{number}"
        rng = Random(seed)
        decision = self._decision(rng, name)
        question = self._questions[name, decision]
        wanted = rng.choices(tuple(question.weights), tuple(question.weights.values()))[0]
        settings = question.settings[wanted]
        stories = frames(split == "heldout_words")
        where: Region
        for draw in range(_MOST_DRAWS):
            if draw % _PATIENCE == 0:
                where = rng.choice(tuple(settings))
            payoffs = sample_payoffs(rng, self.grid, where)
            if held_out(payoffs) != (split != "train"):
                continue
            game, belief = _game(name, payoffs), rng.choice(settings[where])
            # Most answers take several draws, and solving is quicker than deriving.
            if not self._answers(game, belief, decision, wanted):
                continue
            scene = sample_scene(rng, game, stories, belief, decision)
            try:
                derivation = derive(scene, self.preference)
            except WordsError:
                continue
            if scene.in_tree_order(derivation.actions) == wanted:
                prompt = render_prompt(scene)
                solution = check_sample(scene, self.preference, derivation.belief, prompt, derivation.text)
                return Sample(number, split, seed, scene, prompt, derivation.text, derivation.actions, solution)
        raise RecipeError(
            f"data.payoffs: no {split} payoffs of {name} on this grid have the answer {', '.join(wanted)}; "
            "widen it, for example with a higher data.payoffs.high"
        )

    def _answers(self, game: Game, belief: Strategy | None, decision: int | None, wanted: Plan) -> bool:
        """Whether `wanted` is what is optimal, and nothing else is."""
        assumed = belief or _assumed(game, self.preference)
        if assumed is None:
            return False
        solution = optimal_plans(game, self.preference, assumed)
        asked = range(len(game.information_sets)) if decision is None else (decision,)
        return all(solution.actions(d) == (action,) for d, action in zip(asked, wanted, strict=True))

    def _decision(self, rng: Random, name: str) -> int | None:
        """The decision to ask about, or None for the whole plan."""
        if rng.random() < self.data.plan_share:
            return None
        decisions = range(_decisions(name))
        open_or_fixed = [1 if len(self._questions[name, decision].weights) > 1 else _FIXED_WEIGHT for decision in decisions]
        return rng.choices(decisions, open_or_fixed)[0]

    @cached_property
    def _questions(self) -> dict[tuple[str, int | None], _Question]:
        """Every question that can come up: which game, and which decision (None: the whole plan)."""
        found = {}
        for name in self.data.games:
            plans = [None] if self.data.plan_share > 0 else []
            singles = range(_decisions(name)) if self.data.plan_share < 1 else ()
            for decision in (*plans, *singles):
                found[name, decision] = self._question(name, decision)
        return found

    def _question(self, name: str, decision: int | None) -> _Question:
        """Finds by trial which answers occur, and in which regions and with which beliefs."""
        rng = Random(f"{self.seed}/pilot/{name}/{decision}")
        tried: dict[Plan, dict[Region, list[Strategy | None]]] = {}
        for draw in range(_PILOT_DRAWS):
            where = REGIONS[draw % len(REGIONS)]
            game = make_game(name, *sample_payoffs(rng, self.grid, where))
            belief = draw_belief(rng, game, self.data.beliefs.weights)
            try:
                scene = sample_scene(rng, game, frames(False), belief, decision)
                answer = scene.in_tree_order(derive(scene, self.preference).actions)
            except WordsError:
                continue
            tried.setdefault(answer, {}).setdefault(where, []).append(belief)
        settings = {}
        for answer, regions in sorted(tried.items()):
            count = sum(map(len, regions.values()))
            if count >= _SMALLEST_SHARE * _PILOT_DRAWS:
                common = [where for where in REGIONS if len(regions.get(where, ())) >= _REGION_SHARE * count]
                settings[answer] = {where: regions[where] for where in common}
        if not settings:
            raise RecipeError(
                f"data: {name} has no unique optimum for {self.preference.name} with these beliefs; "
                "give another kind of data.beliefs weight, or leave the game out of data.games"
            )
        return _Question(_even(list(settings)), settings)


#: The same payoffs come up again and again, and a game once built never changes.
@lru_cache(maxsize=2**15)
def _game(name: str, payoffs: tuple[int, int, int, int]) -> Game:
    return make_game(name, *payoffs)


def _assumed(game: Game, preference: SocialPreferences) -> Strategy | None:
    """What derivations take others to do where nothing is stated; at kappa = 1 anything, since it does not matter."""
    if preference.kappa == 1:
        return game.uniform
    plan = equilibrium_belief(game, preference)
    return None if plan is None else game.strategy(plan)


def _decisions(name: str) -> int:
    """How many decisions a plan of this game has."""
    return len(make_game(name, 4, 3, 2, 1).information_sets)


def _even(answers: list[Plan]) -> dict[Plan, float]:
    """Weights under which both actions at each decision are about as frequent, where theory gives both.

    Generalised iterative scaling (Darroch and Ratcliff 1972): every decision pulls the weights a step towards even shares.
    """
    weights = dict.fromkeys(answers, 1 / len(answers))
    decisions = range(len(answers[0]))
    for _ in range(_SCALING_ROUNDS):
        pulled = dict(weights)
        for decision in decisions:
            shares: dict[str, float] = defaultdict(float)
            for answer, weight in weights.items():
                shares[answer[decision]] += weight
            for answer in answers:
                pulled[answer] /= (len(shares) * shares[answer[decision]]) ** (1 / len(decisions))
        floored = {answer: max(weight, _SMALLEST_WEIGHT / len(answers)) for answer, weight in pulled.items()}
        weights = {answer: weight / sum(floored.values()) for answer, weight in floored.items()}
    return weights


def row(sample: Sample, system: str | None) -> dict[str, Any]:
    """A sample as it is stored: messages for training, and everything needed to check or group it."""
    scene, game = sample.scene, sample.scene.game
    payoffs = {letter: int(value) for letter, value in game.parameters.items()}
    prompt = [{"role": "user", "content": sample.prompt}]
    if system is not None:
        prompt.insert(0, {"role": "system", "content": system})
    names = [information.name for information in game.information_sets]
    return {
        "id": f"{sample.split}/{sample.number}",
        "seed": sample.seed,
        "prompt": prompt,
        "completion": [{"role": "assistant", "content": sample.reply}],
        "game": game.name,
        **payoffs,
        "region": region(payoffs["T"], payoffs["R"], payoffs["S"]),
        "frame": scene.frame.name,
        "decisions": [names[decision] for decision in scene.asked],
        "ask": "plan" if scene.decision is None else "decision",
        "belief": None if scene.belief is None else [[float(p) for p in d] for d in scene.belief],
        "labels": [list(scene.labels[decision]) for decision in scene.asked],
        "listed": [[scene.labels[decision][a] for a in scene.order[decision]] for decision in scene.asked],
        "optimum": list(sample.answers),
        "utilities": [_by_action(sample, decision) for decision in scene.asked],
    }


def _by_action(sample: Sample, decision: int) -> list[float]:
    """For each action at a decision, the highest utility in points of a plan that takes it there."""
    game = sample.scene.game
    utilities = list(zip(game.plans(), map(float, sample.solution.utilities), strict=True))
    return [
        max(utility for plan, utility in utilities if plan[decision] == action)
        for action in game.information_sets[decision].actions
    ]
