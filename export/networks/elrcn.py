"""ELRCN: what moves at each step of the movement, one VGG vector a step, and a long short-term memory over the steps.

Khor, See, Phan and Lin, "Enriched Long-term Recurrent Convolutional Network for Facial Micro-Expression Recognition",
FG 2018, arXiv 1805.08417; only the abstract and the introduction were at hand, sizes are those of the authors' code.

Inputs, for 9 steps between 10 pictures: `flow` float32 [N, 9, 3, S, S], u, v and magnitude as 16 x + 128; `strain`
float32 [N, 9, 1, S, S] in percent; `gray` float32 [N, 9, 1, S, S], 0..255. Each is centred and scaled inside. Output:
logits float32 [N, 3] in the order of `export.labels.LABELS`.

SE enriches in space: the planes are stacked to five channels of one encoder. TE enriches in time: flow, strain and gray
have an encoder each, and their vectors are put together before the memory.

Deviations: what is registered are twins for a desk, `elrcn_se_small` and `elrcn_te_small`: an encoder of the form of
VGG-11 at 64 px with a quarter of its width (TE: an eighth) and a memory of 128. `FULL_SIZE` is the published size, 0.88
and 2.35 GB. Encoder and memory are trained together and from scratch, where the authors train the encoder on single
steps first, TE from weights of faces that are not at hand; convolutions start after He et al. (ICCV 2015), since a VGG
without normalisation hardly learns otherwise. Outputs are logits of a softmax and not sigmoids.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from export.networks.lstm_steps import LstmSteps
from export.networks.network import Network
from server.contract import TensorSpec
from server.recipes.motion_9x64 import DIMS, LEVELS_PER_PX, STILL

_DENSE = 128
_RGB = 3
_PLANES = 5
_STRAIN_PERCENT = 4.0
"""Strain of the order that a micro-expression has, which becomes 1."""
_GRAY_SPREAD = 64.0


@dataclass(frozen=True, slots=True)
class Size:
    """Layers of each block of an encoder, width of each block, side of its pictures in px, length of its vector, and
    units of the memory.
    """

    layers: tuple[int, ...]
    widths: tuple[int, ...]
    side: int
    feature: int
    hidden: int


FULL_SIZE = Size((2, 2, 3, 3, 3), (64, 128, 256, 512, 512), side=224, feature=4096, hidden=3000)
"""VGG-16 and the memory of the authors' code."""
SMALL_SE = Size((1, 1, 2, 2, 2), (16, 32, 64, 128, 128), side=64, feature=128, hidden=128)
SMALL_TE = Size((1, 1, 2, 2, 2), (8, 16, 32, 64, 64), side=64, feature=64, hidden=128)


class Encoder(nn.Module):
    """A VGG: blocks of convolutions that each end in pooling, and two dense layers, without the classifier."""

    def __init__(self, channels: int, size: Size, dropout: float) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for count, width in zip(size.layers, size.widths, strict=True):
            for _ in range(count):
                blocks += [_conv(channels, width), nn.ReLU()]
                channels = width
            blocks.append(nn.MaxPool2d(2))
        left = size.side // 2 ** len(size.widths)
        self.blocks = nn.Sequential(*blocks)
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * left * left, size.feature),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(size.feature, size.feature),
            nn.ReLU(),
            nn.Dropout(dropout),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """float32 [N, T, feature] of `pictures` float32 [N, T, channels, side, side]."""
        steps = pictures.shape[1]
        vectors: Tensor = self.dense(self.blocks(pictures.flatten(0, 1)))
        return vectors.reshape(-1, steps, vectors.shape[1])


class Temporal(nn.Module):
    """The memory over the steps and two dense layers."""

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.memory = LstmSteps(inputs, hidden)
        self.head = nn.Sequential(nn.Linear(hidden, _DENSE), nn.ReLU(), nn.Linear(_DENSE, classes))

    def forward(self, vectors: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `vectors` float32 [N, T, inputs]."""
        logits: Tensor = self.head(self.memory(vectors)[:, -1])
        return logits


class ElrcnSE(nn.Module):
    """One encoder of motion, strain and face, stacked."""

    def __init__(self, *, size: Size = FULL_SIZE, classes: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        self.encoder = Encoder(_PLANES, size, dropout)
        self.temporal = Temporal(size.feature, size.hidden, classes)

    def forward(self, flow: Tensor, strain: Tensor, gray: Tensor) -> Tensor:
        """Logits float32 [N, classes] of the inputs that the module's description names."""
        stacked = torch.cat(_scaled(flow, strain, gray), dim=2)
        logits: Tensor = self.temporal(self.encoder(stacked))
        return logits


class ElrcnTE(nn.Module):
    """An encoder each of motion, strain and face, the latter two repeated to the three channels of a picture."""

    def __init__(self, *, size: Size = FULL_SIZE, classes: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        self.flow, self.strain, self.gray = (Encoder(_RGB, size, dropout) for _ in range(3))
        self.temporal = Temporal(3 * size.feature, size.hidden, classes)

    def forward(self, flow: Tensor, strain: Tensor, gray: Tensor) -> Tensor:
        """Logits float32 [N, classes] of the inputs that the module's description names."""
        motion, stretch, face = _scaled(flow, strain, gray)
        vectors = (
            self.flow(motion),
            self.strain(torch.cat([stretch] * _RGB, dim=2)),
            self.gray(torch.cat([face] * _RGB, dim=2)),
        )
        logits: Tensor = self.temporal(torch.cat(vectors, dim=2))
        return logits


def _scaled(flow: Tensor, strain: Tensor, gray: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Motion in px, strain in units of `_STRAIN_PERCENT`, grey about -2..2."""
    return (flow - STILL) / LEVELS_PER_PX, strain / _STRAIN_PERCENT, (gray - STILL) / _GRAY_SPREAD


def _conv(channels: int, width: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, width, 3, padding=1)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


_CITATION = (
    "Khor, See, Phan, Lin: Enriched Long-term Recurrent Convolutional Network for Facial Micro-Expression Recognition. "
    "FG 2018, arXiv 1805.08417"
)
_INPUTS = tuple(
    TensorSpec(name=name, dims=DIMS[name], meaning=f"{meaning}: step, channel, row, column")
    for name, meaning in (
        (
            "flow",
            (
                "motion from each of 10 pictures, evenly from onset to offset, to the next: u (right), v (down), their "
                "magnitude, as 16 x + 128 within 0..255, x in px of the face square at 128 px"
            ),
        ),
        ("strain", "optical strain of the same steps in percent, 0..100"),
        ("gray", "the aligned face where each step ends, grey 0..255"),
    )
)
_READINGS = (
    "Small twins: VGG-11 of a quarter (SE) or an eighth (TE) of the width at 64 px, a memory of 128 units.",
    "10 pictures give 9 steps; strain and face are those of the picture in which a step ends.",
    "Flow by dense inverse search at 128 px, where the authors' is TV-L1; levels are not rounded.",
    "Strain with a fixed gain, where the published pictures saturate at one px/px; motion and face are centred.",
    "The vector behind the second dense layer, for both forms: the released code for SE and TE hands on class scores.",
    "Encoder and memory are trained together and from scratch; softmax instead of sigmoid.",
)
_PLAN = {"learning_rate": 1e-3, "batch_size": 16, "epochs": 12}

NETWORKS = tuple(
    Network(
        name=name,
        build=partial(form, size=size),
        citation=_CITATION,
        recipe="motion_9x64",
        inputs=_INPUTS,
        eight_bits=True,
        samples=2_000,
        plan=_PLAN,
        readings=_READINGS,
        reported=reported,
    )
    for name, form, size, reported in (
        (
            "elrcn_se_small",
            ElrcnSE,
            SMALL_SE,
            (
                "Of the full size, MEGC 2018: CASME II and SAMM together 57 % accuracy, UAR 0.39; trained on one and "
                "scored on the other 43.45 %, UAR 0.3522. That these rows are SE is inferred. Their F1 (0.4107 and "
                "0.3411) is the harmonic mean of mean precision and mean recall, not macro F1."
            ),
        ),
        (
            "elrcn_te_small",
            ElrcnTE,
            SMALL_TE,
            (
                "Of the full size: CASME II, five emotions, leave one subject out, 52.44 % accuracy, UAR 0.4396. That "
                "this row is TE is inferred. Its F1 (0.49997) is the harmonic mean of mean precision and mean recall, "
                "not macro F1."
            ),
        ),
    )
)
