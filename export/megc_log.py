"""The log of the MEGC2019 challenge: for each fold a line "database subject", then lines "clip truth prediction".

See, Yap, Li, Hong and Wang, FG 2019. Classes are numbers in the order of `LABELS`. A score can be recomputed from such
a log by anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.data.flow_images import FlowImages
from export.evaluation import Int64Array
from export.labels import LABELS
from export.repository import replace_file
from server.errors import InputError

_CLASSES = {str(number): number for number in range(len(LABELS))}


@dataclass(frozen=True, slots=True)
class LoggedAnswers:
    """`truth` and `predictions` int64 [N], with the data set and the subject of each sample."""

    truth: Int64Array
    predictions: Int64Array
    datasets: tuple[str, ...]
    subjects: tuple[str, ...]


def write_megc_log(path: Path, data: FlowImages, predictions: Int64Array) -> None:
    """Write `predictions` int64 [N], one fold per subject of a data set; a clip is called by its path in the index.

    Raises `InputError` for a name with white space, which separates fields here.
    """
    for name in (*data.datasets, *data.subjects, *data.paths):
        if len(name.split()) != 1:
            raise InputError(f"{name!r} has white space in it, which a MEGC log cannot hold")
    folds: dict[tuple[str, str], list[str]] = {}
    columns = (data.datasets, data.subjects, data.paths, data.labels, predictions)
    for dataset, subject, clip, truth, prediction in zip(*columns, strict=True):
        folds.setdefault((dataset, subject), []).append(f"{clip} {truth} {prediction}")
    lines = [line for fold, clips in folds.items() for line in (" ".join(fold), *clips)]
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, ("\n".join(lines) + "\n").encode())


def read_megc_log(path: Path) -> LoggedAnswers:
    """The answers of a log, in its order.

    Raises `InputError`, naming file and line, for what is neither a fold nor a clip, a clip before any fold, a class
    that does not exist, and a clip that one subject has twice; and for a log without a clip.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}") from error
    fold: tuple[str, str] | None = None
    answers: dict[tuple[str, str, str], tuple[int, int]] = {}
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if len(fields) == 2:
            fold = (fields[0], fields[1])
        elif fields:
            clip, answer = _clip(fields, f"{path}, line {number}")
            if fold is None:
                raise InputError(f"{path}, line {number}: a clip before the first line 'database subject'")
            if (*fold, clip) in answers:
                raise InputError(f"{path}, line {number}: {' '.join(fold)} has the clip {clip} twice")
            answers[(*fold, clip)] = answer
    if not answers:
        raise InputError(f"{path} holds no clip")
    table = np.array(list(answers.values()), np.int64)
    return LoggedAnswers(
        truth=table[:, 0],
        predictions=table[:, 1],
        datasets=tuple(dataset for dataset, _, _ in answers),
        subjects=tuple(subject for _, subject, _ in answers),
    )


def _clip(fields: Sequence[str], where: str) -> tuple[str, tuple[int, int]]:
    if len(fields) != 3:
        raise InputError(f"{where}: neither 'database subject' nor 'clip truth prediction'")
    clip, truth, prediction = fields
    if truth not in _CLASSES or prediction not in _CLASSES:
        raise InputError(f"{where}: truth {truth!r}, prediction {prediction!r}: classes are {', '.join(_CLASSES)}")
    return clip, (_CLASSES[truth], _CLASSES[prediction])
