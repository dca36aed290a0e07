"""Pictures of live streams to frames."""

from itertools import product

import cv2
import numpy as np
import pytest

from server.errors import GlimpseError, LimitExceeded, OptionError
from server.media.image import read_image, read_picture
from server.media.limits import MediaLimits
from server.media.stream import read_frame
from server.streams import LiveFrame
from tests.media.test_image import exif, write

LIMITS = MediaLimits(1, 1, 1 << 16)
WIDTH, HEIGHT = 96, 64


@pytest.fixture(scope="module")
def rgb(picture):
    return np.asarray(picture(0, WIDTH, HEIGHT), np.uint8)


def _raw(pixels, encoding, width=WIDTH, height=HEIGHT):
    return LiveFrame(7, 123, encoding, pixels.tobytes(), width, height)


def test_every_encoding_gives_one_picture(rgb):
    """JPEG, PNG, grey and BGR of one picture have the same luma, studio range, and the index and time of the stream."""
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    pictures = [
        _raw(rgb[..., ::-1], "bgr8"),
        _raw(gray, "gray8"),
        LiveFrame(7, 123, "png", write(rgb, "png")),
        LiveFrame(7, 123, "jpeg", write(rgb, "jpeg")),
    ]
    frames = [read_frame(picture, 1.5, LIMITS) for picture in pictures]
    for frame, tolerance in zip(frames, (1, 1, 2, 12), strict=True):
        assert (frame.index, frame.time_s) == (7, 1.5)
        assert frame.luma.dtype == np.uint8
        assert np.abs(frame.luma - (16 + gray * (219 / 255))).max() <= tolerance
    assert np.array_equal(frames[0].rgb(), rgb)
    assert np.array_equal(frames[1].rgb(), np.repeat(gray[..., None], 3, axis=2))
    assert np.array_equal(frames[2].rgb(), rgb)


def test_jpeg_is_what_clips_of_it_would_be(rgb):
    """The luma of the fast way is within a level of that of stills and clips, upright as they are; colour is equal."""
    for orientation, size in product(range(1, 9), ((WIDTH, HEIGHT), (WIDTH + 1, HEIGHT - 3))):
        data = exif(write(rgb[: size[1], : size[0]], "jpeg"), "jpeg", orientation)
        fast, slow = read_picture(data, LIMITS), read_image(data, LIMITS)
        assert fast.luma.shape == slow.luma.shape
        assert np.abs(fast.luma.astype(int) - slow.luma).max() <= 1
        assert np.array_equal(fast.rgb(), slow.rgb())
        assert not fast.luma.flags.writeable


def test_a_grey_jpeg_is_read(rgb):
    """Cameras without colour send one component."""
    data = write(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), "jpeg")
    assert np.abs(read_picture(data, LIMITS).luma.astype(int) - read_image(data, LIMITS).luma).max() <= 1


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(WIDTH, HEIGHT, WIDTH * HEIGHT - 1), (0, 0, 0), (0, HEIGHT, 0), (-WIDTH, -HEIGHT, WIDTH * HEIGHT), (1, 1, 0)],
)
def test_raw_bytes_must_fit_their_size(width, height, size):
    """A raw picture whose bytes are not those of its size is refused, with both numbers."""
    with pytest.raises(OptionError, match=f"not {size}"):
        read_frame(LiveFrame(1, 0, "gray8", bytes(size), width, height), 0.0, LIMITS)


@pytest.mark.parametrize("encoding", ["gray8", "jpeg", "png"])
def test_too_large_is_refused_before_it_is_decoded(encoding):
    """The limit on pixels holds for each encoding, whatever bytes follow."""
    large = np.zeros((300, 300), np.uint8)
    data = b"" if encoding == "gray8" else write(large, encoding)
    with pytest.raises(LimitExceeded):
        read_frame(LiveFrame(1, 0, encoding, data, 300, 300), 0.0, LIMITS)


def test_damage_is_a_typed_error(rgb):
    """Any cut or altered JPEG or PNG is a frame of its stated size or an error of the tree, never anything else."""
    rng = np.random.default_rng(0)
    for kind in ("jpeg", "png"):
        whole = write(rgb, kind)
        for _ in range(150):
            data = bytearray(whole[: rng.integers(0, len(whole) + 1)] if rng.random() < 0.5 else whole)
            for position in rng.integers(0, len(data), 3) if data else ():
                data[position] = rng.integers(0, 256)
            try:
                frame = read_frame(LiveFrame(1, 0, kind, bytes(data)), 0.0, LIMITS)
            except GlimpseError:
                continue
            assert frame.luma.size <= LIMITS.frame_pixels


def test_the_header_alone_says_what_is_up(rgb):
    """Bytes of the scan that look like an orientation turn nothing, wherever the true one is."""
    data = write(rgb, "jpeg")
    block = exif(data, "jpeg", 6)[2 : 2 - len(data)]
    hidden = data[:-2] + block + data[-2:]
    for read in (read_image, read_picture):
        assert read(data[:2] + block + data[2:], LIMITS).luma.shape == (WIDTH, HEIGHT)
        assert read(hidden, LIMITS).luma.shape == (HEIGHT, WIDTH)
