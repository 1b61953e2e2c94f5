"""One sample as a pure function of (recipe, seed, split, number), so that any order and any number of workers agree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any, Literal, TypeAlias
from zlib import crc32

from moralfit.errors import RecipeError, WordsError
from moralfit.games import REGIONS, Game, Plan, Strategy, make_game, region, sample_payoffs
from moralfit.preferences import SocialPreferences
from moralfit.recipe import BELIEF_SHARES, DataSection
from moralfit.solve import Solution
from moralfit.words import Scene, check_sample, derive, frames, render_prompt, sample_scene

#: `train` teaches; `heldout_payoffs` has other payoffs; `heldout_words` has those and other frames, labels and units too.
Split: TypeAlias = Literal["train", "heldout_payoffs", "heldout_words"]
SPLITS: tuple[Split, ...] = ("train", "heldout_payoffs", "heldout_words")

#: One payoff quadruple in this many is kept out of training, whatever the seed.
_HELD_OUT_SHARE = 5
#: Draws per game that find out which answers theory can give, and an answer's smallest share of them to be asked for.
_PILOT_DRAWS = 400
_SMALLEST_SHARE = 0.02
#: A stratum that yields nothing in this many draws is a fault of the recipe.
_MOST_DRAWS = 20_000


def held_out(payoffs: tuple[int, int, int, int]) -> bool:
    """Whether these payoffs (T, R, P, S) belong to the held-out splits; a fixed property of the numbers, not of a seed."""
    return crc32(repr(tuple(payoffs)).encode()) % _HELD_OUT_SHARE == 0


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
class _Setting:
    """What a pilot draw found to lead to an answer: the region of payoffs and the belief."""

    region: str
    belief: Strategy | None


class Sampler:
    """Draws balanced samples: games in turn, and within a game every answer that theory can give equally often.

    Args:
        data: The data section of a recipe. preference: Whose optimum is taught. seed: Root of all randomness.

    Raises:
        RecipeError: No draw of some game has a unique optimum.
    """

    def __init__(self, data: DataSection, preference: SocialPreferences, seed: int) -> None:
        self.data, self.preference, self.seed = data, preference, seed
        self.grid = data.payoffs.build()

    def sample(self, split: Split, number: int) -> Sample:
        """Sample `number` of a split.

        Raises:
            RecipeError: The grid holds no payoffs of this split that give the answer whose turn it is.
        """
        name = self.data.games[number % len(self.data.games)]
        seed = f"{self.seed}/{split}/{number}"
        rng = Random(seed)
        decisions = len(self._example(name).information_sets)
        decision = None if rng.random() < self.data.plan_share else rng.randrange(decisions)
        strata = self._strata[name, decision]
        wanted = rng.choice(list(strata))
        for _ in range(_MOST_DRAWS):
            setting = rng.choice(strata[wanted])
            payoffs = sample_payoffs(rng, self.grid, setting.region)  # type: ignore[arg-type]  # a Region from REGIONS
            if held_out(payoffs) != (split != "train"):
                continue
            game = make_game(name, *payoffs)
            scene = sample_scene(rng, game, frames(split == "heldout_words"), setting.belief, decision)
            try:
                derivation = derive(scene, self.preference)
            except WordsError:
                continue
            if derivation.actions == wanted:
                prompt = render_prompt(scene)
                solution = check_sample(scene, self.preference, derivation.belief, prompt, derivation.text)
                return Sample(number, split, seed, scene, prompt, derivation.text, derivation.actions, solution)
        raise RecipeError(
            f"data.payoffs: no {split} payoffs of {name} on this grid have the answer {' '.join(wanted)}; widen it"
        )

    def belief(self, rng: Random, decisions: int) -> Strategy | None:
        """A belief about plays of a game with this many two-action decisions; None where none is to be stated."""
        shares = rng.choices(BELIEF_SHARES, self.data.beliefs.weights)[0]
        if shares is None:
            return None
        first = [rng.choice(shares) for _ in range(decisions)]
        return tuple(tuple(p.numerator if p.denominator == 1 else p for p in (share, 1 - share)) for share in first)

    def _example(self, name: str) -> Game:
        return make_game(name, 4, 3, 2, 1)

    @cached_property
    def _strata(self) -> dict[tuple[str, int | None], dict[Plan, list[_Setting]]]:
        """For each game and question, the answers that occur, with settings in which they did."""
        found: dict[tuple[str, int | None], dict[Plan, list[_Setting]]] = {}
        for name in self.data.games:
            decisions = len(self._example(name).information_sets)
            for decision in (None, *range(decisions)):
                rng = Random(f"{self.seed}/pilot/{name}/{decision}")
                answers: dict[Plan, list[_Setting]] = {}
                for draw in range(_PILOT_DRAWS):
                    where = REGIONS[draw % len(REGIONS)]
                    belief = self.belief(rng, decisions)
                    game = make_game(name, *sample_payoffs(rng, self.grid, where))
                    try:
                        answer = derive(sample_scene(rng, game, frames(False), belief, decision), self.preference).actions
                    except WordsError:
                        continue
                    answers.setdefault(answer, []).append(_Setting(where, belief))
                common = {a: s for a, s in sorted(answers.items()) if len(s) >= _SMALLEST_SHARE * _PILOT_DRAWS}
                if not common:
                    raise RecipeError(f"data: {name} has no unique optimum for {self.preference.name} with these beliefs")
                found[name, decision] = common
        return found


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
    utilities = list(zip(game.plans(), sample.solution.utilities, strict=True))
    return [
        float(max(utility for plan, utility in utilities if plan[decision] == action))
        for action in game.information_sets[decision].actions
    ]
