"""A clip that shows its face too rarely."""

from __future__ import annotations

from typing import Any

from server.errors import FaceLost
from server.pipeline.jobs import ClipFindings
from server.report.export import as_dict
from server.types import Report


def face_lost(found: ClipFindings, report: Report) -> FaceLost:
    """The refusal of a clip that shows its face too rarely, with the report of what was seen in its details."""
    details: dict[str, Any] = {
        "coverage": round(found.coverage, 4),
        "lost_at_s": round(found.last_face_s, 4),
        "setting": "GLIMPSE_ANALYSIS__MIN_FACE_COVERAGE",
        "report": as_dict(report),
    }
    return FaceLost(
        f"a face is in view in only {found.coverage:.0%} of the frames (last at {found.last_face_s:.2f} s); "
        "what was found until then is in `report`",
        stage="faces",
        **details,
    )
