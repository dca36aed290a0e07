"""Do torch, ONNX Runtime and Triton answer alike?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from export.data.flow_images import RECIPE as STRETCHED
from export.networks.network import FLOW_INPUT
from export.repository import PublishedModel
from export.scoring import Backend, VersionScore, open_backend
from server.contract import ModelContract
from server.recipes.flow_uvs_28_iod import MOTION_BOUND, STRAIN_BOUND
from server.types import Float32Array

TOLERANCE = 1e-4
_SEED = 0
_BATCHES = (1, 33)


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


def compare(
    model: PublishedModel,
    reference: Backend,
    other: Backend,
    *,
    triton_address: str | None,
    report: Callable[[str], None],
    note: str,
) -> tuple[bool, str]:
    """Whether two backends give equal answers by every version that is served, and how far they differ at most.

    A version whose checkpoint is not shipped cannot be asked in torch: it is left out, and `note` is told instead.
    """
    versions = {version: replace(model, version=version) for version in model.served}
    left_out = {version for version, one in versions.items() if reference == "torch" and one.checkpoint_missing}
    told, passed = dict.fromkeys(left_out, note), True
    if len(left_out) < len(versions):
        opened = partial(open_backend, repository=model.folder.parent, triton_address=triton_address, report=report)
        with opened(reference) as expected, opened(other) as found:
            for version in versions.keys() - left_out:
                alike, told[version] = _compared(versions[version], expected, found)
                passed &= alike
    if len(versions) == 1:
        return passed, next(iter(told.values()))
    return passed, "; ".join(f"version {version}: {told[version]}" for version in versions)


def _compared(model: PublishedModel, reference: VersionScore, other: VersionScore) -> tuple[bool, str]:
    different: dict[str, list[float]] = {}
    for size in _BATCHES:
        inputs = random_inputs(model.contract, size, _SEED + size)
        expected, found = (score(model.name, inputs, model.version) for score in (reference, other))
        if expected.keys() != found.keys():
            return False, f"outputs {sorted(found)}, not {sorted(expected)}"
        for name in expected:
            different.setdefault(name, []).append(float(np.abs(expected[name] - found[name]).max()))
    # Of several values np.max returns the one that is not a number, which max would pass over.
    largest = {name: np.max(values) for name, values in different.items()}
    listed = ", ".join(f"{name} by at most {value:.1e}" for name, value in largest.items())
    precision = model.contract.precision
    allowed, why = (precision.tolerance, ", for half precision") if precision else (TOLERANCE, "")
    return all(value <= allowed for value in largest.values()), f"differ: {listed} (allowed {allowed:.0e}{why})"
