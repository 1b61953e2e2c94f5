"""Prompts say what the game is, to the person in the role that is asked, and nothing that gives the answer away."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import product
from random import Random

import pytest
from words_samples import GAMES, draw_game

from moralfit.errors import GameError, WordsError
from moralfit.games import (
    Chance,
    Decision,
    Game,
    Node,
    Strategy,
    Terminal,
    linear_public_good,
    sequential_prisoners_dilemma,
    simultaneous_game,
    trust_game,
)
from moralfit.preferences import HomoEconomicus, HomoMoralis, SocialPreferences
from moralfit.words import (
    FRAMES,
    Frame,
    Scene,
    check_expressible,
    derive,
    frames,
    number,
    preference_in_words,
    read_belief,
    read_payoffs,
    render_prompt,
    sample_scene,
    step_name,
)

BY_NAME = pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame.name)
PHRASINGS = tuple((one, two, three) for one in range(3) for two in range(3) for three in range(3))


def scenes(frame: Frame, belief: bool = True) -> list[Scene]:
    """Every game in every phrasing; the questions, about the whole plan and about each decision, take turns."""
    rng = Random(frame.name)
    found = []
    for turn, (name, phrasing) in enumerate(product(GAMES, PHRASINGS)):
        game = draw_game(rng, name)
        shares = [Fraction(rng.randrange(11), 10) for _ in game.information_sets]
        decision = (None, *range(len(shares)))[turn % (len(shares) + 1)]
        scene = sample_scene(rng, game, [frame], game.strategy(shares) if belief else None, decision)
        found.append(replace(scene, phrasing=phrasing))
    return found


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


# --- Frames


def test_there_are_frames_to_train_on_and_frames_to_hold_out() -> None:
    assert len(frames(held_out=False)) >= 8
    assert len(frames(held_out=True)) >= 4
    assert {*frames(False), *frames(True)} == set(FRAMES)
    assert len({frame.name for frame in FRAMES}) == len(FRAMES)


@BY_NAME
def test_a_frame_has_variety_and_labels_that_can_be_told_apart(frame: Frame) -> None:
    labels = [label.casefold() for pair in frame.labels for label in pair]
    assert min(map(len, (frame.settings, frame.roles, frame.units))) >= 2
    assert len(frame.labels) >= 3
    assert len(set(labels)) == len(labels)
    assert all(re.fullmatch(r"[A-Za-z]+", label) for label in labels)
    assert all(len(pair[0]) == 1 or len(pair[1]) > 1 for pair in frame.labels)
    assert all(one != two for one, two in frame.roles)
    assert not any(re.search(r"\d", setting) for setting in frame.settings)


def test_held_out_frames_share_no_label_unit_role_or_setting_with_training_frames() -> None:
    def vocabulary(held_out: bool) -> set[str]:
        chosen = frames(held_out)
        said = [*(f.labels for f in chosen), *(f.roles for f in chosen)]
        pairs = {word.casefold() for group in said for pair in group for word in pair}
        return pairs | {word.casefold() for f in chosen for word in (*f.units, *f.settings)}

    assert not vocabulary(held_out=True) & vocabulary(held_out=False)


@BY_NAME
def test_labels_mean_nothing_else_in_prompts_and_derivations(frame: Frame) -> None:
    """With the labels taken out, no label is left. Single letters are told from words by their case."""
    said: set[str] = set()
    blank = replace(frame, labels=(("Xxa", "Xxb"), ("Xxc", "Xxd")))
    for scene, setting, roles, unit in product(scenes(blank)[::2], frame.settings, frame.roles, frame.units):
        said |= words(render_prompt(replace(scene, setting=setting, roles=roles, unit=unit)))
    for scene in scenes(blank, belief=False):
        for kappa in (0, 0.5, 1):
            try:
                said |= words(derive(scene, HomoMoralis(kappa)).text) | words(preference_in_words(HomoMoralis(kappa)))
            except WordsError:
                continue
    assert "Answer" in said
    folded = {word.casefold() for word in said}
    for pair in frame.labels:
        for label in pair:
            assert label not in said if len(label) == 1 else label.casefold() not in folded


# --- What a prompt says


@BY_NAME
def test_payoffs_and_belief_are_read_back_as_they_are(frame: Frame) -> None:
    for scene in scenes(frame):
        prompt = render_prompt(scene)
        assert read_payoffs(prompt) == {scene.path(outcome): outcome.payoffs for outcome in scene.game.outcomes}
        steps = tuple(step_name(scene, d) for d in scene.sequence)
        assert scene.belief is not None
        shares = [zip(scene.labels[d], scene.belief[d], strict=True) for d in scene.sequence]
        assert read_belief(prompt, steps) == tuple({label: share for label, share in entry if share} for entry in shares)
        unstated = render_prompt(replace(scene, belief=None))
        assert read_belief(unstated, steps) is None
        assert "others" not in unstated


@BY_NAME
def test_rules_name_who_chooses_what_and_when(frame: Frame) -> None:
    for scene in scenes(frame):
        rules, head, *rest = render_prompt(scene).split("\n")
        assert rules.startswith(scene.setting)
        said = rules.removeprefix(scene.setting).strip().rstrip(".").split(". ")
        verb = ("picks", "chooses", "takes")[scene.phrasing[0]]
        options = [" or ".join(scene.labels[d][i] for i in scene.order[d]) for d in range(len(scene.labels))]
        first, second = scene.roles
        expected = [f"{first} {verb} {options[0]}"]
        if len(scene.labels) == 3:
            assert options[1] == options[2]
            expected.append(f"{second} sees it and {verb} {options[1]}")
        else:
            (start,) = scene.histories[1]
            (other,) = {*scene.labels[0]} - {start}
            expected += [f"After {start}, {second} {verb} {options[1]}", f"{other} ends it"]
        assert said == expected
        assert scene.unit in head.casefold()
        assert 0 < head.index(first) < head.rindex(second)
        # The table lists its rows in the order in which the rules list the choices.
        rows = list(read_payoffs("\n".join(rest)))
        listed = [scene.labels[0][i] for i in scene.order[0]]
        assert list(dict.fromkeys(path[0] for path in rows)) == listed
        for d, history in enumerate(scene.histories):
            if history:
                assert [path[1] for path in rows if path[:1] == history] == [scene.labels[d][i] for i in scene.order[d]]


@BY_NAME
def test_questions_name_the_steps_or_the_role_and_what_it_saw(frame: Frame) -> None:
    for scene in scenes(frame):
        *_, question, end = render_prompt(scene).split("\n")
        if scene.decision is None:
            steps = re.findall(r"\((\d)\) ([^,.?(]+)", question)
            assert steps == [(str(n), step_name(scene, d)) for n, d in enumerate(scene.sequence, 1)]
            assert re.match(
                r"Either role is equally likely|Each role is equally likely|You get one of the roles by lot", question
            )
            assert end == "End with: Answer: " + ", ".join(f"choice {n}" for n in range(1, len(steps) + 1))
        else:
            role, other = scene.roles if scene.decision == 0 else scene.roles[::-1]
            assert question.startswith(f"You are {role}.")
            assert re.search(rf" {step_name(scene, scene.decision)}[.?]$", question)
            past = ("picked", "chose", "took")[scene.phrasing[0]]
            seen = re.findall(rf"\. ([^.]+) {past} (\w+)\.", question)
            assert seen == [(other, label) for label in scene.histories[scene.decision]]
            assert end == "End with: Answer: choice"


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((0.5, 0.5, 0.5), "first: half B, half A; after B: half B, half A; after A: half B, half A"),
        ((1, 0, 0.3), "first: A; after B: 7 of 10 B, 3 of 10 A; after A: B"),
        (
            (Fraction(1, 3), 0.2, 0.25),
            "first: 2 of 3 B, 1 of 3 A; after B: 3 of 4 B, 1 of 4 A; after A: 4 of 5 B, 1 of 5 A",
        ),
        (
            (0.999, Fraction(2, 7), 0.1),
            "first: 1 of 1000 B, 999 of 1000 A; after B: 9 of 10 B, 1 of 10 A; after A: 5 of 7 B, 2 of 7 A",
        ),
    ],
)
def test_beliefs_are_stated_exactly(shares: tuple[float, ...], said: str) -> None:
    game = sequential_prisoners_dilemma(9, 6, 3, 1)
    scene = sample_scene(Random(1), game, FRAMES[:1], game.strategy(shares))
    scene = replace(scene, labels=(("A", "B"),) * 3, order=((1, 0),) * 3)
    assert f"You expect of others: {said}." in render_prompt(scene).split("\n")


@BY_NAME
def test_steps_are_named_in_the_order_of_the_table(frame: Frame) -> None:
    """In the question, the belief and the scene's sequence alike, whatever the order of the tree."""
    turned = 0
    for scene in scenes(frame):
        prompt = render_prompt(scene)
        starts = list(dict.fromkeys(path[0] for path in read_payoffs(prompt) if len(path) == 2))
        steps = ["first", *(f"after {start}" for start in starts)]
        assert [step_name(scene, d) for d in scene.sequence] == steps
        (belief,) = re.findall(r"^You expect of others: (.+)\.$", prompt, re.MULTILINE)
        assert [part.partition(": ")[0] for part in belief.split("; ")] == steps
        assert scene.asked == (scene.sequence if scene.decision is None else (scene.decision,))
        turned += scene.sequence != tuple(range(len(scene.labels)))
    assert turned > 5


@pytest.mark.parametrize(
    ("listed", "lines"),
    [
        (
            (1, 0),
            [
                "Two play. One picks B or A. Two sees it and picks B or A.",
                "Payoffs in points (One, Two):",
                *("B then B: 3, 3", "B then A: 9, 1", "A then B: 1, 9", "A then A: 6, 6"),
                "You expect of others: first: A; after B: 7 of 10 B, 3 of 10 A; after A: half B, half A.",
                "Either role is equally likely. Say what you do (1) first, (2) after B, (3) after A.",
                "End with: Answer: choice 1, choice 2, choice 3",
            ],
        ),
        (
            (0, 1),
            [
                "Two play. One picks A or B. Two sees it and picks A or B.",
                "Payoffs in points (One, Two):",
                *("A then A: 6, 6", "A then B: 1, 9", "B then A: 9, 1", "B then B: 3, 3"),
                "You expect of others: first: A; after A: half A, half B; after B: 3 of 10 A, 7 of 10 B.",
                "Either role is equally likely. Say what you do (1) first, (2) after A, (3) after B.",
                "End with: Answer: choice 1, choice 2, choice 3",
            ],
        ),
    ],
)
def test_a_whole_prompt_word_for_word(listed: tuple[int, int], lines: list[str]) -> None:
    game = sequential_prisoners_dilemma(9, 6, 3, 1)
    belief = game.strategy((1, 0.5, 0.3))
    scene = Scene(
        game, FRAMES[0], (("A", "B"),) * 3, (listed,) * 3, "Two play.", ("One", "Two"), "points", (0,) * 3, belief, None
    )
    assert render_prompt(scene).split("\n") == lines
    first = replace(scene, decision=0)
    assert render_prompt(first).split("\n") == [
        *lines[:-2],
        "You are One. Say what you do first.",
        "End with: Answer: choice",
    ]
    second = replace(scene, decision=2)
    assert render_prompt(second).split("\n") == [
        *lines[:-2],
        "You are Two. One picked B. Say what you do after B.",
        "End with: Answer: choice",
    ]


def test_beliefs_given_as_floats_are_meant_as_decimals() -> None:
    game = trust_game(9, 6, 3, 1)
    floats, exact = ((0.3, 0.7), (0.1, 0.9)), game.strategy((0.3, 0.1))
    assert sample_scene(Random(1), game, FRAMES, floats) == sample_scene(Random(1), game, FRAMES, exact)


def test_a_belief_that_does_not_fit_the_game_is_an_error() -> None:
    wrong: Strategy = ((1, 0), (1, 0))
    with pytest.raises(GameError, match="3 entries"):
        sample_scene(Random(1), sequential_prisoners_dilemma(9, 6, 3, 1), FRAMES, wrong)


# --- Chance


@BY_NAME
def test_no_label_stands_for_one_action_more_often_nor_first_in_lists(frame: Frame) -> None:
    """Each label of each pair: half the draws, give or take five standard errors."""
    rng = Random(frame.name)
    drawn = 1500
    for game in (sequential_prisoners_dilemma(9, 6, 3, 1), trust_game(9, 6, 3, 1)):
        stands: Counter[tuple[int, str, int]] = Counter()
        listed: Counter[tuple[int, str, int]] = Counter()
        firsts: Counter[tuple[int, int]] = Counter()
        for _ in range(drawn):
            scene = sample_scene(rng, game, [frame], None)
            for d in (0, len(scene.labels) - 1):
                for action, label in enumerate(scene.labels[d]):
                    stands[d, label, action] += 1
                    listed[d, label, scene.order[d].index(action)] += 1
                firsts[d, scene.order[d][0]] += 1
        for counted in (stands, listed):
            for d, label in {(d, label) for d, label, _ in counted}:
                one, two = counted[d, label, 0], counted[d, label, 1]
                assert abs(one - two) < 5 * (one + two) ** 0.5
                assert one + two > drawn / len(frame.labels) / 2
        for d in {d for d, _ in firsts}:
            assert abs(firsts[d, 0] - firsts[d, 1]) < 5 * drawn**0.5


@pytest.mark.parametrize("kappa", [0, Fraction(1, 2), 1])
def test_no_place_in_the_prompt_names_the_best_first_choice(kappa: float) -> None:
    """What stands first anywhere is the best first choice in half of the prompts, give or take four standard errors.

    The tree begins with cooperation, the best first choice of homo kantiensis: its order must show nowhere.
    """
    rng = Random(f"places/{kappa}")
    wanted = 600
    hits = Counter[str]()
    drawn = 0
    while drawn < wanted:
        game = draw_game(rng, "sequential_prisoners_dilemma")
        # No certain replies: the label named alone would be news about the others, not about a place.
        scene = sample_scene(rng, game, FRAMES, game.strategy([Fraction(rng.randrange(1, 10), 10) for _ in range(3)]))
        try:
            best = scene.label(0, derive(scene, HomoMoralis(kappa)).actions[0])
        except WordsError:
            continue
        drawn += 1
        prompt = render_prompt(scene)
        (belief,) = re.findall(r"^You expect of others: (.+)\.$", prompt, re.MULTILINE)
        first, *replies = (re.findall(r"\w+", part) for part in belief.split("; "))
        row = next(iter(read_payoffs(prompt)))
        (step,) = re.findall(r"\(2\) after (\w+),", prompt)
        labels = set(scene.labels[0])
        named = {
            "step (2)": step,
            "first row's start": row[0],
            "first row's reply": row[1],
            "belief about first moves": next(word for word in first if word in labels),
            "first reply of the belief: after": replies[0][1],
            "first reply of the belief": next(word for word in replies[0][2:] if word in labels),
        }
        hits.update(place for place, label in named.items() if label == best)
    assert len(hits) == 6
    assert all(abs(count - wanted / 2) < 4 * (wanted / 4) ** 0.5 for count in hits.values()), hits


def test_same_state_same_text_and_other_state_other_text() -> None:
    game = trust_game(9, 6, 3, 1)
    texts = [render_prompt(sample_scene(Random(seed), game, FRAMES, None, 1)) for seed in (*range(50), *range(50))]
    assert texts[:50] == texts[50:]
    assert len(set(texts)) > 45


def test_every_part_of_a_frame_is_drawn() -> None:
    game = trust_game(9, 6, 3, 1)
    rng = Random(2)
    drawn = [sample_scene(rng, game, FRAMES, None) for _ in range(4000)]
    assert {scene.frame for scene in drawn} == set(FRAMES)
    assert {scene.phrasing for scene in drawn} == set(PHRASINGS)
    for frame in FRAMES:
        mine = [scene for scene in drawn if scene.frame == frame]
        assert {scene.setting for scene in mine} == set(frame.settings)
        assert {scene.roles for scene in mine} == set(frame.roles)
        assert {scene.unit for scene in mine} == set(frame.units)
        assert {tuple(sorted(labels)) for scene in mine for labels in scene.labels} == {tuple(sorted(p)) for p in frame.labels}
        assert all(set(scene.labels[0]).isdisjoint(scene.labels[1]) for scene in mine)


# --- Numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(3, "3"), (-3, "-3"), (0, "0"), (2.5, "2.5"), (0.1, "0.1"), (-0.05, "-0.05"), (Fraction(7, 8), "0.875"), (4.0, "4")],
        *[(1234567, "1234567"), (12345.67, "12345.67"), (1000000.5, "1000000.5"), (Fraction(1, 10**6), "0.000001")],
    ],
)
def test_numbers_are_never_rounded(value: float, text: str) -> None:
    assert number(value) == text


def test_numbers_without_an_end_are_an_error() -> None:
    with pytest.raises(WordsError, match="1/3 cannot be put in words exactly"):
        number(Fraction(1, 3))
    game = sequential_prisoners_dilemma(9, Fraction(19, 3), 3, 1)
    with pytest.raises(WordsError, match="19/3 cannot be put in words"):
        render_prompt(sample_scene(Random(1), game, FRAMES, None))


# --- Games that are not like ours


def ends(*payoffs: int) -> tuple[Terminal, ...]:
    return tuple(Terminal((payoff, -payoff)) for payoff in payoffs)


def test_games_that_words_cannot_express() -> None:
    hidden = Game("hidden", Decision(0, "a", ("x", "y"), tuple(Decision(1, "b", ("u", "v"), ends(1, 2)) for _ in range(2))))
    chance = Game("chance", Chance((0.5, 0.5), tuple(Decision(r, f"n{r}", ("x", "y"), ends(1, 2)) for r in range(2))))
    three = Decision(2, "c", ("x", "y"), (Terminal((1, 2, 3)), Terminal((3, 2, 1))))
    crowd = Game("crowd", three, roles=("one", "two", "three"))
    shared = Decision(1, "a", ("x", "y"), ends(1, 2))
    uneven = Game("uneven", Decision(0, "a", ("x", "y"), (shared, Terminal((0, 0)))))
    told = Game("told", Decision(0, "a", ("x", "y"), tuple(Decision(1, "a", ("x", "y"), ends(i, 2)) for i in range(2))))
    partly = simultaneous_game("partly", ("x", "y"), lambda own, others: own + 2 * others[0] + 3 * others[1], 3)
    for game in (hidden, chance, crowd, uneven, partly):
        message = f"{game.name}: words can express games without chance moves in which two roles move in turn"
        with pytest.raises(WordsError, match=message):
            check_expressible(game)
        with pytest.raises(WordsError, match=message):
            sample_scene(Random(1), game, FRAMES, None)
    check_expressible(told)
    with pytest.raises(WordsError, match="has 3 roles, but the frames given are stories of two"):
        sample_scene(Random(1), linear_public_good(), FRAMES, None)
    wide = Game("wide", Decision(0, "a", ("x", "y", "z"), ends(1, 2, 3)))
    with pytest.raises(WordsError, match=r"wide: frame '.*' has labels for decisions between 2 actions at most, not 3"):
        sample_scene(Random(1), wide, FRAMES, None)
    narrow = replace(FRAMES[0], name="narrow", labels=(("A", "B"),))
    with pytest.raises(WordsError, match="trust_game: needs 2 pairs of labels, but frame 'narrow' has 1"):
        sample_scene(Random(1), trust_game(9, 6, 3, 1), [narrow], None)


def centipede(roles: tuple[int, ...]) -> Game:
    """Take or pass; the payoffs grow."""
    node: Node = Terminal((9, 9))
    for step in range(len(roles) - 1, -1, -1):
        node = Decision(roles[step], f"n{step}", ("take", "pass"), (Terminal((step + 2, step)), node))
    return Game("centipede", node)


def test_longer_games_are_told_move_by_move_but_not_derived() -> None:
    scene = sample_scene(Random(3), centipede((0, 1, 0)), FRAMES[:1], None, 2)
    (one, two), (take, on) = scene.roles, scene.labels[0]
    prompt = render_prompt(scene)
    assert read_payoffs(prompt) == {(take,): (2, 0), (on, take): (3, 1), (on, on, take): (4, 2), (on, on, on): (9, 9)}
    assert re.search(rf"\. {one} and {two} take turns, {one} first\. The one whose turn it is \w+ \w+ or \w+\. {take} ", prompt)
    assert f" {take} ends it; after turn 3 it ends anyway." in prompt
    assert re.search(rf"You are {one}\. You \w+ {on}\. {two} \w+ {on}\..* after {on}-{on}[.?]", prompt)
    with pytest.raises(WordsError, match="centipede: derivations are written for games of at most two moves"):
        derive(scene, HomoEconomicus())


@pytest.mark.parametrize("listed", [(0, 1), (1, 0)])
def test_of_a_role_without_a_choice_it_is_said_that_it_has_none(listed: tuple[int, int]) -> None:
    game = Game("dictator", Decision(0, "a", ("give", "keep"), (Terminal((5, 5)), Terminal((8, 1)))))
    scene = replace(sample_scene(Random(3), game, FRAMES[:1], None), order=(listed,))
    one, two = (scene.labels[0][i] for i in listed)
    assert re.search(rf" {one} or {two}\. {scene.roles[1]} has no choice\.\n", render_prompt(scene))


def test_moves_of_ones_own_are_told_as_such() -> None:
    scene = sample_scene(Random(3), centipede((1, 1)), FRAMES[:1], None, 1)
    on = scene.labels[0][1]
    assert f" {scene.roles[0]} has no choice." in render_prompt(scene)
    assert re.search(rf"You are {scene.roles[1]}\. You \w+ {on}\.", render_prompt(scene))
    with pytest.raises(WordsError, match="in which the first role moves, then the second"):
        derive(scene, HomoEconomicus())


# --- A preference in words


@pytest.mark.parametrize(
    ("preference", "said"),
    [
        (HomoEconomicus(), ["only about your own expected payoff"]),
        (HomoMoralis(1), ["highest expected payoff if everyone, in either role, followed the same plan"]),
        (HomoMoralis(0.25), ["0.75 times your own expected payoff", "plus 0.25 times the payoff you would expect if everyone"]),
        (
            SocialPreferences(0.3, -0.1, 0),
            [
                "Your goal is your own expected payoff given what you expect of others.",
                "Subtract 0.3 times the average amount by which the other gets more than you, counted as zero whenever",
                "Add 0.1 times the average amount by which the other gets less than you, counted as zero whenever",
            ],
        ),
        (SocialPreferences(0, 0.2, 1), ["Your goal is the payoff you would expect if everyone", "Subtract 0.2 times"]),
    ],
)
def test_preferences_are_told_with_their_weights(preference: SocialPreferences, said: list[str]) -> None:
    text = preference_in_words(preference)
    assert all(part in text for part in said)
    assert ("only" in text) == (preference == HomoEconomicus())
    assert "Each role is equally likely for you." in text


def test_with_more_than_two_players_gaps_are_averaged_over_the_others() -> None:
    both = SocialPreferences(0.3, 0.1, 0.5)
    text = preference_in_words(both, players=3)
    assert "if everyone, in every role, followed the same plan as you" in text
    assert "Subtract 0.3 times the average amount, over each of the others, by which that one gets more than you" in text
    assert "either" not in text
    assert "the other gets" not in text
    assert preference_in_words(both) == preference_in_words(both, players=2) != text
