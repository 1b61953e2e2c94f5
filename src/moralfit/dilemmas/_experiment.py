"""An experiment from start to end: which agents, which dilemmas, and what is left on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moralfit.agents import LanguageAgent
from moralfit.dilemmas._ask import ask
from moralfit.dilemmas._catalogue import FAMILIES
from moralfit.dilemmas._design import Item, design, fingerprint
from moralfit.dilemmas._family import SIZES, DilemmaFamily, Size
from moralfit.dilemmas._markdown import markdown
from moralfit.dilemmas._summary import summarise
from moralfit.errors import RunError
from moralfit.evaluate import language_agents, load_tuned
from moralfit.files import write_json, write_text


@dataclass(frozen=True)
class Settings:
    """What is asked, and how.

    Attributes:
        families: Keys of :data:`FAMILIES`. cells: How much of the factorial design. samples: Replies for each cell and
            format. temperature: Of sampling; above zero, or all samples of a prompt are the same reply.
        max_new_tokens: Where a reply is cut off.
    """

    families: tuple[str, ...] = tuple(FAMILIES)
    cells: Size = "small"
    samples: int = 2
    seed: int = 0
    temperature: float = 0.7
    max_new_tokens: int = 64

    def __post_init__(self) -> None:
        if unknown := [key for key in self.families if key not in FAMILIES]:
            raise RunError(f"unknown family {unknown[0]!r}; known: {', '.join(FAMILIES)}")
        if self.cells not in SIZES:
            raise RunError(f"cells {self.cells}: say {', '.join(SIZES)}")
        if not self.families or len(set(self.families)) < len(self.families):
            raise RunError("name each family once, and at least one")
        if self.samples < 1:
            raise RunError(f"{self.samples} samples: ask for at least one reply for each cell")
        if not self.temperature > 0:
            raise RunError(f"temperature {self.temperature:g}: must be above zero, or all samples of a prompt are one reply")
        if self.max_new_tokens < 8:
            raise RunError(f"{self.max_new_tokens} new tokens: an answer line needs at least 8")

    def chosen(self) -> list[DilemmaFamily]:
        """The families themselves."""
        return [FAMILIES[key] for key in self.families]

    def items(self) -> list[Item]:
        """All prompts, family by family."""
        return [item for family in self.chosen() for item in design(family, self.cells, self.samples, self.seed)]


def run_agents(
    out: Path,
    settings: Settings,
    agents: Sequence[LanguageAgent],
    fingerprints: dict[str, str],
    described: Sequence[dict[str, Any]],
    system: str | None = None,
    progress: Callable[[LanguageAgent, int, int], None] = lambda agent, done, total: None,
    overwrite: bool = False,
    portion: int = 96,
    more: Callable[[], Mapping[str, Any]] = dict,
) -> dict[str, Any]:
    """Asks agents that are already there, and leaves records, settings, summary, tables and figures in `out`.

    Args:
        described: For each agent `key`, `name`, `kind`, `preference` and `kappa`. system, portion: As :func:`ask`.
        more: Called when all was asked: what else the summary says, such as `notes` that warn of something.

    Returns:
        The summary, see :func:`summarise`.

    Raises:
        RunError: `out` holds another experiment, or cannot be written.
    """
    from moralfit.dilemmas._figures import write_figures

    items = settings.items()
    by_key = {agent.key: agent for agent in agents}
    stated = {**vars(settings), "families": list(settings.families)}
    records = ask(
        out, agents, fingerprints, items, {**stated, "prompts": fingerprint(items, system)}, system,
        lambda key, done: progress(by_key[key], done, len(items)), overwrite, portion,
    )  # fmt: skip
    summary = {**summarise(settings.chosen(), items, records, described, {**stated, "replies": len(items)}), **more()}
    write_json(out / "summary.json", summary)
    write_text(out / "tables.md", markdown(summary))
    write_figures(summary, out)
    return summary


def run_dilemmas(
    places: Sequence[Path],
    out: Path,
    settings: Settings,
    overwrite: bool = False,
    progress: Callable[[LanguageAgent, int, int], None] = lambda agent, done, total: None,
    say: Callable[[str], None] = lambda text: None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Asks the adapters of runs or adapter folders, their base, and the base told their preferences.

    Args:
        overrides: Such as `serve.endpoint=URL`, for models on a server.

    Returns:
        The summary as written.

    Raises:
        RunError, ModelError, RecipeError: Something is missing, damaged, for another base, without effect, or in the way.
        ServerError: A server cannot be reached, refuses something, or serves none of this.
    """
    loaded = load_tuned(places, say, overrides, out, overwrite)
    if loaded.server is not None:
        loaded.server.journal.begin()
    section = loaded.recipe.evaluation
    # Replies between two writes; a server's answers are on disk before.
    portion = 2 * (section.batch_size if loaded.server is None else 2 * loaded.server.endpoint.section.concurrency)
    players = language_agents(
        loaded, batch_size=section.batch_size, max_new_tokens=settings.max_new_tokens, temperature=settings.temperature
    )
    kappas = {wanted.build().name: float(wanted.build().kappa) for wanted in loaded.wanted}
    described = [{**description, "kappa": kappas.get(description["preference"])} for _, _, description in players]
    server = loaded.server
    return run_agents(
        out, settings, [agent for agent, _, _ in players], {agent.key: text for agent, text, _ in players}, described,
        loaded.recipe.data.system, progress, overwrite, portion,
        dict if server is None else lambda: {"served": server.account(), "notes": server.notes},
    )  # fmt: skip
