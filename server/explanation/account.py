"""What a model answered with parts of a movement hidden, as an explanation of its answer to the whole.

The method is occlusion (Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014): it asks
nothing of a network but its answers, so that every model is explained alike.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

import cv2
import numpy as np

from server.explanation.parts import Occlusion, Part
from server.types import CROP_SIZE_PX, Float32Array
from server.visuals import Explanation, Field, Influence

_DECIMALS = 4
_MAP_SCALE = 1 / 32767
_ATTENTION_CELLS = 32


def account(
    occlusion: Occlusion, answers: Float32Array, label: str, probability: float, attention: Field | None = None
) -> Explanation:
    """The explanation of `label`, which was answered with `probability`.

    `answers` float32 [V] is the probability of `label` for each sample of `occlusion`, in its order. A drop is the
    answer to the whole movement less that with the part hidden, both from the same batch. There is no map where there
    are no cells.
    """
    drops = answers[0] - answers[1:]
    parts, cells = occlusion.parts, occlusion.cells
    told = list(zip(parts, drops[: len(parts)].tolist(), strict=True))
    return Explanation(
        method="occlusion",
        label=label,
        probability=probability,
        regions=_strongest((part, drop) for part, drop in told if part.kind == "region"),
        action_units=_strongest((part, drop) for part, drop in told if part.kind == "action-unit"),
        map=field_of(drops[len(parts) :].reshape(cells, cells), _MAP_SCALE) if cells else None,
        attention=attention,
    )


def attention_field(attention: Float32Array, shows: tuple[slice, slice]) -> Field:
    """What a network says it looked at, float32 [H, W], 0..1, on the rows and columns of the crop that it `shows`:
    32 x 32, each for 8 x 8 px of the crop, 0 where the network sees nothing.
    """
    rows, columns = shows
    crop = np.zeros((CROP_SIZE_PX, CROP_SIZE_PX), np.float32)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    crop[rows, columns] = cv2.resize(attention, size, interpolation=cv2.INTER_LINEAR)
    grid = cv2.resize(crop, (_ATTENTION_CELLS, _ATTENTION_CELLS), interpolation=cv2.INTER_AREA)
    return field_of(np.asarray(grid, dtype=np.float32), _MAP_SCALE)


def field_of(values: Float32Array, scale: float) -> Field:
    """`values` float32 [H, W], each at most 32767 times `scale`."""
    height, width = values.shape
    steps = np.rint(np.clip(values / scale, -32767, 32767)).astype("<i2")
    return Field(width, height, scale, base64.b64encode(steps.tobytes()).decode("ascii"))


def _strongest(told: Iterable[tuple[Part, float]]) -> tuple[Influence, ...]:
    found = [Influence(part.name, part.side, round(drop, _DECIMALS) + 0.0) for part, drop in told]
    return tuple(sorted(found, key=lambda each: (-each.drop, each.name, each.side)))
