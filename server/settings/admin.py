"""The settings of what operators alone may ask."""

from __future__ import annotations

from pydantic import Field

from server.settings.group import Group


class AdminSettings(Group):
    """Where operators ask for the state of the service and have it read its files anew; off without a port."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address of the calls of operators.")
    port: int | None = Field(
        default=None, ge=0, le=65535, description="Port of the calls of operators; none: off. 0 takes a free one."
    )
