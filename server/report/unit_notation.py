"""Action units as FACS coders write them, such as `L4+R12` (Ekman, Friesen and Hager, FACS, 2002).

L and R are the left and the right of the person, so the person's left is the right of the picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from server.types import ActionUnit, Side

_PREFIX: dict[Side, str] = {"both": "", "right": "L", "left": "R"}
_SIDE: dict[str, Side] = {"L": "right", "R": "left"}
# Asymmetric, top, bottom and unilateral are no sides that a report knows.
_CODE = re.compile(r"(?P<before>[LRATBU])?(?:AU)?(?P<within>[LR])?(?P<au>[0-9]{1,2})(?P<grade>[A-EX])?", re.IGNORECASE)
_SEPARATORS = re.compile(r"[+,;\s]+")
_NOTHING = frozenset({"", "-", "/", "\\", "none", "n/a", "neutral"})


@dataclass(frozen=True, slots=True)
class CodedUnit:
    """`au` FACS number; `side` in the picture; `grade` FACS intensity A to E, empty where it was not coded."""

    au: int
    side: Side = "both"
    grade: str = ""


@lru_cache(maxsize=4096)
def parse_units(text: str) -> tuple[CodedUnit, ...]:
    """`12`, `AU12`, `L12`, `R4`, `12A`, `6+12`, `L4 + R12` and the like. Raises `ValueError` naming what is none."""
    if text.strip().lower() in _NOTHING:
        return ()
    found = []
    for part in _SEPARATORS.split(re.sub(r"(?i)\bAU\s+", "AU", text.strip())):
        code = _CODE.fullmatch(part)
        if code is None or not int(code["au"]):
            raise ValueError(f"{part[:40]!r} is no action unit; write such as 12, AU12, L12, 12A or L4+R12")
        letter = (code["within"] or code["before"] or "").upper()
        grade = (code["grade"] or "").upper().replace("X", "")
        found.append(CodedUnit(int(code["au"]), _SIDE.get(letter, "both"), grade))
    return tuple(found)


def write_units(units: Iterable[ActionUnit | CodedUnit]) -> str:
    """`L4+R12`, by number; empty for none."""
    return "+".join(f"{_PREFIX[unit.side]}{unit.au}" for unit in sorted(units, key=lambda u: (u.au, u.side)))
