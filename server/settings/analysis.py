"""The settings of how clips are judged."""

from __future__ import annotations

from pydantic import Field

from server.settings.group import Group


class AnalysisSettings(Group):
    """How clips are judged."""

    min_face_coverage: float = Field(
        default=0.6, ge=0, le=1, description="Share of the frames that must show a face; below it the clip is refused."
    )
