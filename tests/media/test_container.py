"""Telling containers apart by content."""

from __future__ import annotations

import pytest

from server.errors import NoVideoStream, TooFewFrames, TruncatedMedia, UnreadableMedia, UnsupportedMedia
from server.media.container import announces_more, identify


def box(kind: bytes, body: bytes = b"") -> bytes:
    """An ISO base media box."""
    return (8 + len(body)).to_bytes(4) + kind + body


MOVIE = box(b"ftyp", b"isom\0\0\0\0") + box(b"moov", b"x" * 20)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (MOVIE + box(b"mdat", b"y" * 9), "mov"),
        (box(b"mdat", b"y") + box(b"moov"), "mov"),
        (MOVIE + (0).to_bytes(4) + b"mdat" + b"y" * 9, "mov"),
        (MOVIE + (1).to_bytes(4) + b"mdat" + (25).to_bytes(8) + b"y" * 9, "mov"),
        (MOVIE + b"appended by a camera", "mov"),
        (b"\x1a\x45\xdf\xa3" + b"\0" * 50, "matroska"),
        (b"RIFF\x20\0\0\0AVI LIST", "avi"),
        ((b"\x47" + b"\0" * 187) * 3, "mpegts"),
        ((b"\0\0\0\0\x47" + b"\0" * 187) * 3, "mpegts"),
    ],
)
def test_known_containers(data, expected):
    """Each accepted container is named by its first bytes."""
    assert identify(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        MOVIE + (100).to_bytes(4) + b"mdat" + b"y" * 9,
        MOVIE + (1).to_bytes(4) + b"mdat" + (2**40).to_bytes(8) + b"y" * 9,
        box(b"ftyp", b"isom\0\0\0\0") + box(b"mdat", b"y" * 50),
        MOVIE[:-1],
    ],
)
def test_cut_movies(data):
    """Boxes that end beyond the bytes, and a missing index, mean a cut file."""
    with pytest.raises(TruncatedMedia):
        identify(data)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"FLV\x01" + b"\0" * 20, UnsupportedMedia),
        (b"OggS" + b"\0" * 20, UnsupportedMedia),
        (b"YUV4MPEG2 W64 H64\n", UnsupportedMedia),
        (b"\n #EXTM3U\n", UnsupportedMedia),
        (b"fLaC" + b"\0" * 20, NoVideoStream),
        (b"ID3\x04" + b"\0" * 20, NoVideoStream),
        (b"GIF89a" + b"\0" * 20, UnsupportedMedia),
        (b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\x02" + b"\0" * 20, UnsupportedMedia),
        (b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\x10" + b"\0" * 20, TooFewFrames),
        (b"RIFF\x20\0\0\0WEBPVP8X", TooFewFrames),
        (b"\x89PNG\r\n", TooFewFrames),
        (box(b"ftyp", b"heic\0\0\0\0"), TooFewFrames),
        (b"G" + b"\0" * 600, UnreadableMedia),
        (b"RIFF\x20\0\0\0CDXA", UnreadableMedia),
    ],
)
def test_refusals(data, error):
    """What is known but not accepted is refused for its reason."""
    with pytest.raises(error):
        identify(data)


def test_avi_that_announces_more():
    """An AVI whose header counts more bytes than there are was cut; unknown lengths are no sign of it."""
    for announced, cut in ((100, True), (12, False), (0, False), (0xFFFFFFFF, False)):
        data = b"RIFF" + announced.to_bytes(4, "little") + b"AVI " + b"\0" * 8
        assert announces_more(data, "avi") is cut
    assert not announces_more(b"\x1a\x45\xdf\xa3" + b"\xff" * 8, "matroska")
