"""Is what the repository holds what its card and its contract say, and do all backends answer alike?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from export.agreement import compare
from export.checks import Check, common_checks, differences, guarded
from export.repository import WEIGHTS_FILE, PublishedModel, read_published
from export.tensorrt import check_plan
from export.triton_config import model_config
from export.verify_ensemble import ensemble_checks

_COMPARED = "compared on local and Triton only"
_NOT_COMPARED = "compared with no other backend; --triton compares local and Triton"


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
    machine, for which it must have been built, or asked for answers through Triton. An ensemble is compared with its
    members.

    Raises `UnknownModel` when there is no such model, `ConfigurationError` when its card or configuration is none.
    Whatever else is wrong is a check that did not pass.
    """
    model = read_published(repository, name)
    with_triton = triton or triton_address is not None
    note = f"{WEIGHTS_FILE} is not shipped: the graph was {_COMPARED if with_triton else _NOT_COMPARED}"
    checks = common_checks(model)
    if model.configured.members:
        return checks + ensemble_checks(model, triton=with_triton, triton_address=triton_address, report=report)
    asked: dict[str, Any] = {"triton_address": triton_address, "report": report, "note": note, "known": {}}
    checks.append(guarded("configuration", lambda: _configuration(model)))
    if not model.configured.engine:
        checks.append(guarded("graph", lambda: _graphs(model)))
        checks.append(guarded("torch and local", lambda: compare(model, "torch", "local", **asked)))
    elif not with_triton:
        checks.append(guarded("plan", lambda: _plan(model)))
    if with_triton:
        checks.append(guarded("torch and triton", lambda: compare(model, "torch", "triton", **asked)))
    missing = any(replace(model, version=version).checkpoint_missing for version in model.served)
    if with_triton and missing and not model.configured.engine:
        checks.append(guarded("local and triton", lambda: compare(model, "local", "triton", **asked)))
    return checks


def _configuration(model: PublishedModel) -> tuple[bool, str]:
    different = differences(model_config(model.configured, model.config.version_policy), model.config)
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
