"""Stand-ins for live streams: a worker that does what the test says, and a model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from server.contract import ModelContract, Provenance, TensorSpec
from server.media.limits import MediaLimits
from server.pipeline.live_jobs import LiveClose, LiveOpen, LivePush, Looked, Told
from server.pipeline.live_measuring import at_once
from server.pipeline.live_stream import LivePolicy
from server.pipeline.live_teller import Served
from server.pipeline.measure import Movement
from server.streams import FrameResult, LiveFrame
from server.testing import FakePredictor
from server.types import Evidence, Interval

LIMITS = MediaLimits(60, 10_000, 4096 * 2304)
INTERVAL = Interval("micro", 10, 15, 20, 1.0, 1.2, 1.4, 0.04, 0.9, ("brow_inner_left",))


def told(step: str, movement: int = 1, **more: Any) -> Told:
    """One step of a movement; measured where it is an event."""
    inputs = {"flow": np.zeros((3, 28, 28), np.float32)}
    measured = {"evidence": Evidence("good"), "inputs": inputs, "contraction": {}} if step == "event" else {}
    return Told(movement, 1, step, INTERVAL, **(measured | more))


def picture(index: int, size: int = 100) -> LiveFrame:
    """A picture of a stream at 100 frames per second."""
    return LiveFrame(index, 10_000 * index, "gray8", bytes(size), size, 1)


def look(frame: LiveFrame) -> Looked:
    """Nothing was seen."""
    return Looked(FrameResult(frame.index, frame.capture_us, frame.capture_us / 1e6, ()))


class Held:
    """Measures nothing before it is told to go on."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Movement], Future[Movement]]] = []

    def __call__(self, work: Callable[[], Movement]) -> Future[Movement]:
        """A measurement to come."""
        self.waiting.append((work, Future()))
        return self.waiting[-1][1]

    def go_on(self) -> None:
        """Do the one that was begun."""
        ((work, future),) = self.waiting
        self.waiting = []
        done = at_once(work)
        if done.exception() is None:
            future.set_result(done.result())
        else:
            future.set_exception(done.exception())


@dataclass
class FakeProcess:
    """Answers pictures by `look`; while `held`, not before it is let go on; raises `error` from `fails_at` on."""

    look: Callable[[LiveFrame], Looked] = look
    held: bool = False
    error: Exception | None = None
    fails_at: int = -1
    last: tuple[Told, ...] = ()
    jobs: list[Any] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    ending: str = ""

    def kill(self, reason: str) -> None:
        """It ends."""
        self.ending = reason

    async def run(self, job: Any, _: object) -> Any:
        """One job."""
        self.jobs.append(job)
        if isinstance(job, LiveOpen):
            return ()
        if isinstance(job, LiveClose):
            return self.last
        assert isinstance(job, LivePush)
        self.asked.set()
        if self.held:
            await self.go_on.wait()
        if self.error is not None and any(frame.index >= self.fails_at for frame in job.frames):
            raise self.error
        return tuple(self.look(frame) for frame in job.frames)


def policy(**changes: Any) -> LivePolicy:
    """Bounds of a small service."""
    values: dict[str, Any] = {
        "max_streams": 4,
        "frames_per_s": 400.0,
        "idle_s": 20.0,
        "buffer_frames": 16,
        "buffer_bytes": 1 << 20,
        "store_bytes": 64 << 20,
        "max_faces": 4,
        "inference_s": 5.0,
        "limits": LIMITS,
    }
    return LivePolicy(**(values | changes))


@pytest.fixture
def contract() -> ModelContract:
    """A model of flow images."""
    return ModelContract(
        name="flow",
        recipe="flow_uvs_28",
        flow="accurate",
        labels=("negative", "positive", "surprise"),
        inputs=(TensorSpec(name="flow", dims=(3, 28, 28)),),
        outputs=(TensorSpec(name="probabilities", dims=(3,)),),
        provenance=Provenance(network="net", source="trained", command="x", training_data="none"),
    )


@pytest.fixture
def predictor(contract: ModelContract) -> FakePredictor:
    """It answers with the first label."""
    return FakePredictor([contract])


@pytest.fixture
async def served(predictor: FakePredictor, contract: ModelContract) -> Served:
    """That model, as a stream is opened for it."""
    return Served(await predictor.model(contract.name), contract, "1")
