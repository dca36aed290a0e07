"""Events as flat rows, and as JSON Lines: one event a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from server.report.export import OF_THE_EVENT, as_dict
from server.types import Report

_MEMBERS = (*OF_THE_EVENT, "probabilities", "action_units", "regions")


def event_rows(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for each event of a report as plain data (`server.report.export.as_dict`)."""
    for event in report["events"]:
        yield {
            **{name: event[name] for name in _MEMBERS},
            "evidence_grade": event["evidence"]["grade"],
            "evidence_reasons": event["evidence"]["reasons"],
            "model": report["model"]["name"],
            "model_version": report["model"]["version"],
        }


def events_json_lines(reports: Sequence[tuple[str, Report]] | Report) -> str:
    """A line per event, with the members of the table of `glimpse batch`; those of named clips begin with `path`."""
    lines = []
    for name, report in [("", reports)] if isinstance(reports, Report) else reports:
        head = {"path": name} if name else {}
        lines += [json.dumps({**head, **row}, allow_nan=False) + "\n" for row in event_rows(as_dict(report))]
    return "".join(lines)
