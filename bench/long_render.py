"""Renders the long videos of `bench.long_videos`, twice encoded, with their ground truth beside them."""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from bench.rendered import SIZE_PX
from export.output import write_json
from export.synthesis.corpus import ClipPlan, iod_of, read_truth, render_plans
from export.synthesis.encoding import encode_planes
from export.synthesis.identities import FacePicture, default_face, draw_identity
from export.synthesis.long_scenes import LongScene, draw_long_performance

SECONDS = 120.0
WITH_EVENTS = 20
WITHOUT = 10
FAST_EVERY = 6
"""One video of so many has 60 frames a second instead of 30."""
FIRST_CRF = 18
SECOND_CRF = 23
_QUIET = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class LongPlan:
    """A video to be: what is rendered, and where it lies under the folder of its seed."""

    clip: ClipPlan
    seed: int
    name: str


def long_plans(
    seed: int,
    faces: Sequence[FacePicture],
    *,
    with_events: int = WITH_EVENTS,
    without: int = WITHOUT,
    seconds: float = SECONDS,
    fast_every: int = FAST_EVERY,
) -> list[LongPlan]:
    """Every video of `seed`, those with events first; one video, one person. `fast_every` 0: none at 60 fps."""
    plans = []
    for number in range(with_events + without):
        entropy = (seed, 6, number)
        quiet = number >= with_events
        scene = LongScene(seconds, _QUIET) if quiet else LongScene(seconds)
        fast = fast_every > 0 and number % fast_every == fast_every - 1
        name = f"{'quiet' if quiet else 'events'}_{number:02d}"
        clip = ClipPlan(
            path=f"{draw_identity(faces, number, seed).name}/{name}.mp4",
            identity=number,
            fps=60 if fast else 30,
            crf=FIRST_CRF,
            iod_px=iod_of(number, seed, SIZE_PX),
            performance=draw_long_performance(np.random.default_rng(entropy), scene),
            seed=entropy,
        )
        plans.append(LongPlan(clip, seed, f"{name}.mp4"))
    return plans


def render_long(
    folder: Path,
    plans: Sequence[LongPlan],
    *,
    processes: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """The videos of `plans` in `folder`: those that are there are kept. A video is there once its .json is."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [(folder, plan) for plan in plans if not (folder / plan.name).with_suffix(".json").is_file()]
    done = len(plans) - len(missing)
    on_progress(done, len(plans))
    for _ in _each(missing, processes):
        done += 1
        on_progress(done, len(plans))
    return [folder / plan.name for plan in plans]


def _each(tasks: Sequence[tuple[Path, LongPlan]], processes: int) -> Iterator[None]:
    if processes == 1 or len(tasks) <= 1:
        yield from map(_make, tasks)
        return
    with ProcessPoolExecutor(min(processes, len(tasks)), mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_make, tasks)


def _make(task: tuple[Path, LongPlan]) -> None:
    folder, plan = task
    cv2.setNumThreads(1)
    scratch = Path(tempfile.mkdtemp(prefix=".first-", dir=folder))
    try:
        render_plans(scratch, [plan.clip], [default_face()], seed=plan.seed, size=SIZE_PX)
        first = scratch / plan.clip.path
        frames = recompress(first, folder / plan.name, plan.clip.fps, SECOND_CRF)
        truth = read_truth(first)
        if frames != truth["frames"]:
            message = f"{plan.name}: {truth['frames']} frames were rendered, {frames} came through the second encoding"
            raise RuntimeError(message)
        write_json((folder / plan.name).with_suffix(".json"), {**truth, "clip": plan.name, "second_crf": SECOND_CRF})
    finally:
        shutil.rmtree(scratch)


def recompress(source: Path, target: Path, fps: int, crf: int) -> int:
    """Decode a video and encode it again, as a platform does that it is sent to. Returns the number of frames."""
    with av.open(str(source)) as given:
        planes = (np.asarray(frame.to_ndarray(), np.uint8) for frame in given.decode(video=0))
        return encode_planes(planes, target, fps, crf)
