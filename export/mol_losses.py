"""The joint loss of MOL (arXiv 2506.14511): cross entropy of the class, squared error of the flow, and distance of the
landmarks, weighted as in the authors' code.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from export.landmarks_68 import LEFT_EYE, RIGHT_EYE
from export.networks.mol_features import PAIRS
from export.networks.mol_joint import LANDMARKS, Joint

FLOW_WEIGHT = 10.0
LANDMARK_WEIGHT = 0.1
"""Of the authors' command; the default of their program is 0.5."""


class JointLoss(NamedTuple):
    """The loss that is minimised, and its unweighted parts; each float32 []."""

    total: Tensor
    classes: Tensor
    flow: Tensor
    landmarks: Tensor


def joint_loss(
    answer: Joint,
    labels: Tensor,
    flow: Tensor,
    landmarks: Tensor,
    *,
    flow_weight: float = FLOW_WEIGHT,
    landmark_weight: float = LANDMARK_WEIGHT,
) -> JointLoss:
    """The weighted sum of all three. `labels` int64 [N]; `flow` and `landmarks` as in the parts below."""
    classes = functional.cross_entropy(answer.logits, labels)
    of_flow, of_landmarks = flow_loss(answer.flow, flow), landmark_loss(answer.landmarks, landmarks)
    return JointLoss(classes + flow_weight * of_flow + landmark_weight * of_landmarks, classes, of_flow, of_landmarks)


def flow_loss(predicted: Tensor, flow: Tensor) -> Tensor:
    """Mean squared error in px^2, divided by the pairs of a clip; both float32 [N, 2, H, W, P], of P of its 7 pairs."""
    return functional.mse_loss(predicted, flow) / PAIRS


def landmark_loss(predicted: Tensor, landmarks: Tensor) -> Tensor:
    """Mean over samples and points of the absolute error in distances of the eyes, summed over frames and x, y.

    `predicted` float32 [N, 136, 7]; `landmarks` float32 [N, 136, 8], of which the first frame is not predicted; x0, y0,
    x1, ... of 68 points in px. Eyes nearer than one px count as one px apart.
    """
    wanted = landmarks[:, :, 1:]
    error = (predicted - wanted).abs().sum(1) / eye_distance(wanted)
    mean: Tensor = error.sum() / (len(landmarks) * LANDMARKS)
    return mean


def endpoint_error(predicted: Tensor, flow: Tensor) -> Tensor:
    """Mean length of the difference of two flows float32 [N, 2, H, W, P], px."""
    mean: Tensor = torch.linalg.vector_norm(predicted - flow, dim=1).mean()
    return mean


def normalised_mean_error(predicted: Tensor, landmarks: Tensor) -> Tensor:
    """Mean distance of landmarks from the true ones, in percent of the distance of the eyes; as `landmark_loss` has
    them.
    """
    wanted = landmarks[:, :, 1:]
    away = torch.linalg.vector_norm(_points(predicted - wanted), dim=2).mean(1)
    mean: Tensor = 100.0 * (away / eye_distance(wanted)).mean()
    return mean


def eye_distance(landmarks: Tensor) -> Tensor:
    """Distance of the eye centres float32 [N, F] of `landmarks` float32 [N, 136, F], px; 1 at least."""
    points = _points(landmarks)
    left, right = (points[:, eye].mean(1) for eye in (LEFT_EYE, RIGHT_EYE))
    apart: Tensor = torch.linalg.vector_norm(left - right, dim=1).clamp_min(1.0)
    return apart


def _points(landmarks: Tensor) -> Tensor:
    """float32 [N, 68, 2, F] of [N, 136, F]."""
    return landmarks.reshape(-1, LANDMARKS, 2, landmarks.shape[2])
