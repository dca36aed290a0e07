"""What the header of a JPEG says, in bounded time whatever it holds (ITU-T T.81, annex B)."""

from __future__ import annotations

from collections.abc import Iterator

from server.errors import TruncatedMedia, UnreadableMedia
from server.media.limits import STAGE, MediaLimits
from server.types import Encoded

START = b"\xff\xd8\xff"
SCAN, END = b"\xff\xda", b"\xff\xd9"
_STARTS_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_MOST_SEGMENTS = 4096


def size(data: Encoded) -> tuple[int, int]:
    """Width and height, from the start of frame (section B.2.2).

    Raises `TruncatedMedia` for a header that ends early, `UnreadableMedia` for one that states no size.
    """
    position = 2
    for marker, start, end in _segments(data):
        position = start
        if marker in _STARTS_OF_FRAME:
            if start + 9 > len(data):
                break
            height, width = (int.from_bytes(data[at : at + 2]) for at in (start + 5, start + 7))
            return width, height
        if marker == SCAN[1]:
            raise UnreadableMedia("The JPEG states no size.", stage=STAGE)
        position = end
    if position + 4 > len(data) or data[position] == 0xFF:
        raise TruncatedMedia("The picture ends within its header.", stage=STAGE)
    raise UnreadableMedia("The JPEG states no size.", stage=STAGE)


def first_scan(data: Encoded) -> int:
    """Where the header ends and the scan begins, in which nothing has a meaning of its own."""
    end = 2
    for marker, start, stop in _segments(data):
        if marker == SCAN[1]:
            return start
        end = stop
    return end


def check_scans(data: Encoded, limits: MediaLimits) -> None:
    """Raise `LimitExceeded` for too many scans: a progressive picture may repeat one of a few bytes a thousand times,
    and each costs a pass over all coefficients. A scan's own bytes never look like the mark of another (section
    B.1.1.2).
    """
    limits.check_scans(data.count(SCAN, first_scan(data)))


def _segments(data: Encoded) -> Iterator[tuple[int, int, int]]:
    """Marker, beginning and end of each segment of the header, the first scan's last."""
    position = 2
    for _ in range(_MOST_SEGMENTS):
        if position + 4 > len(data) or data[position] != 0xFF:
            return
        # Any number of bytes may fill up the space before a marker (section B.1.1.2).
        marker_at = position + 1
        while marker_at < len(data) and data[marker_at] == 0xFF:
            run = data[marker_at : marker_at + 4096]
            marker_at += len(run) - len(run.lstrip(b"\xff"))
        start = marker_at - 1
        if start + 4 > len(data):
            yield -1, start, len(data)
            return
        marker = data[marker_at]
        bare = marker in _WITHOUT_LENGTH
        end = start + 2 + (0 if bare else int.from_bytes(data[start + 2 : start + 4]))
        yield marker, start, end
        if marker == SCAN[1]:
            return
        position = end
    message = f"The header of the JPEG has more than {_MOST_SEGMENTS} parts."
    raise UnreadableMedia(message, stage=STAGE)
