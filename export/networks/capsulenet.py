"""CapsuleNet: the lower layers of ResNet-18 at double resolution, and capsules on the apex alone.

Van Quang, Chun and Tokuyama, "CapsuleNet for Micro-Expression Recognition", FG 2019; structure from the authors' code
(davidnvq/me_recognition).

Input: float32 [N, 1, 224, 224], the grey face at the apex, 0..255, as the three channels of a picture of 0..1. Output:
logits float32 [N, 3] in the order of `export.labels.LABELS`, whose softmax are the shares of the capsules' lengths.

Layers bear torchvision's names. The pooling after the first convolution is left out, as in that code, so that every
picture is twice as high and wide as in ResNet-18.

Deviations: trained from scratch; colour is grey three times; none of their crops, turns and colour jitter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from export.capsule_losses import expressions_missed
from export.networks.capsules import PrimaryCapsules, RoutedCapsules, lengths, log_shares
from export.networks.network import Network
from export.networks.resnet10 import APEX_INPUT
from export.trainer import LOSS, OneCycleTrainer, Trainer
from export.training_plan import TrainingPlan

_CHANNELS = 256
_TYPES, _SIZE, _SIDE = 32, 8, 6
_CLASS_SIZE = 16
_SPREAD = 0.01


class CapsuleNet(nn.Module):
    """Three levels of residual blocks, two convolutions of 9 x 9, 1152 capsules and one for each class."""

    def __init__(self, *, classes: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(_BasicBlock(64, 64), _BasicBlock(64, 64))
        self.layer2 = nn.Sequential(_BasicBlock(64, 128), _BasicBlock(128, 128))
        self.layer3 = nn.Sequential(_BasicBlock(128, _CHANNELS), _BasicBlock(_CHANNELS, _CHANNELS))
        self.wide = nn.Sequential(nn.Conv2d(_CHANNELS, _CHANNELS, 9), nn.ReLU())
        self.primary = PrimaryCapsules(_CHANNELS, _TYPES, _SIZE, kernel=9, stride=2)
        self.expression = RoutedCapsules(_TYPES * _SIDE * _SIDE, _SIZE, classes, _CLASS_SIZE, spread=_SPREAD)

    def forward(self, apex: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `apex` float32 [N, 1, 224, 224], 0..255."""
        return log_shares(self.sureness(apex))

    def sureness(self, apex: Tensor) -> Tensor:
        """Lengths of the class capsules, float32 [N, classes], 0..1."""
        found = torch.relu(self.bn1(self.conv1(apex.expand(-1, 3, -1, -1) / 255.0)))
        found = self.layer3(self.layer2(self.layer1(found)))
        return lengths(self.expression(self.primary(self.wide(found))))


class _BasicBlock(nn.Module):
    """Two convolutions and a shortcut, as in ResNet-18: half as high and wide where it gets wider."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        stride = 1 if width == inputs else 2
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample: nn.Module = nn.Identity()
        if width != inputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, found: Tensor) -> Tensor:
        """float32 [N, width, H', W'] of `found` float32 [N, inputs, H, W]."""
        first = torch.relu(self.bn1(self.conv1(found)))
        return torch.relu(self.bn2(self.conv2(first)) + self.downsample(found))


def _trainer(network: nn.Module, plan: TrainingPlan, steps: int) -> Trainer:
    def cost(
        network: nn.Module, inputs: Sequence[Tensor], labels: Tensor, extras: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        assert isinstance(network, CapsuleNet)
        return {LOSS: expressions_missed(network.sureness(*inputs), labels)}

    return OneCycleTrainer(network, plan, steps, cost)


NETWORKS = (
    Network(
        name="capsulenet",
        build=CapsuleNet,
        citation="Van Quang, Chun, Tokuyama: CapsuleNet for Micro-Expression Recognition. FG 2019",
        recipe="apex_gray_224",
        inputs=(APEX_INPUT,),
        eight_bits=True,
        samples=1_000,
        plan={"learning_rate": 3e-5, "batch_size": 16, "epochs": 5, "label_smoothing": 0.0, "unit_weight": 0.0},
        trainer=_trainer,
        readings=(
            "The grey face three times, in place of a colour picture.",
            "Capsules are eight neighbouring channels at one place.",
            "Probabilities are the shares of the capsules' lengths; training is by their margin loss, with AdamW.",
            "No ImageNet weights to start from, and none of the authors' crops, turns and colour jitter.",
            "Samples and epochs are as few as the time of one core allows: fewer than it can use.",
        ),
        reported=(
            "MEGC2019 composite, leave one subject out: UF1 0.652, UAR 0.650 (table of ICE-GAN). How the epoch was "
            "chosen is not known."
        ),
    ),
)
