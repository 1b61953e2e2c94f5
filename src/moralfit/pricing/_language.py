"""Firms run by language models: all their views in one batch, asked again, a few times, where an answer cannot be read.

Small models and adapters that were trained to answer in another form hardly ever keep to the form of the prompt. For them an
answer is begun, and one that has no price is completed: the notes that it had and the beginning of its last line are put into
the model's mouth, and it says how they go on. No number is ever put there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import NamedTuple

from moralfit.chat import Chat
from moralfit.errors import ModelError
from moralfit.models import Messages
from moralfit.pricing._agents import Decision, View
from moralfit.pricing._market import LogitMarket
from moralfit.pricing._prompt import MARK, Prompt, Style, bounded_note, completion, fitted, opening
from moralfit.pricing._reading import Answer, read_reply

#: Between the replies of one period in a record, where a firm was asked again. Words that a model was given to go on from stand
#: in square brackets.
AGAIN = "\n\n=== asked again ===\n\n"
#: Tokens kept free for notes that grow when they are joined with the rest of a prompt.
_SLACK = 16


class _Attempt(NamedTuple):
    """What was said, as records have it, and what was read of it."""

    text: str
    answer: Answer


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
        completer: What says how answers without a price go on: the same model with short replies. None lets a firm begin its
            answers itself, and anew where it is asked again.
        reply_tokens: Where the chat cuts a reply off, so that half a number is not taken for a price; None if it does not.
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
    completer: Chat | None = None
    reply_tokens: int | None = None

    def decide(self, views: Sequence[View]) -> list[Decision]:
        """One decision for each view. Who never names a valid price keeps its last one, see :func:`last_price`."""
        attempts: list[list[_Attempt]] = [[] for _ in views]
        prompts = [self.prompt(view) for view in views]
        asked = list(range(len(views)))
        for attempt in range(self.retries + 1):
            if attempt:
                asked = [p for p in asked if attempts[p][-1].answer.price is None]
                if not asked:
                    break
                # The first completion is a new question, even to a model that repeats itself.
                if not self.draws and (attempt > 1 or self.completer is None):
                    for p in asked:
                        prompts[p] = self.prompt(views[p], _told(attempt, attempts[p][-1].answer))
            seeds = [f"{views[p].seed}/attempt-{attempt}" for p in asked]
            begun = [self._begun(views[p], attempts[p]) for p in asked]
            chat = self.completer if attempt and self.completer is not None else self.chat
            conversations = [self._messages(prompts[p].text, words) for p, words in zip(asked, begun, strict=True)]
            for reply in chat.replies(conversations, seeds, MARK):
                view, words = views[asked[reply.position]], begun[reply.position]
                attempts[asked[reply.position]].append(self._read(words, reply.text, view.ceiling))
        return [self._decision(*found) for found in zip(views, prompts, attempts, strict=True)]

    def _begun(self, view: View, attempts: Sequence[_Attempt]) -> str:
        """What the next reply goes on from; nothing if the firm answers on its own."""
        if self.completer is None:
            return ""
        return completion(*self._notes(view, attempts)) if attempts else opening(self.style)

    def _read(self, begun: str, said: str, ceiling: float) -> _Attempt:
        # Notes above the line that was begun have been read before.
        line = begun.rpartition("\n")[2]
        answer = read_reply(f"{line}{'' if line.endswith('$') else ' '}{said}" if begun else said, ceiling)
        if answer.price is not None and said[-1:].isdecimal() and self._cut_off(said):
            answer = replace(answer, price=None, problem="it ended in the middle of a number")
        return _Attempt(f"[{begun}] {said}" if begun else said, answer)

    def _cut_off(self, said: str) -> bool:
        """Whether a reply is as long as one may be, or nearly: a text need not be encoded as it was written."""
        if self.reply_tokens is None:
            return False
        return self.count_tokens(said) - self.count_tokens("") >= self.reply_tokens - 1

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

    def _messages(self, text: str, begun: str = "") -> Messages:
        before = [] if self.system is None else [{"role": "system", "content": self.system}]
        after = [{"role": "assistant", "content": begun}] if begun else []
        return [*before, {"role": "user", "content": text}, *after]

    def _notes(self, view: View, attempts: Sequence[_Attempt]) -> tuple[str, str]:
        """The notes as they stand: those that the last attempt to write any left, else the firm's old ones."""

        def latest(found: Sequence[str | None], old: str) -> str:
            written = next((note for note in reversed(found) if note is not None), None)
            return old if written is None else bounded_note(written, self.note_tokens, self.count_tokens)

        answers = [attempt.answer for attempt in attempts]
        plans = latest([answer.plans for answer in answers], view.notes[0])
        return plans, latest([answer.insights for answer in answers], view.notes[1])

    def _decision(self, view: View, prompt: Prompt, attempts: Sequence[_Attempt]) -> Decision:
        price = attempts[-1].answer.price
        plans, insights = self._notes(view, attempts)
        retries = len(attempts) - 1
        return Decision(
            price=last_price(view) if price is None else price,
            status="fallback" if price is None else "retried" if retries else "answered",
            retries=retries,
            reply=AGAIN.join(attempt.text for attempt in attempts),
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
