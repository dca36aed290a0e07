"""A change to a model's folder that is made as a whole or not at all, whenever it is interrupted.

What is new is prepared in a folder beside the versions, which no server looks at, together with what is needed to go
back. The rename of the new configuration is the only step that changes what is served; before it everything can be
undone, after it only remains are left. `recover` does either, whatever became of the process.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from export.files import move, replace_file, sync_folder, temporary_prefix

JOURNAL = ".publish"
_STAGE = ".stage-"
_OLD_STAGE = ".version-"
_NEW, _RETIRED = "new", "retired"
_VERSION = "version"
_BEFORE = "before"


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a model's folder: `files` by name make the version, `texts` by name belong to the whole model.

    The file called `configuration` gets `committed` in the end. Until then it is `pinned`, which serves what is served
    now, whatever else lies in the folder; None where there is none yet.
    """

    version: str
    files: Mapping[str, bytes]
    texts: Mapping[str, bytes]
    configuration: str
    committed: bytes
    pinned: bytes | None


def make(folder: Path, change: Change) -> None:
    """Make `change` in a model's folder. With the folder `locked`, and followed by `recover`, whatever happens."""
    journal = folder / JOURNAL
    move(_prepared(folder, change), journal)
    if change.pinned is not None:
        replace_file(folder / change.configuration, change.pinned)
    place = folder / change.version
    if place.exists():
        move(place, journal / _RETIRED)
    move(journal / _NEW, place)
    for name, data in change.texts.items():
        replace_file(folder / name, data)
    (journal / change.configuration).replace(folder / change.configuration)
    sync_folder(folder)


def _prepared(folder: Path, change: Change) -> Path:
    beside = Path(tempfile.mkdtemp(prefix=_STAGE, dir=folder))
    (beside / _NEW).mkdir()
    for name, data in change.files.items():
        replace_file(beside / _NEW / name, data)
    (beside / _BEFORE).mkdir()
    for name in (*change.texts, change.configuration):
        if (folder / name).is_file():
            replace_file(beside / _BEFORE / name, (folder / name).read_bytes())
    replace_file(beside / _VERSION, change.version.encode())
    replace_file(beside / change.configuration, change.committed)
    return beside


def recover(folder: Path, configuration: str, texts: tuple[str, ...]) -> None:
    """Undo a change that was interrupted before it was committed, and remove what is left of any.

    `configuration` and `texts` are the names of the model's files. Call it with the folder `locked`.
    """
    journal = folder / JOURNAL
    if (journal / configuration).is_file():
        _undo(folder, journal, (*texts, configuration))
    # A folder that is being removed must not look like one that can be undone.
    if journal.exists():
        move(journal, Path(tempfile.mkdtemp(prefix=_STAGE, dir=folder)) / JOURNAL)
    unfinished = tuple(temporary_prefix(folder / name) for name in (*texts, configuration))
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name.startswith((_STAGE, _OLD_STAGE)):
            shutil.rmtree(entry)
        elif entry.name.startswith(unfinished):
            entry.unlink()


def is_interrupted(folder: Path, configuration: str) -> bool:
    """Whether a change of the model in `folder` was begun and not committed."""
    return (folder / JOURNAL / configuration).is_file()


def _undo(folder: Path, journal: Path, names: tuple[str, ...]) -> None:
    place = folder / (journal / _VERSION).read_text(encoding="utf-8")
    if not (journal / _NEW).exists() and place.exists():
        move(place, journal / _NEW)
    if (journal / _RETIRED).exists():
        move(journal / _RETIRED, place)
    for name in names:
        before = journal / _BEFORE / name
        if before.is_file():
            replace_file(folder / name, before.read_bytes())
        else:
            (folder / name).unlink(missing_ok=True)
