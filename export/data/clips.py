"""What the readers of the data sets share: the record of a clip, its class, and its frames on disk."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from server.errors import InputError

Dataset: TypeAlias = Literal["casme2", "samm", "smic"]
ApexChoice: TypeAlias = Literal["annotated", "middle"]

CLASSES: Mapping[str, str] = {
    **dict.fromkeys(("repression", "anger", "contempt", "disgust", "fear", "sadness"), "negative"),
    "happiness": "positive",
    "surprise": "surprise",
}
"""Emotion to class by the MEGC2019 composite protocol (See et al., FG 2019); what is missing here is left out."""

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
_NUMBER = re.compile(r"(\d+)$")


@dataclass(frozen=True, slots=True)
class CodedClip:
    """One row of a coding sheet. Frames are numbers as in the file names; None where the sheet does not know them."""

    subject: str
    clip: str
    onset: int | None
    apex: int | None
    offset: int | None
    emotion: str
    action_units: str = ""


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip on disk. `apex_source` says whether `apex` was coded or is the middle of the clip; `offset` is None
    where its frame is not there, which nothing here needs. `action_units` is the sheet's own notation.
    """

    dataset: Dataset
    subject: str
    clip: str
    label: str
    onset: Path
    apex: Path
    offset: Path | None
    apex_source: ApexChoice
    action_units: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A clip that belongs to the data but of which no image can be made, and why."""

    dataset: Dataset
    subject: str
    clip: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader found. `left_out` counts, by reason, the clips that the protocol does not use."""

    dataset: Dataset
    clips: tuple[Clip, ...]
    skipped: tuple[Skipped, ...]
    left_out: Counter[str] = field(default_factory=Counter)


Labels: TypeAlias = Mapping[tuple[str, str], str]
"""Class of each clip of one data set, by `clip_key`."""


def clip_key(subject: str, clip: str) -> tuple[str, str]:
    """Subject and clip in a spelling that all files of a data set share: lower case, numbers without leading zeros,
    the clip without a subject before it, the subject as a number.
    """
    digits = "".join(re.findall(r"\d+", subject))
    short = re.sub(r"^sub\d+_", "", clip.strip().lower())
    return str(int(digits or 0)), re.sub(r"(?<!\d)0+(?=\d)", "", short)


def frames_by_number(folder: Path) -> dict[int, Path]:
    """The pictures of `folder` by the number at the end of their names, ascending."""
    found = {
        int(number[1]): file
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".") and (number := _NUMBER.search(file.stem))
    }
    return dict(sorted(found.items()))


def locate(
    dataset: Dataset, coded: CodedClip, label: str, frames: Mapping[int, Path], choice: ApexChoice
) -> Clip | Skipped:
    """Onset and apex of `coded` among `frames`.

    The middle between onset and offset stands for an apex that is unknown or outside them.
    """

    def skip(reason: str) -> Skipped:
        return Skipped(dataset, coded.subject, coded.clip, reason)

    if not frames:
        return skip("its folder holds no numbered pictures")
    if coded.onset is None:
        return skip("the coding sheet gives no onset frame")
    last = max(frames)
    offset = coded.offset if coded.offset is not None and coded.offset > coded.onset else last
    apex, source = (coded.onset + offset) // 2, "middle"
    if choice == "annotated" and coded.apex is not None and coded.onset < coded.apex <= offset:
        apex, source = coded.apex, "annotated"
    held = f"its folder holds {min(frames)} to {last}"
    for name, number in (("onset", coded.onset), ("apex", apex)):
        if number not in frames:
            return skip(f"frame {number} ({name}) is missing: {held}")
    if apex == coded.onset:
        return skip(f"there is no frame between onset {coded.onset} and offset {offset}")
    return Clip(
        dataset,
        coded.subject,
        coded.clip,
        label,
        frames[coded.onset],
        frames[apex],
        frames.get(offset),
        "annotated" if source == "annotated" else "middle",
        coded.action_units,
    )


def read_coded(
    dataset: Dataset,
    coded: Sequence[CodedClip],
    folder_of: Callable[[CodedClip], Path],
    *,
    labels: Labels | None,
    choice: ApexChoice,
    without: frozenset[str] = frozenset(),
) -> Reading:
    """Each clip of a coding sheet, with its class from `labels` where given, else from its emotion.

    `without` are emotions that the protocol leaves out for this data set. Raises `InputError` when not one clip that
    is wanted has a folder.
    """
    clips: list[Clip] = []
    skipped: list[Skipped] = []
    left_out: Counter[str] = Counter()
    missing: list[Path] = []
    for row in coded:
        emotion = row.emotion.lower()
        if labels is not None:
            label = labels.get(clip_key(row.subject, row.clip))
        else:
            label = None if emotion in without else CLASSES.get(emotion)
        if label is None:
            left_out["not in the label list" if labels is not None else emotion or "without an emotion"] += 1
            continue
        folder = folder_of(row)
        if not folder.is_dir():
            missing.append(folder)
            skipped.append(Skipped(dataset, row.subject, row.clip, f"{folder} does not exist"))
            continue
        found = locate(dataset, row, label, frames_by_number(folder), choice)
        if isinstance(found, Clip):
            clips.append(found)
        else:
            skipped.append(found)
    skipped += unlisted(dataset, labels, [(row.subject, row.clip) for row in coded], "the coding sheet")
    if missing and len(missing) == len(coded) - left_out.total():
        raise InputError(f"none of the {len(missing)} clips is there; the first is expected at {missing[0]}")
    return Reading(dataset, tuple(clips), tuple(skipped), left_out)


def unlisted(
    dataset: Dataset, labels: Labels | None, known: Sequence[tuple[str, str]], where: str
) -> tuple[Skipped, ...]:
    """The clips of the label list that `where` does not know."""
    keys = {clip_key(*each) for each in known}
    return tuple(
        Skipped(dataset, subject, clip, f"it is in the label list but not in {where}")
        for subject, clip in sorted(set(labels or ()) - keys)
    )
