"""Reads `model_repository/`: for each model its configuration, contract, labels, card and versions.

A folder that is wrong is listed with the reason and never hides the others.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from server.errors import ConfigurationError
from server.predict.catalogue import DEFAULT_MODEL_FILE, Catalogue, ModelEntry, entry_of, unservable
from server.predict.members import with_members_checked
from server.predict.steps import PLATFORM

_CONFIG = "config.pbtxt"
_LABELS = "labels.txt"
_CARD = "card.json"
_VERSION = re.compile(r"[1-9][0-9]*")

_log = logging.getLogger(__name__)


class ModelRepository:
    """The models under `path`, read once.

    `recipes` are the names of the recipes that this gateway can compute; `backend` is reported with each model.
    Raises `ConfigurationError` where `path` is not a directory.
    """

    def __init__(self, path: Path, recipes: Collection[str], *, backend: str = "local") -> None:
        if not path.is_dir():
            raise ConfigurationError(f"the model repository {str(path)!r} is not a directory")
        self.path = path
        folders = sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
        self.catalogue = Catalogue(
            with_members_checked({folder.name: _read(folder, recipes, backend) for folder in folders})
        )

    def model_file(self, name: str, version: str) -> Path:
        """The file of a version that the catalogue lists. Raises `UnknownModel`."""
        entry = self.catalogue.entry(name)
        file = entry.contract.model_file if entry.contract else DEFAULT_MODEL_FILE
        return self.path / name / entry.chosen(version) / file

    def card(self, name: str) -> Mapping[str, Any]:
        """The model's card; empty for a model that is not here or has none."""
        entry = self.catalogue.entries.get(name)
        return entry.info.card if entry else {}


def _read(folder: Path, recipes: Collection[str], backend: str) -> ModelEntry:
    card = _read_card(folder / _CARD)
    try:
        config = text_format.Parse((folder / _CONFIG).read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except FileNotFoundError:
        return ModelEntry(unservable(folder.name, f"{_CONFIG} is missing", backend=backend, card=card))
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        return ModelEntry(unservable(folder.name, f"{_CONFIG} cannot be read: {error}", backend=backend, card=card))
    if config.name not in {"", folder.name}:
        reason = f"{_CONFIG} names the model {config.name!r}, its folder {folder.name!r}"
        return ModelEntry(unservable(folder.name, reason, backend=backend, card=card))
    config.name = folder.name
    served = served_versions((child.name for child in folder.iterdir()), config.version_policy)
    file = config.default_model_filename or DEFAULT_MODEL_FILE
    # The steps of an ensemble are its graph; its versions are folders without one.
    whole = config.platform == PLATFORM
    versions = [version for version in served if whole or (folder / version / file).is_file()]
    entry = entry_of(config, versions=versions, recipes=recipes, backend=backend, card=card)
    problem = "" if entry.ensemble else _labels_problem(folder / _LABELS, entry)
    return entry.withdrawn(problem) if problem and entry.info.servable else entry


def served_versions(names: Iterable[str], policy: model_config_pb2.ModelVersionPolicy) -> Sequence[str]:
    """Those of the entries of a model's folder that Triton would load as versions under `policy`, oldest first; without
    a policy the newest alone.
    """
    found = sorted((name for name in names if _VERSION.fullmatch(name)), key=int)
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return found
    if kind == "specific":
        return [version for version in found if int(version) in policy.specific.versions]
    return found[-(policy.latest.num_versions or 1) :]


def _labels_problem(path: Path, entry: ModelEntry) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return f"{_LABELS} is missing"
    except (OSError, UnicodeDecodeError) as error:
        return f"{_LABELS} cannot be read: {error}"
    labels = [line.strip() for line in lines if line.strip()]
    if labels != list(entry.info.labels):
        return f"{_LABELS} says {labels}, the contract {list(entry.info.labels)}"
    return ""


def _read_card(path: Path) -> Mapping[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        _log.warning("the card of model %s cannot be read: %s", path.parent.name, error)
        return {}
    return card if isinstance(card, dict) else {}
