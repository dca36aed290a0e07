"""A service of gRPC on a real socket that does what the test says, and a door before it that can be slammed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from glimpse.v1 import micro_expressions_pb2 as pb
from glimpse.v1 import micro_expressions_pb2_grpc as stubs

from client import Frame

MODEL = pb.Model(name="glimpse_flow", version="2", recipe="flow_uvs_28", backend="fake")
PREDICTION = pb.Prediction(label="positive", probabilities={"negative": 0.2, "positive": 0.8}, confidence=0.8)
EVENT = pb.Event(
    track_id=1, kind=pb.EVENT_KIND_MICRO, onset_s=0.1, apex_s=0.2, offset_s=0.3, onset_frame=1, apex_frame=2,
    offset_frame=3, prediction=PREDICTION, regions=["mouth_corner_left"], evidence=pb.Evidence(grade=pb.GRADE_GOOD),
)  # fmt: skip


@dataclass(frozen=True)
class Refusal:
    """How a call ends."""

    status: grpc.StatusCode = grpc.StatusCode.RESOURCE_EXHAUSTED
    code: str = "overloaded"
    message: str = "2 streams are open"
    retryable: bool = True
    retry_after_s: float = 0.0

    def trailing(self) -> tuple[tuple[str, str], ...]:
        if not self.code:
            return ()
        return (
            ("glimpse-code", self.code),
            ("glimpse-stage", "live"),
            ("glimpse-retryable", "true" if self.retryable else "false"),
            ("glimpse-retry-after-s", f"{self.retry_after_s:g}"),
            ("glimpse-request-id", "abc123"),
        )


@dataclass
class FakeService(stubs.MicroExpressionsServicer):
    """Answers every frame, tells what `told` has for it, and keeps what it was sent.

    `openings` are the refusals of the next streams, None for one that is let in; `ends` the refusals with which they
    end after so many frames. While `held`, it answers nothing. `dropped` and `refused` are numbers of frames.
    """

    openings: list[Refusal | None] = field(default_factory=list)
    ends: list[tuple[int, Refusal]] = field(default_factory=list)
    told: dict[int, list[pb.LiveResponse]] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    limits: dict[str, Any] = field(default_factory=dict)
    failure: Refusal | None = None
    unopened: bool = False
    options: list[pb.LiveOptions] = field(default_factory=list)
    frames: list[pb.Frame] = field(default_factory=list)
    clips: list[tuple[pb.AnalyzeOptions, bytes]] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    _came: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.released.set()

    def wait_for_frames(self, count: int) -> None:
        """Until so many frames have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.frames) >= count, 20)

    async def Live(self, requests: Any, context: Any) -> AsyncIterator[pb.LiveResponse]:
        first = await anext(aiter(requests))
        self.options.append(first.options)
        if self.openings and (refusal := self.openings.pop(0)) is not None:
            await abort(context, refusal)
        if self.unopened:
            return
        yield pb.LiveResponse(opened=pb.StreamOpened(stream_id="s1", model=MODEL, regions=["brow_left"]))
        end, answered = self.ends.pop(0) if self.ends else None, 0
        waiting: asyncio.Queue[pb.Frame | None] = asyncio.Queue()
        reading = asyncio.create_task(self._read(requests, waiting))
        try:
            while (frame := await waiting.get()) is not None:
                await self.released.wait()
                for response in self._answers(frame):
                    yield response
                answered += 1
                if end is not None and answered == end[0]:
                    await abort(context, end[1])
        finally:
            reading.cancel()
            self.left.set()
        yield pb.LiveResponse(stats=pb.StreamStats(received=answered, analysed=answered, duration_s=1.0))

    async def _read(self, requests: Any, waiting: asyncio.Queue[pb.Frame | None]) -> None:
        async for request in requests:
            with self._came:
                self.frames.append(request.frame)
                self._came.notify_all()
            waiting.put_nowait(request.frame)
        waiting.put_nowait(None)

    def _answers(self, frame: pb.Frame) -> Iterator[pb.LiveResponse]:
        named = {"frame_index": frame.frame_index, "capture_time_us": frame.capture_time_us}
        if frame.frame_index in self.dropped:
            yield pb.LiveResponse(frame_dropped=pb.FrameDropped(**named, reason=pb.DROP_REASON_OLDEST))
        elif frame.frame_index in self.refused:
            refused = pb.FrameRefused(**named, code="unreadable-media", message="no picture", goes_on=True)
            yield pb.LiveResponse(frame_refused=refused)
        else:
            face = pb.LiveFace(track_id=1, state=pb.FACE_STATE_RESTING, eyes_px=[1, 2, 3, 4], motion_iod=[0.5, 0.25])
            result = pb.FrameResult(**named, time_s=frame.capture_time_us / 1e6, faces=[face], lag_s=0.01)
            yield pb.LiveResponse(frame_result=result)
        yield from self.told.get(frame.frame_index, ())

    async def Analyze(self, requests: Any, context: Any) -> AsyncIterator[pb.AnalyzeResponse]:
        received = [request async for request in requests]
        self.clips.append((received[0].options, b"".join(request.data for request in received[1:])))
        yield pb.AnalyzeResponse(progress=pb.Progress(stage="decode", done=1, total=2))
        if self.failure is not None:
            await abort(context, self.failure)
        yield pb.AnalyzeResponse(
            report=pb.Report(
                id="r1",
                clip=pb.Clip(duration_s=2.0, frames=200, fps=100.0, width=640, height=480, codec="h264"),
                faces=[
                    pb.FaceSummary(track_id=1, last_s=2.0, evidence=pb.Evidence(grade=pb.GRADE_FAIR, reasons=["x"]))
                ],
                events=[EVENT],
                model=MODEL,
                timings_ms={"decode": 12.5},
                warnings=[pb.Warning(code="speech", message="a face spoke")],
            )
        )

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:
        if self.failure is not None:
            await abort(context, self.failure)
        model = pb.ModelDescription(name="glimpse_flow", versions=["1", "2"], labels=["negative"], servable=True)
        return pb.ListModelsResponse(models=[model])

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Any) -> pb.GetServerInfoResponse:
        info = {"version": "0.1", "max_message_bytes": 4 << 20, "max_frame_pixels": 4096 * 2304, **self.limits}
        return pb.GetServerInfoResponse(
            default_model="glimpse_flow", frame_encodings=[pb.FRAME_ENCODING_JPEG], codecs=["h264"], **info
        )


async def abort(context: Any, refusal: Refusal) -> None:
    await context.abort(refusal.status, refusal.message, refusal.trailing())


class Door:
    """Passes bytes on between clients and the port of a service, until it is slammed."""

    def __init__(self, port: int) -> None:
        self._inner = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._enter, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def slam(self) -> None:
        """Break every connection; new ones are let in."""
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        """Break every connection and refuse new ones."""
        assert self._server is not None
        self._server.close()
        await self.slam()

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._inner)
        self._writers |= {writer, inner_writer}
        for pair in ((reader, inner_writer), (inner_reader, writer)):
            task = asyncio.create_task(self._pass_on(*pair))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.close()


@dataclass
class RunningService:
    """A fake service that listens; `call` runs a coroutine on its event loop."""

    fake: FakeService
    port: int
    door: Door
    loop: asyncio.AbstractEventLoop

    @property
    def target(self) -> str:
        """Through the door."""
        return f"127.0.0.1:{self.door.port}"

    def call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def hold(self) -> None:
        self.loop.call_soon_threadsafe(self.fake.released.clear)

    def release(self) -> None:
        self.loop.call_soon_threadsafe(self.fake.released.set)


@pytest.fixture
def service() -> Iterator[RunningService]:
    """A service in a thread of its own."""
    started: Future[RunningService] = Future()

    async def serve() -> None:
        server = grpc.aio.server()
        fake = FakeService()
        stubs.add_MicroExpressionsServicer_to_server(fake, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        door = Door(port)
        await door.open()
        ended = asyncio.Event()
        running = RunningService(fake, port, door, asyncio.get_running_loop())
        running.end = lambda: running.loop.call_soon_threadsafe(ended.set)  # type: ignore[attr-defined]
        started.set_result(running)
        await ended.wait()
        fake.released.set()
        await door.close()
        await server.stop(0)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    running = started.result(20)
    yield running
    running.end()  # type: ignore[attr-defined]
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def picture() -> Callable[[int], Frame]:
    """Frame `n` of a small grey film at 10 frames per second that starts at 5 s."""
    return lambda number: Frame("gray8", bytes(16), 5_000_000 + 100_000 * number, 4, 4)
