"""Reports as plain data and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from server.documents import report_dict
from server.report.names import cell
from server.types import Classification, Event, Report

OF_THE_EVENT = (
    "track_id",
    "kind",
    "onset_s",
    "apex_s",
    "offset_s",
    "onset_frame",
    "apex_frame",
    "offset_frame",
    "label",
    "confidence",
    "abstained",
)
"""What of an event fits a cell as it is."""


def as_dict(report: Report | Classification) -> dict[str, Any]:
    """The report as plain, JSON-able data."""
    return report_dict(report) if isinstance(report, Report) else asdict(report)


def events_csv(reports: Sequence[tuple[str, Report]] | Report) -> str:
    """The events as CSV with a header line; for several reports a first column `clip` tells them apart.

    Probabilities have a column per label, `action_units` is like `12 both 0.61; 6 left 0.40`: unit, side, intensity.
    Names that a spreadsheet would run as formulas begin with an apostrophe.
    """
    named = [("", reports)] if isinstance(reports, Report) else list(reports)
    first = () if isinstance(reports, Report) else ("clip",)
    labels = sorted({label for _, report in named for event in report.events for label in event.probabilities})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    chances = [f"p_{label}" for label in labels]
    writer.writerow([*first, *OF_THE_EVENT, *chances, "action_units", "evidence", "model", "version"])
    for name, report in named:
        for event in report.events:
            units = "; ".join(f"{a.au} {a.side} {a.intensity:.2f}" for a in event.action_units)
            writer.writerow(
                [
                    *((cell(name),) if first else ()),
                    *(_cell(event, column) for column in OF_THE_EVENT),
                    *(event.probabilities.get(label, "") for label in labels),
                    units,
                    event.evidence.grade,
                    cell(report.model.name),
                    cell(report.model.version),
                ]
            )
    return text.getvalue()


def _cell(event: Event, column: str) -> object:
    value = getattr(event, column)
    return cell(value) if isinstance(value, str) else value
