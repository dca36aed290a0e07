"""What MOL answers while it is taught, when its other heads speak as well."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

LANDMARKS = 68


class Joint(NamedTuple):
    """`logits` float32 [N, classes]; `flow` float32 [N, 2, 128, 128, P] in px, u then v, of P pairs of consecutive
    frames, from the first to the second; `landmarks` float32 [N, 136, 7] in px, x0, y0, x1, ..., of each but the first
    frame.
    """

    logits: Tensor
    flow: Tensor
    landmarks: Tensor


class JointNetwork(nn.Module, ABC):
    """A network with a class, a flow and a landmark head."""

    @abstractmethod
    def joint(self, video: Tensor, pairs: Tensor | None = None) -> Joint:
        """What all heads say of `video`; the flow of all pairs, or of those numbered `pairs` int64 [N, P]."""

    @abstractmethod
    def start_landmarks(self, mean: Tensor) -> None:
        """Let the landmark head start from a mean face, float32 [136] in px."""
