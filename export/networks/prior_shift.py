"""A served graph whose answers are those of a place with other shares of the classes.

Saerens, Latinne and Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori Probabilities", Neural
Computation 14, 2002, equation 2.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class PriorShift(nn.Module):
    """`graph` with `probabilities` multiplied by `prior_ratio`, the new share of each class over the old one, and
    brought back to sum 1. Other outputs stay as they are.
    """

    ratio: Tensor

    def __init__(self, graph: nn.Module, prior_ratio: Sequence[float]) -> None:
        super().__init__()
        # Not `graph`: the module that torch.export makes of this one has an attribute of that name.
        self.served = graph
        self.register_buffer("ratio", torch.tensor(prior_ratio, dtype=torch.float32), persistent=False)

    def forward(self, flow: Tensor) -> Any:
        """What `graph` returns: a tensor, or a NamedTuple with a field `probabilities` float32 [N, classes]."""
        answer = self.served(flow)
        if isinstance(answer, Tensor):
            return self._shifted(answer)
        return answer._replace(probabilities=self._shifted(answer.probabilities))

    def _shifted(self, probabilities: Tensor) -> Tensor:
        weighted = probabilities * self.ratio
        return weighted / weighted.sum(1, keepdim=True)
