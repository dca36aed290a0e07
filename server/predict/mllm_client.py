"""HTTP to an OpenAI-compatible endpoint: bounded in time, bytes and money, and silent about what it carries."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from server.errors import BackendFailed, BackendUnavailable
from server.predict.deadline import out_of_time, remaining_s
from server.predict.mllm_budget import Budget, Expense
from server.predict.mllm_request import OUTPUT_TOKENS, Dialect, assumed_tokens, simpler

NAME = "mllm"
_PATH = "/chat/completions"
_ATTEMPTS = 5
_FIRST_PAUSE_S = 1.0
_LONGEST_WAIT_S = 86400.0
_CONNECT_S = 10.0
_ANSWER_BYTES = 2**20
_COMPLAINT = frozenset({400, 422})
_REFUSED_BY_POLICY = ("content_filter", "content_policy")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the model is. The key is in no representation of it."""

    base_url: str
    model: str
    api_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model wrote; `declined` where the endpoint says that it would not, or keeps back what it wrote."""

    content: str
    declined: bool = False


@dataclass(frozen=True, slots=True)
class _Received:
    status: int
    headers: httpx.Headers
    data: bytes

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


Build = Callable[[Dialect], Mapping[str, Any]]
Pause = Callable[[float], Awaitable[None]]


class MllmClient:
    """Asks the endpoint, at most `concurrency` requests at a time.

    What the endpoint turned out not to know (a form of answers, several pictures, a parameter) is left out from then
    on. Redirects are not followed and proxies of the environment not used: pictures go to the configured address or
    nowhere. `pause` waits so many seconds, `jitter` is 0..1.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        budget: Budget,
        *,
        concurrency: int = 2,
        pause: Pause = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._url = endpoint.base_url + _PATH
        self._budget = budget
        self._turn = asyncio.Semaphore(concurrency)
        self._pause = pause
        self._jitter = jitter
        self._dialect = Dialect()
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if endpoint.api_key:
            headers["Authorization"] = f"Bearer {endpoint.api_key}"
        # The deadline of the request bounds everything else.
        timeout = httpx.Timeout(None, connect=_CONNECT_S)
        self._http = httpx.AsyncClient(headers=headers, timeout=timeout, trust_env=False, follow_redirects=False)

    async def ask(self, build: Build, *, deadline: float) -> Reply:
        """The reply to what `build` makes for a dialect.

        Raises `BudgetSpent`, `BackendUnavailable` (nobody there, or busy throughout), `BackendFailed` (an answer that
        is none), `DeadlineExceeded` (stage `inference`).
        """
        try:
            async with asyncio.timeout(remaining_s(NAME, deadline)), self._turn:
                return await self._ask(build, deadline)
        except TimeoutError:
            raise out_of_time(NAME) from None

    async def close(self) -> None:
        """End the connections."""
        await self._http.aclose()

    async def _ask(self, build: Build, deadline: float) -> Reply:
        dialect, failed = self._dialect, 0
        while True:
            received = await self._send(build(dialect))
            status = received.status if received else 0
            if received and status == httpx.codes.OK:
                self._dialect = dialect
                return _reply(received)
            if received and status in _COMPLAINT:
                if any(word in received.text for word in _REFUSED_BY_POLICY):
                    return Reply("", declined=True)
                changed = simpler(dialect, received.text)
                if changed is None:
                    raise _failed(f"finds fault with every form of the request (status {status})")
                dialect = changed
                continue
            if received and status != httpx.codes.TOO_MANY_REQUESTS and status < httpx.codes.INTERNAL_SERVER_ERROR:
                raise _failed(_MEANINGS.get(status, f"answers with status {status}"))
            failed += 1
            wait_s = self._wait_s(received, failed)
            if failed >= _ATTEMPTS or time.monotonic() + wait_s >= deadline:
                what = f"answers with status {status}" if received else "cannot be reached"
                message = f"the endpoint of model {NAME!r} {what}"
                raise BackendUnavailable(message, stage="inference", retry_after_s=round(max(wait_s, 1.0), 3))
            await self._pause(wait_s)

    def _wait_s(self, received: _Received | None, failed: int) -> float:
        """1, 2, 4, 8 s, less up to a half so that not all come back at once, or what the endpoint asks for."""
        asked_s = _retry_after_s(received.headers.get("retry-after", "")) if received else None
        return _FIRST_PAUSE_S * 2 ** (failed - 1) * (1 - self._jitter() / 2) if asked_s is None else asked_s

    async def _send(self, asked: Mapping[str, Any]) -> _Received | None:
        """One request, None where nobody was reached. What it may cost is counted until it is known."""
        data = json.dumps(asked).encode()
        expense = self._budget.begin(assumed_tokens(asked), OUTPUT_TOKENS)
        try:
            received = await self._post(data)
        except httpx.ConnectError:
            self._budget.settle(expense, 0, 0)
            return None
        except httpx.HTTPError:
            return None
        self._settle(expense, received)
        _log.info(
            "endpoint answered",
            extra={
                "model": NAME,
                "status": received.status,
                "request_sha256": hashlib.sha256(data).hexdigest(),
                "answer_sha256": hashlib.sha256(received.data).hexdigest(),
                "input_tokens": expense.input_tokens,
                "output_tokens": expense.output_tokens,
            },
        )
        return received

    async def _post(self, data: bytes) -> _Received:
        async with self._http.stream(
            "POST", self._url, content=data, headers={"Content-Type": "application/json"}
        ) as answer:
            body = bytearray()
            # As it comes, not unpacked: what is small on the wire must not become large here.
            async for part in answer.aiter_raw():
                body += part
                if len(body) > _ANSWER_BYTES:
                    raise _failed(f"answers with more than {_ANSWER_BYTES} bytes")
            return _Received(answer.status_code, answer.headers, bytes(body))

    def _settle(self, expense: Expense, received: _Received) -> None:
        if received.status != httpx.codes.OK:
            self._budget.settle(expense, 0, 0)
            return
        usage = _parsed(received).get("usage")
        counted = (
            [usage.get(name) for name in ("prompt_tokens", "completion_tokens")] if isinstance(usage, dict) else []
        )
        match counted:
            case [int(sent), int(written)]:
                self._budget.settle(expense, sent, written)


_MEANINGS: Mapping[int, str] = {
    401: "refuses the key (status 401)",
    403: "refuses the key (status 403)",
    404: "knows neither the address nor the model (status 404)",
}


def _reply(received: _Received) -> Reply:
    """The first choice. Raises `BackendFailed` where there is none."""
    try:
        choice = _parsed(received)["choices"][0]
        message = choice["message"]
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "".join(str(part.get("text", "")) for part in content)
        declined = bool(message.get("refusal")) or choice.get("finish_reason") == "content_filter"
    except (KeyError, IndexError, TypeError, AttributeError):
        raise _failed("does not answer as an OpenAI-compatible one does") from None
    return Reply(str(content), declined)


def _parsed(received: _Received) -> dict[str, Any]:
    try:
        found = json.loads(received.text)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _retry_after_s(header: str) -> float | None:
    """Seconds, or until an HTTP date; None where it says nothing."""
    if header.strip().isdecimal():
        return min(float(header), _LONGEST_WAIT_S)
    try:
        wait_s = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        return min(max(wait_s, 0.0), _LONGEST_WAIT_S)
    except (ValueError, TypeError):
        return None


def _failed(what: str) -> BackendFailed:
    return BackendFailed(f"the endpoint of model {NAME!r} {what}", stage="inference")
