"""What a clip may cost, and the refusals that name the setting to change."""

from __future__ import annotations

import math
from dataclasses import dataclass

from server.errors import LimitExceeded

STAGE = "decode"


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """`clip_seconds` of presentation time, `clip_frames` pictures, `frame_pixels` width x height of one picture,
    `clip_pixels` of all that are decoded, shown or not, `index_entries` of each table in the index of a clip, `scans`
    of a JPEG.
    """

    clip_seconds: float
    clip_frames: int
    frame_pixels: int
    clip_pixels: float = math.inf
    index_entries: float = math.inf
    scans: float = math.inf

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

    def check_decoded(self, pixels: int) -> None:
        """Raise `LimitExceeded` for more than `clip_pixels` of all pictures together."""
        if pixels > self.clip_pixels:
            name = "GLIMPSE_LIMITS__CLIP_PIXELS"
            message = f"The pictures of the clip have more than {self.clip_pixels:.0f} pixels in all ({name})."
            raise LimitExceeded(message, setting=name, limit=self.clip_pixels, stage=STAGE)

    def check_entries(self, entries: int) -> None:
        """Raise `LimitExceeded` for a table of more than `index_entries`."""
        if entries > self.index_entries:
            name = "GLIMPSE_LIMITS__INDEX_ENTRIES"
            message = f"The index of the clip announces more than {self.index_entries:.0f} entries ({name})."
            raise LimitExceeded(message, setting=name, limit=self.index_entries, stage=STAGE)

    def check_scans(self, scans: int) -> None:
        """Raise `LimitExceeded` for a JPEG of more than `scans`, each of which costs a pass over the whole picture."""
        if scans > self.scans:
            name = "GLIMPSE_LIMITS__SCANS"
            message = f"The JPEG has more than {self.scans:.0f} scans ({name})."
            raise LimitExceeded(message, setting=name, limit=self.scans, stage=STAGE)
