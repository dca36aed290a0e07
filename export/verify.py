"""Is what the repository holds what its card and its contract say, and do all backends answer alike?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from export.agreement import compare, random_flow, random_inputs
from export.repository import (
    CONFIG_FILE,
    LABELS_FILE,
    WEIGHTS_FILE,
    PublishedModel,
    read_published,
)
from export.staging import is_interrupted
from export.tensorrt import check_plan
from export.triton_config import model_config
from export.version_policy import checked_served
from export.version_records import FILES
from server.errors import GlimpseError

__all__ = ["Check", "random_flow", "random_inputs", "verify"]

_INTERRUPTED = "a publication was interrupted: what was served is served on, and the next one removes the remains"
_COMPARED = "compared on local and Triton only"
_NOT_COMPARED = "compared with no other backend; --triton compares local and Triton"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `detail` says what was found."""

    name: str
    passed: bool
    detail: str


def verify(
    repository: Path,
    name: str,
    *,
    triton: bool = False,
    triton_address: str | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> list[Check]:
    """All checks of one model; with `triton` also against a real Triton, at `triton_address` or started here.

    All versions are checked, and those that are served compared. A plan is either loaded by the TensorRT of this
    machine, for which it must have been built, or asked for answers through Triton.

    Raises `UnknownModel` when there is no such model, `ConfigurationError` when its card or configuration is none.
    Whatever else is wrong is a check that did not pass.
    """
    model = read_published(repository, name)
    with_triton = triton or triton_address is not None
    note = f"{WEIGHTS_FILE} is not shipped: the graph was {_COMPARED if with_triton else _NOT_COMPARED}"
    asked: dict[str, Any] = {"triton_address": triton_address, "report": report, "note": note}
    checks = [
        _guarded("checksums", lambda: _checksums(model)),
        _guarded("labels", lambda: _labels(model)),
        _guarded("versions", lambda: _versions(model)),
        _guarded("configuration", lambda: _configuration(model)),
    ]
    if not model.configured.engine:
        checks.append(_guarded("graph", lambda: _graphs(model)))
        checks.append(_guarded("torch and local", lambda: compare(model, "torch", "local", **asked)))
    elif not with_triton:
        checks.append(_guarded("plan", lambda: _plan(model)))
    if with_triton:
        checks.append(_guarded("torch and triton", lambda: compare(model, "torch", "triton", **asked)))
    missing = any(replace(model, version=version).checkpoint_missing for version in model.served)
    if with_triton and missing and not model.configured.engine:
        checks.append(_guarded("local and triton", lambda: compare(model, "local", "triton", **asked)))
    return checks


def _guarded(name: str, check: Callable[[], tuple[bool, str]]) -> Check:
    try:
        return Check(name, *check())
    except (GlimpseError, OSError, DecodeError, onnx.checker.ValidationError) as error:
        return Check(name, passed=False, detail=str(error))


def _checksums(model: PublishedModel) -> tuple[bool, str]:
    problems = [_INTERRUPTED] if is_interrupted(model.folder, CONFIG_FILE) else []
    absent = []
    for version in sorted({*model.versions, *model.records}, key=int):
        one = replace(model, version=version)
        recorded = one.card[FILES]
        wanted = (f"{version}/{file.name}" for file in (one.model_file, one.weights_file))
        problems += [f"the card does not list {name}" for name in wanted if name not in recorded]
        for name, known in recorded.items():
            path = model.folder / name
            if path == one.weights_file and one.checkpoint_missing:
                absent.append(name)
            elif hashlib.sha256(path.read_bytes()).hexdigest() != known:
                problems.append(f"{name} changed since it was published")
    notes = ["as the card records", *(f"{name} is absent, as the card says: not shipped" for name in absent)]
    return not problems, "; ".join(problems or notes)


def _versions(model: PublishedModel) -> tuple[bool, str]:
    contracts = {version: replace(model, version=version).contract for version in model.versions}
    served = checked_served(model.config.version_policy, contracts, contracts)
    if contracts[served[-1]] != model.configured:
        return False, f"version {served[-1]} answers, and the configuration has the contract of another"
    return True, f"{', '.join(model.versions)} are here, {', '.join(served)} served, {served[-1]} answers"


def _labels(model: PublishedModel) -> tuple[bool, str]:
    lines = tuple((model.folder / LABELS_FILE).read_text(encoding="utf-8").split())
    labels = model.configured.labels
    return lines == labels, f"{LABELS_FILE} {', '.join(lines)}; contract {', '.join(labels)}"


def _configuration(model: PublishedModel) -> tuple[bool, str]:
    wanted = model_config(model.configured, model.config.version_policy)
    different = [
        field.name
        for field in wanted.DESCRIPTOR.fields
        if getattr(wanted, field.name) != getattr(model.config, field.name)
    ]
    if model.configured.name != model.name:
        different.append("contract name")
    return (
        not different,
        f"differs from the contract in {', '.join(different)}" if different else "follows the contract",
    )


def _graphs(model: PublishedModel) -> tuple[bool, str]:
    several = len(model.versions) > 1
    versions = [replace(model, version=version) for version in model.versions]
    problems = [
        f"version {one.version}: {problem}" if several else problem
        for one in versions
        if not one.contract.engine
        for problem in _graph_problems(one)
    ]
    return not problems, "; ".join(problems) or "inputs and outputs as in the contract"


def _graph_problems(model: PublishedModel) -> Iterator[str]:
    graph = onnx.load(model.model_file)
    onnx.checker.check_model(graph, full_check=True)
    for kind, values, specs in (
        ("input", graph.graph.input, model.contract.inputs),
        ("output", graph.graph.output, model.contract.outputs),
    ):
        found = {value.name: tuple(_axes(value)) for value in values}
        wanted = {spec.name: (None, *spec.dims) for spec in specs}
        if found != wanted:
            yield f"{kind}s {found} in the graph, {wanted} in the contract"


def _plan(model: PublishedModel) -> tuple[bool, str]:
    problem = check_plan(model.model_file.read_bytes(), model.contract)
    return not problem, problem or "TensorRT loads it; inputs and outputs as in the contract"


def _axes(value: onnx.ValueInfoProto) -> Iterator[int | None]:
    """Fixed sizes; None for an axis of any size."""
    for axis in value.type.tensor_type.shape.dim:
        yield axis.dim_value if axis.HasField("dim_value") else None
