"""The codecs that are decoded, and nothing else is."""

from __future__ import annotations

from collections.abc import Mapping

DECODERS: Mapping[str, str] = {
    "h264": "h264",
    "hevc": "hevc",
    "vp8": "vp8",
    "vp9": "vp9",
    "libdav1d": "av1",
    "mjpeg": "mjpeg",
    "mpeg4": "mpeg4",
    "ffv1": "ffv1",
    "prores": "prores",
    "rawvideo": "rawvideo",
}
"""By the name of libav's decoder, what everybody calls it."""
