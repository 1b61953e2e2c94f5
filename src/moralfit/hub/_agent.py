"""A tuned agent to be asked in a notebook, from the Hub, a run or an adapter folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, get_args

from moralfit.agents import LanguageAgent
from moralfit.chat import LocalChat
from moralfit.errors import GameError, ModelError
from moralfit.evaluate import find_adapter, target
from moralfit.games import GAMES, Game
from moralfit.models import Base, Messages, add_adapter, load_base, read_adapter_config
from moralfit.preferences import SocialPreferences
from moralfit.recipe import ModelSection, Recipe
from moralfit.words import frames, parse_reply, render_prompt, sample_scene, transfer_frames


@dataclass(frozen=True)
class Play:
    """What an agent was asked about a game, and what it said.

    Attributes:
        decisions: The names of those asked about, in the tree's order; the next two follow it.
        plan: The actions that the reply takes; empty where it cannot be read or refuses.
        optimum: The actions that are optimal for the agent's preference, several where they tie or are mixed.
    """

    prompt: str
    reply: str
    decisions: tuple[str, ...]
    plan: tuple[str, ...]
    optimum: tuple[tuple[str, ...], ...]

    @property
    def optimal(self) -> bool:
        """Whether every decision is one that the agent's preference takes."""
        return bool(self.plan) and all(taken in best for taken, best in zip(self.plan, self.optimum, strict=True))

    def __str__(self) -> str:
        """The conversation, and each decision beside theory."""
        lines = [f"{name}: {taken}" for name, taken in zip(self.decisions, self.plan, strict=False)] or ["(not readable)"]
        theory = [f"{name}: {' or '.join(best) or '-'}" for name, best in zip(self.decisions, self.optimum, strict=True)]
        return f"{self.prompt}\n\n{self.reply}\n\ndoes    {', '.join(lines)}\noptimal {', '.join(theory)}"


@dataclass
class TunedAgent(LanguageAgent):
    """An adapter over its base, with the recipe it was trained by; see :func:`load_agent`."""

    base: Base
    recipe: Recipe

    @property
    def preference(self) -> SocialPreferences:
        """What it was trained to want."""
        return self.recipe.preference.build()

    def play(self, game: Game, belief: Any = None, decision: str | int | None = None, seed: int = 0) -> Play:
        """Tells the agent the rules in words and asks what it does.

        Args:
            belief: What it is told to expect of others, as :meth:`Game.strategy` takes it; None leaves it unsaid.
            decision: Name or number of one decision to ask about; None asks for the whole conditional plan.
            seed: Of the story, the labels of the actions and the order in which they are listed.

        Raises:
            WordsError: Words cannot express the game, or it has too many decisions for one question. GameError: The belief does
                not fit the game, or it has no such decision.
        """
        names = [information.name for information in game.information_sets]
        if isinstance(decision, str):
            if decision not in names:
                raise GameError(f"{game.name}: no decision {decision!r}; it has {', '.join(names)}")
            decision = names.index(decision)
        stories = frames(False) if game.name in GAMES else transfer_frames(game)
        expected = None if belief is None else game.strategy(belief)
        scene = sample_scene(Random(f"{seed}/play"), game, stories, expected, decision)
        prompt = render_prompt(scene)
        messages = self._messages(prompt)
        (answer,) = self.replies([(scene, messages)], [str(seed)])
        parsed = parse_reply(scene, answer.text)
        order = sorted(range(len(scene.asked)), key=lambda place: scene.asked[place])
        best = target(scene, self.preference).optimum
        return Play(
            prompt,
            answer.text,
            tuple(names[scene.asked[place]] for place in order),
            tuple(parsed.actions[place] for place in order) if parsed.actions else (),
            tuple(best[place] for place in order),
        )

    def ask(self, question: str) -> str:
        """What it says to any question, without a game."""
        (answer,) = self.chat.replies([self._messages(question)], ["ask"])
        return answer.text

    def _messages(self, text: str) -> Messages:
        system = self.recipe.data.system
        told = [] if system is None else [{"role": "system", "content": system}]
        return [*told, {"role": "user", "content": text}]


def load_agent(
    place: str | Path, *, device: str = "auto", max_new_tokens: int | None = None, remote_code: bool = False
) -> TunedAgent:
    """Loads an agent over the base that it was trained on, ready to be asked.

    Args:
        place: A repository of the Hub (`user/name`, or `user/name@revision`), a run folder or an adapter folder.
        device: `auto`, `cpu`, `cuda` or `mps`. max_new_tokens: Where replies are cut off; by default as its recipe says.
        remote_code: Whether Python code that the *base's* repository may hold is run. Nothing of the adapter's ever is.

    Raises:
        RunError: It is no such place. ModelError: The adapter cannot be fetched, is not safe to read (a pickle, too large), was
            made for another base or another revision of it, or has no effect. RecipeError: Its recipe is damaged.
    """
    folder, recipe = find_adapter(place)
    config = read_adapter_config(folder)
    if device not in (known := get_args(ModelSection.model_fields["device"].annotation)):
        raise ModelError(f"device: {device!r} is none of {', '.join(known)}")
    # Where it was trained is no reason to run it there.
    section = recipe.model.model_copy(update={"device": device, "attention": "auto"})
    base = load_base(section, remote_code=remote_code)
    trained = config.get("revision")
    if trained and base.revision and trained != base.revision:
        raise ModelError(f"{place}: trained on {base.name} at {trained}, but {base.revision} was loaded; fetch that revision")
    add_adapter(base, folder, "tuned")
    most = max_new_tokens or recipe.evaluation.max_new_tokens
    chat = LocalChat(base, "tuned", max_new_tokens=most)
    return TunedAgent("tuned", f"tuned to be {recipe.preference.build().name}", "adapter", chat, base, recipe)
