from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from pricing_chats import ScriptedChat, view, words

from moralfit.errors import ModelError
from moralfit.pricing import LanguageFirm, Style, View, last_price
from moralfit.pricing._language import AGAIN

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


def test_earlier_notes_stay_where_none_can_be_read() -> None:
    agent, _ = firm(lambda prompt, seed: "pages and pages of text " * 200)
    made = agent.decide([view(notes=("old plan", "old insight"))])[0]
    assert (made.plans, made.insights, made.status) == ("old plan", "old insight", "fallback")
    agent, _ = firm(lambda prompt, seed: "Plans: new\nPrice: 1.5")
    assert agent.decide([view(notes=("old plan", "old insight"))])[0].plans == "new"


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
