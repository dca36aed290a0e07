"""The client of `bench.live`, a process of its own: `python -m bench.live_drive ADDRESS`, used by that bench alone.

Reads one round per line of stdin as JSON, opens its streams and says so, begins when it is told "go", and answers with
what came back. Pictures are decoded and encoded before a round begins; a frame costs this process one message.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

import grpc
from glimpse.v1 import micro_expressions_pb2 as pb
from glimpse.v1 import micro_expressions_pb2_grpc as pb_grpc

from bench.live_footage import Footage, pictures, ping_pong

_MESSAGE_BYTES = 64 << 20
_ENCODINGS = {"jpeg": pb.FRAME_ENCODING_JPEG, "gray8": pb.FRAME_ENCODING_GRAY8}
_POLICIES = {
    "wait": pb.BUFFER_POLICY_WAIT,
    "drop_oldest": pb.BUFFER_POLICY_DROP_OLDEST,
    "drop_latest": pb.BUFFER_POLICY_DROP_LATEST,
}


class Stream:
    """One stream of a round.

    Paced, every frame is sent when a camera would have it, and lags count from then; else as fast as it is taken.
    """

    def __init__(self, stub: pb_grpc.MicroExpressionsStub, order: dict[str, Any]) -> None:
        self._source = Footage(**order["footage"])
        self._pictures: Sequence[bytes] = pictures(self._source, order["most"])
        self._paced: bool = order["paced"]
        self._seconds: float | None = order["seconds"]
        self._first: int = order["first"]
        self._call = stub.Live()
        self._options = pb.LiveOptions(policy=_POLICIES[order["policy"]], frame_rate=self._source.rate)
        self._start = 0.0
        self._last = 0.0
        self._lags: list[float] = []
        self._late: list[float] = []
        self._sent = 0
        self._dropped: dict[str, int] = {}
        self._refused: dict[str, int] = {}
        self._steps: list[dict[str, Any]] = []
        self._faceless = 0

    async def open(self) -> None:
        """Be let in. Raises what the service answered where it is not."""
        await self._call.write(pb.LiveRequest(options=self._options))
        first = await self._call.read()
        if first is grpc.aio.EOF:
            message = f"not let in: {await self._call.details()}"
            raise SystemExit(message)

    async def run(self, start: float) -> dict[str, Any]:
        """Send all and read all."""
        self._start = start
        sending = asyncio.get_running_loop().create_task(self._send())
        while (answer := await self._call.read()) is not grpc.aio.EOF:
            self._take(answer)
        await sending
        code = await self._call.code()
        return {
            "sent": self._sent,
            "answered": len(self._lags),
            "faceless": self._faceless,
            "seconds": self._last,
            "lags_s": [round(lag, 6) for lag in self._lags] if self._paced else [],
            "late_s": [round(late, 6) for late in self._late],
            "dropped": self._dropped,
            "refused": self._refused,
            "steps": self._steps,
            "status": code.name,
        }

    async def _send(self) -> None:
        source, number = self._source, 0
        count = len(self._pictures) if self._seconds is None else None
        while count is None or number < count:
            due_s = number / source.rate
            now_s = time.monotonic() - self._start
            if self._seconds is not None and (due_s if self._paced else now_s) >= self._seconds:
                break
            if self._paced:
                if due_s > now_s:
                    await asyncio.sleep(due_s - now_s)
                self._late.append(time.monotonic() - self._start - due_s)
            frame = pb.Frame(
                frame_index=number,
                capture_time_us=round(due_s * 1e6),
                encoding=_ENCODINGS[source.encoding],
                data=self._pictures[ping_pong(self._first + number, len(self._pictures))],
                width=source.width,
                height=source.height,
            )
            await self._call.write(pb.LiveRequest(frame=frame))
            self._sent = number = number + 1
        await self._call.done_writing()

    def _take(self, answer: pb.LiveResponse) -> None:
        now_s = time.monotonic() - self._start
        match answer.WhichOneof("part"):
            case "frame_result":
                self._last = now_s
                self._lags.append(now_s - answer.frame_result.capture_time_us / 1e6)
                self._faceless += not answer.frame_result.faces
            case "frame_dropped":
                reason = pb.DropReason.Name(answer.frame_dropped.reason).removeprefix("DROP_REASON_").lower()
                self._dropped[reason] = self._dropped.get(reason, 0) + 1
            case "frame_refused":
                code = answer.frame_refused.code
                self._refused[code] = self._refused.get(code, 0) + 1
            case "onset" | "candidate" | "withdrawn" as step:
                told = getattr(answer, step)
                self._steps.append({"step": step, "movement": told.movement, "at_s": now_s})
            case "event":
                event = answer.event.event
                times = {name: getattr(event, name) for name in ("onset_s", "apex_s", "offset_s")}
                self._steps.append({"step": "event", "movement": answer.event.movement, "at_s": now_s, **times})


async def _round(stub: pb_grpc.MicroExpressionsStub, orders: Sequence[dict[str, Any]]) -> dict[str, Any]:
    streams = [Stream(stub, order) for order in orders]
    for stream in streams:
        await stream.open()
    _say("open")
    await asyncio.to_thread(sys.stdin.readline)
    before, start = _cpu_s(), time.monotonic()
    # Cameras do not fire at the same moment.
    shifts = [number / max(len(streams), 1) / orders[number]["footage"]["rate"] for number in range(len(streams))]
    answers = await asyncio.gather(*(stream.run(start + shift) for stream, shift in zip(streams, shifts, strict=True)))
    return {"streams": answers, "wall_s": time.monotonic() - start, "client_cpu_s": _cpu_s() - before}


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _say(line: str) -> None:
    print(line, flush=True)


async def _main(address: str) -> None:
    options = [("grpc.max_send_message_length", _MESSAGE_BYTES), ("grpc.max_receive_message_length", _MESSAGE_BYTES)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        stub = pb_grpc.MicroExpressionsStub(channel)
        while line := await asyncio.to_thread(sys.stdin.readline):
            _say(json.dumps(await _round(stub, json.loads(line))))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
