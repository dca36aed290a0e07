"""What a card says of each version: the card of the newest at the top, those of the others under `versions`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, TypeAlias

from server.contract import ModelContract
from server.errors import ConfigurationError

Record: TypeAlias = dict[str, Any]

VERSIONS = "versions"
VERSION = "version"
FILES = "files"
CONTRACT = "contract"
SHIPPED = "checkpoint_shipped"


def version_record(
    card: Mapping[str, Any], contract: ModelContract, version: str, files: Mapping[str, bytes], *, shipped: bool
) -> Record:
    """The card of one version: `card`, the hash of each of its `files` by name, and its contract.

    `shipped` is whether the checkpoint lies beside the graph; the hash is recorded in either case.
    """
    hashes = {f"{version}/{name}": hashlib.sha256(data).hexdigest() for name, data in files.items()}
    absent = {} if shipped else {SHIPPED: False}
    # A card that was made from that of another version must not say where the files of that one are.
    made = {key: value for key, value in card.items() if key not in {SHIPPED, VERSIONS}}
    return {**made, VERSION: version, CONTRACT: described(contract), FILES: hashes, **absent}


def described(contract: ModelContract) -> dict[str, Any]:
    """A contract as a record holds it: what a model does not have is not mentioned."""
    return contract.model_dump(mode="json", exclude_none=True)


def records_of(card: Mapping[str, Any]) -> dict[str, Record]:
    """The record of each version that a card knows. Raises `ConfigurationError` where the card is not one."""
    newest, others = {key: value for key, value in card.items() if key != VERSIONS}, card.get(VERSIONS, {})
    version = newest.get(VERSION)
    valid = isinstance(others, dict) and all(isinstance(other, dict) for other in others.values())
    if not valid or not isinstance(version, str) or not isinstance(newest.get(FILES), dict):
        raise ConfigurationError("the card lacks a version with its files, or its versions are no records")
    return {**others, version: newest}


def card_of(records: Mapping[str, Record]) -> Record:
    """The card of a model with these records, at least one."""
    newest, *older = sorted(records, key=int, reverse=True)
    return {**records[newest], **({VERSIONS: {version: records[version] for version in older}} if older else {})}


def contract_of(record: Mapping[str, Any], configured: ModelContract) -> ModelContract:
    """The contract of a version: that of its record, or, of a card from before records held one, the `configured` one
    where it speaks of the same weights. Raises `ConfigurationError` where neither is known.
    """
    if CONTRACT in record:
        try:
            return ModelContract.model_validate(record[CONTRACT])
        except ValueError as error:
            raise ConfigurationError(f"the contract of version {record.get(VERSION)} is not valid: {error}") from error
    if record.get("weights_sha256", "") != configured.provenance.weights_sha256:
        raise ConfigurationError(f"the card does not know the contract of version {record.get(VERSION)}")
    return configured


def is_shipped(record: Mapping[str, Any]) -> bool:
    """Whether the checkpoint of a version belongs beside its graph."""
    return bool(record.get(SHIPPED, True))
