"""The joint loss of MOL (arXiv 2506.14511): cross entropy of the class, squared error of the flow, and distance of the
landmarks, weighted as in the authors' code.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from export.networks.mol import LANDMARKS, Joint

FLOW_WEIGHT = 10.0
LANDMARK_WEIGHT = 0.1
"""Of the authors' command; the default of their program is 0.5."""
_EYES = (slice(36, 42), slice(42, 48))
"""Of the 68 landmarks, those of the image-left and of the image-right eye."""


def joint_loss(
    answer: Joint,
    labels: Tensor,
    flow: Tensor,
    landmarks: Tensor,
    *,
    flow_weight: float = FLOW_WEIGHT,
    landmark_weight: float = LANDMARK_WEIGHT,
) -> Tensor:
    """The weighted sum of all three, float32 []. `labels` int64 [N]; `flow` and `landmarks` as in the parts below."""
    return (
        functional.cross_entropy(answer.logits, labels)
        + flow_weight * flow_loss(answer.flow, flow)
        + landmark_weight * landmark_loss(answer.landmarks, landmarks)
    )


def flow_loss(predicted: Tensor, flow: Tensor) -> Tensor:
    """Mean squared error in px^2, divided by the number of pairs; both float32 [N, 2, H, W, pairs]."""
    return functional.mse_loss(predicted, flow) / flow.shape[-1]


def landmark_loss(predicted: Tensor, landmarks: Tensor) -> Tensor:
    """Mean over samples and points of the absolute error in distances of the eyes, summed over frames and x, y.

    `predicted` float32 [N, 136, 7]; `landmarks` float32 [N, 136, 8], of which the first frame is not predicted; x0, y0,
    x1, ... of 68 points in px. Eyes nearer than one px count as one px apart.
    """
    wanted = landmarks[:, :, 1:]
    points = wanted.reshape(-1, LANDMARKS, 2, wanted.shape[2])
    left, right = (points[:, eye].mean(1) for eye in _EYES)
    apart = torch.linalg.vector_norm(left - right, dim=1).clamp_min(1.0)
    error = (predicted - wanted).abs().sum(1) / apart
    mean: Tensor = error.sum() / (len(landmarks) * LANDMARKS)
    return mean
