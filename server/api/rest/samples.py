"""`/samples`: clips to try the service with, each with a sentence that says what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from starlette.responses import FileResponse, Response

from server.errors import ConfigurationError

_NAMED = 2
_CACHED = {"Cache-Control": "max-age=3600"}


class _Shown(BaseModel):
    label: str
    kind: str
    apex_s: float


class _Truth(BaseModel):
    """What `glimpse-export synthesize --kind clips` writes beside a clip."""

    clip: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*\.mp4$")]
    duration_s: float
    fps: float
    events: list[_Shown]


@dataclass(frozen=True, slots=True)
class Sample:
    """One clip: `file` below `/samples/`, `text` what it shows."""

    name: str
    file: str
    seconds: float
    text: str


_LIST: TypeAdapter[list[Sample]] = TypeAdapter(list[Sample])


def listed(folder: Path) -> list[Sample]:
    """The clips of a folder that have a truth beside them, the short and plain ones first.

    Raises `ConfigurationError` for a folder that is none, and for a truth that cannot be read.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"the folder of samples is none: {folder}")
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            truth = _Truth.model_validate_json(path.read_bytes())
        except ValidationError:
            raise ConfigurationError(f"{path} does not say what a sample shows") from None
        if (folder / truth.clip).is_file():
            found.append((truth.duration_s, truth.fps, path.stem, truth))
    return [
        Sample(name=name, file=truth.clip, seconds=seconds, text=_text(truth))
        for seconds, _, name, truth in sorted(found, key=lambda item: item[:3])
    ]


def router(folder: Path | None) -> APIRouter:
    """The list and the clips; without a folder the list is empty. Raises `ConfigurationError`."""
    routes = APIRouter(include_in_schema=False)
    samples = listed(folder) if folder else []
    files: Mapping[str, Path] = {sample.file: folder / sample.file for sample in samples} if folder else {}

    @routes.get("/samples")
    async def index() -> Response:
        return Response(_LIST.dump_json(samples), media_type="application/json", headers=_CACHED)

    @routes.get("/samples/{file}")
    async def clip(file: str) -> FileResponse:
        if file not in files:
            raise HTTPException(404)
        return FileResponse(files[file], media_type="video/mp4", headers=_CACHED)

    return routes


def _text(truth: _Truth) -> str:
    shown = [f"{event.label} ({event.kind}) at {event.apex_s:.1f} s" for event in truth.events]
    what = f"{len(shown)} expressions" if len(shown) > _NAMED else ", ".join(shown) or "no expression, blinks alone"
    return f"{what}; {truth.fps:g} frames per second"
