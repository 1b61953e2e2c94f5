"""Recipes of sweeps: a grid over training recipes, or a tournament of agents in games and markets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from moralfit.games import GAMES
from moralfit.recipe import FolderName, ModelSection, Names, PayoffSection, PreferenceSection, Section, load_as, nearest

#: Kinds of agents that speak; the others are exact.
SPEAKING = ("base", "prompted", "adapter")
KINDS = (*SPEAKING, "solver", "random")
NOT_PUSHED = "a sweep pushes nothing; push the cells you want with python -m moralfit.push"
#: Keys that a sweep sets by itself, with the reason.
_OURS = {
    "name": "a sweep names its cells",
    "output": "cells lie in the sweep's own folder",
    "hub": NOT_PUSHED,
}


def _dotted(values: Any) -> Any:
    """`{data: {train_samples: 48}}` and `{data.train_samples: 48}` are the same; of two, the later one counts."""
    return dict(_flat(values)) if isinstance(values, dict) else values


def _flat(values: dict[Any, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


Settings = Annotated[dict[str, Any], BeforeValidator(_dotted)]


def _not_ours(settings: dict[str, Any]) -> dict[str, Any]:
    for keys in settings:
        for key in split(keys):
            if (first := key.split(".")[0]) in _OURS:
                raise ValueError(f"{key} cannot be set here: {_OURS[first]}")
    return settings


def split(keys: str) -> list[str]:
    """The dotted keys that vary together: `lora.r, lora.alpha`."""
    return [key.strip() for key in keys.split(",")]


class WorkerSection(Section):
    """What one cell takes of a machine.

    `cpus` is the number of threads that a cell computes with, in process as on Ray: threads decide in which order numbers are
    added, and so their last digits.
    """

    cpus: int = Field(default=1, ge=1)
    gpus: float = Field(default=0, ge=0)
    retries: int = Field(default=2, ge=0)

    @field_validator("gpus")
    @classmethod
    def _whole_or_a_share(cls, gpus: float) -> float:
        if gpus > 1 and gpus != int(gpus):
            raise ValueError("must be a share of one GPU, such as 0.25, or a whole number")
        return gpus


class GridSection(Section):
    """Every combination of some values of some keys of a training recipe."""

    recipe: str
    set: Annotated[Settings, AfterValidator(_not_ours)] = Field(default={})
    over: Annotated[Settings, AfterValidator(_not_ours)]

    @field_validator("over")
    @classmethod
    def _values_are_lists(cls, over: dict[str, Any]) -> dict[str, Any]:
        problems = []
        known: list[str] = []
        for keys, values in over.items():
            names = split(keys)
            known += names
            if not isinstance(values, list) or not values:
                problems.append(f"{keys} needs a list of values, such as [0, 1]")
            elif any(values.count(value) > 1 for value in values):
                problems.append(f"{keys} has a value twice")
            elif len(names) > 1 and not all(isinstance(value, list) and len(value) == len(names) for value in values):
                problems.append(f"{keys} needs a list of lists, each with {len(names)} values, in the order of these keys")
        problems += [f"{key} is named twice" for key in dict.fromkeys(known) if known.count(key) > 1]
        if not over:
            problems.append("name at least one key with its values, such as preference.kappa: [0, 0.5, 1]")
        if problems:
            raise ValueError("; ".join(problems))
        return over


class PlayerSection(Section):
    """An agent of a tournament: a language model in one of three ways, a solver, or a die."""

    kind: str
    adapter: str | None = None
    preference: PreferenceSection | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": value}
        if isinstance(value, dict) and isinstance(value.get("preference"), str):
            return {**value, "preference": {"kind": value["preference"]}}
        return value

    @field_validator("kind")
    @classmethod
    def _kind_exists(cls, kind: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"unknown kind{nearest(kind, KINDS)}; known: {', '.join(KINDS)}")
        return kind

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        for key, kinds, example in (
            ("adapter", ("adapter",), "the folder of a run or an adapter, such as runs/quickstart-moralis-1"),
            ("preference", ("prompted", "solver"), "what it wants, such as {kind: moralis, kappa: 0.5}"),
        ):
            given = getattr(self, key) is not None
            if self.kind in kinds and not given:
                raise ValueError(f"an agent of kind {self.kind} needs {key}: {example}")
            if self.kind not in kinds and given:
                raise ValueError(f"{key} is for agents of kind {' or '.join(kinds)}; an agent of kind {self.kind} has none")
        return self


class PlaySection(Section):
    """The games of a tournament: held-out payoffs, no beliefs stated, and the whole conditional plan asked for."""

    names: Names = tuple(GAMES)
    scenes: int = Field(default=60, ge=2)
    payoffs: PayoffSection = PayoffSection()
    words: Literal["trained", "other"] = "trained"
    system: str | None = None
    batch_size: int = Field(default=16, ge=1)
    max_new_tokens: int = Field(default=256, ge=8)

    @field_validator("names")
    @classmethod
    def _games_exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names or len(set(names)) < len(names):
            raise ValueError("name each game once, and at least one")
        for name in names:
            if name not in GAMES:
                raise ValueError(f"unknown game {name!r}{nearest(name, GAMES)}; known: {', '.join(GAMES)}")
        return names


class ArenaSection(Section):
    """A market of a tournament: a pricing recipe, whose rules and learners play too."""

    recipe: str
    set: Annotated[Settings, AfterValidator(_not_ours)] = Field(default={})

    @field_validator("set")
    @classmethod
    def _agents_come_from_the_tournament(cls, settings: dict[str, Any]) -> dict[str, Any]:
        if given := [key for key in settings if key.split(".")[0] in ("model", "pairings")]:
            raise ValueError(f"{given[0]} cannot be set here: everyone meets everyone, over the tournament's model")
        return settings


class TournamentSection(Section):
    """Every agent against every agent."""

    model: ModelSection = ModelSection()
    agents: dict[str, PlayerSection]
    games: PlaySection | None = PlaySection()
    markets: dict[FolderName, ArenaSection] = Field(default={})

    @field_validator("agents")
    @classmethod
    def _names_can_be_joined(cls, agents: dict[str, PlayerSection]) -> dict[str, PlayerSection]:
        if not agents:
            raise ValueError("name at least one agent")
        # A dash joins the names of a pairing, which also names folders.
        if odd := [name for name in agents if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.]*", name)]:
            raise ValueError(
                f"{', '.join(map(repr, odd))}: an agent's name consists of letters, digits, dots and underscores, and begins "
                "with a letter or digit"
            )
        return agents

    @model_validator(mode="after")
    def _something_is_played(self) -> Self:
        if self.games is None and not self.markets:
            raise ValueError("nothing is played: leave games as they are, or name markets")
        return self


class SweepRecipe(Section):
    """A whole sweep: a grid or a tournament."""

    name: FolderName
    seed: int = Field(default=0, ge=0)
    output: str = "runs"
    workers: WorkerSection = WorkerSection()
    grid: GridSection | None = None
    tournament: TournamentSection | None = None

    @model_validator(mode="after")
    def _is_one_of_the_two(self) -> Self:
        if (self.grid is None) == (self.tournament is None):
            raise ValueError(
                "a sweep is either a grid over recipes or a tournament: give one of the sections grid and tournament"
            )
        return self

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return Path(self.output) / self.name


def load_sweep(path: str | Path, overrides: Sequence[str] = ()) -> SweepRecipe:
    """Reads the recipe of a sweep, applies dotted overrides and checks all of it, but not yet the recipes it names.

    Raises:
        RecipeError: As :func:`moralfit.recipe.load_as`.
    """
    return load_as(SweepRecipe, path, overrides)
