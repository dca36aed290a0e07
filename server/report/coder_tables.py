"""Events as CSV in the columns that coders of micro-expressions use, besides those of `server.report.export`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import TypeAlias

from server.report.export import events_csv
from server.report.names import cell, class_text
from server.report.unit_notation import write_units
from server.types import CsvColumns, Event, Report

_OBJECTIVE = {
    "I": "6 12 6+12 6+7+12 7+12",
    "II": "1+2 5 25 1+2+25 25+26 5+24",
    "III": "23 4 4+7 4+5 4+5+7 17+24 4+6+7 4+38",
    "IV": "10 9 4+9 4+40 4+5+40 4+7+9 4+9+17 4+7+10 4+5+7+9 7+10",
    "V": "1 15 1+4 6+15 15+17",
    "VI": "1+2+4 20",
}
_CLASS_OF = {
    frozenset(map(int, units.split("+"))): name for name, listed in _OBJECTIVE.items() for units in listed.split()
}
_MICRO = {"micro": "Micro - 1/2", "macro": "Macro"}

_Cells: TypeAlias = Callable[[str, Event], Sequence[str | int]]


def objective_class(units: frozenset[int]) -> str:
    """The objective class, I to VII, of the action units of one event; empty for none.

    Davison, Merghani and Yap, Objective classes for micro-facial expression recognition, J. Imaging 4(10), 2018.
    """
    return _CLASS_OF.get(units, "VII") if units else ""


def table_csv(reports: Sequence[tuple[str, Report]] | Report, columns: CsvColumns = "glimpse") -> str:
    """The events as CSV with a header line.

    `casme2` and `samm` are the columns of the coding sheets of CASME II (Yan et al., PLoS ONE 2014) and SAMM (Davison
    et al., IEEE TAFFC 2018): frames count from 1, the subject is the folder of a named clip, its file name has no
    suffix, and cells that nobody can fill from a report are empty.
    """
    if columns == "glimpse":
        return events_csv(reports)
    header, cells = _TABLES[columns]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for name, report in [("", reports)] if isinstance(reports, Report) else reports:
        writer.writerows(cells(name, event) for event in report.events)
    return text.getvalue()


def _casme2(name: str, event: Event) -> Sequence[str | int]:
    return (*_clip(name), *_frames(event), write_units(event.action_units), cell(class_text(event)))


def _samm(name: str, event: Event) -> Sequence[str | int]:
    units = event.action_units
    return (
        *_clip(name),
        "",
        *_frames(event),
        event.offset_frame - event.onset_frame + 1,
        _MICRO[event.kind],
        objective_class(frozenset(unit.au for unit in units)),
        write_units(units),
        cell(class_text(event)),
    )


def _clip(name: str) -> tuple[str, str]:
    path = PurePath(name)
    return cell(path.parent.name), cell(path.stem)


def _frames(event: Event) -> tuple[int, int, int]:
    return event.onset_frame + 1, event.apex_frame + 1, event.offset_frame + 1


_TABLES: Mapping[CsvColumns, tuple[Sequence[str], _Cells]] = {
    "casme2": (
        ("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"),
        _casme2,
    ),
    "samm": (
        (
            "Subject",
            "Filename",
            "Inducement Code",
            "Onset Frame",
            "Apex Frame",
            "Offset Frame",
            "Duration",
            "Micro",
            "Objective Classes",
            "Action Units",
            "Estimated Emotion",
        ),
        _samm,
    ),
}
