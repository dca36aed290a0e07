"""The motion signals of the samples, extracted once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.media.decode import open_clip
from server.media.limits import MediaLimits
from server.pipeline.following import Following
from server.pipeline.measure import StageClock
from server.spotting.signal import MotionSignal

SAMPLES = Path(__file__).parents[2] / "samples"


@dataclass(frozen=True)
class Sample:
    """The motion of the one face of a sample, and what truly happens in it."""

    name: str
    signal: MotionSignal
    events: list[dict[str, Any]]

    @property
    def fps(self) -> float:
        """Frames per second."""
        return 1 / float(np.median(np.diff(self.signal.times_s)))


@pytest.fixture(scope="session")
def samples() -> list[Sample]:
    """All 13."""
    networks = FaceDetector(), FaceLandmarker()
    found = []
    for path in sorted(SAMPLES.glob("*.mp4")):
        following = Following(*networks, StageClock(), most=1, thorough=False)
        for frame in open_clip(path.read_bytes(), MediaLimits(60, 10_000, 4096 * 2304)):
            following.update(frame)
        (log,) = following.logs.values()
        truth = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        found.append(Sample(path.stem, log.signal(), truth["events"]))
    return found
