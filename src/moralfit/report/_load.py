"""What a run folder holds, read and checked.

A missing file is a section less. A damaged one is an error that names the file and the line: a page must not show numbers that
nobody measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, RootModel, ValidationError

from moralfit.errors import RunError


class Stored(BaseModel):
    """Unknown keys are left alone, so that a later version may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


#: Shares come from divisions and may miss an end by a rounding error.
_Share = Annotated[float, Field(ge=-1e-9, le=1 + 1e-9)]
_SignedShare = Annotated[float, Field(ge=-1 - 1e-9, le=1 + 1e-9)]


class Estimate(Stored):
    """A share in [0, 1], or a difference of shares in [-1, 1], with its 95% interval if there is one."""

    estimate: _SignedShare
    low: _SignedShare | None = None
    high: _SignedShare | None = None


class ShareEstimate(Estimate):
    """A share in [0, 1] with its 95% interval if there is one."""

    estimate: _Share
    low: _Share | None = None
    high: _Share | None = None


class Bounds(Stored):
    """An estimated weight or noise with its 95% interval; without an estimate, the set of values that explains every choice."""

    estimate: float | None = None
    low: float | None = None
    high: float | None = None


class Want(Stored):
    """What one agent was estimated to want, from one kind of its choices and by one model; see :mod:`moralfit.evaluate`."""

    agent: str
    games: str
    use: str
    beliefs: str
    model: str
    prompts: Annotated[int, Field(ge=0)]
    read: Annotated[int, Field(ge=0)]
    status: str
    weights: dict[str, Bounds] = {}
    noise: Bounds | None = None
    remark: str = ""


class Agent(Stored):
    """Who played. `preference` is what an adapter was trained on, or what a prompted agent was told."""

    key: str
    name: str
    kind: str
    preference: str | None = None


class Row(Stored):
    """What one agent did at one decision of one game (or all of them), judged by the solver of `target`."""

    agent: str
    target: str
    split: str
    game: str
    decision: str
    n: Annotated[int, Field(ge=0)]
    clusters: Annotated[int, Field(ge=0)] | None = None
    agreement: ShareEstimate | None = None
    cooperation: ShareEstimate | None = None
    optimal_cooperation: _Share | None = None
    amount: ShareEstimate | None = None
    optimal_amount: _Share | None = None
    sensitivity: Estimate | None = None
    probability: ShareEstimate | None = None
    invalid: _Share | None = None
    refused: _Share | None = None

    @property
    def place(self) -> tuple[str, str, str, str, str]:
        """What tells rows apart."""
        return (self.agent, self.target, self.split, self.game, self.decision)


class Summary(Stored):
    """`evaluation/summary.json`; `notes` warn of what a reader must know before trusting the numbers."""

    format: Literal[1] = Field(alias="schema")
    agents: tuple[Agent, ...]
    rows: tuple[Row, ...]
    estimates: tuple[Want, ...] = ()
    notes: tuple[str, ...] = ()


class Record(Stored):
    """One line of `evaluation/records.jsonl`: one decision of one agent.

    Attributes:
        optimum: For each preference its optimal actions; none where the solver has no answer.
        optimum_kind: For each preference whether that is one action (`unique`), or several that are `tied` or `mixed`.
        advantage: For each preference, by how many points of utility the first action is better than the other.
    """

    format: Literal[1] = Field(alias="schema")
    agent: str
    split: str
    prompt_id: str
    game: str
    payoffs: dict[str, float] = {}
    frame: str | None = None
    ask: str
    decision: str
    actions: tuple[str, ...]
    labels: tuple[str, ...]
    prompt: str
    reply: str
    status: Literal["answered", "refused", "unparseable"]
    action: str | None = None
    optimum: dict[str, tuple[str, ...]] = {}
    optimum_kind: dict[str, str | None] = {}
    advantage: dict[str, float | None] | None = None


class Step(BaseModel):
    """One line of `metrics.jsonl`. A loss may be NaN: that is worth showing."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    step: int
    loss: float | None = None
    learning_rate: float | None = None
    mean_token_accuracy: float | None = None
    epoch: float | None = None
    tokens: float | None = Field(default=None, validation_alias=AliasChoices("tokens", "num_tokens"))


def _as_text(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else str(value)


class Environment(Stored):
    """`environment.json`: where the run was made. Seconds are wall-clock."""

    python: Annotated[str | None, BeforeValidator(_as_text)] = None
    platform: str | None = None
    cpu: str | None = None
    cores: int | None = None
    gpu: str | None = None
    device: str | None = None
    dtype: str | None = None
    packages: dict[str, Annotated[str | None, BeforeValidator(_as_text)]] = {}
    seconds: dict[str, Annotated[float, Field(ge=0)] | None] = {}


class Shortcuts(RootModel[dict[str, dict[str, _Share]]]):
    """`dataset/shortcuts.json`: for each part of the data set, the score of rules that ignore what matters."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class _AdapterConfig(Stored):
    base_model_name_or_path: str | None = None


@dataclass(frozen=True)
class RunFolder:
    """Everything the page is made from; None or empty where the folder has no such file.

    Attributes:
        adapter: Folder of the adapter relative to the run folder.
        adapter_base: The base model that the adapter itself names.
    """

    path: Path
    recipe: Mapping[str, Any] | None
    environment: Environment | None
    steps: tuple[Step, ...]
    shortcuts: Mapping[str, Mapping[str, float]]
    summary: Summary | None
    records: tuple[Record, ...]
    adapter: str | None
    adapter_base: str | None


_Model = TypeVar("_Model", bound=BaseModel)


def load_folder(path: Path) -> RunFolder:
    """Reads what is in a run or comparison folder.

    Raises:
        RunError: There is no such folder, or a file in it is damaged; the message names the file.
    """
    if not path.is_dir():
        raise RunError(f"{path}: no such run folder")
    environment = load_json(path / "environment.json", Environment, "train again to rewrite it, or remove it to leave it out")
    shortcuts = load_json(path / "dataset/shortcuts.json", Shortcuts, "build the data set again, or remove it to leave it out")
    adapter, adapter_base = _adapter(path)
    summary = _summary(path / "evaluation/summary.json")
    return RunFolder(
        path=path,
        recipe=_recipe(path / "recipe.yaml"),
        environment=environment,
        steps=_lines(path / "metrics.jsonl", Step.model_validate_json, "remove the damaged lines, or the file to leave it out"),
        shortcuts=shortcuts.root if shortcuts else {},
        summary=summary,
        records=_lines(path / "evaluation/records.jsonl", Record.model_validate_json, "evaluate again to rewrite it"),
        adapter=adapter,
        adapter_base=adapter_base,
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise RunError(f"{path}: damaged, not UTF-8 text") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror})") from None


def _explain(error: ValidationError) -> str:
    """The first problems, each with its place."""
    problems = []
    for item in error.errors()[:3]:
        place = ".".join(str(part) for part in item["loc"])
        problems.append(f"{place}: {item['msg']}" if place else item["msg"])
    more = error.error_count() - len(problems)
    return "; ".join(problems) + (f"; and {more} more" if more > 0 else "")


def load_json(path: Path, model: type[_Model], remedy: str) -> _Model | None:
    """One JSON file; None if it is not there. Raises RunError, ending with the remedy, if it is damaged."""
    text = _text(path)
    if text is None:
        return None
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise RunError(f"{path}: damaged ({_explain(error)}); {remedy}") from None


def _lines(path: Path, read: Any, remedy: str) -> tuple[Any, ...]:
    found = []
    # Only newlines end a record: replies may hold the other characters at which str.splitlines cuts.
    for number, line in enumerate((_text(path) or "").split("\n"), 1):
        if line.strip():
            try:
                found.append(read(line))
            except ValidationError as error:
                raise RunError(f"{path}, line {number}: damaged ({_explain(error)}); {remedy}") from None
    return tuple(found)


def _summary(path: Path) -> Summary | None:
    remedy = "evaluate again to rewrite it"
    summary = load_json(path, Summary, remedy)
    if summary is None:
        return None
    keys = [agent.key for agent in summary.agents]
    if len(set(keys)) < len(keys):
        raise RunError(f"{path}: damaged (an agent is listed twice among {', '.join(keys)}); {remedy}")
    seen = set()
    for row in summary.rows:
        if row.agent not in keys:
            raise RunError(f"{path}: damaged (a row speaks of agent {row.agent!r}, which is not listed); {remedy}")
        if row.place in seen:
            raise RunError(f"{path}: damaged (two rows for {' / '.join(row.place)}); {remedy}")
        seen.add(row.place)
    for want in summary.estimates:
        if want.agent not in keys:
            raise RunError(f"{path}: damaged (an estimate speaks of agent {want.agent!r}, which is not listed); {remedy}")
    return summary


def _recipe(path: Path) -> Mapping[str, Any] | None:
    text = _text(path)
    if text is None:
        return None
    try:
        recipe = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RunError(f"{path}: damaged, not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(recipe, dict):
        raise RunError(f"{path}: damaged, a recipe is a mapping of sections")
    return recipe


def _adapter(path: Path) -> tuple[str | None, str | None]:
    """Where PEFT left the adapter, and the base model it says it belongs to."""
    for place in ("adapter", "."):
        config = load_json(path / place / "adapter_config.json", _AdapterConfig, "train again to rewrite it")
        if config is not None:
            return place, config.base_model_name_or_path
    return None, None
