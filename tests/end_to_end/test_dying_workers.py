"""Workers that are killed, crash or stop in the midst of their work: whose work is lost, and whose is not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from glimpse.v1 import micro_expressions_pb2 as pb

from tests.grpc_calls import connected, facts, options, told
from tests.live_frames import SAMPLES, WAIT, answers_to_frames, changed, sample
from tests.processes import children

PATIENCE_S = 15
CRASHED = ("worker-crashed", "crash")
STOPPED = ("deadline-exceeded", "deadline")


@pytest.fixture(scope="module")
def service(start_service):
    """A service with one process for clips and two for streams, and some patience."""
    settings = {
        "GLIMPSE_SERVER__REQUEST_DEADLINE_SECONDS": str(PATIENCE_S),
        "GLIMPSE_LIVE__ANSWER_SECONDS": str(PATIENCE_S),
        "GLIMPSE_LIVE__MAX_STREAMS": "3",
        "GLIMPSE_LIVE__FRAMES_PER_SECOND": "10000",
        "GLIMPSE_WORKERS__COUNT": "1",
    }
    with start_service(**settings) as running:
        yield running


@pytest.fixture(scope="module")
def pictures():
    """A sample with one movement, as raw frames."""
    return sample("positive.mp4")


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [(signal.SIGKILL, *CRASHED), (signal.SIGSEGV, *CRASHED), (signal.SIGSTOP, *STOPPED)],
    ids=["killed", "crashed", "stopped"],
)
async def test_a_worker_costs_what_it_worked_on(number, code, reason, service, pictures):
    """A clip and a stream lose their processes and are told so; the stream beside them and the next clip do not. A clip
    whose process was killed from outside is not at fault: another one takes it.
    """
    before = await asyncio.to_thread(service.metric, "glimpse_worker_restarts_total", reason=reason)
    at_rest = await _processes(service, 2)
    async with connected(service.grpc) as stub:
        beside, victim = Stream(stub, pictures), Stream(stub, pictures)
        await beside.push(5)
        one_more = await _processes(service, 3)
        await victim.push(5)
        streaming = _busiest(one_more)
        now = await _processes(service, 4)
        clip = asyncio.create_task(_analyze(service, begun := asyncio.Event()))
        await asyncio.wait_for(begun.wait(), PATIENCE_S)
        analysing = _busiest({pid: now[pid] for pid in at_rest})
        assert analysing != streaming
        for pid in (analysing, streaming):
            os.kill(pid, number)
        others = asyncio.create_task(beside.push(len(pictures) - 5))
        answer = await clip
        if number is signal.SIGKILL:
            assert answer["events"]
        else:
            assert answer["code"] == code
        assert await victim.failure() == code
        await others
        assert await beside.ended() == [*range(len(pictures)), "positive"]
    report = await asyncio.to_thread(service.analyze, (SAMPLES / "positive.mp4").read_bytes())
    assert [event["label"] for event in report.json()["events"]] == ["positive"]
    after = await asyncio.to_thread(service.metric, "glimpse_worker_restarts_total", reason=reason)
    assert after - before == 2
    await _processes(service, 2)


class Stream:
    """A stream that is sent frame by frame, each answered before the next."""

    def __init__(self, stub, pictures):
        self._call = stub.Live()
        self._pictures = iter(pictures)
        self._answers = []
        self._opened = False

    async def push(self, count):
        """Send the next frames, each with its answer."""
        if not self._opened:
            await self._call.write(options(policy=WAIT))
            self._opened = True
        for _ in range(count):
            await self._call.write(pb.LiveRequest(frame=changed(next(self._pictures))))
            wanted = len(answers_to_frames(self._answers)) + 1
            while len(answers_to_frames(self._answers)) < wanted:
                self._answers.append(await self._call.read())

    async def failure(self):
        """The code of the error with which it ends, though frames are still sent."""
        with suppress(asyncio.InvalidStateError):
            for picture in self._pictures:
                await self._call.write(pb.LiveRequest(frame=picture))
        _, error = await told(self._call)
        return facts(error)["glimpse-code"]

    async def ended(self):
        """The indices of all frames that were analysed, and the labels of its events."""
        await self._call.done_writing()
        rest, error = await told(self._call)
        assert error is None
        answers = [*self._answers, *rest]
        analysed = [answer.frame_index for kind, answer in answers_to_frames(answers) if kind == "frame_result"]
        return [*analysed, *(a.event.event.prediction.label for a in answers if a.WhichOneof("part") == "event")]


async def _analyze(service, begun):
    """The report or the problem that a long clip ends with; `begun` is set once its faces are followed."""
    files = {"clip": ("clip.mp4", (SAMPLES / "interview.mp4").read_bytes(), "video/mp4")}
    async with httpx.AsyncClient(base_url=service.client.base_url, timeout=60, trust_env=False) as client:
        headers = {"accept": "text/event-stream"}
        async with client.stream("POST", "/v1/analyze", files=files, headers=headers) as answer:
            data = ""
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    data = line.removeprefix("data:")
                if '"faces"' in line:
                    begun.set()
    return json.loads(data)


async def _processes(service, count):
    """Those that the service has started, with the processor time of each, once there are so many."""
    async with asyncio.timeout(20):
        while len(found := _children(service)) != count:
            await asyncio.to_thread(service.metric, "glimpse_live_streams")
    return found


def _children(service):
    return {child: _ticks(child) for child in children(service.process.pid)}


def _ticks(pid):
    """Processor time of a process so far (proc_pid_stat(5), utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def _busiest(before):
    """Which of the processes has worked most since."""
    return max(before, key=lambda pid: _ticks(pid) - before[pid])
