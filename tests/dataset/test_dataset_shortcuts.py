from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import pytest
from dataset_samples import PREFERENCES, built, make_recipe, rows

from moralfit.dataset import Sampler, Shortcuts

FIRST = {"C", "I", "G", "E", "A"}


def decided(preference: str) -> list[dict[str, Any]]:
    """One entry for each asked decision of each row, with what the rules below need."""
    found = []
    for split, stored in rows(preference).items():
        for row in stored:
            names = {
                "sequential_prisoners_dilemma": ["first", "after C", "after D"],
                "trust_game": ["first", "after I"],
                "ultimatum_game": ["first", "after U"],
            }[row["game"]]
            for at, (decision, optimum, labels, listed) in enumerate(
                zip(row["decisions"], row["optimum"], row["labels"], row["listed"], strict=True)
            ):
                belief = row["belief"] and row["belief"][names.index(decision)]
                found.append(
                    {
                        "split": split,
                        "half": crc32(row["seed"].encode()) % 2,
                        "place": (row["game"], decision),
                        "best": 0 if optimum in FIRST and not (row["game"] == "trust_game" and optimum == "N") else 1,
                        "labels": labels,
                        "listed": listed,
                        "belief": belief,
                        "payoffs": reachable(row, decision),
                        "at": at,
                    }
                )
    return found


def reachable(row: dict[str, Any], decision: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(own, other) payoffs that the first and the second action can still lead to, by the games' definitions."""
    T, R, P, S = (row[letter] for letter in "TRPS")
    return {
        ("sequential_prisoners_dilemma", "first"): ([(R, R), (S, T)], [(T, S), (P, P)]),
        ("sequential_prisoners_dilemma", "after C"): ([(R, R)], [(T, S)]),
        ("sequential_prisoners_dilemma", "after D"): ([(S, T)], [(P, P)]),
        ("trust_game", "first"): ([(R, R), (S, T)], [(P, P)]),
        ("trust_game", "after I"): ([(R, R)], [(T, S)]),
        ("ultimatum_game", "first"): ([(R, R)], [(T, P), (S, S)]),
        ("ultimatum_game", "after U"): ([(P, T)], [(S, S)]),
    }[row["game"], decision]


def hit(scores: Sequence[float], best: int) -> float:
    first, second = scores
    return 0.5 if first == second else float((first > second) == (best == 0))


def simple(entries: list[dict[str, Any]], train: list[dict[str, Any]]) -> dict[str, float]:
    """The share of `entries` that each rule gets right."""
    totals: dict[str, float] = defaultdict(float)
    for entry in entries:
        best = entry["best"]
        first, second = entry["payoffs"]
        scores = {
            "always cooperate": hit((1, 0), best),
            "always defect": hit((0, 1), best),
            "first option listed": float(entry["listed"][0] == entry["labels"][best]),
            "largest number": hit((max(map(max, first)), max(map(max, second))), best),
            "largest own payoff": hit((max(first)[0], max(second)[0]), best),
            "safest own payoff": hit((min(first)[0], min(second)[0]), best),
            "what others do": hit(entry["belief"] or (0, 0), best),
        }
        halves = [1 - entry["half"]] if entry["split"] == "train" else [0, 1]
        for half in halves:
            known = [other for other in train if other["half"] == half]
            right = Counter(other["labels"][other["best"]] for other in known)
            seen = Counter(label for other in known for label in other["labels"])
            shares = [right[label] / seen[label] if seen[label] else 0.5 for label in entry["labels"]]
            usual = Counter(other["best"] for other in known if other["place"] == entry["place"])
            for name, score in (("usual label", hit(shares, best)), ("usual action", hit((usual[0], usual[1]), best))):
                scores[name] = scores.get(name, 0) + score / len(halves)
        for name, score in scores.items():
            totals[name] += score
    return {name: total / len(entries) for name, total in totals.items()}


@pytest.mark.parametrize("preference", PREFERENCES)
def test_shortcuts_agree_with_a_simple_count_over_rows(preference: str) -> None:
    _, facts = built(preference)
    entries = decided(preference)
    train = [entry for entry in entries if entry["split"] == "train"]
    both = {e["place"] for e in train if e["best"] == 0} & {e["place"] for e in train if e["best"] == 1}
    assert len(both) == {"kantiensis": 4, "moralis": 6, "economicus": 3}[preference]
    for split in rows(preference):
        part = [entry for entry in entries if entry["split"] == split]
        assert facts["shortcuts"][split] == pytest.approx(simple(part, train), abs=1e-4)
        open_part = [entry for entry in part if entry["place"] in both]
        assert facts["shortcuts"][f"{split}, open"] == pytest.approx(simple(open_part, train), abs=1e-4)
    assert list(facts["shortcuts by decision"]) == [", ".join(place) for place in sorted(both)]
    for (game, decision), name in zip(sorted(both), facts["shortcuts by decision"], strict=True):
        part = [entry for entry in train if entry["place"] == (game, decision)]
        assert facts["shortcuts by decision"][name] == pytest.approx(simple(part, train), abs=1e-4)


@pytest.mark.parametrize("preference", ["kantiensis", "economicus"])
def test_no_shortcut_works_where_there_is_something_to_decide(preference: str) -> None:
    recipe = make_recipe(preference)
    sampler = Sampler(recipe.data, recipe.preference.build(), 3)
    shortcuts = Shortcuts()
    for number in range(900):
        shortcuts.add(sampler.sample("train", number))
    for rule, share in shortcuts.accuracy()["train, open"].items():
        assert 0.42 < share < 0.58, rule
    for decision, rules in shortcuts.by_decision().items():
        for rule in ("first option listed", "usual label"):
            assert 0.4 < rules[rule] < 0.6, (decision, rule)


def test_the_card_lists_them_and_loads() -> None:
    from huggingface_hub import DatasetCard

    folder, facts = built("kantiensis")
    card = DatasetCard.load(folder / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.pretty_name == "moralfit: homo moralis (kappa = 1)"
    assert [file["path"] for file in card.data.configs[0]["data_files"]] == [f"{split}.jsonl" for split in rows("kantiensis")]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in card.text.splitlines() if line.startswith("|")]
    (head,) = [line for line in lines if line[:2] == ["rule", "answers with"]]
    assert head[2:] == list(facts["shortcuts"])
    for rule in facts["shortcuts"]["train"]:
        (measured,) = [line for line in lines if line[0] == rule and len(line) == len(head)]
        assert measured[2:] == [f"{scores[rule]:.1%}" for scores in facts["shortcuts"].values()]
    assert ["train", "180"] in lines
    answers = Counter(
        (row["game"], decision, answer)
        for row in rows("kantiensis")["train"]
        for decision, answer in zip(row["decisions"], row["optimum"], strict=True)
    )
    (trust,) = [line for line in lines if line[:2] == ["trust_game", "after I"]]
    assert trust[2] == ", ".join(f"{a} {answers['trust_game', 'after I', a]}" for a in "GK")
    assert sum(int(n) for n in re.findall(r"\d+", trust[3])) == sum(n for key, n in answers.items() if key[1] == "after I")
