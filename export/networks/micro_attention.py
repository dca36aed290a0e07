"""Micro-Attention: a residual network of ten layers that sees the apex alone and learns which places of it count.

Wang, Peng, Bi and Chen, "Micro-attention for micro-expression recognition", Neurocomputing 410, 2020, arXiv 1811.02360;
structure from the authors' Caffe files, the text of the paper not being at hand.

Input: float32 [N, 1, 224, 224], the grey face at the apex, 0..255, which the first layer normalises. Output: logits
float32 [N, 3] in the order of `export.labels.LABELS`.

The attention of a block averages as many mixtures of feature maps as it has channels and only then takes a sigmoid, so
its 1,044,480 weights act as 2,880. Training keeps them; served is the mixture that they amount to
(`MicroAttention.for_serving`), which is the same function.

Deviations: trained from scratch, where the authors start from macro-expressions; AdamW instead of SGD; no crops.
"""

from __future__ import annotations

from torch import Tensor, nn

from export.networks.network import Network
from export.networks.outputs import Outputs
from export.networks.resnet10 import APEX_INPUT, ATTENTION_DIMS, FEATURES, ResNet10, dense_head, unit_length


class MicroAttention(nn.Module):
    """With `l2_head` the variant that the authors ran as a baseline of ATNet: the last normalisation comes before the
    attention of the last block, and the classifier sees features of length 1.
    """

    def __init__(self, *, l2_head: bool = False, classes: int = 3) -> None:
        super().__init__()
        self.trunk = ResNet10(attention=True, late_mask=l2_head)
        self.l2_head = l2_head
        self.head = dense_head(FEATURES, classes)
        self.served = False

    def forward(self, apex: Tensor) -> Tensor | Outputs:
        """Logits float32 [N, classes] of `apex` float32 [N, 1, 224, 224], 0..255; served, with the attention of the
        last block.
        """
        if not self.served:
            return self._logits(self.trunk(apex))
        features, attention = self.trunk.attended(apex)
        return Outputs(self._logits(features)[None], attention=attention)

    def _logits(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(unit_length(features) if self.l2_head else features)
        return logits

    def for_serving(self) -> MicroAttention:
        """The same function with one mixture in each attention. In evaluation mode; changes this network."""
        self.trunk.fold()
        self.served = True
        return self.eval()


NETWORKS = (
    Network(
        name="micro_attention",
        build=MicroAttention,
        citation=(
            "Wang, Peng, Bi, Chen: Micro-attention for micro-expression recognition. Neurocomputing 410, 2020, "
            "arXiv 1811.02360"
        ),
        recipe="apex_gray_224",
        inputs=(APEX_INPUT,),
        attention=ATTENTION_DIMS,
        eight_bits=True,
        samples=2_000,
        plan={"learning_rate": 1e-3, "batch_size": 64},
        readings=(
            "The text of the paper was not at hand: layers are those of the authors' Caffe files.",
            "The attention has a sigmoid, as in that code; the paper's figure draws none.",
            "It is served with the one mixture that the averaged ones amount to, as the same function.",
            "The face square of the aligned crop, without the random crops of 224 px out of 240.",
            (
                "No weights of macro-expressions to start from: training is from scratch, with AdamW where the authors "
                "use SGD; of all convolutions the first weights are He's, which the files say of the attention alone."
            ),
        ),
        reported=(
            "The abstract claims the state of the art on CASME II, SAMM and SMIC; its tables could not be read, and no "
            "predictions were published."
        ),
    ),
)
