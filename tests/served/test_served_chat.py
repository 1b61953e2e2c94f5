"""Chats over HTTP: what is sent, what happens when the server stumbles, and that nothing is asked twice."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from math import exp, log
from pathlib import Path
from typing import Any

import pytest
from fake_server import Fake, cut_off, half_closed, reset, running, silent, slow, status, text
from hypothesis import given
from hypothesis import strategies as st

from moralfit.chat import Line, Reply
from moralfit.errors import RecipeError, ServerError
from moralfit.recipe import ServeSection, split_serve
from moralfit.served import KEY, Endpoint, Journal, ServedChat, Usage, resolve, shown
from moralfit.served._chat import _until_finished
from moralfit.served._endpoint import _after
from moralfit.served._options import read_line

SECRET = "mf-0123456789-do-not-tell"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, SECRET)


@pytest.fixture
def fake() -> Iterator[Fake]:
    with running(Fake()) as server:
        yield server


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once, for tests of what is tried again and not of when."""
    monkeypatch.setattr("moralfit.served._endpoint._FIRST_WAIT", 0.01)


def endpoint(fake: Fake, said: list[str] | None = None, **section: Any) -> Endpoint:
    values = {"endpoint": fake.url, "concurrency": 4, "timeout": 5.0, "patience": 5.0, **section}
    return Endpoint(ServeSection(**values), (lambda line: None) if said is None else said.append)


def chat(fake: Fake, said: list[str] | None = None, journal: Journal | None = None, **section: Any) -> ServedChat:
    return ServedChat(endpoint(fake, said, **section), "base-model", journal=journal or Journal())


def asked(*texts: str) -> tuple[list[Any], list[str]]:
    return [[{"role": "user", "content": each}] for each in texts], [f"seed/{each}" for each in texts]


def texts(replies: Iterator[Reply]) -> dict[int, str]:
    return {reply.position: reply.text for reply in replies}


class TestReplies:
    def test_come_as_they_are_ready_and_only_so_many_at_once(self, fake: Fake) -> None:
        fake.seconds = 0.05
        fake.script = [slow(0.6)]
        found = list(chat(fake, concurrency=3).replies(*asked(*"abcdefgh")))
        assert {reply.position: reply.text for reply in found} == {n: f"said to {c}" for n, c in enumerate("abcdefgh")}
        assert fake.most == 3
        late = fake.asked()[0]
        assert found[-1].text == f"said to {late}", "the slow one comes last"

    def test_greedy_requests_carry_no_seed(self, fake: Fake) -> None:
        player = ServedChat(endpoint(fake), "base-model", preamble="Be kind.", max_new_tokens=7)
        list(player.replies(*asked("a")))
        (body,) = fake.requests
        assert body == {
            "model": "base-model",
            "messages": [{"role": "user", "content": "Be kind.\n\na"}],
            "temperature": 0.0,
            "max_tokens": 7,
        }
        assert fake.headers[0]["authorization"] == f"Bearer {SECRET}"

    def test_drawn_replies_are_seeded_by_their_own_seed(self, fake: Fake) -> None:
        player = ServedChat(endpoint(fake, extra={"top_p": 0.5}), "base-model", temperature=0.7)
        list(player.replies(*asked("a", "b")))
        list(ServedChat(endpoint(fake), "base-model", temperature=0.7).replies(*asked("a")))
        by_text: dict[str, list[int]] = {}
        for body in fake.requests:
            by_text.setdefault(body["messages"][-1]["content"], []).append(body["seed"])
        assert len(by_text["a"]) == 2
        assert len({*by_text["a"]}) == 1
        assert by_text["a"][0] != by_text["b"][0]
        assert all(0 <= body["seed"] < 2**31 for body in fake.requests)
        assert [body.get("top_p") for body in fake.requests] == [0.5, 0.5, None]

    def test_nobody_asked(self, fake: Fake) -> None:
        assert list(chat(fake).replies([], [])) == []

    def test_what_follows_the_answer_line_is_cut_off(self, fake: Fake) -> None:
        fake.answer = lambda body: "I think.\nAnswer: path\n\nUser: and now?\nAnswer: fence"
        assert texts(chat(fake).replies(*asked("a"), "Answer:")) == {0: "I think.\nAnswer: path"}
        assert "fence" in texts(chat(fake).replies(*asked("a")))[0]

    def test_leaving_early_stops_asking(self, fake: Fake) -> None:
        fake.seconds = 0.05
        replies = chat(fake, concurrency=2).replies(*asked(*(str(n) for n in range(50))))
        next(replies)
        replies.close()  # type: ignore[attr-defined]
        time.sleep(0.3)
        assert len(fake.requests) <= 5

    def test_what_reads_a_reply_may_fail(self, fake: Fake) -> None:
        def line(position: int, reply: str) -> Line:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            list(chat(fake).replies(*asked("a"), "Answer:", line))

    @given(st.text(alphabet="A: \nx", max_size=30))
    def test_ends_where_a_local_model_would_stop(self, whole: str) -> None:
        """Character by character, as `chat._finished` looks at what was generated so far."""
        said = whole
        for end in range(1, len(whole) + 1):
            _, marked, after = f"\n{whole[:end]}".rpartition("\nA:")
            if marked and "\n" in after.lstrip():
                said = whole[:end]
                break
        assert _until_finished(whole, "A:").strip() == said.strip()


class TestStumbling:
    """A server that fails at first and then answers: one reply, with as many requests as it took."""

    @pytest.mark.parametrize(
        ("deed", "reported"),
        [
            (status(500, "boom"), "status 500"),
            (status(503, {"error": {"message": "model is loading"}}), r"status 503 \(model is loading\)"),
            (status(429, {"error": {"message": "slow down"}}), "status 429"),
            (half_closed, "connection lost or refused"),
            (cut_off, "connection lost or refused"),
            (reset, "connection lost or refused"),
            (text("{not JSON"), "not JSON"),
            (text("<html>Bad gateway</html>", "text/html"), "no chat completion"),
            (text('{"choices": []}'), "no chat completion"),
            (text('{"choices": [{"message": {"content": [1]}}]}'), "other than text"),
        ],
    )
    def test_once(self, fake: Fake, deed: Any, reported: str, hurried: None) -> None:
        said: list[str] = []
        fake.script = [deed]
        assert texts(chat(fake, said).replies(*asked("a"))) == {0: "said to a"}
        assert len(fake.requests) == 2
        assert len(said) == 1
        assert re.search(reported, said[0])
        assert "trying again for up to 5 s" in said[0]

    def test_timeout(self, fake: Fake) -> None:
        said: list[str] = []
        fake.script = [slow(1.5)]
        assert texts(chat(fake, said, timeout=0.3).replies(*asked("a"))) == {0: "said to a"}
        assert len(fake.requests) == 2
        assert "no answer within 0.3 s" in said[0]

    def test_waits_as_long_as_it_is_asked_to(self, fake: Fake) -> None:
        fake.script = [status(429, "", Retry_After="1")]
        list(chat(fake).replies(*asked("a")))
        assert 1.0 <= fake.times[1] - fake.times[0] < 3

    def test_backs_off_further_each_time(self, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("moralfit.served._endpoint.random", lambda: 0.5)
        waits: list[float] = []
        fake.script = [status(500)] * 3
        body = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
        answer = endpoint(fake, patience=60.0).ask(body, 5, lambda seconds: bool(waits.append(seconds)))
        assert (answer.text, len(fake.requests)) == ("said to a", 4)
        assert waits == [0.375, 0.75, 1.5]

    def test_jitter(self, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
        waits: list[float] = []
        server = endpoint(fake)
        for share in (0.0, 1.0):
            monkeypatch.setattr("moralfit.served._endpoint.random", lambda share=share: share)
            fake.script = [status(500)]
            server.ask({"model": "m", "messages": [{"role": "user", "content": "a"}]}, 5, lambda s: bool(waits.append(s)))
        assert waits == [0.25, 0.5]

    def test_gives_up_after_a_while(self, fake: Fake) -> None:
        fake.script = [status(500, "boom")] * 99
        start = time.monotonic()
        with pytest.raises(ServerError, match=r"status 500 .*asked for base-model.*gave up after \d+ tries.*go on"):
            list(chat(fake, patience=0.8).replies(*asked("a")))
        assert 0.5 < time.monotonic() - start < 4
        assert 2 <= len(fake.requests) <= 5

    def test_does_not_wait_longer_than_it_may(self, fake: Fake) -> None:
        fake.script = [status(429, "", Retry_After="3600")]
        with pytest.raises(ServerError, match=r"asks to wait 3600 s more.*raise serve\.patience"):
            list(chat(fake).replies(*asked("a")))
        assert len(fake.requests) == 1

    def test_nonsense_is_taken_for_a_wrong_address_soon(self, fake: Fake, hurried: None) -> None:
        fake.script = [text("<html>Welcome</html>", "text/html")] * 99
        with pytest.raises(ServerError, match=r"no chat completion \(<html>Welcome</html>\).*3 tries"):
            list(chat(fake, patience=60.0).replies(*asked("a")))

    def test_nobody_there(self, fake: Fake) -> None:
        with running(Fake()) as gone:
            pass
        said: list[str] = []
        with pytest.raises(ServerError, match="connection lost or refused"):
            list(chat(gone, said, patience=0.6).replies(*asked("a", "b")))
        assert len(said) == 1, "said once, not by each of those who ask"
        with pytest.raises(ServerError, match="asked for its models"):
            endpoint(gone, patience=0.0).listed()

    def test_a_server_that_comes_back(self) -> None:
        with running(Fake()) as first:
            port = int(first.url.split(":")[2].split("/")[0])
        later = Fake()
        stop = threading.Event()

        def restart() -> None:
            time.sleep(0.7)
            with running(later, port):
                stop.wait(20)

        thread = threading.Thread(target=restart)
        thread.start()
        try:
            assert texts(chat(first, patience=20.0).replies(*asked("a"))) == {0: "said to a"}
        finally:
            stop.set()
            thread.join()

    @pytest.mark.parametrize(
        ("stated", "low", "high"),
        [
            ("3", 3, 3),
            ("0.5", 0.5, 0.5),
            ("in 90 seconds", 80, 91),
            ("soon", None, None),
            ("-1", None, None),
            ("Wed, 21 Oct 2015 07:28:00 GMT", None, None),
        ],
    )
    def test_retry_after(self, stated: str, low: float | None, high: float | None) -> None:
        if stated == "in 90 seconds":
            # Here, for the clock goes on between collecting tests and running them.
            stated = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
        found = _after({"retry-after": stated})
        assert found is low if low is None or high is None else found is not None and low <= found <= high
        assert _after({}) is None


class TestRefusals:
    """What trying again would not mend is said at once, and never with the key."""

    @pytest.mark.parametrize(
        ("deed", "match"),
        [
            (status(401, {"error": {"message": f"Incorrect key {SECRET}"}}), rf"refuses the key .*\(status 401\).*{KEY}"),
            (status(403, "no"), "status 403"),
            (status(400, {"error": {"message": "context is 4096 tokens"}}), "status 400.*context is 4096 tokens"),
            (status(422, {"detail": [{"loc": ["seed"]}]}), r"status 422.*\[\{\"loc\": \[\"seed\"\]\}\]"),
            (
                status(429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}),
                "status 429.*exceeded your quota",
            ),
            (status(404, f"key {SECRET} and hf_{'a' * 30}"), r"status 404.*key \[secret\] and \[secret\].*serves base-model"),
        ],
    )
    def test_at_once(self, fake: Fake, deed: Any, match: str) -> None:
        fake.script = [deed] * 99
        player = chat(fake)
        with pytest.raises(ServerError, match=match) as caught:
            list(player.replies(*asked("a")))
        assert len(fake.requests) == 1
        for shown_somewhere in (str(caught.value), repr(caught.value), repr(player), repr(player.endpoint)):
            assert SECRET not in shown_somewhere

    def test_without_a_key(self, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(KEY)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai-alone-0123456789")
        fake.script = [status(401)]
        with pytest.raises(ServerError, match=rf"wants a key \(status 401\).*{KEY}"):
            list(chat(fake).replies(*asked("a")))
        assert "openai" not in fake.headers[0]["authorization"]

    def test_key_of_openai_goes_to_openai(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(KEY)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai-alone-0123456789")
        assert Endpoint(ServeSection(endpoint="https://api.openai.com/v1"))._client.api_key.startswith("sk-for")

    @pytest.mark.parametrize(
        ("address", "warned"), [("http://gpu-box:8000/v1", 1), ("https://gpu-box/v1", 0), ("http://localhost:1/v1", 0)]
    )
    def test_a_key_that_travels_openly(self, address: str, warned: int) -> None:
        said: list[str] = []
        Endpoint(ServeSection(endpoint=address), said.append)
        assert [("unencrypted" in line, SECRET in line) for line in said] == [(True, False)] * warned

    def test_newer_name_of_the_limit(self, fake: Fake) -> None:
        message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
        fake.script = [status(400, {"error": {"message": message}})]
        player = chat(fake, concurrency=1)
        assert texts(player.replies(*asked("a", "b"))) == {0: "said to a", 1: "said to b"}
        assert ["max_completion_tokens" in body for body in fake.requests] == [False, True, True]

    @pytest.mark.parametrize(
        ("override", "match"),
        [
            ("serve.endpoint=localhost:8000", r"serve\.endpoint: must be an address such as"),
            ("serve.endpoint=http://me@host/v1", "neither user nor password"),
            ("serve.endpoint=https://host/v1?api_key=abc", "neither user nor password nor parameters"),
            ("serve.api_key=abc", "a secret does not belong in a recipe"),
            ("serve.extra={temperature: 1}", r"serve\.extra: temperature is set by what is played"),
            ("serve.names={tuned: x}", "'tuned' must be base, or base:ADAPTER"),
            ("serve.prompt_price=1", "give both"),
            ("serve.concurency=3", "did you mean 'concurrency'"),
        ],
    )
    def test_sections(self, override: str, match: str) -> None:
        with pytest.raises(RecipeError, match=match):
            split_serve([override])


class TestUnknownModels:
    """Servers that have status 500 for a model that they do not have, as for errors that pass."""

    NOWHERE = "base-model is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'"

    def loads(self, *problems: str | None) -> Any:
        """What `transformers serve` tells of attempts to load a model, one after the other, the last one for ever."""
        left = list(problems)

        def events(model: str) -> list[dict[str, Any]]:
            problem = left.pop(0) if len(left) > 1 else left[0]
            head = {"status": "loading", "model": f"{model}@main", "stage": "processor"}
            last = {"status": "ready", "model": f"{model}@main", "cached": False}
            return [head, last if problem is None else {"status": "error", "model": f"{model}@main", "message": problem}]

        return events

    @pytest.mark.parametrize("models", [None, [{"id": "other"}]])
    def test_a_server_that_says_why_only_when_asked(self, fake: Fake, models: Any) -> None:
        fake.script, fake.loads, fake.models = [silent] * 99, self.loads(f"{self.NOWHERE}\nkey {SECRET}"), models
        start = time.monotonic()
        served = r"It serves other; serve\.names" if models else r"; serve\.names says which model is meant"
        with pytest.raises(
            ServerError, match=rf"cannot load the model \(.*valid model id.*base-model\).*3 tries.*{served}"
        ) as e:
            list(chat(fake, patience=60.0).replies(*asked("a")))
        assert time.monotonic() - start < 10
        assert (len(fake.requests), fake.loaded) == (3, ["base-model"] * 3)
        assert SECRET not in str(e.value)

    def test_many_at_once_ask_together(self, fake: Fake) -> None:
        events = self.loads(self.NOWHERE)
        fake.script, fake.loads = [silent] * 99, lambda model: time.sleep(0.2) or events(model)
        with pytest.raises(ServerError, match="gave up after 3 tries"):
            list(chat(fake, patience=60.0, concurrency=16).replies(*asked(*map(str, range(16)))))
        # Of 48 failures.
        assert len(fake.loaded) < 20

    def test_an_attempt_that_fails_once_is_none(self, fake: Fake) -> None:
        fake.script, fake.loads = [silent] * 2, self.loads("connection reset by the Hub", None)
        assert texts(chat(fake).replies(*asked("a"))) == {0: "said to a"}
        fake.script, fake.loads = [silent] * 4, self.loads(None)
        said: list[str] = []
        assert texts(chat(fake, said, patience=30.0).replies(*asked("a"))) == {0: "said to a"}
        assert "status 500 (Internal Server Error); trying again" in said[0]

    def test_a_model_that_answered_is_there(self, fake: Fake) -> None:
        player = chat(fake, patience=30.0, concurrency=1)
        assert texts(player.replies(*asked("a"))) == {0: "said to a"}
        unknown = status(500, {"error": {"message": "The model 'base-model' does not exist"}})
        fake.script, fake.loads = [silent, silent, silent, unknown], self.loads(self.NOWHERE)
        assert texts(player.replies(*asked("b"))) == {0: "said to b"}
        assert fake.loaded == []

    @pytest.mark.parametrize(
        "body",
        [
            {"error": {"message": "The model `base-model` does not exist", "code": "model_not_found"}},
            {"error": {"message": "upstream", "code": "model_not_found"}},
            {"error": {"message": 'model "base-model" not found, try pulling it first'}},
            {"detail": "401 Client Error. Repository Not Found for url: https://huggingface.co/api/models/base-model"},
            {"error": NOWHERE},
            "Unknown model base-model",
        ],
    )
    def test_a_server_that_says_so(self, fake: Fake, body: Any) -> None:
        fake.script = [status(500, body)] * 99
        with pytest.raises(ServerError, match=r"refuses the request for base-model \(status 500\).*serves base-model"):
            list(chat(fake, patience=60.0).replies(*asked("a")))
        assert len(fake.requests) == 1

    @pytest.mark.parametrize(
        "body",
        [
            "Internal Server Error",
            {"error": {"message": "the model is loading, workers not ready"}},
            {"error": {"message": "CUDA out of memory", "type": "internal_error", "code": 500}},
        ],
    )
    def test_what_may_pass(self, fake: Fake, body: Any) -> None:
        fake.script = [status(500, body)] * 4
        assert texts(chat(fake, patience=30.0).replies(*asked("a"))) == {0: "said to a"}


class TestJournal:
    def test_goes_on_after_an_error(self, fake: Fake, tmp_path: Path) -> None:
        path = tmp_path / "new" / "served.jsonl"
        fake.script = [*[slow(0)] * 3, status(400, "no")]
        with pytest.raises(ServerError):
            list(chat(fake, journal=Journal(path), concurrency=1).replies(*asked(*"abcdef")))
        assert SECRET not in path.read_text()
        fake.requests.clear()
        journal = Journal(path)
        found = texts(chat(fake, journal=journal).replies(*asked(*"abcdef")))
        assert found == {n: f"said to {c}" for n, c in enumerate("abcdef")}
        assert sorted(fake.asked()) == ["d", "e", "f"]
        fake.requests.clear()
        list(chat(fake, journal=Journal(path)).replies(*asked(*"abcdef")))
        assert fake.requests == []
        # Each prompt is one word, of which the server counts one token, and three for the reply.
        assert Journal(path).usage() == Usage(6, 6, 18) == journal.usage("base-model")

    def test_anew_replaces_nothing_before_it_begins(self, fake: Fake, tmp_path: Path) -> None:
        path = tmp_path / "served.jsonl"
        list(chat(fake, journal=Journal(path)).replies(*asked("a", "b")))
        before = path.read_bytes()
        journal = Journal(path, anew=True)
        assert (journal.usage(), journal.models()) == (Usage(), [])
        list(chat(fake, journal=journal).replies(*asked("a")))
        assert path.read_bytes() == before
        assert journal.usage().requests == 1
        journal.begin()
        assert Journal(path).usage().requests == 1
        list(chat(fake, journal=journal).replies(*asked("c")))
        journal.begin()
        assert Journal(path).usage().requests == 2
        fake.requests.clear()
        assert texts(chat(fake, journal=Journal(path)).replies(*asked("a", "c"))) == {0: "said to a", 1: "said to c"}
        assert fake.requests == []

    def test_answers_under_way_are_kept_when_another_fails(self, fake: Fake, tmp_path: Path) -> None:
        fake.script = [slow(0.5), slow(0.5), status(400, "no")]
        journal = Journal(tmp_path / "served.jsonl")
        with pytest.raises(ServerError):
            list(chat(fake, journal=journal, concurrency=3).replies(*asked(*"abcdef")))
        assert Journal(tmp_path / "served.jsonl").usage().requests == 2

    def test_a_line_that_was_cut_off_is_asked_again(self, fake: Fake, tmp_path: Path) -> None:
        path = tmp_path / "served.jsonl"
        list(chat(fake, journal=Journal(path), concurrency=1).replies(*asked("a", "b")))
        path.write_bytes(path.read_bytes()[:-20])
        fake.requests.clear()
        assert texts(chat(fake, journal=Journal(path)).replies(*asked("a", "b"))) == {0: "said to a", 1: "said to b"}
        assert fake.asked() == ["b"]
        assert Journal(path).usage().requests == 2
        assert [bool(line) for line in path.read_bytes().split(b"\n")] == [True, True, True, False]

    @pytest.mark.parametrize(
        "change",
        [{"model": "other"}, {"preamble": "p"}, {"max_new_tokens": 9}, {"temperature": 1.0}, {"identity": "retrained"}],
    )
    def test_another_model_is_asked_itself(self, fake: Fake, change: dict[str, Any]) -> None:
        journal, server = Journal(), endpoint(fake)
        list(ServedChat(server, "base-model", journal=journal).replies(*asked("a")))
        list(ServedChat(server, **{"model": "base-model", "journal": journal, **change}).replies(*asked("a")))
        assert len(fake.requests) == 2

    def test_folders_of_this_machine_are_not_written(self, fake: Fake, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "served.jsonl")
        list(ServedChat(endpoint(fake), "/home/someone/adapter", journal=journal).replies(*asked("a")))
        assert fake.requests[0]["model"] == "/home/someone/adapter"
        assert "someone" not in (tmp_path / "served.jsonl").read_text()
        assert (shown("/home/someone/adapter"), shown("user/name")) == ("adapter", "user/name")


LINE = Line("Answer:", [("path", "fence")] * 2, [1, 0])


class TestProbabilities:
    def test_each_choice_after_the_ones_before(self, fake: Fake) -> None:
        spread = {"Answer:": [(" path", 0.6), (" fence", 0.2), (" x", 0.2)], "Answer: fence,": [(" fe", 0.05), (" path", 0.15)]}
        fake.following = lambda body: [(token, log(p)) for token, p in spread[body["messages"][-1]["content"]]]
        (reply,) = chat(fake).replies(*asked("a"), "Answer:", lambda position, reply: LINE)
        assert reply.probabilities == [pytest.approx([0.75, 0.25]), pytest.approx([0.75, 0.25])]
        assert reply.text == "said to a"
        first, *others = fake.requests
        assert [body["messages"][-1]["role"] for body in others] == ["assistant"] * 2
        assert all(body["max_tokens"] == 1 and body["top_logprobs"] == 20 for body in others)
        assert all(body["continue_final_message"] and not body["add_generation_prompt"] for body in others)
        assert "logprobs" not in first

    @pytest.mark.parametrize("deed", [None, status(400, "Unrecognized request argument: continue_final_message")])
    def test_a_server_without_is_told_of_once(self, fake: Fake, deed: Any) -> None:
        said: list[str] = []
        player = chat(fake, said, concurrency=1)
        fake.script = [] if deed is None else [slow(0), deed]
        found = list(player.replies(*asked(*"abc"), "Answer:", lambda position, reply: LINE))
        assert [reply.probabilities for reply in found] == [None] * 3
        assert len(said) == 1
        assert "option probabilities are left out" in said[0]
        assert len(fake.requests) == 4, "asked once, and never again"

    def test_kept_with_the_replies(self, fake: Fake) -> None:
        fake.following = lambda body: [(" path", log(0.5)), (" fence", log(0.5))]
        journal = Journal()
        for _ in range(2):
            (reply,) = chat(fake, journal=journal).replies(*asked("a"), "Answer:", lambda position, reply: LINE)
            assert reply.probabilities == [[0.5, 0.5]] * 2
        assert len(fake.requests) == 3
        assert journal.usage().requests == 3

    @pytest.mark.parametrize(
        ("options", "listed", "expected"),
        [
            (("path", "fence"), [(" p", 0.3), (" path", 0.3), (" fence", 0.2)], [0.75, 0.25]),
            (("path", "fence"), [(" path", 0.999), (" x", 0.0005)], [1.0, 0.0]),
            (("path", "fence"), [(" path", 0.5), (" x", 0.4)], None),
            (("path", "fence"), [("path", 0.5), (" x", 0.4)], None),
            (("path", "fence"), [("\u0120path", 0.5), ("\u2581fence", 0.5)], [0.5, 0.5]),
            (("A", "B", "C"), [(" A", 0.5), (" B", 0.25), (" C", 0.25)], [0.5, 0.25, 0.25]),
        ],
    )
    def test_alternatives_as_text(self, options: Any, listed: Any, expected: Any) -> None:
        found = read_line(Line("Answer:", [options], [0]), lambda begun: [(token, log(p)) for token, p in listed])
        assert found == (None if expected is None else [pytest.approx(expected)])

    @pytest.mark.parametrize("end", ["<|im_end|>", "", "\n"])
    def test_options_that_begin_alike_are_followed(self, end: str) -> None:
        spread = {
            "Answer:": [(" left", 0.5), (" right", 0.25), (" ", 0.001)],
            "Answer: left": [(" field", 0.2), (" gate", 0.3), (end, 0.5)],
        }
        line = Line("Answer:", [("left field", "left gate", "left", "right")], [0])
        asked: list[str] = []

        def following(begun: str) -> Any:
            asked.append(begun)
            return [(token, log(p)) for token, p in spread[begun]]

        found = read_line(line, following)
        assert found == [pytest.approx([2 / 15, 3 / 15, 5 / 15, 5 / 15], rel=2e-3)]
        assert asked == ["Answer:", "Answer: left"]

    def test_a_bare_space_belongs_to_who_is_spelled_with_it(self) -> None:
        spread = {"Answer:": [(" h", 0.5), (" ", 0.25)], "Answer: ": [("la", 0.9), ("x", 0.1)]}
        found = read_line(Line("Answer:", [("hedge", "lawn")], [0]), lambda begun: [(t, log(p)) for t, p in spread[begun]])
        assert found == [pytest.approx([2 / 3, 1 / 3])]
        # Where both are met without it, what it leads to may stay unknown; where one is not, nothing can be told.
        spread = {"Answer:": [(" h", 0.5), (" l", 0.25), (" ", 0.25)], "Answer: ": [("x", 1.0)]}
        found = read_line(Line("Answer:", [("hedge", "lawn")], [0]), lambda begun: [(t, log(p)) for t, p in spread[begun]])
        assert found == [pytest.approx([2 / 3, 1 / 3])]
        spread["Answer:"] = [(" h", 0.5), (" ", 0.25)]
        found = read_line(Line("Answer:", [("hedge", "lawn")], [0]), lambda begun: [(t, log(p)) for t, p in spread[begun]])
        assert found is None

    def test_against_a_model_of_letters(self) -> None:
        """Options spelled letter by letter by a random model: the same as multiplying what parts them."""
        rng = random.Random(1)
        words = ["able", "abut", "acid", "bold"]
        letters = "abcdefghijklmnopqrstuvwxyz ,"
        weights: dict[str, dict[str, float]] = {}

        def spread(begun: str) -> dict[str, float]:
            if begun not in weights:
                drawn = [rng.random() for _ in letters]
                weights[begun] = {letter: value / sum(drawn) for letter, value in zip(letters, drawn, strict=True)}
            return weights[begun]

        found = read_line(Line("Answer:", [words], [0]), lambda begun: [(c, log(p)) for c, p in spread(begun).items()])
        expected = []
        for word in words:
            share = 1.0
            begun = "Answer: "
            for place, letter in enumerate(word):
                alive = {other[place] for other in words if other[:place] == word[:place]}
                share *= spread(begun)[letter] / sum(spread(begun)[other] for other in alive)
                begun += letter
            expected.append(share)
        assert found is not None
        assert found[0] == pytest.approx(expected, rel=1e-9)
        assert exp(0) == pytest.approx(sum(found[0]))


class TestNames:
    CARDS = ({"id": "Qwen/Q"}, {"id": "moralis", "parent": "Qwen/Q"}, {"id": "Qwen/Q:kind"}, {"id": "lost", "parent": "other"})

    @pytest.mark.parametrize(
        ("adapter", "names", "expected"),
        [
            (None, {}, "Qwen/Q"),
            ("moralis", {}, "moralis"),
            ("kind", {}, "Qwen/Q:kind"),
            ("moralis", {"base:moralis": "anything"}, "anything"),
            (None, {"base": "smollm2:135m"}, "smollm2:135m"),
        ],
    )
    def test_resolved(self, adapter: str | None, names: dict[str, str], expected: str) -> None:
        assert resolve(ServeSection(endpoint="http://h/v1", names=names), "Qwen/Q", adapter, self.CARDS) == expected

    def test_without_a_list(self) -> None:
        section = ServeSection(endpoint="http://h/v1")
        assert resolve(section, "Qwen/Q", None, None) == "Qwen/Q"
        assert resolve(section, "Qwen/Q", "a", None) == "Qwen/Q:a"

    def test_unknown(self) -> None:
        section = ServeSection(endpoint="http://h/v1")
        with pytest.raises(ServerError, match=r"no Qwen/Q:x or x, but Qwen/Q, moralis.*serve\.names=\{'base:x': 'Qwen/Q'\}"):
            resolve(section, "Qwen/Q", "x", self.CARDS)
        with pytest.raises(ServerError, match="lost is an adapter over other, not over Qwen/Q"):
            resolve(section, "Qwen/Q", "lost", self.CARDS)

    def test_lists_as_servers_give_them(self, fake: Fake) -> None:
        assert endpoint(fake).listed() == [{"id": "base-model"}]
        for models in (None, [], [{"name": "no id"}]):
            fake.models = models
            assert endpoint(fake).listed() is None


def test_journal_lines_are_json(fake: Fake, tmp_path: Path) -> None:
    fake.answer = lambda body: "half a character \ud83d and a\u2028line"
    path = tmp_path / "served.jsonl"
    list(chat(fake, journal=Journal(path)).replies(*asked("a")))
    (line,) = path.read_bytes().splitlines()
    assert json.loads(line)["usage"] == [1, 1, 3]
    assert Journal(path).usage().requests == 1
