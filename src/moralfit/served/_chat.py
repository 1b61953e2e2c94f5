"""A chat whose model runs on a server: many requests at once, kept as they are answered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic
from typing import Any

from moralfit.chat import Line, Reply
from moralfit.models import Messages
from moralfit.served._endpoint import Answer, Endpoint, RefusalError
from moralfit.served._journal import Journal, Usage
from moralfit.served._names import shown
from moralfit.served._options import read_line

#: How long to wait, once something has failed, for answers that are on their way and would be paid for again.
_GRACE = 30.0
#: Statuses of servers that do not know a field.
_UNKNOWN_FIELD = (400, 404, 405, 422, 501)
_NO_PROBABILITIES = "does not say how likely tokens are that follow a begun reply: option probabilities are left out"


@dataclass
class ServedChat:
    """A model that a server runs, by an OpenAI-compatible interface.

    Attributes:
        endpoint: Shared by all chats of an experiment. model: The server's name for the model.
        preamble: An instruction put before the last message of each conversation; None for none.
        max_new_tokens: Where a reply is cut off.
        temperature: Zero takes the most likely token, as far as the server's own settings let it; else each conversation goes
            with a number made from its seed, by which servers that honour it repeat themselves.
        journal: Keeps what was answered, so that it is not asked again. identity: What the model is, beside its name: an answer
            of another is not taken for its own.
    """

    endpoint: Endpoint
    model: str
    preamble: str | None = None
    max_new_tokens: int = 256
    temperature: float = 0.0
    journal: Journal = field(default_factory=Journal)
    identity: str = ""

    def replies(
        self,
        conversations: Sequence[Messages],
        seeds: Sequence[str],
        mark: str | None = None,
        line: Callable[[int, str], Line | None] | None = None,
    ) -> Iterator[Reply]:
        """As :meth:`moralfit.chat.Chat.replies`: `serve.concurrency` requests at once, each reply as soon as it is there.

        Raises:
            ServerError: The server refuses a request, or does not answer for `serve.patience` seconds.
        """
        given = list(zip(conversations, seeds, strict=True))
        positions: SimpleQueue[int] = SimpleQueue()
        results: SimpleQueue[Reply | Exception] = SimpleQueue()
        for position in range(len(given)):
            positions.put(position)
        stop = Event()

        def work() -> None:
            while not stop.is_set():
                try:
                    position = positions.get_nowait()
                except Empty:
                    return
                try:
                    results.put(self._reply(position, *given[position], mark, line, stop.wait))
                except Exception as error:
                    # It belongs to who asked, not to this thread.
                    results.put(error)
                    return

        # As daemons they do not keep a program from ending, however long an answer takes.
        threads = [Thread(target=work, daemon=True) for _ in range(min(self.endpoint.section.concurrency, len(given)))]
        for thread in threads:
            thread.start()
        try:
            for _ in given:
                result = results.get()
                if isinstance(result, Exception):
                    stop.set()
                    _join(threads)
                    raise result
                yield result
        finally:
            stop.set()

    def _reply(
        self,
        position: int,
        messages: Messages,
        seed: str,
        mark: str | None,
        line: Callable[[int, str], Line | None] | None,
        wait: Callable[[float], bool],
    ) -> Reply:
        begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        fields: dict[str, Any] = {"model": self.model, "temperature": self.temperature}
        fields |= _begun(self._told(messages[:-1] if begun else messages), begun)
        if self.temperature:
            # Only where chance plays a part: some servers refuse seeds.
            fields["seed"] = int.from_bytes(sha256(seed.encode()).digest()[:4], "big") >> 1
        asked = {**fields, "model": shown(self.model)}, self.identity, self.max_new_tokens, self.endpoint.section.extra
        key = Journal.key("reply", *asked)
        text = self._kept(key, lambda: self.endpoint.ask(fields, self.max_new_tokens, wait), lambda answer: answer.text)
        text = _until_finished(text, mark, begun).strip()
        wanted = None if line is None else line(position, text)
        if wanted is None or self.endpoint.offers_probabilities is False:
            return Reply(position, text)
        told = fields["messages"][:-1] if begun else fields["messages"]
        return Reply(position, text, read_line(wanted, lambda said: self._following(told, asked, begun + said, wait)))

    def _following(
        self, messages: Messages, asked: Sequence[Any], begun: str, wait: Callable[[float], bool]
    ) -> list[tuple[str, float]] | None:
        """The most likely tokens after the beginning of a reply; None where the server does not offer them."""
        endpoint = self.endpoint
        if endpoint.offers_probabilities is False:
            return None
        body = {
            **_begun(messages, begun),
            "model": self.model,
            # Some servers scale by the temperature what they say of probabilities.
            "temperature": 1.0,
            "logprobs": True,
            "top_logprobs": endpoint.section.top_logprobs,
        }
        key = Journal.key("next", *asked, begun, endpoint.section.top_logprobs)
        try:
            found = self._kept(key, lambda: endpoint.ask(body, 1, wait), lambda answer: answer.first)
        except RefusalError as refusal:
            if refusal.status not in _UNKNOWN_FIELD:
                raise
            found = None
        if found is None:
            endpoint.offers_probabilities = False
            endpoint.say_once(f"{endpoint.url}: {_NO_PROBABILITIES}")
            return None
        endpoint.offers_probabilities = True
        return [(token, logarithm) for token, logarithm in found]

    def _kept(self, key: str, ask: Callable[[], Answer], value: Callable[[Answer], Any]) -> Any:
        """What the journal has, or else what the server answers, which it keeps."""
        found = self.journal.get(key)
        if found is None:
            answer = ask()
            found = value(answer)
            self.journal.add(key, found, shown(self.model), Usage(1, answer.prompt_tokens, answer.completion_tokens))
        return found

    def _told(self, messages: Messages) -> Messages:
        if self.preamble is None:
            return messages
        *before, last = messages
        return [*before, {"role": last["role"], "content": f"{self.preamble}\n\n{last['content']}"}]


def _begun(messages: Messages, begun: str) -> dict[str, Any]:
    """The fields of a request that say what was said so far, and what the reply is to go on from."""
    if not begun:
        return {"messages": messages}
    # These two are for vLLM and SGLang; llama.cpp and Ollama go on with a begun reply by themselves.
    whole = [*messages, {"role": "assistant", "content": begun}]
    return {"messages": whole, "continue_final_message": True, "add_generation_prompt": False}


def _until_finished(text: str, mark: str | None, begun: str = "") -> str:
    """The text up to the end of the first line that begins with `mark` and is followed by another: what a local model says.

    An answer that stands on the line below the mark is waited for.
    """
    if mark is None:
        return text
    whole = begun + text
    for found in re.finditer(rf"(?:^|\n){re.escape(mark)}", whole):
        after = whole[found.end() :]
        end = found.end() + after.find("\n", len(after) - len(after.lstrip()))
        if end >= max(found.end(), len(begun)):
            return whole[len(begun) : end]
    return text


def _join(threads: Sequence[Thread]) -> None:
    deadline = monotonic() + _GRACE
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
