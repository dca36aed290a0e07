"""Capsules, and the network that sees the apex through them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from export.capsule_losses import expressions_missed
from export.networks.capsulenet import CapsuleNet
from export.networks.capsules import PrimaryCapsules, RoutedCapsules, lengths, log_shares, squash


def test_capsulenet_has_the_published_parameters() -> None:
    """ResNet-18 without its last level, two convolutions of 9 x 9, and 1152 capsules for each of three classes."""
    with torch.device("meta"):
        network = CapsuleNet()
    assert sum(value.numel() for value in network.parameters()) == 13_842_496
    assert network.expression.weight.shape == (1152, 8, 3 * 16)


@pytest.mark.parametrize("length", [0.0, 0.5, 1.0, 20.0])
def test_squash_keeps_direction_and_bounds_length(length: float) -> None:
    """What is long gets nearly one, what is short nearly nothing."""
    direction = torch.tensor([0.6, 0.0, -0.8])
    found = squash(length * direction)
    torch.testing.assert_close(found, length**2 / (1 + length**2) * direction, rtol=1e-5, atol=1e-6)


def test_lengths_of_nothing_have_a_gradient() -> None:
    """Training does not end in numbers that are none."""
    vectors = torch.zeros(2, 4, requires_grad=True)
    lengths(squash(vectors)).sum().backward()
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()


def test_probabilities_are_shares_of_lengths() -> None:
    """The softmax that is served gives each class its part of the sum."""
    sure = torch.tensor([[0.2, 0.6, 0.2], [0.9, 0.05, 0.05]])
    torch.testing.assert_close(torch.softmax(log_shares(sure), dim=1), sure / sure.sum(1, keepdim=True))


def test_primary_capsules_are_neighbouring_channels_at_one_place() -> None:
    """Capsule t * places + p has the channels of type t at place p."""
    torch.manual_seed(0)
    primary = PrimaryCapsules(3, 4, 8, kernel=3)
    maps = torch.randn(2, 3, 6, 6)
    capsules, found = primary(maps), primary.conv(maps)
    assert capsules.shape == (2, 4 * 16, 8)
    torch.testing.assert_close(capsules[:, 2 * 16 + 7], squash(found[:, 16:24, 1, 3]))


def test_routing_hears_those_who_agree() -> None:
    """Of three capsules the two that vote alike for a class outweigh the third one, more than its plain mean does."""
    routed = RoutedCapsules(3, 2, 2, 2)
    with torch.no_grad():
        routed.weight.copy_(torch.eye(2).repeat(3, 1, 2))
        routed.weight[:, :, 2:] = 0
        votes = torch.tensor([[[2.0, 0.0], [2.0, 0.0], [0.0, 2.0]]])
        found = routed(votes)[0, 0]
    assert found[0] / found[1] > 2.2


def test_gradients_come_through_the_last_routing_alone() -> None:
    """The weights of a class get the gradient of fixed couplings."""
    torch.manual_seed(0)
    routed, capsules = RoutedCapsules(5, 4, 3, 6), torch.randn(2, 5, 4)
    routed(capsules).square().sum().backward()
    found = routed.weight.grad
    assert found is not None
    votes = torch.einsum("nid,idk->nik", capsules, routed.weight).reshape(2, 5, 3, 6)
    agreement = torch.zeros(2, 5, 3)
    for _ in range(2):
        heard = squash((torch.softmax(agreement, 2)[..., None] * votes).sum(1))
        agreement = (agreement + (votes * heard[:, None]).sum(-1)).detach()
    answer = squash((torch.softmax(agreement, 2)[..., None] * votes).sum(1))
    (expected,) = torch.autograd.grad(answer.square().sum(), routed.weight)
    torch.testing.assert_close(found, expected)


def test_one_capsule_alone_is_coupled_by_a_sigmoid() -> None:
    """Its first coupling is one half, where a softmax over one would always give it all."""
    routed = RoutedCapsules(1, 2, 1, 2)
    with torch.no_grad():
        routed.weight.copy_(torch.eye(2)[None])
        faint = torch.tensor([[[1e-3, 0.0]]])
        torch.testing.assert_close(routed(faint)[0], squash(faint[0] / 2))


def test_features_are_28_px_wide() -> None:
    """The pooling after the first convolution is left out."""
    network = CapsuleNet().eval()
    shapes: list[tuple[int, ...]] = []
    for module in (network.layer3, network.wide, network.primary.conv):
        assert isinstance(module, nn.Module)
        module.register_forward_hook(lambda _module, _inputs, found: shapes.append(tuple(found.shape[1:])))
    with torch.inference_mode():
        sure = network.sureness(255 * torch.rand(1, 1, 224, 224))
    assert shapes == [(256, 28, 28), (256, 20, 20), (256, 6, 6)]
    assert bool(((sure > 0) & (sure < 1)).all())


def test_capsulenet_starts_where_it_can_learn() -> None:
    """On bright faces no class capsule is as good as 1 long before training, and some step moves every layer."""
    torch.manual_seed(0)
    network = CapsuleNet().train()
    faces = 128 + 60 * torch.randn(4, 1, 224, 224).clamp(-2, 2)
    sure = network.sureness(faces)
    assert (sure < 0.9).all()
    expressions_missed(sure, torch.tensor([0, 1, 2, 0])).backward()
    assert all(
        value.grad is not None and value.grad.abs().max() > 0 for value in network.parameters() if value.ndim > 1
    )
