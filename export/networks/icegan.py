"""The discriminator of ICE-GAN, which is what classifies: four convolutions and capsules on the apex alone.

Yu, Zhang, Song and Cai, "ICE-GAN: Identity-aware and Capsule-Enhanced GAN with Graph-based Reasoning for
Micro-Expression Recognition and Synthesis", IJCNN 2021, arXiv 2005.04370. Neither text nor code of the paper was at
hand: its figure shows the parts and how they are joined, and all sizes are ours.

Input: float32 [N, 1, 128, 128], the grey face at the apex, 0..255. Output: logits float32 [N, 3] in the order of
`export.labels.LABELS`, whose softmax are the shares of the capsules' lengths.

A second head, one capsule, says whether a face was recorded or made by `export.networks.icegan_generator`. It is needed
for training against that (`export.gan_losses`) alone: `ICEGAN.for_serving` drops it, and writes the spectral
normalisation of the convolutions into their weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from export.networks.capsules import PrimaryCapsules, RoutedCapsules, lengths, log_shares
from export.networks.network import Network
from export.trainer import Trainer
from export.training_plan import TrainingPlan
from server.contract import TensorSpec
from server.recipes import apex_gray_128
from server.types import EventSample, UInt8Array

SIDE_PX = 128
_WIDTHS = ((1, 64), (64, 128), (128, 256), (256, 256))
_TYPES, _SIZE, _SIDE = 8, 8, 6
_CAPSULE_SIZE = 16
_SLOPE = 0.2
_GAIN = 16.0
"""Spectral normalisation leaves faces with a few hundredths after four convolutions, and squashing turns what is short
into almost nothing: without it no gradient would reach the convolutions at first.
"""


class Judgement(NamedTuple):
    """`expression` float32 [N, classes] and `recorded` float32 [N]: lengths of capsules, 0..1."""

    expression: Tensor
    recorded: Tensor


def scaled(grey: Tensor) -> Tensor:
    """Grey 0..255 as -1..1, of the same shape."""
    return grey / 127.5 - 1.0


class ICEGAN(nn.Module):
    """The capsule-enhanced discriminator."""

    def __init__(self, *, classes: int = 3) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            *(nn.Sequential(nn.Conv2d(*widths, 4, 2, 1), nn.LeakyReLU(_SLOPE)) for widths in _WIDTHS)
        )
        self.primary = PrimaryCapsules(_WIDTHS[-1][1], _TYPES, _SIZE, kernel=3)
        for module in list(self.modules()):
            if isinstance(module, nn.Conv2d):
                spectral_norm(module)
        inputs = _TYPES * _SIDE * _SIDE
        self.expression = RoutedCapsules(inputs, _SIZE, classes, _CAPSULE_SIZE)
        self.adversarial: RoutedCapsules | None = RoutedCapsules(inputs, _SIZE, 1, _CAPSULE_SIZE)

    def forward(self, apex: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `apex` float32 [N, 1, 128, 128], 0..255."""
        return log_shares(lengths(self.expression(self._capsules(scaled(apex)))))

    def judge(self, faces: Tensor) -> Judgement:
        """Both heads on `faces` float32 [N, 1, 128, 128], -1..1 as the generator makes them."""
        assert self.adversarial is not None, "a network that is served judges no synthetic faces"
        capsules = self._capsules(faces)
        return Judgement(lengths(self.expression(capsules)), lengths(self.adversarial(capsules))[:, 0])

    def for_serving(self) -> ICEGAN:
        """The same answers without what only training needs. In evaluation mode; changes this network."""
        # In training mode reading the weights would go on with the power iteration.
        self.eval()
        for module in list(self.modules()):
            if isinstance(module, nn.Conv2d) and is_parametrized(module):
                remove_parametrizations(module, "weight")
        self.adversarial = None
        return self

    def _capsules(self, faces: Tensor) -> Tensor:
        """float32 [N, 288, 8] of `faces` float32 [N, 1, 128, 128], -1..1."""
        capsules: Tensor = self.primary(_GAIN * self.convs(faces))
        return capsules


def onset_of(event: EventSample) -> Mapping[str, UInt8Array]:
    """`onset` uint8 [1, 128, 128], the face square at the onset as the recipe has that at the apex."""
    face = apex_gray_128.make(replace(event, apex=event.onset))[apex_gray_128.INPUT]
    return {"onset": np.rint(face).astype(np.uint8)}


def _trainer(network: nn.Module, plan: TrainingPlan, steps: int) -> Trainer:
    # What trains the network is built on this module.
    from export.gan_training import AdversarialTrainer

    return AdversarialTrainer(network, plan, steps)


NETWORKS = (
    Network(
        name="icegan",
        build=ICEGAN,
        citation=(
            "Yu, Zhang, Song, Cai: ICE-GAN: Identity-aware and Capsule-Enhanced GAN with Graph-based Reasoning for "
            "Micro-Expression Recognition and Synthesis. IJCNN 2021, arXiv 2005.04370"
        ),
        recipe="apex_gray_128",
        inputs=(
            TensorSpec(name="apex", dims=(1, SIDE_PX, SIDE_PX), meaning="the face square at the apex, grey, 0 to 255"),
        ),
        eight_bits=True,
        samples=1_200,
        plan={
            "epochs": 10,
            "batch_size": 16,
            "learning_rate": 1e-4,
            "weight_decay": 0.0,
            "warm_up": 0.5,
            "label_smoothing": 0.0,
            "unit_weight": 0.0,
        },
        trainer=_trainer,
        extras=onset_of,
        readings=(
            (
                "Neither text nor code of the paper was at hand: parts and their joints are those of its figure; input "
                "size, layer sizes, the number of capsules and three routings are ours."
            ),
            "What the convolutions find is multiplied by 16 before the capsules, which else are too short to learn.",
            (
                "At inference the discriminator's expression head alone, as the figure suggests, with the shares of "
                "the capsules' lengths as probabilities."
            ),
            (
                "The losses are ours: margins of 0.9 and 0.1 on the lengths of capsules for real or made and for the "
                "expression, of made faces at 0.3 of the weight; for the generator also the distance from the apex "
                "where the class that is wanted is the one shown, and from the onset outside of brows, eyes and mouth."
            ),
            (
                "Identity is kept by the last of these and by painting at most 0.3 of half the grey range onto the "
                "onset; there is no embedding of faces, which a network of people's faces would have to give."
            ),
            (
                "Adam, at 1e-4 and twice of it for the generator; 5 epochs of expressions alone, then 5 in which each "
                "batch of 16 is one step of the discriminator and one of the generator, whose wanted classes are drawn "
                "evenly. So few, and a generator of 16 channels where 64 are usual, are what one core does in 20 "
                "minutes; how long the authors trained is not known."
            ),
        ),
        reported=(
            "MEGC2019 composite, leave one subject out: UF1 0.874, UAR 0.883. Whether the generator was trained anew "
            "without each subject, and how the epoch was chosen, is not known; capsules without it have 0.652 and "
            "0.650 in the same table."
        ),
    ),
)
