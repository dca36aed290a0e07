"""MOL: micro-expression, optical flow and facial landmarks estimated together, from eight grey frames.

Shao, Cheng, Li, Zhou, Lu, Xie and Ma, "MOL: Joint Estimation of Micro-Expression, Optical Flow, and Landmark via
Transformer-Graph-Style Convolution", IEEE TPAMI 2025, arXiv 2506.14511; structure from the authors' code.

Input: `video` float32 [N, 1, 8, 128, 128], grey 0..255, of an aligned face from onset to offset. Output: logits float32
[N, 3] in the order of `export.labels.LABELS`; `MOL.joint` gives the flow of each pair of consecutive frames and the
landmarks of its second frame as well, which only training needs. What is served is the path to the class alone.

Features come from `mol_features`, flow from `mol_flow`. Deviations: one fixed scale of grey levels, where the authors
normalise each file by its own mean and maximum, and batch statistics over all pairs of a clip at once, where theirs are
of one pair after the other. `mol_small` is the same network with fewer channels.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from export.mol_targets import joint_targets
from export.mol_training import joint_trainer
from export.networks.mol_features import CHANNELS, F5C, PAIRS, SIDE, Semantics
from export.networks.mol_flow import WIDTH, PairFlow
from export.networks.mol_joint import LANDMARKS, Joint, JointNetwork
from export.networks.mol_names import adopt
from export.networks.network import Network
from server.contract import TensorSpec
from server.recipes.frames_8x128 import DIMS, INPUT


class Recognition(nn.Module):
    """The path from frames to class, which needs neither of the other heads."""

    def __init__(self, classes: int, dropout: float, ccc: Semantics, channels: int = CHANNELS) -> None:
        super().__init__()
        self._channels = channels
        self.features = F5C(channels, ccc)
        self.head = nn.Sequential(
            nn.Conv3d(channels, channels // 4, (2, 2, 5), stride=(2, 2, 1)),
            nn.MaxPool3d(2),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(channels // 4 * 4 * 4 * 5, 2 * channels),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(2 * channels, classes),
        )

    def forward(self, video: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `video` float32 [N, 1, 8, 128, 128], 0..255."""
        return self.classify(*self.features(scaled(video)))

    def classify(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits float32 [N, classes] of the features of all pairs, each float32 [N, 7, channels, 16, 16]."""
        slices = torch.stack([first, second], dim=2).reshape(-1, 2 * PAIRS, self._channels, SIDE, SIDE)
        logits: Tensor = self.head(slices.permute(0, 2, 3, 4, 1))
        return logits


class MOL(JointNetwork):
    """The path to the class and the two heads that are trained beside it. `channels` are those of the features, `width`
    those of the first layer of the flow head, from which all others of that path follow. With `heads` of the class
    alone there is nothing but that path.
    """

    def __init__(
        self,
        *,
        classes: int = 3,
        dropout: float = 0.5,
        ccc: Semantics = "paper",
        channels: int = CHANNELS,
        width: int = WIDTH,
        heads: Literal["all", "class"] = "all",
    ) -> None:
        super().__init__()
        self.recognition = Recognition(classes, dropout, ccc, channels)
        if heads == "class":
            return
        self.flow = PairFlow(2 * channels, width)
        self.landmarks = nn.Sequential(
            nn.Conv2d(channels, channels // 4, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(channels // 4 * (SIDE - 2) ** 2, 4 * channels),
            nn.ReLU(),
            nn.Linear(4 * channels, 2 * LANDMARKS),
        )

    def forward(self, video: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `video` float32 [N, 1, 8, 128, 128], 0..255."""
        logits: Tensor = self.recognition(video)
        return logits

    def joint(self, video: Tensor, pairs: Tensor | None = None) -> Joint:
        """What all three heads say of `video` float32 [N, 1, 8, 128, 128], 0..255; the flow of all pairs or of those
        whose numbers `pairs` int64 [N, P] gives, 0..6.
        """
        frames = scaled(video)
        first, second = self.recognition.features(frames)
        landmarks = self.landmarks(second.flatten(0, 1)).unflatten(0, (-1, PAIRS))
        return Joint(
            self.recognition.classify(first, second),
            self._flow(frames, torch.cat([first, second], dim=2), pairs).permute(0, 2, 3, 4, 1),
            landmarks.transpose(1, 2),
        )

    def start_landmarks(self, mean: Tensor) -> None:
        """Let the landmark head start from a mean face, float32 [136] in px."""
        last = self.landmarks[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.bias.copy_(mean)

    def for_serving(self) -> Recognition:
        """The path to the class alone: the same logits. In evaluation mode."""
        return self.recognition.eval()

    def _flow(self, frames: Tensor, features: Tensor, pairs: Tensor | None) -> Tensor:
        """float32 [N, P, 2, 128, 128] of all pairs or of `pairs`."""
        if pairs is None:
            flow: Tensor = self.flow(frames, features)
            return flow
        rows = torch.arange(len(pairs), device=pairs.device)[:, None]
        both = torch.stack([frames[rows, pairs], frames[rows, pairs + 1]], dim=2).flatten(0, 1)
        chosen: Tensor = self.flow(both, features[rows, pairs].flatten(0, 1)[:, None])
        return chosen.reshape(*pairs.shape, *chosen.shape[2:])


def scaled(video: Tensor) -> Tensor:
    """Frames float32 [N, 8, 128, 128] within -1..1 of `video` float32 [N, 1, 8, 128, 128], 0..255."""
    return (video[:, 0] - 127.5) / 127.5


_CITATION = (
    "Shao, Cheng, Li, Zhou, Lu, Xie, Ma: MOL: Joint Estimation of Micro-Expression, Optical Flow, and Landmark via "
    "Transformer-Graph-Style Convolution. IEEE TPAMI 2025, doi 10.1109/TPAMI.2025.3581162, arXiv 2506.14511"
)
_READINGS = (
    (
        "Paper and code differ: neighbours are sought among channels, without the node itself, and a 1x1 convolution "
        "follows, as in the paper; the code's own way can be built."
    ),
    "Grey levels have one fixed scale; the authors' normalisation of each file sees its test samples.",
    (
        "Frames lie evenly from onset to offset and show the whole aligned crop, whose scale is about that of the "
        "authors' frames but whose eyes lie lower; theirs are aligned one by one."
    ),
    (
        "The flow that is learnt is measured as for networks of flow, where the authors use TV-L1. The landmarks are "
        "those of the onset, from a mesh of 468 points, moved by the flow; theirs are found anew in each frame."
    ),
    (
        "In a step the flow head sees one pair of each clip, drawn anew, which is all pairs on average; the authors' "
        "sees all seven. The landmark head starts from the mean face of the first batch."
    ),
    "AdamW under a one-cycle schedule, gradients cut to norm 1; the authors' rate is constant, 1e-4, for 1000 steps.",
    "Weights of the joint loss are those of the authors' command: 10 for the flow, 0.1 for the landmarks.",
    "The class is served without the other heads.",
)
_REPORTED = (
    "The abstract claims the best result on CASME II, SAMM and SMIC; its figures were not at hand. The authors' code "
    "takes the epoch that is best on the test subject."
)
_PLAN = {"weight_decay": 1e-3, "label_smoothing": 0.0}
_FULL = Network(
    name="mol",
    build=MOL,
    citation=_CITATION,
    recipe="frames_8x128",
    inputs=(
        TensorSpec(
            name=INPUT,
            dims=DIMS[INPUT],
            meaning="8 grey frames 0..255 of the aligned face, evenly in time from onset to offset",
        ),
    ),
    samples=360,
    eight_bits=True,
    plan={**_PLAN, "learning_rate": 3e-4, "batch_size": 16, "epochs": 6},
    trainer=joint_trainer,
    extras=joint_targets,
    readings=(*_READINGS, "Samples and epochs are as few as the time of one core allows: fewer than it can use."),
    reported=_REPORTED,
    adopt=adopt,
)

NETWORKS = (
    _FULL,
    replace(
        _FULL,
        name="mol_small",
        build=partial(MOL, channels=32, width=8),
        adopt=None,
        samples=1_200,
        plan={**_PLAN, "learning_rate": 1e-3, "batch_size": 32, "epochs": 12},
        readings=(*_READINGS, "A quarter of the channels of the features, an eighth of those of the flow head."),
    ),
)
