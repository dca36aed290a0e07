"""DSSN: two AlexNets cut after their second convolution, one over flow and its magnitude, one over flow and strain.

Khor, See, Liong, Phan and Lin, "Dual-stream Shallow Networks for Facial Micro-expression Recognition", ICIP 2019, doi
10.1109/ICIP.2019.8802965; structure from the authors' code.

Input: `magnitude` and `strain`, float32 [N, 3, 227, 227] each, images of 0..255 as the recipe `flow_dual_227` makes
them: u and v in both, the magnitude of the motion or its strain as the third channel. Output: logits float32 [N, 3] in
the order of `export.labels.LABELS`.

The two maps are multiplied, as in the authors' code, or added or concatenated, which are variants that it leaves out.
One stream by itself is their SSSN.

Deviations: convolutions start from He's random numbers, not from AlexNet's weights of ImageNet, and the bias of the
dense layer starts at zero. The ring of zeros around the last map is the authors': it gives the dense layer weights that
see nothing, and is left out in what is served (`DSSN.for_serving`), which is the same function.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.networks.network import Network
from server.contract import TensorSpec
from server.recipes.flow_dual_227 import DIMS, MAGNITUDE, STRAIN

Merge: TypeAlias = Literal["multiply", "add", "concatenate"]

MAPS = 256
SIDE = 13
"""Rows and columns of the last map, without its ring."""
_IMAGE_MEAN = (123.68, 116.779, 103.939)
"""Of ImageNet's channels; the published network takes them off u, v and the third channel all the same."""
_NEIGHBOURS = 2


class Stem(nn.Module):
    """AlexNet up to its second normalisation. `ring` puts a zero around each map, as the published one does."""

    mean: Tensor

    def __init__(self, *, ring: bool = True) -> None:
        super().__init__()
        self.ring = ring
        self.register_buffer("mean", torch.tensor(_IMAGE_MEAN)[:, None, None], persistent=False)
        self.conv1 = nn.Conv2d(3, 96, 11, stride=4)
        self.conv2 = nn.Conv2d(96, MAPS, 5, padding=2, groups=2)
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, images: Tensor) -> Tensor:
        """float32 [N, 256, 15, 15], or [N, 256, 13, 13] without the ring, of float32 [N, 3, 227, 227] of 0..255."""
        maps = (images - self.mean) / 255.0
        for conv in (self.conv1, self.conv2):
            maps = normalised(functional.max_pool2d(functional.relu(conv(maps)), 3, 2))
        return functional.pad(maps, (1, 1, 1, 1)) if self.ring else maps


class DSSN(nn.Module):
    """Two stems, what `merge` makes of their maps, dropout and one dense layer."""

    def __init__(self, *, merge: Merge = "multiply", classes: int = 3, dropout: float = 0.5, ring: bool = True) -> None:
        super().__init__()
        self.merge = merge
        self.magnitude, self.strain = Stem(ring=ring), Stem(ring=ring)
        self.dropout = nn.Dropout(dropout)
        self.head = _head(2 if merge == "concatenate" else 1, classes, ring=ring)

    def forward(self, magnitude: Tensor, strain: Tensor) -> Tensor:
        """Logits float32 [N, classes] of both images float32 [N, 3, 227, 227]."""
        first, second = self.magnitude(magnitude), self.strain(strain)
        if self.merge == "multiply":
            merged = first * second
        elif self.merge == "add":
            merged = first + second
        else:
            merged = torch.cat([first, second], dim=1)
        logits: Tensor = self.head(self.dropout(merged.flatten(1)))
        return logits

    def for_serving(self) -> DSSN:
        """The same function without the ring of zeros. In evaluation mode."""
        if not self.magnitude.ring:
            return self.eval()
        served = DSSN(merge=self.merge, classes=self.head.out_features, dropout=self.dropout.p, ring=False)
        served.magnitude.load_state_dict(self.magnitude.state_dict())
        served.strain.load_state_dict(self.strain.state_dict())
        with torch.no_grad():
            weight = self.head.weight.reshape(self.head.out_features, -1, SIDE + 2, SIDE + 2)
            served.head.weight.copy_(weight[:, :, 1:-1, 1:-1].flatten(1))
            served.head.bias.copy_(self.head.bias)
        return served.eval()


class SSSN(nn.Module):
    """The single-stream counterpart: one stem, dropout and one dense layer."""

    def __init__(self, *, classes: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        self.stem = Stem()
        self.dropout = nn.Dropout(dropout)
        self.head = _head(1, classes, ring=True)

    def forward(self, images: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `images` float32 [N, 3, 227, 227]."""
        logits: Tensor = self.head(self.dropout(self.stem(images).flatten(1)))
        return logits


def normalised(maps: Tensor) -> Tensor:
    """AlexNet's normalisation across five neighbouring channels: x / (2 + 1e-4 * sum of their squares) ** 0.75.

    Written out, because PyTorch's own becomes conditional nodes when it is exported.
    """
    channels = maps.shape[1]
    squares = functional.pad(maps.square(), (0, 0, 0, 0, _NEIGHBOURS, _NEIGHBOURS))
    total = squares[:, :channels]
    for shift in range(1, 2 * _NEIGHBOURS + 1):
        total = total + squares[:, shift : shift + channels]
    # Two square roots are cheaper than a power.
    root = (2.0 + 1e-4 * total).sqrt()
    return maps / (root * root.sqrt())


def _head(streams: int, classes: int, *, ring: bool) -> nn.Linear:
    side = SIDE + 2 if ring else SIDE
    head = nn.Linear(streams * MAPS * side * side, classes)
    nn.init.kaiming_normal_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def _network(name: str, merge: Merge, variant: tuple[str, ...] = ()) -> Network:
    return Network(
        name=name,
        build=partial(DSSN, merge=merge),
        citation=(
            "Khor, See, Liong, Phan, Lin: Dual-stream Shallow Networks for Facial Micro-expression Recognition. ICIP "
            "2019, doi 10.1109/ICIP.2019.8802965"
        ),
        recipe="flow_dual_227",
        inputs=(
            TensorSpec(
                name=MAGNITUDE,
                dims=DIMS[MAGNITUDE],
                meaning="onset to apex motion as an image: u, v as 16 px + 128, its magnitude as 16 px, within 0..255",
            ),
            TensorSpec(
                name=STRAIN,
                dims=DIMS[STRAIN],
                meaning="the same u and v, and optical strain stretched to 0..255 for each image",
            ),
        ),
        eight_bits=True,
        samples=2_000,
        plan={"learning_rate": 3e-4, "batch_size": 64, "epochs": 6},
        readings=(
            *variant,
            "The paper was not at hand: the structure is that of the authors' code, which pairs magnitude and strain.",
            (
                "How flow becomes an image is not told: 16 px + 128 for u and v as in an earlier project of the "
                "authors, 16 px for the magnitude, strain stretched for each image; not rounded to whole numbers."
            ),
            "Convolutions are trained from random numbers; the authors start from AlexNet's weights of ImageNet.",
            "Optimiser and schedule are not published.",
        ),
        reported=(
            "The abstract claims the best result of its time on CASME II and SAMM, without numbers; no figure for the "
            "MEGC2019 composite was found."
        ),
    )


NETWORKS = (
    _network("dssn", "multiply"),
    _network("dssn_add", "add", ("Maps are added, a variant that the authors' code leaves out.",)),
    _network(
        "dssn_concatenate", "concatenate", ("Maps are concatenated, a variant that the authors' code leaves out.",)
    ),
)
