"""Makes onset-to-apex flow images of clips through the service's own stages, into a folder that `--data` takes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.data.clips import ApexChoice, Clip, Reading, Skipped
from export.data.flow_images import COLUMNS, INDEX, RECIPE, encode_image
from export.repository import replace_file
from server.contract import FlowMethod
from server.errors import InputError
from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.faces.pair import align_to
from server.flow.derive import flow_field
from server.flow.estimate import estimate
from server.media.image import read_image
from server.media.limits import MediaLimits
from server.recipes.flow_uvs_28 import INPUT
from server.recipes.registry import RECIPES
from server.types import EventSample, UInt8Array

SKIPPED = "skipped.csv"
OPTIONS = "prepared.json"
"""How the images of each data set were made, so that a later run does not mix them with others."""
SKIPPED_COLUMNS = ("dataset", "subject", "clip", "reason")
_LIMITS = MediaLimits(clip_seconds=1.0, clip_frames=1, frame_pixels=1 << 26)


@dataclass(frozen=True, slots=True)
class Prepared:
    """`made` and `kept` count images of this run and of earlier ones; `skipped` are all clips without one."""

    made: int
    kept: int
    skipped: tuple[Skipped, ...]


class FlowImageMaker:
    """Holds the face networks and nothing of any clip."""

    def __init__(self, flow: FlowMethod = "accurate") -> None:
        self._flow = flow
        self._detector = FaceDetector()
        self._landmarker = FaceLandmarker()

    def __call__(self, onset: Path, apex: Path) -> UInt8Array:
        """uint8 [3, 28, 28] in the order u, v, strain. Raises `InputError` and `OSError` for pictures and faces."""
        first, second = (read_image(file.read_bytes(), _LIMITS) for file in (onset, apex))
        aligned = align_to(first, [second], self._landmarker, self._detector)
        before, after = aligned.anchor.gray, aligned.crops[0].gray
        flow = flow_field(*estimate(before, after, self._flow))
        planes = RECIPES[RECIPE].make(EventSample(before, after, aligned.landmarks_crop, flow))[INPUT]
        return np.rint(planes).astype(np.uint8)


def prepare(
    reading: Reading,
    output: Path,
    *,
    flow: FlowMethod = "accurate",
    apex: ApexChoice = "annotated",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Prepared:
    """Write the images of `reading` and list them, beside those of other data sets that `output` may hold.

    Images of an earlier run are kept; clips of which none can be made are listed with the reason. `on_progress(done,
    total)` counts clips. Raises `InputError` when `output` holds images of this data set that were made otherwise,
    and when not one image could be made.
    """
    _claim(output, reading.dataset, {"recipe": RECIPE, "flow": flow, "apex": apex})
    maker = FlowImageMaker(flow)
    rows: list[tuple[str, ...]] = []
    skipped = list(reading.skipped)
    made = 0
    for number, clip in enumerate(reading.clips):
        on_progress(number, len(reading.clips))
        path = _path(clip)
        try:
            if not (output / path).is_file():
                image = maker(clip.onset, clip.apex)
                (output / path).parent.mkdir(parents=True, exist_ok=True)
                replace_file(output / path, encode_image(image))
                made += 1
        except (InputError, OSError) as error:
            skipped.append(Skipped(clip.dataset, clip.subject, clip.clip, _reason(clip, error)))
            continue
        rows.append((path, clip.dataset, clip.subject, clip.label))
    on_progress(len(reading.clips), len(reading.clips))
    lost = [(each.dataset, each.subject, each.clip, each.reason) for each in skipped]
    _merge(output / SKIPPED, SKIPPED_COLUMNS, lost, reading.dataset)
    if not rows:
        raise InputError(f"no image could be made of {len(skipped)} clips; {output / SKIPPED} says why")
    _merge(output / INDEX, COLUMNS, rows, reading.dataset)
    return Prepared(made, len(rows) - made, tuple(skipped))


def _reason(clip: Clip, error: Exception) -> str:
    return f"{error} (onset {clip.onset.name}, apex {clip.apex.name})"


def _path(clip: Clip) -> str:
    return f"{clip.dataset}/{clip.subject}/{clip.subject}_{clip.clip}.png"


def _claim(output: Path, dataset: str, options: dict[str, str]) -> None:
    """Note how the images of `dataset` are made. Raises `InputError` where some were made in another way."""
    file = output / OPTIONS
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if known.get(dataset, options) != options or (dataset not in known and (output / dataset).exists()):
        how = ", ".join(f"{name} {value}" for name, value in known.get(dataset, {}).items()) or "another command"
        raise InputError(f"{output / dataset} holds images made with {how}; choose another folder")
    output.mkdir(parents=True, exist_ok=True)
    replace_file(file, (json.dumps({**known, dataset: options}, indent=2) + "\n").encode())


def _merge(file: Path, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], dataset: str) -> None:
    """Replace the rows of `dataset` in a CSV file and keep those of others."""
    others: list[tuple[str, ...]] = []
    if file.is_file():
        with file.open(newline="", encoding="utf-8") as opened:
            read = csv.DictReader(opened)
            others = [tuple(row[column] for column in columns) for row in read if row["dataset"] != dataset]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([columns, *others, *rows])
    replace_file(file, text.getvalue().encode())
