"""Clips with what their reports say drawn into them."""

import io
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from server.media.decode import open_clip
from server.media.limits import MediaLimits
from server.pipeline.annotating import annotate
from server.pipeline.jobs import AnnotateJob
from server.report.overlay import Overlay, largest_motion, slowed
from tests.report import made

LIMITS = MediaLimits(60, 10_000, 4096 * 2304)
CLIP = Path(__file__).parents[2] / "samples" / "positive.mp4"
MATRIX = (1.2, 0.0, -260.0, 0.0, 1.2, -160.0)
"""The square of the face, rows 48..240 and columns 32..224 of the crop, is at 243..403, 173..333 in the frame."""


def decoded(clip: bytes) -> list[tuple[float, np.ndarray]]:
    with av.open(io.BytesIO(clip)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]


@pytest.fixture(scope="module")
def annotated():
    """A sample, its frames and times, and what became of them, once as it is and once slowed down."""
    data = CLIP.read_bytes()
    decoder = open_clip(data, LIMITS)
    frames = [(frame.time_s, frame.rgb()) for frame in decoder]
    report = made.report(made.event(), clip=decoder.info)
    told = []
    clips = [annotate(AnnotateJob(data, LIMITS, report, slow), told.append) for slow in (1.0, 4.0)]
    assert [step.stage for step in told][:2] == ["annotation"] * 2
    assert max(step.done for step in told) > 60
    return frames, [decoded(clip) for clip in clips], clips


def test_every_frame_is_there_at_its_time(annotated):
    """Nothing is left out or shown twice, and a tick of the clock is all that times are off."""
    frames, (plain, _), _ = annotated
    assert len(plain) == len(frames)
    assert max(abs(shown - time_s) for (shown, _), (time_s, _) in zip(plain, frames, strict=True)) < 1e-4


def test_events_play_slower(annotated):
    """Frames before are where they were; those of the event are four times as far apart; nothing is repeated."""
    frames, (plain, slow), _ = annotated
    assert len(slow) == len(frames)
    gaps = np.diff([shown for shown, _ in slow]) / np.diff([shown for shown, _ in plain])
    times = np.array([time_s for time_s, _ in frames])[:-1]
    assert gaps[times < 0.65] == pytest.approx(1, abs=0.01)
    assert gaps[(times > 0.9) & (times < 1.2)] == pytest.approx(4, abs=0.01)
    assert gaps[times > 1.5] == pytest.approx(1, abs=0.01)


def test_the_box_is_where_the_face_is(annotated):
    """Pixels change along the square that the transform gives, in the colour of the class during the event, and
    inside of it and far from it nothing but compression does.
    """
    frames, (plain, _), _ = annotated
    for index, coloured in ((10, False), (31, True)):
        before, after = frames[index][1].astype(int), plain[index][1].astype(int)
        assert np.abs(after[203:300, 243] - before[203:300, 243]).mean() > 40
        assert np.abs(after[240:280, 290:340] - before[240:280, 290:340]).mean() < 6
        assert np.abs(after[20:140, 20:140] - before[20:140, 20:140]).mean() < 6
        red, green, blue = after[250, 241:246].mean(axis=0)
        assert (green > red + 40 and green > blue + 20) == coloured


def test_the_strip_below_moves_on(annotated):
    """The cursor is further right in later frames."""
    _, (plain, _), _ = annotated
    height = 480
    first, last = plain[5][1][height + 30 :].astype(int), plain[70][1][height + 30 :].astype(int)
    moved = np.flatnonzero(np.abs(first - last).sum(axis=(0, 2)) > 2000)
    assert moved.size
    assert moved.max() - moved.min() > 300


def test_the_index_comes_first(annotated):
    """A browser can begin before the file has ended."""
    clip = annotated[2][0]
    assert 0 < clip.index(b"moov") < clip.index(b"mdat")


def test_a_report_without_signals_has_no_box():
    """Only the strip tells of it; a small picture is enlarged, a large one made smaller, both sides even."""
    bare = made.report(made.event(pictures=None), signals=())
    picture = np.full((121, 161, 3), 90, np.uint8)
    overlay = Overlay(bare, 161, 121, {})
    shown = overlay.draw(picture, 0, 1.0)
    assert shown.shape == (overlay.size[1], overlay.size[0], 3)
    assert overlay.size[0] % 2 == overlay.size[1] % 2 == 0
    assert (shown[:360] == 90).all()
    assert Overlay(bare, 4096, 2160, {}).size[0] == 1280


def test_a_face_that_is_out_of_view_has_no_box():
    """Where the last known place is too long ago, nothing is drawn."""
    signals = made.signals()
    early = replace(signals, times_s=[t / 100 for t in signals.times_s])
    picture = np.full((480, 640, 3), 90, np.uint8)
    overlay = Overlay(made.report(signals=[early]), 640, 480, {})
    assert not (overlay.draw(picture, 0, 0.0)[:480] == 90).all()
    assert (overlay.draw(picture, 60, 2.0)[:480] == 90).all()


def test_blinks_do_not_hide_the_curve():
    """Lids are left out of the motion that is drawn."""
    assert 0.05 < largest_motion(made.signals()).max() < 0.08


def test_events_that_overlap_are_slowed_once():
    """Time goes on by the factor, not by its square."""
    events = [made.event(pictures=None, explanation=None)] * 2
    assert slowed(events, 10.0, 3.0) == pytest.approx(10 + 2 * (1.267 - 0.892 + 0.3))
    assert slowed(events, 0.5, 3.0) == 0.5
