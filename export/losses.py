"""The loss of a flow network: cross entropy of the class, of each class against the rest where a network has detectors
of them, and, where action units are known, of every unit and side.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from export.networks.outputs import Outputs

VISIBLE = 0.25
"""Strength from which a unit counts as moving a side; weaker movements are within the noise of the flow."""


@dataclass(frozen=True, slots=True)
class Loss:
    """`class_weights` float32 [classes] multiply the loss of a sample where given, `unit_weight` that of the units."""

    class_weights: Tensor | None
    label_smoothing: float
    unit_weight: float

    def __call__(self, outputs: Outputs, labels: Tensor, strengths: Tensor | None) -> Tensor:
        """The sum of each member's and each head's own loss, so that none feels another.

        `labels` int64 [N]; `strengths` float32 [parts, N, 2, units], one for each variation of the images, of which
        the heads see the last; not a number where the units of a sample are not known. A network without a head, and
        samples whose units are not known, have no such term.
        """
        total = torch.zeros((), device=labels.device)
        for logits in outputs.logits:
            total = total + functional.cross_entropy(
                logits, labels, weight=self.class_weights, label_smoothing=self.label_smoothing
            )
        if outputs.proposals is not None:
            for logits in outputs.proposals:
                total = total + _proposal_loss(logits, labels)
        if outputs.units is not None and strengths is not None:
            for logits, seen in zip(outputs.units, strengths[-len(outputs.units) :], strict=True):
                total = total + self.unit_weight * _unit_loss(logits, seen)
        return total


def _proposal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """One class against the rest; the rarer side counts for more, so that a detector cannot win by saying no."""
    shown = functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(
        logits, shown, pos_weight=logits.new_full((logits.shape[1],), logits.shape[1] - 1.0)
    )


def _unit_loss(logits: Tensor, strengths: Tensor) -> Tensor:
    known = ~strengths.isnan().any(2).any(1)
    if not bool(known.any()):
        return torch.zeros((), device=logits.device)
    visible = (strengths[known] >= VISIBLE).to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits[known], visible)
