"""Texts of events as they stand in files that people read: classes that may be withheld, and cells of tables."""

from __future__ import annotations

import re

from server.types import Event

_WITHHELD = re.compile(r"withheld \((?P<label>.*)\)")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def class_text(event: Event) -> str:
    """The class; of an answer that is withheld, `withheld (positive)`."""
    return f"withheld ({event.label})" if event.abstained else event.label


def parse_class(text: str) -> tuple[str, bool]:
    """The class, and whether it is withheld, of what `class_text` wrote."""
    withheld = _WITHHELD.fullmatch(text.strip())
    return (withheld["label"], True) if withheld else (text.strip(), False)


def cell(text: str) -> str:
    """Foreign text for a cell of a table; an apostrophe before what spreadsheets would run as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def parse_cell(text: str) -> str:
    """What `cell` was given."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text
