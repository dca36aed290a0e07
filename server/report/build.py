"""Spotted intervals and a model's probabilities to events, and events to a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from server.contract import PROBABILITIES, ModelContract
from server.types import ActionUnit, Event, Evidence, Float32Array, Interval, Prediction, Side

ACTION_UNITS = "action_units"
_AU_VISIBLE = 0.5


def predictions(outputs: Mapping[str, Float32Array], contract: ModelContract) -> list[Prediction]:
    """One prediction for each row of the batch.

    Args:
        outputs: float32 [N, ...] by name: `probabilities` [N, labels], and `action_units` [N, 2, units] (left, right)
            where the contract lists action units.
        contract: labels, action units and the confidence below which an answer is withheld.
    """
    probabilities = outputs[PROBABILITIES]
    units = outputs.get(ACTION_UNITS) if contract.action_units else None
    return [
        _prediction(row, None if units is None else units[index], contract) for index, row in enumerate(probabilities)
    ]


def _prediction(row: Float32Array, units: Float32Array | None, contract: ModelContract) -> Prediction:
    best = int(np.argmax(row))
    confidence = float(row[best])
    return Prediction(
        label=contract.labels[best],
        probabilities={label: float(p) for label, p in zip(contract.labels, row, strict=True)},
        confidence=confidence,
        abstained=confidence < contract.abstain_below,
        action_units=() if units is None else _action_units(units, contract.action_units),
    )


def _action_units(units: Float32Array, names: Sequence[int]) -> tuple[ActionUnit, ...]:
    found = []
    for column, au in enumerate(names):
        left, right = (float(x) for x in units[:, column])
        strongest = max(left, right)
        if strongest >= _AU_VISIBLE:
            found.append(ActionUnit(au=au, intensity=strongest, side=_side(left, right)))
    return tuple(sorted(found, key=lambda a: -a.intensity))


def _side(left: float, right: float) -> Side:
    if min(left, right) >= _AU_VISIBLE:
        return "both"
    return "left" if left > right else "right"


def event(track_id: int, interval: Interval, evidence: Evidence, prediction: Prediction) -> Event:
    """One classified event."""
    return Event(
        track_id=track_id,
        kind=interval.kind,
        onset_s=round(interval.onset_s, 4),
        apex_s=round(interval.apex_s, 4),
        offset_s=round(interval.offset_s, 4),
        onset_frame=interval.onset_frame,
        apex_frame=interval.apex_frame,
        offset_frame=interval.offset_frame,
        label=prediction.label,
        probabilities=prediction.probabilities,
        confidence=prediction.confidence,
        abstained=prediction.abstained,
        regions=interval.regions,
        action_units=prediction.action_units,
        evidence=evidence,
    )
