"""How far rules get that do not look at what matters: the data set is only worth something if they fail."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from moralfit.dataset._sample import Sample
from moralfit.games import Outcome

#: What each measured shortcut answers. The two "usual" rules may look at the training answers, the others at nothing but the prompt.
DESCRIPTIONS = {
    "always cooperate": "the tree's first action: cooperate, invest, give back, offer equal, accept",
    "always defect": "the tree's second action",
    "first option listed": "the option that the prompt names first",
    "usual label": "the option whose label is right more often in the training split",
    "usual action": "the action that is right more often in the training split at this decision of this game",
    "largest number": "the option with the largest number in its rows of the table",
    "largest own payoff": "the option that can bring the largest own payoff",
    "safest own payoff": "the option whose worst own payoff is largest",
}


class Shortcuts:
    """Collects decisions and then says what share of them each shortcut gets right."""

    def __init__(self) -> None:
        self._right: dict[str, Counter[str]] = defaultdict(Counter)
        self._count: Counter[str] = Counter()
        self._labels: dict[str, Counter[tuple[str, str, bool]]] = defaultdict(Counter)
        self._actions: dict[str, Counter[tuple[str, int, int]]] = defaultdict(Counter)

    def add(self, sample: Sample) -> None:
        """Takes in one sample; each decision it asks for counts once."""
        split, scene, right = sample.split, sample.scene, self._right[sample.split]
        for decision, answer in zip(scene.asked, sample.answers, strict=True):
            information = scene.game.information_sets[decision]
            best = information.actions.index(answer)
            labels = scene.labels[decision]
            self._count[split] += 1
            right["always cooperate"] += best == 0
            right["always defect"] += best == 1
            right["first option listed"] += best == scene.order[decision][0]
            reached: list[list[Outcome]] = [[], []]
            for outcome in scene.game.outcomes:
                for move in outcome.moves:
                    if move.information == decision:
                        reached[move.action].append(outcome)
            role = information.roles[0]
            rules: dict[str, Callable[[Iterable[Outcome]], object]] = {
                "largest number": lambda ends: max(max(o.payoffs) for o in ends),
                "largest own payoff": lambda ends, role=role: max(o.payoffs[role] for o in ends),  # type: ignore[misc]
                "safest own payoff": lambda ends, role=role: min(o.payoffs[role] for o in ends),  # type: ignore[misc]
            }
            for name, score in rules.items():
                first, second = score(reached[0]), score(reached[1])
                right[name] += 1 / 2 if first == second else float((first > second) == (best == 0))  # type: ignore[operator, assignment]
            self._labels[split][labels[0], labels[1], best == 0] += 1
            self._actions[split][scene.game.name, decision, best] += 1

    def accuracy(self) -> dict[str, dict[str, float]]:
        """Share of decisions that each shortcut gets right, by split; ties count one half."""
        score: dict[str, Counter[str]] = defaultdict(Counter)
        for labels in self._labels["train"].items():
            (first, second, first_is_best), count = labels
            score[first if first_is_best else second]["right"] += count
            score[second if first_is_best else first]["wrong"] += count
        found: dict[str, dict[str, float]] = {}
        for split, count in self._count.items():
            usual_label = sum(
                n * self._prefers(score, labels[0], labels[1], labels[2]) for labels, n in self._labels[split].items()
            )
            train = self._actions["train"]
            usual_action = sum(
                n * self._majority(train[game, decision, best], train[game, decision, 1 - best])
                for (game, decision, best), n in self._actions[split].items()
            )
            values = {**self._right[split], "usual label": usual_label, "usual action": usual_action}
            found[split] = {name: round(float(values[name]) / count, 4) for name in DESCRIPTIONS}
        return found

    @staticmethod
    def _majority(best: int, other: int) -> float:
        return 0.5 if best == other else float(best > other)

    @classmethod
    def _prefers(cls, score: dict[str, Counter[str]], first: str, second: str, first_is_best: bool) -> float:
        """Whether the label that was right more often in training is the right one here."""
        share = [score[label]["right"] / max(1, score[label].total()) for label in (first, second)]
        if share[0] == share[1]:
            return 0.5
        return float((share[0] > share[1]) == first_is_best)
