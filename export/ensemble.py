"""Several published models under one name, which answers their weighted mean.

Triton runs the members and the mean within one request (`ensemble_scheduling`); the local backend does the same from
the same configuration (`server.predict.steps`). The mean is a model of its own in the repository, a part of the
ensemble, whose name ends in a hash of what it is: an ensemble that is replaced changes from one answer to the other at
the moment its configuration does, and never mixes the weights of two.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from export.ensemble_card import ensemble_card
from export.ensemble_mean import Weighted, answer_name, mean_inputs, mean_onnx, mean_outputs, units_of
from export.published_model import check_kind
from export.repository import (
    CONFIG_FILE,
    PART,
    Publication,
    PublishedModel,
    adding,
    check_free,
    read_published,
    replace_file,
    version_change,
)
from export.staging import make
from export.triton_config import MAX_BATCH_SIZE, config_bytes, ensemble_config, model_config
from export.version_policy import latest_policy
from server.contract import Member, ModelContract, Provenance, TensorSpec
from server.errors import ConfigurationError, OptionError
from server.predict.repository import ModelRepository
from server.predict.steps import Step
from server.recipes.composition import composed_name, tensor_names
from server.recipes.registry import RECIPES

NETWORK = "ensemble"
SOURCE = "composed"
PART_VERSION = "1"
_LEAST = 2


def publish_ensemble(
    repository: Path,
    name: str,
    weights: Mapping[str, float],
    *,
    command: str,
    abstain_below: float = 0.0,
    version: int = 1,
    overwrite: bool = False,
) -> Path:
    """Publish the mean of those versions of the models in `weights` that answer; the folder of the version.

    The part is written first, and the ensemble then like any version: interrupted anywhere, what was served is served
    on. Raises `OptionError` where the members cannot be averaged, the name is taken by another model, or the version
    exists and `overwrite` is not set; `UnknownModel`.
    """
    published = _checked(repository, name, weights)
    check_free(repository, name, version=version, overwrite=overwrite)
    members = [Weighted(each.contract, each.version, weights[each.name]) for each in published]
    contract = ensemble_contract(name, members, command=command, abstain_below=abstain_below)
    mean = mean_onnx(members)
    part = part_contract(contract, members, mean)
    configure = partial(
        ensemble_config, steps=ensemble_steps(members, part.name), largest_batch=largest_batch(published)
    )
    publication = Publication(
        contract=contract,
        graph=members_json(contract, published),
        weights=None,
        card=ensemble_card(contract, published),
        configure=configure,
    )
    with adding(repository, name, version=version, overwrite=overwrite) as (place, known):
        if known and int(known.versions[-1]) > version:
            newest = known.versions[-1]
            raise OptionError(f"{name} has version {newest}: an ensemble answers by its newest", option="version")
        _place_part(repository / part.name, part, mean)
        make(place.parent, version_change(publication, str(version), known, latest_policy()))
        for other in repository.glob(f"{name}.mean-*"):
            if PART.search(other.name) and other.name != part.name:
                # The configuration asks it no more; what cannot be removed now is removed by the next publication.
                shutil.rmtree(other, ignore_errors=True)
    return place


def ensemble_contract(
    name: str, members: Sequence[Weighted], *, command: str, abstain_below: float = 0.0
) -> ModelContract:
    """The contract of the ensemble `name`; its recipe is that of all members together."""
    own = {member.contract.recipe: member.contract.inputs for member in members}
    names = tensor_names({recipe: [spec.name for spec in specs] for recipe, specs in own.items()})
    listed = ", ".join(f"{member.contract.name} version {member.version}" for member in members)
    return ModelContract(
        name=name,
        recipe=composed_name(member.contract.recipe for member in members),
        flow=members[0].contract.flow,
        inputs=tuple(
            TensorSpec(name=names[recipe, spec.name], dims=spec.dims, meaning=spec.meaning)
            for recipe, specs in own.items()
            for spec in specs
        ),
        outputs=mean_outputs(members),
        labels=members[0].contract.labels,
        action_units=units_of(members),
        abstain_below=abstain_below,
        members=tuple(
            Member(name=member.contract.name, version=member.version, weight=member.weight) for member in members
        ),
        provenance=Provenance(
            network=NETWORK, source=SOURCE, command=command, training_data=f"that of its members: {listed}"
        ),
    )


def part_contract(contract: ModelContract, members: Sequence[Weighted], mean: bytes) -> ModelContract:
    """The contract of the part that averages, whose graph is `mean`."""
    part = ModelContract(
        name=contract.name,
        recipe="",
        inputs=mean_inputs(members),
        outputs=mean_outputs(members),
        labels=contract.labels,
        part_of=contract.name,
        provenance=contract.provenance,
    )
    digest = hashlib.sha256(part.to_json().encode() + mean).hexdigest()
    return part.model_copy(update={"name": f"{contract.name}.mean-{digest[:8]}"})


def ensemble_steps(members: Sequence[Weighted], part: str) -> tuple[Step, ...]:
    """Every member is asked with its own inputs, then the part with all answers."""
    own = {member.contract.recipe: [spec.name for spec in member.contract.inputs] for member in members}
    names = tensor_names(own)
    steps = [
        Step(
            model=member.contract.name,
            version=member.version,
            inputs={spec.name: names[member.contract.recipe, spec.name] for spec in member.contract.inputs},
            outputs={spec.name: answer_name(index, spec.name) for spec in member.answers},
        )
        for index, member in enumerate(members)
    ]
    answers = {spec.name: spec.name for spec in mean_inputs(members)}
    outputs = {spec.name: spec.name for spec in mean_outputs(members)}
    return (*steps, Step(part, PART_VERSION, answers, outputs))


def largest_batch(members: Sequence[PublishedModel]) -> int:
    """How many samples all of them take at a time."""
    return min(MAX_BATCH_SIZE, *(int(member.config.max_batch_size) for member in members))


def members_json(contract: ModelContract, members: Sequence[PublishedModel]) -> bytes:
    """The members as the contract has them, with the hash of the graph of each."""
    listed = [
        {**entry.model_dump(mode="json"), "model_sha256": graph_sha256(member)}
        for entry, member in zip(contract.members, members, strict=True)
    ]
    return (json.dumps({"members": listed}, indent=2) + "\n").encode()


def graph_sha256(member: PublishedModel) -> str:
    """Hash of the graph that answers for a member."""
    return hashlib.sha256(member.model_file.read_bytes()).hexdigest()


def read_member(repository: Path, name: str, version: str) -> PublishedModel:
    """A version of a member. Raises `UnknownModel`, and `ConfigurationError` where it is not served."""
    found = read_published(repository, name, version)
    if version not in found.served:
        raise ConfigurationError(
            f"{name} serves version {', '.join(found.served) or 'none'}, the ensemble asks version {version}"
        )
    return found


def _checked(repository: Path, name: str, weights: Mapping[str, float]) -> list[PublishedModel]:
    """The members, which can be served and averaged. Raises `OptionError`, `UnknownModel`."""
    if len(weights) < _LEAST:
        raise OptionError("an ensemble needs two members or more", option="members")
    if name in weights:
        raise OptionError(f"{name} cannot be a member of itself", option="name")
    if (repository / name / CONFIG_FILE).is_file():
        check_kind(read_published(repository, name), ensemble=True)
    members = [read_published(repository, member) for member in weights]
    catalogue = ModelRepository(repository, RECIPES).catalogue
    for member in members:
        info = catalogue.entry(member.name).info
        if not info.servable:
            raise OptionError(f"{member.name} cannot be a member: {info.reason}", option="members")
        if member.contract.engine:
            raise OptionError(
                f"{member.name} is a plan for one GPU; name the model that it was built from", option="members"
            )
        if member.contract.members:
            raise OptionError(f"{member.name} is an ensemble itself; name its members", option="members")
    _alike("labels", {member.name: ", ".join(member.contract.labels) for member in members})
    _alike("flow estimators", {member.name: member.contract.flow for member in members})
    return members


def _alike(what: str, values: Mapping[str, str]) -> None:
    if len(set(values.values())) > 1:
        listed = "; ".join(f"{name}: {value}" for name, value in values.items())
        raise OptionError(f"the members have different {what} ({listed})", option="members")


def _place_part(folder: Path, part: ModelContract, mean: bytes) -> None:
    """Nothing asks it before the ensemble's configuration names it, and its name says what must be in it."""
    version = folder / PART_VERSION
    version.mkdir(parents=True, exist_ok=True)
    replace_file(version / part.model_file, mean)
    replace_file(folder / CONFIG_FILE, config_bytes(model_config(part)))
