"""Messages of a client: frames as binary, the end as text."""

from __future__ import annotations

import json
import struct

from server.api.ws.options import Pictures
from server.errors import OptionError
from server.streams import LiveFrame

HEADER = struct.Struct(">qq")
"""Before each picture, in the same message: `frame_index` and `capture_time_us`, both int64, big-endian."""
_LONGEST_TEXT = 1024


def live_frame(message: bytes, pictures: Pictures) -> LiveFrame:
    """One picture with its number and capture time. Raises `OptionError` where these are cut off: there is no number
    then under which it could be answered.
    """
    if len(message) < HEADER.size:
        text = f"a frame begins with {HEADER.size} bytes of frame_index and capture_time_us; this has {len(message)}"
        raise OptionError(text, option="frame", stage="live")
    index, capture_us = HEADER.unpack_from(message)
    data = message[HEADER.size :]
    return LiveFrame(index, capture_us, pictures.encoding, data, pictures.width, pictures.height)


def check_end(text: str) -> None:
    """Accept the one text message that there is. Raises `OptionError` for any other."""
    try:
        known = len(text) <= _LONGEST_TEXT and json.loads(text) == {"type": "end"}
    except (ValueError, RecursionError):
        known = False
    if not known:
        raise OptionError('the only text message is {"type":"end"}; frames are binary', option="type", stage="live")
