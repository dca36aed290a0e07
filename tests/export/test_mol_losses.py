"""The joint loss of MOL."""

from __future__ import annotations

import pytest
import torch

from export.mol_losses import endpoint_error, flow_loss, joint_loss, landmark_loss, normalised_mean_error
from export.networks.mol_joint import Joint


def _landmarks(samples: int) -> torch.Tensor:
    """Eyes that are 40 px apart in the first of 8 frames and 2 px nearer from frame to frame."""
    points = 64 * torch.ones(samples, 68, 2, 8)
    frames = torch.arange(8.0)
    points[:, 36:42, 0] = 44.0 + frames
    points[:, 42:48, 0] = 84.0 - frames
    return points.flatten(1, 2)


def test_landmarks_are_measured_by_the_eyes_of_their_frame() -> None:
    """One px off in all 136 numbers is 2 / distance for each of seven frames, whatever the number of samples."""
    wanted = _landmarks(3)
    expected = sum(2.0 / (40 - 2 * frame) for frame in range(1, 8))
    assert landmark_loss(wanted[:, :, 1:] - 1.0, wanted).item() == pytest.approx(expected, rel=1e-5)
    assert landmark_loss(wanted[:, :, 1:], wanted).item() == 0


def test_flow_is_a_squared_error_per_pair() -> None:
    """Three px off everywhere is nine, divided by the seven pairs."""
    flow = torch.randn(2, 2, 16, 16, 7)
    assert flow_loss(flow + 3.0, flow).item() == pytest.approx(9 / 7, rel=1e-4)
    assert flow_loss(flow[..., :1] + 3.0, flow[..., :1]).item() == pytest.approx(9 / 7, rel=1e-4)


def test_errors_are_told_in_lengths() -> None:
    """Flow in px, landmarks in percent of the distance of the eyes in the same frame."""
    flow = torch.zeros(2, 2, 4, 4, 7)
    flow[:, 0], flow[:, 1] = 3.0, 4.0
    assert endpoint_error(flow, torch.zeros_like(flow)).item() == pytest.approx(5.0)
    wanted = _landmarks(2)
    away = wanted[:, :, 1:].unflatten(1, (68, 2)) + torch.tensor([0.3, 0.4])[:, None]
    expected = sum(50.0 / (40 - 2 * frame) for frame in range(1, 8)) / 7
    assert normalised_mean_error(away.flatten(1, 2), wanted).item() == pytest.approx(expected, rel=1e-4)


def test_the_sum_is_weighted_as_published() -> None:
    """Ten times the flow and a tenth of the landmarks beside the class; other weights can be given."""
    wanted = _landmarks(2)
    flow = torch.zeros(2, 2, 16, 16, 7)
    answer = Joint(torch.zeros(2, 3), flow + 1.0, wanted[:, :, 1:] + 1.0)
    labels = torch.tensor([0, 2])
    of_class, of_flow = torch.log(torch.tensor(3.0)), torch.tensor(1 / 7)
    of_landmarks = landmark_loss(answer.landmarks, wanted)
    loss = joint_loss(answer, labels, flow, wanted)
    torch.testing.assert_close(loss.total, of_class + 10 * of_flow + 0.1 * of_landmarks, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close((loss.classes, loss.flow, loss.landmarks), (of_class, of_flow, of_landmarks))
    plain = joint_loss(answer, labels, flow, wanted, flow_weight=0.0, landmark_weight=0.0)
    torch.testing.assert_close(plain.total, of_class)


def test_eyes_that_fall_together_do_not_divide_by_zero() -> None:
    """Wrong landmarks give a large number that is finite."""
    assert landmark_loss(torch.ones(1, 136, 7), torch.zeros(1, 136, 8)).item() == pytest.approx(14.0)
