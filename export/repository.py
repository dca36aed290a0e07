"""Publishes model versions: all files of a version appear at once, or none."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from export.triton_config import config_text
from server.contract import PARAMETER, ModelContract
from server.errors import ConfigurationError, OptionError, UnknownModel

WEIGHTS_FILE = "weights.pth"
CONFIG_FILE = "config.pbtxt"
LABELS_FILE = "labels.txt"
CARD_FILE = "card.json"


@dataclass(frozen=True, slots=True)
class Publication:
    """What becomes one version: what is served (an ONNX graph, or the plan built from one), the checkpoint it was made
    from, its contract and its card.
    """

    contract: ModelContract
    graph: bytes
    weights: bytes
    card: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """The newest version of a model, as the repository holds it."""

    name: str
    version: str
    folder: Path
    contract: ModelContract
    config: triton.ModelConfig
    card: Mapping[str, Any]

    @property
    def model_file(self) -> Path:
        """The ONNX graph, or the plan."""
        return self.folder / self.version / self.contract.model_file

    @property
    def weights_file(self) -> Path:
        """The checkpoint."""
        return self.folder / self.version / WEIGHTS_FILE


def publish(repository: Path, publication: Publication, *, version: int = 1, overwrite: bool = False) -> Path:
    """Write a version of a model below `repository` and return its folder; the card records the hash of each file.

    The version is written beside its place, synced and renamed; labels and card follow, and the configuration, without
    which no server sees the model, comes last. Raises `OptionError` when the version exists and `overwrite` is not set.
    """
    place = check_free(repository, publication.contract.name, version=version, overwrite=overwrite)
    folder = place.parent
    folder.mkdir(parents=True, exist_ok=True)
    files = {publication.contract.model_file: publication.graph, WEIGHTS_FILE: publication.weights}
    _place_version(folder, place, files)
    hashes = {f"{version}/{name}": hashlib.sha256(data).hexdigest() for name, data in files.items()}
    labels = "".join(f"{label}\n" for label in publication.contract.labels)
    replace_file(folder / LABELS_FILE, labels.encode())
    write_card(folder, {**publication.card, "version": str(version), "files": hashes})
    replace_file(folder / CONFIG_FILE, config_text(publication.contract).encode())
    return place


def check_free(repository: Path, name: str, *, version: int, overwrite: bool) -> Path:
    """The folder of a version that may be written. Raises `OptionError` when it exists and `overwrite` is not set."""
    place = repository / name / str(version)
    if place.exists() and not overwrite:
        raise OptionError(f"{place} exists; choose another version or allow overwriting", option="version")
    return place


def read_published(repository: Path, name: str) -> PublishedModel:
    """The newest version of `name`.

    Raises `UnknownModel` when there is no such model, `ConfigurationError` when its files cannot be read.
    """
    folder = repository / name
    if not (folder / CONFIG_FILE).is_file():
        known = ", ".join(published_names(repository)) or "none"
        raise UnknownModel(f"no model {name!r} in {repository}; there are: {known}")
    try:
        config = text_format.Parse((folder / CONFIG_FILE).read_text(encoding="utf-8"), triton.ModelConfig())
        contract = ModelContract.model_validate_json(config.parameters[PARAMETER].string_value)
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, text_format.ParseError) as error:
        raise ConfigurationError(f"the files of {folder} cannot be read: {error}") from error
    versions = sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdigit())
    if not versions:
        raise ConfigurationError(f"{folder} has no version")
    return PublishedModel(name, str(versions[-1]), folder, contract, config, card)


def published_names(repository: Path) -> list[str]:
    """The models of `repository`, sorted."""
    return sorted(entry.parent.name for entry in repository.glob(f"*/{CONFIG_FILE}"))


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Replace the card of the model in `folder`."""
    replace_file(folder / CARD_FILE, (json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode())


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            _write_synced(file.fileno(), data)
        beside.chmod(0o644)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _place_version(folder: Path, place: Path, files: Mapping[str, bytes]) -> None:
    beside = Path(tempfile.mkdtemp(prefix=".version-", dir=folder))
    retired = beside.with_name(f"{beside.name}-old")
    try:
        for name, data in files.items():
            replace_file(beside / name, data)
        beside.chmod(0o755)
        if place.exists():
            place.rename(retired)
        beside.rename(place)
        _sync_folder(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


def _write_synced(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
