"""Networks by name: how to build one, what it eats, and how its published weights differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from export.networks.blocks import Preparation
from export.networks.glimpse_flow import GlimpseFlow
from export.networks.ststnet import STSTNet
from export.networks.tgsr_flow import TGSRFlow
from export.synthesis.action_units import UNITS
from server.contract import TensorSpec
from server.errors import OptionError
from server.recipes.flow_uvs_28_iod import MOTION_BOUND, STRAIN_BOUND

FLOW_INPUT = TensorSpec(
    name="flow",
    dims=(3, 28, 28),
    meaning="onset to apex motion: u (right), v (down), optical strain; each channel stretched to 0..255 on its own",
)
FLOW_INPUT_IOD = TensorSpec(
    name=FLOW_INPUT.name,
    dims=FLOW_INPUT.dims,
    meaning=(
        f"onset to apex motion: u (right), v (down) in percent of the inter-ocular distance, -{MOTION_BOUND:.0f} to "
        f"{MOTION_BOUND:.0f}; optical strain in percent, 0 to {STRAIN_BOUND:.0f}; not stretched"
    ),
)


@dataclass(frozen=True, slots=True)
class Weights:
    """One family of weights of a network: how the network must be built for them and what its input must look like."""

    padding: int
    preparation: Preparation


@dataclass(frozen=True, slots=True)
class Network:
    """A registered architecture. `build` takes the keyword `padding`. `trained` is how we train it, `published` how
    the weights that its authors released were made. `samples` synthetic samples are what it is trained on unless told
    otherwise; one that is `calibrated` gets further ones for that. `units` are those that its action-unit head knows.
    """

    name: str
    build: Callable[..., nn.Module]
    citation: str
    recipe: str
    inputs: tuple[TensorSpec, ...]
    trained: Weights
    published: Weights
    samples: int = 28_500
    calibrated: bool = False
    units: tuple[int, ...] = ()


NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        Network(
            name="ststnet",
            build=STSTNet,
            citation=(
                "Liong, Gan, See, Khor, Huang: Shallow Triple Stream Three-dimensional CNN (STSTNet) for "
                "Micro-expression Recognition. FG 2019, arXiv 1902.03634"
            ),
            recipe="flow_uvs_28",
            inputs=(FLOW_INPUT,),
            # The padding of the published weights, so that both can be compared and one can be tuned into the other.
            trained=Weights(padding=2, preparation="nose_centred"),
            published=Weights(padding=2, preparation="published_order"),
        ),
        Network(
            name="glimpse_flow",
            build=GlimpseFlow,
            citation=(
                "Glimpse, export/networks/glimpse_flow.py: classifiers of the form of STSTNet (Liong et al., FG 2019, "
                "arXiv 1902.03634), trained in the spirit of MiE-X (Liu et al., ECCV 2022, arXiv 2112.01730)"
            ),
            recipe="flow_uvs_28",
            inputs=(FLOW_INPUT,),
            trained=Weights(padding=2, preparation="nose_centred"),
            published=Weights(padding=2, preparation="nose_centred"),
            samples=60_000,
            calibrated=True,
            units=UNITS,
        ),
        Network(
            name="glimpse_flow_iod",
            build=GlimpseFlow,
            citation=(
                "Glimpse, export/networks/glimpse_flow.py on flow that keeps its magnitude: classifiers of the form of "
                "STSTNet (Liong et al., FG 2019, arXiv 1902.03634), in the spirit of MiE-X (Liu et al., ECCV 2022, "
                "arXiv 2112.01730)"
            ),
            recipe="flow_uvs_28_iod",
            inputs=(FLOW_INPUT_IOD,),
            trained=Weights(padding=2, preparation="in_iod"),
            published=Weights(padding=2, preparation="in_iod"),
            samples=60_000,
            calibrated=True,
            units=UNITS,
        ),
        Network(
            name="tgsr_flow",
            build=TGSRFlow,
            citation=(
                "Jiang, Zong, Zheng, Liu, Wei: Seeking Salient Facial Regions for Cross-Database Micro-Expression "
                "Recognition. ICPR 2022, arXiv 2111.15361; on statistics of optical flow instead of LBP-TOP"
            ),
            recipe="flow_uvs_28",
            inputs=(FLOW_INPUT,),
            trained=Weights(padding=0, preparation="nose_centred"),
            published=Weights(padding=0, preparation="nose_centred"),
        ),
    )
}


def find_network(name: str) -> Network:
    """The network called `name`. Raises `OptionError`, naming those that exist."""
    try:
        return NETWORKS[name]
    except KeyError:
        raise OptionError(f"no network {name!r}; there are: {', '.join(sorted(NETWORKS))}", option="arch") from None
