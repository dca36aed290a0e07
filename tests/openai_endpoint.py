"""A real HTTP server that answers as an OpenAI-compatible endpoint would: a script of good and bad answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD = {
    "visible": True,
    "aus": [{"au": 12, "side": "B", "intensity": "B", "evidence": "both lip corners go up"}],
    "ranking": ["positive", "surprise", "negative"],
    "scores": {"positive": 0.8, "surprise": 0.15, "negative": 0.05},
    "confidence": 0.7,
    "note": "a faint smile",
}


@dataclass(frozen=True)
class Canned:
    """One answer; `hang` waits until the server closes, `unless` gives another one by the request."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False
    unless: Callable[[dict[str, Any]], Canned | None] = lambda _: None


def says(
    content: Any, /, *, tokens: tuple[int, int] | None = (1000, 100), finish: str = "stop", **message: Any
) -> Canned:
    """A model that wrote `content` (an object is written as JSON)."""
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    document: dict[str, Any] = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}]
    }
    if tokens is not None:
        document["usage"] = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    return Canned(body=json.dumps(document).encode())


def complains(status: int, message: str = "", **headers: str) -> Canned:
    """An error document."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Canned(status, json.dumps({"error": {"message": message}}).encode(), named)


VALID = says(GOOD)
FENCED = says(f"Here it is:\n```json\n{json.dumps(GOOD)}\n```\n")
PROSE = says("AU12 is visible on both sides. This looks like a happy movement rather than surprise, not anger.")
REFUSAL = says("I'm sorry, but I can't help with identifying what people feel.")
OUTSIDE = says({**GOOD, "ranking": ["sleepiness", "happiness"], "scores": {"sleepiness": 0.9}})
BUSY = complains(429, "slow down", Retry_After="0")
HANG = Canned(hang=True)
ENORMOUS = Canned(body=b'{"choices": "' + b"x" * 3 * 2**20 + b'"}')
INVALID_UTF8 = Canned(body=VALID.body.replace(b"a faint smile", b"a \xff\xfe\xc3 smile"))
GARBAGE = Canned(body=b"\xff\xfe\x00 no JSON at all")
ONE_PICTURE = Canned(
    unless=lambda asked: VALID if pictures(asked) == 1 else complains(400, "at most 1 image_url is supported")
)


def pictures(asked: Mapping[str, Any]) -> int:
    """How many pictures a request carries."""
    return sum(item["type"] == "image_url" for item in asked["messages"][1]["content"])


def texts(asked: Mapping[str, Any]) -> str:
    """All words of a request."""
    parts = [item["text"] for item in asked["messages"][1]["content"] if item["type"] == "text"]
    return "\n".join([asked["messages"][0]["content"], *parts])


@dataclass
class FakeEndpoint:
    """Answers by `script`, one request after the other, the last for ever; `asked` and `keys` record what came."""

    script: Sequence[Canned] = (VALID,)
    asked: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    base_url: str = ""
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    closing: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def follow(self, *script: Canned) -> None:
        """Forget what came, and answer by another script."""
        with self._lock:
            self.script = script
            for record in (self.asked, self.paths, self.keys):
                record.clear()

    def take(self, handler: BaseHTTPRequestHandler) -> Canned:
        """Record a request and say how it is answered."""
        asked = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        with self._lock:
            canned = self.script[min(len(self.asked), len(self.script) - 1)]
            self.asked.append(asked)
            self.paths.append(handler.path)
            self.keys.append(handler.headers.get("authorization"))
        self.arrived.release()
        if canned.hang:
            self.closing.wait()
        return canned.unless(asked) or canned


@contextmanager
def endpoint(*script: Canned) -> Iterator[FakeEndpoint]:
    """A running one on a free port of this machine."""
    fake = FakeEndpoint(script or (VALID,))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            canned = fake.take(self)
            try:
                self.send_response(canned.status)
                for name, value in {**canned.headers, "Content-Length": str(len(canned.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(canned.body)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    fake.base_url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
