"""What a clip may cost, and the refusals that name the setting to change."""

from __future__ import annotations

from dataclasses import dataclass

from server.errors import LimitExceeded

STAGE = "decode"


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """`clip_seconds` of presentation time, `clip_frames` pictures, `frame_pixels` width x height of one picture."""

    clip_seconds: float
    clip_frames: int
    frame_pixels: int

    @property
    def decoder_pixels(self) -> int:
        """The bound given to the decoder, which counts padded lines: twice `frame_pixels` and a margin for small ones.

        It stops a picture before memory is taken for it; the exact limit is `check_pixels`.
        """
        return 2 * self.frame_pixels + (1 << 16)

    def check_pixels(self, width: int, height: int) -> None:
        """Raise `LimitExceeded` for a picture of more than `frame_pixels`."""
        if width * height > self.frame_pixels:
            raise self.pixels_exceeded(f"Pictures of {width}x{height} have more than {self.frame_pixels} pixels")

    def pixels_exceeded(self, what: str) -> LimitExceeded:
        """The refusal of a picture that is too large; `what` is the finding."""
        name = "GLIMPSE_LIMITS__FRAME_PIXELS"
        return LimitExceeded(f"{what} ({name}).", setting=name, limit=self.frame_pixels, stage=STAGE)

    def check_seconds(self, seconds: float) -> None:
        """Raise `LimitExceeded` for presentation time beyond `clip_seconds`."""
        if seconds > self.clip_seconds:
            name = "GLIMPSE_LIMITS__CLIP_SECONDS"
            message = f"The clip is longer than {self.clip_seconds:g} s ({name})."
            raise LimitExceeded(message, setting=name, limit=self.clip_seconds, stage=STAGE)

    def check_frames(self, frames: int) -> None:
        """Raise `LimitExceeded` for more than `clip_frames`."""
        if frames > self.clip_frames:
            name = "GLIMPSE_LIMITS__CLIP_FRAMES"
            message = f"The clip has more than {self.clip_frames} frames ({name})."
            raise LimitExceeded(message, setting=name, limit=self.clip_frames, stage=STAGE)
