"""Is what the repository holds what its contract says, and do all backends answer alike?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from export.checkpoint import load_checkpoint
from export.data.flow_images import RECIPE as STRETCHED
from export.networks.network import FLOW_INPUT
from export.repository import LABELS_FILE, PublishedModel, read_published
from export.scoring import Backend, open_backend, torch_score
from export.tensorrt import check_plan
from export.triton_config import model_config
from server.contract import ModelContract
from server.errors import GlimpseError
from server.recipes.flow_uvs_28_iod import MOTION_BOUND, STRAIN_BOUND
from server.types import Float32Array

TOLERANCE = 1e-4
_SEED = 0
_BATCHES = (1, 33)


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

    A plan is either loaded by the TensorRT of this machine, for which it must have been built, or asked for answers
    through Triton.

    Raises `UnknownModel` when there is no such model. Whatever else goes wrong is a check that did not pass.
    """
    model = read_published(repository, name)
    checks = [
        _guarded("checksums", lambda: _checksums(model)),
        _guarded("labels", lambda: _labels(model)),
        _guarded("configuration", lambda: _configuration(model)),
    ]
    if not model.contract.engine:
        checks.append(_guarded("graph", lambda: _graph(model)))
        checks.append(_guarded("torch and local", lambda: _agreement(repository, model, "local", None, report)))
    elif not triton and not triton_address:
        checks.append(_guarded("plan", lambda: _plan(model)))
    if triton or triton_address:
        checks.append(
            _guarded("torch and triton", lambda: _agreement(repository, model, "triton", triton_address, report))
        )
    return checks


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


def _guarded(name: str, check: Callable[[], tuple[bool, str]]) -> Check:
    try:
        return Check(name, *check())
    except (GlimpseError, OSError, DecodeError, onnx.checker.ValidationError) as error:
        return Check(name, passed=False, detail=str(error))


def _checksums(model: PublishedModel) -> tuple[bool, str]:
    recorded = model.card.get("files", {})
    expected = {f"{model.version}/{file.name}" for file in (model.model_file, model.weights_file)}
    if set(recorded) != expected:
        return False, f"the card lists {sorted(recorded)}, not {sorted(expected)}"
    changed = [
        name
        for name, known in recorded.items()
        if hashlib.sha256((model.folder / name).read_bytes()).hexdigest() != known
    ]
    return not changed, f"changed since it was published: {', '.join(changed)}" if changed else "as the card records"


def _labels(model: PublishedModel) -> tuple[bool, str]:
    lines = tuple((model.folder / LABELS_FILE).read_text(encoding="utf-8").split())
    agree = lines == model.contract.labels
    return agree, f"{LABELS_FILE} {', '.join(lines)}; contract {', '.join(model.contract.labels)}"


def _configuration(model: PublishedModel) -> tuple[bool, str]:
    wanted = model_config(model.contract)
    different = [
        field.name
        for field in wanted.DESCRIPTOR.fields
        if getattr(wanted, field.name) != getattr(model.config, field.name)
    ]
    if model.contract.name != model.name:
        different.append("contract name")
    return (
        not different,
        f"differs from the contract in {', '.join(different)}" if different else "follows the contract",
    )


def _graph(model: PublishedModel) -> tuple[bool, str]:
    graph = onnx.load(model.model_file)
    onnx.checker.check_model(graph, full_check=True)
    problems = []
    for kind, values, specs in (
        ("input", graph.graph.input, model.contract.inputs),
        ("output", graph.graph.output, model.contract.outputs),
    ):
        found = {value.name: tuple(_axes(value)) for value in values}
        wanted = {spec.name: (None, *spec.dims) for spec in specs}
        if found != wanted:
            problems.append(f"{kind}s {found} in the graph, {wanted} in the contract")
    return not problems, "; ".join(problems) or "inputs and outputs as in the contract"


def _plan(model: PublishedModel) -> tuple[bool, str]:
    problem = check_plan(model.model_file.read_bytes(), model.contract)
    return not problem, problem or "TensorRT loads it; inputs and outputs as in the contract"


def _axes(value: onnx.ValueInfoProto) -> Iterator[int | None]:
    """Fixed sizes; None for an axis of any size."""
    for axis in value.type.tensor_type.shape.dim:
        yield axis.dim_value if axis.HasField("dim_value") else None


def _agreement(
    repository: Path,
    model: PublishedModel,
    backend: Backend,
    triton_address: str | None,
    report: Callable[[str], None],
) -> tuple[bool, str]:
    reference = torch_score({model.name: load_checkpoint(model.weights_file, model.contract.provenance.network)})
    different: dict[str, list[float]] = {}
    with open_backend(backend, repository, triton_address=triton_address, report=report) as score:
        for size in _BATCHES:
            inputs = random_inputs(model.contract, size, _SEED + size)
            expected, found = reference(model.name, inputs), score(model.name, inputs)
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
