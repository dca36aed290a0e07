"""What results are of: the version, the model, the options and the settings under which they were made."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from server import __version__
from server.bulk.errors import ResultsBroken, writing
from server.bulk.lines import replace
from server.bulk.outcomes import Work
from server.errors import OptionError
from server.settings import Settings, rows
from server.types import ModelRef

_COMPARED = ("glimpse", "model", "options", "settings")
_SHAPING = ("GLIMPSE_LIMITS__FACES", "GLIMPSE_BACKEND__PROVIDERS")
"""Settings that change what a report says."""
_REFUSING = (
    *(f"GLIMPSE_LIMITS__{name}" for name in ("UPLOAD_BYTES", "CLIP_SECONDS", "CLIP_FRAMES", "FRAME_PIXELS")),
    *(f"GLIMPSE_LIMITS__{name}" for name in ("CLIP_PIXELS", "INDEX_ENTRIES")),
    *("GLIMPSE_ANALYSIS__MIN_FACE_COVERAGE", "GLIMPSE_WORKERS__MEMORY_BYTES", "GLIMPSE_WORKERS__CPU_SECONDS"),
)
"""Settings that decide whether there is a report at all: they may be raised for those that failed."""


def manifest_of(settings: Settings, work: Work, model: ModelRef, root: Path) -> dict[str, Any]:
    """The manifest of a run, with names of clips relative to `root`."""
    known = {row.name: row.value for row in rows(settings)}
    options = work.options
    return {
        "glimpse": __version__,
        "model": asdict(model),
        "options": {"faces": options.faces, "kinds": sorted(options.kinds), "detail": options.detail},
        "settings": {name: known[name] for name in _SHAPING},
        "limits": {**{name: known[name] for name in _REFUSING}, "timeout_s": work.timeout_s},
        "root": os.fsencode(root).decode("utf-8", "backslashreplace"),
    }


def check_same(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Results of one folder are comparable. Raises `OptionError` that tells what is not as it was."""
    # As JSON gives it back, a tuple is a list.
    told = json.loads(json.dumps(now))
    changed = [
        f"{name} was {_shown(old)} and is {_shown(new)}"
        for key in _COMPARED
        for name, old, new in _differences(key, before.get(key), told.get(key))
    ]
    if changed:
        message = (
            f"the results are of another run: {'; '.join(changed)}. Name another folder, or begin anew with --fresh"
        )
        raise OptionError(message, option="fresh")


def read(path: Path) -> dict[str, Any] | None:
    """The manifest at `path`, None where there is none. Raises `ResultsBroken`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise ResultsBroken(f"{path} cannot be read; --fresh begins anew", stage="results")
    return found


def write(path: Path, manifest: Mapping[str, Any]) -> None:
    """All of it or nothing. Raises `ResultsUnwritable`."""
    draft = path.with_suffix(".new")
    with writing(path.parent):
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps(manifest, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        replace(draft, path)


def _differences(key: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                yield (name if key == "settings" else f"{key} {name}"), old.get(name), new.get(name)
    elif old != new:
        yield key, old, new


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
