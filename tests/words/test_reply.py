"""Derivations against arithmetic done by hand, and their answers against brute force."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product
from random import Random

import pytest
from words_samples import KAPPAS, draw_game, samples

from moralfit.errors import WordsError
from moralfit.games import Game, Strategy, sequential_prisoners_dilemma, trust_game, ultimatum_game
from moralfit.preferences import HomoMoralis, SocialPreferences
from moralfit.solve import equilibrium_belief, optimal_plans
from moralfit.words import FRAMES, Scene, check_sample, derive, render_prompt

EVEN = Fraction(1, 2)
#: Payoffs (first, second): AA 6 6, AB 1 9, BA 9 1, BB 3 3.
DILEMMA = sequential_prisoners_dilemma(9, 6, 3, 1)
#: east early 6 6, east late 1 9, west 3 3.
TRUST = trust_game(9, 6, 3, 1)
#: keep 6 6, claim yes 9 3, claim no 1 1.
ULTIMATUM = ultimatum_game(9, 6, 3, 1)
LABELS = {
    "sequential_prisoners_dilemma": (("A", "B"),) * 3,
    "trust_game": (("east", "west"), ("early", "late")),
    "ultimatum_game": (("keep", "claim"), ("yes", "no")),
}


def scene(
    game: Game, belief: Sequence[object] | None = None, decision: int | None = None, listed: tuple[int, int] = (0, 1)
) -> Scene:
    """A scene with these labels, listed in the tree's order unless `listed` is (1, 0); the belief is in the tree's order."""
    labels = LABELS[game.name]
    strategy: Strategy | None = None if belief is None else game.strategy(belief)
    order = (listed,) * len(labels)
    return Scene(game, FRAMES[0], labels, order, "Two play.", ("One", "Two"), "points", (0, 0, 0), strategy, decision)


def arithmetic(text: str) -> list[str]:
    """What a derivation computes, without its wording: for each line the options with their sums, and the choice."""
    lines = []
    for line in text.split("\n")[1:-1]:
        if line.startswith("Others"):
            continue  # No arithmetic; see EXPECTED below.
        step, _, compared = line.partition(": ")
        # Which decision, supposing which own start, after a slip or not.
        case = re.sub(r",? ?(in|over) \d+ games|, both roles", "", step)
        compared, _, chosen = compared.partition(" Larger: ")
        # Where only sums count, first moves are named after what they give.
        compared = re.sub(r"([-\d.]+ \(slip [-\d.]+\)) if (\w+)", r"\2 gives \1", compared)
        # What one row leads to is quoted before the own payoff is taken from it.
        compared = re.sub(r" \([-\d.]+, [-\d.]+\) gives", " gives", compared)
        # Lines about second moves quote rows of the table, whose last label is the option.
        options = re.split(r"(?:^|, )(\w+)(?:(?: then |-|/)(\w+))? gives ", compared.rstrip("."))[1:]
        sums = [
            f"{last if last and step.startswith('After') else first} {' '.join(re.findall(r'[-+x.=0-9]+|slip', body))}"
            for first, last, body in zip(*[iter(options)] * 3, strict=True)
        ]
        winner = " ".join(re.findall(r"[\w.]+", chosen.partition(", so ")[2].rstrip(".")))
        # A first move that ends the game is compared with nothing there.
        lines.append(f"{case}: {' | '.join(sums)}" + (f" -> {winner}" if winner else ""))
    return lines


GOLDEN: list[tuple[str, float, Scene, str, list[str], str]] = [
    (
        "homo economicus expects best replies where no belief is stated",
        0,
        scene(DILEMMA),
        "Only my own payoff counts.",
        ["After A: A 6 | B 9 -> B", "After B: A 1 | B 3 -> B", "First: A 1 | B 3 -> B"],
        "B, B, B",
    ),
    (
        "homo economicus weighs stated replies: ten games, as 4/5 and 3/10 of them are whole",
        0,
        scene(DILEMMA, (EVEN, 0.8, 0.3)),
        "Only my own payoff counts.",
        ["After A: A 6 | B 9 -> B", "After B: A 1 | B 3 -> B", "First: A 8x6+2x1=50 | B 3x9+7x3=48 -> A"],
        "A, B, B",
    ),
    (
        "homo economicus who is first needs nothing but the belief",
        0,
        scene(TRUST, (EVEN, 0.25), 0),
        "Only my own payoff counts.",
        ["First: east 6+3x1=9 | west 4x3=12 -> west"],
        "west",
    ),
    (
        "homo economicus who is first, where no belief is stated, expects a best reply",
        0,
        scene(TRUST, None, 0),
        "Only my own payoff counts.",
        ["After east: early 6 | late 9 -> late", "First: east 1 | west 3 -> west"],
        "west",
    ),
    (
        "homo economicus who is second need not know what others are like",
        0,
        scene(DILEMMA, None, 2),
        "Only my own payoff counts.",
        ["After B: A 1 | B 3 -> B"],
        "B",
    ),
    (
        "homo economicus in the order of a table that begins with B",
        0,
        scene(DILEMMA, (EVEN, 0.8, 0.3), None, (1, 0)),
        "Only my own payoff counts.",
        ["After B: B 3 | A 1 -> B", "After A: B 9 | A 6 -> B", "First: B 7x3+3x9=48 | A 2x1+8x6=50 -> A"],
        "A, B, B",
    ),
    (
        "homo kantiensis in the order of a table that begins with B: what follows B comes before what follows A",
        1,
        scene(sequential_prisoners_dilemma(9, 4, 2, 1), None, None, (1, 0)),
        "If all act as I do, the sum for both counts.",
        [
            "After B: B 2+2=4 | A 9+1=10 -> A slip 4",
            "After A: B 1+9=10 | A 4+4=8 -> B slip 8",
            "First: B 10 slip 4 | A 10 slip 8 -> A",
        ],
        "A, A, B",
    ),
    (
        "homo moralis in the order of a table that begins with B, as are the others' choices: B, then A after B, B after A",
        0.5,
        scene(DILEMMA, None, None, (1, 0)),
        "Own payoff counts 1, the sum for both if all act as I do counts 1. Others act as I do: B, A, B.",
        [
            "After B, if I start B: B 3 3+3=6 3+6=9 | A 1 9+1=10 1+10=11 -> A",
            "After B, if I do not start B: B 3 | A 1 -> B",
            "After A, if I start A: B 1+9=10 10 | A 6+6=12 12 -> A",
            "After A by a slip, if I do not start A: B 9 1+9=10 9+10=19 | A 6 6+6=12 6+12=18 -> B",
            # First role: B is answered by A, A by B. Second role: after B, A if I start B as well, else B.
            "First: B 9+1=10 9+1=10 10+10=20 | A 1+3=4 6+6=12 4+12=16 -> B",
        ],
        "B, A, B",
    ),
    (
        "homo economicus who is second compares own payoffs",
        0,
        scene(ULTIMATUM, (EVEN, EVEN), 1),
        "Only my own payoff counts.",
        ["After claim: yes 3 | no 1 -> yes"],
        "yes",
    ),
    (
        "homo kantiensis adds up both payoffs and uses no belief",
        1,
        scene(DILEMMA),
        "If all act as I do, the sum for both counts.",
        [
            "After A: A 6+6=12 | B 1+9=10 -> A slip 10",
            "After B: A 9+1=10 | B 3+3=6 -> A slip 6",
            "First: A 12 slip 10 | B 10 slip 6 -> A",
        ],
        "A, A, A",
    ),
    (
        "homo kantiensis where taking turns pays most: a slip of the second decides between equal ways of it",
        1,
        scene(sequential_prisoners_dilemma(9, 4, 2, 1)),
        "If all act as I do, the sum for both counts.",
        [
            "After A: A 4+4=8 | B 1+9=10 -> B slip 8",
            "After B: A 9+1=10 | B 2+2=4 -> A slip 4",
            "First: A 10 slip 8 | B 10 slip 4 -> A",
        ],
        "A, B, A",
    ),
    (
        "homo kantiensis where one first move ends the game",
        1,
        scene(TRUST, (0, 0), 0),
        "If all act as I do, the sum for both counts.",
        [
            "After east: early 6+6=12 | late 1+9=10 -> early slip 10",
            "After west: west 3+3=6 slip 6",
            "First: east 12 slip 10 | west 6 slip 6 -> east",
        ],
        "east",
    ),
    (
        "homo moralis, kappa 1/2, even belief: two games, both roles; cooperates only where it defected first",
        0.5,
        scene(DILEMMA, (EVEN, EVEN, EVEN)),
        "Own payoff counts 1, the sum for both if all act as I do counts 1.",
        [
            "After A, if I start A: A 6 6+6=12 6+2x12=30 | B 9 1+9=10 9+2x10=29 -> A",
            "After A, if I do not start A: A 6 | B 9 -> B",
            "After B, if I start B: A 1 9+1=10 1+2x10=21 | B 3 3+3=6 3+2x6=15 -> A",
            "After B, if I do not start B: A 1 | B 3 -> B",
            # First role: 6 or 1 after A, 9 or 3 after B. Second role: the replies above.
            "First: A 6+1+6+3=16 6+6=12 16+2x12=40 | B 9+3+9+1=22 9+1=10 22+2x10=42 -> B",
        ],
        "B, B, A",
    ),
    (
        "homo moralis, kappa 1/2, nothing stated: east and late is its equilibrium",
        0.5,
        scene(TRUST),
        "Own payoff counts 1, the sum for both if all act as I do counts 1. Others act as I do: east, late.",
        [
            "After east, if I start east: early 6 6+6=12 6+12=18 | late 9 1+9=10 9+10=19 -> late",
            "After east, if I do not start east: early 6 | late 9 -> late",
            "First: east 1+9=10 1+9=10 10+10=20 | west 3+9=12 3+3=6 12+6=18 -> east",
        ],
        "east, late",
    ),
    (
        "homo moralis, kappa 1/4: own payoff counts 3, and 3/5 of others claim",
        0.25,
        scene(ULTIMATUM, (0.4, EVEN)),
        "Own payoff counts 3, the sum for both if all act as I do counts 1.",
        [
            "After claim, if I start claim: yes 6x3=18 9+3=12 3x18+10x12=174 | no 6x1=6 1+1=2 3x6+10x2=38 -> yes",
            "After claim, if I do not start claim: yes 3x3=9 | no 3x1=3 -> yes",
            "First: keep 10x6+4x6+6x3=102 6+6=12 3x102+10x12=426 | claim 5x9+5x1+4x6+6x3=92 9+3=12 3x92+10x12=396 -> keep",
        ],
        "keep, yes",
    ),
    (
        "homo moralis where nobody is expected to go east: the reply matters on the own path and after a slip",
        0.5,
        scene(TRUST, (0, EVEN), 1),
        "Own payoff counts 1, the sum for both if all act as I do counts 1.",
        [
            "After east, if I start east: early 6+6=12 2x12=24 | late 1+9=10 2x10=20 -> early",
            "After east by a slip, if I do not start east: early 6 6+6=12 6+12=18 | late 9 1+9=10 9+10=19 -> late",
            "First: east 6+1+2x3=13 6+6=12 13+2x12=37 | west 2x3+2x3=12 3+3=6 12+2x6=24 -> east",
        ],
        "early",
    ),
    (
        "homo moralis, kappa 3/10: weights 7 and 3, in the alternative ordering of the ultimatum letters",
        0.3,
        scene(ultimatum_game(9, 6, 1, 3, "TRSP"), (1, 1)),
        "Own payoff counts 7, the sum for both if all act as I do counts 3.",
        [
            "After claim, if I start claim: yes 9+3=12 3x12=36 | no 1+1=2 3x2=6 -> yes",
            "After claim by a slip, if I do not start claim: yes 3 9+3=12 7x3+3x12=57 | no 1 1+1=2 7x1+3x2=13 -> yes",
            "First: keep 6+6=12 6+6=12 7x12+3x12=120 | claim 9+6=15 9+3=12 7x15+3x12=141 -> claim",
        ],
        "claim, yes",
    ),
]


@pytest.mark.parametrize(("kappa", "asked", "lead", "lines", "answer"), [g[1:] for g in GOLDEN], ids=[g[0] for g in GOLDEN])
def test_derivation_done_by_hand(kappa: float, asked: Scene, lead: str, lines: list[str], answer: str) -> None:
    preference = HomoMoralis(kappa)
    derivation = derive(asked, preference)
    assert derivation.text.split("\n")[0] == lead
    assert arithmetic(derivation.text) == lines
    assert derivation.text.split("\n")[-1] == f"Answer: {answer}"
    check_sample(asked, preference, derivation.belief, render_prompt(asked), derivation.text)


def trembling(game: Game, strategy: Strategy, eps: Fraction) -> Strategy:
    """Every action with probability eps at least."""
    return tuple(tuple((1 - 2 * eps) * p + eps for p in entry) for entry in strategy)


def test_answers_are_optimal_by_brute_force() -> None:
    """All pure plans, with and without trembles small against the payoffs, by the preference's own definition."""
    eps = Fraction(1, 10**7)
    for sample in samples(500):
        game, preference, asked = sample.scene.game, sample.preference, sample.scene.asked
        plans = list(product(*(information.actions for information in game.information_sets)))
        belief = sample.derivation.belief
        exact = {plan: preference.utility(game, plan, belief) for plan in plans}
        best = {tuple(plan[d] for d in asked) for plan in plans if exact[plan] == max(exact.values())}
        assert sample.derivation.actions in best
        if len(best) > 1:
            others = trembling(game, belief, eps)
            shaken = {
                plan: preference.of_strategies(game, trembling(game, game.strategy(plan), eps), others)
                for plan in plans
                if exact[plan] == max(exact.values())
            }
            kept = {tuple(plan[d] for d in asked) for plan in shaken if shaken[plan] == max(shaken.values())}
            assert kept == {sample.derivation.actions}


def test_belief_is_the_stated_one_or_the_one_of_the_convention() -> None:
    seen = set()
    for sample in samples(500):
        stated, game = sample.scene.belief, sample.scene.game
        if stated is not None:
            assert sample.derivation.belief == stated
        elif sample.preference.kappa < 1:
            plan = equilibrium_belief(game, sample.preference)
            assert plan is not None
            assert sample.derivation.belief == game.strategy(plan)
            seen.add(plan)
    assert len(seen) > 5


def test_a_whole_reply_follows_the_table_word_for_word() -> None:
    asked = scene(DILEMMA, None, None, (1, 0))
    table = ["B then B: 3, 3", "B then A: 9, 1", "A then B: 1, 9", "A then A: 6, 6"]
    assert render_prompt(asked).split("\n")[2:6] == table
    assert derive(asked, HomoMoralis(0)).text.split("\n") == [
        "Only my own payoff counts.",
        "After B: B then B (3, 3) gives 3, B then A (9, 1) gives 1. Larger: 3 by B then B, so B.",
        "After A: A then B (1, 9) gives 9, A then A (6, 6) gives 6. Larger: 9 by A then B, so B.",
        "Others, like me, after B: B; after A: B.",
        "First: B then B gives me 3, A then B gives me 1. Larger: 3, so B.",
        "Answer: B, B, B",
    ]
    assert derive(asked, HomoMoralis(1)).text.split("\n") == [
        "If all act as I do, the sum for both counts.",
        "After B: B then B gives 3+3=6, B then A gives 9+1=10. Larger: 10 by B then A, so A (slip 6).",
        "After A: A then B gives 1+9=10, A then A gives 6+6=12. Larger: 12 by A then A, so A (slip 10).",
        "First: 10 (slip 6) if B, 12 (slip 10) if A. Larger: 12 (slip 10) if A, so A.",
        "Answer: A, A, A",
    ]


EXPECTED: list[tuple[Scene, str]] = [
    (scene(DILEMMA), "Others, like me, after A: B; after B: B."),
    (scene(DILEMMA, (EVEN, 0.8, 0.3)), "Others after A: 4 of 5 A, 1 of 5 B; after B: 3 of 10 A, 7 of 10 B."),
    (scene(DILEMMA, (EVEN, 0.8, 0.3), None, (1, 0)), "Others after B: 7 of 10 B, 3 of 10 A; after A: 1 of 5 B, 4 of 5 A."),
    (scene(TRUST, (EVEN, 1), 0), "Others after east: early."),
    (scene(TRUST, (EVEN, EVEN), 0), "Others after east: half early, half late."),
    (scene(TRUST, None, 0), "Others, like me, after east: late."),
]


@pytest.mark.parametrize(("asked", "line"), EXPECTED)
def test_what_others_are_expected_to_do_stands_right_before_it_is_used(asked: Scene, line: str) -> None:
    lines = derive(asked, HomoMoralis(0)).text.split("\n")
    assert lines[lines.index(line) + 1].startswith("First")


def test_others_are_said_to_be_like_me_where_the_answer_rests_on_it_and_nothing_else_says_so() -> None:
    for sample in samples(300):
        scene, lines = sample.scene, sample.derivation.text.split("\n")
        rests = sample.preference.kappa == 0 and 0 in scene.asked
        assert [line.startswith("Others") for line in lines].count(True) == rests
        assert ("Others, like me, after" in sample.derivation.text) == (rests and scene.belief is None)


def test_actions_are_those_of_the_answer_line_and_can_be_put_in_the_order_of_the_tree() -> None:
    turned = 0
    for sample in samples(300):
        scene, actions = sample.scene, sample.derivation.actions
        answer = sample.derivation.text.rpartition("Answer: ")[2].split(", ")
        assert [scene.label(d, action) for d, action in zip(scene.asked, actions, strict=True)] == answer
        by_decision = dict(zip(scene.asked, actions, strict=True))
        assert scene.in_tree_order(actions) == tuple(by_decision[d] for d in sorted(by_decision))
        turned += scene.in_tree_order(actions) != actions
    assert turned >= 3


def test_lines_about_second_moves_quote_rows_of_the_table() -> None:
    for sample in samples(300):
        rows = {re.split(": | gives | = ", row)[0] for row in sample.prompt.split("\n") if re.search(r"\d$", row)}
        for line in sample.derivation.text.split("\n"):
            if line.startswith("After") and "Larger" not in line:
                end = re.fullmatch(r"After (\w+): \1 gives \S+ \(slip \S+\)\.", line)
                assert end is not None
                assert end[1] in rows
            elif line.startswith("After"):
                quoted = re.findall(r"(?:, |: )([^,:=()]+?)(?: \([^()]+\))? gives ", line)
                assert len(quoted) == 2
                assert rows.issuperset(quoted)
                chosen = re.search(r"Larger: \S+ by (.+), so (\w+)(?: \(slip \d+\))?\.$", line)
                assert chosen is not None
                assert chosen[1] in quoted
                assert re.split(" then |-|/", chosen[1])[1] == chosen[2]


def test_what_counts_is_said_once_and_the_answer_last() -> None:
    for sample in samples(200):
        first, *lines, last = sample.derivation.text.split("\n")
        assert "count" in first
        assert all(re.match(r"First\b|After |Others\b", line) for line in lines)
        assert re.fullmatch(r"Answer: \w+(, \w+)*", last)


@pytest.mark.parametrize(
    ("kappa", "asked", "message"),
    [
        # T + S = 2R: after A, both replies give 10.
        (1, scene(sequential_prisoners_dilemma(9, 5, 3, 1)), "After A: the options are equal"),
        (1, scene(trust_game(9, 5, 3, 1), None, 1), "After east: the options are equal"),
        # 3 x 6 + 2 x 1 = 5 x 4.
        (0, scene(trust_game(9, 6, 4, 1), (EVEN, 0.6), 0), "First, in 5 games: the options are equal"),
        # All others start A: 2 x 6 + 2 x 12 = 2 x 8 + 2 x 10 in two games.
        (0.5, scene(sequential_prisoners_dilemma(8, 6, 3, 2), (1, EVEN, EVEN)), "After A, if I start A: the options are equal"),
    ],
)
def test_ties_have_no_derivation(kappa: float, asked: Scene, message: str) -> None:
    with pytest.raises(WordsError, match=re.escape(f"{asked.game.name}: {message}; no unique answer can be derived")):
        derive(asked, HomoMoralis(kappa))


def test_sharing_and_claiming_can_be_worth_the_same() -> None:
    """T + P = 2R: keeping gives both 12, and so does claiming, but there a slip of the second leaves 2."""
    asked = scene(ultimatum_game(8, 6, 4, 1))
    assert derive(asked, HomoMoralis(1)).text.split("\n")[1:] == [
        "After keep: keep gives 6+6=12 (slip 12).",
        "After claim: claim then yes gives 8+4=12, claim then no gives 1+1=2. Larger: 12 by claim then yes, so yes (slip 2).",
        "First: 12 (slip 12) if keep, 12 (slip 2) if claim. Larger: 12 (slip 12) if keep, so keep.",
        "Answer: keep, yes",
    ]
    assert optimal_plans(asked.game, HomoMoralis(1), Fraction(1, 2)).plans == (("E", "A"),)


def test_without_an_equilibrium_a_belief_must_be_stated() -> None:
    """Search for such games: homo moralis can want to do other than everyone who does as it does."""
    found = 0
    for number in range(300):
        rng = Random(f"equilibrium/{number}")
        asked, preference = scene(draw_game(rng, "sequential_prisoners_dilemma")), HomoMoralis(rng.choice(KAPPAS[1:-1]))
        if equilibrium_belief(asked.game, preference) is None:
            found += 1
            with pytest.raises(WordsError, match="no unique symmetric equilibrium to expect of others"):
                derive(asked, preference)
    assert found > 3


def test_inequity_aversion_is_not_derived() -> None:
    for preference in (SocialPreferences(0.1, 0, 0), SocialPreferences(0, -0.1, 0.5)):
        with pytest.raises(WordsError, match="alpha and beta must be zero"):
            derive(scene(DILEMMA), preference)


def test_the_reply_lists_options_as_the_prompt_does() -> None:
    """The first moves may be listed in one order and the replies in the other."""
    asked = replace(scene(DILEMMA, (EVEN, 0.8, 0.3)), order=((0, 1), (1, 0), (1, 0)))
    lines = arithmetic(derive(asked, HomoMoralis(0)).text)
    assert lines == ["After A: B 9 | A 6 -> B", "After B: B 3 | A 1 -> B", "First: A 2x1+8x6=50 | B 7x3+3x9=48 -> A"]
    asked = replace(asked, order=((1, 0), (0, 1), (0, 1)))
    lines = arithmetic(derive(asked, HomoMoralis(0)).text)
    assert lines == ["After B: A 1 | B 3 -> B", "After A: A 6 | B 9 -> B", "First: B 3x9+7x3=48 | A 8x6+2x1=50 -> A"]
