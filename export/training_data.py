"""What a network is trained on and what its progress is measured on: synthetic samples, or a folder of real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.cards import SYNTHETIC_DATA
from export.data.flow_images import FlowImages, read_flow_images
from export.synthesis.flow_fields import synthesize_flow
from server.errors import InputError
from server.types import Float32Array, UInt8Array

VALIDATION_SAMPLES = 1500
HELD_OUT_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class TrainingData:
    """`images` uint8 [N, 3, 28, 28] and `labels` int64 [N], those held out for validation, and where they come from.

    `action_units` float32 [N, 2, units], columns as `synthesis.action_units.UNITS`: how strongly each unit moves the
    image-left and the image-right side; None where that is not known. `validation_action_units` are those held out.
    """

    images: UInt8Array
    labels: npt.NDArray[np.int64]
    validation_images: UInt8Array
    validation_labels: npt.NDArray[np.int64]
    description: str
    sha256: str
    action_units: Float32Array | None = None
    validation_action_units: Float32Array | None = None


def synthetic_data(
    samples: int, seed: int, *, processes: int = 1, on_progress: Callable[[int, int], None] | None = None
) -> TrainingData:
    """`samples` synthetic samples to train on and `VALIDATION_SAMPLES` more. Reads no file.

    `on_progress(done, total)` counts samples. Raises `OptionError` for numbers out of range.
    """
    made = synthesize_flow(samples + VALIDATION_SAMPLES, seed, processes=processes, on_progress=on_progress)
    return TrainingData(
        images=made.images[:samples],
        labels=made.labels[:samples],
        validation_images=made.images[samples:],
        validation_labels=made.labels[samples:],
        description=SYNTHETIC_DATA,
        sha256=made.sha256(),
        action_units=made.action_units[:samples],
        validation_action_units=made.action_units[samples:],
    )


def folder_data(folder: Path, seed: int) -> TrainingData:
    """The samples of `folder`, a tenth of its subjects held out whole for validation.

    Raises `InputError` as `read_flow_images` does, and when there are fewer than two subjects.
    """
    data = read_flow_images(folder)
    held_out = _held_out(data, seed)
    counts = f"{(~held_out).sum()} samples of {', '.join(sorted(set(data.datasets)))}; {held_out.sum()} held out"
    return TrainingData(
        images=data.images[~held_out],
        labels=data.labels[~held_out],
        validation_images=data.images[held_out],
        validation_labels=data.labels[held_out],
        description=f"{folder.name}: {counts}",
        sha256=data.sha256,
    )


def _held_out(data: FlowImages, seed: int) -> npt.NDArray[np.bool_]:
    people = list(zip(data.datasets, data.subjects, strict=True))
    distinct = sorted(set(people))
    if len(distinct) < 2:
        raise InputError("training needs at least two subjects, one of them to be held out")
    count = max(1, round(HELD_OUT_SHARE * len(distinct)))
    chosen = {distinct[i] for i in np.random.default_rng(seed).permutation(len(distinct))[:count]}
    return np.array([person in chosen for person in people])
