"""Agents with a known preference and known noise, in place of language models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, log
from random import Random

from moralfit.chat import Reply
from moralfit.games import Strategy
from moralfit.models import Messages
from moralfit.preferences import SocialPreferences
from moralfit.solve import assumed_belief, solve
from moralfit.words import Scene

Asked = Sequence[tuple[Scene, Messages]]


@dataclass
class Player:
    """Chooses the whole plan with the highest utility plus Gumbel noise, and says of it what is asked.

    Attributes:
        noise: Its scale in payoff points; zero takes what the solver says, and the first action where that leaves a choice.
        talks: How likely a reply states the answer. expects: What it says others do, in percent for first actions.
    """

    key: str
    preference: SocialPreferences
    noise: float = 0.0
    talks: float = 1.0
    expects: int | None = None
    kind: str = "adapter"

    @property
    def name(self) -> str:
        return f"scripted {self.preference.name}"

    def replies(self, asked: Asked, seeds: Sequence[str], probabilities: bool = False) -> Iterator[Reply]:
        for position, ((scene, messages), seed) in enumerate(zip(asked, seeds, strict=True)):
            rng = Random(f"{self.key}/{seed}")
            if rng.random() > self.talks:
                text = "I am not sure what to make of this."
            elif messages[-1]["content"].splitlines()[-1].startswith("End with: Answer: number"):
                text = self._expectation(scene)
            else:
                actions = self._plan(scene, rng)
                labels = [scene.label(decision, actions[decision]) for decision in scene.asked]
                text = f"Let me see.\nAnswer: {', '.join(labels)}"
            yield Reply(position, text, self._shares(scene) if probabilities else None)

    def _shares(self, scene: Scene) -> list[list[float]]:
        """Exact for single decisions; for plans, the marginal of each decision."""
        plans = self._weighted(scene)
        total = sum(weight for _, weight in plans)
        found = []
        for decision in scene.asked:
            actions = scene.game.information_sets[decision].actions
            found.append([sum(w for plan, w in plans if plan[decision] == action) / total for action in actions])
        return found

    def _expectation(self, scene: Scene) -> str:
        if self.expects is None:
            return "Nobody can know."
        stated = []
        for decision in scene.sequence:
            size = len(scene.labels[decision])
            shares = [self.expects] + [0] * (size - 2) + [100 - self.expects]
            stated.append(", ".join(str(shares[action]) for action in scene.order[decision]))
        return f"Answer: {'; '.join(stated)}"

    def belief(self, scene: Scene) -> Strategy:
        if scene.belief is not None:
            return scene.belief
        sets = scene.game.information_sets
        if self.expects is not None:
            first = self.expects / 100
            return scene.game.strategy([[first] + [0] * (len(s.actions) - 2) + [1 - first] for s in sets])
        even = scene.game.strategy([[1 / len(s.actions)] * len(s.actions) for s in sets])
        return assumed_belief(scene.game, self.preference) or even

    def _plan(self, scene: Scene, rng: Random) -> Sequence[str]:
        if not self.noise:
            optimum = solve(scene.game, self.preference, self.belief(scene))
            return [optimum.actions(decision)[0] for decision in range(len(scene.game.information_sets))]
        noisy = {plan: log(weight) - log(-log(rng.random())) for plan, weight in self._weighted(scene)}
        return max(noisy, key=lambda plan: noisy[plan])

    def _weighted(self, scene: Scene) -> list[tuple[tuple[str, ...], float]]:
        """Plans with weights proportional to exp(utility / noise), from the definition of utility."""
        game, belief = scene.game, self.belief(scene)
        utilities = [(plan, float(self.preference.of_strategies(game, game.strategy(plan), belief))) for plan in game.plans()]
        top = max(utility for _, utility in utilities)
        return [(plan, max(exp((utility - top) / (self.noise or 0.01)), 1e-300)) for plan, utility in utilities]
