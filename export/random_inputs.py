"""Inputs for comparing one backend with another, where nothing hangs on what they show."""

from __future__ import annotations

import numpy as np

from export.data.flow_images import RECIPE as STRETCHED
from export.networks.network import FLOW_INPUT
from server.contract import ModelContract
from server.recipes.flow_uvs_28_iod import MOTION_BOUND, STRAIN_BOUND
from server.types import Float32Array


def random_flow(samples: int, seed: int, recipe: str = STRETCHED) -> Float32Array:
    """float32 [samples, 3, 28, 28]: whole numbers from 0 to 255 as in the published images, or with `flow_uvs_28_iod`
    numbers within its bounds.
    """
    random = np.random.default_rng(seed)
    if recipe == STRETCHED:
        return random.integers(0, 256, (samples, *FLOW_INPUT.dims)).astype(np.float32)
    flow = random.uniform(-1.0, 1.0, (samples, *FLOW_INPUT.dims)).astype(np.float32)
    return np.concatenate([MOTION_BOUND * flow[:, :2], STRAIN_BOUND * np.abs(flow[:, 2:])], axis=1)


def random_inputs(contract: ModelContract, samples: int, seed: int) -> dict[str, Float32Array]:
    """What a model that is fed as `contract` says may be asked: float32 [samples, ...] for each input; grey levels from
    0 to 255 where it is not flow.
    """
    if [spec.name for spec in contract.inputs] == [FLOW_INPUT.name]:
        return {FLOW_INPUT.name: random_flow(samples, seed, contract.recipe)}
    random = np.random.default_rng(seed)
    return {spec.name: random.integers(0, 256, (samples, *spec.dims)).astype(np.float32) for spec in contract.inputs}
