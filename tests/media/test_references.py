"""Uploads that refer to something else: it is never touched, which a watched file and a watched port prove."""

from __future__ import annotations

import ctypes
import io
import os
import socket
import sys
from contextlib import contextmanager, suppress

import av
import cv2
import pytest

from server.errors import GlimpseError, MediaError, UnreadableMedia, UnsupportedMedia
from server.media import image
from server.media.decode import open_clip, probe
from server.media.image import read_image, read_picture
from server.media.limits import MediaLimits
from tests.media import hostile
from tests.media.hostile import CLIPS, FRAMES, IGNORED, PICTURES, TEXTS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a file is watched by inotify")
LIMITS = MediaLimits(clip_seconds=60, clip_frames=2000, frame_pixels=1 << 20)
_OPENED_OR_READ = 0x20 | 0x1


@contextmanager
def watched(folder):
    """A clip in that folder and an address; the list that is given as well names what was touched once it is left."""
    file = folder / "canary.mp4"
    file.write_bytes(hostile.movie())
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(watch, os.fsencode(folder), _OPENED_OR_READ) > 0
    touched = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        try:
            yield str(file), f"http://127.0.0.1:{listener.getsockname()[1]}", touched
            with suppress(BlockingIOError):
                listener.accept()[0].close()
                touched.append("address")
            with suppress(BlockingIOError):
                os.read(watch, 65536)
                touched.append("file")
        finally:
            os.close(watch)


def test_the_canaries_sing(tmp_path):
    """What follows would be noticed: libav, left to itself, opens both the file and the address of a script."""
    for script, what in (("file '{0}'", "file"), ("file '{1}/a.mp4'", "address")):
        with watched(tmp_path) as (path, address, touched):
            text = "ffconcat version 1.0\n" + script.format(path, address)
            options = {"safe": "0", "protocol_whitelist": "file,http,tcp", "timeout": "1"}
            with suppress(av.FFmpegError):
                av.open(
                    io.BytesIO(text.encode()), format="concat", options={**options, "rw_timeout": "50000"}, timeout=0.2
                )
        assert touched == [what]


@pytest.mark.parametrize("name", TEXTS)
def test_what_only_refers_is_refused(name, tmp_path):
    """Playlists, scripts, addresses and reference movies are no clips, and nothing they name is opened."""
    with watched(tmp_path) as (path, address, touched):
        data = TEXTS[name](path, address)
        for read in (lambda: list(open_clip(data, LIMITS)), lambda: probe(data, LIMITS)):
            with pytest.raises(MediaError):
                read()
    assert touched == []


@pytest.mark.parametrize(
    "name", ["hls", "hls-bom", "hls-after-blanks", "hls-then-movie", "dash", "concat", "smil", "pls"]
)
def test_who_sends_a_playlist_is_told_what_to_send(name):
    """The usual ones are named as what they are."""
    with pytest.raises(UnsupportedMedia, match="send the video itself"):
        open_clip(TEXTS[name]("/x", "http://x"), LIMITS)


@pytest.mark.parametrize("name", CLIPS)
def test_samples_elsewhere_stay_there(name, tmp_path):
    """A MOV whose samples are said to be at another place is read from its own bytes or not at all."""
    with watched(tmp_path) as (path, address, touched), suppress(GlimpseError):
        list(open_clip(CLIPS[name](path, address), LIMITS))
    assert touched == []


@pytest.mark.parametrize("name", IGNORED)
def test_what_lies_beside_the_video_is_ignored(name, tmp_path):
    """Subtitles, fonts, chapters, metadata, links, indices, and what is appended: all frames are decoded as ever."""
    with watched(tmp_path) as (path, address, touched):
        decoder = open_clip(IGNORED[name](path, address), LIMITS)
        frames = [frame.index for frame in decoder]
        again = [frame.index for frame in decoder.each_of([0, FRAMES - 1])]
    assert touched == []
    assert (frames, again) == (list(range(FRAMES)), [0, FRAMES - 1])


@pytest.mark.parametrize("name", PICTURES)
def test_other_pictures_reach_no_decoder(name, tmp_path, monkeypatch):
    """Only JPEG, PNG, BMP and WebP do, in pairs of pictures and in live streams."""

    def decode(*_, **__):
        raise AssertionError("decoded")

    monkeypatch.setattr(cv2, "imdecode", decode)
    monkeypatch.setattr(image.av.CodecContext, "create", decode)
    with watched(tmp_path) as (path, address, touched):
        data = PICTURES[name](path, address)
        for read in (read_image, read_picture):
            with pytest.raises((UnsupportedMedia, UnreadableMedia)):
                read(data, LIMITS)
    assert touched == []


@pytest.mark.parametrize("kind", [".jpg", ".png"])
def test_what_follows_a_picture_is_ignored(kind, tmp_path):
    """A picture with a playlist or a picture of another kind behind it is that picture."""
    with watched(tmp_path) as (path, address, touched):
        data = hostile.stripes(kind)
        for tail in (TEXTS["hls"](path, address), PICTURES["svg"](path, address), PICTURES["tiff"](path, address)):
            assert read_picture(data + tail, LIMITS).luma.shape == (64, 96)
    assert touched == []
