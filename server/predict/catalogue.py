"""From a model's Triton configuration to what both predictors know of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError
from tritonclient.grpc import model_config_pb2

from server.contract import PARAMETER, ModelContract, TensorSpec
from server.errors import ModelNotServable, UnknownModel
from server.predict.steps import Step, steps_of
from server.types import ModelInfo

DEFAULT_MODEL_FILE = "model.onnx"
"""What Triton's ONNX Runtime backend loads where the configuration names no file."""


class ContractProblem(Exception):
    """Why a model cannot be served, in words for the operator."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model as a predictor sees it: what clients are told, and what is needed to feed it.

    `contract` is None where it could not be read; `max_batch_size` counts samples of one backend call. `steps` are
    those of an ensemble. `changing`: its server is loading or unloading it, so that it may answer in a moment.
    """

    info: ModelInfo
    contract: ModelContract | None = None
    max_batch_size: int = 0
    steps: tuple[Step, ...] = ()
    changing: bool = False

    @property
    def ensemble(self) -> str:
        """The ensemble that this graph is a part of; empty for every model that can be asked for."""
        return self.contract.part_of if self.contract else ""

    def withdrawn(self, reason: str) -> ModelEntry:
        """The same model, listed as not servable."""
        return replace(self, info=replace(self.info, servable=False, reason=reason))

    def without(self, version: str, reason: str) -> ModelEntry:
        """The same model less one version; not servable where that was the last."""
        left = tuple(known for known in self.info.versions if known != version)
        entry = replace(self, info=replace(self.info, versions=left))
        return entry if left else entry.withdrawn(reason)

    def servable(self, version: str | None) -> tuple[ModelContract, str]:
        """The contract, and the version that answers: the newest unless one is asked for.

        Raises `UnknownModel` for a version that is not there, `ModelNotServable` for a model that cannot be fed.
        """
        if not self.info.servable or self.contract is None:
            raise ModelNotServable(f"model {self.info.name!r} cannot be served: {self.info.reason}", stage="inference")
        return self.contract, self.chosen(version)

    def chosen(self, version: str | None) -> str:
        """The newest version unless one is asked for. Raises `UnknownModel`."""
        if version is None:
            return self.info.versions[-1]
        if version not in self.info.versions:
            known = ", ".join(self.info.versions) or "none"
            raise UnknownModel(f"model {self.info.name!r} has no version {version!r} (served: {known})")
        return version


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The models of one repository by name."""

    entries: Mapping[str, ModelEntry] = field(default_factory=dict)

    def models(self) -> Sequence[ModelInfo]:
        """Sorted by name, without the parts of ensembles."""
        return [self.entries[name].info for name in sorted(self.entries) if not self.entries[name].ensemble]

    def entry(self, name: str) -> ModelEntry:
        """Raises `UnknownModel`, naming what there is."""
        try:
            return self.entries[name]
        except KeyError:
            known = ", ".join(info.name for info in self.models()) or "none"
            raise UnknownModel(f"no model {name!r} (there are: {known})") from None


def entry_of(
    config: model_config_pb2.ModelConfig,
    *,
    versions: Sequence[str],
    recipes: Collection[str],
    backend: str,
    card: Mapping[str, Any] | None = None,
) -> ModelEntry:
    """Describe a model by its configuration.

    `versions` are those that can answer, oldest first. `card` None means that only the contract's provenance is
    known, which then stands in for it. Never raises: whatever is wrong becomes the reason for not being servable.
    """
    try:
        contract = read_contract(config)
        steps = _steps(config, contract)
    except ContractProblem as problem:
        return ModelEntry(unservable(config.name, str(problem), backend=backend, versions=versions, card=card))
    provenance = contract.provenance.model_dump(mode="json")
    info = ModelInfo(
        name=config.name,
        versions=tuple(versions),
        recipe=contract.recipe,
        labels=contract.labels,
        backend=backend,
        servable=True,
        contract=contract.model_dump(mode="json"),
        card={"provenance": provenance} if card is None else card,
    )
    entry = ModelEntry(info, contract, config.max_batch_size, steps)
    if contract.part_of:
        return entry.withdrawn(f"it answers as a part of {contract.part_of!r} only")
    if contract.recipe not in recipes:
        return entry.withdrawn(f"this gateway has no recipe {contract.recipe!r} (it has: {', '.join(sorted(recipes))})")
    if not versions:
        return entry.withdrawn("no version of it has a model file that can be loaded")
    return entry


def unservable(
    name: str, reason: str, *, backend: str, versions: Sequence[str] = (), card: Mapping[str, Any] | None = None
) -> ModelInfo:
    """A model of which no more is known than its name and why it cannot be served."""
    return ModelInfo(name, tuple(versions), "", (), backend, servable=False, reason=reason, card=card or {})


def read_contract(config: model_config_pb2.ModelConfig) -> ModelContract:
    """The contract in `parameters`, checked against the configuration around it. Raises `ContractProblem`."""
    if PARAMETER not in config.parameters:
        raise ContractProblem(f"config.pbtxt has no parameters[{PARAMETER!r}]")
    try:
        contract = ModelContract.model_validate_json(config.parameters[PARAMETER].string_value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "contract"
        raise ContractProblem(f"the contract is not valid: {where}: {first['msg']}") from error
    if contract.name != config.name:
        raise ContractProblem(f"the contract is that of {contract.name!r}, not of {config.name!r}")
    if config.max_batch_size < 1:
        raise ContractProblem("max_batch_size must be 1 or more: the events of a clip are sent as one batch")
    file = config.default_model_filename or DEFAULT_MODEL_FILE
    if file != contract.model_file:
        raise ContractProblem(f"config.pbtxt has the model in {file}, the contract in {contract.model_file}")
    _compare("input", contract.inputs, config.input)
    _compare("output", contract.outputs, config.output)
    return contract


def _steps(config: model_config_pb2.ModelConfig, contract: ModelContract) -> tuple[Step, ...]:
    try:
        steps = steps_of(config)
    except ValueError as error:
        raise ContractProblem(str(error)) from error
    asked = {(step.model, step.version) for step in steps}
    for member in contract.members:
        if (member.name, member.version) not in asked:
            raise ContractProblem(f"no step of config.pbtxt asks version {member.version} of {member.name!r}")
    if steps and not contract.members:
        raise ContractProblem("config.pbtxt has the steps of an ensemble, the contract no members")
    return steps


def _compare(kind: str, specs: Sequence[TensorSpec], tensors: Sequence[Any]) -> None:
    configured = {tensor.name: tensor for tensor in tensors}
    if set(configured) != {spec.name for spec in specs}:
        wanted = sorted(spec.name for spec in specs)
        raise ContractProblem(f"config.pbtxt has the {kind}s {sorted(configured)}, the contract {wanted}")
    for spec in specs:
        tensor = configured[spec.name]
        if tensor.data_type != model_config_pb2.TYPE_FP32:
            raise ContractProblem(f"{kind} {spec.name!r} is not TYPE_FP32 in config.pbtxt")
        if tuple(tensor.dims) != spec.dims:
            raise ContractProblem(
                f"{kind} {spec.name!r} has dims {list(tensor.dims)} in config.pbtxt, {list(spec.dims)} in the contract"
            )
