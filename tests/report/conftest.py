"""Run folders as training and evaluation leave them, made up but consistent: every summary row is counted from the records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from html.parser import HTMLParser
from math import exp, sqrt
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

MORALIS = "homo moralis (kappa = 1)"
ECONOMICUS = "homo economicus"
SPLITS = ("payoffs", "words")
DECISIONS = {
    "sequential_prisoners_dilemma": (("first", ("C", "D")), ("after C", ("C", "D")), ("after D", ("C", "D"))),
    "trust_game": (("first", ("I", "N")), ("after I", ("G", "K"))),
    "ultimatum_game": (("first", ("E", "U")), ("after U", ("A", "N"))),
}
LABELS = {"payoffs": (("late", "early"), ("bridge", "tunnel")), "words": (("reef", "shore"), ("flute", "drum"))}
#: Share of decisions answered readably, and share of those that are optimal.
SKILLS = {"random": (1.0, 0.5), "base": (0.12, 0.5), "prompted": (0.55, 0.58), "tuned": (0.995, 0.965)}

Json = dict[str, Any]


def optimum(target: str, game: str, decision: str, payoffs: Json) -> str:
    """Near enough to theory for a picture: universalised sums for homo moralis, own payoffs for homo economicus."""
    t, r, p, s = (payoffs[letter] for letter in "TRPS")
    moral = target != ECONOMICUS
    if game == "sequential_prisoners_dilemma":
        return "C" if moral and (2 * r >= t + s if decision != "after D" else t + s > 2 * p) else "D"
    if game == "trust_game":
        return ("I" if decision == "first" else "G") if moral and 2 * r >= t + s else ("N" if decision == "first" else "K")
    if decision == "after U":
        return "A"
    return "E" if moral and 2 * r >= t + p else "U"


def estimate(hits: int, n: int) -> Json | None:
    if not n:
        return None
    share = hits / n
    half = 1.96 * sqrt(max(share * (1 - share), 0.25 / n) / n) * 1.3
    return {"estimate": share, "low": max(0.0, share - half), "high": min(1.0, share + half)}


def record(rng: Random, agent: Json, skill: tuple[float, float], item: int, split: str, game: str, payoffs: Json) -> list[Json]:
    """The records of one plan prompt: the same prompt and reply for each decision."""
    aims = agent["preference"] or MORALIS
    decisions = DECISIONS[game]
    pairs = LABELS[split]
    kinds = list(dict.fromkeys(actions for _, actions in decisions))
    labels = {actions: pairs[place] for place, actions in enumerate(kinds)}
    readable = rng.random() < skill[0]
    chosen = []
    for decision, actions in decisions:
        best = optimum(aims, game, decision, payoffs)
        other = next(action for action in actions if action != best)
        chosen.append(best if rng.random() < skill[1] else other)
    words = [labels[actions][actions.index(action)] for (_, actions), action in zip(decisions, chosen, strict=True)]
    t, r, p, s = (payoffs[letter] for letter in "TRPS")
    first = labels[kinds[0]]
    prompt = (
        f"Two couriers share a route. Kim takes {first[0]} or {first[1]}. Lou sees it and answers.\n"
        f"Payoffs in coins (Kim, Lou):\n{first[0]}: {r}, {r}\n{first[1]}: {p}, {p}\nbetween: {s}, {t}\n"
        f"You may be in either role. Give your choice {', '.join(f'({n}) {d}' for n, (d, _) in enumerate(decisions, 1))}.\n"
        f"End with: Answer: {', '.join(f'choice {n}' for n in range(1, len(decisions) + 1))}"
    )
    if agent["kind"] == "adapter" and readable:
        reply = (
            f"If all act as I do, the sum for both counts.\nAfter {first[0]}: {words[-1]} gives {r}+{r}={2 * r}, the other "
            f"gives {s}+{t}={s + t}. Larger: {max(2 * r, s + t)}, so {words[-1]}.\nAnswer: {', '.join(words)}"
        )
    elif readable:
        reply = f"I would think about what Lou expects.\n**Answer:** {', '.join(words)}"
    else:
        reply = (
            "To answer this question we need to consider the payoffs of both couriers. Kim takes the route and Lou sees it. "
            "The payoffs are in coins. Kim and Lou share the route, and the route is shared by Kim and Lou. " * 3
        )
    targets = agent["targets"]
    return [
        {
            "schema": 1,
            "agent": agent["key"],
            "split": split,
            "item": item,
            "prompt_id": f"{split}/{item}",
            "game": game,
            "payoffs": payoffs,
            "region": "below" if t + s < 2 * r else "above",
            "frame": "couriers" if split == "payoffs" else "fishers",
            "ask": "plan",
            "decision": decision,
            "actions": list(actions),
            "labels": list(labels[actions]),
            "belief": None,
            "prompt": prompt,
            "reply": reply,
            "status": "answered" if readable else "unparseable",
            "action": action if readable else None,
            "optimum": {target: [optimum(target, game, decision, payoffs)] for target in targets},
            "advantage": dict.fromkeys(targets, abs(2 * r - t - s) + 1.5),
            "probabilities": None,
        }
        for (decision, actions), action in zip(decisions, chosen, strict=True)
    ]


def row(agent: str, target: str, split: str, game: str, decision: str, records: Iterable[Json], rng: Random) -> Json:
    records = list(records)
    n = len(records)
    firsts = [r for r in records if r["optimum"][target] == [r["actions"][0]]]
    others = [r for r in records if r not in firsts]
    taken = [r for r in records if r["action"] == r["actions"][0]]
    sensitivity = None
    if firsts and others:
        gap = sum(r in taken for r in firsts) / len(firsts) - sum(r in taken for r in others) / len(others)
        sensitivity = {"estimate": gap, "low": max(-1.0, gap - 0.12), "high": min(1.0, gap + 0.12)}
    weight = {"tuned": 0.74}.get(agent, 0.51) + rng.uniform(-0.03, 0.03)
    return {
        "agent": agent,
        "target": target,
        "split": split,
        "game": game,
        "decision": decision,
        "n": n,
        "clusters": len({r["item"] for r in records}),
        "agreement": estimate(sum(r["action"] in r["optimum"][target] for r in records), n),
        "cooperation": estimate(len(taken), sum(r["status"] == "answered" for r in records)),
        "optimal_cooperation": len(firsts) / n,
        "sensitivity": sensitivity,
        "probability": None if agent == "random" else {"estimate": weight, "low": weight - 0.04, "high": weight + 0.04},
        "invalid": sum(r["status"] == "unparseable" for r in records) / n,
        "refused": 0.0,
    }


def evaluation(folder: Path, agents: list[Json], items: int, games: Sequence[str], seed: int = 5) -> None:
    """Writes `evaluation/`."""
    rng = Random(seed)
    targets = list(dict.fromkeys(agent["preference"] for agent in agents if agent["kind"] == "adapter"))
    records = []
    for split in SPLITS:
        drawn = [
            (item, game, dict(zip("TRPS", sorted(rng.sample(range(1, 21), 4), reverse=True), strict=True)))
            for item, game in enumerate(list(games) * items)
        ]
        for agent in agents:
            skill = SKILLS["tuned" if agent["kind"] == "adapter" else agent["kind"]]
            for item, game, payoffs in drawn:
                records += record(rng, agent | {"targets": targets}, skill, item, split, game, payoffs)
    rows = []
    for agent in agents:
        for target in targets:
            for split in SPLITS:
                own = [r for r in records if r["agent"] == agent["key"] and r["split"] == split]
                rows.append(row(agent["key"], target, split, "all", "all", own, rng))
                for game in games:
                    played = [r for r in own if r["game"] == game]
                    rows.append(row(agent["key"], target, split, game, "all", played, rng))
                    for decision, _ in DECISIONS[game]:
                        at = [r for r in played if r["decision"] == decision]
                        rows.append(row(agent["key"], target, split, game, decision, at, rng))
    (folder / "evaluation").mkdir(parents=True)
    write_json(folder / "evaluation/summary.json", {"schema": 1, "agents": agents, "rows": rows})
    write_lines(folder / "evaluation/records.jsonl", records)


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def write_lines(path: Path, values: Iterable[Any]) -> None:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")


def agent(key: str, kind: str, name: str, preference: str | None = None) -> Json:
    return {"key": key, "kind": kind, "name": name, "preference": preference}


def build_run(folder: Path, items: int, games: Sequence[str] = tuple(DECISIONS)) -> Path:
    """A finished run of homo moralis."""
    folder.mkdir(parents=True)
    recipe = {
        "name": "quickstart",
        "seed": 0,
        "output": "runs",
        "model": {"base": "embedded", "revision": None, "device": "auto", "dtype": "auto", "attention": "auto"},
        "preference": {"kind": "moralis", "kappa": 1.0},
        "data": {
            "games": list(DECISIONS),
            "payoffs": {"low": 1, "high": 20, "step": 1},
            "beliefs": {"unstated": 1, "certain": 1, "halves": 1, "tenths": 0},
            "plan_share": 0.8,
            "train_samples": 1000,
            "heldout_samples": 100,
        },
        "lora": {"r": 16, "alpha": 32, "dropout": 0.0, "target_modules": "all-linear", "peft": {}},
        "training": {"epochs": 1, "batch_size": 8, "learning_rate": 0.0005, "schedule": "cosine", "trl": {}},
        "evaluation": {"prompts": 60, "max_new_tokens": 256, "compare": ["base", "prompted", "random"]},
        "hub": {"push": False, "repo_id": None, "private": True},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    environment = {
        "python": "3.11.9",
        "platform": "Linux-6.1.0-x86_64-with-glibc2.36",
        "cpu": "Intel(R) Xeon(R) Processor @ 2.70GHz",
        "cores": 2,
        "gpu": None,
        "device": "cpu",
        "dtype": "bfloat16",
        "packages": {"torch": "2.13.0", "transformers": "5.23.0", "trl": "1.16.0", "peft": "0.21.0", "datasets": "5.2.0"},
        "seconds": {"data": 4.1, "load": 2.4, "train": 588.0, "evaluate": 126.0},
    }
    write_json(folder / "environment.json", environment)
    rng = Random(2)
    steps = [
        {
            "step": step,
            "loss": 0.12 + 1.9 * exp(-step / 22) + rng.uniform(0, 0.08),
            "learning_rate": 5e-4 * max(0.0, 1 - step / 250),
            "mean_token_accuracy": 0.97 - 0.4 * exp(-step / 30),
            "epoch": step / 125,
            "num_tokens": 1600.0 * step,
        }
        for step in range(5, 251, 5)
    ]
    write_lines(folder / "metrics.jsonl", steps)
    (folder / "dataset").mkdir()
    shortcuts = {
        part: {
            "always the first action": 0.55 + shift,
            "first option listed": 0.5 - shift,
            "first label of the pair": 0.49 + shift / 2,
            "the game's most common answer": 0.69 - shift,
        }
        for part, shift in (("train", 0.0), ("heldout_payoffs", 0.02), ("heldout_words", -0.013), ("heldout_words, open", -0.1))
    }
    write_json(folder / "dataset/shortcuts.json", shortcuts)
    (folder / "dataset/README.md").write_text("# Data\n", encoding="utf-8")
    (folder / "adapter").mkdir()
    config = {"base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct", "peft_type": "LORA"}
    write_json(folder / "adapter/adapter_config.json", config)
    agents = [
        agent("tuned", "adapter", f"tuned to be {MORALIS}", MORALIS),
        agent("base", "base", "SmolLM2-135M-Instruct"),
        agent("prompted", "prompted", f"base told to be {MORALIS}", MORALIS),
        agent("random", "random", "random player"),
    ]
    evaluation(folder, agents, items, games)
    return folder


def build_comparison(folder: Path, items: int, games: Sequence[str] = tuple(DECISIONS)) -> Path:
    """Two adapters beside one base model."""
    folder.mkdir(parents=True)
    agents = [
        agent("tuned-moralis-1", "adapter", f"tuned to be {MORALIS}", MORALIS),
        agent("tuned-economicus", "adapter", f"tuned to be {ECONOMICUS}", ECONOMICUS),
        agent("base", "base", "SmolLM2-135M-Instruct"),
        agent("random", "random", "random player"),
    ]
    evaluation(folder, agents, items, games)
    return folder


class Page(HTMLParser):
    """A page as a browser takes it apart.

    Attributes:
        tags: Every start tag with its attributes, in order.
        text: Everything a reader sees, white space collapsed.
        tables: For each table, its caption and rows of cell texts.
        blocks: The exact text of each `pre`.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[tuple[str, list[list[str]]]] = []
        self.blocks: list[str] = []
        self._open: list[str] = []
        self._parts: list[str] = []
        self._caption = ""
        self.feed(html)
        self.close()
        self.text = " ".join("".join(self._parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br"):
            self._open.append(tag)
        if tag == "table":
            self.tables.append(("", []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][1][-1].append("")
        elif tag == "pre":
            self.blocks.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1:] == [tag], f"</{tag}> closes {self._open[-3:]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if "style" in self._open or "title" in self._open:
            return
        self._parts.append(data)
        if "pre" in self._open:
            self.blocks[-1] += data
        elif "caption" in self._open:
            caption, rows = self.tables[-1]
            self.tables[-1] = (caption + data, rows)
        elif "td" in self._open or "th" in self._open:
            self.tables[-1][1][-1][-1] += data.strip()

    def table(self, caption: str) -> list[list[str]]:
        """The rows of the one table with this caption."""
        (rows,) = [rows for found, rows in self.tables if found == caption]
        return rows

    def ids(self) -> list[str]:
        return [value for _, attributes in self.tags if (value := attributes.get("id"))]

    def section(self, name: str) -> str:
        """The HTML of one section."""
        start = self.html.index(f'<section id="{name}">')
        return self.html[start : self.html.index("</section>", start)]


@pytest.fixture(autouse=True)
def quick(drawn_once: Json) -> None:
    """All pages here take equal drawings from each other."""


@pytest.fixture
def read() -> Callable[[Path], Page]:
    return lambda path: Page(path.read_text(encoding="utf-8"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of one game, quick to draw."""
    return build_run(tmp_path / "quickstart-moralis-1", 8, ["trust_game"])


@pytest.fixture
def full_run(tmp_path: Path) -> Path:
    """A run of all three games."""
    return build_run(tmp_path / "quickstart-moralis-1", 4)


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    return build_comparison(tmp_path / "both", 4, ["trust_game"])


@pytest.fixture
def edit() -> Callable[[Path, Callable[[Any], Any]], None]:
    """Changes a file of JSON, of JSON lines (as a list) or of YAML in place."""

    def change_file(path: Path, change: Callable[[Any], Any]) -> None:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".jsonl":
            values = [json.loads(line) for line in text.splitlines()]
            change(values)
            write_lines(path, values)
        elif path.suffix == ".yaml":
            value = yaml.safe_load(text)
            change(value)
            path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
        else:
            value = json.loads(text)
            change(value)
            write_json(path, value)

    return change_file
