"""Rendered clips by the thousand: many people, many expressions, ground truth beside each, an index over all.

The same options and seed give the same clips, in any number of processes and in any number of runs: a clip whose ground
truth exists is kept.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from export.data.flow_images import COLUMNS, INDEX
from export.repository import replace_file
from export.synthesis.clip_renderer import ClipRenderer
from export.synthesis.encoding import encode_planes
from export.synthesis.identities import FacePicture, draw_identity, make_identity
from export.synthesis.performance import Performance
from export.synthesis.scenes import SceneOptions, draw_performance
from export.synthesis.sources import CLASSES, check_sources
from server.errors import InputError, OptionError

DATASET = "rendered"
NO_EVENT = "none"
"""Label of a clip without an expression."""
OPTIONS = "corpus.json"
"""How the clips of a folder are made, so that a later run does not mix them with others."""
RATES = (25, 30, 60, 100, 200)
INDEX_COLUMNS = (*COLUMNS, "fps", "frames", "seed", "face", "source", "action_units", "blinks", "speech_s", "crf")
EMPTY_SHARE = 0.1
"""Clips without any expression, which a detector must learn to leave alone."""
_CRF = (16, 26)
_IOD_PX = (90.0, 110.0)
_CHUNK = 8


@dataclass(frozen=True, slots=True)
class CorpusOptions:
    """What a corpus is made of. `identities` people are drawn, clip n showing number n modulo `identities`."""

    seed: int = 0
    identities: int = 50
    size: int = 400
    rates: Sequence[int] = RATES
    scene: SceneOptions = field(default_factory=SceneOptions)

    def check(self) -> None:
        """Raise `OptionError` for what cannot be made."""
        check_sources(self.scene.sources)
        if self.seed < 0 or self.identities < 1:
            raise OptionError("the seed must be at least 0 and identities at least 1", option="identities")
        if self.size % 16 or not 240 <= self.size <= 1024:
            raise OptionError(f"size is {self.size}, but must be a multiple of 16 from 240 to 1024", option="size")
        wrong = [rate for rate in self.rates if not 10 <= rate <= 240]
        if wrong or not self.rates:
            raise OptionError("frame rates must be from 10 to 240", option="fps")
        low, high = self.scene.seconds
        most = self.scene.expressions[1]
        if not 0.4 <= low <= high <= 120 or low < 0.9 * most + 0.4:
            message = f"{low:g} to {high:g} seconds do not hold {most} expressions, or are not 0.4 to 120 s"
            raise OptionError(message, option="seconds")
        if self.scene.peak_iod is not None and not 0 < self.scene.peak_iod[0] <= self.scene.peak_iod[1] <= 0.2:
            raise OptionError("peaks must be two rising numbers above 0 and up to 0.2", option="peak_iod")


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """One clip to render: everything about it is known before the first frame is made."""

    path: str
    identity: int
    fps: int
    crf: int
    iod_px: float
    performance: Performance
    seed: tuple[int, ...]


def plan_clip(number: int, options: CorpusOptions, faces: Sequence[FacePicture]) -> ClipPlan:
    """Clip `number` of a corpus; the classes take turns, so that they are equally many."""
    entropy = (options.seed, 3, number)
    rng = np.random.default_rng(entropy)
    identity = number % options.identities
    person = draw_identity(faces, identity, options.seed)
    scene = options.scene
    if rng.random() < EMPTY_SHARE:
        scene = replace(scene, expressions=(0, 0))
    label = sorted(CLASSES)[(number // options.identities + identity) % len(CLASSES)]
    return ClipPlan(
        path=f"{person.name}/{number:06d}.mp4",
        identity=identity,
        fps=int(options.rates[int(rng.integers(len(options.rates)))]),
        crf=int(rng.integers(_CRF[0], _CRF[1] + 1)),
        # The eye distance belongs to the person: one base picture serves all clips of them.
        iod_px=iod_of(identity, options.seed, options.size),
        performance=draw_performance(rng, scene, label),
        seed=entropy,
    )


def iod_of(identity: int, seed: int, size: int) -> float:
    """Eye distance of a person before their proportions change it, px: 90 to 110 in a picture of 400 px."""
    return round(float(np.random.default_rng([seed, 4, identity]).uniform(*_IOD_PX)) * size / 400, 2)


def make_corpus(
    output: Path,
    count: int,
    options: CorpusOptions,
    faces: Sequence[FacePicture],
    *,
    processes: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Render `count` clips into `output` and list them in its index.csv.

    Returns:
        The index.

    Raises:
        OptionError: options that cannot be.
        InputError: `output` holds clips that were made with other options.
    """
    options.check()
    if count < 1:
        raise OptionError("count must be at least 1", option="count")
    _claim(output, options, faces)
    plans = [plan_clip(number, options, faces) for number in range(count)]
    render_plans(
        output, plans, faces, seed=options.seed, size=options.size, processes=processes, on_progress=on_progress
    )
    return write_index(output, [plan.path for plan in plans])


def render_plans(
    output: Path,
    plans: Sequence[ClipPlan],
    faces: Sequence[FacePicture],
    *,
    seed: int,
    size: int,
    processes: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Render what is missing of `plans`, with the ground truth of each as .json beside it."""
    missing = [plan for plan in plans if not (output / plan.path).with_suffix(".json").is_file()]
    by_person: dict[int, list[ClipPlan]] = {}
    for plan in missing:
        by_person.setdefault(plan.identity, []).append(plan)
    tasks = [
        _Task(output, tuple(own[start : start + _CHUNK]), faces[person % len(faces)], seed, size)
        for person, own in by_person.items()
        for start in range(0, len(own), _CHUNK)
    ]
    done = len(plans) - len(missing)
    on_progress(done, len(plans))
    for rendered in _run(tasks, processes):
        done += rendered
        on_progress(done, len(plans))


def write_index(output: Path, paths: Sequence[str]) -> Path:
    """List clips in index.csv from the ground truth beside them."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, INDEX_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for path in paths:
        truth = read_truth(output / path)
        writer.writerow(_row(path, truth))
    index = output / INDEX
    replace_file(index, text.getvalue().encode())
    return index


def read_truth(path: Path) -> dict[str, Any]:
    """The ground truth beside a clip."""
    truth: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return truth


@dataclass(frozen=True, slots=True)
class _Task:
    """Clips of one person, which share a base picture and fields of motion."""

    output: Path
    plans: tuple[ClipPlan, ...]
    face: FacePicture
    seed: int
    size: int


def _run(tasks: list[_Task], processes: int) -> Iterator[int]:
    if processes == 1 or len(tasks) <= 1:
        for task in tasks:
            yield from _clips(task)
        return
    with ProcessPoolExecutor(min(processes, len(tasks)), mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_render, tasks)


def _render(task: _Task) -> int:
    return sum(_clips(task))


def _clips(task: _Task) -> Iterator[int]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        person = draw_identity([task.face], task.plans[0].identity, task.seed)
        identity = make_identity(task.face, person, size=task.size, iod_px=task.plans[0].iod_px)
        renderer = ClipRenderer(identity)
        for plan in task.plans:
            _write(renderer, plan, task, person.record())
            yield 1
    finally:
        cv2.setNumThreads(threads)


def _write(renderer: ClipRenderer, plan: ClipPlan, task: _Task, person: dict[str, Any]) -> None:
    path = task.output / plan.path
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = encode_planes(renderer.frames(plan.performance, plan.fps), path, plan.fps, plan.crf)
    truth = {
        "clip": path.name,
        **plan.performance.ground_truth(plan.fps),
        "frames": frames,
        "size": task.size,
        "crf": plan.crf,
        "identity": {**person, "iod_px": round(renderer.iod_px, 2)},
        "clip_seed": list(plan.seed),
    }
    replace_file(path.with_suffix(".json"), (json.dumps(truth, indent=1) + "\n").encode())


def _row(path: str, truth: dict[str, Any]) -> dict[str, Any]:
    events = truth["events"]
    labels = {event["label"] for event in events}
    units = ["+".join(str(unit["au"]) for unit in event["action_units"]) for event in events]
    return {
        "path": path,
        "dataset": DATASET,
        "subject": truth["identity"]["name"],
        "label": labels.pop() if len(labels) == 1 else "mixed" if labels else NO_EVENT,
        "fps": truth["fps"],
        "frames": truth["frames"],
        "seed": "-".join(str(part) for part in truth["clip_seed"]),
        "face": truth["identity"]["face"],
        "source": " ".join(event["source"] for event in events),
        "action_units": " ".join(units),
        "blinks": len(truth["blinks"]),
        "speech_s": round(sum(part["end_s"] - part["start_s"] for part in truth["speech"]), 3),
        "crf": truth["crf"],
    }


def _claim(output: Path, options: CorpusOptions, faces: Sequence[FacePicture]) -> None:
    """Note how the clips of `output` are made. Raises `InputError` where some were made in another way."""
    described = {
        **asdict(options),
        "faces": [[face.name, hashlib.sha256(face.rgb.tobytes()).hexdigest()[:16]] for face in faces],
    }
    content = json.dumps(described, indent=2) + "\n"
    file = output / OPTIONS
    if file.is_file() and file.read_text(encoding="utf-8") != content:
        raise InputError(f"{output} holds clips that were made with other options; choose another folder")
    if not file.is_file() and output.exists() and any(output.iterdir()):
        raise InputError(f"{output} holds something else; choose an empty folder")
    output.mkdir(parents=True, exist_ok=True)
    replace_file(file, content.encode())
