"""The games of a tournament: every agent states its whole plan for the same scenes, and plans meet in both roles.

No opponent is described and no belief stated: what an agent does in a role must not depend on whom it meets, so that it is
asked once, and all meetings follow from the answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.console import Console

from moralfit.agents import LanguageAgent
from moralfit.chat import LocalChat
from moralfit.console import bar
from moralfit.errors import GameError, ModelError, RunError
from moralfit.evaluate import Item, find_adapter, items, play
from moralfit.files import read_json, write_json
from moralfit.files import sha256 as checksum
from moralfit.games import Game, Strategy
from moralfit.recipe import ModelSection, Recipe, parse_recipe
from moralfit.solve import solve
from moralfit.sweep._recipe import PlayerSection, PlaySection
from moralfit.words import preference_in_words

_FINISHED = "finished.json"
#: An agent's behaviour in one scene: strategies, each as likely as the others; None if it has stated none.
Behaviour = tuple[Strategy, ...] | None


@lru_cache(maxsize=4)
def scenes(section: PlaySection, seed: int) -> list[Item]:
    """The prompts of a tournament: games in turn, payoffs kept out of training, whole plans, and no beliefs.

    Raises:
        RecipeError: As :func:`moralfit.evaluate.items`.
    """
    recipe = parse_recipe(
        {
            "name": "tournament",
            "seed": seed,
            "preference": "economicus",
            "data": {
                "games": list(section.names),
                "payoffs": section.payoffs.model_dump(),
                "beliefs": {"unstated": 1, "certain": 0, "halves": 0, "tenths": 0},
                "plan_share": 1.0,
                "system": section.system,
            },
            "evaluation": {"prompts": section.scenes},
        },
        "tournament",
    )
    return items(recipe, "payoffs" if section.words == "trained" else "words")


@dataclass(frozen=True)
class PlansCell:
    """What one language agent says it would do in every scene.

    Attributes:
        cells: The folder that cells lie in. seed: The sweep's.
    """

    agent: str
    player: PlayerSection
    model: ModelSection
    play: PlaySection
    seed: int
    cells: Path

    @property
    def id(self) -> str:
        """`games_AGENT`; agents' names have no dashes, markets' cells have one."""
        return f"games_{self.agent}"

    @property
    def folder(self) -> Path:
        """Where the records are."""
        return self.cells / self.id

    @property
    def asked(self) -> list[Item]:
        """All scenes."""
        return scenes(self.play, self.seed)

    def finished(self) -> bool:
        """Whether the mark is there, of these records, this question and this agent.

        Raises:
            RunError: The folder holds plans of another agent or for other scenes.
        """
        path = self.folder / _FINISHED
        if not path.exists():
            return False
        mark = read_json(path)
        now = self._origin()
        if not isinstance(mark, dict) or mark.get("records") != checksum(self.folder / "records.jsonl"):
            raise RunError(f"{self.folder}: the records are not those that were finished; move the folder away")
        if changed := [key for key in now if mark.get(key) != now[key]]:
            raise RunError(
                f"{self.folder}: holds plans made from another {' and '.join(changed)}; move it away, or give the sweep "
                "another name (name=...)"
            )
        return True

    def _origin(self) -> dict[str, Any]:
        """What plans depend on, as far as it is known without loading a model."""
        prompts = sha256(json.dumps([[item.id, item.messages] for item in self.asked]).encode()).hexdigest()
        adapter = None
        if self.player.adapter is not None:
            adapter = checksum(find_adapter(Path(self.player.adapter))[0] / "adapter_model.safetensors")
        preference = self.player.preference
        return {
            "prompts": prompts,
            "model": [self.model.base, self.model.revision, self.model.dtype],
            "adapter": adapter,
            "kind": self.player.kind,
            "told": None if preference is None else preference.build().name,
            "max_new_tokens": self.play.max_new_tokens,
        }

    def run(self, console: Console) -> None:
        """Asks what has not been answered yet."""
        from moralfit.models import release_memory

        origin = self._origin()
        # Of a cell before this one in the same process.
        release_memory()
        self._ask(console)
        write_json(self.folder / _FINISHED, {**origin, "records": checksum(self.folder / "records.jsonl")})

    def _ask(self, console: Console) -> None:
        agent, fingerprint = self._agent()
        with bar(console, self.id, len(self.asked)) as update:
            play(
                self.folder,
                [agent],
                {agent.key: fingerprint},
                self.asked,
                {},
                False,
                lambda _, done: update(done),
                portion=4 * self.play.batch_size,
            )

    def _agent(self) -> tuple[LanguageAgent, str]:
        """The agent over its base. Raises ModelError or RunError if something is missing, or made for another base."""
        from moralfit.models import add_adapter, load_base, read_adapter_config

        section, folder = self.model, None
        if self.player.adapter is not None:
            folder, _ = find_adapter(Path(self.player.adapter))
            # The commit that was trained on, should the base have moved on since.
            revision = section.revision or read_adapter_config(folder).get("revision")
            section = section.model_copy(update={"revision": revision})
        base = load_base(section)
        origin = f"{base.name}@{base.revision} {base.machine.dtype} {self.play.max_new_tokens}"
        told = None if self.player.preference is None else preference_in_words(self.player.preference.build())
        if folder is not None:
            made_for = read_adapter_config(folder)["base_model_name_or_path"]
            if made_for != base.name:
                raise ModelError(f"{self.player.adapter}: made for {made_for}, and tournament.model.base is {base.name}")
            add_adapter(base, folder, "tuned")
            origin += f" {checksum(folder / 'adapter_model.safetensors')}"
        chat = LocalChat(
            base, None if folder is None else "tuned", preamble=told, batch_size=self.play.batch_size,
            max_new_tokens=self.play.max_new_tokens,
        )  # fmt: skip
        return LanguageAgent(self.agent, self.agent, self.player.kind, chat), f"{origin} {told}"

    def behaviours(self) -> list[Behaviour]:
        """The stated plan of every scene; None where none can be read. Raises RunError if records are missing."""
        path = self.folder / "records.jsonl"
        found: dict[str, dict[str, str | None]] = {}
        try:
            for line in path.read_text(encoding="utf-8").split("\n"):
                if line:
                    record = json.loads(line)
                    found.setdefault(record["prompt_id"], {})[record["decision"]] = record["action"]
            return [_behaviour(item.scene.game, found[item.id]) for item in self.asked]
        except (OSError, ValueError, KeyError) as error:
            raise RunError(f"{path}: damaged or incomplete ({error}); move {self.folder} away") from None


def _behaviour(game: Game, stated: Mapping[str, str | None]) -> Behaviour:
    plan = [stated[information.name] for information in game.information_sets]
    return None if None in plan else (game.strategy(plan),)


def exact_behaviours(player: PlayerSection, asked: Sequence[Item]) -> list[Behaviour]:
    """What a solver or a die does, without words: every optimal strategy if several are, even play for a die.

    A solver expects of others what the convention of :func:`moralfit.solve.assumed_belief` gives; where it gives nothing, the
    solver has no behaviour either.
    """
    found: list[Behaviour] = []
    for item in asked:
        game = item.scene.game
        if player.preference is None:
            found.append((game.uniform,))
            continue
        try:
            found.append(solve(game, player.preference.build()).strategies)
        except GameError:
            found.append(None)
    return found


def meeting(game: Game, own: Behaviour, other: Behaviour) -> tuple[Fraction, Fraction] | None:
    """Expected payoff points of `own` as first and as second mover against `other`; None where one has no behaviour."""
    if own is None or other is None:
        return None
    first = second = Fraction(0)
    for x in own:
        for y in other:
            first += _payoffs(game, (x, y))[0]
            second += _payoffs(game, (y, x))[1]
    pairs = len(own) * len(other)
    return first / pairs, second / pairs


def _payoffs(game: Game, by_role: tuple[Strategy, Strategy]) -> tuple[Fraction, Fraction]:
    """Expected payoffs of both roles when each follows its own strategy."""
    total = [Fraction(0), Fraction(0)]
    for outcome in game.outcomes:
        weight = Fraction(outcome.chance)
        for mover, information, action in outcome.moves:
            weight *= by_role[mover][information][action]
        for role in (0, 1):
            total[role] += weight * outcome.payoffs[role]
    return total[0], total[1]


def check_players(players: Mapping[str, PlayerSection]) -> dict[str, Recipe]:
    """The recipes of all adapters. Raises ModelError with everything that is wrong with any."""
    found, problems = {}, []
    for name, player in players.items():
        if player.adapter is not None:
            try:
                found[name] = find_adapter(Path(player.adapter))[1]
            except (ModelError, RunError) as error:
                problems.append(f"tournament.agents.{name}: {error}")
    if problems:
        raise ModelError("; ".join(problems))
    return found
