"""Recipes: one YAML file that says everything a run needs, checked in full before anything starts.

Names here are ours and stay; :mod:`moralfit.train` maps them to whatever TRL, PEFT and transformers call them today.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args, get_origin
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError, field_validator, model_validator

from moralfit.credentials import secrets_in_recipe, without_secrets
from moralfit.errors import GameError, RecipeError
from moralfit.games import GAMES, PayoffGrid, exact
from moralfit.preferences import HomoEconomicus, HomoMoralis, SocialPreferences

Share = Annotated[float, Field(ge=0, le=1)]
#: Fields of a request to a server that a recipe cannot set.
_OUR_FIELDS = {
    "model", "messages", "temperature", "max_tokens", "max_completion_tokens", "seed", "logprobs", "top_logprobs", "stream",
    "stream_options", "n",
}  # fmt: skip
#: YAML has lists where a recipe, which is fixed once read, has tuples.
Names = Annotated[tuple[str, ...], Strict(strict=False)]


#: A repository of the Hub with its owner.
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def _can_name_a_folder(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError("must consist of letters, digits, dots, dashes and underscores, and begin with a letter or digit")
    return name


FolderName = Annotated[str, AfterValidator(_can_name_a_folder)]


class Section(BaseModel):
    """A section of a recipe: unknown keys are errors, `true` and `"16"` are no numbers, values are fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def as_yaml(self) -> str:
        """Every key with its value, in the order of the fields; of a whole recipe, the recipe as resolved."""
        return yaml.dump(self.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class ModelSection(Section):
    """The base model and where it runs."""

    base: str = "embedded"
    revision: str | None = None
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    attention: Literal["auto", "eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3"] = "auto"
    quantize: Literal["nf4"] | None = None


class PreferenceSection(Section):
    """What the agent shall want."""

    kind: Literal["economicus", "moralis"]
    kappa: float | None = None

    @field_validator("kappa")
    @classmethod
    def _kappa_in_range(cls, kappa: float | None) -> float | None:
        if kappa is not None and not 0 <= kappa <= 1:
            raise ValueError("kappa must lie between 0 (own payoff alone) and 1 (only what if everyone did this)")
        return kappa

    @model_validator(mode="after")
    def _kappa_belongs_to_moralis(self) -> Self:
        if self.kind == "moralis" and self.kappa is None:
            raise ValueError("homo moralis needs kappa, for example preference.kappa=0.5")
        if self.kind == "economicus" and self.kappa is not None:
            raise ValueError("homo economicus has no kappa: leave it out; on the command line say preference=economicus")
        return self

    def build(self) -> SocialPreferences:
        """The preference itself."""
        return HomoEconomicus() if self.kappa is None else HomoMoralis(exact(self.kappa, "kappa"))

    @property
    def slug(self) -> str:
        """For folder names: `economicus`, `moralis-0.5`."""
        return self.kind if self.kappa is None else f"{self.kind}-{self.kappa:g}"


class PayoffSection(Section):
    """The grid that T > R > P > S are drawn from, in points."""

    low: int = 1
    high: int = 20
    step: int = 1

    @model_validator(mode="after")
    def _is_a_grid(self) -> Self:
        try:
            self.build()
        except GameError as error:
            raise ValueError(str(error)) from None
        return self

    def build(self) -> PayoffGrid:
        """The grid itself."""
        return PayoffGrid(self.low, self.high, self.step)


class BeliefSection(Section):
    """How often each kind of belief about the others is drawn (relative weights)."""

    unstated: float = Field(default=1, ge=0)
    certain: float = Field(default=1, ge=0)
    halves: float = Field(default=1, ge=0)
    tenths: float = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _something_is_drawn(self) -> Self:
        if not any(self.weights):
            raise ValueError("at least one kind of belief needs a positive weight")
        return self

    @property
    def weights(self) -> tuple[float, float, float, float]:
        """In the order of :data:`BELIEF_SHARES`."""
        return (self.unstated, self.certain, self.halves, self.tenths)


#: For each kind of belief, the shares of others that may be said to take an action; None states no belief.
BELIEF_SHARES: tuple[tuple[Fraction, ...] | None, ...] = (
    None,
    (Fraction(0), Fraction(1)),
    (Fraction(0), Fraction(1, 2), Fraction(1)),
    tuple(Fraction(n, 10) for n in range(11)),
)


class DataSection(Section):
    """The data set that theory writes."""

    games: Names = tuple(GAMES)
    payoffs: PayoffSection = PayoffSection()
    beliefs: BeliefSection = BeliefSection()
    plan_share: Share = 0.8
    system: str | None = None
    train_samples: int = Field(default=1000, ge=1)
    heldout_samples: int = Field(default=100, ge=1)

    @field_validator("games")
    @classmethod
    def _games_exist(cls, games: tuple[str, ...]) -> tuple[str, ...]:
        if not games or len(set(games)) < len(games):
            raise ValueError("name each game once, and at least one")
        for game in games:
            if game not in GAMES:
                raise ValueError(f"unknown game {game!r}{nearest(game, GAMES)}; known: {', '.join(GAMES)}")
        return games


class LoraSection(Section):
    """The adapter."""

    r: int = Field(default=16, ge=1)
    alpha: float = Field(default=32, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: str | Names = "all-linear"
    peft: dict[str, Any] = {}

    @field_validator("target_modules", mode="before")
    @classmethod
    def _modules_are_names(cls, modules: Any) -> Any:
        if not isinstance(modules, str) and not (
            isinstance(modules, list | tuple) and all(isinstance(m, str) for m in modules)
        ):
            raise ValueError("must be all-linear, a regular expression or a list of module names")
        return modules


class TrainingSection(Section):
    """How the adapter is trained."""

    epochs: float = Field(default=1, gt=0)
    batch_size: int = Field(default=8, ge=1)
    gradient_accumulation: int = Field(default=1, ge=1)
    fit_batch: bool = False
    packing: bool = False
    activation_checkpointing: bool = False
    liger: bool = False
    optimizer: Literal["auto", "adamw", "adamw_8bit", "paged_adamw_8bit"] = "auto"
    learning_rate: float = Field(default=2e-4, gt=0)
    schedule: str = "cosine"
    warmup: float = Field(default=0.05, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    max_length: int = Field(default=1024, ge=32)
    group_by_length: bool = True
    save_every: int = Field(default=50, ge=1)
    log_every: int = Field(default=5, ge=1)
    trl: dict[str, Any] = {}


class EvaluationSection(Section):
    """What is played after training."""

    prompts: int = Field(default=60, ge=1)
    # Off unless asked for: fewer than some ten prompts for each of a dozen families say little about any of them, and that many
    # would double an evaluation of the default size. It also leaves evaluations from before this key as they are.
    transfer_prompts: int = Field(default=0, ge=0)
    batch_size: int = Field(default=16, ge=1)
    max_new_tokens: int = Field(default=256, ge=8)
    compare: Annotated[tuple[Literal["base", "prompted", "random"], ...], Strict(strict=False)] = ("base", "prompted", "random")
    probabilities: bool = True
    elicit_beliefs: bool = False


class ServeSection(Section):
    """A server that models answer from, instead of this machine: anything with an OpenAI-compatible HTTP interface."""

    endpoint: str | None = None
    names: dict[str, str] = {}
    concurrency: int = Field(default=16, ge=1, le=1024)
    timeout: float = Field(default=600, gt=0)
    patience: float = Field(default=300, ge=0)
    top_logprobs: int = Field(default=20, ge=1)
    check: int = Field(default=16, ge=0)
    agreement: Share = 0.9
    context: int | None = Field(default=None, ge=256)
    prompt_price: float | None = Field(default=None, ge=0)
    completion_price: float | None = Field(default=None, ge=0)
    extra: dict[str, Any] = {}

    @field_validator("endpoint")
    @classmethod
    def _is_a_plain_address(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
        parts = urlsplit(endpoint)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold neither user nor password nor parameters; a key comes from MORALFIT_API_KEY alone")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an address such as http://localhost:8000/v1")
        return endpoint.rstrip("/")

    @field_validator("names")
    @classmethod
    def _names_are_of_models(cls, names: dict[str, str]) -> dict[str, str]:
        if odd := [name for name in names if name != "base" and not re.fullmatch(r"base:.+", name)]:
            raise ValueError(f"{odd[0]!r} must be base, or base:ADAPTER as in base:quickstart-moralis-1")
        return names

    @field_validator("extra")
    @classmethod
    def _is_not_ours(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if ours := sorted(_OUR_FIELDS & set(extra)):
            raise ValueError(f"{ours[0]} is set by what is played, or not supported")
        return extra

    @model_validator(mode="after")
    def _prices_come_together(self) -> Self:
        if (self.prompt_price is None) != (self.completion_price is None):
            raise ValueError("give both prompt_price and completion_price, per million tokens, or neither")
        return self


class HubSection(Section):
    """Where the adapter and its data set go when training is done."""

    push: bool = False
    repo_id: str | None = None
    data_repo_id: str | None = None
    private: bool = True
    license: str | None = None
    base_model: str | None = None

    @field_validator("repo_id", "data_repo_id")
    @classmethod
    def _names_a_repository(cls, name: str | None) -> str | None:
        if name is not None and not REPOSITORY.fullmatch(name):
            raise ValueError("a repository of the Hub is named user/name, for example yourname/moralis-smollm2")
        return name

    @property
    def data_repository(self) -> str:
        """Where the data set goes: unless said, beside the adapter."""
        return self.data_repo_id or f"{self.repo_id}-data"

    @model_validator(mode="after")
    def _push_needs_a_place(self) -> Self:
        if self.push and not self.repo_id:
            raise ValueError("hub.push needs hub.repo_id, for example yourname/moralis-smollm2")
        return self


class Recipe(Section):
    """A whole run."""

    name: FolderName
    seed: int = Field(default=0, ge=0)
    output: str = "runs"
    model: ModelSection = ModelSection()
    preference: PreferenceSection
    data: DataSection = DataSection()
    lora: LoraSection = LoraSection()
    training: TrainingSection = TrainingSection()
    evaluation: EvaluationSection = EvaluationSection()
    hub: HubSection = HubSection()

    @property
    def run(self) -> Path:
        """The run folder, named after the recipe and its preference."""
        return Path(self.output) / f"{self.name}-{self.preference.slug}"


Root = TypeVar("Root", bound=Section)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a run's recipe, applies dotted overrides (`preference.kappa=0.5`, `preference=economicus`) and checks all of it.

    Raises:
        RecipeError: As :func:`load_as`.
    """
    return load_as(Recipe, path, overrides)


def load_as(root: type[Root], path: str | Path, overrides: Sequence[str] = ()) -> Root:
    """The same for a recipe of any kind.

    Raises:
        RecipeError: The file is missing or no YAML mapping, or some keys or values are wrong; the message lists every problem
            with its key and, for an unknown key, the nearest valid one.
    """
    path = Path(path)
    values = _read(path)
    problems = [problem for override in overrides for problem in _apply(values, override)]
    return _validated(root, values, str(path), problems)


def _read(path: Path, heirs: tuple[Path, ...] = ()) -> dict[str, Any]:
    """What a recipe says, over what the recipe says that it extends. Raises RecipeError as :func:`load_as`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{path}: cannot read the recipe ({error.strerror}); recipes/ has examples") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: the recipe is not UTF-8 text") from None
    try:
        values = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {_yaml_problem(error)}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of sections, not {type(values).__name__}")
    parent = values.pop("extends", None)
    if parent is None:
        return values
    if not isinstance(parent, str) or Path(parent).is_absolute() or not parent.endswith(".yaml"):
        raise RecipeError(
            f"{path}: extends: must be another recipe's path from this one, such as ../moralis.yaml (got {parent!r})"
        )
    if (path.parent / parent).resolve() in (here := (*heirs, path.resolve())):
        raise RecipeError(f"{path}: extends: {parent} extends this recipe itself")
    return _over(_read(path.parent / parent, here), values)


def _over(under: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Sections are changed key by key; a preference, whose keys belong together, is replaced."""
    merged = dict(under)
    for key, value in values.items():
        both = isinstance(value, dict) and isinstance(under.get(key), dict) and key != "preference"
        merged[key] = _over(under[key], value) if both else value
    return merged


class _Serving(Section):
    serve: ServeSection = ServeSection()


def split_serve(overrides: Sequence[str]) -> tuple[ServeSection, list[str]]:
    """The serve section that overrides such as `serve.endpoint=URL` describe, and the other overrides.

    It belongs to no run's recipe: an adapter is trained once and served in many places.

    Raises:
        RecipeError: A key or value of the section is wrong.
    """
    own = [override for override in overrides if override.startswith("serve.")]
    values: dict[str, Any] = {}
    problems = [problem for override in own for problem in _apply(values, override)]
    serve = _validated(_Serving, values, "overrides", problems).serve
    return serve, [override for override in overrides if override not in own]


def parse_recipe(values: dict[str, Any], source: str) -> Recipe:
    """Checks a recipe that has already been read, such as the one stored with a run. Raises RecipeError as `load_recipe`."""
    return _validated(Recipe, values, source, [])


class _Loader(yaml.SafeLoader):
    """YAML 1.2 floats (5e-4 is a number) and no key twice: the second would win silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = []
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} appears twice", key_node.start_mark)
            seen.append(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes text that :class:`_Loader` would read as a number."""


_FLOAT = re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    _FLOAT,
    list("-+0123456789."),
)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def _yaml_problem(error: yaml.YAMLError) -> str:
    """Where and what, in one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())


def _apply(values: dict[str, Any], override: str) -> Iterator[str]:
    """Sets one dotted key in `values`; yields what is wrong with the override."""
    key, equals, text = override.partition("=")
    *sections, last = key.split(".")
    if not equals or not last or not all(sections) or override.startswith("-"):
        yield f"{override!r}: an override has the form section.key=value"
        return
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        yield f"{override!r}: the value is not valid YAML; put text with special characters in quotes, as in key='\"a: b\"'"
        return
    place = values
    for section in sections:
        inner = place.get(section)
        if section == "preference" and isinstance(inner, str):
            inner = {"kind": inner}
        if inner is not None and not isinstance(inner, dict):
            yield f"{override!r}: {section} is a value, not a section"
            return
        # A copy: what was read stays as it was.
        inner = dict(inner or {})
        place[section] = inner
        place = inner
    place[last] = value


def _validated(root: type[Root], values: dict[str, Any], source: str, problems: list[str]) -> Root:
    values = dict(values)
    if isinstance(values.get("preference"), str):
        values["preference"] = {"kind": values["preference"]}
    secrets = list(secrets_in_recipe(values))
    try:
        # Not with secrets, since what is wrong with a value is said by showing it.
        recipe = None if secrets else root.model_validate(values)
    except ValidationError as error:
        recipe, problems = None, [*problems, *(_explain(root, item) for item in error.errors())]
    problems = [*problems, *secrets]
    if recipe is None or problems:
        listed = "\n".join(f"  - {without_secrets(problem)}" for problem in problems)
        raise RecipeError(f"{source}: {len(problems)} problem{'s' * (len(problems) > 1)} in the recipe\n{listed}")
    return recipe


def _explain(root: type[Section], item: Any) -> str:
    """One validation error as a person would say it."""
    location = [str(part) for part in item["loc"]]
    key = ".".join(location) or "recipe"
    if item["type"] == "extra_forbidden":
        section: Any = root
        for part in location[:-1]:
            section = _inside(section, part)
        fields = list(section.model_fields)
        hint = nearest(location[-1], fields) or _elsewhere(root, location[-1])
        return f"{key}: unknown key{hint}; valid here: {', '.join(fields)}"
    if item["type"] == "missing":
        return f"{key}: required but not given"
    message = item["msg"].removeprefix("Value error, ")
    given = item.get("input")
    shown = f" (got {given!r})" if isinstance(given, str | int | float | bool | list | None) else ""
    if item["type"] == "literal_error" and isinstance(given, str):
        shown += nearest(given, re.findall(r"'([^']+)'", item["ctx"]["expected"]))
    if item["type"] == "model_type":
        message, shown = "a section has keys of its own", f" (got {given!r})"
    return f"{key}: {message[:1].lower()}{message[1:]}{shown}"


def _inside(section: Any, part: str) -> Any:
    """What stands at a key: of a section its field, of a mapping from names to sections any of those."""
    inner = get_args(section)[1] if get_origin(section) is dict else section.model_fields[part].annotation
    # An optional section is a union with None.
    options = [option for option in get_args(inner) if isinstance(option, type) and issubclass(option, Section)]
    return options[0] if options and get_origin(inner) is not dict else inner


def _elsewhere(root: type[Section], name: str) -> str:
    """Which section has this key, for those who put it in another."""
    keys = _keys(root)
    near = get_close_matches(name, keys, n=1, cutoff=0.8)
    return f", did you mean {keys[near[0]]!r}?" if near else ""


def _keys(section: Any, before: str = "") -> dict[str, str]:
    """Every key below a section with its dotted name; of two with the same last part, the first."""
    found: dict[str, str] = {}
    for name, field in section.model_fields.items():
        inner = field.annotation
        deeper = _keys(inner, f"{before}{name}.") if isinstance(inner, type) and issubclass(inner, Section) else {}
        found = {name: f"{before}{name}"} | deeper | found
    return found


def nearest(word: str, known: Any) -> str:
    """What was probably meant, as the end of a message; empty if nothing is near."""
    near = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f", did you mean {near[0]!r}?" if near else ""
