"""The clients of the trust benches, one process for all of them: `python -m bench.trust_drive HOST:PORT`.

Reads one round per line of stdin as JSON, plays it for its seconds, or until the next line where it has none, and
answers with what every request got. Plain sockets and one event loop, so that the clients take little of the processors
that they share with the service. A request is one connection. What is asked is read from files before a round begins.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_LAST_ANSWER_S = 240.0
_NOT_SERVICE = {"inference", "total"}
_VARIES = ("id", "timings_ms")


class Group:
    """Clients that do the same: ask for one after the other, each from its own place in the list on.

    `pause_s` lies between an answer and the next request; after a refusal it is `refused_pause_s`, or what the service
    asks for where that is None. `most` is how often each asks. With `leave_after`, a client leaves after so many bytes
    of a request, and with `leave_after_s` so long after the whole of it.
    """

    def __init__(self, address: tuple[str, int], order: Mapping[str, Any]) -> None:
        self._address = address
        self._order = order
        self._requests = [_request(address, each) for each in order["requests"]]
        self.answers: list[dict[str, Any]] = []

    async def play(self, start: float, ended: asyncio.Event) -> None:
        """Every client in its own task, until `ended`; what was asked by then is still answered."""
        await asyncio.gather(*(self._client(number, start, ended) for number in range(self._order["clients"])))

    async def _client(self, number: int, start: float, ended: asyncio.Event) -> None:
        # One after the other, so that clients do not march in step.
        await _until(ended, 0.01 * number)
        at, most = number, self._order["most"]
        while not ended.is_set() and (most is None or at < number + most):
            place = at % len(self._requests)
            began = time.monotonic()
            answer = await self._ask(self._requests[place])
            now = time.monotonic()
            self.answers.append({"request": place, "began_s": began - start, "took_s": now - began, **answer})
            at += 1
            pause = self._order["pause_s"]
            if answer["status"] in {429, 503}:
                asked = answer["retry_after_s"] or 1.0
                pause = asked if self._order["refused_pause_s"] is None else self._order["refused_pause_s"]
            await _until(ended, pause)

    async def _ask(self, request: bytes) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_LAST_ANSWER_S):
                return await self._exchange(request)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            return {"status": 0, "lost": f"{type(error).__name__}: {error}", "retry_after_s": None}

    async def _exchange(self, request: bytes) -> dict[str, Any]:
        source = (self._order["source"], 0) if self._order["source"] else None
        reader, writer = await asyncio.open_connection(*self._address, local_addr=source)
        try:
            if self._order["leave_after"] is not None:
                writer.write(request[: self._order["leave_after"]])
                await writer.drain()
                return {"status": -1, "retry_after_s": None}
            writer.write(request)
            if self._order["leave_after_s"] is not None:
                await writer.drain()
                await asyncio.sleep(self._order["leave_after_s"])
                return {"status": -1, "retry_after_s": None}
            return await _answer(reader)
        finally:
            writer.close()


async def _until(ended: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until the end of the round."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ended.wait()


def _request(address: tuple[str, int], wanted: Mapping[str, Any]) -> bytes:
    body = Path(wanted["file"]).read_bytes() if "file" in wanted else bytes.fromhex(wanted["hex"])
    headers = {
        "Host": f"{address[0]}:{address[1]}", "Connection": "close", "Content-Type": wanted["type"],
        "Content-Length": str(len(body)), **wanted.get("headers", {}),
    }  # fmt: skip
    lines = [f"{wanted.get('method', 'POST')} {wanted['path']} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join((*lines, "", "")).encode() + body


async def _answer(reader: asyncio.StreamReader) -> dict[str, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split()[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    length = headers.get("content-length")
    body = await (reader.readexactly(int(length)) if length is not None else reader.read())
    retry = headers.get("retry-after")
    answer = {"status": status, "retry_after_s": float(retry) if retry else None}
    if status == 200 and headers.get("content-type", "").startswith("application/json"):
        report = json.loads(body)
        stages = report.get("timings_ms", {})
        answer["service_s"] = sum(ms for stage, ms in stages.items() if stage not in _NOT_SERVICE) / 1e3
        answer["digest"] = digest(report)
    elif status >= 400:
        answer["code"] = json.loads(body).get("code", "") if body else ""
    return answer


def digest(report: Mapping[str, Any]) -> str:
    """What a report says, without what differs from one time to the next."""
    said = {name: value for name, value in report.items() if name not in _VARIES}
    return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=8).hexdigest()


async def play(address: tuple[str, int], order: Mapping[str, Any]) -> dict[str, Any]:
    """One round: what each request of each group got, and what the clients used."""
    groups: Sequence[Group] = [Group(address, each) for each in order["groups"]]
    cpu_s, start = _cpu_s(), time.monotonic()
    ended = asyncio.Event()
    if order["seconds"] is not None:
        asyncio.get_running_loop().call_later(order["seconds"], ended.set)
    else:
        asyncio.get_running_loop().add_reader(sys.stdin, _stop, ended)
    await asyncio.gather(*(group.play(start, ended) for group in groups))
    names = [each["name"] for each in order["groups"]]
    return {
        "start_s": start,
        "seconds": order["seconds"],
        "wall_s": time.monotonic() - start,
        "cpu_s": _cpu_s() - cpu_s,
        "groups": {name: group.answers for name, group in zip(names, groups, strict=True)},
    }


def _stop(ended: asyncio.Event) -> None:
    asyncio.get_running_loop().remove_reader(sys.stdin)
    sys.stdin.readline()
    ended.set()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Play what stdin says."""
    host, _, port = sys.argv[1].rpartition(":")
    while line := sys.stdin.readline():
        print(json.dumps(asyncio.run(play((host, int(port)), json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
