"""What is said of a network when it is registered: how to build it, what it eats, how it is trained, who made it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy.typing as npt
from torch import Tensor, nn

from export.networks.blocks import Preparation
from export.networks.keras_weights import KerasOptions, KerasWeights
from export.trainer import TrainerFactory, class_trainer
from server.contract import TensorSpec
from server.recipes.flow_uvs_28_iod import MOTION_BOUND, STRAIN_BOUND
from server.types import EventSample

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

Extras: TypeAlias = Callable[[EventSample], Mapping[str, npt.NDArray[Any]]]
"""From an event to arrays by name, [...] without a batch axis, in the type in which they are kept. A function of a
module, so that other processes find it.
"""


Option: TypeAlias = int | str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Weights:
    """One family of weights of a network: what its input must look like, and the padding of the convolutions that it
    was trained with, where that differs between families. `options` are what else the network is built with, by name,
    where it is not built as it is registered.
    """

    preparation: Preparation
    padding: int | None = None
    options: tuple[tuple[str, Option], ...] = ()

    def arguments(self) -> dict[str, Option]:
        """What the network must be built with."""
        return {**dict(self.options), **({} if self.padding is None else {"padding": self.padding})}


@dataclass(frozen=True, slots=True)
class Adopted:
    """Somebody else's weights under our names; `notes` are for whoever imports them and for the card."""

    state: Mapping[str, Tensor]
    weights: Weights
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """A registered architecture; `build` takes the arguments of its `Weights`.

    `trained` is how we train it, `published` how the weights that its authors released were made, where that
    differs. `samples` synthetic samples are what it is trained on unless told otherwise, by the synthetic plan but
    for what `plan` names; one that is `calibrated` gets further samples for that. `units` are those that its
    action-unit head knows. `attention` are height and width of the map of places that it tells, where it has one.
    `eight_bits` says that our trainings of it are published with rounded weights (see
    `export.eight_bits`). On rendered events `trainer` teaches it, with what `extras` tells of an event besides the
    inputs. `readings` tell what its sources are silent
    about, or wrong, and what is done here; `reported` is what they claim, and what is known against it.

    `adopt` takes a state dictionary under the names of the authors' code, and answers None to other names; `keras`
    takes what they saved from Keras, and raises `InputError` or `OptionError` where it does not fit.
    """

    name: str
    build: Callable[..., nn.Module]
    citation: str
    recipe: str
    inputs: tuple[TensorSpec, ...]
    trained: Weights = Weights(preparation="as_is")
    published: Weights | None = None
    samples: int = 28_500
    calibrated: bool = False
    units: tuple[int, ...] = ()
    attention: tuple[int, int] | None = None
    eight_bits: bool = False
    plan: Mapping[str, float] = field(default_factory=dict)
    trainer: TrainerFactory = class_trainer
    extras: Extras | None = None
    readings: tuple[str, ...] = ()
    reported: str = ""
    adopt: Callable[[Mapping[str, Tensor]], Adopted | None] | None = None
    keras: Callable[[KerasWeights, KerasOptions], Adopted] | None = None

    @property
    def theirs(self) -> Weights:
        """How the weights that its authors released were made."""
        return self.published or self.trained
