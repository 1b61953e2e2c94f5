"""Firms run by language models: all their views in one batch, asked again, a few times, where an answer cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from moralfit.chat import Chat
from moralfit.errors import ModelError
from moralfit.models import Messages
from moralfit.pricing._agents import Decision, View
from moralfit.pricing._market import LogitMarket
from moralfit.pricing._prompt import MARK, Prompt, Style, bounded_note, fitted
from moralfit.pricing._reading import Answer, read_reply

#: Between the replies of one period in a record, where a firm was asked again.
AGAIN = "\n\n=== asked again ===\n\n"
#: Tokens kept free for notes that grow when they are joined with the rest of a prompt.
_SLACK = 16


@dataclass
class LanguageFirm:
    """A language model that sets prices.

    Attributes:
        key, name: As :class:`PricingAgent` has them.
        chat: What answers.
        count_tokens: Length of the conversation that consists of one text from the user, chat template included.
        room: Tokens that a prompt may have: the model's context less the longest reply.
        style: How prompts are written. wordings: For each run the wording of its goal, where it is not the style's.
        system: A system message; None leaves it to the chat template.
        retries: How often a firm is asked again in one period, at most.
        note_tokens: Where a note is cut off.
        draws: Whether the chat draws its replies. One that does not would repeat itself, so that it is told what was wrong.
    """

    key: str
    name: str
    chat: Chat
    count_tokens: Callable[[str], int]
    room: int
    style: Style = field(default_factory=Style)
    wordings: Mapping[str, str] = field(default_factory=dict)
    system: str | None = None
    retries: int = 2
    note_tokens: int = 180
    draws: bool = True

    def decide(self, views: Sequence[View]) -> list[Decision]:
        """One decision for each view. Who never names a valid price keeps its last one, see :func:`last_price`."""
        attempts: list[list[tuple[str, Answer]]] = [[] for _ in views]
        prompts = [self.prompt(view) for view in views]
        asked = list(range(len(views)))
        for attempt in range(self.retries + 1):
            if attempt:
                asked = [p for p in asked if attempts[p][-1][1].price is None]
                if not asked:
                    break
                if not self.draws:
                    for p in asked:
                        prompts[p] = self.prompt(views[p], _told(attempt, attempts[p][-1][1]))
            seeds = [f"{views[p].seed}/attempt-{attempt}" for p in asked]
            conversations = [self._messages(prompts[p].text) for p in asked]
            for reply in self.chat.replies(conversations, seeds, MARK):
                view = views[asked[reply.position]]
                attempts[asked[reply.position]].append((reply.text, read_reply(reply.text, view.ceiling)))
        return [self._decision(*found) for found in zip(views, prompts, attempts, strict=True)]

    def prompt(self, view: View, problem: str | None = None) -> Prompt:
        """What the firm reads; `problem` is what it is told when it is asked again."""
        style = replace(self.style, wording=self.wordings.get(view.run, self.style.wording))
        return fitted(view, style, self.count_tokens, self.room, problem)

    def check(self, market: LogitMarket, ceiling: float) -> None:
        """Makes sure before anything is played that the longest notes leave room for a prompt.

        Raises:
            ModelError: They do not.
        """
        told = _told(self.retries, Answer(None, "it named more than one number as its price"))
        longest = 0
        # One run of each wording.
        for run in {wording: run for run, wording in self.wordings.items()}.values() or ("",):
            start = View(run, 0, 1, market, ceiling, (), ("", ""), "")
            longest = max(longest, self.prompt(start, told).tokens)
        needed = longest + 2 * self.note_tokens + _SLACK
        if needed > self.room:
            raise ModelError(
                f"{self.key}: a pricing prompt takes {longest} tokens without history and up to {2 * self.note_tokens} for "
                f"notes, and the model's context leaves {self.room} beside the reply; lower note_words or max_new_tokens, or "
                "use another model"
            )

    def _messages(self, text: str) -> Messages:
        before = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*before, {"role": "user", "content": text}]

    def _decision(self, view: View, prompt: Prompt, attempts: Sequence[tuple[str, Answer]]) -> Decision:
        answers = [answer for _, answer in attempts]
        price = answers[-1].price
        plans, insights = view.notes
        for answer in answers:
            plans = plans if answer.plans is None else bounded_note(answer.plans, self.note_tokens, self.count_tokens)
            insights = (
                insights if answer.insights is None else bounded_note(answer.insights, self.note_tokens, self.count_tokens)
            )
        retries = len(attempts) - 1
        return Decision(
            price=last_price(view) if price is None else price,
            status="fallback" if price is None else "retried" if retries else "answered",
            retries=retries,
            reply=AGAIN.join(text for text, _ in attempts),
            plans=plans,
            insights=insights,
            history_shown=prompt.history_shown,
            prompt_tokens=prompt.tokens,
        )


def last_price(view: View) -> float:
    """What a firm asks that named no valid price: its last one, which was valid or came from here.

    In the first period any price from its unit cost to the ceiling, all equally likely, drawn from the view's seed: whatever
    were chosen instead, such as Nash or monopoly, would put a result into the data.
    """
    if view.history:
        return view.history[-1].prices[view.firm]
    cost = float(view.market.unit_costs[view.firm])
    return cost + (view.ceiling - cost) * Random(f"{view.seed}/fallback").random()


def _told(attempt: int, answer: Answer) -> str:
    # Numbered, because a model that takes the most likely words repeats itself when it reads the same words.
    return (
        f"This is attempt {attempt + 1}: your last answer could not be used, because {answer.problem}. Keep to the form above."
    )
