"""Events of which it is known what moved, for `bench.explanation`: those of samples, and those of unseen clips.

Unseen clips are rendered with a seed of their own: five identities, 30, 60 and 200 frames per second, one expression of
0.02 to 0.06 eye distances each, drawn from action units as all rendered clips are, with the head motion, blinks, gaze
shifts, light, noise and compression of `bench.rendered`. What moved follows from the action units of the truth.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.rendered import SIZE_PX, plans
from bench.scoring import matches
from export.synthesis.corpus import ClipPlan, render_plans
from export.synthesis.identities import default_face
from export.synthesis.mesh_motion import peak_displacement
from server.contract import FlowMethod
from server.explanation.parts import Occlusion
from server.media.limits import MediaLimits
from server.pipeline.jobs import ClipFindings, ClipJob, ExplainJob
from server.pipeline.stages import Stages

SAMPLES = Path("samples")
CLIPS = ("negative", "positive", "surprise", "negative_60fps", "positive_60fps", "surprise_60fps")
SEED = 20270
"""Nothing else uses it: neither development nor training nor another bench."""
BY_LABEL = {
    "negative": ("brow", "upper_face"),
    "positive": ("mouth_corner", "lower_face"),
    "surprise": ("brow", "upper_face"),
}
"""By label: the region that moves in the samples, and the half of the face that it is in."""
REGION_OF: Mapping[int, str] = MappingProxyType(
    dict.fromkeys((1, 2, 4), "brow")
    | dict.fromkeys((5, 7), "eye")
    | dict.fromkeys((12, 14, 15, 18, 20, 23), "mouth_corner")
    | dict.fromkeys((10, 16, 17, 24, 25, 26), "lips")
)
"""By action unit: the region that the renderer moves farthest (`server.flow.contraction.FULL_MOTION`). AU 6 and 9 are
not here: they move skin in both halves of the face.
"""
_UPPER = frozenset({"brow", "eye"})
_PLENTY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Moved:
    """An expression as it was rendered: its label, the region that moved and the half of the face that it is in."""

    label: str
    region: str
    half: str


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip with its true events and what moved in each."""

    name: str
    data: bytes
    events: Sequence[Mapping[str, Any]]
    moved: Sequence[Moved]


def moved(event: Mapping[str, Any]) -> Moved | None:
    """What moved in a rendered event; None where it moved skin in both halves of the face.

    Of several units in one half, it is the region of that which moves a point farthest.
    """
    intensities = {int(unit["au"]): float(unit["intensity"]) for unit in event["action_units"]}
    regions = {au: REGION_OF.get(au) for au in intensities}
    halves = {
        None if region is None else "upper_face" if region in _UPPER else "lower_face" for region in regions.values()
    }
    if len(halves) != 1 or None in halves:
        return None
    farthest = max(intensities, key=lambda au: peak_displacement({au: intensities[au]}))
    return Moved(str(event["label"]), REGION_OF[farthest], str(halves.pop()))


def units(event: Mapping[str, Any]) -> str:
    """The units of an event, such as 6+12."""
    return "+".join(str(number) for number in sorted(unit["au"] for unit in event["action_units"]))


def sample_clips() -> list[Clip]:
    """The six samples of one event."""
    clips = []
    for name in CLIPS:
        events = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))["events"]
        what = [Moved(event["label"], *BY_LABEL[event["label"]]) for event in events]
        clips.append(Clip(name, (SAMPLES / f"{name}.mp4").read_bytes(), events, what))
    return clips


def unseen_clips(count: int, work: Path) -> tuple[list[Clip], Counter[str]]:
    """Of `count` clips that nothing was decided on, those of which `moved` says what moved, rendered into `work` where
    they are not there yet; and the units of the others, by how often.
    """
    face = default_face()
    wanted: list[tuple[ClipPlan, Mapping[str, Any], Moved]] = []
    left_out: Counter[str] = Counter()
    for plan in plans(SEED, count, 0, [face], expressions=(1, 1))["expressions"]:
        (event,) = plan.performance.ground_truth(plan.fps)["events"]
        if what := moved(event):
            wanted.append((plan, event, what))
        else:
            left_out[units(event)] += 1
    folder = work / f"seed-{SEED}"
    render_plans(
        folder, [plan for plan, *_ in wanted], [face], seed=SEED, size=SIZE_PX,
        on_progress=lambda done, total: print(f"rendered {done} of {total}", file=sys.stderr, flush=True),
    )  # fmt: skip
    clips = [
        Clip(f"{plan.path} at {plan.fps} fps, AU {units(event)}", (folder / plan.path).read_bytes(), [event], [what])
        for plan, event, what in wanted
    ]
    return clips, left_out


def cases(clips: Sequence[Clip], recipe: str, flow: FlowMethod, stages: Stages) -> Iterator[tuple[Moved, Occlusion]]:
    """What moved, and what explains an answer, for each event that is found (IoU of at least 0.5)."""
    for clip in clips:
        print(f"{recipe}: {clip.name}", file=sys.stderr, flush=True)
        findings = _find(clip, recipe, flow, stages).findings
        for true, found in matches(clip.events, [asdict(finding.interval) for finding in findings]):
            occlusion = findings[found].occlusion
            assert occlusion is not None
            yield clip.moved[true], occlusion


def _find(clip: Clip, recipe: str, flow: FlowMethod, stages: Stages) -> ClipFindings:
    job = ClipJob(
        data=clip.data,
        limits=MediaLimits(60, 10_000, 4096 * 2304),
        recipe=recipe,
        flow=flow,
        faces="largest",
        max_faces=1,
        kinds=frozenset({"micro", "macro"}),
        onset_s=None,
        apex_s=None,
        explain=ExplainJob(time.monotonic() + _PLENTY_S),
    )
    found = stages(job, lambda _: None)
    assert isinstance(found, ClipFindings)
    return found
