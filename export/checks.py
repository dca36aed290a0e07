"""What every published model is checked for, an ensemble as well."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import onnx
from google.protobuf.message import DecodeError
from google.protobuf.text_format import ParseError
from tritonclient.grpc import model_config_pb2 as triton

from export.repository import CONFIG_FILE, LABELS_FILE, PublishedModel
from export.staging import is_interrupted
from export.version_policy import checked_served
from export.version_records import FILES
from server.errors import GlimpseError

_INTERRUPTED = "a publication was interrupted: what was served is served on, and the next one removes the remains"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `detail` says what was found."""

    name: str
    passed: bool
    detail: str


def guarded(name: str, check: Callable[[], tuple[bool, str]]) -> Check:
    """The outcome of `check`; a file that cannot be read or a model that does not answer is a check that failed."""
    try:
        return Check(name, *check())
    except (GlimpseError, OSError, DecodeError, ParseError, onnx.checker.ValidationError) as error:
        return Check(name, passed=False, detail=str(error))


def common_checks(model: PublishedModel) -> list[Check]:
    """Files, labels and versions."""
    return [
        guarded("checksums", lambda: _checksums(model)),
        guarded("labels", lambda: _labels(model)),
        guarded("versions", lambda: _versions(model)),
    ]


def differences(wanted: triton.ModelConfig, found: triton.ModelConfig) -> list[str]:
    """The fields in which two configurations differ."""
    return [
        field.name for field in wanted.DESCRIPTOR.fields if getattr(wanted, field.name) != getattr(found, field.name)
    ]


def _checksums(model: PublishedModel) -> tuple[bool, str]:
    problems = [_INTERRUPTED] if is_interrupted(model.folder, CONFIG_FILE) else []
    absent = []
    for version in sorted({*model.versions, *model.records}, key=int):
        one = replace(model, version=version)
        recorded = one.card[FILES]
        wanted = (f"{version}/{file.name}" for file in one.files)
        problems += [f"the card does not list {name}" for name in wanted if name not in recorded]
        for name, known in recorded.items():
            path = model.folder / name
            if path == one.weights_file and one.checkpoint_missing:
                absent.append(name)
            elif hashlib.sha256(path.read_bytes()).hexdigest() != known:
                problems.append(f"{name} changed since it was published")
    notes = ["as the card records", *(f"{name} is absent, as the card says: not shipped" for name in absent)]
    return not problems, "; ".join(problems or notes)


def _labels(model: PublishedModel) -> tuple[bool, str]:
    lines = tuple((model.folder / LABELS_FILE).read_text(encoding="utf-8").split())
    labels = model.configured.labels
    return lines == labels, f"{LABELS_FILE} {', '.join(lines)}; contract {', '.join(labels)}"


def _versions(model: PublishedModel) -> tuple[bool, str]:
    contracts = {version: replace(model, version=version).contract for version in model.versions}
    served = checked_served(model.config.version_policy, contracts, contracts)
    if contracts[served[-1]] != model.configured:
        return False, f"version {served[-1]} answers, and the configuration has the contract of another"
    return True, f"{', '.join(model.versions)} are here, {', '.join(served)} served, {served[-1]} answers"
