"""Spotted intervals and a model's probabilities to events, and events to a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from server.contract import PROBABILITIES, ModelContract
from server.types import ActionUnit, Contraction, Event, Evidence, Float32Array, Interval, Prediction, Side
from server.visuals import EventPictures

ACTION_UNITS = "action_units"
_AU_VISIBLE = 0.5


def predictions(
    outputs: Mapping[str, Float32Array], contract: ModelContract, contractions: Sequence[Contraction]
) -> list[Prediction]:
    """One prediction for each row of the batch.

    Args:
        outputs: float32 [N, ...] by name: `probabilities` [N, labels], and `action_units` [N, 2, units] (left, right)
            where the contract lists action units.
        contract: labels, action units and the confidence below which an answer is withheld.
        contractions: for each row, how far each unit went. The model says which units moved, this how far; a unit that
            has no entry is no movement of the skin (gaze) and not reported.
    """
    probabilities = outputs[PROBABILITIES]
    units = outputs.get(ACTION_UNITS) if contract.action_units else None
    return [
        _prediction(row, () if units is None else _action_units(units[index], contract.action_units, went), contract)
        for index, (row, went) in enumerate(zip(probabilities, contractions, strict=True))
    ]


def _prediction(row: Float32Array, units: tuple[ActionUnit, ...], contract: ModelContract) -> Prediction:
    best = int(np.argmax(row))
    confidence = float(row[best])
    return Prediction(
        label=contract.labels[best],
        probabilities={label: float(p) for label, p in zip(contract.labels, row, strict=True)},
        confidence=confidence,
        abstained=confidence < contract.abstain_below,
        action_units=units,
    )


def _action_units(scores: Float32Array, names: Sequence[int], went: Contraction) -> tuple[ActionUnit, ...]:
    """The units whose stronger side scores .5 or more, the surest first."""
    found = []
    for column, au in enumerate(names):
        left, right = (float(x) for x in scores[:, column])
        if au in went and max(left, right) >= _AU_VISIBLE:
            side = _side(left, right)
            shares = went[au]
            far = {"left": shares[0], "right": shares[1], "both": max(shares)}[side]
            found.append(ActionUnit(au=au, intensity=round(far, 4), side=side, confidence=max(left, right)))
    return tuple(sorted(found, key=lambda a: -a.confidence))


def _side(left: float, right: float) -> Side:
    if min(left, right) >= _AU_VISIBLE:
        return "both"
    return "left" if left > right else "right"


def event(
    track_id: int,
    interval: Interval,
    evidence: Evidence,
    prediction: Prediction,
    pictures: EventPictures | None = None,
) -> Event:
    """One classified event, with `pictures` where they are wanted."""
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
        pictures=pictures,
    )
