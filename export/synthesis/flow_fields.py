"""Labelled onset-to-apex flow images made from action units alone: no person's data takes part.

A face is drawn, the units of one combination of the class move it, the head moves, the estimator errs, and the result
is stored as the published images are: u, v and strain at 28 x 28, each stretched to 0..255.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from export.labels import LABELS
from export.synthesis.draws import Draws
from export.synthesis.face_geometry import Grid, draw_geometry, texture_map
from export.synthesis.facial_motion import draw_acts, place_bumps, sum_bumps, unit_intensities
from export.synthesis.flow_noise import add_noise, smooth_like_tv_l1, vary_texture
from export.synthesis.head_motion import head_motion, still_background
from export.synthesis.sources import Source, check_sources
from server.errors import OptionError
from server.types import Float32Array, UInt8Array

CHUNK = 512
"""Samples that share one generator: part of what a seed means, so that processes may share the work."""


@dataclass(frozen=True, slots=True)
class FlowSamples:
    """`images` uint8 [N, 3, 28, 28] (u, v, strain), `labels` int64 [N] into `LABELS`, and `action_units` float32
    [N, 2, units] (columns as `action_units.UNITS`), how strongly each unit moves the image-left and -right side.
    """

    images: UInt8Array
    labels: npt.NDArray[np.int64]
    action_units: Float32Array

    def sha256(self) -> str:
        """Hash of images and labels."""
        return hashlib.sha256(self.images.tobytes() + self.labels.astype("<i8").tobytes()).hexdigest()


def synthesize_flow(
    samples: int,
    seed: int,
    *,
    sources: Sequence[Source] = (),
    processes: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> FlowSamples:
    """`samples` samples, the classes equally likely. The same `seed` gives the same samples for any `processes`.

    Expressions are those of `action_units.COMBINATIONS`, or with `sources` those that MiE-X takes from them.
    `on_progress(done, total)` counts samples. Raises `OptionError` for numbers below 1, a negative seed, and a source
    that is none.
    """
    if samples < 1 or processes < 1 or seed < 0:
        raise OptionError("samples and processes must be at least 1, and seed at least 0", stage="synthesis")
    if sources:
        check_sources(sources)
    chosen = tuple(sources)
    tasks = [_Task(min(CHUNK, samples - start), seed, start // CHUNK, chosen) for start in range(0, samples, CHUNK)]
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
        images = flow_images(flow, strain_power=draws.uniform(1.0, 1.7, 1, 1))
        return FlowSamples(images.numpy(), labels.numpy(), unit_intensities(acts).numpy())


def flow_images(flow: Tensor, strain_power: Tensor) -> Tensor:
    """uint8 [N, 3, 28, 28]: u, v and strain^`strain_power` of `flow` [N, 2, 56, 56], each stretched to 0..255.

    Strain is the norm of the symmetric gradient, sqrt(ux^2 + vy^2 + (uy + vx)^2 / 2). Powers above 1 (`strain_power`
    [N, 1, 1]) imitate the peakier strain of finer grids.
    """
    u, v = flow.unbind(1)
    (u_y, u_x), (v_y, v_x) = torch.gradient(u, dim=(1, 2)), torch.gradient(v, dim=(1, 2))
    strain = torch.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2) ** strain_power
    images = functional.avg_pool2d(torch.stack([u, v, strain], dim=1), 2)
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return ((images - low) / (high - low + 1e-9) * 255).round().to(torch.uint8)
