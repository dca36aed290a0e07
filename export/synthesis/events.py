"""Rendered expressions as the inputs of a recipe: what networks are trained on that look at faces, not at flow alone.

Each sample is one expression of one rendered person, with sensor noise, light, a swaying and turning head and, often, a
blink or a glance, sent through the stages that serve: landmarks on the onset, alignment of every frame with it, dense
flow, recipe. Onset, apex and offset err as spotting does. There is no video codec in between.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from export.labels import LABELS
from export.synthesis.action_units import UNITS
from export.synthesis.clip_renderer import ClipRenderer
from export.synthesis.corpus import iod_of
from export.synthesis.identities import default_face, draw_identity, make_identity
from export.synthesis.performance import Expression, Performance
from export.synthesis.scenes import SceneOptions, draw_performance
from server.contract import FlowMethod
from server.errors import FaceError, OptionError
from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.faces.pair import align_to
from server.flow.derive import flow_field
from server.flow.estimate import estimate
from server.recipes.registry import RECIPES
from server.types import EventSample, Float32Array, Frame, UInt8Array

if TYPE_CHECKING:
    # Processes that render need no torch.
    from export.networks.network import Extras

IDENTITIES = 60
SIZE_PX = 320
PEAK_IOD = (0.02, 0.08)
SPOTTING_ERROR_S = 0.01
"""Standard deviation of onset, apex and offset, as `python -m bench.spotting` finds it."""
_CHUNK = 20
_SCENE = SceneOptions(seconds=(1.3, 1.3), expressions=(1, 1), peak_iod=PEAK_IOD, speech=0, blinks=0.3, gaze=0.3)


@dataclass(frozen=True, slots=True)
class EventSamples:
    """`inputs` [N, *dims] by the names of the recipe, as uint8 where they are grey levels, else float16; `labels` int64
    [N] into `LABELS`; `action_units` float32 [N, 2, units], the intensity on the image-left and the image-right side;
    `people` int64 [N]; `extras` [N, ...] by name, which only training is told.
    """

    recipe: str
    inputs: Mapping[str, npt.NDArray[Any]]
    labels: npt.NDArray[np.int64]
    action_units: Float32Array
    people: npt.NDArray[np.int64]
    extras: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def sha256(self) -> str:
        """Hash of inputs, extras and labels."""
        digest = hashlib.sha256(self.recipe.encode())
        for name, values in (*sorted(self.inputs.items()), *sorted(self.extras.items())):
            digest.update(name.encode() + repr(values.shape).encode() + values.tobytes())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()

    def of_people(self, chosen: npt.NDArray[np.bool_]) -> EventSamples:
        """Those for which `chosen` bool [N] holds."""
        return replace(
            self,
            inputs={name: values[chosen] for name, values in self.inputs.items()},
            labels=self.labels[chosen],
            action_units=self.action_units[chosen],
            people=self.people[chosen],
            extras={name: values[chosen] for name, values in self.extras.items()},
        )


def render_events(
    recipe: str,
    count: int,
    seed: int,
    *,
    flow: FlowMethod = "accurate",
    extras: Extras | None = None,
    processes: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> EventSamples:
    """`count` samples of `recipe`, classes in turn, of `IDENTITIES` people made of the portrait, with their `extras`.

    The same seed gives the same samples for any number of processes. A person whose face is not found again in a frame,
    which is rare, leaves fewer. Raises `OptionError` for an unknown recipe and for a `count` below 1.
    """
    if recipe not in RECIPES:
        raise OptionError(f"no recipe {recipe!r}; there are: {', '.join(sorted(RECIPES))}", option="recipe")
    if count < 1:
        raise OptionError("count must be at least 1", option="samples")
    tasks = [range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
    return _samples(recipe, tasks, partial(_render, recipe, flow, extras, seed), processes, on_progress)


def render_people(
    recipe: str,
    people: Sequence[int],
    seed: int,
    *,
    flow: FlowMethod = "accurate",
    extras: Extras | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> EventSamples:
    """Of each of `people`, numbers below `IDENTITIES`, one of the samples that `render_events` has with the same seed,
    classes in turn.
    """
    first = [person * _CHUNK + (turn - person * _CHUNK) % len(LABELS) for turn, person in enumerate(people)]
    tasks = [range(number, number + 1) for number in first]
    return _samples(recipe, tasks, partial(_render, recipe, flow, extras, seed), 1, on_progress)


def _samples(
    recipe: str,
    tasks: Sequence[range],
    render: Callable[[range], list[_Sample]],
    processes: int,
    on_progress: Callable[[int, int], None] | None,
) -> EventSamples:
    """All `tasks` in one."""
    found: list[_Sample] = []
    done, count = 0, sum(map(len, tasks))
    for task, samples in zip(tasks, _run(render, tasks, processes), strict=True):
        found += samples
        done += len(task)
        if on_progress:
            on_progress(done, count)
    stacked = {name: np.stack([sample.inputs[name] for sample in found]) for name in RECIPES[recipe].dims}
    return EventSamples(
        recipe=recipe,
        inputs={name: _compact(values) for name, values in stacked.items()},
        labels=np.array([sample.label for sample in found], np.int64),
        action_units=np.stack([sample.action_units for sample in found]),
        people=np.array([sample.person for sample in found], np.int64),
        extras={name: np.stack([sample.extras[name] for sample in found]) for name in found[0].extras},
    )


@dataclass(frozen=True, slots=True)
class _Sample:
    inputs: Mapping[str, Float32Array]
    extras: Mapping[str, npt.NDArray[Any]]
    label: int
    action_units: Float32Array
    person: int


def _run(render: Callable[[range], list[_Sample]], tasks: Sequence[range], processes: int) -> Iterator[list[_Sample]]:
    if processes == 1 or len(tasks) <= 1:
        yield from map(render, tasks)
        return
    with ProcessPoolExecutor(min(processes, len(tasks)), mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(render, tasks)


def _render(recipe: str, flow: FlowMethod, extras: Extras | None, seed: int, numbers: range) -> list[_Sample]:
    """A chunk of samples, all of one person, who costs more to make than a sample."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        face = default_face()
        person = numbers.start // _CHUNK % IDENTITIES
        identity = make_identity(
            face, draw_identity([face], person, seed), size=SIZE_PX, iod_px=iod_of(person, seed, SIZE_PX)
        )
        renderer, stages = ClipRenderer(identity), _Stages(recipe, flow)
        found = []
        for number in numbers:
            rng = np.random.default_rng((seed, 7, number))
            performance = draw_performance(rng, _SCENE, sorted(LABELS)[number % len(LABELS)])
            (expression,) = performance.expressions
            try:
                event = stages(renderer, performance, _erring(rng, expression))
            except FaceError:
                continue
            told = extras(event) if extras else {}
            inputs = RECIPES[recipe].make(event)
            found.append(_Sample(inputs, told, LABELS.index(expression.label), _strengths(expression), person))
        return found
    finally:
        cv2.setNumThreads(threads)


def _erring(rng: np.random.Generator, expression: Expression) -> tuple[float, float, float]:
    """Onset, apex and offset as spotting might tell them, in seconds, in order."""
    onset, apex, offset = (
        np.array([expression.onset_s, expression.apex_s + expression.hold_s / 2, expression.offset_s])
        + SPOTTING_ERROR_S * rng.standard_normal(3)
    ).tolist()
    return onset, max(apex, onset + 0.03), max(offset, apex + 0.03, onset + 0.06)


def _strengths(expression: Expression) -> Float32Array:
    strengths = np.zeros((2, len(UNITS)), np.float32)
    for unit, intensity in expression.action_units.items():
        side = expression.sides[unit]
        for index, name in enumerate(("left", "right")):
            share = 1.0 if side in ("both", name) else expression.weak_side
            strengths[index, UNITS.index(unit)] = share * intensity
    return strengths


class _Stages:
    """The stages that make of one event what a recipe draws on."""

    def __init__(self, recipe: str, flow: FlowMethod) -> None:
        self._recipe, self._flow = RECIPES[recipe], flow
        self._detector, self._landmarker = FaceDetector(), FaceLandmarker()

    def __call__(
        self, renderer: ClipRenderer, performance: Performance, times_s: tuple[float, float, float]
    ) -> EventSample:
        onset_s, apex_s, offset_s = times_s
        wanted = [onset_s, apex_s, *np.linspace(onset_s, offset_s, self._recipe.frames).tolist()]
        planes = renderer.frames_at(performance, wanted)
        frames = [_frame(index, time_s, each) for index, (time_s, each) in enumerate(zip(wanted, planes, strict=True))]
        aligned = align_to(frames[0], frames[1:], self._landmarker, self._detector)
        crops = [crop.gray for crop in aligned.crops]
        before, after = aligned.anchor.gray, crops[0]
        motion = flow_field(*estimate(before, after, self._flow))
        course = np.stack(crops[1:]) if len(crops) > 1 else np.zeros((0, *before.shape), np.float32)
        return EventSample(before, after, aligned.landmarks_crop, motion, course)


def _frame(index: int, time_s: float, planes: UInt8Array) -> Frame:
    height = planes.shape[0] * 2 // 3
    return Frame(
        index, time_s, planes[:height], lambda: np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420), np.uint8)
    )


def _compact(values: Float32Array) -> npt.NDArray[Any]:
    """Grey levels as bytes, everything else as halves."""
    grey = values.min() >= 0 and 16 < values.max() < 255.5
    return np.rint(values).astype(np.uint8) if grey else values.astype(np.float16)
