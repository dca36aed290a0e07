"""What MOL is taught besides the class: the flow from frame to frame and 68 landmarks, both measured on the event.

The authors take the flow from an estimator and the landmarks from a detector, frame by frame. Here the flow is that of
`server.flow.estimate`, as networks of flow are served it. Landmarks are those of the onset, each moved by the flow from
the onset to the frame: found anew in each frame, they would carry noise as large as a micro-expression, which is why
the pipeline does not do so either. Both can be had of any clip, rendered or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from export.landmarks_68 import of_mesh
from server.contract import FlowMethod
from server.flow.estimate import estimate
from server.recipes.frames_8x128 import INPUT, SIZE_PX, make
from server.types import CROP_SIZE_PX, EventSample, Float32Array

FLOW, LANDMARKS = "flow", "landmarks"
_METHOD: FlowMethod = "accurate"


def joint_targets(event: EventSample) -> Mapping[str, npt.NDArray[Any]]:
    """Of an event with 8 frames: `flow` float16 [2, 128, 128, 7], u then v in px, from each frame to the next, and
    `landmarks` float32 [136, 8] in px of the frames, x0, y0, x1, ... of 68 points.

    Points of the chin lie beyond the lower border and move as the border does.
    """
    frames = np.rint(make(event)[INPUT][0])
    steps = [np.stack(estimate(before, after, _METHOD)) for before, after in pairwise(frames)]
    onset = of_mesh((event.landmarks_crop + 0.5) * (SIZE_PX / CROP_SIZE_PX) - 0.5)
    places = [onset, *(onset + _at(onset, np.dstack(estimate(frames[0], frame, _METHOD))) for frame in frames[1:])]
    return {
        FLOW: np.stack(steps, axis=-1).astype(np.float16),
        LANDMARKS: np.stack([points.ravel() for points in places], axis=-1).astype(np.float32),
    }


def _at(points: Float32Array, field: Float32Array) -> Float32Array:
    """`field` float32 [H, W, 2] at `points` float32 [N, 2] px: float32 [N, 2]."""
    x, y = (np.ascontiguousarray(points[:, None, axis]) for axis in (0, 1))
    found = cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found[:, 0], np.float32)
