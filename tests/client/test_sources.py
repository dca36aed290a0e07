"""Where frames come from: arrays, cameras, files, pipes."""

import io
import subprocess
import threading
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client import FrameError, SourceError, frame_of
from client.feed import pulled
from client.sources import VideoFile, camera, jpegs, mjpeg, paced

GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4)
COLOUR = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


def jpeg(level=0, *options):
    return cv2.imencode(".jpg", np.full((16, 16, 3), level, np.uint8), list(options))[1].tobytes()


def with_thumbnail(data, thumbnail):
    """A JPEG that carries another one, as cameras write it."""
    return data[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + data[2:]


@pytest.mark.parametrize(("picture", "encoding"), [(GRAY, "gray8"), (COLOUR, "bgr8"), (COLOUR[:, ::-1], "bgr8")])
def test_arrays_are_raw_frames(picture, encoding):
    """Row by row without padding, views too."""
    frame = frame_of(picture, 7)
    assert (frame.encoding, frame.capture_us, frame.width, frame.height) == (encoding, 7, 4, 3)
    assert frame.data == np.ascontiguousarray(picture).tobytes()


@pytest.mark.parametrize("picture", [GRAY, COLOUR])
def test_arrays_are_jpegs_where_asked(picture):
    """With the size of the picture."""
    frame = frame_of(picture, 7, encode="jpeg")
    assert (frame.encoding, frame.width, frame.height) == ("jpeg", 4, 3)
    assert cv2.imdecode(np.frombuffer(frame.data, np.uint8), cv2.IMREAD_UNCHANGED).shape[:2] == (3, 4)


@pytest.mark.parametrize("picture", [GRAY.astype(np.float32), GRAY[None, None], COLOUR[..., :2], GRAY[:0]])
def test_other_arrays_are_refused(picture):
    """With what they are."""
    with pytest.raises(FrameError, match=r"a picture is uint8 \[H, W\] or \[H, W, 3\], not "):
        frame_of(picture, 0)


PICTURES = [
    jpeg(0),
    jpeg(200, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    jpeg(90, cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    with_thumbnail(jpeg(40), jpeg(50)),
]


@given(st.lists(st.sampled_from(PICTURES), max_size=6), st.lists(st.integers(1, 900), min_size=1, max_size=9))
def test_jpegs_are_told_apart_however_their_bytes_arrive(pictures, sizes):
    """Baseline, progressive, with restarts, with a thumbnail inside."""
    stream, pieces = b"".join(pictures), []
    while stream:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(stream[:size])
        stream = stream[size:]
    assert list(jpegs(pieces)) == pictures


def test_a_picture_is_there_with_its_last_byte():
    """The next one need not have begun."""

    def chunks():
        yield PICTURES[0]
        pytest.fail("more was read")

    assert next(jpegs(chunks())) == PICTURES[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GIF89a", "something else"),
        (PICTURES[0] + b"--frame", "something else"),
        (PICTURES[0][:-1], "cut off"),
        (b"\xff\xd8\xff", "cut off"),
        (b"\xff\xd8abcd", "where a marker should be"),
        (b"\xff\xd8\xff\xda\x00\x02" + bytes(33 << 20), "more than 33554432 bytes"),
    ],
)
def test_what_is_no_jpeg_ends_the_source(data, message):
    """With what is wrong; the pictures before it are given."""
    with pytest.raises(SourceError, match=message):
        list(jpegs([data]))


def test_a_pipe_of_ffmpeg_is_read(tmp_path):
    """The muxer that `ffmpeg -f mjpeg -` writes with; times follow from the rate."""
    path = tmp_path / "film.mjpeg"
    with av.open(str(path), "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for level in range(5):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * level, np.uint8), format="bgr24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as pipe:
        frames = list(mjpeg(pipe.stdout, rate=25.0))
    assert [frame.capture_us for frame in frames] == [0, 40_000, 80_000, 120_000, 160_000]
    levels = [cv2.imdecode(np.frombuffer(frame.data, np.uint8), cv2.IMREAD_GRAYSCALE).mean() for frame in frames]
    assert np.allclose(levels, [0, 40, 80, 120, 160], atol=3)


@pytest.fixture
def film(tmp_path):
    """Writes pictures at 0, 20, 60 and 70 ms whose left half is dark; they are to be shown turned by `rotation`."""

    def write(rotation=0):
        path = tmp_path / "film.mkv"
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:, 32:] = 255
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=50)
            stream.codec_context.time_base = Fraction(1, 1000)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
            if rotation:
                stream.set_display_rotation(rotation)
            for stamp in (0, 20, 60, 70):
                shown = av.VideoFrame.from_ndarray(picture, format="bgr24")
                shown.pts, shown.time_base = stamp, Fraction(1, 1000)
                container.mux(stream.encode(shown))
            container.mux(stream.encode(None))
        return path

    return write


def test_a_file_keeps_its_own_times(film):
    """Every frame once, also a second time through."""
    video = VideoFile(film(), encode="raw")
    first = list(video)
    assert [frame.capture_us for frame in first] == [0, 20_000, 60_000, 70_000]
    assert (first[0].encoding, first[0].width, first[0].height) == ("bgr8", 64, 48)
    shown = np.frombuffer(first[0].data, np.uint8).reshape(48, 64, 3)
    assert (shown[:, :32].max(), shown[:, 32:].min()) == (0, 255)
    assert len(list(video)) == 4
    assert next(iter(VideoFile(film(), encode="raw", gray=True))).encoding == "gray8"


def test_pictures_are_turned_upright(film):
    """Counter-clockwise, as players do: what was on the left is at the bottom."""
    frame = next(iter(VideoFile(film(90), encode="raw", gray=True)))
    shown = np.frombuffer(frame.data, np.uint8).reshape(frame.height, frame.width)
    assert shown.shape == (64, 48)
    assert (shown[:32].min(), shown[32:].max()) == (255, 0)


def test_a_file_that_is_no_video(tmp_path):
    """Its name and the reason."""
    path = tmp_path / "text.mp4"
    path.write_text("hello")
    for wrong in (path, tmp_path / "none.mp4"):
        with pytest.raises(SourceError, match=f"{wrong.name}: "):
            VideoFile(wrong)


def test_recorded_frames_come_at_their_times(film):
    """Counted from the first; one that is late comes at once."""
    now, slept = [100.0], []

    def sleep(seconds):
        slept.append(round(seconds, 6))
        now[0] += seconds

    frames = paced(VideoFile(film()), clock=lambda: now[0], sleep=sleep)
    next(frames)
    next(frames)
    now[0] += 0.045
    list(frames)
    assert slept == [0.02, 0.005]


class FakeCamera:
    """Two pictures, then none."""

    def __init__(self, index):
        self.opened, self.left, self.released, self.asked = index == 0, 2, False, {}

    def isOpened(self):
        return self.opened

    def set(self, name, value):
        self.asked[name] = value

    def read(self):
        self.left -= 1
        return self.left >= 0, COLOUR

    def release(self):
        self.released = True


def test_a_camera_gives_pictures_until_it_stops(monkeypatch):
    """With rising times; it is asked for the rate and size, and released."""
    cameras = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: cameras.append(FakeCamera(index)) or cameras[-1])
    frames = camera(0, rate=60.0, size=(640, 480), encode="raw", gray=True)
    first, second = next(frames), next(frames)
    assert first.capture_us <= second.capture_us
    assert (first.encoding, len(first.data)) == ("gray8", 12)
    with pytest.raises(SourceError, match="gives no more pictures"):
        next(frames)
    assert list(cameras[0].asked.values()) == [60.0, 640, 480]
    assert cameras[0].released
    with pytest.raises(SourceError, match="camera 7 cannot be opened"):
        next(camera(7))


async def test_a_source_that_blocks_is_left_behind():
    """Whoever wants no more frames does not wait for the next one."""
    blocked = threading.Event()

    def frames():
        yield 1
        blocked.wait()

    source = pulled(frames())
    assert await anext(source) == 1
    await source.aclose()
    blocked.set()


async def test_what_a_source_raises_comes_through():
    """After what it gave before, also where it never was iterable."""

    def frames():
        yield 1
        raise SourceError("gone")

    source = pulled(frames())
    assert await anext(source) == 1
    with pytest.raises(SourceError, match="gone"):
        await anext(source)
    assert [item async for item in pulled(io.BytesIO(b"a\nb\n"))] == [b"a\n", b"b\n"]
