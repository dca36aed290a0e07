"""What stages show besides events, for whoever asks: signals of faces and pictures of events of the real samples."""

import json

import cv2
import numpy as np
import pytest

from server.media.limits import MediaLimits
from server.pipeline import event_pictures
from server.pipeline.face_signals import MOST_TIMES, face_signals
from server.pipeline.facelog import FaceLog
from server.pipeline.jobs import ClipJob
from server.pipeline.stages import Stages
from server.spotting.signal import REGION_LANDMARKS, REGIONS
from server.types import CROP_IOD_PX, Interval
from tests.end_to_end.conftest import SAMPLES, decode, encode
from tests.shown import numbers, pixels

BOTH = frozenset({"signals", "pictures"})
LIMITS = MediaLimits(60, 10_000, 4096 * 2304)


@pytest.fixture(scope="module")
def stages():
    return Stages()


@pytest.fixture(scope="module")
def found(stages):
    """What is found in the sample whose brows lower."""
    return stages(_job("negative"), lambda _: None)


@pytest.fixture(scope="module")
def swaying(stages):
    """The same where the head sways, twice, when one event alone may have pictures."""
    moved = [
        cv2.warpAffine(picture, np.float32([[1, 0, 6 * np.sin(index / 5)], [0, 1, 0]]), (640, 480))
        for index, picture in enumerate(2 * decode(SAMPLES / "negative.mp4"))
    ]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("server.pipeline.stages.MOST_EVENTS", 1)
        return stages(_job("negative", data=encode(moved, preset="ultrafast")), lambda _: None)


def _job(sample, **changes):
    values = {
        "data": (SAMPLES / f"{sample}.mp4").read_bytes(),
        "limits": LIMITS,
        "recipe": "flow_uvs_28",
        "flow": "accurate",
        "faces": "largest",
        "max_faces": 16,
        "kinds": frozenset({"micro", "macro"}),
        "onset_s": None,
        "apex_s": None,
        "include": BOTH,
    }
    return ClipJob(**(values | changes))


def _truth(sample):
    return json.loads((SAMPLES / f"{sample}.json").read_text(encoding="utf-8"))


def test_pictures_are_of_their_size_and_times(found):
    """Two of 256 px, three fields of 128, and a course of 128 px from before the onset until after the offset."""
    (finding,) = found.findings
    shown, interval = finding.pictures, finding.interval
    assert {pixels(each).shape for each in (shown.onset, shown.apex)} == {(256, 256)}
    assert {numbers(each).shape for each in (shown.u, shown.v, shown.strain)} == {(128, 128)}
    assert {pixels(each).shape for each in shown.course} == {(128, 128)}
    assert len(shown.course) == len(shown.course_s) <= 24
    times = list(shown.course_s)
    assert times == sorted(times)
    assert interval.onset_s - 0.1 <= times[0] < interval.onset_s
    assert interval.offset_s < times[-1] <= interval.offset_s + 0.1
    for frame in (interval.onset_frame, interval.apex_frame):
        assert min(abs(time - frame / 30) for time in times) < 1e-3
    assert len(shown.landmarks) == 468


def test_flow_peaks_where_the_face_moved(found):
    """Brows went down, by as much as was rendered, and strain lies around them."""
    (finding,) = found.findings
    shown = finding.pictures
    brows = [shown.landmarks[point] for name in REGIONS if name.startswith("brow") for point in REGION_LANDMARKS[name]]
    (left, top), (right, bottom) = np.min(brows, axis=0) / 2 - 12, np.max(brows, axis=0) / 2 + 12
    size = np.hypot(numbers(shown.u), numbers(shown.v))
    for peak in (size, numbers(shown.strain)):
        row, column = np.unravel_index(peak.argmax(), peak.shape)
        assert left < column < right
        assert top < row < bottom
    rendered_px = _truth("negative")["events"][0]["peak_iod"] * CROP_IOD_PX
    assert numbers(shown.v).flat[size.argmax()] == pytest.approx(rendered_px, rel=0.35)
    mouth = round(shown.landmarks[17][1] / 2)
    assert size[mouth - 5 : mouth + 5, 40:88].max() < 0.35 * size.max()


def test_the_pictures_are_those_that_were_measured(found):
    """What moved between onset and apex, moved back by the flow, is no longer there."""
    shown = found.findings[0].pictures
    onset, apex = (pixels(each).astype(np.float32) for each in (shown.onset, shown.apex))
    u, v = (cv2.resize(numbers(each).astype(np.float32), (256, 256)) for each in (shown.u, shown.v))
    x, y = np.meshgrid(np.arange(256, dtype=np.float32), np.arange(256, dtype=np.float32))
    back = cv2.remap(apex, x + u, y + v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    brows = (slice(60, 110), slice(50, 206))
    assert np.abs(back - onset)[brows].mean() < 0.6 * np.abs(apex - onset)[brows].mean()


def test_the_course_is_aligned_with_the_onset(swaying):
    """The lower half of the face, which rests, stays where it is to a quarter of a pixel, while the head goes 4 px."""
    shown, signals = swaying.findings[0].pictures, swaying.signals[0]
    onset = cv2.resize(pixels(shown.onset).astype(np.float32), (128, 128), interpolation=cv2.INTER_AREA)
    still = (slice(64, 120), slice(28, 100))
    window = cv2.createHanningWindow((72, 56), cv2.CV_32F)
    ways = [
        np.hypot(*cv2.phaseCorrelate(onset[still], pixels(each).astype(np.float32)[still], window)[0])
        for each in shown.course
    ]
    assert max(ways) < 0.25
    places = [
        np.linalg.inv(np.array([*matrix, 0, 0, 1]).reshape(3, 3)) @ (128, 128, 1)
        for time_s, matrix in zip(signals.times_s, signals.transforms, strict=True)
        if shown.course_s[0] <= time_s <= shown.course_s[-1]
    ]
    assert np.ptp(places, axis=0)[0] > 4


def test_signals_peak_with_the_event(found):
    """There is a number for each region and frame, and the brows are farthest from rest where the apex truly is."""
    (signals,) = found.signals
    motion = np.array(signals.motion_iod, dtype=np.float64)
    assert (signals.every, motion.shape) == (1, (len(REGIONS), len(signals.times_s)))
    assert (len(signals.times_s), len(signals.transforms), tuple(signals.regions)) == (75, 75, REGIONS)
    region, frame = np.unravel_index(motion.argmax(), motion.shape)
    assert REGIONS[region].startswith("brow")
    assert signals.times_s[frame] == pytest.approx(_truth("negative")["events"][0]["apex_s"], abs=0.035)
    assert motion.max() == pytest.approx(found.findings[0].interval.peak_iod, rel=0.05)
    assert [(each.outcome, each.reason) for each in signals.candidates] == [("reported", "")]


def test_blinks_of_a_resting_face_are_candidates(stages):
    """Each of them, where it was rendered, though there is no event."""
    answer = stages(_job("neutral_blink"), lambda _: None)
    assert answer.findings == ()
    candidates = answer.signals[0].candidates
    assert {(each.outcome, each.reason) for each in candidates} == {("withdrawn", "blink")}
    starts = [blink["start_s"] for blink in _truth("neutral_blink")["blinks"]]
    assert [each.onset_s for each in candidates] == pytest.approx(starts, abs=0.07)


def test_other_kinds_are_candidates(stages):
    """What nobody asked for is not reported, and not forgotten."""
    (signals,) = stages(_job("negative", kinds=frozenset({"macro"})), lambda _: None).signals
    assert [(each.outcome, each.reason, each.kind) for each in signals.candidates] == [("other-kind", "kind", "micro")]


def test_who_does_not_ask_gets_nothing_and_pays_nothing(stages, found):
    """Neither pictures nor signals, and not a stage more; what is measured is the same."""
    plain = stages(_job("negative", include=frozenset()), lambda _: None)
    assert (plain.signals, plain.findings[0].pictures) == ((), None)
    assert "pictures" in found.timings_s
    assert "pictures" not in plain.timings_s
    assert plain.findings[0].interval == found.findings[0].interval
    assert np.array_equal(plain.findings[0].inputs["flow"], found.findings[0].inputs["flow"])


def test_only_the_first_events_have_pictures(swaying):
    """Those that come first in time; a warning says so."""
    assert [finding.pictures is not None for finding in swaying.findings] == [True, False]
    (warning,) = [each for each in swaying.warnings if each.code == "pictures-left-out"]
    assert warning.message == "only the first 1 of 2 events have pictures"


def test_a_course_has_24_frames_at_most():
    """Also where there are 200 a second; onset and apex are among them, and the others lie evenly."""
    log = _log(np.zeros((400, len(REGIONS), 2)), fps=200)
    interval = Interval("micro", 101, 138, 180, 0.505, 0.69, 0.9, 0.04, 0.9, ("chin",))
    frames = event_pictures.course_frames(log, interval)
    assert frames == sorted(set(frames))
    assert 22 <= len(frames) <= 24
    assert {81, 101, 138, 200} <= set(frames)
    assert max(np.diff(frames)) <= 6


def test_a_course_leaves_out_what_shows_no_face(stages, monkeypatch):
    """A frame in which the face cannot be followed costs a picture, not the event."""
    monkeypatch.setattr("server.faces.pair.is_lost", _lost_after(3))
    (finding,) = stages(_job("negative", include=frozenset({"pictures"})), lambda _: None).findings
    assert len(finding.pictures.course) == len(finding.pictures.course_s) < 16


def _lost_after(frames):
    """`is_lost` that says so of every second frame of a course; those that are measured come before it."""
    from server.faces.anchor import is_lost

    told = []

    def lost(fit):
        told.append(fit)
        return (len(told) > frames and len(told) % 2 == 0) or is_lost(fit)

    return lost


def _log(displacement, fps=100, unsteady=0):
    """The log of a face whose regions move by float [T, R, 2], IOD, while its place in the frame is the frame's number;
    it is not steady in the first `unsteady` frames.
    """
    log = FaceLog(1)
    for index, here in enumerate(displacement):
        measured = np.array([1.0, 0.0, index, 0.0, 1.0, 0.0, *here.ravel(), 0.0, 0.0])
        log._append(index, index / fps, measured, unsteady=index < unsteady)
    return log


def test_long_clips_are_thinned_without_losing_a_peak():
    """No face has more than 4,000 times, and the largest motion is still there."""
    displacement = np.zeros((2 * MOST_TIMES + 1, len(REGIONS), 2))
    displacement[5000:5025, :6, 1] = (0.05 * np.sin(np.linspace(0, np.pi, 25)) ** 2)[:, None]
    signals = face_signals(_log(displacement, unsteady=9), (), (), ())
    assert (signals.every, len(signals.times_s)) == (3, 2667)
    motion = np.array(signals.motion_iod, dtype=np.float64)
    assert motion.shape == (len(REGIONS), 2667)
    assert np.isnan(motion[:, :3]).all()
    assert not np.isnan(motion[:, 3:]).any()
    assert np.nanmax(motion) == pytest.approx(0.05, rel=0.1)
    assert signals.times_s[int(np.nanargmax(motion[0]))] == pytest.approx(50.12, abs=0.04)
    assert [matrix[2] for matrix in signals.transforms[:2]] == [1.0, 4.0]


def test_a_field_keeps_its_numbers():
    """To a 65,000th of the largest one, also where nothing moved at all."""
    rough = np.zeros((256, 256), np.float32)
    rough[100:140, 60:80] = -3.5
    [u, still] = (event_pictures._field(each) for each in (rough, 0 * rough))
    halved = rough.reshape(128, 2, 128, 2).mean(axis=(1, 3))
    assert np.abs(numbers(u) - halved).max() <= 3.5 / 65_000
    assert not numbers(still).any()
