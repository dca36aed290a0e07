"""Frames of live streams, as their clients send them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from glimpse.v1 import micro_expressions_pb2 as pb

from tests.grpc_calls import options, parts

WAIT, DROP_OLDEST, DROP_LATEST = 1, 2, 3
SAMPLES = Path(__file__).parents[1] / "samples"
_ANSWERS = ("frame_result", "frame_dropped", "frame_refused")


def sample(name: str) -> list[pb.Frame]:
    """A sample as raw frames of grey levels."""
    with av.open(str(SAMPLES / name)) as source:
        return [
            raw(index, round(frame.time * 1e6), frame.to_ndarray(format="gray"))
            for index, frame in enumerate(source.decode(video=0))
        ]


def raw(index: int, capture_us: int, gray: np.ndarray) -> pb.Frame:
    """A picture, uint8 [H, W], as it is."""
    height, width = gray.shape
    return pb.Frame(
        frame_index=index,
        capture_time_us=capture_us,
        encoding=pb.FRAME_ENCODING_GRAY8,
        data=gray.tobytes(),
        width=width,
        height=height,
    )


def changed(frame: pb.Frame, **changes: Any) -> pb.Frame:
    """The same with other values."""
    other = pb.Frame()
    other.CopyFrom(frame)
    for name, value in changes.items():
        setattr(other, name, value)
    return other


def requests(frames: Iterable[pb.Frame], **chosen: Any) -> Iterator[pb.LiveRequest]:
    """A whole stream: its options, then the frames."""
    yield options(**chosen)
    for frame in frames:
        yield pb.LiveRequest(frame=frame)


async def then_silence(messages: Iterable[Any]) -> AsyncIterator[Any]:
    """The messages, and no end."""
    for message in messages:
        yield message
    await asyncio.Event().wait()


def answers_to_frames(answers: list[Any]) -> list[tuple[str, Any]]:
    """Those to frames, by the name of the kind and the message."""
    return [
        (kind, getattr(answer, kind)) for answer, kind in zip(answers, parts(answers), strict=True) if kind in _ANSWERS
    ]
