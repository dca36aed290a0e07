"""A published model once more, for a GPU: half precision, TensorRT inside ONNX Runtime, or a TensorRT plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx
from pydantic import ValidationError

from export.eight_bits import unpacked
from export.half_arithmetic import TOLERANCE, half_bytes, largest_differences
from export.published_model import refuse_ensemble
from export.random_inputs import random_inputs
from export.repository import Publication, check_free, publish, read_published
from export.tensorrt import WORKSPACE_MIB, build_plan
from server.contract import Accelerator, ModelContract, Precision
from server.errors import OptionError

_SAMPLES = 32
_SEED = 0


@dataclass(frozen=True, slots=True)
class Acceleration:
    """How a model shall be computed. Raises `OptionError` for what does not go together."""

    precision: Literal["fp32", "fp16"] = "fp32"
    accelerator: Literal["tensorrt"] | None = None
    format: Literal["onnx", "plan"] = "onnx"
    workspace_mib: int | None = None
    engine_cache: str | None = None

    def __post_init__(self) -> None:
        if self.format == "plan" and self.accelerator:
            raise OptionError("a plan is TensorRT's already: leave --accelerator out", option="accelerator")
        if self.workspace_mib and not (self.accelerator or self.format == "plan"):
            raise OptionError(
                "--workspace-mib is TensorRT's: it needs --accelerator or --format plan", option="workspace_mib"
            )
        if self.engine_cache and not self.accelerator:
            raise OptionError("--engine-cache needs --accelerator tensorrt", option="engine_cache")

    @property
    def contract_accelerator(self) -> Accelerator | None:
        """What the contract says of it."""
        if self.accelerator is None:
            return None
        return Accelerator(
            name=self.accelerator,
            workspace_mib=self.workspace_mib or WORKSPACE_MIB,
            engine_cache=self.engine_cache or "",
        )


@dataclass(frozen=True, slots=True)
class Accelerated:
    """The folder of the version, and for half precision the largest difference of each output from single precision."""

    place: Path
    differences: Mapping[str, float]


def accelerate(
    repository: Path,
    source: str,
    wanted: Acceleration,
    *,
    name: str,
    command: str,
    version: int = 1,
    overwrite: bool = False,
) -> Accelerated:
    """Publish the newest version of `source`, a graph in single precision, as `name`, computed as `wanted`.

    A graph in half precision is published only where no output differs from single precision by more than `TOLERANCE`
    on random inputs. Raises `UnknownModel` for `source`; `OptionError` where `source` is not in single precision,
    `name` is its name or none, the version exists or the difference is larger; `ConfigurationError` for a plan on a
    machine that cannot build one.
    """
    if name == source:
        raise OptionError(
            f"the configuration belongs to all versions of a model: give {source!r} for a GPU another name", option="to"
        )
    published = read_published(repository, source)
    refuse_ensemble(published, "accelerate those, and publish an ensemble of what you get")
    contract = _contract(published.contract, wanted, name, command)
    check_free(repository, name, version=version, overwrite=overwrite)
    if published.contract.precision or published.contract.engine:
        origin = published.card.get("made_from", "a model in single precision")
        raise OptionError(f"{source!r} is no graph in single precision: start from {origin}", option="name")
    single = published.model_file.read_bytes()
    graph, differences = single, dict[str, float]()
    if wanted.precision == "fp16" or wanted.format == "plan":
        graph = unpacked(onnx.load_from_string(single)).SerializeToString(deterministic=True)
    if wanted.precision == "fp16":
        differences = _checked_differences(graph, contract)
        graph = half_bytes(graph)
        contract = contract.model_copy(update={"precision": Precision(arithmetic="fp16", tolerance=TOLERANCE)})
    if wanted.format == "plan":
        graph, engine = build_plan(graph, contract.inputs, workspace_mib=wanted.workspace_mib or WORKSPACE_MIB)
        contract = contract.model_copy(update={"engine": engine})
    card = _card(published.card, contract, command, differences)
    weights = published.shipped_weights().read_bytes()
    publication = Publication(contract=contract, graph=graph, weights=weights, card=card)
    return Accelerated(publish(repository, publication, version=version, overwrite=overwrite), differences)


def _contract(contract: ModelContract, wanted: Acceleration, name: str, command: str) -> ModelContract:
    changes = {
        "name": name,
        "accelerator": wanted.contract_accelerator,
        "provenance": {**contract.provenance.model_dump(), "command": command},
    }
    try:
        return ModelContract.model_validate({**contract.model_dump(), **changes, "engine": None})
    except ValidationError as error:
        first = error.errors()[0]
        raise OptionError(f"{name!r} is no name of a model: {first['msg']}", option="to") from error


def _checked_differences(single: bytes, contract: ModelContract) -> dict[str, float]:
    inputs = random_inputs(contract, _SAMPLES, _SEED)
    halves = (half_bytes(single), half_bytes(single, emulated=True))
    differences = largest_differences(single, halves, inputs)
    beyond = {name: value for name, value in differences.items() if not value <= TOLERANCE}
    if beyond:
        listed = ", ".join(f"{name} by {value:.1e}" for name, value in beyond.items())
        raise OptionError(
            f"half precision changes the answers of {contract.name!r}: {listed} (allowed {TOLERANCE:.0e});"
            " publish it in single precision",
            option="precision",
        )
    return differences


def _card(
    card: Mapping[str, Any], contract: ModelContract, command: str, differences: Mapping[str, float]
) -> dict[str, Any]:
    made: dict[str, Any] = {**card, "name": contract.name, "command": command, "made_from": card["name"]}
    if contract.precision:
        made["precision"] = {
            **contract.precision.model_dump(),
            "largest_difference": dict(differences),
            "measured": f"{_SAMPLES} random inputs, seed {_SEED}, in ONNX Runtime on the processor, also with what goes"
            " into and comes out of each half layer rounded; not on a GPU. The results are those of single precision.",
        }
    if contract.engine:
        made["engine"] = contract.engine.model_dump()
    return made
