"""A server in place of this machine: which of its models are ours, whether they answer like ours, and what they cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moralfit.agents import LanguageAgent
from moralfit.chat import Chat, LocalChat, Reply
from moralfit.errors import ModelError
from moralfit.evaluate._scenes import Item, items
from moralfit.files import sha256
from moralfit.models import EMBEDDED, UPSTREAM, add_adapter, load_base, release_memory
from moralfit.recipe import ModelSection, Recipe, ServeSection
from moralfit.served import Endpoint, Journal, ServedChat, Usage, resolve, shown
from moralfit.words import parse_reply

#: Beside the records: what was asked and answered.
JOURNAL = "served.jsonl"
#: Of two replies that cannot be read, these must be the same to count as the same.
_WORDS = 5
_MILLION = 1_000_000


@dataclass(frozen=True)
class Fitted:
    """An adapter that a server is asked for.

    Attributes:
        key: Ours. name: What it is called in `base:NAME`. folder: Its weights here, which those on the server are held against.
    """

    key: str
    name: str
    folder: Path


@dataclass
class Server:
    """The models of an experiment, under the names that a server has for them.

    Attributes:
        upstream, revision: The base. names: The server's name for each adapter's key, and for the base under None.
        context: Tokens that a model reads and writes at most, as the recipe or the server says; None where neither does.
        checks: For the same keys how a model compared with local transformers, empty where that was not asked for.
        notes: What a person has to see beside the results.
    """

    endpoint: Endpoint
    upstream: str
    revision: str | None
    names: Mapping[str | None, str]
    journal: Journal
    context: int | None = None
    checks: Mapping[str | None, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def origin(self, adapter: str | None, options: Mapping[str, Any]) -> str:
        """What replies depend on, for the fingerprint of an agent: not where the server is, nor how many it answers at once."""
        used = {key: value for key, value in options.items() if key != "batch_size"}
        extra = self.endpoint.section.extra
        asked = f"{json.dumps(used)}{json.dumps(extra, sort_keys=True) if extra else ''}"
        return f"served {shown(self.names[adapter])} {self.upstream}@{self.revision} {asked}"

    def chat(
        self,
        adapter: str | None = None,
        preamble: str | None = None,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        batch_size: int = 0,
        identity: str = "",
    ) -> ServedChat:
        """The chat with a model; `batch_size` is for local ones."""
        name = self.names[adapter]
        return ServedChat(self.endpoint, name, preamble, max_new_tokens, temperature, self.journal, identity)

    def describe(self, adapter: str | None) -> dict[str, Any]:
        """What an agent's description says of its model."""
        check = self.checks.get(adapter)
        return {"served": shown(self.names[adapter])} | ({} if check is None else {"check": check})

    def account(self) -> dict[str, Any]:
        """What was asked for since the experiment began, however often it was interrupted; money as the recipe has it."""
        by_model = {model: vars(self.journal.usage(model)) for model in self.journal.models()}
        used = self.journal.usage()
        section = self.endpoint.section
        cost = None
        if section.prompt_price is not None and section.completion_price is not None:
            paid = used.prompt_tokens * section.prompt_price + used.completion_tokens * section.completion_price
            cost = round(paid / _MILLION, 6)
        return {"endpoint": self.endpoint.url, **vars(used), "cost": cost, "models": by_model}


def upstream_name(model: ModelSection) -> str:
    """What adapters over a recipe's base call it, without loading it."""
    if model.base == EMBEDDED:
        return UPSTREAM
    return Path(model.base).resolve().name if Path(model.base).is_dir() else model.base


def open_server(
    serve: ServeSection,
    model: ModelSection,
    upstream: str,
    revision: str | None,
    adapters: Sequence[Fitted],
    recipe: Recipe,
    out: Path | None,
    say: Callable[[str], None],
    anew: bool = False,
) -> Server:
    """Finds the models on the server and holds them against local transformers.

    Args:
        model: How the base is loaded here for that. upstream, revision: The base. recipe: Says which games the probes are of.
        out: Where :data:`JOURNAL` is kept; None for nowhere. anew: One that is there counts for nothing, and is replaced by the
            journal's `begin`.

    Raises:
        ServerError: It cannot be reached, or serves no such model. ModelError: Two adapters would go by one name; or the base
            or an adapter cannot be loaded here, or has no effect.
    """
    names = [adapter.name for adapter in adapters]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ModelError(f"two adapters would both be base:{twice[0]} on the server; rename one's folder, or play them apart")
    endpoint = Endpoint(serve, say)
    cards = endpoint.listed()
    found: dict[str | None, str] = {None: resolve(serve, upstream, None, cards)}
    found |= {adapter.key: resolve(serve, upstream, adapter.name, cards) for adapter in adapters}
    # vLLM says so with each model.
    lengths = [card.get("max_model_len") for card in cards or () if card["id"] in found.values()]
    context = serve.context or min((length for length in lengths if isinstance(length, int)), default=None)
    journal = Journal(None if out is None else out / JOURNAL, anew)
    server = Server(endpoint, upstream, revision, found, journal, context)
    if serve.check:
        server.checks = _checks(server, model, adapters, recipe, say)
        server.notes = [note for key, check in server.checks.items() if (note := _note(server, key, check))]
        for note in server.notes:
            say(f"Warning: {note}")
    return server


def _checks(
    server: Server, model: ModelSection, adapters: Sequence[Fitted], recipe: Recipe, say: Callable[[str], None]
) -> dict[str | None, dict[str, Any]]:
    """For the base and each adapter, how its answers to probe decisions compare with those of the same model here."""
    probes = _probes(recipe, server.endpoint.section.check)
    weights = {adapter.key: sha256(adapter.folder / "adapter_model.safetensors") for adapter in adapters}
    most = recipe.evaluation.max_new_tokens
    identities = {key: f"{server.origin(key, {'max_new_tokens': most})} {weights.get(str(key), '')}" for key in server.names}
    keys = {key: Journal.key("check", identities[key], [item.messages for item in probes]) for key in server.names}
    known = {key: server.journal.get(keys[key]) for key in server.names}
    if all(known.values()):
        return known
    try:
        base = load_base(model)
        for adapter in adapters:
            add_adapter(base, adapter.folder, adapter.key)
    except ModelError as error:
        raise ModelError(
            f"{error}. It is needed to check that the server answers like local transformers; serve.check=0 goes without"
        ) from None
    found = {}
    asked, seeds = [(item.scene, item.messages) for item in probes], [item.seed for item in probes]
    for key, name in server.names.items():
        local = LocalChat(base, key, batch_size=recipe.evaluation.batch_size, max_new_tokens=most)
        chats: tuple[Chat, Chat] = (server.chat(key, max_new_tokens=most, identity=identities[key]), local)
        replies = []
        for chat in chats:
            agent = LanguageAgent(str(key), name, "adapter", chat)
            offered = server.endpoint.offers_probabilities is not False
            replies.append({reply.position: reply for reply in agent.replies(asked, seeds, offered)})
        found[key] = check = _compared(probes, *replies)
        server.journal.add(keys[key], check, shown(name), Usage())
        say(f"{shown(name)}: the same answer as local transformers to {check['same']} of {check['decisions']} probe decisions")
    del base, chats, local, chat, agent
    release_memory()
    return found


def _probes(recipe: Recipe, decisions: int) -> list[Item]:
    """Held-out prompts with at least so many decisions."""
    evaluation = recipe.evaluation.model_copy(update={"prompts": decisions})
    found: list[Item] = []
    for item in items(recipe.model_copy(update={"evaluation": evaluation}), "payoffs"):
        if sum(len(other.scene.asked) for other in found) >= decisions:
            break
        found.append(item)
    return found


def _compared(probes: Sequence[Item], served: Mapping[int, Reply], local: Mapping[int, Reply]) -> dict[str, Any]:
    """How many decisions are the same, and by how much option probabilities differ.

    A decision is the same if both replies take the same action, or begin with the same words where neither can be read.
    """
    decisions = same = 0
    differences = []
    for place, item in enumerate(probes):
        one, other = (parse_reply(item.scene, replies[place].text) for replies in (served, local))
        alike = served[place].text.split()[:_WORDS] == local[place].text.split()[:_WORDS]
        for number in range(len(item.scene.asked)):
            actions = [parsed.actions[number] if parsed.actions else None for parsed in (one, other)]
            decisions += 1
            same += alike if actions == [None, None] else actions[0] == actions[1]
        # Later choices are read given each one's own earlier answers.
        shares = [replies[place].probabilities for replies in (served, local)]
        if shares[0] and shares[1]:
            differences.append(max(abs(a - b) for a, b in zip(shares[0][0], shares[1][0], strict=True)))
    return {
        "decisions": decisions,
        "same": same,
        "agreement": same / decisions,
        "probabilities": len(differences),
        "difference": round(sum(differences) / len(differences), 6) if differences else None,
    }


def _note(server: Server, key: str | None, check: Mapping[str, Any]) -> str | None:
    """What is said where a model on the server does not answer like the same one here."""
    least = server.endpoint.section.agreement
    problems = []
    if check["agreement"] < least:
        problems.append(f"gives the same answer to {check['same']} of {check['decisions']} probe decisions")
    if check["difference"] is not None and check["difference"] > 1 - least:
        problems.append(f"differs by {check['difference']:.2f} in option probabilities")
    if not problems:
        return None
    what = "the base" if key is None else "the adapter"
    return (
        f"the server's {shown(server.names[key])} {' and '.join(problems)} compared with {what} in local transformers; what it "
        "plays here may not be what was trained"
    )
