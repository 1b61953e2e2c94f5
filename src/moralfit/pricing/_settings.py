"""What the analysis needs to know of an experiment beside its records: the market, and who its agents are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from moralfit.errors import RunError
from moralfit.pricing._market import LogitMarket
from moralfit.pricing._recipe import load_pricing_recipe
from moralfit.pricing._statistics import Json

_REMEDY = "run the experiment's command again to rewrite it"


class _Agent(BaseModel):
    """An agent as people know it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    name: str
    kind: str
    preference: str | None = None


class _Settings(BaseModel):
    """`settings.json`, as far as it is needed here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    agents: tuple[_Agent, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """An experiment as it was set up.

    Attributes:
        market: At scale 1. periods: How many are planned. history: The most periods that a prompt shows.
        notes: Warnings about the models that play.
    """

    name: str
    market: LogitMarket
    agents: Mapping[str, _Agent]
    periods: int
    history: int
    notes: tuple[str, ...] = ()

    @property
    def market_as_json(self) -> Json:
        """The market's numbers at scale 1."""
        market = self.market
        found: Json = {"costs": list(market.costs), "qualities": list(market.qualities)}
        return found | {"outside": market.outside, "mu": market.mu, "size": market.size}

    def agents_of(self, keys: Iterable[str]) -> list[Json]:
        """Each agent once, as the report knows agents. Raises RunError if the settings do not describe one."""
        found = []
        for key in dict.fromkeys(keys):
            if key not in self.agents:
                raise RunError(f"{self.name}: the records speak of agent {key!r}, which settings.json does not list; {_REMEDY}")
            found.append(self.agents[key].model_dump())
        return found


def read_setting(out: Path) -> Setting:
    """Reads `experiment.yaml` and `settings.json` of an experiment folder.

    Raises:
        RunError: The settings are missing or damaged.
        RecipeError: The recipe is.
    """
    recipe = load_pricing_recipe(out / "experiment.yaml")
    path = out / "settings.json"
    try:
        settings = _Settings.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); {_REMEDY}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{path}: damaged ({where}: {first['msg']}); {_REMEDY}") from None
    return Setting(
        name=recipe.name,
        market=recipe.market.build(1.0),
        agents={agent.key: agent for agent in settings.agents},
        periods=recipe.periods,
        history=recipe.prompt.history,
        notes=settings.notes,
    )
