"""Conformance of every transfer family in words: what is said is complete and true, and an answer is read as it was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from random import Random

import pytest

from moralfit.errors import WordsError
from moralfit.games import (
    GAMES,
    TRANSFER_GAMES,
    Decision,
    Game,
    Terminal,
    concave_public_good,
    dictator_game,
    linear_public_good,
    make_game,
    prisoners_dilemma,
    repeat,
    repeated_prisoners_dilemma,
    simultaneous_game,
    trust_game,
    ultimatum_amounts,
)
from moralfit.words import (
    FRAMES,
    TRANSFER_FRAMES,
    Frame,
    Scene,
    askable,
    check_expressible,
    number,
    parse_reply,
    read_belief,
    read_crowd_payoffs,
    read_payoffs,
    render_prompt,
    sample_scene,
    step_name,
    transfer_frames,
)

FAMILIES = pytest.mark.parametrize("name", TRANSFER_GAMES)
STORIES = pytest.mark.parametrize("frame", TRANSFER_FRAMES, ids=lambda frame: frame.name)


def belief(rng: Random, game: Game) -> list[list[Fraction]]:
    """Shares in tenths, or in thirds, some of them certain."""
    found = []
    for information in game.information_sets:
        of = rng.choice([1, 3, 10])
        cuts = sorted(rng.choices(range(of + 1), k=len(information.actions) - 1))
        found.append([Fraction(b - a, of) for a, b in zip([0, *cuts], [*cuts, of], strict=True)])
    return found


@cache
def scenes(name: str, count: int = 40) -> list[Scene]:
    """Random games of a family in random words; questions take turns."""
    found = []
    for turn in range(count):
        rng = Random(f"{name}/{turn}")
        game = TRANSFER_GAMES[name].sample(rng)
        stated = game.strategy(belief(rng, game)) if turn % 4 else None
        questions = askable(game)
        found.append(sample_scene(rng, game, transfer_frames(game), stated, questions[turn % len(questions)]))
    return found


def others(labels: list[str], role: int) -> list[str]:
    return labels[:role] + labels[role + 1 :]


def ways(scene: Scene) -> Iterator[tuple[list[str], tuple[int | Fraction, ...]]]:
    """The labels on the way to each end of the tree, with its payoffs."""
    for outcome in scene.game.outcomes:
        yield [scene.labels[move.information][move.action] for move in outcome.moves], outcome.payoffs


# --- What a prompt says


@FAMILIES
def test_payoffs_in_the_text_are_those_of_the_game(name: str) -> None:
    """Of rounds, the text has one; the way through the game is cut into rows, whose payoffs are added."""
    for scene in scenes(name):
        if len(scene.roles) > 2:
            continue
        table = read_payoffs(render_prompt(scene))
        used = set()
        for labels, payoffs in ways(scene):
            total, row = [Fraction(0), Fraction(0)], ()
            for label in labels:
                row = (*row, label)
                if row in table:
                    used.add(row)
                    total, row = [total[0] + table[row][0], total[1] + table[row][1]], ()
            assert row == ()
            assert tuple(total) == payoffs
        assert used == set(table)


@pytest.mark.parametrize(
    "game",
    [
        linear_public_good(3, 1, 5, 2),
        linear_public_good(4, 2, 5, 2),
        linear_public_good(5, 1, 5, 2),
        simultaneous_game("volunteers", ("go", "stay"), lambda own, others: 3 * (own * 0 in (own, *others)) - (own == 0), 4),
        simultaneous_game("three ways", ("x", "y", "z"), lambda own, others: 10 * own + len({own, *others}) ** 2, 3),
        simultaneous_game("products", ("0", "1", "3"), lambda own, others: own + others[0] * others[1], 3),
    ],
    ids=lambda game: f"{game.name} {len(game.roles)}",
)
def test_payoffs_of_a_crowd_are_read_off_by_what_the_others_do(game: Game) -> None:
    labels = (("J", "V", "W"), ("oval", "cross", "star"))
    for seed in range(20):
        scene = sample_scene(Random(seed), game, [replace(TRANSFER_FRAMES[0], labels=labels)], None)
        prompt = render_prompt(scene)
        table = read_crowd_payoffs(prompt)
        used = set()
        for way, payoffs in ways(scene):
            for role, payoff in enumerate(payoffs):
                rest = others(way, role)
                first = scene.listed(0)[0]
                in_all = number(sum(map(Fraction, rest))) if scene.in_amounts(0) else ""
                each = ", ".join(sorted(rest, key=scene.listed(0).index))
                (key,) = {(way[role], in_all), (way[role], f"{rest.count(first)} {first}"), (way[role], each)} & set(table)
                assert table[key] == payoff
                used.add(key)
        assert used == set(table)
        assert "At the same time, each of them" in prompt
        assert "You are one of the " in prompt


@FAMILIES
def test_the_text_names_who_chooses_what(name: str) -> None:
    for scene in scenes(name):
        prompt = render_prompt(scene)
        rules = prompt.split("\n")[0]
        assert rules.startswith(scene.setting)
        assert "{" not in prompt
        sets = scene.game.information_sets
        for decision, information in enumerate(sets):
            *before, last = scene.listed(decision)
            assert f"{', '.join(before)} or {last}" in rules
            if len(information.roles) == 1:
                assert scene.roles[information.roles[0]] in rules
            else:
                assert "At the same time, " in rules
        acting = {role for information in sets for role in information.roles}
        for role, person in enumerate(scene.roles):
            assert (f"{person} has no choice." in rules) == (role not in acting)
        assert ("two rounds" in rules) == ("repeated" in name)
        assert scene.unit in prompt.split("\n")[1].casefold()


@FAMILIES
def test_beliefs_are_read_back_as_they_are(name: str) -> None:
    for scene in scenes(name):
        prompt = render_prompt(scene)
        steps = tuple(step_name(scene, d) for d in scene.sequence)
        assert len(set(steps)) == len(steps)
        if scene.belief is None:
            assert read_belief(prompt, steps) is None
            assert "You expect" not in prompt
            continue
        shares = [zip(scene.labels[d], scene.belief[d], strict=True) for d in scene.sequence]
        assert read_belief(prompt, steps) == tuple({label: share for label, share in entry if share} for entry in shares)


@FAMILIES
def test_questions_name_the_decisions_or_tell_what_was_seen(name: str) -> None:
    for scene in scenes(name):
        *_, question, end = render_prompt(scene).split("\n")
        if scene.decision is None and len(scene.asked) > 1:
            listed = ", ".join(f"({n}) {step_name(scene, d)}" for n, d in enumerate(scene.asked, 1))
            assert question[:-1].endswith(f" {listed}")
            assert end == "End with: Answer: " + ", ".join(f"choice {n}" for n in range(1, len(scene.asked) + 1))
            continue
        assert end == "End with: Answer: choice"
        (decision,) = scene.asked
        roles = scene.game.information_sets[decision].roles
        if len(roles) > 1:
            assert question.startswith(f"You are one of the {('two', 'three')[len(roles) - 2]}.")
        else:
            assert question.startswith(f"You are {scene.roles[roles[0]]}.") or question.endswith(
                f" as {scene.roles[0]}{question[-1]}"
            )
        _, *told, asks = question.split(". ")
        assert re.match(r"Say what you do|What do you do|Give your choice", asks)
        assert len(told) == len(scene.histories[decision])
        for sentence, move, label in zip(told, scene.shape.seen[decision], scene.histories[decision], strict=True):
            number_of_round = f" in round {scene.shape.round_of[move.information]}" if scene.shape.rounds > 1 else ""
            assert sentence.endswith(f" {label}{number_of_round}")
            someone = "The other" if len(roles) > 1 else scene.roles[move.role]
            assert sentence.startswith("You " if move.role == roles[0] else someone)


def test_steps_come_in_the_order_of_the_table() -> None:
    game = repeated_prisoners_dilemma(9, 6, 3, 1)
    frame = replace(TRANSFER_FRAMES[0], labels=(("J", "V"),))
    for seed in range(10):
        scene = sample_scene(Random(seed), game, [frame], None)
        one, two = scene.listed(0)
        seconds = [f"in round 2 following {a}-{b}" for a in (one, two) for b in (one, two)]
        assert [step_name(scene, d) for d in scene.sequence] == ["in round 1", *seconds]
    trust = repeat(trust_game(9, 6, 3, 1), 2)
    for seed in range(10):
        scene = sample_scene(Random(seed), trust, [TRANSFER_FRAMES[0]], None)
        rows = ["-".join(path) for path in read_payoffs(render_prompt(scene))]
        (invest,) = {path.split("-")[0] for path in rows if "-" in path}
        expected = ["first in round 1", f"after {invest} in round 1"]
        for row in rows:
            expected += [f"first in round 2 following {row}", f"after {invest} in round 2 following {row}"]
        assert [step_name(scene, d) for d in scene.sequence] == expected


def test_own_choices_come_first_in_what_a_round_is_said_to_follow() -> None:
    """Exploiting and being exploited must not be mixed up."""
    game = repeated_prisoners_dilemma(9, 6, 3, 1)
    for seed in range(10):
        scene = sample_scene(Random(seed), game, [TRANSFER_FRAMES[0]], None, 2)
        assert game.information_sets[2].name == "round 2 (C D)"
        own, other = scene.label(0, "C"), scene.label(0, "D")
        assert re.search(rf" You \w+ {own} in round 1\. The other \w+ {other} in round 1\.", render_prompt(scene))
        assert step_name(scene, 2) == f"in round 2 following {own}-{other}"
        one, two = scene.listed(0)
        means = rf" Following {one}-{two} means: having \w+ {one} when the other \w+ {two}\.\n"
        assert re.search(means, render_prompt(replace(scene, decision=None)))
        assert "Following" not in render_prompt(scene)


def test_amounts_are_listed_both_upwards_and_downwards() -> None:
    firsts = {scene.listed(0)[0] == scene.labels[0][0] for scene in scenes("dictator_game")}
    assert firsts == {True, False}
    for scene in scenes("trust_amounts"):
        turned = {scene.listed(d) == list(labels) for d, labels in enumerate(scene.labels)}
        assert len(turned) == 1
        assert scene.labels == tuple(information.actions for information in scene.game.information_sets)


# --- Reading answers


@FAMILIES
def test_a_plan_put_in_words_is_read_back(name: str) -> None:
    rng = Random(name)
    for scene in scenes(name):
        for _ in range(2):
            actions = tuple(rng.choice(scene.game.information_sets[d].actions) for d in scene.asked)
            labels = [scene.label(d, action) for d, action in zip(scene.asked, actions, strict=True)]
            line = ", ".join(labels)
            numbered = " ".join(f"({n}) {label}" for n, label in enumerate(labels, 1))
            lines = "\n".join(f"{n}. {label}" for n, label in enumerate(labels, 1))
            steps = "; ".join(f"{step_name(scene, d)}: {label}" for d, label in zip(scene.asked, labels, strict=True))
            replies = [f"Answer: {line}", f"I compare the payoffs.\n**Answer:** {line}.", f"\\boxed{{{line}}}", f"{line}\n"]
            replies += [f"{render_prompt(scene)}\nAnswer: {line}\n"]
            if len(labels) > 1:
                replies += [f"Answer: {numbered}", f"Final answer:\n{lines}", f"Answer: {steps}"]
            for reply in replies:
                parsed = parse_reply(scene, reply)
                assert parsed.actions == actions, reply
            assert parse_reply(scene, render_prompt(scene)).status == "unparseable"
            assert parse_reply(scene, "I'm sorry, I can't choose.").status == "refused"
            short = f"Answer: {', '.join(labels[:-1])}"
            assert parse_reply(scene, short).status == "unparseable"


@FAMILIES
def test_swapped_labels_stand_for_swapped_actions(name: str) -> None:
    """The reply stays, the labels turn: the actions that are read turn with them. Amounts are what they are."""
    rng = Random(name)
    for scene in scenes(name):
        worded = [d for d in range(len(scene.labels)) if not scene.in_amounts(d)]
        turned = replace(scene, labels=tuple(e[::-1] if d in worded else e for d, e in enumerate(scene.labels)))
        reply = "Answer: " + ", ".join(rng.choice(scene.labels[d]) for d in scene.asked)
        pairs = list(zip(scene.asked, parse_reply(scene, reply).actions, strict=True))
        # The order in which decisions are named may turn too: compare those of one decision.
        if scene.decision is not None or len(scene.asked) == 1:
            ((d, action),) = pairs
            actions = scene.game.information_sets[d].actions
            expected = actions[::-1][actions.index(action)] if d in worded else action
            assert parse_reply(turned, reply).actions == (expected,)
        else:
            assert len(parse_reply(turned, reply).actions) == len(pairs)


# --- What may be asked, and what cannot be told


def test_plans_of_many_decisions_are_asked_one_by_one() -> None:
    assert askable(dictator_game()) == (None,)
    assert askable(prisoners_dilemma(9, 6, 3, 1)) == (None,)
    assert askable(make_game("trust_game", 9, 6, 3, 1)) == (None, 0, 1)
    assert askable(ultimatum_amounts(20, 1, 7)) == (None, *range(8))
    assert askable(ultimatum_amounts(20, 1, 8)) == tuple(range(9))
    long = repeat(trust_game(9, 6, 3, 1), 3)
    assert askable(long) == tuple(range(26))
    with pytest.raises(WordsError, match="26 decisions are too many for one question"):
        sample_scene(Random(1), long, TRANSFER_FRAMES[:1], None)
    scene = sample_scene(Random(1), long, TRANSFER_FRAMES[:1], long.strategy(0.5), 25)
    assert "three rounds" in render_prompt(scene)
    assert re.search(r"following \S+ then \S+: ", render_prompt(scene))
    for game in (*(family.sample(Random(1)) for family in TRANSFER_GAMES.values()), long):
        for decision in askable(game):
            check_expressible(game)
            render_prompt(sample_scene(Random(2), game, transfer_frames(game), None, decision))


def test_rounds_that_are_none_are_an_error() -> None:
    def twice(bonus: int, actions: tuple[str, str] = ("x", "y")) -> Game:
        def second(first: int) -> Decision:
            name = "xy"[first]
            ends = tuple(Terminal((first + i + bonus * first * i, 0)) for i in range(2))
            return Decision(0, f"round 2 ({name})", actions, ends)

        return Game("twice", Decision(0, "round 1", ("x", "y"), (second(0), second(1))))

    check_expressible(twice(0))
    with pytest.raises(WordsError, match="twice: its payoffs are not the sum over rounds"):
        check_expressible(twice(1))
    with pytest.raises(WordsError, match="twice: its rounds differ in their moves"):
        check_expressible(twice(0, ("x", "z")))


def test_tables_too_long_to_read_and_amounts_without_an_end_are_errors() -> None:
    wide = concave_public_good(2, 10, 10, 1000)
    with pytest.raises(WordsError, match="concave_public_good: its payoff table would have 121 rows"):
        render_prompt(sample_scene(Random(1), wide, transfer_frames(wide), None))
    with pytest.raises(WordsError, match="1/3 cannot be put in words exactly"):
        sample_scene(Random(1), dictator_game(1, Fraction(1, 3)), TRANSFER_FRAMES[:1], None)


# --- Stories


@FAMILIES
def test_every_family_has_stories_of_its_own_and_the_plain_one(name: str) -> None:
    game = TRANSFER_GAMES[name].sample(Random(1))
    stories = transfer_frames(game)
    assert len([frame for frame in stories if name in frame.games]) >= (1 if len(game.roles) > 2 else 2)
    assert [frame.name for frame in stories if not frame.games] == ["plain"]
    assert {scene.frame.name for scene in scenes(name)} == {frame.name for frame in stories}


def test_stories_are_for_games_that_exist_and_none_is_for_training() -> None:
    assert len({frame.name for frame in (*FRAMES, *TRANSFER_FRAMES)}) == len(FRAMES) + len(TRANSFER_FRAMES)
    for frame in TRANSFER_FRAMES:
        assert frame.held_out
        assert set(frame.games) <= set(TRANSFER_GAMES)
        assert not set(frame.games) & set(GAMES)
        assert min(map(len, (frame.settings, frame.roles, frame.units))) >= 2
        labels = [label.casefold() for pair in frame.labels for label in pair]
        assert len(set(labels)) == len(labels)
        assert all(re.fullmatch(r"[A-Za-z]+", label) for label in labels)


def test_stories_share_no_label_unit_name_or_setting_with_training_and_its_held_out_frames() -> None:
    def vocabulary(chosen: tuple[Frame, ...]) -> set[str]:
        pairs = {word.casefold() for f in chosen for group in (f.labels, f.roles) for pair in group for word in pair}
        return pairs | {word.casefold() for f in chosen for word in (*f.units, *f.settings)}

    assert not vocabulary(FRAMES) & vocabulary(TRANSFER_FRAMES)


@STORIES
def test_labels_mean_nothing_else_in_prompts(frame: Frame) -> None:
    blank = replace(frame, labels=(("Xxa", "Xxb"), ("Xxc", "Xxd")))
    said: set[str] = set()
    for name in frame.games or TRANSFER_GAMES:
        for seed in range(60):
            rng = Random(f"{name}/{seed}")
            game = TRANSFER_GAMES[name].sample(rng)
            if len(game.roles) == 2 or frame.crowd:
                scene = sample_scene(rng, game, [blank], game.strategy(belief(rng, game)), rng.choice(askable(game)))
                said |= set(re.findall(r"\w+", render_prompt(scene)))
    folded = {word.casefold() for word in said}
    for label in (label for pair in frame.labels for label in pair):
        assert label not in said if len(label) == 1 else label.casefold() not in folded
