"""Micro-Attention and its trunk against the numbers of their source."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from export.networks.micro_attention import MicroAttention
from export.networks.resnet10 import Attention, Block, ResNet10, unit_length

MASKS, FOLDED_MASKS = 1_044_480, 2_880


def _count(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


class _Constant(nn.Module):
    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, shortcut: Tensor, first: Tensor, second: Tensor) -> Tensor:
        return torch.full_like(shortcut[:, :1], self.share)


@pytest.mark.parametrize(("classes", "expected"), [(3, 5_943_813), (5, 5_944_839)])
def test_it_has_the_published_parameters(classes: int, expected: int) -> None:
    """For three classes and for five, and without attention as many as ResNet10."""
    with torch.device("meta"):
        assert _count(MicroAttention(classes=classes)) == expected
        assert _count(ResNet10()) == 4_897_794
    assert expected - MASKS == _count(ResNet10()) + 513 * classes


def test_every_level_has_the_published_shape() -> None:
    """From 224 px to 7 in five halvings, where Caffe rounds up."""
    trunk = ResNet10(attention=True).eval()
    shapes: list[tuple[int, ...]] = []
    for module in (trunk.stem, *trunk.blocks):
        module.register_forward_hook(lambda _module, _inputs, found: shapes.append(tuple(found.shape[1:])))
    with torch.inference_mode():
        assert trunk(torch.rand(1, 1, 224, 224)).shape == (1, 512)
    assert shapes == [(64, 112, 112), (64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)]


@pytest.mark.parametrize("l2_head", [False, True])
def test_served_form_is_the_same_function(l2_head: bool) -> None:
    """Masks of one mixture: far fewer weights and equal logits, and that of the last block told beside them."""
    torch.manual_seed(0)
    network = MicroAttention(l2_head=l2_head).eval()
    faces = 255 * torch.rand(2, 1, 224, 224)
    network.trunk.scale.running_mean.fill_(128)
    network.trunk.scale.running_var.fill_(75**2)
    with torch.inference_mode():
        expected = network(faces)
        before = _count(network)
        served = network.for_serving()
        logits, _, _, attention = served(faces)
        torch.testing.assert_close(logits, expected[None], rtol=1e-5, atol=1e-5)
        assert attention.shape == (2, 7, 7)
    assert before - _count(served) == MASKS - FOLDED_MASKS


def test_folded_attention_is_the_same_map() -> None:
    """Mixing and averaging is one mixture."""
    torch.manual_seed(0)
    attention = Attention(64, 64)
    maps = [torch.randn(2, 64, 5, 5) for _ in range(3)]
    torch.testing.assert_close(attention.folded()(*maps), attention(*maps), rtol=0, atol=1e-6)


def test_masks_of_nothing_leave_the_plain_network() -> None:
    """Where every mask is 0 the answer is that of ResNet10 with the same weights."""
    torch.manual_seed(0)
    trunk, plain = ResNet10(attention=True).eval(), ResNet10().eval()
    plain.load_state_dict({name: value for name, value in trunk.state_dict().items() if "attention" not in name})
    for block in trunk.blocks:
        block.attention = _Constant(0.0)
    faces = torch.rand(1, 1, 224, 224)
    with torch.inference_mode():
        assert torch.equal(trunk(faces), plain(faces))


def test_undecided_masks_add_one_half() -> None:
    """Mask weights of zero make every place count by a half, so that the block gives 1.5 times the sum."""
    torch.manual_seed(0)
    block = Block(64, 128, attention=True).eval()
    found = torch.randn(1, 64, 8, 8)
    nn.init.zeros_(block.attention.mix.weight)
    with torch.inference_mode():
        weighed = block(found)
        block.attention = None
        torch.testing.assert_close(weighed, 1.5 * block(found))


def test_features_of_the_baseline_have_length_one() -> None:
    """The variant of the sibling paper has as many parameters, and bounded logits."""
    with torch.device("meta"):
        assert _count(MicroAttention(l2_head=True)) == 5_943_813
    network = MicroAttention(l2_head=True).eval()
    with torch.inference_mode():
        logits = network(255 * torch.rand(1, 1, 224, 224))
    assert (logits - 0.2).abs().max() <= network.head.weight.norm(dim=1).max()


def test_unit_length_of_nothing_is_nothing() -> None:
    """A vector of zeros stays finite."""
    found = unit_length(torch.stack([torch.zeros(8), torch.arange(8.0)]))
    torch.testing.assert_close(found.norm(dim=1), torch.tensor([0.0, 1.0]))
