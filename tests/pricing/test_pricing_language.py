from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pricing_chats import ScriptedChat, view, words

from moralfit.errors import ModelError
from moralfit.pricing import LanguageFirm, Style, View
from moralfit.pricing._language import AGAIN, last_price

GOOD = "Plans: hold\nInsights: fine\nPrice: 1.60"


def firm(answer: Callable[[str, str], str], **changes: object) -> tuple[LanguageFirm, ScriptedChat]:
    chat = ScriptedChat(answer)
    return replace(LanguageFirm("m", "model", chat, words, 1000), **changes), chat  # type: ignore[arg-type]


def views(count: int) -> list[View]:
    return [view(seed=seed, run=f"run-{seed}") for seed in range(count)]


def test_all_views_are_one_batch() -> None:
    agent, chat = firm(lambda prompt, seed: f"Plans: {seed}\nPrice: 1.{seed[5]}0")
    made = agent.decide(views(5))
    assert [len(call) for call in chat.calls] == [5]
    assert chat.marks == ["Price:"]
    assert [decision.price for decision in made] == [1.0, 1.1, 1.2, 1.3, 1.4]
    assert [decision.plans for decision in made] == [f"seed-{n}/attempt-0" for n in range(5)]
    assert {(decision.status, decision.retries) for decision in made} == {("answered", 0)}
    assert all(decision.history_shown == 5 and decision.prompt_tokens and decision.reply for decision in made)


def test_only_those_who_failed_are_asked_again() -> None:
    def answer(prompt: str, seed: str) -> str:
        run, attempt = seed.removeprefix("seed-").split("/attempt-")
        return "Price: 1.60" if attempt == run else "Insights: seen\nPrice: high"

    agent, chat = firm(answer, retries=2)
    made = agent.decide(views(4))
    assert [len(call) for call in chat.calls] == [4, 3, 2]
    assert [decision.status for decision in made] == ["answered", "retried", "retried", "fallback"]
    assert [decision.retries for decision in made] == [0, 1, 2, 2]
    assert made[3].price == view(seed=3).history[-1].prices[0]
    assert made[2].reply == AGAIN.join(["Insights: seen\nPrice: high"] * 2 + ["Price: 1.60"])
    # The note of an attempt without a price is a note all the same.
    assert made[2].insights == made[3].insights == "seen"


def test_a_drawn_retry_reads_the_same_prompt_with_another_seed() -> None:
    agent, chat = firm(lambda prompt, seed: "no", retries=1, draws=True)
    agent.decide(views(1))
    (first,), (second,) = chat.calls
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_a_greedy_retry_is_told_what_was_wrong_and_never_reads_the_same_twice() -> None:
    agent, chat = firm(lambda prompt, seed: "Price: 99", retries=3, draws=False)
    made = agent.decide(views(1))
    prompts = [call[0][0] for call in chat.calls]
    assert len(set(prompts)) == 4
    assert all(p.startswith(prompts[0]) for p in prompts)
    assert "attempt 2: your last answer could not be used, because its price was above what anyone pays" in prompts[1]
    assert made[0].status == "fallback"
    assert made[0].prompt_tokens == words(prompts[-1])


def guided(answer: Callable[[str, str], str], goes_on: Callable[[str, str], str], **changes: object) -> tuple[Any, ...]:
    """A firm whose answers are begun, with its two chats."""
    short = ScriptedChat(goes_on)
    agent, chat = firm(answer, completer=short, **changes)
    return agent, chat, short


def test_a_guided_answer_is_begun_and_completed_where_it_has_no_price() -> None:
    def answer(prompt: str, seed: str) -> str:
        return (
            "hold\nInsights: fine\nPrice: 1.60"
            if seed.startswith("seed-1/")
            else "up a bit\nInsights: they follow\nPrice: high"
        )

    plain = Style(thoughts=False)
    agent, chat, short = guided(answer, lambda prompt, seed: "1.85, units", retries=2, style=plain)
    made = agent.decide([view(seed=seed, notes=("old plan", "old insight")) for seed in (0, 1)])
    assert chat.begun == [["Plans:", "Plans:"]]
    assert short.begun == [["Plans: up a bit\nInsights: they follow\nPrice: $"]]
    assert [(d.price, d.status, d.retries) for d in made] == [(1.85, "retried", 1), (1.6, "answered", 0)]
    assert [(d.plans, d.insights) for d in made] == [("up a bit", "they follow"), ("hold", "fine")]
    # The record tells the firm's words from those that it was given.
    said = "[Plans:] up a bit\nInsights: they follow\nPrice: high"
    assert made[0].reply == f"{said}{AGAIN}[Plans: up a bit\nInsights: they follow\nPrice: $] 1.85, units"
    # Both read the same prompt.
    assert short.calls[0][0][0] == chat.calls[0][0][0]


def test_a_completion_begins_with_the_notes_as_they_stand() -> None:
    for notes, begun in (
        (("", ""), "Price: $"),
        (("old plan", ""), "Plans: old plan\nPrice: $"),
        (("old plan", "old insight"), "Plans: old plan\nInsights: old insight\nPrice: $"),
    ):
        agent, _, short = guided(lambda prompt, seed: "", lambda prompt, seed: "none", retries=2)
        made = agent.decide([view(notes=notes)])[0]
        assert short.begun == [[begun], [begun]]
        assert (made.status, made.retries, made.plans, made.insights) == ("fallback", 2, *notes)
    # Notes that were cut are not read, and cut, again.
    plain = Style(thoughts=False)
    agent, _, short = guided(lambda prompt, seed: "up " * 50, lambda prompt, seed: "1.5", note_tokens=5, style=plain)
    cut = "up up up up [...]"
    assert agent.decide(views(1))[0].plans == cut
    assert short.begun == [[f"Plans: {cut}\nPrice: $"]]
    # A completion that goes on to a note changes it.
    agent, _, short = guided(lambda prompt, seed: "", lambda prompt, seed: "\nPlans: more\nPrice: none", retries=2)
    assert agent.decide(views(1))[0].plans == "more"
    assert short.begun == [["Price: $"], ["Plans: more\nPrice: $"]]


def test_a_guided_greedy_model_is_told_of_its_mistake_only_where_it_would_repeat_itself() -> None:
    agent, chat, short = guided(lambda prompt, seed: "x", lambda prompt, seed: "9", retries=3, draws=False)
    agent.decide(views(1))
    prompts = [call[0][0] for call in (*chat.calls, *short.calls)]
    assert [prompts.index(p) for p in prompts] == [0, 0, 2, 3]
    assert "attempt 3: your last answer could not be used, because its price was above what anyone pays" in prompts[2]


def test_a_number_that_the_end_of_a_reply_cuts_is_no_price() -> None:
    for said, status in (("Price: 1", "fallback"), ("Price: 1.60 then", "answered"), ("Price: 1.60\n", "answered")):
        agent, _ = firm(lambda prompt, seed, said=said: f"{'so ' * 40}\n{said}", reply_tokens=42, retries=0)  # type: ignore[misc]
        assert agent.decide(views(1))[0].status == status, said
    agent, _ = firm(lambda prompt, seed: "Price: 1", reply_tokens=42, retries=0)
    assert agent.decide(views(1))[0].price == 1


def test_earlier_notes_stay_where_none_can_be_read() -> None:
    agent, _ = firm(lambda prompt, seed: "pages and pages of text " * 200)
    made = agent.decide([view(notes=("old plan", "old insight"))])[0]
    assert (made.plans, made.insights, made.status) == ("old plan", "old insight", "fallback")
    agent, _ = firm(lambda prompt, seed: "Plans: new\nPrice: 1.5")
    assert agent.decide([view(notes=("old plan", "old insight"))])[0].plans == "new"


def test_of_the_notes_of_several_attempts_the_last_stand() -> None:
    def answer(prompt: str, seed: str) -> str:
        return "Plans: first\nInsights: seen\nPrice: high" if seed.endswith("0") else "Plans: second\nPrice: 1.5"

    agent, _ = firm(answer)
    made = agent.decide(views(1))[0]
    assert (made.plans, made.insights) == ("second", "seen")


def test_long_notes_are_cut_where_they_are_written() -> None:
    agent, _ = firm(lambda prompt, seed: f"Plans: {'again ' * 500}\nPrice: 1.5", note_tokens=20)
    plans = agent.decide(views(1))[0].plans
    assert len(plans.split()) == 20
    assert plans.endswith("[...]")


def test_the_first_fallback_is_a_draw_between_cost_and_ceiling() -> None:
    prices = [last_price(view(periods=0, seed=seed)) for seed in range(400)]
    assert 1.0 <= min(prices) < 1.05
    assert 3.80 < max(prices) <= 3.85
    assert sum(prices) / 400 == pytest.approx((1.0 + 3.85) / 2, abs=0.15)
    assert prices[0] == last_price(view(periods=0, seed=0))


def test_decisions_depend_on_the_views_alone() -> None:
    agent, _ = firm(lambda prompt, seed: f"Price: 1.{len(prompt) % 7}{seed[5]}")
    together = agent.decide(views(6))
    assert together == [firm(agent.chat.answer)[0].decide([v])[0] for v in views(6)]  # type: ignore[attr-defined]
    assert together == agent.decide(views(6))


def test_each_run_has_its_wording() -> None:
    agent, chat = firm(lambda prompt, seed: GOOD, wordings={"run-1": "P2"})
    agent.decide(views(2))
    told = ["Learn by experiment" in prompt for prompt, _ in chat.calls[0]]
    assert told == [False, True]


def test_a_system_message_goes_first() -> None:
    agent, _ = firm(lambda prompt, seed: GOOD, system="")
    assert agent._messages("x") == [{"role": "system", "content": ""}, {"role": "user", "content": "x"}]


def test_a_context_that_is_too_small_is_said_before_anything_is_asked() -> None:
    agent, chat = firm(lambda prompt, seed: GOOD, room=300, note_tokens=100)
    with pytest.raises(ModelError, match=r"m: a pricing prompt takes .* tokens without history and up to 200 for notes"):
        agent.check(view().market, 3.85)
    assert chat.calls == []
    agent.room = 600
    agent.check(view().market, 3.85)
    # The wording with more words decides.
    needed = {}
    for wording in ("P1", "P2"):
        agent.wordings, agent.room = {"run": wording}, 300
        with pytest.raises(ModelError) as caught:
            agent.check(view().market, 3.85)
        needed[wording] = str(caught.value)
    assert needed["P1"] != needed["P2"]


def test_history_is_shortened_to_what_fits_and_the_decision_says_so() -> None:
    agent, _ = firm(lambda prompt, seed: GOOD, style=Style(history=100))
    long = view(periods=100)
    agent.room = 400
    made = agent.decide([long])[0]
    assert made.history_shown is not None
    assert made.prompt_tokens is not None
    assert 0 < made.history_shown < 100
    assert made.prompt_tokens <= 400
