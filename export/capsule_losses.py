"""Losses on the lengths of capsules.

Sabour, Frosst and Hinton, "Dynamic Routing Between Capsules", NIPS 2017, section 3.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

SURE, UNSURE = 0.9, 0.1
"""A capsule longer than the one, or shorter than the other, needs to learn nothing more."""
_ABSENT_WEIGHT = 0.5


def expressions_missed(sure: Tensor, labels: Tensor) -> Tensor:
    """The mean over samples of how far lengths `sure` float32 [N, K] miss 0.9 for `labels` int64 [N], 0.1 for others.

    Squared, with half the weight for classes that are absent.
    """
    shown = functional.one_hot(labels, sure.shape[1]).to(sure.dtype)
    missing = (SURE - sure).clamp(min=0).square()
    excess = (sure - UNSURE).clamp(min=0).square()
    return (shown * missing + _ABSENT_WEIGHT * (1 - shown) * excess).sum(1).mean()
