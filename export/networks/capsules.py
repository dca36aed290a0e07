"""Capsules: groups of units whose length says how sure they are that something is there.

Sabour, Frosst and Hinton, "Dynamic Routing Between Capsules", NIPS 2017, with the routing of Van Quang, Chun and
Tokuyama, FG 2019 (code davidnvq/me_recognition): agreement is measured without gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_ROUTINGS = 3
_TINY = 1e-12
"""A bound, not a summand: the exporter takes adding less than 1e-8 for adding nothing."""
_SPREAD = 0.1


def lengths(vectors: Tensor) -> Tensor:
    """float32 [...] of `vectors` float32 [..., D], whose gradient at zero is zero."""
    return vectors.square().sum(-1).clamp_min(_TINY).sqrt()


def squash(vectors: Tensor) -> Tensor:
    """`vectors` float32 [..., D], each as long as l^2 / (1 + l^2) where it was l long."""
    squared = vectors.square().sum(-1, keepdim=True)
    return squared / (1 + squared) * vectors / squared.clamp_min(_TINY).sqrt()


def log_shares(sure: Tensor) -> Tensor:
    """Logits float32 [N, K] of the lengths `sure` float32 [N, K], whose softmax are their shares of the sum.

    The softmax of lengths themselves would be nearly flat, since they lie between 0 and 1.
    """
    return torch.log(sure / sure.sum(1, keepdim=True))


class PrimaryCapsules(nn.Module):
    """A convolution without padding whose channels are `types` capsules of `size` units at each place."""

    def __init__(self, inputs: int, types: int, size: int, *, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.size = size
        self.conv = nn.Conv2d(inputs, types * size, kernel, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """float32 [N, types * H' * W', size], squashed, of `maps` float32 [N, inputs, H, W]."""
        found: Tensor = self.conv(maps)
        types = found.shape[1] // self.size
        places = found.shape[2] * found.shape[3]
        capsules = found.reshape(-1, types, self.size, places).transpose(2, 3)
        return squash(capsules.reshape(-1, types * places, self.size))


class RoutedCapsules(nn.Module):
    """`outputs` capsules of `size` units, each of which hears most from those `inputs` capsules that agree with it.

    Several compete for what a capsule says; one alone would get all of it, so that its coupling is a sigmoid. Where
    the first weights have too wide a `spread` for many inputs, all are nearly 1 long, and squashing lets nothing be
    learnt.
    """

    def __init__(self, inputs: int, input_size: int, outputs: int, size: int, *, spread: float = _SPREAD) -> None:
        super().__init__()
        self.outputs, self.size = outputs, size
        self.weight = nn.Parameter(spread * torch.randn(inputs, input_size, outputs * size))

    def forward(self, capsules: Tensor) -> Tensor:
        """float32 [N, outputs, size] of `capsules` float32 [N, inputs, input_size]."""
        votes = (capsules.transpose(0, 1) @ self.weight).transpose(0, 1)
        votes = votes.reshape(-1, capsules.shape[1], self.outputs, self.size).transpose(1, 2)
        steady = votes.detach()
        agreement = torch.zeros_like(steady[..., 0])
        for _ in range(_ROUTINGS - 1):
            heard = squash(self._heard(steady, agreement))
            agreement = agreement + (steady * heard[:, :, None]).sum(-1)
        return squash(self._heard(votes, agreement))

    def _heard(self, votes: Tensor, agreement: Tensor) -> Tensor:
        """float32 [N, outputs, size] of `votes` [N, outputs, inputs, size] and `agreement` [N, outputs, inputs]."""
        coupling = torch.softmax(agreement, dim=1) if self.outputs > 1 else torch.sigmoid(agreement)
        return (coupling[:, :, None] @ votes)[:, :, 0]
