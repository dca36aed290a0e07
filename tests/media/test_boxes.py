"""Indices of MP4 that announce more than anybody should believe."""

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.fuzz.elements import boxes
from server.errors import GlimpseError, LimitExceeded, UnsupportedMedia
from server.media.boxes import check_index
from server.media.decode import open_clip, probe
from server.media.limits import MediaLimits

LIMITS = MediaLimits(300, 60_000, 4096 * 2304, clip_pixels=2e10, index_entries=1e6)
ENTRIES = "GLIMPSE_LIMITS__INDEX_ENTRIES"
MANY = 2_000_000


@pytest.fixture(scope="module")
def clip(encode):
    """A dozen frames, some of them out of order."""
    return encode(frames=12, options={"bf": "2"})


def box(kind, content):
    return struct.pack(">I", len(content) + 8) + kind + content


def with_box(data, kind, content):
    """The clip with another content in the first box of a kind, those around it grown with it."""
    found = next(each for each in boxes(data) if each.kind == kind)
    new = box(kind, content)
    out = bytearray(data[: found.start] + new + data[found.end :])
    for each in boxes(data):
        if each.start < found.start and each.end >= found.end:
            size = each.end - each.start + len(new) - (found.end - found.start)
            out[each.start : each.start + 4] = struct.pack(">I", size)
    return bytes(out)


def table(entries, row=b"\0\0\0\1", *, announced=None):
    return struct.pack(">II", 0, entries if announced is None else announced) + row * entries


LIES = {
    "a milliard of samples in twelve bytes": (
        b"stsz",
        struct.pack(">III", 0, 1, 2**32 - 1),
        "GLIMPSE_LIMITS__CLIP_FRAMES",
    ),
    "samples beyond the frames": (b"stsz", struct.pack(">III", 0, 1, 60_001), "GLIMPSE_LIMITS__CLIP_FRAMES"),
    "a large table of times": (b"stts", table(MANY, b"\0\0\0\1" * 2), ENTRIES),
    "a table of times that is not there": (b"stts", table(0, announced=2**32 - 1), ENTRIES),
    "a large table of shifts": (b"ctts", table(MANY, b"\0\0\0\1" * 2), ENTRIES),
    "a large table of chunks": (b"stco", table(MANY), ENTRIES),
    "a large map of chunks": (b"stsc", table(MANY, b"\0\0\0\1" * 3), ENTRIES),
    "a million edits": (b"elst", table(1_000_000, struct.pack(">IiI", 400, 1024, 1 << 16)), ENTRIES),
    "a hundred thousand edits of the whole": (
        b"elst",
        table(100_000, struct.pack(">IiI", 400, 1024, 1 << 16)),
        ENTRIES,
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_an_index_announces_is_refused_before_it_is_read(lie, clip, monkeypatch):
    """By name of the limit, and libav never sees it."""
    kind, content, setting = LIES[lie]
    monkeypatch.setattr("av.open", lambda *_, **__: pytest.fail("opened"))
    for read in (probe, lambda *given: list(open_clip(*given))):
        with pytest.raises(LimitExceeded) as refused:
            read(with_box(clip, kind, content), LIMITS)
        assert refused.value.details["setting"] == setting


def test_a_fragment_that_announces_too_many_samples_is_refused(encode):
    """A run of samples without any bytes for each is a loop of four milliards."""
    data = encode(frames=12, container_options={"movflags": "frag_keyframe+empty_moov"})
    assert len(list(open_clip(data, LIMITS))) == 12
    lie = with_box(data, b"trun", struct.pack(">II", 0, 2**32 - 1))
    with pytest.raises(LimitExceeded, match=ENTRIES):
        list(open_clip(lie, LIMITS))


def test_a_compressed_index_is_refused(clip):
    """It could unfold to anything, and nothing has written one for twenty years."""
    moov = next(each for each in boxes(clip) if each.kind == b"moov")
    packed = struct.pack(">I", 2**30) + zlib.compress(clip[moov.start : moov.end])
    data = clip[: moov.start] + box(b"moov", box(b"cmov", box(b"dcom", b"zlib") + box(b"cmvd", packed)))
    with pytest.raises(UnsupportedMedia, match="compressed"):
        list(open_clip(data, LIMITS))


@pytest.mark.parametrize("inside", [True, False])
def test_a_file_of_very_many_boxes_is_refused(inside, clip):
    """In the index and beside it: each would cost a step."""
    limits = MediaLimits(300, 60_000, 4096 * 2304, index_entries=2000)
    many = box(b"free", b"") * 3000
    if inside:
        moov = next(each for each in boxes(clip) if each.kind == b"moov")
        data = clip[: moov.start] + box(b"moov", many + clip[moov.start + 8 : moov.end])
    else:
        data = clip + many
    with pytest.raises(LimitExceeded, match=ENTRIES):
        list(open_clip(data, limits))


def test_uncompressed_sound_may_have_many_samples(clip):
    """Five minutes of it have millions, each a tick long, of which no index is made."""
    trak = next(each for each in boxes(clip) if each.kind == b"trak")
    sound = clip[trak.start : trak.end].replace(b"vide", b"soun")
    moov = next(each for each in boxes(clip) if each.kind == b"moov")
    for ticks, refused in ((1, False), (2, True)):
        track = with_box(sound, b"stts", struct.pack(">IIII", 0, 1, MANY, ticks))
        track = with_box(track, b"stsz", struct.pack(">III", 0, 2, MANY))
        data = clip[: moov.start] + box(b"moov", clip[moov.start + 8 : moov.end] + track)
        try:
            check_index(data, LIMITS)
            assert not refused
        except LimitExceeded:
            assert refused


def test_samples_that_are_all_the_same_bytes_are_refused(clip):
    """A file of a megabyte could otherwise hand out a terabyte."""
    mdat = next(each for each in boxes(clip) if each.kind == b"mdat")
    large = clip + box(b"free", bytes(1 << 20))
    sizes = struct.pack(">II", 0, 0) + struct.pack(">I", 2000) + struct.pack(">I", 1 << 20) * 2000
    data = with_box(large, b"stsz", sizes)
    data = with_box(data, b"stsc", struct.pack(">II", 0, 1) + struct.pack(">III", 1, 1, 1))
    data = with_box(data, b"stco", table(2000, struct.pack(">I", mdat.start)))
    data = with_box(data, b"stts", struct.pack(">II", 0, 1) + struct.pack(">II", 2000, 100))
    with pytest.raises(GlimpseError, match="unfolds, or repeats itself"):
        list(open_clip(data, LIMITS))


def test_pixels_of_all_pictures_together_are_limited(encode):
    """By the header where it tells, and else packet by packet, before a picture is decoded and while they are."""
    exact = MediaLimits(60, 2000, 1 << 20, clip_pixels=30 * 96 * 64)
    less = MediaLimits(60, 2000, 1 << 20, clip_pixels=30 * 96 * 64 - 1)
    for container, codec in (("mp4", "libx264"), ("matroska", "libx264"), ("avi", "mjpeg"), ("mpegts", "libx264")):
        data = encode(codec, container, pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p")
        assert len(list(open_clip(data, exact))) == 30
        with pytest.raises(LimitExceeded, match="GLIMPSE_LIMITS__CLIP_PIXELS"):
            list(open_clip(data, less))


def test_pictures_that_are_never_shown_count(encode):
    """Frames of one instant have no time of their own, but each costs its decoding."""
    data = encode("ffv1", "matroska", frames=30, times=[0, 1, *[2] * 28])
    with pytest.raises(LimitExceeded, match="GLIMPSE_LIMITS__CLIP_FRAMES"):
        list(open_clip(data, MediaLimits(60, 20, 1 << 20)))


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=200), kind=st.sampled_from([b"moov", b"trak", b"stsz", b"elst", b"trun", b"hdlr"]))
def test_any_index_is_read_or_refused(content, kind):
    """Whatever the bytes of a box are, nothing but errors of the tree come of them."""
    try:
        check_index(box(b"moov", box(b"trak", box(kind, content)) + content), LIMITS)
    except GlimpseError:
        return
