"""The settings of a shadow model."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from server.settings.group import Group
from server.settings.mllm import MLLM


class ShadowSettings(Group):
    """A second model that answers the same requests, for metrics alone."""

    model: str = Field(
        default="", pattern=r"^([a-z0-9][a-z0-9_.-]{0,63})?$", description="Shadow model; empty for none."
    )
    share: float = Field(default=1.0, ge=0, le=1, description="Share of the requests that it sees.")
    deadline_seconds: float = Field(
        default=10.0, gt=0, le=600, description="Longest time from an answer to that of the shadow model."
    )
    queue: int = Field(default=16, ge=1, le=4096, description="Clips that may wait for it; one more is dropped.")
    extraction_seconds: float = Field(
        default=1.0, ge=0, le=60, description="Time of a worker, in one clip, for inputs that only it needs."
    )
    whole_movement: bool = Field(
        default=False,
        description="Whether answers may wait for inputs from other frames or another flow than theirs.",
    )

    @field_validator("model")
    @classmethod
    def _answers_here(cls, value: str) -> str:
        if value == MLLM:
            message = "sends pictures of faces away, so it must be asked for by name"
            raise PydanticCustomError("shadow_model", "{message}", {"message": message})
        return value
