"""The checker passes what is true and stops what is not: every derivation passes, no mutation that makes it false does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

import pytest
from words_samples import KAPPAS, Sample, draw, samples

from moralfit.errors import WordsError
from moralfit.games import Game, sequential_prisoners_dilemma
from moralfit.preferences import HomoEconomicus, HomoMoralis, SocialPreferences
from moralfit.solve import optimal_plans
from moralfit.words import FRAMES, Scene, check_sample, derive, read_belief, read_payoffs, render_prompt, step_name

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*\d)|(?<=x)\d+|\d+(?=x)")


def passes(sample: Sample, prompt: str | None = None, reply: str | None = None) -> bool:
    """Whether the checker accepts the sample with another prompt or reply. Only WordsError counts as noticing."""
    prompt = sample.prompt if prompt is None else prompt
    reply = sample.derivation.text if reply is None else reply
    try:
        check_sample(sample.scene, sample.preference, sample.derivation.belief, prompt, reply)
    except WordsError:
        return False
    return True


def assert_noticed(sample: Sample, mutants: Iterator[str], where: str = "reply") -> int:
    """No mutant passes; how many there were."""
    count = 0
    for mutant in mutants:
        assert not passes(sample, **{where: mutant}), f"passes:\n{mutant}\n\nbut the truth is:\n{sample.derivation.text}"
        count += 1
    return count


def replaced(text: str, matches: Iterator[re.Match[str]], new: Callable[[str], list[str]]) -> Iterator[str]:
    """The text with one match at a time replaced by each of what `new` makes of it."""
    for match in matches:
        for other in new(match[0]):
            if other != match[0]:
                yield text[: match.start()] + other + text[match.end() :]


def numbers_like(number: str) -> list[str]:
    """Other numbers: next to it, with a digit dropped, added or changed, and with the sign changed."""
    value = int(number)
    return [str(value + 1), str(value - 1), f"{number}0", number[:-1] or "7", str(-value)]


# --- What is true passes


def test_every_derivation_passes() -> None:
    seen = Counter[object]()
    for sample in samples(1500):
        scene, preference = sample.scene, sample.preference
        solution = check_sample(scene, preference, sample.derivation.belief, sample.prompt, sample.derivation.text)
        assert solution == optimal_plans(scene.game, preference, sample.derivation.belief)
        assert [solution.actions(d) for d in scene.asked] == [(action,) for action in sample.derivation.actions]
        seen[preference.kappa, scene.belief is None, scene.decision is None] += 1
        seen[scene.frame.name] += 1
        seen[scene.game.name, scene.decision] += 1
    assert all(seen[kappa, unstated, plan] > 10 for kappa in KAPPAS for unstated in (False, True) for plan in (False, True))
    assert all(seen[frame.name] > 50 for frame in FRAMES)
    assert all(seen["sequential_prisoners_dilemma", d] > 50 for d in (None, 0, 1, 2))


def test_ties_at_kappa_1_are_broken_by_a_slip_and_pass() -> None:
    """T + S > 2R: taking turns either way gives T + S; a slip leaves 2R after C and 2P after D."""
    sample = with_slip()
    assert "First: 10 (slip 4) if B, 10 (slip 8) if A. Larger: 10 (slip 8) if A, so A." in sample.derivation.text
    assert passes(sample)


def with_slip() -> Sample:
    game = sequential_prisoners_dilemma(9, 4, 2, 1)
    scene = Scene(
        game, FRAMES[0], (("A", "B"),) * 3, ((1, 0),) * 3, "Two play.", ("One", "Two"), "points", (0, 0, 0), None, None
    )
    preference = HomoMoralis(1)
    return Sample(scene, preference, render_prompt(scene), derive(scene, preference))


def test_payoffs_with_decimals_and_below_zero_pass() -> None:
    game = sequential_prisoners_dilemma(9.7, 4.25, -0.5, -3.1)
    count = 0
    for kappa in KAPPAS:
        for belief in (None, game.strategy((0.3, 0.5, 0.9))):
            for decision in (None, 0, 1, 2):
                scene = replace(with_slip().scene, game=game, belief=belief, decision=decision)
                preference = HomoMoralis(kappa)
                try:
                    derivation = derive(scene, preference)
                except WordsError:
                    continue
                count += 1
                sample = Sample(scene, preference, render_prompt(scene), derivation)
                assert passes(sample)
                wrong = derivation.text.replace("4.25", "4.75").replace("-0.5", "0.5")
                assert wrong == derivation.text or not passes(sample, reply=wrong)
    assert count >= 40


def test_lines_may_only_stand_in_another_order_where_none_rests_on_the_other() -> None:
    """Second moves do not rest on each other, nor does what others are expected to do, where it is stated, on one's own."""
    swapped = Counter[bool]()
    for sample in samples(300):
        lines = sample.derivation.text.split("\n")
        for i in range(len(lines) - 1):
            other = "\n".join([*lines[:i], lines[i + 1], lines[i], *lines[i + 2 :]])
            compared = [line.split(" ")[0].strip(",:") for line in lines[i : i + 2]]
            independent = compared == ["After", "After"]
            if sample.preference.kappa == 0 and sample.scene.belief:
                independent |= compared == ["After", "Others"]
            assert passes(sample, reply=other) == independent
            swapped[independent] += 1
    assert min(swapped.values()) > 100


def test_terms_of_a_sum_may_stand_in_any_order() -> None:
    """The only changes of a number's place that pass: the sum says the same."""
    survivors = 0
    for sample in samples(100):
        for match in re.finditer(r"(?<=me |th )([\dx]+)\+([\dx]+)(?==)", sample.derivation.text):
            other = f"{sample.derivation.text[: match.start()]}{match[2]}+{match[1]}{sample.derivation.text[match.end() :]}"
            assert passes(sample, reply=other)
            survivors += other != sample.derivation.text
    assert survivors > 100


# --- What is false does not


def test_no_number_of_the_reply_can_be_changed() -> None:
    count = 0
    for sample in [*samples(70), with_slip()]:
        text = sample.derivation.text
        count += assert_noticed(sample, replaced(text, NUMBER.finditer(text), numbers_like))
    assert count > 6_000


def test_no_number_of_the_prompt_can_be_changed() -> None:
    count = 0
    for sample in samples(100):
        count += assert_noticed(sample, replaced(sample.prompt, re.finditer(r"\d+", sample.prompt), numbers_like), "prompt")
    assert count > 6_000


def test_no_payoff_can_be_taken_for_another_of_the_table() -> None:
    """Payoffs are in the table, so only their place gives them away."""
    for sample in samples(50):
        text = sample.derivation.text
        table = sorted({str(payoff) for pair in read_payoffs(sample.prompt).values() for payoff in pair})
        places = re.finditer(r"(?<![\w=])\d+(?=[+=,.])|(?<=[x+])\d+", text)
        assert_noticed(sample, replaced(text, places, dict.fromkeys(re.findall(r"\d+", text), table).__getitem__))


def test_sums_with_other_terms_are_noticed_even_if_they_come_to_the_same() -> None:
    count = 0
    for sample in samples(300):
        text = sample.derivation.text
        sums = re.finditer(r"(?<![\dx+])(\d+)\+(\d+)=", text)

        def other(found: str) -> list[str]:
            one, two = map(int, found[:-1].split("+"))
            others = [(one + 1, two - 1), (one - 1, two + 1), (one + two, 0)]
            return [f"{a}+{b}=" for a, b in others if {a, b} != {one, two}] + [f"{one + two}="]

        count += assert_noticed(sample, replaced(text, sums, other))
    assert count > 500


def test_equations_that_are_true_but_irrelevant_are_noticed() -> None:
    """Every option raised by the same amount: each equation holds, and so does the comparison."""
    count = 0
    for sample in samples(200):
        lines = sample.derivation.text.split("\n")
        for i, line in enumerate(lines):
            if line.startswith("First") and "=" not in line:
                raised = re.sub(r"(?<=gives me )\d+|(?<=Larger: )\d+|\d+(?= \()", lambda m: str(int(m[0]) + 5), line)
                assert raised != line
                assert not passes(sample, reply="\n".join([*lines[:i], raised, *lines[i + 1 :]]))
                count += 1
            if "both" in line and "me" in line:
                scaled = re.sub(r"(?<![x\d])\d+(?!x|\d| games)", lambda m: str(2 * int(m[0])), line)
                assert not passes(sample, reply="\n".join([*lines[:i], scaled, *lines[i + 1 :]]))
                count += 1
    assert count > 100


def test_no_label_can_be_taken_for_the_other() -> None:
    count = 0
    for sample in [*samples(150), with_slip()]:
        for labels in set(sample.scene.labels):
            other = {labels[0]: [labels[1]], labels[1]: [labels[0]]}
            pattern = re.compile(rf"(?<!\w)(?:{'|'.join(labels)})(?!\w)")
            for where, text in (("reply", sample.derivation.text), ("prompt", sample.prompt)):
                count += assert_noticed(sample, replaced(text, pattern.finditer(text), other.__getitem__), where)
    assert count > 3_000


def test_no_line_can_be_dropped_or_doubled() -> None:
    for sample in [*samples(200), with_slip()]:
        for where, text in (("reply", sample.derivation.text), ("prompt", sample.prompt)):
            lines = text.split("\n")
            assert_noticed(sample, ("\n".join(lines[:i] + lines[i + 1 :]) for i in range(len(lines))), where)
            assert_noticed(sample, ("\n".join(lines[:i] + lines[i : i + 1] + lines[i:]) for i in range(len(lines))), where)


def test_options_stand_in_the_order_of_the_prompt() -> None:
    count = 0
    for sample in samples(200):
        lines = sample.derivation.text.split("\n")
        for i, line in enumerate(lines):
            given = r"\S+ (?:then \S+ )?gives .+?|\d+ \(slip \d+\) if \w+"
            options = re.fullmatch(rf"(.+?: )({given}), ({given})(\. .+)", line)
            if options:
                swapped = options[1] + options[3] + ", " + options[2] + options[4]
                assert not passes(sample, reply="\n".join([*lines[:i], swapped, *lines[i + 1 :]]))
                count += 1
    assert count > 300


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Only my own payoff counts.", "If all act as I do, the sum for both counts."),
        ("If all act as I do, the sum for both counts.", "Only my own payoff counts."),
        ("If all act as I do, ", ""),
        ("the sum for both if all act as I do counts", "the sum for both counts"),
        (r" Others act as I do: [^.]+\.", ""),
        (r" Others act as I do: [^.]+\.", " Others act as they like."),
        (r" Others act as I do: [^.]+\.", " Others are like me."),
        (", like me,", ""),
        (r"Others after", r"Others, like me, after"),
        (r"\nOthers[^\n]+", ""),
        (r"(\nOthers[^\n]+)", r"\1\1"),
        (r"(\nOthers[^\n]+)(\nFirst[^\n]+)", r"\2\1"),
        (r"(\nAfter[^\n]+)(\nOthers, like[^\n]+)", r"\2\1"),
        (r"(Others.* after \w+: )", r"\1half "),
        (r" \(\d+, \d+\) gives", " gives"),
        (r"\((\d+), (\d+)\) gives", r"(\1, 1\2) gives"),
        (r"(gives \d+\+\d+)", r"(1, 2) \1"),
        (r"(After \w+: )\w+(?: then |-|/)(\w+) gives", r"\1\2 gives"),
        (r"(: |, )(\w+)( then |-|/)(\w+) gives", r"\1\4\3\2 gives"),
        ("$", "\nThank you."),
        ("^", "\n"),
        ("\n", "\n\n"),
        (", both roles", ""),
        (r"First: ", "First, both roles: "),
        (r", (in|over) \d+ games", ""),
        (r"First(, both roles)?: ", "First, over 2 games: "),
        (r", in (\d+) games", r", over \1 games"),
        (r", if I (do not )?start \w+", ""),
        ("if I start", "if I do not start"),
        ("if I do not start", "if I start"),
        (" by a slip", ""),
        (r"(After \w+), if I do not", r"\1 by a slip, if I do not"),
        (r"(\w+) then \w+ gives", r"\1 then something gives"),
        (r"me (\d+), ", ""),
        (r"both [^,]+, ", ""),
        ("both", "me"),
        ("me ", "both "),
        ("gives", "costs"),
        ("Larger", "Smaller"),
        (r" Larger: \d+, so \S+\.", ""),
        ("Answer: ", "Answer: not "),
        ("Answer: ", "Answers: "),
        (r"(Answer: .+)", r"\1."),
        (r"Answer: .+", "Answer: "),
        (r"\nAnswer: .+", ""),
        (r"=(\d+)", ""),
        (r"(\d+)\+(\d+)=(\d+)", r"\3"),
        ("x", "*"),
        (r" \(slip \d+\)", ""),
        (r"\(slip (\d+)\)", r"(slip 1\1)"),
        (r"\(slip (\d+)\)", r"(\1)"),
        (r"(gives \S+\d)", r"\1 (slip 3)"),
        (r"(so \w+)\.", r"\1 (slip 3)."),
        (r"Larger: (\d+),", r"Larger: \1 (slip \1),"),
        (r"Larger: (\d+)( \(slip \d+\))?, so (\w+)", r"Larger: \1 by \3\2, so \3"),
        (r" by \w+(?: then |-|/)\w+", ""),
        ("gives me", "gives"),
        ("gives me", "gives both"),
        (r"First: (\w+)(?: then |-|/)\w+ gives me", r"First: \1 gives me"),
        (r"First: (\w+) gives me", r"First: \1 then \1 gives me"),
        (r"(\nAfter (\w+): \2 gives[^\n]+)", ""),
        (r"(\nAfter (\w+): \2 gives[^\n]+)", r"\1\1"),
        (r"(\nAfter (\w+): \2 gives[^\n]+)(\nFirst[^\n]+)", r"\3\1"),
        (r"(\nAfter (\w+): )\2( gives[^\n]+)", r"\1\2\2\3"),
        (r"(First: \d+ \(slip \d+\) if) (\w+)(, .+? if) (\w+)", r"\1 \4\3 \2"),
        (r"First: (\d+) \(slip (\d+)\)", r"First: 1\1 (slip \2)"),
        (r"First: (\d+) \(slip (\d+)\)", r"First: \1 (slip 1\2)"),
        (r"(Larger: \d+ \(slip \d+\)) if \w+", r"\1"),
        (r"(Larger: \d+) \(slip \d+\) if", r"\1 if"),
        (r"(First: .+ if) (\w+)\. (.+ if \2, so \2)", r"\1 \2, 0 (slip 0) if \2. \3"),
        (r" by (\w+)( then |-|/)(\w+)", r" by \3\2\1x"),
    ],
)
def test_other_words_are_noticed(old: str, new: str) -> None:
    count = 0
    for sample in [*samples(400), with_slip()]:
        text = sample.derivation.text
        found = list(re.finditer(old, text))
        for match in found[:3]:
            mutant = text[: match.start()] + match.expand(new.replace("\n", "\\n")) + text[match.end() :]
            if mutant != text:
                assert not passes(sample, reply=mutant), mutant
                count += 1
    assert count


def test_lists_stand_in_the_order_of_the_table_and_in_no_other() -> None:
    """The answer, what others do and the belief: the choices for the two replies, turned round, are another plan."""
    count = Counter[str]()
    pattern = {
        "answer": r"(?<=Answer: )(\w+), (\w+), (\w+)$",
        "others": r"(?<=Others act as I do: )(\w+), (\w+), (\w+)(?=\.)",
        "belief": r"(?<=others: )([^;]+); ([^;]+); ([^;]+)(?=\.\n)",
        "replies of the belief": r"(first: [^;]+; after \w+: )([^;]+)(; after \w+: )([^;]+)(?=\.\n)",
        "question": r"(\(2\) )(after \w+)(, \(3\) )(after \w+)",
    }
    for sample in samples(400):
        for name, old in pattern.items():
            where = "reply" if name in ("answer", "others") else "prompt"
            text = sample.derivation.text if where == "reply" else sample.prompt
            for found in re.finditer(old, text):
                join = ", " if where == "reply" else "; "
                one, two, three, *four = found.groups()
                new = f"{one}{four[0]}{three}{two}" if four else join.join((one, three, two))
                mutant = text[: found.start()] + new + text[found.end() :]
                if mutant != text:
                    assert not passes(sample, **{where: mutant}), mutant
                    count[name] += 1
    assert set(count) == set(pattern)
    assert min(count.values()) >= 3, count


def test_prompts_of_other_scenes_are_noticed() -> None:
    for sample in samples(100):
        scene = sample.scene
        others = [
            replace(scene, unit="pebbles"),
            replace(scene, roles=(scene.roles[1], scene.roles[0])),
            replace(scene, setting="Two play chess."),
            replace(scene, order=tuple(tuple(reversed(listed)) for listed in scene.order)),
            replace(scene, decision=None if scene.decision is not None else 0),
            replace(scene, belief=None if scene.belief else scene.game.strategy(Fraction(1, 7))),
        ]
        for other in others:
            assert not passes(sample, prompt=render_prompt(other))


def test_replies_for_other_beliefs_and_preferences_are_noticed() -> None:
    count = Counter[str]()
    for sample in samples(300):
        scene = sample.scene
        for belief in (None, (0.2, 0.4, 0.7), (1, 0, 0.5)):
            strategy = None if belief is None else scene.game.strategy(belief[: len(scene.labels)])
            try:
                reply = derive(replace(scene, belief=strategy), sample.preference).text
            except WordsError:
                continue
            if reply != sample.derivation.text:
                assert not passes(sample, reply=reply)
                count["belief"] += 1
        for kappa in KAPPAS:
            if kappa != sample.preference.kappa:
                wrong = replace(sample, preference=HomoMoralis(kappa))
                assert not passes(wrong)
                count["kappa"] += 1
    assert count["belief"] > 200 < count["kappa"]


def test_the_belief_checked_must_be_the_one_stated() -> None:
    sample = next(s for s in map(stated, range(50)) if s)
    other = sample.scene.game.strategy(0.5)
    assert sample.scene.belief != other
    with pytest.raises(WordsError, match="do not state the same belief"):
        check_sample(sample.scene, sample.preference, other, sample.prompt, sample.derivation.text)


def stated(number: int) -> Sample | None:
    sample = draw(f"stated/{number}")
    return sample if sample and sample.scene.belief and sample.preference.kappa == 0 else None


def test_inequity_aversion_has_no_derivation() -> None:
    sample = with_slip()
    with pytest.raises(WordsError, match="alpha or beta"):
        check_sample(
            sample.scene, SocialPreferences(0.1, 0, 1), sample.derivation.belief, sample.prompt, sample.derivation.text
        )


def test_a_message_names_the_game_and_quotes_the_text() -> None:
    sample = with_slip()
    wrong = sample.derivation.text.replace("2+2=4", "2+2=5")
    with pytest.raises(WordsError, match=r"sequential_prisoners_dilemma: 2\+2=5 is false: 'After B: .*2\+2=5"):
        check_sample(sample.scene, sample.preference, sample.derivation.belief, sample.prompt, wrong)


# --- Reading numbers back


def test_table_with_two_rows_for_one_end() -> None:
    with pytest.raises(WordsError, match="two rows"):
        read_payoffs("A-B: 1, 2\nA-B: 1, 3")


def test_belief_read_back() -> None:
    steps = ("first", "after left", "after right")
    prompt = (
        "x\nYou expect of others: first: left; after left: half left, half right; after right: 3 of 10 right, 7 of 10 left.\ny"
    )
    tenth = Fraction(1, 10)
    assert read_belief(prompt, steps) == (
        {"left": Fraction(1)},
        {"left": Fraction(1, 2), "right": Fraction(1, 2)},
        {"right": 3 * tenth, "left": 7 * tenth},
    )
    assert read_belief("nothing of the kind", steps) is None
    for other in (steps[:2], (steps[0], steps[2], steps[1])):
        with pytest.raises(WordsError, match="should say what to expect"):
            read_belief(prompt, other)
    for unlike in (prompt.replace("first:", "first"), prompt.replace("after right:", "after right")):
        with pytest.raises(WordsError, match="should say what to expect"):
            read_belief(unlike, steps)


def test_everything_is_derived_from_whole_plans() -> None:
    """The checker's utilities are the preference's own: an economicus answer under a moralis text does not pass."""
    game: Game = sequential_prisoners_dilemma(9, 6, 3, 1)
    sample = with_slip()
    scene = replace(sample.scene, game=game, belief=game.strategy(0.5))
    own, moral = derive(scene, HomoEconomicus()), derive(scene, HomoMoralis(1))
    assert own.actions == ("D", "D", "D")
    assert moral.actions == ("C", "C", "C")
    for preference, text in ((HomoEconomicus(), moral.text), (HomoMoralis(1), own.text)):
        with pytest.raises(WordsError, match=r"what counts|how much"):
            check_sample(scene, preference, scene.belief, render_prompt(scene), text)
    assert [step_name(scene, d) for d in range(3)] == ["first", "after A", "after B"]
