"""The versions of a published model: what each of them is, and which are served. Nothing here deletes a version."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2 as triton

from export.published_model import refuse_ensemble
from export.repository import (
    WEIGHTS_FILE,
    PublishedModel,
    changing,
    known_records,
    read_published,
    write_card,
    write_configuration,
)
from export.triton_config import model_config
from export.version_policy import checked_served, differences, specific_policy
from export.version_records import FILES, SHIPPED, contract_of
from server.contract import PARAMETER, Member
from server.errors import ConfigurationError, OptionError

_NO_CHOICE = "its steps are one for all its versions; publish it again with the members and weights that it shall have"


@dataclass(frozen=True, slots=True)
class VersionSummary:
    """One line of `glimpse-export versions`.

    `written` is the time of the graph's file, which in a fresh checkout is that of the checkout. `weights_sha256` is
    that of the checkpoint. `members` are those of an ensemble, which has none.
    """

    version: str
    served: bool
    answers: bool
    written: datetime
    network: str
    weights_sha256: str
    shipped: bool
    members: tuple[Member, ...]
    training: str
    command: str


def list_versions(repository: Path, name: str) -> Sequence[VersionSummary]:
    """Every version of a model, oldest first. Raises as `read_published` does."""
    model = read_published(repository, name)
    served = model.served
    lines = []
    for version in model.versions:
        record = model.records.get(version, {})
        one = replace(model, version=version)
        graph = one.model_file if record else model.folder / version
        seconds = graph.stat().st_mtime if graph.exists() else 0.0
        lines.append(
            VersionSummary(
                version=version,
                served=version in served,
                answers=bool(served) and version == served[-1],
                written=datetime.fromtimestamp(seconds, UTC),
                network=record.get("network", ""),
                weights_sha256=record.get("weights_sha256", ""),
                shipped=one.weights_file.is_file(),
                members=one.contract.members if record else (),
                training=str(record.get("training", {}).get("data", "")),
                command=record.get("command", ""),
            )
        )
    return lines


def set_policy(repository: Path, name: str, policy: triton.ModelVersionPolicy) -> Sequence[str]:
    """Serve what `policy` says from now on; the versions that it serves, of which the last one answers.

    One file is replaced, so that a server that starts sees the old policy or the new one. Raises `OptionError` where
    the policy serves nothing, names what does not exist, or serves versions of different contracts together.
    """
    with changing(repository, name) as model:
        refuse_ensemble(model, _NO_CHOICE)
        records = known_records(model)
        contracts = {version: contract_of(record, model.configured) for version, record in records.items()}
        served = checked_served(policy, records, contracts)
        _check_graph(model, served[-1])
        contract = contracts[served[-1]]
        config = model_config(contract, policy)
        if not differences(contract, model.configured):
            # Whatever else was configured for tensors like these stays.
            config.CopyFrom(model.config)
            config.version_policy.CopyFrom(policy)
            config.parameters[PARAMETER].string_value = contract.to_json()
        write_configuration(model, config)
        return served


def roll_back(repository: Path, name: str, version: str | None = None) -> str:
    """Serve `version` alone, or the newest one before that which answers; the version that answers from now on.

    Raises `OptionError` where there is no older one, and as `set_policy` does.
    """
    model = read_published(repository, name, version)
    refuse_ensemble(model, _NO_CHOICE)
    if version is None:
        older = [each for each in model.versions if int(each) < int(model.version)]
        if not older:
            raise OptionError(f"{name} has no version before {model.version}, which answers now", option="to")
        version = older[-1]
    (served,) = set_policy(repository, name, specific_policy([version]))
    return served


def drop_checkpoint(repository: Path, name: str, version: str | None = None) -> Path:
    """Remove the checkpoint of a version, without one of that which answers, once its card says that it is not shipped.

    The card keeps its hash. Returns where it was. Raises `UnknownModel`, and `ConfigurationError` for a checkpoint that
    is not the one that the card lists.
    """
    chosen = read_published(repository, name, version)
    refuse_ensemble(chosen, "it has no checkpoint of its own")
    with changing(repository, name) as current:
        model = replace(current, version=chosen.version)
        if model.weights_file.exists():
            _check_hash(model, WEIGHTS_FILE)
        write_card(model, {**model.card, SHIPPED: False})
        model.weights_file.unlink(missing_ok=True)
    return model.weights_file


def record_result(repository: Path, name: str, version: str, result: Mapping[str, Any]) -> None:
    """Add what was measured of a version to its card. Raises as `changing` does."""
    from export.cards import with_result

    with changing(repository, name) as current:
        model = replace(current, version=version)
        write_card(model, with_result(model.card, result))


def _check_graph(model: PublishedModel, version: str) -> None:
    one = replace(model, version=version)
    _check_hash(one, one.model_file.name)


def _check_hash(model: PublishedModel, file: str) -> None:
    known = model.card[FILES].get(f"{model.version}/{file}")
    path = model.folder / model.version / file
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != known:
        raise ConfigurationError(
            f"{path} is not the file that the card lists; see `glimpse-export verify {model.name}`"
        )
