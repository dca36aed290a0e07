"""What surrounds a flow network in the served graph: its input normalisation, the mirrored image, the mean over
members, the softmax and its temperature.

The served input is `flow` float32 [N, 3, 28, 28], channels u, v, strain, each stretched to 0..255 per image or in
percent (see the recipes). Networks differ in what they make of it, so that is part of the graph and no caller can get
it wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from export.networks.outputs import Calibrated, as_outputs

Preparation: TypeAlias = Literal["nose_centred", "in_iod", "published_order", "as_is"]
"""What becomes of the recipe's tensors before the network sees them. A network that is not one of flow images takes its
inputs `as_is` and scales them itself.
"""

_NOSE_ROWS, _NOSE_COLUMNS = slice(8, 17), slice(11, 17)
_NOSE_PIXELS = 9 * 6
_FLOOR = 8.0
_LEAST = 1e-6
_MOTION_PERCENT = 0.8
"""Displacement up to which values stay proportional: about what estimation errs by on smooth skin."""
_STRAIN_PERCENT = 4.0
"""The same of strain; with both, values have the order of 1, on which the variation of training acts."""


class NoseCentred(nn.Module):
    """Motion relative to the nose, in units of its own spread: undoes the lost zero level of stretched flow.

    u, v: minus the median of rows 8..16, columns 11..16, divided by (rms + 8). Strain: / 60 - 0.4. It needs no label
    and no other sample.
    """

    def forward(self, flow: Tensor) -> Tensor:
        """float32 [N, 3, 28, 28] of the same shape and order."""
        motion, strain = _against_nose(flow[:, :2]), flow[:, 2:]
        spread = motion.square().mean((2, 3), keepdim=True).sqrt() + _FLOOR
        return torch.cat([motion / spread, strain / 60.0 - 0.4], dim=1)


class InIod(nn.Module):
    """Motion relative to the nose and strain, both in percent, as asinh(u / .8), asinh(v / .8), asinh(strain / 4).

    Zero stays zero, what is small stays proportional, and of what is large the logarithm is seen: twice the motion is
    the same step whatever its size, in which patterns of weak and of strong expressions resemble each other.
    """

    def forward(self, flow: Tensor) -> Tensor:
        """float32 [N, 3, 28, 28] of the same shape and order."""
        motion, strain = _against_nose(flow[:, :2]), flow[:, 2:]
        return torch.asinh(torch.cat([motion / _MOTION_PERCENT, strain / _STRAIN_PERCENT], dim=1))


def _against_nose(motion: Tensor) -> Tensor:
    """`motion` [N, 2, 28, 28] less its median over rows 8..16, columns 11..16."""
    nose = motion[:, :, _NOSE_ROWS, _NOSE_COLUMNS].flatten(2)
    half = _NOSE_PIXELS // 2
    # An even count has two middle values; torch.median would take the lower one, and TopK exports everywhere.
    lowest = torch.topk(nose, half + 1, dim=2, largest=False, sorted=True).values
    return motion - lowest[:, :, half - 1 :].mean(2)[:, :, None, None]


class PublishedOrder(nn.Module):
    """Channels as the published PyTorch weights were trained on: strain, v, u, unscaled."""

    def forward(self, flow: Tensor) -> Tensor:
        """float32 [N, 3, 28, 28] with the channels reversed."""
        return flow.flip(1)


class Answer(NamedTuple):
    """What a served graph answers, by the names of the contract: `probabilities` float32 [N, classes], and
    `action_units` float32 [N, 2, units], a score for each unit on the image-left and the image-right side that says
    "moved" from .5 on.
    """

    probabilities: Tensor
    action_units: Tensor


class Attended(NamedTuple):
    """The answer of a network that weighs places: `probabilities` float32 [N, classes], and `attention` float32
    [N, H, W], 0..1, over what the network sees.
    """

    probabilities: Tensor
    attention: Tensor


class FlowGraph(nn.Module):
    """`prepare`, `network`, softmax, the mean over members and, with `mirrored`, over the image and its mirror image.

    Mirroring comes after `prepare`, where u has a sign that can be negated; the stretched u has none. A network that
    was calibrated says so by its buffers: probabilities are raised to the power 1 / `temperature` (Guo, Pleiss, Sun and
    Weinberger, ICML 2017, applied to the mean) and `unit_shift` is added to the log odds of the units.
    """

    mirror_signs: Tensor

    def __init__(self, network: nn.Module, prepare: nn.Module, *, mirrored: bool) -> None:
        super().__init__()
        self.prepare = prepare
        self.network = network
        self.mirrored = mirrored
        self.register_buffer("mirror_signs", torch.tensor([-1.0, 1.0, 1.0])[None, :, None, None])

    def forward(self, flow: Tensor) -> Tensor | Answer:
        """Probabilities float32 [N, classes] of `flow` float32 [N, 3, 28, 28], with the units where there is a head."""
        images = self.prepare(flow)
        if self.mirrored:
            images = torch.cat([images, images.flip(3) * self.mirror_signs])
        outputs = as_outputs(self.network(images))
        every = torch.softmax(outputs.logits, dim=2)
        probabilities = self._mean(every.mean(0))
        network = self.network
        if isinstance(network, Calibrated):
            probabilities = torch.softmax(torch.log(probabilities.clamp(min=_LEAST)) / network.temperature, dim=1)
        if outputs.units is None:
            return probabilities
        units = self._mean(torch.sigmoid(outputs.units).mean(0), sides=1)
        if isinstance(network, Calibrated):
            units = torch.sigmoid(torch.logit(units, eps=_LEAST) + network.unit_shift)
        return Answer(probabilities, units)

    def _mean(self, values: Tensor, *, sides: int | None = None) -> Tensor:
        """The mean of `values` [N, ...] of the images and of their mirror images, whose axis `sides` is turned back."""
        if not self.mirrored:
            return values
        plain, mirrored = values.reshape(2, -1, *values.shape[1:])
        mean: Tensor = (plain + (mirrored if sides is None else mirrored.flip(sides))) / 2
        return mean


class PlainGraph(nn.Module):
    """`network` on the tensors of its recipe as they are, and the softmax, averaged over its members."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor | Attended:
        """Probabilities float32 [N, classes] of `inputs`, float32 [N, ...] each, in the order of the registration, with
        the attention where the network tells it.
        """
        outputs = as_outputs(self.network(*inputs))
        probabilities = torch.softmax(outputs.logits, dim=2).mean(0)
        return probabilities if outputs.attention is None else Attended(probabilities, outputs.attention)


_PREPARATIONS: dict[Preparation, tuple[Callable[[], nn.Module], bool]] = {
    "nose_centred": (NoseCentred, True),
    "in_iod": (InIod, True),
    "published_order": (PublishedOrder, False),
}


def input_preparation(preparation: Preparation) -> nn.Module:
    """The module that makes a network's input of the recipe's tensor."""
    return _PREPARATIONS[preparation][0]()


def graph_of(network: nn.Module, preparation: Preparation) -> nn.Module:
    """The served graph of any `network` in evaluation mode."""
    return PlainGraph(network).eval() if preparation == "as_is" else flow_graph(network, preparation)


def flow_graph(network: nn.Module, preparation: Preparation) -> FlowGraph:
    """That of a flow network, on the input that `preparation` makes for it."""
    build, mirrored = _PREPARATIONS[preparation]
    return FlowGraph(network, build(), mirrored=mirrored).eval()
