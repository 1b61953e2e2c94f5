"""How far rules get that do not look at what matters: the data set is only worth something if they fail."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple
from zlib import crc32

from moralfit.dataset._sample import Sample

#: What each measured shortcut answers. On a training sample the "usual" rules know the other half of the training split only,
#: since a label that was right more often by chance is no shortcut.
DESCRIPTIONS = {
    "always cooperate": "the tree's first action: cooperate, invest, give back, offer equal, accept",
    "always defect": "the tree's second action",
    "first option listed": "the option that the prompt names first",
    "usual label": "the option whose label is right more often in training",
    "usual action": "the action that is right more often in training at this decision of this game",
    "largest number": "the option with the largest number in its rows of the table",
    "largest own payoff": "the option that can bring the largest own payoff",
    "safest own payoff": "the option whose worst own payoff is largest",
    "what others do": "the option that the prompt says most others take; a coin where it says nothing",
}

#: A decision is open if its rarer action is right at least this often in training; elsewhere theory (nearly) fixes the answer.
_OPEN_SHARE = 0.05
#: Halves of the training split.
_HALVES = (0, 1)


class _Place(NamedTuple):
    """Where decisions are counted: the split, and which decision of which game, by name."""

    split: str
    game: str
    decision: str


class _Kind(NamedTuple):
    """Decisions that the "usual" rules cannot tell apart, and which action is right."""

    place: _Place
    half: int
    labels: tuple[str, ...]
    best: int


class Shortcuts:
    """Collects decisions and then says what share of them each shortcut gets right; a tie counts one half."""

    def __init__(self) -> None:
        self._right: dict[_Place, dict[str, float]] = defaultdict(lambda: dict.fromkeys(DESCRIPTIONS, 0.0))
        self._kinds: Counter[_Kind] = Counter()

    def add(self, sample: Sample) -> None:
        """Takes in one sample; each decision it asks for counts once."""
        scene = sample.scene
        half = crc32(sample.seed.encode()) % len(_HALVES)
        for decision, answer in zip(scene.asked, sample.answers, strict=True):
            information = scene.game.information_sets[decision]
            best = information.actions.index(answer)
            role = information.roles[0]
            own: tuple[list[Any], list[Any]] = [], []
            anyone: tuple[list[Any], list[Any]] = [], []
            for outcome in scene.game.outcomes:
                for move in outcome.moves:
                    if move.information == decision:
                        own[move.action].append(outcome.payoffs[role])
                        anyone[move.action].extend(outcome.payoffs)
            place = _Place(sample.split, scene.game.name, information.name)
            right = self._right[place]
            right["always cooperate"] += best == 0
            right["always defect"] += best == 1
            right["first option listed"] += best == scene.order[decision][0]
            right["largest number"] += _right([max(numbers) for numbers in anyone], best)
            right["largest own payoff"] += _right([max(numbers) for numbers in own], best)
            right["safest own payoff"] += _right([min(numbers) for numbers in own], best)
            right["what others do"] += 0.5 if scene.belief is None else _right(scene.belief[decision], best)
            self._kinds[_Kind(place, half, scene.labels[decision], best)] += 1

    def accuracy(self) -> dict[str, dict[str, float]]:
        """Share of decisions that each shortcut gets right.

        Returns:
            By part: every split, and `SPLIT, open` with only those decisions of a game at which both actions occur in training.
            There a fair coin gets one half, and so should every rule that has no reason.
        """
        splits = dict.fromkeys(place.split for place in self._right)
        parts = {split: [place for place in self._right if place.split == split] for split in splits}
        parts |= {f"{split}, open": [place for place in parts[split] if self._open(place)] for split in splits}
        return self._shares({part: places for part, places in parts.items() if places})

    def by_decision(self) -> dict[str, dict[str, float]]:
        """The same for each open decision of the training split: a rule could work at one and hide in the mean."""
        places = sorted(place for place in self._right if place.split == "train" and self._open(place))
        return self._shares({f"{place.game}, {place.decision}": [place] for place in places})

    def _open(self, place: _Place) -> bool:
        right = self._right[place._replace(split="train")]
        both = right["always cooperate"], right["always defect"]
        return min(both) >= _OPEN_SHARE * sum(both) > 0

    def _shares(self, parts: dict[str, list[_Place]]) -> dict[str, dict[str, float]]:
        """For each part, made of places, the share that each rule gets right there."""
        learned: dict[_Place, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        labels, actions = self._learn()
        for kind, count in self._kinds.items():
            # Held-out samples are judged by what either half of the training split teaches.
            for half in [1 - kind.half] if kind.place.split == "train" else _HALVES:
                weight = float(count) if kind.place.split == "train" else count / len(_HALVES)
                known = [labels[half, label] for label in kind.labels]
                learned[kind.place]["usual label"] += weight * _right(known, kind.best)
                usual = [actions[half, kind.place[1:], action] for action in range(len(kind.labels))]
                learned[kind.place]["usual action"] += weight * _right(usual, kind.best)
        shares = {}
        for part, places in parts.items():
            scores = [{**self._right[place], **learned[place]} for place in places]
            right = {name: sum([score[name] for score in scores]) for name in DESCRIPTIONS}
            total = right["always cooperate"] + right["always defect"]
            shares[part] = {name: round(number / total, 4) for name, number in right.items()}
        return shares

    def _learn(self) -> tuple[dict[tuple[int, str], float], Counter[tuple[int, tuple[str, str], int]]]:
        """From each half of the training split: how much more often than not a label is right, and how often an action is."""
        seen: Counter[tuple[int, str]] = Counter()
        chosen: Counter[tuple[int, str]] = Counter()
        actions: Counter[tuple[int, tuple[str, str], int]] = Counter()
        for kind, count in self._kinds.items():
            if kind.place.split == "train":
                actions[kind.half, (kind.place.game, kind.place.decision), kind.best] += count
                chosen[kind.half, kind.labels[kind.best]] += count
                for label in kind.labels:
                    seen[kind.half, label] += count
        shares: dict[tuple[int, str], float] = defaultdict(lambda: 0.5)
        return shares | {key: chosen[key] / count for key, count in seen.items()}, actions


def _right(scores: Sequence[Any], best: int) -> float:
    """How right it is to take the action with the highest score: 0 or 1, or a half where the two tie."""
    first, second = scores
    return 0.5 if first == second else float((second > first) == best)
