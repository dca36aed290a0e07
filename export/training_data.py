"""What a network is trained on and its progress measured on: synthetic samples, folders of real ones, or both."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.cards import SYNTHETIC_DATA
from export.data.flow_images import RECIPE as FLOW_IMAGES_RECIPE
from export.data.flow_images import FlowImages, read_flow_images
from export.synthesis.action_units import UNITS
from export.synthesis.flow_fields import SCALES, Float16Array, FlowSamples, synthesize_flow
from export.synthesis.sources import Source as UnitSource
from server.errors import InputError, OptionError
from server.types import Float32Array, UInt8Array

VALIDATION_SAMPLES = 1500
CALIBRATION_SAMPLES = 6000
HELD_OUT_SHARE = 0.1
_CALIBRATION_SEEDS = 1 << 63
"""Added to a seed, so that people of the calibration are those of no training. The first chunk of seed s + (n << 32) is
chunk n of seed s (see `synthesis.draws`), so n is a number of chunks that no training has.
"""


@dataclass(frozen=True, slots=True)
class Source:
    """One of several sources, whose samples lie together: how many are trained on, how many of them are `drawn` in an
    epoch (more than there are means some twice), and how many are held out.
    """

    name: str
    sha256: str
    samples: int
    drawn: int
    held_out: int


@dataclass(frozen=True, slots=True)
class TrainingData:
    """`images` [N, 3, 28, 28] as `recipe` has them and `FlowSamples` stores them, `labels` int64 [N], those held out
    for validation, and where they come from.

    `action_units` float32 [N, 2, units], columns as `synthesis.action_units.UNITS`: how strongly each unit moves the
    image-left and the image-right side; None where that is not known, not a number for samples of which it is not.
    `validation_action_units` are those held out. `calibration` are further synthetic samples, which a network that can
    be calibrated is calibrated on. `sources` is empty where there is one source alone. `real_images` are the hashes
    (see `FlowImages.image_hashes`) of all samples that were recorded, not made.
    """

    images: UInt8Array | Float16Array
    labels: npt.NDArray[np.int64]
    validation_images: UInt8Array | Float16Array
    validation_labels: npt.NDArray[np.int64]
    description: str
    sha256: str
    action_units: Float32Array | None = None
    validation_action_units: Float32Array | None = None
    calibration: FlowSamples | None = None
    sources: tuple[Source, ...] = ()
    real_images: frozenset[str] = frozenset()
    recipe: str = FLOW_IMAGES_RECIPE

    @property
    def epoch_samples(self) -> int:
        """How many samples an epoch has."""
        return sum(source.drawn for source in self.sources) if self.sources else len(self.labels)

    def content_sha256(self) -> str:
        """Hash of all that training can see: samples, labels, units, how they are split and drawn, and calibration."""
        digest = hashlib.sha256(repr(self.sources).encode())
        arrays = (self.images, self.labels, self.validation_images, self.validation_labels)
        for array in (*arrays, self.action_units, self.validation_action_units):
            digest.update(b"none" if array is None else repr(array.shape).encode() + array.tobytes())
        if self.calibration:
            digest.update(self.calibration.sha256().encode() + self.calibration.action_units.tobytes())
        return digest.hexdigest()


def synthetic_data(
    samples: int,
    seed: int,
    *,
    recipe: str = FLOW_IMAGES_RECIPE,
    sources: Sequence[UnitSource] = (),
    calibration: bool = False,
    processes: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> TrainingData:
    """`samples` synthetic samples to train on and `VALIDATION_SAMPLES` more, with `calibration` also
    `CALIBRATION_SAMPLES` of other people, scaled as `recipe` is, from the `sources` that `synthesize_flow` takes. Reads
    no file.

    `on_progress(done, total)` counts samples. Raises `OptionError` for numbers out of range, and for a recipe of which
    there are no synthetic samples.
    """
    if recipe not in SCALES:
        raise OptionError(f"there are no synthetic samples of {recipe}, only of {', '.join(SCALES)}", option="data")
    make = partial(synthesize_flow, scale=SCALES[recipe], sources=sources, processes=processes)
    made = make(samples + VALIDATION_SAMPLES, seed, on_progress=on_progress)
    description = f"{SYNTHETIC_DATA}; sources of MiE-X: {', '.join(sources)}" if sources else SYNTHETIC_DATA
    return TrainingData(
        images=made.images[:samples],
        labels=made.labels[:samples],
        validation_images=made.images[samples:],
        validation_labels=made.labels[samples:],
        description=description,
        sha256=made.sha256(),
        action_units=made.action_units[:samples],
        validation_action_units=made.action_units[samples:],
        calibration=make(CALIBRATION_SAMPLES, seed + _CALIBRATION_SEEDS) if calibration else None,
        recipe=recipe,
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
        real_images=frozenset(data.image_hashes()),
    )


def mixed_data(parts: Sequence[tuple[str, TrainingData]], shares: Sequence[float] | None = None) -> TrainingData:
    """Several sources, by name, as one. Held-out samples stay held out.

    An epoch has as many samples as there are. Without `shares` it is every sample once; with them (one positive number
    for each source) source i gives its share of the epoch, in whole passes over its samples as far as that goes. A
    single source is returned as it is. Raises `OptionError` for shares that do not fit, for a source given twice, and
    for sources of different recipes.
    """
    if shares is not None and (len(shares) != len(parts) or not all(0 < share < np.inf for share in shares)):
        raise OptionError(f"a mix of {len(parts)} sources needs {len(parts)} positive numbers", option="mix")
    if len({data.sha256 for _, data in parts}) < len(parts):
        raise OptionError("a source was given twice; to draw it more often, use a mix", option="data")
    if len({data.recipe for _, data in parts}) > 1:
        kinds = ", ".join(f"{name} {data.recipe}" for name, data in parts)
        raise OptionError(f"sources of different recipes cannot be mixed: {kinds}", option="data")
    if len(parts) == 1:
        return parts[0][1]
    every = [data for _, data in parts]
    counts = [len(data.labels) for data in every]
    drawn = counts if shares is None else _rounded_shares(shares, sum(counts))
    sources = tuple(
        Source(name, data.sha256, count, take, len(data.validation_labels))
        for (name, data), count, take in zip(parts, counts, drawn, strict=True)
    )
    told = [f"{data.description} ({take} drawn an epoch)" for data, take in zip(every, drawn, strict=True)]
    return TrainingData(
        images=np.concatenate([data.images for data in every]),
        labels=np.concatenate([data.labels for data in every]),
        validation_images=np.concatenate([data.validation_images for data in every]),
        validation_labels=np.concatenate([data.validation_labels for data in every]),
        description=" + ".join(told),
        sha256=hashlib.sha256("".join(data.sha256 for data in every).encode()).hexdigest(),
        action_units=_stacked_units([(data.action_units, len(data.labels)) for data in every]),
        validation_action_units=_stacked_units(
            [(data.validation_action_units, len(data.validation_labels)) for data in every]
        ),
        calibration=next((data.calibration for data in every if data.calibration), None),
        sources=sources,
        real_images=frozenset().union(*(data.real_images for data in every)),
        recipe=every[0].recipe,
    )


def _rounded_shares(shares: Sequence[float], total: int) -> list[int]:
    """Whole numbers in the proportion of `shares` that add up to `total`, but for those that would be none."""
    bounds = np.round(np.cumsum(shares) / np.sum(shares) * total).astype(int)
    return [max(1, int(count)) for count in np.diff(bounds, prepend=0)]


def _stacked_units(parts: Sequence[tuple[Float32Array | None, int]]) -> Float32Array | None:
    if all(units is None for units, _ in parts):
        return None
    unknown = [np.full((count, 2, len(UNITS)), np.nan, np.float32) for _, count in parts]
    return np.concatenate([blank if units is None else units for (units, _), blank in zip(parts, unknown, strict=True)])


def _held_out(data: FlowImages, seed: int) -> npt.NDArray[np.bool_]:
    people = list(zip(data.datasets, data.subjects, strict=True))
    distinct = sorted(set(people))
    if len(distinct) < 2:
        raise InputError("training needs at least two subjects, one of them to be held out")
    count = max(1, round(HELD_OUT_SHARE * len(distinct)))
    chosen = {distinct[i] for i in np.random.default_rng(seed).permutation(len(distinct))[:count]}
    return np.array([person in chosen for person in people])
