"""Recipes of pricing experiments: which agents meet in which market, for how long, and in what words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal, Self

from pydantic import Field, Strict, ValidationInfo, field_validator, model_validator

from moralfit.errors import GameError
from moralfit.pricing._agents import SCRIPTED
from moralfit.pricing._benchmarks import benchmarks
from moralfit.pricing._learning import QLearning
from moralfit.pricing._market import LogitMarket
from moralfit.pricing._prompt import WORDINGS, price_places
from moralfit.recipe import FolderName, ModelSection, PreferenceSection, Section, ServeSection, load_as, nearest

#: Kinds of agents that speak, and those that learn: before the experiment in a session of their own, or while they play. The
#: others are rules.
SPEAKING = ("base", "prompted", "adapter")
LEARNING = ("q-learned", "q-learning")
KINDS = (*SPEAKING, *LEARNING, *SCRIPTED)

#: A number for all firms, or one for each.
PerFirm = float | Annotated[tuple[float, ...], Strict(strict=False)]


class MarketSection(Section):
    """The market at scale 1; see :class:`moralfit.pricing.LogitMarket`."""

    firms: int = Field(default=2, ge=2, le=10)
    costs: PerFirm = 1.0
    qualities: PerFirm = 2.0
    outside: float = 0.0
    mu: float = 0.25
    size: float = 100.0

    @field_validator("costs", "qualities", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        # Said here, because a union of types explains itself twice.
        many = value if isinstance(value, list | tuple) else [value]
        if not many or any(isinstance(v, bool) or not isinstance(v, int | float) for v in many):
            raise ValueError("must be a number, or a list with one for each firm")
        return [float(v) for v in many] if isinstance(value, list | tuple) else float(value)

    @model_validator(mode="after")
    def _is_a_market(self) -> Self:
        for name in ("costs", "qualities"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.firms:
                raise ValueError(
                    f"{name} has {len(value)} entries for {self.firms} firms; give one number, or one for each firm"
                )
        try:
            self.build(1.0)
        except GameError as error:
            raise ValueError(str(error)) from None
        return self

    def build(self, scale: float) -> LogitMarket:
        """The market at a price scale."""
        costs, qualities = (v if isinstance(v, tuple) else (v,) * self.firms for v in (self.costs, self.qualities))
        return LogitMarket(costs, qualities, self.outside, self.mu, scale, self.size)


class LearningSection(Section):
    """Parameters of Q-learning; see :class:`moralfit.pricing.QLearning`."""

    points: int = QLearning.points
    xi: float = QLearning.xi
    alpha: float = QLearning.alpha
    beta: float = QLearning.beta
    delta: float = QLearning.delta

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        try:
            self.build()
        except GameError as error:
            raise ValueError(str(error)) from None
        return self

    def build(self) -> QLearning:
        """The parameters themselves."""
        return QLearning(self.points, self.xi, self.alpha, self.beta, self.delta)


class AgentSection(Section):
    """An agent: a language model in one of three ways, a learner, or a rule."""

    kind: str
    adapter: str | None = None
    preference: PreferenceSection | None = None
    learning: LearningSection | None = None

    @model_validator(mode="before")
    @classmethod
    def _kind_alone(cls, value: Any) -> Any:
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
        for key, kind, example in (
            ("adapter", "adapter", "the folder of a run or an adapter, such as runs/quickstart-moralis-1"),
            ("preference", "prompted", "what it is told to want, such as {kind: moralis, kappa: 0.5}"),
        ):
            given = getattr(self, key) is not None
            if self.kind == kind and not given:
                raise ValueError(f"an agent of kind {kind} needs {key}: {example}")
            if self.kind != kind and given:
                raise ValueError(f"{key} is for agents of kind {kind}; an agent of kind {self.kind} has none")
        if self.learning is not None and self.kind not in LEARNING:
            raise ValueError(f"learning is for agents of kind {' or '.join(LEARNING)}; an agent of kind {self.kind} has none")
        return self


class CeilingSection(Section):
    """The price above which nobody buys, as a multiple of the joint monopoly price; drawn evenly for each run."""

    low: float = Field(default=1.5, ge=1)
    high: float = 2.5

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.high < self.low:
            raise ValueError(f"high must be at least low, got {self.high:g} and {self.low:g}")
        return self


class PromptSection(Section):
    """What language models read."""

    history: int = Field(default=100, ge=0)
    note_words: int = Field(default=60, ge=1)
    thoughts: bool = True
    system: str | None = None


class DecodingSection(Section):
    """How language models answer."""

    temperature: float = Field(default=1.0, ge=0)
    max_new_tokens: int = Field(default=400, ge=8)
    retries: int = Field(default=2, ge=0)
    guided: bool = False
    batch_size: int = Field(default=16, ge=1)

    @model_validator(mode="after")
    def _completes_something(self) -> Self:
        if self.guided and not self.retries:
            raise ValueError("guided completes answers where a firm is asked again, so retries must be at least 1")
        return self


class PricingRecipe(Section):
    """A whole experiment."""

    name: FolderName
    seed: int = Field(default=0, ge=0)
    output: str = "runs"
    model: ModelSection = ModelSection()
    market: MarketSection = MarketSection()
    scales: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Strict(strict=False)] = (1.0,)
    wordings: Annotated[tuple[str, ...], Strict(strict=False)] = ("P1",)
    ceiling: CeilingSection = CeilingSection()
    agents: dict[str, AgentSection]
    pairings: Literal["all"] | Annotated[tuple[Annotated[tuple[str, ...], Strict(strict=False)], ...], Strict(strict=False)] = (
        "all"
    )
    periods: int = Field(default=300, ge=1)
    runs: int = Field(default=7, ge=1)
    prompt: PromptSection = PromptSection()
    decoding: DecodingSection = DecodingSection()
    serve: ServeSection = ServeSection()
    keep_prompts: bool = False

    @field_validator("scales", "wordings")
    @classmethod
    def _each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not values or len(set(values)) < len(values):
            raise ValueError("name each once, and at least one")
        return values

    @field_validator("wordings")
    @classmethod
    def _wordings_exist(cls, wordings: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [w for w in wordings if w not in WORDINGS]:
            raise ValueError(f"unknown wording {unknown[0]!r}{nearest(unknown[0], WORDINGS)}; known: {', '.join(WORDINGS)}")
        return wordings

    @field_validator("agents")
    @classmethod
    def _names_can_be_joined(cls, agents: dict[str, AgentSection]) -> dict[str, AgentSection]:
        if not agents:
            raise ValueError("name at least one agent")
        # A dash joins the names of a pairing, which also names files.
        if odd := [name for name in agents if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.]*", name)]:
            raise ValueError(
                f"{', '.join(map(repr, odd))}: an agent's name consists of letters, digits, dots and underscores, and begins "
                "with a letter or digit"
            )
        return agents

    @field_validator("pairings", mode="before")
    @classmethod
    def _pairings_are_lists(cls, value: Any) -> Any:
        if value == "all":
            return value
        if (
            not isinstance(value, list | tuple)
            or not value
            or not all(isinstance(p, list | tuple) and p and all(isinstance(name, str) for name in p) for p in value)
        ):
            raise ValueError("must be all, or a list of pairings such as [[base, moralis], [moralis, moralis]]")
        return value

    @field_validator("pairings")
    @classmethod
    def _pairings_fit(cls, pairings: Any, info: ValidationInfo) -> Any:
        agents, market = info.data.get("agents"), info.data.get("market")
        # What is wrong with those is said at their own keys.
        if pairings == "all" or agents is None or market is None:
            return pairings
        problems = []
        for pairing in pairings:
            shown = f"[{', '.join(pairing)}]"
            if len(pairing) != market.firms:
                problems.append(f"{shown} names {len(pairing)} for {market.firms} firms")
            problems += [f"{shown}: unknown agent {name!r}{nearest(name, agents)}" for name in pairing if name not in agents]
        if len(set(pairings)) < len(pairings):
            problems.append("a pairing is named twice")
        if problems:
            raise ValueError(f"{'; '.join(problems)}; agents: {', '.join(agents)}")
        return pairings

    @property
    def folder(self) -> Path:
        """Where the experiment goes unless told otherwise."""
        return Path(self.output) / self.name

    def pairs(self) -> list[tuple[str, ...]]:
        """Who meets whom: names of agents in the order of the firms, firm 0 first.

        `all` is every combination. Where firms differ in cost or quality, it matters who runs which, and both orders are
        played.
        """
        if self.pairings != "all":
            return list(self.pairings)
        if self.market.build(1.0).symmetric:
            return list(combinations_with_replacement(self.agents, self.market.firms))
        return list(product(self.agents, repeat=self.market.firms))


def load_pricing_recipe(path: str | Path, overrides: Sequence[str] = ()) -> PricingRecipe:
    """Reads a pricing recipe, applies dotted overrides and checks all of it; raises RecipeError as `load_as` does."""
    return load_as(PricingRecipe, path, overrides)


@dataclass(frozen=True)
class RunPlan:
    """One run of an experiment: who meets whom where.

    Attributes:
        id: Unique in the experiment. agents: Their names, firm 0 first. ceilings: For each firm the price above which nobody
        buys.
    """

    id: str
    agents: tuple[str, ...]
    market: LogitMarket
    wording: str
    replicate: int
    ceilings: tuple[float, ...]
    seed: int

    @property
    def pairing(self) -> str:
        """The agents' names joined by dashes."""
        return "-".join(self.agents)

    def seed_of(self, firm: int, period: int) -> str:
        """What all chance in one decision is drawn from."""
        return f"{self.seed}/{self.id}/firm-{firm}/period-{period}"


def plan(recipe: PricingRecipe) -> list[RunPlan]:
    """All runs, in the order of the records."""
    found = []
    for agents, scale, wording in product(recipe.pairs(), recipe.scales, recipe.wordings):
        market = recipe.market.build(scale)
        for replicate in range(1, recipe.runs + 1):
            name = f"{'-'.join(agents)}/x{scale:.12g}/{wording}/{replicate}"
            ceilings = _ceilings(recipe, market, f"{recipe.seed}/x{scale:.12g}/{wording}/{replicate}")
            found.append(RunPlan(name, agents, market, wording, replicate, ceilings, recipe.seed))
    return found


def _ceilings(recipe: PricingRecipe, market: LogitMarket, seed: str) -> tuple[float, ...]:
    """One multiple a run, in the precision that firms read; the same for all pairings, so that they differ in nothing else."""
    multiple = Random(f"{seed}/ceiling").uniform(recipe.ceiling.low, recipe.ceiling.high)
    return tuple(round(multiple * price, price_places(market.scale)) for price in benchmarks(market).monopoly.prices)
