"""ATNet, the Apex-Time Network: the face at the apex, and the motion around it as a sequence.

Peng, Wang, Bi, Shi, Zhou and Chen, "A novel Apex-Time Network for cross-dataset micro-expression recognition", ACII
2019, arXiv 1904.03699; structure from the authors' Caffe files, the text of the paper not being at hand.

Inputs: `apex` float32 [N, 1, 224, 224], grey 0..255, and `sequence` float32 [N, 64, 128], the motion of each step in 64
cells as direction (radians) and magnitude (px), with leading rows of zeros (`server.recipes.apex_sequence_64`). Output:
logits float32 [N, 3] in the order of `export.labels.LABELS`.

Both streams end in a vector of length 1, so that the classifier cannot let one drown the other. The mean over time
takes in the leading steps without motion, as published.

Deviations: two biases for each gate, as PyTorch has them, where Caffe has one; trained from scratch, where the authors
start the trunk from macro-expressions; AdamW instead of SGD.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.networks.lstm_steps import LstmSteps
from export.networks.network import Network
from export.networks.resnet10 import APEX_INPUT, FEATURES, ResNet10, dense_head, unit_length
from server.contract import TensorSpec

STEPS, CELLS = 64, 64
_HIDDEN = 512
_SPREAD = 0.1


class ATNet(nn.Module):
    """A residual trunk and two layers of memory, side by side."""

    def __init__(self, *, classes: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        self.trunk = ResNet10()
        self.memory = nn.Sequential(LstmSteps(2 * CELLS, _HIDDEN), LstmSteps(_HIDDEN, _HIDDEN))
        for name, value in self.memory.named_parameters():
            if "weight" in name:
                nn.init.normal_(value, std=_SPREAD)
            else:
                nn.init.zeros_(value)
        self.dropout = nn.Dropout(dropout)
        self.head = dense_head(FEATURES + _HIDDEN, classes)

    def forward(self, apex: Tensor, sequence: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `apex` float32 [N, 1, 224, 224] and `sequence` float32 [N, 64, 128]."""
        both = torch.cat([self.spatial(apex), self.temporal(sequence)], dim=1)
        logits: Tensor = self.head(self.dropout(both))
        return logits

    def spatial(self, apex: Tensor) -> Tensor:
        """float32 [N, 512], of length 1 each."""
        return unit_length(self.trunk(apex))

    def temporal(self, sequence: Tensor) -> Tensor:
        """float32 [N, 512], of length 1 each; zeros where the memory says nothing at all."""
        return unit_length(self.memory(sequence).mean(1))


NETWORKS = (
    Network(
        name="atnet",
        build=ATNet,
        citation=(
            "Peng, Wang, Bi, Shi, Zhou, Chen: A novel Apex-Time Network for cross-dataset micro-expression "
            "recognition. ACII 2019, arXiv 1904.03699"
        ),
        recipe="apex_sequence_64",
        inputs=(
            APEX_INPUT,
            TensorSpec(
                name="sequence",
                dims=(STEPS, 2 * CELLS),
                meaning=(
                    "motion from step to step, onset to offset, in 8 x 8 cells row by row: direction (radians), "
                    "magnitude (px of the 224 px square); leading rows of zeros"
                ),
            ),
        ),
        eight_bits=True,
        samples=2_000,
        plan={"learning_rate": 1e-3, "batch_size": 64},
        readings=(
            "The text of the paper was not at hand: layers are those of the authors' Caffe files.",
            (
                "Which flow the features are made of is not told: here Farneback's, on the same square as the apex "
                "picture. The 8 x 8 grid is inferred from 64 pairs; a cell has the direction of its mean motion and "
                "the mean of its magnitudes."
            ),
            (
                "A movement of any length is 32 steps that lie evenly in time, where the authors take the frames of "
                "their cameras; a step then is 1/32 of the movement. The authors centre the rows on the apex and then "
                "move them to the end, which loses it again, so that the rows are simply put there."
            ),
            "The mean over time includes the leading steps of zeros, as published.",
            "No weights of macro-expressions to start from: training is from scratch, with AdamW.",
        ),
        reported=(
            "The abstract claims a gain over the apex alone, above all across data sets; its tables could not be read."
        ),
    ),
)
