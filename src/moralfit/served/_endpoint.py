"""One server: requests, and trying again where that may help. The key comes from the environment and is never written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import random
from threading import Lock
from time import monotonic, sleep
from typing import Any, TypeVar
from urllib.parse import urlsplit

from moralfit.credentials import without_secrets
from moralfit.errors import ServerError
from moralfit.models import first_line
from moralfit.recipe import ServeSection
from moralfit.served._unknown import load_address, load_problem, says_unknown

#: The environment variable with the key of whatever server is named; that of OpenAI's own client goes to OpenAI alone.
KEY = "MORALFIT_API_KEY"
_OPENAI_KEY, _OPENAI_HOST = "OPENAI_API_KEY", "api.openai.com"
#: Seconds between the first tries, doubled each time up to the longest; a part of each is random, so that clients spread.
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
#: Failures in a row that are unlikely to pass: answers that make no sense, after which the address is taken to be wrong, and
#: vain attempts to load a model, after which its name is.
_HOPELESS = 3
_TOO_BUSY = 429
#: Besides 5xx: the server took too long, was interrupted, or has too much to do.
_PASSING = (408, 409, 425, _TOO_BUSY)
_DENIED = (401, 403)
_FAILED = 500
_NEWER_LIMIT = "max_completion_tokens"
_SHOWN = 300

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What a server generated.

    Attributes:
        first: The most likely tokens in the place of the first one, each with the logarithm of its probability; None where the
            server does not say.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    first: list[tuple[str, float]] | None = None


class RefusalError(ServerError):
    """An error that trying again would not mend; `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _PassingError(Exception):
    """Worth another try, after so many seconds if the server says how many.

    Attributes:
        doubtful: Whether it is unlikely to pass, so that a few tries are enough. remedy: What to do if it does not.
    """

    def __init__(self, problem: str, after: float | None = None, doubtful: bool = False, remedy: str | None = None) -> None:
        super().__init__(problem)
        self.after, self.doubtful = after, doubtful
        self.remedy = remedy or "see to the server and run the same command again to go on, or raise serve.patience"


def _sleep(seconds: float) -> bool:
    sleep(seconds)
    return False


class Endpoint:
    """A server with an OpenAI-compatible interface; may be used by many threads at once.

    Attributes:
        section: Its address and how it is used. url: That address. offers_probabilities: Whether it says how likely tokens are;
            None until somebody asked.
    """

    def __init__(self, section: ServeSection, say: Callable[[str], None] = lambda text: None) -> None:
        from openai import OpenAI

        assert section.endpoint is not None
        self.section, self.url = section, section.endpoint
        self.offers_probabilities: bool | None = None
        self._say, self._said = say, set[str]()
        # Models that are known to be there; of others, when the server was last asked to load them, and why it could not.
        self._answered = set[str]()
        self._loading, self._loaded = Lock(), dict[str, tuple[float, str | None]]()
        self._token_limit = "max_tokens"
        key = os.environ.get(KEY)
        parts = urlsplit(self.url)
        if key is None and parts.hostname == _OPENAI_HOST:
            key = os.environ.get(_OPENAI_KEY)
        self._has_key = bool(key)
        if key and parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            self.say_once(f"{self.url}: the key in {KEY} travels unencrypted; use https where others can listen")
        # Trying again is done here: the client's own way is bounded by a number of tries, which a restart of a server outlasts.
        self._client = OpenAI(base_url=self.url, api_key=key or "none", timeout=section.timeout, max_retries=0)

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"

    def say_once(self, text: str) -> None:
        """Prints a line, unless it was printed before."""
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def listed(self, wait: Callable[[float], bool] = _sleep) -> list[Mapping[str, Any]] | None:
        """What the server says of its models, each with an `id`; None where it has no such list.

        Raises:
            ServerError: It cannot be reached, or refuses the key.
        """

        def fetch() -> Any:
            try:
                return self._client.get("/models", cast_to=object)
            except Exception as error:
                status = getattr(error, "status_code", None)
                # `transformers serve` fails at its list where its cache is empty; another try would not help.
                if status is None or status in (*_DENIED, *_PASSING):
                    raise
                return None

        data = self._persist(fetch, lambda data: data, "its models", wait)
        cards = data.get("data") if isinstance(data, dict) else None
        found: list[Mapping[str, Any]] = []
        if isinstance(cards, list):
            found = [card for card in cards if isinstance(card, dict) and isinstance(card.get("id"), str)]
        return found or None

    def ask(self, fields: Mapping[str, Any], max_tokens: int, wait: Callable[[float], bool]) -> Answer:
        """Sends a chat completion request until it is answered.

        Args:
            fields: Of the request. max_tokens: The most that may be generated.
            wait: Sleeps for so many seconds; True if nobody wants the answer any more.

        Raises:
            RefusalError: The server refuses the request. ServerError: It did not answer for `serve.patience` seconds, or says
                again and again that it cannot load the model.
        """
        answer = self._ask(fields, max_tokens, wait)
        self._answered.add(str(fields["model"]))
        return answer

    def _ask(self, fields: Mapping[str, Any], max_tokens: int, wait: Callable[[float], bool]) -> Answer:
        limit = self._token_limit

        def post() -> Any:
            body = {**self.section.extra, **fields, limit: max_tokens}
            return self._client.post("/chat/completions", body=body, cast_to=object)

        try:
            return self._persist(post, _read, str(fields["model"]), wait)
        except RefusalError as refusal:
            if limit == _NEWER_LIMIT or _NEWER_LIMIT not in str(refusal):
                raise
        # OpenAI's newer models want the limit by its newer name, which older servers do not know.
        self._token_limit = limit = _NEWER_LIMIT
        return self._persist(post, _read, str(fields["model"]), wait)

    def _persist(self, send: Callable[[], Any], read: Callable[[Any], T], model: str, wait: Callable[[float], bool]) -> T:
        """Tries until there is an answer, or until `patience` seconds have gone by since the first failure."""
        start, tries, doubtful = None, 0, 0
        while True:
            try:
                return read(self._attempt(send, model))
            except _PassingError as problem:
                now = monotonic()
                start = now if start is None else start
                tries, doubtful = tries + 1, doubtful + 1 if problem.doubtful else 0
                left = start + self.section.patience - now
                if left <= 0 or doubtful >= _HOPELESS or (problem.after or 0) > left:
                    asks = f", asks to wait {problem.after:.0f} s more" if problem.after else ""
                    raise ServerError(
                        f"{self.url}: {problem}{asks} (asked for {model}); gave up after {tries} "
                        f"{'try' if tries == 1 else 'tries'} in {now - start:.0f} s. What was answered is kept: "
                        f"{problem.remedy}"
                    ) from None
                self.say_once(f"{self.url}: {problem}; trying again for up to {self.section.patience:g} s")
                longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(tries - 1, 10))
                if wait(min(left, max(problem.after or 0, longest * (0.5 + 0.5 * random())))):
                    raise ServerError(f"{self.url}: no longer asked for") from None

    def _attempt(self, send: Callable[[], Any], model: str) -> Any:
        from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError

        try:
            return send()
        except APITimeoutError:
            raise _PassingError(f"no answer within {self.section.timeout:g} s") from None
        except APIConnectionError as error:
            cause = error.__cause__ or error
            raise _PassingError(f"connection lost or refused ({self._clean(first_line(_exception(cause)))})") from None
        except APIStatusError as error:
            status, message, code = error.status_code, self._message(error), getattr(error, "code", None)
            unknown = status == _FAILED and model not in self._answered and says_unknown(message, code)
            if (status in _PASSING or status >= 500) and code != "insufficient_quota" and not unknown:
                if status == _FAILED and (why := self._unloadable(model, message)):
                    remedy = f"see the server's log{self._known() or '; serve.names says which model is meant'}"
                    raise _PassingError(f"it cannot load the model ({why})", doubtful=True, remedy=remedy) from None
                said = f" ({message})" if message else ""
                raise _PassingError(f"status {status}{said}", _after(error.response.headers)) from None
            raise RefusalError(self._refusal(status, message, model), status) from None
        except (ValueError, OpenAIError) as error:
            raise _PassingError(f"answers what is not JSON ({self._clean(first_line(error))})", doubtful=True) from None

    def _unloadable(self, model: str, message: str) -> str | None:
        """Why a server cannot load a model that it failed at without a reason; None where that cannot be known."""
        from openai import OpenAIError

        address, failed = load_address(self.url, message), monotonic()
        if address is None or model in self._answered:
            return None
        # Many requests fail together: one attempt after all of them tells for all.
        with self._loading:
            when, why = self._loaded.get(model, (0.0, None))
            if when < failed:
                when = monotonic()
                try:
                    why = load_problem(str(self._client.post(address, body={"model": model}, cast_to=str)))
                except (OpenAIError, ValueError):
                    why = None
                self._loaded[model] = when, why
        return None if why is None else self._clean(" ".join(why.split()))[:_SHOWN]

    def _refusal(self, status: int, message: str, model: str) -> str:
        if status in _DENIED:
            # What it says of a key may repeat parts of it.
            given = "refuses the key that it was given" if self._has_key else "wants a key"
            return f"{self.url}: {given} (status {status}); put the right one into the environment variable {KEY}"
        known = self._known() if status in (404, _FAILED) else ""
        return f"{self.url}: refuses the request for {model} (status {status}): {message or 'no reason given'}{known}"

    def _known(self) -> str:
        """What the server serves, for the message to who asked for something else."""
        from openai import OpenAIError

        try:
            data = self._client.get("/models", cast_to=object)
            ids = [str(card["id"]) for card in data["data"]]  # type: ignore[index]
        except (OpenAIError, ValueError, TypeError, KeyError):
            return ""
        return f". It serves {', '.join(ids[:20])}; serve.names says which of them is meant" if ids else ""

    def _message(self, error: Any) -> str:
        """What the server says, in one short line: `error.message` where it is OpenAI's form, else as it comes."""
        body = error.body
        if isinstance(body, dict):
            inner = body.get("error", body)
            body = inner.get("message") or inner.get("detail") or inner if isinstance(inner, dict) else inner
        text = body if isinstance(body, str) else "" if body is None else json.dumps(body, ensure_ascii=False, default=str)
        return self._clean(" ".join(text.split()))[:_SHOWN]

    def _clean(self, text: str) -> str:
        key = self._client.api_key
        return without_secrets(text.replace(key, "[secret]") if self._has_key else text)


def _exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else Exception(str(error))


def _after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` asks to wait: a number, or a date (RFC 9110, section 10.2.3)."""
    stated = headers.get("retry-after")
    if stated is None:
        return None
    try:
        seconds = float(stated)
    except ValueError:
        try:
            date = parsedate_to_datetime(stated)
        except ValueError:
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return seconds if 0 < seconds < float("inf") else None


def _read(data: Any) -> Answer:
    """A chat completion; usage counts as zero where the server does not count."""
    try:
        choice = data["choices"][0]
        text = choice["message"].get("content") or ""
        usage = data.get("usage") or {}
        counts = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        first = None
        tokens = (choice.get("logprobs") or {}).get("content")
        if tokens:
            first = [(str(entry["token"]), float(entry["logprob"])) for entry in tokens[0].get("top_logprobs") or []]
    except (TypeError, KeyError, IndexError, AttributeError, ValueError):
        start = " ".join(str(data).split())[:80]
        raise _PassingError(f"answers what is no chat completion ({without_secrets(start)})", doubtful=True) from None
    if not isinstance(text, str):
        raise _PassingError("answers with something other than text", doubtful=True)
    return Answer(text, *counts, first or None)
