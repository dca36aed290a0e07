"""What was found once and is sent again: a folder of small files and a list that says what each is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "tests" / "corpus"
_LIST = "README.md"
_ROW = re.compile(
    r"^\| `(?P<kind>[a-z0-9]+)/(?P<name>[^`]+)` \| (?P<outcome>[^|]+) \| (?P<made>[^|]+) \|$", re.MULTILINE
)
LARGEST = 64 * 1024
"""Bytes of a file that is kept by itself."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One file: of which kind, what it is answered, and how it was made."""

    kind: str
    name: str
    outcome: str
    made: str

    def read(self, folder: Path = FOLDER) -> bytes:
        """Its bytes."""
        return (folder / self.kind / self.name).read_bytes()


def kept(folder: Path = FOLDER) -> list[Kept]:
    """Every row of the list."""
    return [Kept(**row.groupdict()) for row in _ROW.finditer((folder / _LIST).read_text(encoding="utf-8"))]


def add(each: Kept, data: bytes, folder: Path = FOLDER) -> None:
    """Write a file and its row."""
    place = folder / each.kind / each.name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    with (folder / _LIST).open("a", encoding="utf-8") as rows:
        rows.write(f"| `{each.kind}/{each.name}` | {each.outcome} | {each.made} |\n")
