"""The MEGC2019 measures: UF1 and UAR from one confusion matrix pooled over all samples.

See, Yap, Li, Hong and Wang, "MEGC 2019: The Second Facial Micro-Expressions Grand Challenge", FG 2019: per class
F1 = 2 TP / (2 TP + FP + FN) and recall = TP / N, each averaged over the classes without weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from export.data.dual_images import dual_images
from export.data.flow_images import FlowImages
from export.labels import LABELS
from server.contract import PROBABILITIES
from server.errors import InputError
from server.recipes.flow_window import INPUT as FLOW
from server.types import Float32Array

Int64Array: TypeAlias = npt.NDArray[np.int64]
Score: TypeAlias = Callable[[str, Mapping[str, Float32Array]], Mapping[str, Float32Array]]
"""Outputs of a named model for its inputs, all float32 [N, ...]: `probabilities` [N, classes] and any others it has."""


@dataclass(frozen=True, slots=True)
class Measures:
    """`confusion` int64 [classes, classes], rows truth, columns prediction, in the order of `LABELS`."""

    samples: int
    uf1: float
    uar: float
    accuracy: float
    confusion: Int64Array


@dataclass(frozen=True, slots=True)
class Scores:
    """Measures over all samples and by data set."""

    overall: Measures
    datasets: Mapping[str, Measures]

    def summary(self) -> dict[str, Any]:
        """JSON-able, four decimals."""
        return {
            **_rounded(self.overall),
            "labels": list(LABELS),
            "confusion": self.overall.confusion.tolist(),
            "datasets": {name: _rounded(measures) for name, measures in self.datasets.items()},
        }


@dataclass(frozen=True, slots=True)
class Evaluation(Scores):
    """Scores with the answer to each sample: `predictions` int64 [N], `probabilities` float32 [N, classes], and the
    other outputs of the model, float32 [N, ...] by name.
    """

    predictions: Int64Array
    probabilities: Float32Array
    extras: Mapping[str, Float32Array] = field(default_factory=dict)


def confusion_matrix(truth: Int64Array, predictions: Int64Array) -> Int64Array:
    """int64 [classes, classes]: how many samples of each class (row) were given each label (column)."""
    matrix = np.zeros((len(LABELS), len(LABELS)), np.int64)
    np.add.at(matrix, (truth, predictions), 1)
    return matrix


def measure(confusion: Int64Array, where: str = "the data") -> Measures:
    """UF1, UAR and accuracy of a confusion matrix.

    Raises `InputError` naming the class that no sample of `where` has: the measures are then not defined, and leaving
    the class out would change them silently.
    """
    per_class = confusion.sum(axis=1)
    absent = [label for label, count in zip(LABELS, per_class, strict=True) if count == 0]
    if absent:
        raise InputError(f"UF1 and UAR are not defined: no sample of {where} is {' or '.join(absent)}")
    hits = np.diag(confusion)
    return Measures(
        samples=int(confusion.sum()),
        uf1=float((2 * hits / (per_class + confusion.sum(axis=0))).mean()),
        uar=float((hits / per_class).mean()),
        accuracy=float(hits.sum() / confusion.sum()),
        confusion=confusion,
    )


def score_predictions(truth: Int64Array, predictions: Int64Array, datasets: Sequence[str]) -> Scores:
    """Scores of `predictions` int64 [N] for `truth` int64 [N], pooled over all samples and over each data set.

    Raises `InputError` as `measure` does.
    """
    names = np.array(datasets)
    return Scores(
        overall=measure(confusion_matrix(truth, predictions)),
        datasets={
            name: measure(confusion_matrix(truth[names == name], predictions[names == name]), name)
            for name in sorted(set(datasets))
        },
    )


def evaluate_answers(
    data: FlowImages, probabilities: Float32Array, extras: Mapping[str, Float32Array] | None = None
) -> Evaluation:
    """Scores of the most probable class of each sample. Raises `InputError` as `measure` does."""
    predictions = probabilities.argmax(axis=1).astype(np.int64)
    scores = score_predictions(data.labels, predictions, data.datasets)
    return Evaluation(scores.overall, scores.datasets, predictions, probabilities, extras or {})


def evaluate(
    data: FlowImages,
    models: Sequence[str],
    score: Score,
    on_progress: Callable[[int, int], None] | None = None,
    *,
    dual: bool = False,
) -> Evaluation:
    """Zero-shot: sample i is answered by `models[i]` as it is; nothing is fitted to `data`.

    With `dual` models are fed what `dual_images` makes of the images. Outputs that not every model has are left out.
    `on_progress(done, total)` counts samples. Raises `InputError` as `measure` does, and whatever `score` raises.
    """
    inputs = dual_images(data.images) if dual else {FLOW: data.images.astype(np.float32)}
    answers: list[Mapping[str, Float32Array]] = []
    rows: list[Int64Array] = []
    for model in dict.fromkeys(models):
        chosen = np.flatnonzero([name == model for name in models])
        answers.append(score(model, {name: values[chosen] for name, values in inputs.items()}))
        rows.append(chosen)
        if on_progress:
            on_progress(sum(map(len, rows)), len(data.labels))
    order = np.argsort(np.concatenate(rows))
    shared = set.intersection(*(set(answer) for answer in answers))
    outputs = {name: np.concatenate([answer[name] for answer in answers])[order] for name in sorted(shared)}
    return evaluate_answers(data, outputs.pop(PROBABILITIES), outputs)


def _rounded(measures: Measures) -> dict[str, Any]:
    return {
        "samples": measures.samples,
        "uf1": round(measures.uf1, 4),
        "uar": round(measures.uar, 4),
        "accuracy": round(measures.accuracy, 4),
    }
