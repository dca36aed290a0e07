"""Still pictures."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import EmptyMedia, GlimpseError, LimitExceeded, TruncatedMedia, UnreadableMedia, UnsupportedMedia
from server.media.image import read_image
from server.media.limits import MediaLimits

LIMITS = MediaLimits(1, 1, 1 << 16)
FORMATS = {"jpeg": (".jpg", []), "png": (".png", []), "bmp": (".bmp", []), "webp-lossless": (".webp", [])}
FORMATS["webp"] = (".webp", [cv2.IMWRITE_WEBP_QUALITY, 90])


def write(rgb: np.ndarray, kind: str) -> bytes:
    """Encode uint8 RGB or grey."""
    ext, options = FORMATS[kind]
    return cv2.imencode(ext, rgb[..., ::-1] if rgb.ndim == 3 else rgb, options)[1].tobytes()


def exif(data: bytes, kind: str, orientation: int, order: str = ">") -> bytes:
    """Add an EXIF block with an orientation."""
    mark = b"MM\0*" if order == ">" else b"II*\0"
    tiff = mark + struct.pack(order + "I", 8) + struct.pack(order + "HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)
    if kind == "jpeg":
        block = b"Exif\0\0" + tiff
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]
    chunk = b"eXIf" + tiff
    return data[:33] + struct.pack(">I", len(tiff)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("size", [(96, 64), (97, 65)])
def test_formats(kind, size, picture):
    """Each format gives the picture, with luma in the studio range of clips."""
    expected = picture(0, *size)
    frame = read_image(memoryview(write(expected, kind)), LIMITS)
    assert (frame.index, frame.time_s) == (0, 0.0)
    luma = 16 + expected @ np.array([65.481, 128.553, 24.966]) / 255
    assert np.abs(frame.luma - luma).mean() < 2
    assert np.abs(frame.rgb().astype(int) - expected).mean() < 4


@pytest.mark.parametrize("kind", ["jpeg", "png", "bmp"])
def test_grey_pictures(kind):
    """Pictures without colour come on the same scale, and 16 bits become 8."""
    ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    variants = [ramp, ramp.astype(np.uint16) * 257] if kind == "png" else [ramp]
    for variant in variants:
        luma = read_image(write(variant, kind), LIMITS).luma
        assert np.abs(luma - (16 + ramp * (219 / 255))).max() <= 2


@pytest.mark.parametrize("kind", ["jpeg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_orientation(kind, orientation, order, picture):
    """Pictures are turned upright as the orientation says, and as another reader turns JPEG."""
    upright = picture(0, 96, 64)
    data = exif(write(upright, kind), kind, orientation, order)
    frame = read_image(data, LIMITS)
    turned = np.rot90(upright, {5: 1, 6: -1, 7: -1, 8: 1}.get(orientation, 0) + 2 * (orientation in (3, 4)))
    expected = turned[:, ::-1] if orientation in (2, 4) else turned[::-1] if orientation == 5 else turned
    expected = expected[::-1] if orientation == 7 else expected
    if kind == "jpeg":
        other = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert np.abs(other.astype(int) - expected).mean() < 3
    assert frame.luma.shape == expected.shape[:2]
    assert np.abs(frame.rgb().astype(int) - expected).mean() < 3


@pytest.mark.parametrize("kind", FORMATS)
def test_pixels_are_limited_by_the_header(kind):
    """A picture with too many pixels is refused by the setting's name, before it is decoded."""
    data = write(np.zeros((300, 300, 3), np.uint8), kind)
    with pytest.raises(LimitExceeded, match="GLIMPSE_LIMITS__FRAME_PIXELS"):
        read_image(data[:200], LIMITS)


def test_a_header_that_lies_is_caught_by_the_decoder():
    """A JPEG with a small and a large start of frame is refused, too."""
    small, large = (write(np.zeros((side, side, 3), np.uint8), "jpeg") for side in (16, 2000))
    start = small.index(b"\xff\xc0")
    length = struct.unpack(">H", small[start + 2 : start + 4])[0] + 2
    with pytest.raises(GlimpseError):
        read_image(large[:2] + small[start : start + length] + large[2:], LIMITS)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.25, 0.4, 0.8, 0.99])
def test_cut_pictures(kind, share, picture):
    """A picture that ends early is an error of one kind, not half a picture."""
    data = write(picture(0, 96, 64), kind)
    with pytest.raises(TruncatedMedia):
        read_image(data[: int(len(data) * share)], LIMITS)


def test_what_is_no_picture():
    """Nothing, text, and other formats are told apart."""
    with pytest.raises(EmptyMedia):
        read_image(b"", LIMITS)
    with pytest.raises(UnreadableMedia):
        read_image(b"hello", LIMITS)
    for other in (b"GIF89a" + b"\0" * 50, b"\0\0\0\x18ftypmif1", b"II*\0" + b"\0" * 50):
        with pytest.raises(UnsupportedMedia):
            read_image(other, LIMITS)


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(sorted(FORMATS)), data=st.data())
def test_broken_pictures_give_typed_errors(kind, data):
    """A picture with changed bytes is decoded or raises an error of the tree."""
    broken = bytearray(write(np.arange(48 * 32 * 3, dtype=np.uint8).reshape(32, 48, 3), kind))
    for _ in range(data.draw(st.integers(0, 8))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    try:
        frame = read_image(bytes(broken[: data.draw(st.integers(1, len(broken)))]), LIMITS)
    except GlimpseError:
        return
    assert frame.luma.size <= LIMITS.frame_pixels
