"""What is asked of the service, and on what terms, for `export.capacity`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from export.capacity_costs import Costs
from server.errors import OptionError
from server.settings.limits import LimitSettings
from server.settings.listening import ServerSettings


@dataclass(frozen=True)
class Load:
    """What is asked of all gateways together; rates are means, sizes in pixels."""

    clips_per_s: float = 0.0
    clip_seconds: float = 10.0
    clip_fps: float = 30.0
    clip_size: tuple[int, int] = (640, 480)
    clip_events: float = 1.0
    streams: float = 0.0
    stream_fps: float = 30.0
    stream_size: tuple[int, int] = (640, 480)
    stream_events_per_minute: float = 6.0

    def times(self, factor: float) -> Load:
        """The same kinds of clips and streams, so many times."""
        return replace(self, clips_per_s=factor * self.clips_per_s, streams=factor * self.streams)

    def clip_s(self, costs: Costs) -> float:
        """Seconds of a worker for one clip."""
        second_s = costs.clip_second_s(self.clip_fps, pixels(self.clip_size))
        return self.clip_seconds * second_s + self.clip_events * costs.movement_s(self.clip_fps)

    def stream_s(self, costs: Costs) -> float:
        """Seconds of processors for a second of one stream."""
        return costs.stream_second_s(self.stream_fps, pixels(self.stream_size))

    def events_per_s(self) -> float:
        """Inferences in a second."""
        return self.clips_per_s * self.clip_events + self.streams * self.stream_events_per_minute / 60.0


@dataclass(frozen=True)
class Terms:
    """On what terms it is served.

    `processors` are those of one gateway, which has as many workers; `utilisation` is the share of them, and of a
    Triton, that may be taken on the mean; `wait_s` the mean wait of a clip for a worker; `variation` the
    squared coefficient of variation of the time that a clip takes (0: all alike, 1: as exponential). `spare` gateways,
    and Tritons, may be away. `inference_s` stands in for the measured time of an inference on a Triton, such as one
    with a GPU.
    """

    processors: int = 2
    utilisation: float = 0.7
    wait_s: float = 2.0
    variation: float = 1.0
    spare: int = 1
    model: str = "glimpse_flow"
    backend: str = "local"
    inference_s: float | None = None

    @property
    def asks_triton(self) -> bool:
        """Whether inference is not the gateways' own."""
        return self.backend == "triton"

    def each_inference_s(self, costs: Costs) -> float:
        """Seconds of one inference. Raises `OptionError` where that was not measured."""
        return costs.inference_s(self.model, self.backend) if self.inference_s is None else self.inference_s


def pixels(size: tuple[int, int]) -> int:
    """Of a picture."""
    return size[0] * size[1]


def check_terms(terms: Terms) -> None:
    """Raises `OptionError` for terms on which nothing can be served."""
    _check(1 <= terms.processors <= 256, "processors", "a gateway has 1 to 256 processors")
    _check(0.0 < terms.utilisation < 1.0, "utilisation", "utilisation is a share above 0 and below 1")
    _check(0.0 < terms.wait_s < math.inf, "wait", "the mean wait is a positive number of seconds")
    _check(0.0 <= terms.variation < math.inf, "variation", "the variation is not negative")
    _check(0 <= terms.spare <= 100, "spare", "0 to 100 may be away")
    _check(terms.inference_s is None or 0.0 < terms.inference_s < math.inf, "inference", "an inference takes time")
    _check(terms.inference_s is None or terms.asks_triton, "inference", "its time is given for a Triton alone")


def check_load(load: Load, costs: Costs) -> None:
    """Raises `OptionError` for what the service would not let in, or one worker could not do in time."""
    # As they are by default, not as they are set here: it is about other machines.
    limits, deadline_s = LimitSettings(), ServerSettings().request_deadline_seconds
    numbers = (load.clips_per_s, load.clip_events, load.streams, load.stream_events_per_minute)
    _check(all(0.0 <= number < math.inf for number in numbers), "clips", "rates and numbers are not negative")
    _check(load.clips_per_s > 0 or load.streams > 0, "clips", "there are clips or streams, or nothing is needed")
    _check(
        0.0 < load.clip_seconds <= limits.clip_seconds, "clip-seconds", f"a clip has at most {limits.clip_seconds:g} s"
    )
    for name, fps in (("clip-fps", load.clip_fps), ("stream-fps", load.stream_fps)):
        _check(0.0 < fps <= 1000.0, name, "a camera has up to 1000 frames per second")
    for name, size in (("clip-size", load.clip_size), ("stream-size", load.stream_size)):
        fits = min(size) > 0 and pixels(size) <= limits.frame_pixels
        _check(fits, name, f"a picture has at most {limits.frame_pixels} pixels")
    frames = load.clip_seconds * load.clip_fps
    _check(frames <= limits.clip_frames, "clip-fps", f"a clip has at most {limits.clip_frames} pictures")
    _check(
        frames * pixels(load.clip_size) <= limits.clip_pixels,
        "clip-size",
        f"a clip has at most {limits.clip_pixels} pixels",
    )
    clip_s = load.clip_s(costs)
    if load.clips_per_s:
        _check(clip_s <= deadline_s, "clip-seconds", f"a clip takes a worker {clip_s:.0f} s, and has {deadline_s:g} s")
    share = load.stream_s(costs)
    if load.streams:
        _check(share <= 1.0, "stream-fps", f"a stream would take {share:.2f} processors, and its worker has one")


def _check(holds: bool, option: str, message: str) -> None:  # noqa: FBT001 - what is checked
    if not holds:
        raise OptionError(message, option=option)
