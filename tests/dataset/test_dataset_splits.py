from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from dataset_samples import PREFERENCES, built, make_recipe, rows

from moralfit.dataset import SPLITS, Sampler, build_dataset, held_out, row, samples
from moralfit.errors import RecipeError
from moralfit.games import GAMES
from moralfit.preferences import HomoMoralis
from moralfit.words import FRAMES

FILES = ("train.jsonl", "heldout_payoffs.jsonl", "heldout_words.jsonl", "shortcuts.json", "README.md")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_same_seed_same_bytes_in_another_process(tmp_path: Path) -> None:
    program = (
        "import sys, yaml; from pathlib import Path; from moralfit.recipe import parse_recipe;"
        "from moralfit.dataset import build_dataset;"
        "recipe = parse_recipe(yaml.safe_load(sys.stdin.read()), 'test'); build_dataset(recipe, Path(sys.argv[1]))"
    )
    folder, _ = built("kantiensis")
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "again")],
        input=make_recipe("kantiensis").as_yaml(),
        env=os.environ | {"PYTHONHASHSEED": "12345"},
        text=True,
        check=True,
    )
    assert sorted(contents(folder)) == sorted(FILES)
    assert contents(tmp_path / "again") == contents(folder)


def test_another_seed_gives_other_samples() -> None:
    texts = []
    for seed in (0, 1):
        recipe = make_recipe("economicus", seed=seed, plan_share=1.0)
        texts.append({sample.prompt + sample.reply for sample in samples(recipe, "train", 30)})
    assert len(texts[0]) == len(texts[1]) == 30
    assert not texts[0] & texts[1]


def test_a_sample_depends_on_its_number_alone() -> None:
    recipe = make_recipe("moralis", games=["trust_game", "ultimatum_game"])
    in_order = [row(sample, None) for sample in samples(recipe, "heldout_words", 8)]
    backwards = Sampler(recipe.data, recipe.preference.build(), recipe.seed)
    assert [row(backwards.sample("heldout_words", number), None) for number in reversed(range(8))] == in_order[::-1]
    assert [stored["id"] for stored in in_order] == [f"heldout_words/{number}" for number in range(8)]


@pytest.mark.parametrize("preference", PREFERENCES)
def test_splits_share_no_payoffs_with_training(preference: str) -> None:
    payoffs = {
        split: {tuple(stored[letter] for letter in "TRPS") for stored in stored_rows}
        for split, stored_rows in rows(preference).items()
    }
    assert not payoffs["train"] & (payoffs["heldout_payoffs"] | payoffs["heldout_words"])
    assert not any(held_out(p) for p in payoffs["train"])
    assert all(held_out(p) for p in payoffs["heldout_payoffs"] | payoffs["heldout_words"])


@pytest.mark.parametrize("preference", PREFERENCES)
def test_heldout_words_share_no_frame_and_no_label_with_training(preference: str) -> None:
    stories = {frame.name: frame for frame in FRAMES}
    frames, labels, roles = {}, {}, {}
    for split, stored_rows in rows(preference).items():
        frames[split] = {stored["frame"] for stored in stored_rows}
        labels[split] = {label.casefold() for stored in stored_rows for pair in stored["labels"] for label in pair}
        roles[split] = {name for frame in frames[split] for pair in stories[frame].roles for name in pair}
    assert not frames["train"] & frames["heldout_words"]
    assert not labels["train"] & labels["heldout_words"]
    assert not roles["train"] & roles["heldout_words"]
    assert frames["heldout_payoffs"] <= frames["train"]
    # A short sample does not show every label of a story.
    trained = {label.casefold() for frame in FRAMES if not frame.held_out for pair in frame.labels for label in pair}
    assert labels["heldout_payoffs"] | labels["train"] <= trained
    assert len(frames["train"]) >= 8


def test_heldout_share_is_a_fifth() -> None:
    quadruples = [(T, R, P, S) for T in range(20) for R in range(T) for P in range(R) for S in range(P)]
    assert sum(map(held_out, quadruples)) / len(quadruples) == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("preference", PREFERENCES)
def test_every_game_and_decision_is_there_and_answers_are_even(preference: str) -> None:
    counts: Counter[tuple[str, str, str]] = Counter()
    recipe = make_recipe(preference)
    sampler = Sampler(recipe.data, recipe.preference.build(), 7)
    games: Counter[str] = Counter()
    for number in range(600):
        stored = row(sampler.sample("train", number), None)
        games[stored["game"]] += 1
        for decision, answer in zip(stored["decisions"], stored["optimum"], strict=True):
            counts[stored["game"], decision, answer] += 1
    assert games == dict.fromkeys(GAMES, 200)
    decisions = {(game, decision) for game, decision, _ in counts}
    assert len(decisions) == 7
    fixed = {
        "kantiensis": {("sequential_prisoners_dilemma", "first"), ("trust_game", "first"), ("ultimatum_game", "after U")},
        "moralis": {("ultimatum_game", "after U")},
        "economicus": {(game, d) for game, d in decisions if d != "first"},
    }[preference]
    for game, decision in decisions:
        answers = sorted(n for (g, d, _), n in counts.items() if (g, d) == (game, decision))
        if (game, decision) in fixed:
            assert len(answers) == 1
        else:
            assert answers[0] / sum(answers) > 0.38, (game, decision, answers)


def test_open_decisions_are_asked_about_more_often_than_fixed_ones() -> None:
    recipe = make_recipe("economicus", plan_share=0.0)
    counts = Counter(
        sample.scene.decision for sample in samples(recipe, "train", 300) if sample.scene.game.name == "trust_game"
    )
    assert counts[0] > 2 * counts[1] > 0
    assert None not in counts


def test_beliefs_are_those_of_the_recipe() -> None:
    def shares(**weights: int) -> set[float | None]:
        beliefs = {"unstated": 0, "certain": 0, "halves": 0, "tenths": 0} | weights
        found: set[float | None] = set()
        for sample in samples(make_recipe("economicus", beliefs=beliefs, plan_share=1.0), "train", 60):
            belief = row(sample, None)["belief"]
            found |= {None} if belief is None else {p for entry in belief for p in entry}
        return found

    assert shares(certain=1) == {0.0, 1.0}
    assert shares(certain=1, halves=3) == {0.0, 0.5, 1.0}
    assert {0.1, 0.3, 0.7} <= shares(tenths=1)
    assert shares(unstated=1, halves=1) == {None, 0.0, 0.5, 1.0}


def test_plan_share_and_system_prompt() -> None:
    assert all(sample.scene.decision is None for sample in samples(make_recipe(plan_share=1.0), "train", 20))
    sample = next(samples(make_recipe(), "train"))
    assert [m["role"] for m in row(sample, "Be brief.")["prompt"]] == ["system", "user"]
    assert row(sample, "Be brief.")["prompt"][0]["content"] == "Be brief."
    assert [m["role"] for m in row(sample, None)["prompt"]] == ["user"]


def test_a_grid_without_the_wanted_payoffs_is_an_error_of_the_recipe(tmp_path: Path) -> None:
    recipe = make_recipe(payoffs={"low": 1, "high": 6, "step": 1})
    with pytest.raises(RecipeError, match=r"data\.payoffs: no (train|heldout_\w+) payoffs of \w+ .* data\.payoffs\.high"):
        build_dataset(recipe, tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_beliefs_without_a_unique_optimum_are_an_error_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    from moralfit.dataset import _sample
    from moralfit.errors import WordsError

    def nothing(*_: object) -> None:
        raise WordsError("no unique answer")

    monkeypatch.setattr(_sample, "derive", nothing)
    with pytest.raises(RecipeError, match="sequential_prisoners_dilemma has no unique optimum for homo moralis"):
        next(samples(make_recipe(), "train"))


def test_other_degrees_of_morality_can_be_sampled() -> None:
    for kappa in (0.1, 0.75):
        recipe = make_recipe(plan_share=1.0, games=["trust_game"])
        sampler = Sampler(recipe.data, HomoMoralis(kappa), 0)
        for split in SPLITS:
            assert len({sampler.sample(split, number).prompt for number in range(6)}) == 6


def test_even_weights() -> None:
    from moralfit.dataset._sample import _even

    assert _even([("C",)]) == {("C",): 1}
    assert _even([("C",), ("D",)]) == {("C",): 0.5, ("D",): 0.5}
    complementary = _even([("C", "C", "D"), ("D", "D", "C"), ("D", "D", "D")])
    assert sum(complementary.values()) == pytest.approx(1)
    firsts = sum(weight for answer, weight in complementary.items() if answer[0] == "C")
    assert firsts == pytest.approx(0.5, abs=0.06)
    assert all(low >= 0.08 for low, _ in pairwise(sorted(complementary.values())))
