"""What is known of a training after each epoch: its loss, and the answers to held-out samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from export.evaluation import confusion_matrix, measure
from export.networks.blocks import Preparation, flow_graph
from export.networks.outputs import ACTION_UNITS, answers_of
from export.training_data import TrainingData
from export.unit_measures import UnitMeasures, measure_units
from server.contract import PROBABILITIES
from server.errors import InputError
from server.types import Float32Array


@dataclass(frozen=True, slots=True)
class HeldOutScore:
    """Accuracy, UF1 and UAR on held-out samples, and the measures of action units where both the network and the data
    have them. UF1 and UAR are None where a class is absent. `sources` has the same of each of several sources,
    `further` what else was measured, by name.
    """

    probabilities: Float32Array
    accuracy: float
    uf1: float | None
    uar: float | None
    units: UnitMeasures | None
    sources: Mapping[str, HeldOutScore] = field(default_factory=dict)
    further: Mapping[str, float] = field(default_factory=dict)

    @property
    def unit_f1(self) -> float | None:
        """Mean F1 of the commonest action units."""
        return self.units.mean_f1 if self.units else None

    def record(self) -> dict[str, Any]:
        """JSON-able, four decimals."""
        names = ("accuracy", "uf1", "uar", "unit_f1")
        values = {name: getattr(self, name) for name in names}
        record: dict[str, Any] = {name: None if v is None else round(v, 4) for name, v in values.items()}
        record.update({name: round(value, 4) for name, value in self.further.items()})
        if self.sources:
            record["sources"] = {name: score.record() for name, score in self.sources.items()}
        return record


@dataclass(frozen=True, slots=True)
class EpochReport:
    """After an epoch: mean training loss of a member, the score on held-out samples, the seconds it took, those that
    the rest will take, and the means of other losses by name.
    """

    epoch: int
    epochs: int
    loss: float
    held_out: HeldOutScore
    seconds: float
    remaining_s: float
    parts: Mapping[str, float] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """JSON-able: a line of the log."""
        return {
            "epoch": self.epoch,
            "epochs": self.epochs,
            "loss": round(self.loss, 6),
            **{name: round(loss, 6) for name, loss in self.parts.items()},
            **self.held_out.record(),
            "seconds": round(self.seconds, 2),
        }


def score_of(
    probabilities: Float32Array,
    truth: npt.NDArray[np.int64],
    units: UnitMeasures | None = None,
    sources: Mapping[str, HeldOutScore] | None = None,
) -> HeldOutScore:
    """The score of `probabilities` float32 [N, classes] for `truth` int64 [N]."""
    predictions = probabilities.argmax(1)
    try:
        measures = measure(confusion_matrix(truth, predictions))
    except InputError:
        measures = None
    return HeldOutScore(
        probabilities=probabilities,
        accuracy=float((predictions == truth).mean()),
        uf1=measures.uf1 if measures else None,
        uar=measures.uar if measures else None,
        units=units,
        sources=sources or {},
    )


class HeldOut:
    """The held-out samples of `data`, which the served graph of a network answers as it will answer later."""

    def __init__(self, data: TrainingData, preparation: Preparation, device: str) -> None:
        self._data, self._preparation, self._device = data, preparation, device

    def measure(self, model: nn.Module) -> HeldOutScore:
        """The score of `model`, which is left in evaluation mode."""
        data = self._data
        graph = flow_graph(model, self._preparation).to(self._device)
        answers = answers_of(graph, data.validation_images, device=self._device)
        probabilities, units = answers[PROBABILITIES], answers.get(ACTION_UNITS)
        bounds = np.cumsum([0, *(source.held_out for source in data.sources)]).tolist()
        parts = {
            source.name: self._score(probabilities, units, slice(first, last))
            for source, first, last in zip(data.sources, bounds, bounds[1:], strict=False)
        }
        return self._score(probabilities, units, slice(None), parts)

    def _score(
        self,
        probabilities: Float32Array,
        units: Float32Array | None,
        rows: slice,
        sources: Mapping[str, HeldOutScore] | None = None,
    ) -> HeldOutScore:
        strengths = self._data.validation_action_units
        found = None if units is None or strengths is None else measure_units(units[rows], strengths[rows])
        return score_of(probabilities[rows], self._data.validation_labels[rows], found, sources)
