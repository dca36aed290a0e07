"""Publishes model versions, and reads them: all files of a version appear at once, or none, and no other is touched."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from export.files import locked, replace_file
from export.published_model import WEIGHTS_FILE, PublishedModel, check_kind, served_file
from export.staging import Change, is_interrupted, make, recover
from export.triton_config import config_bytes, model_config
from export.version_policy import checked_served, latest_policy, specific_policy, with_version
from export.version_records import (
    CONTRACT,
    Record,
    card_of,
    contract_of,
    described,
    records_of,
    version_record,
)
from server.contract import PARAMETER, ModelContract
from server.errors import ConfigurationError, OptionError, UnknownModel
from server.predict.repository import served_versions

__all__ = [
    "WEIGHTS_FILE",
    "Publication",
    "PublishedModel",
    "adding",
    "changing",
    "check_free",
    "known_records",
    "publish",
    "published_names",
    "read_published",
    "replace_file",
    "version_change",
    "write_card",
    "write_configuration",
]

CONFIG_FILE = "config.pbtxt"
LABELS_FILE = "labels.txt"
CARD_FILE = "card.json"
PART = re.compile(r"\.mean-[0-9a-f]{8}$")
"""How the name of the part of an ensemble ends that averages, which is no model of its own."""

Configure: TypeAlias = Callable[[ModelContract, triton.ModelVersionPolicy], triton.ModelConfig]


@dataclass(frozen=True, slots=True)
class Publication:
    """What becomes one version: what is served (an ONNX graph, or the plan built from one), the checkpoint it was made
    from, its contract and its card.

    Where the checkpoint is not `shipped`, for its size, only its hash is recorded. An ensemble has the list of its
    members for a graph, no checkpoint, and a configuration of its own kind.
    """

    contract: ModelContract
    graph: bytes
    weights: bytes | None
    card: Mapping[str, Any]
    shipped: bool = True
    configure: Configure = model_config

    @property
    def files(self) -> dict[str, bytes]:
        """By name."""
        graph = {served_file(self.contract): self.graph}
        return graph if self.weights is None else {**graph, WEIGHTS_FILE: self.weights}


def publish(
    repository: Path,
    publication: Publication,
    *,
    version: int = 1,
    overwrite: bool = False,
    policy: triton.ModelVersionPolicy | None = None,
) -> Path:
    """Write a version of a model below `repository` and return its folder; the card records the hash of each file.

    Other versions and their records stay as they are. `policy` says which versions are served from then on; without
    one the rule stays that of the model, the newest alone for a new one, and chosen versions are joined by this one.
    Interrupted anywhere, what was served is served on, and the next call removes the remains. Raises `OptionError` when
    the version exists and `overwrite` is not set, or when what would be served together does not have one contract.
    """
    with adding(repository, publication.contract.name, version=version, overwrite=overwrite) as (place, known):
        make(place.parent, version_change(publication, str(version), known, policy))
    return place


@contextmanager
def adding(
    repository: Path, name: str, *, version: int, overwrite: bool
) -> Iterator[tuple[Path, PublishedModel | None]]:
    """The folder of a version that may be made now, which no other command may meet, and the model where it exists.

    Whatever fails is undone. Raises as `publish` does, and `ConfigurationError` where another command holds the model.
    """
    folder = check_free(repository, name, version=version, overwrite=overwrite).parent
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        _recover(folder)
        place = check_free(repository, name, version=version, overwrite=overwrite)
        try:
            yield place, read_published(repository, name) if (folder / CONFIG_FILE).is_file() else None
        except BaseException:
            _recover(folder)
            raise
        # It is published; remains that cannot be removed now are removed by the next change.
        with suppress(OSError):
            _recover(folder)


def version_change(
    publication: Publication,
    version: str,
    known: PublishedModel | None,
    policy: triton.ModelVersionPolicy | None = None,
) -> Change:
    """What `publish` makes of `publication` beside the versions of `known`. Raises as `publish` does."""
    contract, files = publication.contract, publication.files
    records = known_records(known) if known else {}
    if known:
        check_kind(known, ensemble=bool(contract.members))
    if known and known.configured.labels != contract.labels:
        raise OptionError(
            f"{contract.name} has the labels {', '.join(known.configured.labels)}; publish others under another name",
            option="name",
        )
    records[version] = version_record(publication.card, contract, version, files, shipped=publication.shipped)
    wanted = policy or (with_version(known.config.version_policy, version) if known else latest_policy())
    contracts = {each: contract_of(record, contract) for each, record in records.items()}
    served = checked_served(wanted, records, contracts)
    pinned = None
    if known:
        pinned = triton.ModelConfig()
        pinned.CopyFrom(known.config)
        pinned.version_policy.CopyFrom(specific_policy(known.served))
    if not publication.shipped:
        del files[WEIGHTS_FILE]
    labels = "".join(f"{label}\n" for label in contract.labels)
    return Change(
        version=version,
        files=files,
        texts={LABELS_FILE: labels.encode(), CARD_FILE: card_bytes(records)},
        configuration=CONFIG_FILE,
        committed=config_bytes(publication.configure(contracts[served[-1]], wanted)),
        pinned=config_bytes(pinned) if pinned else None,
    )


def known_records(known: PublishedModel) -> dict[str, Record]:
    """The records of the versions that are there, each with its contract. Raises `ConfigurationError` for a version
    that the card does not know.
    """
    unknown = [version for version in known.versions if version not in known.records]
    if unknown:
        raise ConfigurationError(f"the card of {known.folder} does not list version {', '.join(unknown)}")
    records = {version: known.records[version] for version in known.versions}
    return {
        version: {**record, CONTRACT: described(contract_of(record, known.configured))}
        for version, record in records.items()
    }


def check_free(repository: Path, name: str, *, version: int, overwrite: bool) -> Path:
    """The folder of a version that may be written. Raises `OptionError` when it exists and `overwrite` is not set.

    What an interrupted publication left does not count.
    """
    if PART.search(name):
        raise OptionError(f"{name} ends like the part of an ensemble; choose another name", option="name")
    folder = repository / name
    place = folder / str(version)
    left_over = is_interrupted(folder, CONFIG_FILE) or not (folder / CONFIG_FILE).is_file()
    if place.exists() and not overwrite and not left_over:
        raise OptionError(f"{place} exists; choose another version or allow overwriting", option="version")
    return place


def read_published(repository: Path, name: str, version: str | None = None) -> PublishedModel:
    """A version of `name`; without one, that which answers requests.

    Raises `UnknownModel` when there is no such model or version, `ConfigurationError` when its files cannot be read.
    """
    folder = repository / name
    if PART.search(name) or not (folder / CONFIG_FILE).is_file():
        known = ", ".join(published_names(repository)) or "none"
        raise UnknownModel(f"no model {name!r} in {repository}; there are: {known}")
    try:
        config = text_format.Parse((folder / CONFIG_FILE).read_text(encoding="utf-8"), triton.ModelConfig())
        contract = ModelContract.model_validate_json(config.parameters[PARAMETER].string_value)
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, text_format.ParseError) as error:
        raise ConfigurationError(f"the files of {folder} cannot be read: {error}") from error
    if not isinstance(card, dict):
        raise ConfigurationError(f"the files of {folder} cannot be read: the card is not an object")
    versions = served_versions((entry.name for entry in folder.iterdir()), triton.ModelVersionPolicy(all={}))
    if not versions:
        raise ConfigurationError(f"{folder} has no version")
    if version is not None and version not in versions:
        raise UnknownModel(f"{name} has no version {version} (there are: {', '.join(versions)})")
    served = served_versions(versions, config.version_policy) or versions
    return PublishedModel(name, version or served[-1], folder, config, contract, records_of(card), versions)


def published_names(repository: Path) -> list[str]:
    """The models of `repository`, sorted, without the parts of ensembles."""
    names = (entry.parent.name for entry in repository.glob(f"*/{CONFIG_FILE}"))
    return sorted(name for name in names if not PART.search(name))


def write_card(model: PublishedModel, record: Record) -> None:
    """Replace the record of the version that `model` is, as it was read by `changing`."""
    replace_file(model.folder / CARD_FILE, card_bytes({**model.records, model.version: record}))


@contextmanager
def changing(repository: Path, name: str) -> Iterator[PublishedModel]:
    """The model, for a change that no other command may meet; what an interrupted one left is removed first.

    Raises as `read_published` does, and `ConfigurationError` where another command holds the model.
    """
    folder = read_published(repository, name).folder
    with locked(folder):
        _recover(folder)
        yield read_published(repository, name)


def write_configuration(model: PublishedModel, config: triton.ModelConfig) -> None:
    """Replace the configuration of the whole model: what is served changes at once."""
    replace_file(model.folder / CONFIG_FILE, config_bytes(config))


def card_bytes(records: Mapping[str, Record]) -> bytes:
    """The card of a model with these records."""
    return (json.dumps(card_of(records), indent=2, ensure_ascii=False) + "\n").encode()


def _recover(folder: Path) -> None:
    recover(folder, CONFIG_FILE, (LABELS_FILE, CARD_FILE))
