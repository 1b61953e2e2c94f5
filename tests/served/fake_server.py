"""A small HTTP server on loopback that speaks as much of the OpenAI-compatible interface as is in use, and fails on command."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: What is to happen to a request: see the functions below.
Deed = Callable[["_Handler", dict[str, Any]], None]
Body = dict[str, Any]


@dataclass
class Fake:
    """What the server is asked, and how it answers.

    Attributes:
        answer: The reply to a request. following: The most likely next tokens with their log probabilities after a begun reply;
            None for a server that offers none. script: What happens to the next chat requests instead, one each.
        models: The ids it lists; None for a server without a list. requests: Chat requests so far, in their order.
        loads: The events that `transformers serve` tells of when it is asked to load a model; None for another server.
        loaded: The models that it was asked to load. headers: Of each request. most: How many were being answered at once, at
            most. seconds: What an answer takes.
    """

    answer: Callable[[Body], str] = lambda body: f"said to {body['messages'][-1]['content']}"
    following: Callable[[Body], list[tuple[str, float]]] | None = None
    script: list[Deed] = field(default_factory=list)
    models: list[dict[str, Any]] | None = field(default_factory=lambda: [{"id": "base-model"}])
    seconds: float = 0.0
    loads: Callable[[str], list[Body]] | None = None
    loaded: list[str] = field(default_factory=list)
    requests: list[Body] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    most: int = 0
    url: str = ""
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def asked(self) -> list[str]:
        """The last message of each request."""
        return [body["messages"][-1]["content"] for body in self.requests]


class _Handler(BaseHTTPRequestHandler):
    fake: Fake
    protocol_version = "HTTP/1.1"
    # Head and body are written one after the other, and the second would wait for the first to be acknowledged.
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: pytest shows what fails."""

    def do_GET(self) -> None:
        if self.path.endswith("/models") and self.fake.models is not None:
            self.reply(200, {"object": "list", "data": self.fake.models})
        else:
            self.reply(404, {"error": {"message": "no such thing"}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fake = self.fake
        if not self.path.endswith("/chat/completions"):
            self.load(str(body["model"]))
            return
        with fake._lock:
            fake.requests.append(body)
            fake.headers.append({key.lower(): value for key, value in self.headers.items()})
            fake.times.append(time.monotonic())
            fake._now += 1
            fake.most = max(fake.most, fake._now)
            deed = fake.script.pop(0) if fake.script else answered
        try:
            deed(self, body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # who asked has given up
        finally:
            with fake._lock:
                fake._now -= 1

    def load(self, model: str) -> None:
        self.fake.loaded.append(model)
        if self.path != "/load_model" or self.fake.loads is None:
            self.reply(404, {"detail": "Not Found"})
        else:
            events = [f"data: {json.dumps(event)}\n\n" for event in self.fake.loads(model)]
            self.reply(200, "".join(events), kind="text/event-stream; charset=utf-8")

    def reply(self, status: int, value: Any, headers: dict[str, str] | None = None, kind: str = "application/json") -> None:
        data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)


def answered(handler: _Handler, body: Body) -> None:
    """A chat completion, as the server would give it."""
    fake = handler.fake
    time.sleep(fake.seconds)
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
    choice["message"] = {"role": "assistant", "content": fake.answer(body)}
    if body.get("logprobs") and fake.following is not None:
        listed = [{"token": token, "logprob": p, "bytes": None} for token, p in fake.following(body)]
        choice["logprobs"] = {"content": [{**listed[0], "top_logprobs": listed[: body["top_logprobs"]]}]}
    words = sum(len(message["content"].split()) for message in body["messages"])
    usage = {"prompt_tokens": words, "completion_tokens": 3, "total_tokens": words + 3}
    handler.reply(200, {"id": "x", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage})


def status(code: int, body: Any = "", **headers: str) -> Deed:
    """An error; `retry_after="1"` becomes the header Retry-After."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return lambda handler, asked: handler.reply(code, body, named)


def silent(handler: _Handler, body: Body) -> None:
    """What `transformers serve` says of any error, such as of a model that is not there."""
    handler.reply(500, "Internal Server Error", kind="text/plain; charset=utf-8")


def text(content: str, kind: str = "application/json") -> Deed:
    """Whatever text, as an answer that went well."""
    return lambda handler, asked: handler.reply(200, content, kind=kind)


def slow(seconds: float) -> Deed:
    """An answer after a while."""

    def wait(handler: _Handler, body: Body) -> None:
        time.sleep(seconds)
        answered(handler, body)

    return wait


def half_closed(handler: _Handler, body: Body) -> None:
    """Reads the request, says that it will write no more, and writes nothing."""
    handler.connection.shutdown(socket.SHUT_WR)
    handler.close_connection = True


def cut_off(handler: _Handler, body: Body) -> None:
    """Promises more than it sends."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [{"mess')
    handler.wfile.flush()
    handler.close_connection = True


def reset(handler: _Handler, body: Body) -> None:
    """Ends the connection as a killed process does."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Many clients may knock at once.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: connections end on command."""


@contextmanager
def running(fake: Fake, port: int = 0) -> Iterator[Fake]:
    """The server on a free port, or on a given one; `fake.url` is its address."""
    handler = type("Handler", (_Handler,), {"fake": fake})
    server = _Server(("127.0.0.1", port), handler)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
