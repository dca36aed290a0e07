"""Live streams beside the clips of the trust benches: opened, fed and read, one after the other, until told to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from glimpse.v1 import micro_expressions_pb2 as pb
from glimpse.v1 import micro_expressions_pb2_grpc as pb_grpc

from bench.live_footage import Footage, pictures

_PLACES = 6


@dataclass(frozen=True)
class Played:
    """One stream: when it ended (`time.monotonic`), its status, the problem code of that, frames sent and answered, and
    the events that it told: their times and labels.
    """

    ended_s: float
    status: str
    code: str
    sent: int
    answered: int
    events: tuple[tuple[Any, ...], ...]


@dataclass
class Streams:
    """`count` clients that open one stream after the other on the same footage.

    Paced, a frame is sent when a camera would have it; else as fast as it is taken, and every frame is looked at, so
    that a stream always tells the same. `answered` is how many frames of the stream that was opened last have been.
    """

    address: str
    footage: Footage
    count: int
    paced: bool = False
    played: list[Played] = field(default_factory=list)
    answered: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def playing(self) -> Iterator[None]:
        """Play until the block is left; the streams that are open then are played to their end."""
        threads = [threading.Thread(target=self._client) for _ in range(self.count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def play(self) -> Played:
        """One stream, from its beginning to its end."""
        frames = pictures(self.footage)
        sent, answered = 0, 0
        self.answered = 0
        events: list[tuple[Any, ...]] = []
        start = time.monotonic()

        def requests() -> Iterator[pb.LiveRequest]:
            nonlocal sent
            policy = pb.BUFFER_POLICY_DROP_OLDEST if self.paced else pb.BUFFER_POLICY_WAIT
            yield pb.LiveRequest(options=pb.LiveOptions(policy=policy, frame_rate=self.footage.rate))
            for number, picture in enumerate(frames):
                due_s = number / self.footage.rate
                if self.paced:
                    self._ended.wait(max(0.0, start + due_s - time.monotonic()))
                sent += 1
                yield pb.LiveRequest(
                    frame=pb.Frame(
                        frame_index=number, capture_time_us=round(1e6 * due_s), encoding=pb.FRAME_ENCODING_JPEG,
                        data=picture,
                    )
                )  # fmt: skip

        with grpc.insecure_channel(self.address) as channel:
            call = pb_grpc.MicroExpressionsStub(channel).Live(requests())
            try:
                for reply in call:
                    part = reply.WhichOneof("part")
                    answered += part in {"frame_result", "frame_dropped", "frame_refused"}
                    self.answered = answered
                    if part == "event":
                        told = reply.event.event
                        times = (round(getattr(told, name), _PLACES) for name in ("onset_s", "apex_s", "offset_s"))
                        events.append((*times, told.prediction.label))
            except grpc.RpcError:
                pass
            facts = dict(call.trailing_metadata() or ())
            code = str(facts.get("glimpse-code", ""))
            return Played(time.monotonic(), call.code().name, code, sent, answered, tuple(sorted(events)))

    def _client(self) -> None:
        while not self._ended.is_set():
            self.played.append(self.play())
            if self.played[-1].status == "RESOURCE_EXHAUSTED":
                self._ended.wait(0.5)
