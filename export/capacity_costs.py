"""What clips, streams and inferences cost: the file that `python -m bench.costs --json` writes, and what lies between.

Costs are processor seconds of the machine on which they were measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.errors import OptionError

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
_Point: TypeAlias = tuple[int, int, float]
"""Frames per second, pixels, seconds for a picture."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Made(_Part):
    """Where the figures come from."""

    command: str
    version: str
    processors: Count
    runs: Count
    load_before: float
    load_after: float


class ClipPicture(_Part):
    """Seconds of a worker for one picture of a clip without a movement."""

    fps: Count
    pixels: Count
    worker_s: Seconds


class Movement(_Part):
    """Seconds of a worker for measuring one movement of a clip."""

    fps: Count
    worker_s: Seconds


class StreamPicture(_Part):
    """Seconds of all processes for one picture of a live stream."""

    fps: Count
    pixels: Count
    processor_s: Seconds


class Inference(_Part):
    """Seconds of the gateway (`local`) or of Triton for one movement."""

    model: str
    backend: str
    processor_s: Seconds


class Memory(_Part):
    """Resident bytes; what processes share counts for each."""

    gateway_bytes: Count
    worker_bytes: Count
    stream_bytes: Count


class Costs(_Part):
    """One file of costs."""

    made: Made
    clip_pictures: Annotated[tuple[ClipPicture, ...], Field(min_length=1)]
    movements: Annotated[tuple[Movement, ...], Field(min_length=1)]
    request_gateway_s: Seconds
    stream_pictures: Annotated[tuple[StreamPicture, ...], Field(min_length=1)]
    inferences: Annotated[tuple[Inference, ...], Field(min_length=1)]
    memory: Memory

    def clip_second_s(self, fps: float, pixels: int) -> float:
        """Seconds of a worker for one second of a clip without its movements.

        Between measured rates by interpolation, below and beyond them in proportion to the rate; a higher rate never
        counts as cheaper. A pixel more costs what was measured, and no size less than the smallest one.
        """
        points = [(picture.fps, picture.pixels, picture.worker_s) for picture in self.clip_pictures]
        return _per_second(fps, points) + self._more_pixels_s(fps, pixels, points)

    def movement_s(self, fps: float) -> float:
        """Seconds of a worker for measuring one movement of a clip; at least as at every lower rate."""
        rates, costs = zip(*sorted((movement.fps, movement.worker_s) for movement in self.movements), strict=True)
        return float(np.interp(fps, rates, np.maximum.accumulate(costs)))

    def stream_second_s(self, fps: float, pixels: int) -> float:
        """Seconds of all processes for one second of a stream. A pixel more is taken to cost what it does in a clip."""
        points = [(picture.fps, picture.pixels, picture.processor_s) for picture in self.stream_pictures]
        return _per_second(fps, points) + self._more_pixels_s(fps, pixels, points)

    def inference_s(self, model: str, backend: str) -> float:
        """Seconds for one movement. Raises `OptionError` where it was not measured."""
        for inference in self.inferences:
            if (inference.model, inference.backend) == (model, backend):
                return inference.processor_s
        known = ", ".join(f"{each.model} {each.backend}" for each in self.inferences)
        raise OptionError(f"the costs have no inference of {model} by {backend} (they have: {known})", option="model")

    def _more_pixels_s(self, fps: float, pixels: int, points: Sequence[_Point]) -> float:
        """What the pixels beyond the smallest size cost in a second, from pictures of one rate in two sizes."""
        sizes: dict[int, dict[int, float]] = {}
        for picture in self.clip_pictures:
            sizes.setdefault(picture.fps, {})[picture.pixels] = picture.worker_s
        slopes = [
            (measured[max(measured)] - measured[min(measured)]) / (max(measured) - min(measured))
            for measured in sizes.values()
            if len(measured) > 1
        ]
        return fps * max([0.0, *slopes]) * max(0, pixels - _smallest(points))


def read_costs(path: Path) -> Costs:
    """Read the file. Raises `OptionError` where it is not there, or not one of costs."""
    try:
        return Costs.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"{path} cannot be read: {error.strerror}", option="costs") from None
    except (ValidationError, UnicodeDecodeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "it is no text"}
        where = ".".join(str(part) for part in first["loc"])
        raise OptionError(
            f"{path} is no file of `python -m bench.costs --json`: {where} {first['msg']}".rstrip(), option="costs"
        ) from None


def _smallest(points: Sequence[_Point]) -> int:
    return min(pixels for _, pixels, _ in points)


def _per_second(fps: float, points: Sequence[_Point]) -> float:
    least = _smallest(points)
    known = sorted((rate, rate * cost) for rate, pixels, cost in points if pixels == least)
    rates, costs = zip((0, 0.0), *known, strict=True)
    beyond = max(1.0, fps / rates[-1])
    return float(beyond * np.interp(fps, rates, np.maximum.accumulate(costs)))
