"""Options of a live stream in the query of its address, strictly typed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.api.rest.options import refusal
from server.api.rest.problems import option_error
from server.pipeline.base import MODEL_NAME, MODEL_VERSION, check_stream_options
from server.streams import BufferPolicy, FrameEncoding, StreamOptions
from server.types import Detail, EventKind, FaceChoice

_KINDS: tuple[EventKind, ...] = ("micro", "macro")
_RAW = ("gray8", "bgr8")
_DEFAULT = StreamOptions()


@dataclass(frozen=True, slots=True)
class Pictures:
    """What every frame of a stream holds; `width` and `height` in px, 0 where the picture itself says them."""

    encoding: FrameEncoding
    width: int
    height: int


class LiveParameters(BaseModel):
    """Options of `WS /v1/live`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str | None = Field(default=None, pattern=MODEL_NAME)
    version: str | None = Field(default=None, pattern=MODEL_VERSION)
    faces: FaceChoice = "largest"
    kinds: str = Field(default="micro,macro", pattern=r"^(micro|macro)(,(micro|macro))?$")
    policy: BufferPolicy = _DEFAULT.policy
    frame_rate: float = _DEFAULT.frame_rate
    clock_zero_us: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    motion: bool = _DEFAULT.motion
    detail: Detail = _DEFAULT.detail
    encoding: FrameEncoding = "jpeg"
    width: int = Field(default=0, ge=0, lt=2**16)
    height: int = Field(default=0, ge=0, lt=2**16)

    def options(self) -> StreamOptions:
        """The same without the protocol. Raises `OptionError`."""
        options = StreamOptions(
            model=self.model,
            version=self.version,
            faces=self.faces,
            kinds=frozenset(kind for kind in _KINDS if kind in self.kinds.split(",")),
            policy=self.policy,
            frame_rate=self.frame_rate,
            clock_zero_us=self.clock_zero_us,
            motion=self.motion,
            detail=self.detail,
        )
        check_stream_options(options)
        return options

    def pictures(self) -> Pictures:
        """How its frames are encoded. Raises `OptionError` for raw ones without a size, and for a size without them."""
        raw = self.encoding in _RAW
        if raw and not (self.width and self.height):
            raise option_error([("width", f"{self.encoding} needs width and height")])
        if not raw and (self.width or self.height):
            raise option_error([("width", "width and height belong to raw pictures, gray8 and bgr8")])
        return Pictures(self.encoding, self.width, self.height)


def parameters(query: Iterable[tuple[str, str]]) -> LiveParameters:
    """The options of a query. Raises `OptionError`, also for an option given twice."""
    given: dict[str, str] = {}
    for name, value in query:
        if name in given:
            raise option_error([(name, "given twice")])
        given[name] = value
    try:
        return LiveParameters.model_validate(given)
    except ValidationError as error:
        raise refusal(error) from None
