"""Pictures of a few bytes that would unfold to gigabytes, or to minutes."""

import resource
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import GlimpseError, LimitExceeded, UnreadableMedia
from server.media.decode import open_clip
from server.media.image import read_image, read_picture
from server.media.limits import MediaLimits

LIMITS = MediaLimits(60, 2000, 4096 * 2304, scans=64)
READERS = [read_image, read_picture]
UNFOLDED = 200_000_000
"""Bytes: more than any reader here may take."""


def chunk(kind, content=b""):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, rows, *extra, depth=8, colour=0, interlace=0):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    parts = chunk(b"IHDR", header), *extra, chunk(b"IDAT", rows), chunk(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture(scope="module")
def bomb():
    """Zeros that unfold to `UNFOLDED` bytes."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(10**6)) for _ in range(UNFOLDED // 10**6)) + packer.flush()


@pytest.fixture
def memory():
    """At the end, the process has never been much larger than before."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < UNFOLDED / 2


ROWS = zlib.compress(bytes(64 * 65))


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP", b"fdAT", b"eXIf"])
def test_what_is_beside_the_pixels_is_not_unfolded(read, kind, bomb, memory):
    """Texts, profiles and further pictures of an animation never reach the decoder."""
    name = b"k\0\0" if kind != b"iTXt" else b"k\0\1\0\0\0"
    animation = chunk(b"acTL", struct.pack(">II", 1000, 0))
    frame = read(png(64, 64, ROWS, animation, *[chunk(kind, name + bomb)] * 3), LIMITS)
    assert frame.luma.shape == (64, 64)


@pytest.mark.parametrize("read", READERS)
def test_rows_beyond_the_last_are_not_unfolded(read, bomb, memory):
    """The picture is the one that its header announces."""
    assert read(png(64, 64, bomb), LIMITS).luma.shape == (64, 64)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(("depth", "colour", "interlace"), [(16, 6, 0), (16, 6, 1), (1, 0, 1), (16, 2, 0), (8, 3, 1)])
def test_rows_that_are_missing_are_missed_before_memory_is_taken(read, depth, colour, interlace, memory):
    """A header of nine million pixels with next to nothing behind it."""
    for rows in (b"", zlib.compress(b""), zlib.compress(bytes(10_000)), b"junk"):
        with pytest.raises(UnreadableMedia):
            read(png(4096, 2304, rows, depth=depth, colour=colour, interlace=interlace), LIMITS)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (2**32 - 1, 1), (4097, 2304), (1, 4096 * 2304 + 1)])
def test_a_header_beyond_the_limit_is_enough(read, size):
    """Nothing is unfolded for it."""
    with pytest.raises(LimitExceeded, match="GLIMPSE_LIMITS__FRAME_PIXELS"):
        read(png(*size, ROWS), LIMITS)


@pytest.mark.parametrize("read", READERS)
def test_a_picture_of_very_many_parts_is_refused(read):
    """Chunks and segments without content, which cost only whoever walks over them; filling bytes cost nothing."""
    with pytest.raises(UnreadableMedia, match="parts"):
        read(png(64, 64, ROWS, chunk(b"tEXt") * 70_000), LIMITS)
    jpeg = cv2.imencode(".jpg", np.zeros((64, 64), np.uint8))[1].tobytes()
    with pytest.raises(UnreadableMedia, match="parts"):
        read(jpeg[:2] + b"\xff\xe1\0\2" * 5000 + jpeg[2:], LIMITS)
    assert read(jpeg[:2] + b"\xff" * 100_000 + jpeg[2:], LIMITS).luma.shape == (64, 64)


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize(
    ("depth", "colour"), [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 4), (16, 6)]
)
def test_every_kind_of_png_has_as_many_rows_as_it_needs(depth, colour, interlace):
    """Odd sizes and passes included: with one byte less it is damaged."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    sizes = [(13, 7)] if not interlace else [(2, 1), (2, 1), (4, 1), (3, 2), (7, 2), (6, 4), (13, 3)]
    rows = bytes(sum(height * (1 + (width * channels * depth + 7) // 8) for width, height in sizes))
    how = {"depth": depth, "colour": colour, "interlace": interlace}
    assert read_image(png(13, 7, zlib.compress(rows), **how), LIMITS).luma.shape == (7, 13)
    with pytest.raises(UnreadableMedia):
        read_image(png(13, 7, zlib.compress(rows[:-1]), **how), LIMITS)


def scans(count):
    """A progressive JPEG whose last scan comes again and again: a few hundred bytes for a pass over all of it."""
    picture = np.full((1024, 1024), 128, np.uint8)
    jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    first = jpeg.rfind(b"\xff\xda")
    return jpeg[:-2] + jpeg[first:-2] * count + b"\xff\xd9"


@pytest.mark.parametrize("read", READERS)
def test_scans_are_counted_before_they_are_decoded(read):
    """A thousand would take a minute; those that cameras write do not come near the limit."""
    with pytest.raises(LimitExceeded, match="GLIMPSE_LIMITS__SCANS") as refused:
        read(scans(1000), LIMITS)
    assert refused.value.details["limit"] == 64
    assert read(scans(0), LIMITS).luma.shape == (1024, 1024)


def test_scans_are_counted_in_clips(encode):
    """A clip of JPEG has pictures of many scans as well."""
    data = bytearray(encode("mjpeg", "avi", frames=3, pix_fmt="yuvj420p"))
    assert len(list(open_clip(bytes(data), MediaLimits(60, 2000, 1 << 20, scans=1)))) == 3
    place = data.rfind(b"\xff\xda") + 60
    data[place : place + 4] = b"\xff\xda\xff\xda"
    with pytest.raises(LimitExceeded, match="GLIMPSE_LIMITS__SCANS"):
        list(open_clip(bytes(data), MediaLimits(60, 2000, 1 << 20, scans=2)))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_png_is_read_or_refused(data):
    """Chunks in any order and of any content raise nothing but errors of the tree."""
    kinds = st.sampled_from([b"IDAT", b"PLTE", b"tRNS", b"IEND", b"iCCP", b"gAMA", b"acTL", b"cICP"])
    extra = [chunk(*each) for each in data.draw(st.lists(st.tuples(kinds, st.binary(max_size=40)), max_size=6))]
    size = data.draw(st.tuples(st.integers(0, 70), st.integers(0, 70)))
    how = {name: data.draw(st.integers(0, 17)) for name in ("depth", "colour", "interlace")}
    try:
        frame = read_image(png(*size, ROWS, *extra, **how), LIMITS)
    except GlimpseError:
        return
    assert frame.luma.shape == size[::-1]
