"""Labelled onset-to-apex flow images made from action units alone: no person's data takes part.

A face is drawn, the units of one combination of the class move it, the head moves, the estimator errs, and the result
is stored at 28 x 28 as one of the recipes of the service has it: u, v and strain each stretched to 0..255, as in the
published images, or in percent of the inter-ocular distance.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from export.labels import LABELS
from export.synthesis.draws import Draws
from export.synthesis.face_geometry import GRID, Grid, draw_geometry, texture_map
from export.synthesis.facial_motion import draw_acts, place_bumps, sum_bumps, unit_intensities
from export.synthesis.flow_noise import add_noise, smooth_like_tv_l1, vary_texture
from export.synthesis.head_motion import head_motion, still_background
from export.synthesis.sources import Source, check_sources
from server.errors import OptionError
from server.recipes.flow_uvs_28_iod import MOTION_BOUND, STRAIN_BOUND
from server.types import CROP_IOD_PX, Float32Array, UInt8Array

CHUNK = 512
"""Samples that share one generator: part of what a seed means, so that processes may share the work."""
Scale: TypeAlias = Literal["stretched", "iod"]
SCALES: Mapping[str, Scale] = {"flow_uvs_28": "stretched", "flow_uvs_28_iod": "iod"}
"""By recipe, how samples are scaled that stand for its tensors."""
Float16Array: TypeAlias = npt.NDArray[np.float16]
FULL_MICRO_IOD_PERCENT = 3.0
"""Displacement of a micro-expression of intensity 1, the unit of the generator."""
STRENGTH_SPREAD = 0.4
"""Standard deviation of the logarithm of that displacement between people and moments."""
_CELLS_PER_IOD = GRID * CROP_IOD_PX / 192.0
"""The grid spans the 192 px square of the crop that the recipes show."""


@dataclass(frozen=True, slots=True)
class FlowSamples:
    """`images` [N, 3, 28, 28] (u, v, strain), uint8 0..255 or float16 in percent (see `Scale`), `labels` int64 [N] into
    `LABELS`, and `action_units` float32 [N, 2, units] (columns as `action_units.UNITS`), how strongly each unit moves
    the image-left and -right side.
    """

    images: UInt8Array | Float16Array
    labels: npt.NDArray[np.int64]
    action_units: Float32Array

    def sha256(self) -> str:
        """Hash of images and labels."""
        return hashlib.sha256(self.images.tobytes() + self.labels.astype("<i8").tobytes()).hexdigest()


def synthesize_flow(
    samples: int,
    seed: int,
    *,
    scale: Scale = "stretched",
    sources: Sequence[Source] = (),
    processes: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> FlowSamples:
    """`samples` samples, the classes equally likely. The same `seed` gives the same samples for any `processes`, and
    the same motion of the same people in either `scale`: "stretched" as recipe `flow_uvs_28` has it, "iod" as
    `flow_uvs_28_iod`.

    Expressions are those of `action_units.COMBINATIONS`, or with `sources` those that MiE-X takes from them.
    `on_progress(done, total)` counts samples. Raises `OptionError` for numbers below 1, a negative seed, and a source
    that is none.
    """
    if samples < 1 or processes < 1 or seed < 0:
        raise OptionError("samples and processes must be at least 1, and seed at least 0", stage="synthesis")
    if sources:
        check_sources(sources)
    chosen = tuple(sources)
    starts = range(0, samples, CHUNK)
    tasks = [_Task(min(CHUNK, samples - start), seed, start // CHUNK, chosen, scale) for start in starts]
    parts: list[FlowSamples] = []
    done = 0
    for part in _run(tasks, processes):
        parts.append(part)
        done += len(part.labels)
        if on_progress:
            on_progress(done, samples)
    return FlowSamples(
        images=np.concatenate([part.images for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        action_units=np.concatenate([part.action_units for part in parts]),
    )


def _run(tasks: list[_Task], processes: int) -> Iterator[FlowSamples]:
    if processes == 1 or len(tasks) == 1:
        yield from map(_chunk, tasks)
        return
    with ProcessPoolExecutor(min(processes, len(tasks)), mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_chunk, tasks)


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums are split by thread, so only one thread gives the same bits on every machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True, slots=True)
class _Task:
    """One chunk."""

    samples: int
    seed: int
    index: int
    sources: tuple[Source, ...]
    scale: Scale


def _chunk(task: _Task) -> FlowSamples:
    draws = Draws(task.samples, (task.seed, task.index))
    with one_thread(), torch.inference_mode():
        labels = draws.integers(len(LABELS))
        face, grid = draw_geometry(draws), Grid.build()
        acts = draw_acts(draws, labels, task.sources)
        flow = sum_bumps(draws, place_bumps(draws, acts, face), grid) + head_motion(draws, face, grid)
        flow = still_background(draws, flow, grid)
        texture = vary_texture(draws, texture_map(face, grid))
        flow = smooth_like_tv_l1(draws, add_noise(draws, flow, texture, grid), texture)
        strain_power = draws.uniform(1.0, 1.7, 1, 1)
        if task.scale == "stretched":
            images = flow_images(flow, strain_power)
        else:
            # Drawn last, so that everything before it is the same in either scale.
            strength = torch.exp(STRENGTH_SPREAD * draws.normal(1, 1, 1))
            images = flow_in_iod(flow * (FULL_MICRO_IOD_PERCENT * strength))
        return FlowSamples(images.numpy(), labels.numpy(), unit_intensities(acts).numpy())


def flow_images(flow: Tensor, strain_power: Tensor) -> Tensor:
    """uint8 [N, 3, 28, 28]: u, v and strain^`strain_power` of `flow` [N, 2, 56, 56], each stretched to 0..255.

    Powers above 1 (`strain_power` [N, 1, 1]) imitate the peakier strain of finer grids.
    """
    images = _averaged(flow, _strain(flow) ** strain_power)
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return ((images - low) / (high - low + 1e-9) * 255).round().to(torch.uint8)


def flow_in_iod(flow: Tensor) -> Tensor:
    """float16 [N, 3, 28, 28]: u and v in percent of the IOD and strain in percent, within the bounds of recipe
    `flow_uvs_28_iod`, of `flow` [N, 2, 56, 56] in percent of the IOD.
    """
    images = _averaged(flow, _strain(flow) * _CELLS_PER_IOD)
    motion = images[:, :2].clamp(-MOTION_BOUND, MOTION_BOUND)
    return torch.cat([motion, images[:, 2:].clamp(max=STRAIN_BOUND)], dim=1).to(torch.float16)


def _averaged(flow: Tensor, strain: Tensor) -> Tensor:
    return functional.avg_pool2d(torch.cat([flow, strain[:, None]], dim=1), 2)


def _strain(flow: Tensor) -> Tensor:
    """Norm of the symmetric gradient, sqrt(ux^2 + vy^2 + (uy + vx)^2 / 2), per cell: [N, 56, 56]."""
    u, v = flow.unbind(1)
    (u_y, u_x), (v_y, v_x) = torch.gradient(u, dim=(1, 2)), torch.gradient(v, dim=(1, 2))
    return torch.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2)
