"""What `glimpse analyze` draws of its only clip: `--plot` and `--annotate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from server.pipeline.base import OnProgress
from server.types import Report

if TYPE_CHECKING:
    from server.analysis import Analysis

_DRAWINGS = {".png": "report_png", ".svg": "report_svg", ".pdf": "report_pdf"}
_EXTRAS = "signals,pictures"


@dataclass(frozen=True, slots=True)
class Pictures:
    """Where the drawing and the annotated clip go, None where they were not asked for; events play `slow` times slower
    in the latter.
    """

    plot: Path | None
    annotate: Path | None
    slow: float

    def check(self, clips: int, detail: str) -> None:
        """Raise `typer.BadParameter` for what cannot be drawn of so many clips in such detail."""
        for name, path in (("--plot", self.plot), ("--annotate", self.annotate)):
            if path is not None and clips != 1:
                raise typer.BadParameter(f"{name} takes a single clip")
        if self.plot is not None and self.plot.suffix.lower() not in _DRAWINGS:
            raise typer.BadParameter(f"--plot writes {', '.join(_DRAWINGS)}")
        if self.annotate is not None and self.annotate.suffix.lower() != ".mp4":
            raise typer.BadParameter("--annotate writes .mp4")
        if self.annotate is not None and detail == "minimal":
            raise typer.BadParameter("--annotate shows the face, which --detail minimal leaves out")
        if self.slow != 1 and self.annotate is None:
            raise typer.BadParameter("--slow is for --annotate")

    def asked(self, options: Mapping[str, str]) -> dict[str, str]:
        """The options of the analysis, asking for all that is drawn."""
        if options.get("detail") == "minimal" or (self.plot is None and self.annotate is None):
            return dict(options)
        explained = {"explain": "true"} if self.plot is not None else {}
        return {**options, "include": _EXTRAS, **explained}

    async def write(self, analysis: Analysis, clip: bytes, report: Report, on_progress: OnProgress) -> None:
        """Draw. Raises any `GlimpseError`, and `OSError` where a file cannot be written."""
        if self.plot is not None:
            from server.report.render import documents

            draw: Callable[..., bytes] = getattr(documents, _DRAWINGS[self.plot.suffix.lower()])
            self.plot.write_bytes(draw(report, threshold=await analysis.threshold(report)))
        if self.annotate is not None:
            self.annotate.write_bytes(await analysis.annotate(clip, report, self.slow, on_progress))


def kept(report: Report, include: str) -> Report:
    """The report without what only the drawing asked for."""
    wanted = include.split(",")
    events = [
        event if "pictures" in wanted else replace(event, pictures=None, explanation=None) for event in report.events
    ]
    return replace(report, events=events, signals=report.signals if "signals" in wanted else ())
