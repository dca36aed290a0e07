"""The settings of what the service tells about itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from server.settings.group import Group


class TelemetrySettings(Group):
    """What the service tells about itself."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least severe record.")
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="One JSON object per line, or text; auto is text on a terminal, else JSON."
    )
