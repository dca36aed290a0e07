"""Do torch, ONNX Runtime and Triton answer alike?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np

from export.random_inputs import random_inputs
from export.repository import PublishedModel
from export.scoring import Backend, VersionScore, open_backend
from server.contract import ModelContract
from server.types import Float32Array

TOLERANCE = 1e-4
_SEED = 0
_BATCHES = (1, 33)

Answers: TypeAlias = Callable[[Mapping[str, Float32Array]], Mapping[str, Float32Array]]
"""Outputs float32 [N, ...] by name for inputs float32 [N, ...] by name."""
Known: TypeAlias = MutableMapping[tuple[Backend, str, int], Mapping[str, Float32Array]]
"""What a backend answered to the random inputs, by version and by how many they were."""


def compare(
    model: PublishedModel,
    reference: Backend,
    other: Backend,
    *,
    triton_address: str | None,
    report: Callable[[str], None],
    note: str,
    known: Known,
) -> tuple[bool, str]:
    """Whether two backends give equal answers by every version that is served, and how far they differ at most.

    What the reference answers goes to `known`, and what is there already is not asked of it again.
    A version whose checkpoint is not shipped cannot be asked in torch: it is left out, and `note` is told instead.
    """
    versions = {version: replace(model, version=version) for version in model.served}
    left_out = {version for version, one in versions.items() if reference == "torch" and one.checkpoint_missing}
    told, passed = dict.fromkeys(left_out, note), True
    if len(left_out) < len(versions):
        opened = partial(open_backend, repository=model.folder.parent, triton_address=triton_address, report=report)
        with opened(reference) as expected, opened(other) as found:
            for version in versions.keys() - left_out:
                one = versions[version]
                alike, told[version] = compare_answers(
                    one.contract, _remembered(_of(one, expected), known, reference, version), _of(one, found)
                )
                passed &= alike
    if len(versions) == 1:
        return passed, next(iter(told.values()))
    return passed, "; ".join(f"version {version}: {told[version]}" for version in versions)


def compare_answers(contract: ModelContract, expected: Answers, found: Answers) -> tuple[bool, str]:
    """Whether two ways to ask a model that is fed as `contract` says give equal answers to random inputs."""
    different: dict[str, list[float]] = {}
    for size in _BATCHES:
        inputs = random_inputs(contract, size, _SEED + size)
        wanted, given = expected(inputs), found(inputs)
        if wanted.keys() != given.keys():
            return False, f"outputs {sorted(given)}, not {sorted(wanted)}"
        for name in wanted:
            different.setdefault(name, []).append(float(np.abs(wanted[name] - given[name]).max()))
    # Of several values np.max returns the one that is not a number, which max would pass over.
    largest = {name: np.max(values) for name, values in different.items()}
    listed = ", ".join(f"{name} by at most {value:.1e}" for name, value in largest.items())
    precision = contract.precision
    allowed, why = (precision.tolerance, ", for half precision") if precision else (TOLERANCE, "")
    return all(value <= allowed for value in largest.values()), f"differ: {listed} (allowed {allowed:.0e}{why})"


def _remembered(ask: Answers, known: Known, backend: Backend, version: str) -> Answers:
    def answer(inputs: Mapping[str, Float32Array]) -> Mapping[str, Float32Array]:
        place = (backend, version, len(next(iter(inputs.values()))))
        if place not in known:
            known[place] = ask(inputs)
        return known[place]

    return answer


def _of(model: PublishedModel, score: VersionScore) -> Answers:
    return lambda inputs: score(model.name, inputs, model.version)
