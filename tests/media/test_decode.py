"""Decoding of real clips, encoded by the tests themselves."""

from __future__ import annotations

import contextlib
import gc
import io
import weakref
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.errors import (
    EmptyMedia,
    GlimpseError,
    LimitExceeded,
    NoVideoStream,
    TooFewFrames,
    TruncatedMedia,
    UnreadableMedia,
    UnsupportedMedia,
)
from server.media import demux
from server.media.decode import ClipDecoder, open_clip, probe
from server.media.limits import MediaLimits
from server.media.pixels import Orientation, PixelReader


def frames_at(decoder: ClipDecoder, indices):
    """The frames of `each_of` by index, which come in order."""
    frames = list(decoder.each_of(indices))
    assert [frame.index for frame in frames] == sorted(set(indices))
    return {frame.index: frame for frame in frames}


CODECS = {
    "h264-b-frames": ("libx264", "mp4", {"options": {"bf": "3", "g": "8"}}, "h264"),
    "h264-open-gop": ("libx264", "mp4", {"options": {"x264-params": "open-gop=1:keyint=8:bframes=3"}}, "h264"),
    "h264-intra-refresh": ("libx264", "mp4", {"options": {"x264-params": "intra-refresh=1:keyint=8"}}, "h264"),
    "h264-10-bit": ("libx264", "mov", {"pix_fmt": "yuv420p10le"}, "h264"),
    "h264-transport": ("libx264", "mpegts", {}, "h264"),
    "h264-200fps": ("libx264", "mp4", {"fps": 200}, "h264"),
    "hevc": ("libx265", "mp4", {}, "hevc"),
    "hevc-matroska": ("libx265", "matroska", {"fps": 100}, "hevc"),
    "vp8-hidden-frames": (
        "libvpx",
        "webm",
        {"options": {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "10"}},
        "vp8",
    ),
    "vp9": ("libvpx-vp9", "webm", {"fps": 25, "options": {"g": "10", "deadline": "realtime"}}, "vp9"),
    "mjpeg": ("mjpeg", "avi", {"pix_fmt": "yuvj420p", "options": {"qmin": "2", "qmax": "2"}}, "mjpeg"),
    "mpeg4": ("mpeg4", "avi", {"options": {"bf": "2", "qmin": "2", "qmax": "3"}}, "mpeg4"),
    "ffv1": ("ffv1", "matroska", {}, "ffv1"),
    "prores": ("prores_ks", "mov", {"pix_fmt": "yuv422p10le"}, "prores"),
    "raw-bottom-up-bgr": ("rawvideo", "avi", {"pix_fmt": "bgr24"}, "rawvideo"),
    "raw-gray": ("rawvideo", "avi", {"pix_fmt": "gray"}, "rawvideo"),
}
SEEKABLE = [name for name, (_, container, _, _) in CODECS.items() if container in {"mp4", "mov", "webm", "matroska"}]


def studio_luma(rgb):
    """BT.601 luma, 16..235, of uint8 RGB."""
    return 16 + rgb @ np.array([65.481, 128.553, 24.966]) / 255


@pytest.fixture(scope="module")
def clip(encode):
    """Each codec's clip of 30 frames, encoded once."""
    made = {}

    def get(name):
        if name not in made:
            codec, container, options, _ = CODECS[name]
            made[name] = encode(codec, container, **options)
        return made[name]

    return get


@pytest.mark.parametrize("name", CODECS)
def test_every_codec_gives_its_frames_in_order(name, clip, limits, picture):
    """All frames come in order, with their content upright, and the clip's facts are right."""
    fps = CODECS[name][2].get("fps", 30)
    decoder = open_clip(clip(name), limits)
    coloured = CODECS[name][2].get("pix_fmt") != "gray"
    for seen, frame in enumerate(decoder):
        expected = picture(frame.index, 96, 64)
        assert frame.index == seen
        assert frame.time_s == pytest.approx(seen / fps, abs=6e-4)
        assert frame.luma.dtype == np.uint8
        assert not frame.luma.flags.writeable
        assert np.abs(frame.luma - studio_luma(expected)).mean() < 4
        assert np.abs(frame.rgb().astype(int) - expected).mean() < (8 if coloured else 60)
    info = decoder.info
    assert (info.frames, info.width, info.height, info.codec) == (30, 96, 64, CODECS[name][3])
    assert info.fps == pytest.approx(fps, rel=0.02)
    assert info.duration_s == pytest.approx(30 / fps, abs=2e-3)
    assert decoder.warnings == ()


@pytest.mark.parametrize("name", CODECS)
def test_frames_fetched_again_are_identical(name, clip, limits):
    """Frames fetched by index, after the pass or without one, equal those of the pass bit for bit."""
    decoder = open_clip(clip(name), limits)
    forward = list(decoder)
    for again in (frames_at(decoder, [25, 3, 11, 11, 29]), frames_at(open_clip(clip(name), limits), [25, 3, 11, 29])):
        assert sorted(again) == [3, 11, 25, 29]
        for index, frame in again.items():
            assert frame.index == index
            assert frame.time_s == forward[index].time_s
            assert np.array_equal(frame.luma, forward[index].luma)
            assert np.array_equal(frame.rgb(), forward[index].rgb())


@pytest.mark.parametrize("name", SEEKABLE)
def test_every_single_frame_is_exact_after_a_seek(name, clip, limits):
    """Whichever frame is asked for, the one after the seek is the one of the pass."""
    decoder = open_clip(clip(name), limits)
    forward = list(decoder)
    for index in range(0, 30, 3):
        assert np.array_equal(frames_at(decoder, [index])[index].luma, forward[index].luma)


def test_seeking_decodes_less(clip, limits, monkeypatch):
    """A late frame costs its group of pictures, not the whole clip before it."""
    decoder = open_clip(clip("h264-b-frames"), limits)
    list(decoder)
    packets = []
    original = demux.Source._decode
    monkeypatch.setattr(demux.Source, "_decode", lambda self, packet: packets.append(packet) or original(self, packet))
    frames_at(decoder, [27])
    assert 0 < len(packets) < 12


def test_unknown_frame_is_an_index_error(clip, limits):
    """A frame that the clip does not have is the caller's mistake."""
    for wrong in (30, -1):
        with pytest.raises(IndexError):
            frames_at(open_clip(clip("ffv1"), limits), [wrong])


def test_frames_stay_valid_while_later_ones_are_decoded(clip, limits):
    """A held frame does not change, and colour can be read from it after the pass."""
    copies, held = [], []
    for frame in open_clip(clip("h264-b-frames"), limits):
        copies.append(frame.luma.copy())
        held.append(frame)
    assert all(np.array_equal(frame.luma, copy) for frame, copy in zip(held, copies, strict=True))
    assert np.abs(held[0].rgb().astype(int) - held[29].rgb()).max() > 10


def test_frames_are_released(encode, limits):
    """At any moment of a long pass only the current frame and the decoder's own are alive."""
    alive: list[weakref.ref] = []
    most = 0
    for frame in open_clip(encode(frames=200, size=(64, 48)), limits):
        alive.append(weakref.ref(frame.luma))
        alive = [reference for reference in alive if reference() is not None]
        most = max(most, len(alive))
    gc.collect()
    assert most <= 2


def test_the_pass_is_lazy(clip, limits, monkeypatch):
    """The first frame is there before the last is decoded."""
    packets = []
    original = demux.Source._decode
    monkeypatch.setattr(demux.Source, "_decode", lambda self, packet: packets.append(packet) or original(self, packet))
    frames = iter(open_clip(clip("h264-b-frames"), limits))
    assert next(frames).index == 0
    assert len(packets) < 12
    frames.close()


def test_memoryview_is_read_like_bytes(clip, limits):
    """A clip may be a view into a larger buffer."""
    data = clip("vp9")
    view = memoryview(b"head" + data + b"tail")[4:-4]
    assert len(list(open_clip(view, limits))) == 30


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_variable_frame_rate(container, encode, limits):
    """Times come from the time stamps, and frame rate from their median gap."""
    stamps = [0, 40, 80, 81, 200, 240, 280, 320, 1000, 1040]
    data = encode(container=container, frames=10, times=stamps, time_base=Fraction(1, 1000), options={"bf": "2"})
    decoder = open_clip(data, limits)
    forward = list(decoder)
    assert [frame.time_s for frame in forward] == pytest.approx([stamp / 1000 for stamp in stamps], abs=6e-4)
    assert decoder.info.fps == pytest.approx(25, rel=0.01)
    assert np.array_equal(frames_at(decoder, [8])[8].luma, forward[8].luma)


def test_first_time_stamp_may_be_anything(encode, limits):
    """Times start at 0 even if the container's do not."""
    for offset in (-7, 500):
        data = encode(container="matroska", frames=5, times=[offset + index for index in range(5)], fps=25)
        assert [frame.time_s for frame in open_clip(data, limits)] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])


def with_matrix(data: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """An MP4 whose track header says x' = a x + c y, y' = b x + d y (ISO/IEC 14496-12, section 8.3.2)."""
    start = data.index(b"tkhd") + 4 + 40
    matrix = b"".join((65536 * value).to_bytes(4, signed=True) for value in (a, b, 0, c, d, 0, 0, 0))
    return data[:start] + matrix + data[start + 32 :]


@pytest.mark.parametrize(
    "matrix",
    [
        (1, 0, 0, 1),
        (-1, 0, 0, 1),
        (1, 0, 0, -1),
        (-1, 0, 0, -1),
        (0, 1, 1, 0),
        (0, 1, -1, 0),
        (0, -1, 1, 0),
        (0, -1, -1, 0),
    ],
)
def test_pictures_are_upright(matrix, clip, limits):
    """Every turn and mirroring of the display matrix is applied to luma, colour and the clip's size."""
    plain = next(iter(open_clip(clip("h264-b-frames"), limits)))
    turned = with_matrix(clip("h264-b-frames"), *matrix)
    decoder = open_clip(turned, limits)
    frame, *_ = decoder
    a, b, c, d = matrix
    y, x = np.mgrid[:64, :96]
    column, row = a * x + c * y, b * x + d * y
    for image, original in ((frame.luma, plain.luma), (frame.rgb(), plain.rgb())):
        assert image.shape[:2] == ((64, 96) if a else (96, 64))
        assert np.array_equal(image[row - row.min(), column - column.min()], original)
    assert frame.luma.flags.c_contiguous or matrix == (1, 0, 0, 1)
    assert (decoder.info.width, decoder.info.height) == (probe(turned, limits).width, probe(turned, limits).height)
    assert decoder.info.width == (96 if a else 64)


def test_phone_videos_are_upright(encode, limits):
    """A rotation written by a muxer is applied counter-clockwise, as players do."""
    plain = next(iter(open_clip(encode("ffv1", "matroska", frames=2), limits)))
    frame, *_ = open_clip(encode("ffv1", "matroska", frames=2, rotation=90), limits)
    assert np.abs(frame.luma.astype(int) - np.rot90(plain.luma)).mean() < 0.5


def ramp(index: int, width: int, height: int) -> np.ndarray:
    """Grey levels 0..255 from left to right, a little darker in later frames."""
    row = np.clip(np.linspace(0, 255, width).round() - index, 0, 255)
    return np.repeat(np.tile(row, (height, 1))[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("codec", "container", "pix_fmt", "color_range"),
    [
        ("ffv1", "matroska", "yuv420p", None),
        ("ffv1", "matroska", "yuv444p", 2),
        ("ffv1", "matroska", "yuv420p10le", None),
        ("ffv1", "matroska", "yuv422p12le", None),
        ("ffv1", "matroska", "gray", None),
        ("ffv1", "matroska", "gray16le", None),
        ("ffv1", "matroska", "bgr0", None),
        ("ffv1", "matroska", "gbrp10le", None),
        ("libx264", "mp4", "yuvj420p", None),
        ("rawvideo", "avi", "bgr24", None),
        ("mjpeg", "avi", "yuvj444p", None),
    ],
)
def test_luma_has_one_scale(codec, container, pix_fmt, color_range, encode, limits):
    """Black is 16 and white is 235 however the picture is coded, in odd sizes too."""
    options = {"options": {"qp": "0"}} if codec == "libx264" else {}
    data = encode(
        codec,
        container,
        frames=2,
        size=(258, 18),
        pix_fmt=pix_fmt,
        color_range=color_range,
        picture=ramp,
        **options,
    )
    frame = next(iter(open_clip(data, limits)))
    assert np.abs(frame.luma - studio_luma(ramp(0, 258, 18))).max() <= 3
    assert np.abs(frame.rgb().astype(int) - ramp(0, 258, 18)).max() <= 4


@pytest.mark.parametrize("colorspace", range(18))
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le"])
def test_any_colour_matrix_is_read(colorspace, pix_fmt):
    """Luma and colour come out whatever matrix a picture names, reserved ones included."""
    frame = av.VideoFrame.from_ndarray(ramp(0, 258, 18), format="rgb24").reformat(format=pix_fmt, threads=1)
    frame.colorspace = colorspace
    reader = PixelReader(Orientation())
    assert np.abs(reader.luma(frame) - studio_luma(ramp(0, 258, 18))).max() <= 3
    assert reader.rgb(frame).shape == (18, 258, 3)


def test_odd_sizes(encode, limits):
    """Widths and heights need not be even."""
    frame = next(iter(open_clip(encode("ffv1", "matroska", frames=2, size=(97, 65)), limits)))
    assert frame.luma.shape == (65, 97)
    assert frame.rgb().shape == (65, 97, 3)


def test_palettes():
    """Pictures with a palette come on the same scale."""
    pixels = np.tile(np.arange(64, dtype=np.uint8), (48, 1))
    palette = np.stack([np.full(256, 255), *[np.arange(256)] * 3], axis=1).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray((pixels, palette), format="pal8")
    luma = PixelReader(Orientation()).luma(frame)
    assert np.abs(luma[0] - (16 + np.arange(64) * 219 / 255)).max() <= 1


def mjpeg_avi(sizes: list[tuple[int, int]]) -> bytes:
    """An AVI whose JPEG pictures have the given sizes."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="avi") as output:
        stream = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height = sizes[0]
        stream.pix_fmt = "yuvj420p"
        for index, (width, height) in enumerate(sizes):
            grey = np.full((height, width, 3), 100 + index, np.uint8)
            packet = av.Packet(cv2.imencode(".jpg", grey)[1].tobytes())
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, 25)
            packet.is_keyframe = True
            output.mux(packet)
    return buffer.getvalue()


def test_resolution_change_is_scaled(limits):
    """Frames of another size midway are brought to the first size, with a warning."""
    decoder = open_clip(mjpeg_avi([(64, 48)] * 2 + [(128, 96)] * 2), limits)
    frames = list(decoder)
    assert {frame.luma.shape for frame in frames} == {(48, 64)}
    assert frames[3].rgb().shape == (48, 64, 3)
    assert [warning.code for warning in decoder.warnings] == ["resolution-changed"]


@pytest.mark.parametrize("large", [(128, 96), (2000, 1500)])
def test_resolution_change_beyond_the_limit_is_refused(large):
    """A picture midway that passes the limit is refused by name, however large it is."""
    with pytest.raises(LimitExceeded, match="GLIMPSE_LIMITS__FRAME_PIXELS"):
        list(open_clip(mjpeg_avi([(64, 48)] * 2 + [large] * 2), MediaLimits(60, 2000, 64 * 48)))


@pytest.mark.parametrize("name", ["h264-b-frames", "vp9", "mjpeg", "raw-gray", "ffv1", "h264-transport", "prores"])
@pytest.mark.parametrize("pixels", [96 * 64 - 1, 10])
def test_frame_pixels_are_limited_before_decoding(name, pixels, encode):
    """A clip with too large pictures is refused by the setting's name before its first frame."""
    codec, container, options, _ = CODECS[name]
    size = (96, 64) if pixels > 10 else (640, 480)
    data = encode(codec, container, **{**options, "frames": 3, "size": size})
    with pytest.raises(LimitExceeded, match="GLIMPSE_LIMITS__FRAME_PIXELS") as caught:
        next(iter(open_clip(data, MediaLimits(60, 2000, pixels))))
    assert caught.value.details == {"setting": "GLIMPSE_LIMITS__FRAME_PIXELS", "limit": pixels}


@pytest.mark.parametrize("name", ["h264-b-frames", "vp9", "mjpeg", "h264-transport"])
def test_seconds_and_frames_are_limited(name, clip):
    """A clip that is too long or has too many frames is refused by the setting's name."""
    with pytest.raises(LimitExceeded, match="GLIMPSE_LIMITS__CLIP_SECONDS"):
        list(open_clip(clip(name), MediaLimits(0.5, 2000, 1 << 20)))
    with pytest.raises(LimitExceeded, match="GLIMPSE_LIMITS__CLIP_FRAMES"):
        list(open_clip(clip(name), MediaLimits(60, 20, 1 << 20)))
    assert len(list(open_clip(clip(name), MediaLimits(1.2, 30, 96 * 64)))) == 30


@pytest.mark.parametrize(("codec", "container"), [("libx264", "matroska"), ("libvpx", "webm"), ("libx264", "mpegts")])
def test_length_is_refused_before_anything_is_decoded(codec, container, encode, monkeypatch):
    """Packets are counted where the header tells no number of frames; exactly the limit is still taken."""
    options = {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime"} if codec == "libvpx" else {}
    data = encode(codec, container, frames=60, fps=20, options=options)
    assert len(list(open_clip(data, MediaLimits(3, 60, 1 << 20)))) == 60
    monkeypatch.setattr(demux.Source, "_decode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(LimitExceeded, match="GLIMPSE_LIMITS__CLIP_FRAMES"):
        list(open_clip(data, MediaLimits(3, 59, 1 << 20)))
    with pytest.raises(LimitExceeded, match="GLIMPSE_LIMITS__CLIP_SECONDS"):
        list(open_clip(data, MediaLimits(2.5, 60, 1 << 20)))


def test_pictures_that_are_not_shown_do_not_count(encode):
    """VP8 may send pictures that others only lean on; they are no frames."""
    buffer = io.BytesIO()
    with (
        av.open(io.BytesIO(encode("libvpx", "webm", frames=10))) as clip,
        av.open(buffer, "w", format="webm") as output,
    ):
        stream = output.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            for hidden in (True, False) if packet.size and not packet.is_keyframe else (False,) * bool(packet.size):
                copy = av.Packet(bytes([packet_head(packet, hidden=hidden)]) + bytes(packet)[1:])
                copy.pts, copy.dts, copy.time_base = packet.pts - hidden, packet.pts - hidden, packet.time_base
                copy.stream = stream
                output.mux(copy)
    assert len(list(open_clip(buffer.getvalue(), MediaLimits(60, 10, 1 << 20)))) == 10


def packet_head(packet, *, hidden):
    """The first byte of a VP8 picture, shown or not."""
    return bytes(packet)[0] & ~0x10 if hidden else bytes(packet)[0]


def test_empty(limits):
    """Zero bytes are told apart from bytes that are no clip."""
    with pytest.raises(EmptyMedia):
        open_clip(b"", limits)


@pytest.mark.parametrize(
    "data",
    [b"just text", b"<!doctype html><html></html>", b'{"a": 1}', b"\0" * 5000, bytes(range(256)) * 20, b"\x1a"],
    ids=["text", "html", "json", "zeros", "bytes", "one-byte"],
)
def test_no_media(data, limits):
    """Bytes that are no media at all are unreadable."""
    with pytest.raises(UnreadableMedia):
        list(open_clip(data, limits))


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}, {"movflags": "frag_keyframe+empty_moov"}])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_cut_mp4(options, share, encode, limits, tmp_path):
    """An MP4 that ends early is reported as cut off, wherever its index lies."""
    data = encode(frames=60, container_options=options, options={"g": "20"}, path=tmp_path / "clip.mp4")
    with pytest.raises(TruncatedMedia):
        list(open_clip(data[: int(len(data) * share)], limits))


@pytest.mark.parametrize("name", ["vp9", "mjpeg", "mpeg4", "ffv1"])
def test_cut_stream_is_analysed_with_a_warning(name, encode, limits):
    """A WebM, Matroska or AVI that ends early gives the frames that came, and says so."""
    codec, container, options, _ = CODECS[name]
    data = encode(codec, container, **options, size=(320, 240))
    decoder = open_clip(data[: int(len(data) * 0.5)], limits)
    assert 2 <= len(list(decoder)) < 30
    assert "clip-truncated" in [warning.code for warning in decoder.warnings]


def sound(container: str, codec: str) -> bytes:
    """A file with sound only."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), format="s16", layout="mono")
        frame.rate, frame.pts = 16000, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize(("container", "codec"), [("mp4", "aac"), ("matroska", "aac"), ("wav", "pcm_s16le")])
def test_sound_only(container, codec, limits):
    """A file without video says so."""
    with pytest.raises(NoVideoStream):
        list(open_clip(sound(container, codec), limits))


@pytest.mark.parametrize(
    ("codec", "container", "pix_fmt"),
    [("mpeg2video", "matroska", "yuv420p"), ("flv1", "flv", "yuv420p"), ("mpeg1video", "mpeg", "yuv420p")],
)
def test_codecs_and_containers_beside_the_list(codec, container, pix_fmt, encode, limits):
    """What is not on the allow-list is refused, though libav could read it."""
    with pytest.raises(UnsupportedMedia):
        list(open_clip(encode(codec, container, pix_fmt=pix_fmt, frames=5, fps=25), limits))


def test_encrypted(encode, limits):
    """An encrypted MP4 is named as such."""
    data = encode(
        frames=5,
        container_options={
            "encryption_scheme": "cenc-aes-ctr",
            "encryption_key": "00112233445566778899aabbccddeeff",
            "encryption_kid": "00112233445566778899aabbccddeeff",
        },
    )
    with pytest.raises(UnsupportedMedia, match="encrypted"):
        list(open_clip(data, limits))


@pytest.mark.parametrize("ext", [".jpg", ".png", ".bmp", ".webp"])
def test_still_picture_is_no_clip(ext, limits):
    """A picture sent as a clip has too few frames."""
    with pytest.raises(TooFewFrames):
        open_clip(cv2.imencode(ext, np.zeros((32, 32, 3), np.uint8))[1].tobytes(), limits)


@pytest.mark.parametrize(("codec", "muxer", "pix_fmt"), [("gif", "gif", "rgb8"), ("apng", "apng", "rgb24")])
def test_animated_pictures_are_to_be_converted(codec, muxer, pix_fmt, encode, limits):
    """They do move, so the advice is not about the number of frames."""
    data = encode(codec, muxer, frames=5, pix_fmt=pix_fmt)
    with pytest.raises(UnsupportedMedia, match="convert the animation to MP4"):
        open_clip(data, limits)


def test_one_frame_is_no_clip(encode, limits):
    """Motion needs two frames."""
    with pytest.raises(TooFewFrames):
        list(open_clip(encode(frames=1), limits))
    assert len(list(open_clip(encode(frames=2), limits))) == 2


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXTINF:1,\nfile://{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{}'\n",
        "<?xml version='1.0'?>\n<MPD><BaseURL>file://{}</BaseURL></MPD>",
    ],
    ids=["hls", "concat", "dash"],
)
def test_playlists_are_refused(text, encode, limits, tmp_path):
    """A script that names another file is refused and the file stays closed."""
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(encode(frames=3))
    with pytest.raises(UnsupportedMedia):
        list(open_clip(text.format(secret).encode(), limits))


def with_external_reference(data: bytes, path: str) -> bytes:
    """An MP4, index last, whose samples are said to lie in another file (QuickTime alias, kinds 2 and 18)."""
    folder = path.rsplit("/", 1)[0].encode()
    alias = bytearray(150)
    alias[8] = 0
    alias += (18).to_bytes(2) + len(path).to_bytes(2) + path.encode() + b"\0" * (len(path) % 2)
    alias += (2).to_bytes(2) + len(path).to_bytes(2) + path.encode() + b"\0" * (len(path) % 2)
    alias += (0).to_bytes(2) + len(folder).to_bytes(2) + folder + b"\0" * (len(folder) % 2) + b"\xff\xff\0\0"
    entry = (12 + len(alias)).to_bytes(4) + b"alis" + bytes(4) + bytes(alias)
    old = data.index(b"url \0\0\0\1") - 4
    result = bytearray(data[:old] + entry + data[old + 12 :])
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        start = result.index(kind) - 4
        size = int.from_bytes(result[start : start + 4]) + len(entry) - 12
        result[start : start + 4] = size.to_bytes(4)
    return bytes(result)


def test_references_to_other_files_are_not_followed(encode, limits, tmp_path, monkeypatch):
    """A MOV whose samples are said to lie elsewhere opens nothing, though libav would."""
    target = tmp_path / "other.mp4"
    target.write_bytes(encode(frames=3))
    data = with_external_reference(encode(container="mov", frames=3), str(target))
    opened: list[str] = []

    def record(url, flags, options):
        opened.append(url)
        raise PermissionError

    with pytest.raises(PermissionError):
        av.open(io.BytesIO(data), options={"enable_drefs": "1", "use_absolute_path": "1"}, io_open=record)
    assert opened == [str(target)]
    opened.clear()
    monkeypatch.setattr(demux, "_refuse_to_open", record)
    with contextlib.suppress(GlimpseError):
        list(open_clip(data, limits))
    assert opened == []


def test_damaged_frames_are_left_out(encode, limits):
    """Packets that cannot be decoded, or only with smears, are left out and reported."""
    data = bytearray(encode(frames=60, options={"g": "60", "bf": "0", "crf": "10"}, size=(192, 128)))
    start = data.index(b"mdat") + 3000
    for position in range(start, start + 6000, 7):
        data[position] ^= 0x55
    decoder = open_clip(bytes(data), limits)
    frames = list(decoder)
    assert len(frames) < 60
    assert [warning.code for warning in decoder.warnings] == ["frames-corrupt"]
    times = [frame.time_s for frame in frames]
    assert times == sorted(set(times))
    assert [frame.index for frame in frames] == list(range(len(frames)))
    again = frames_at(decoder, [len(frames) - 1])
    assert np.array_equal(again[len(frames) - 1].luma, frames[-1].luma)


def test_probe_reads_the_header(clip, limits):
    """Facts of the header come without decoding the clip."""
    info = probe(clip("h264-200fps"), limits)
    assert (info.frames, info.fps, info.width, info.height, info.codec) == (30, 200, 96, 64, "h264")
    assert info.duration_s == pytest.approx(0.15)


def decode_all(data: bytes) -> int:
    """Frames of a clip that may be broken in any way."""
    try:
        return len(list(open_clip(data, MediaLimits(20, 500, 1 << 18))))
    except GlimpseError:
        return -1


FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(
    head=st.sampled_from([b"", b"\0\0\0\x18ftypisom", b"\x1a\x45\xdf\xa3", b"RIFF\0\0\0\0AVI ", b"G" * 400]),
    rest=st.binary(max_size=600),
)
def test_random_bytes_give_typed_errors(head, rest):
    """Noise, with or without a container's signature, raises nothing but errors of the tree."""
    assert decode_all(head + rest) <= 500


@pytest.mark.parametrize("name", ["h264-b-frames", "vp9", "mjpeg", "h264-transport", "raw-bottom-up-bgr"])
@FUZZ
@given(data=st.data())
def test_broken_clips_give_typed_errors(name, clip, data):
    """A valid clip that is cut and has bytes changed raises nothing but errors of the tree."""
    original = clip(name)
    broken = bytearray(original[: data.draw(st.one_of(st.just(len(original)), st.integers(0, len(original))))])
    near_the_ends = st.one_of(st.integers(0, 1500), st.integers(max(0, len(original) - 1500), len(original)))
    for position, value in data.draw(st.lists(st.tuples(near_the_ends, st.integers(0, 255)), max_size=12)):
        if position < len(broken):
            broken[position] = value
    assert decode_all(bytes(broken)) <= 500
