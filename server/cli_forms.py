"""Forms in which `glimpse analyze` tells reports, beside the table for people."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import typer

from server import console
from server.types import CsvColumns, Report


@dataclass(frozen=True, slots=True)
class Forms:
    """What was asked for: one of JSON, JSON Lines and CSV on stdout, and a document for ELAN of the only clip."""

    json: bool = False
    csv: bool = False
    jsonl: bool = False
    columns: CsvColumns = "glimpse"
    eaf: Path | None = None

    def check(self, clips: int) -> None:
        """Raises `typer.BadParameter` for what cannot be asked for together, or of so many clips."""
        if self.json + self.csv + self.jsonl > 1:
            raise typer.BadParameter("choose one of --json, --jsonl and --csv")
        if self.columns != "glimpse" and not self.csv:
            raise typer.BadParameter("--columns belongs to --csv")
        if self.eaf is not None and clips != 1:
            raise typer.BadParameter("--eaf takes a single clip")

    @property
    def shown(self) -> str:
        """What is told of each clip as soon as it is known: `json`, `table` or nothing."""
        return "json" if self.json else "" if self.csv or self.jsonl else "table"

    def write(self, reports: Sequence[tuple[str, Report]]) -> None:
        """Tell what is told of all clips together, and write the document; `reports` are not empty."""
        if self.csv:
            from server.report.coder_tables import table_csv

            alone = len(reports) == 1 and self.columns == "glimpse"
            console.data(table_csv(reports[0][1] if alone else reports, self.columns))
        if self.jsonl:
            from server.report.json_lines import events_json_lines

            console.data(events_json_lines(reports))
        if self.eaf is not None:
            from server.report.elan import elan_document

            clip, report = reports[0]
            there = PurePath(os.path.relpath(clip, self.eaf.parent)).as_posix()
            self.eaf.write_bytes(elan_document(report, clip=there))
