"""The stages in one process, on real encoded clips: whose movements are reported, what is said of the picture."""

import functools

import cv2
import numpy as np
import pytest

from server.errors import FaceLost
from server.faces.pair import align_to
from server.media.limits import MediaLimits
from server.pipeline.jobs import ClipJob, PairJob, ShadowJob
from server.pipeline.stages import Stages
from server.spotting.signal import REGIONS
from tests.end_to_end.conftest import SAMPLES, decode, encode

LIMITS = MediaLimits(60, 10_000, 4096 * 2304)
INTERVIEW = (SAMPLES / "interview.mp4").read_bytes()
NEGATIVE = (SAMPLES / "negative.mp4").read_bytes()
"""The clip whose pictures `frames` are."""
GREY = np.full((480, 640, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def stages():
    return Stages()


@pytest.fixture(scope="module")
def frames():
    return decode(SAMPLES / "negative.mp4")


@pytest.fixture(scope="module")
def alone(stages):
    """What the stages find, and what they tell meanwhile, for a recipe that has the clip for itself."""

    @functools.cache
    def found(recipe, flow):
        told = []
        return stages(_job(recipe=recipe, flow=flow), told.append), told

    return found


def _job(pictures=None, **changes):
    """Of a clip of these pictures, or else of the sample."""
    values = {
        "data": NEGATIVE if pictures is None else encode(pictures, preset="ultrafast"),
        "limits": LIMITS,
        "recipe": "flow_uvs_28",
        "flow": "accurate",
        "faces": "largest",
        "max_faces": 16,
        "kinds": frozenset({"micro", "macro"}),
        "onset_s": None,
        "apex_s": None,
    }
    return ClipJob(**(values | changes))


def _beside(left, right):
    return [np.hstack(pair) for pair in zip(left, right, strict=True)]


def _smaller(pictures, factor):
    out = []
    for picture in pictures:
        small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        framed = GREY.copy()
        framed[: small.shape[0], : small.shape[1]] = small
        out.append(framed)
    return out


def _shadowed(recipe, flow="accurate", budget_s=60.0):
    return ShadowJob(recipe, flow, budget_s)


@pytest.mark.parametrize(
    ("answering", "shadow", "flow"),
    [
        ("flow_uvs_28", "flow_dual_227", "accurate"),
        ("flow_uvs_28", "flow_uvs_28", "tvl1"),
        ("flow_uvs_28", "frames_8x128+lbp_top_85", "fast"),
        ("clip_gray_18x64", "flow_uvs_28+clip_regions_18x32", "accurate"),
        ("clip_gray_18x64", "apex_gray_128", "accurate"),
    ],
)
def test_a_second_model_is_fed_from_the_same_pass(stages, alone, answering, shadow, flow):
    """Its tensors are those that it would get if it answered, and the answering model's are not touched by it."""
    watched = []
    answered, told = alone(answering, "accurate")
    other, _ = alone(shadow, flow)
    both = stages(_job(recipe=answering, shadow=_shadowed(shadow, flow)), watched.append)
    (first,), (second,), (found,) = answered.findings, other.findings, both.findings
    for name, values in first.inputs.items():
        assert np.array_equal(values, found.inputs[name])
    assert (first.evidence, first.interval, first.contraction) == (found.evidence, found.interval, found.contraction)
    assert set(found.shadow) == set(second.inputs)
    for name, values in second.inputs.items():
        assert np.array_equal(values, found.shadow[name])
    assert told == watched
    assert both.shadow_s > 0
    assert set(both.timings_s) == set(answered.timings_s)


def test_a_shadow_costs_no_more_than_it_may(stages):
    """Where the worker has no time for it, the movement is dropped and the answer stays."""
    found = stages(_job(shadow=_shadowed("flow_dual_227", budget_s=0.0)), lambda _: None)
    assert [finding.shadow for finding in found.findings] == ["dropped"]


def test_a_shadow_that_fails_costs_no_answer(stages, alone, monkeypatch):
    """Whatever its recipe or its alignment does, the movement is reported as before."""
    expected = alone("flow_uvs_28", "accurate")[0].findings[0].inputs["flow"]
    original = align_to

    def failing(anchor, others, *rest, **options):
        if len(others) > 6:
            raise RuntimeError("the course cannot be aligned")
        return original(anchor, others, *rest, **options)

    monkeypatch.setattr("server.pipeline.measure.align_to", failing)
    found = stages(_job(shadow=_shadowed("clip_gray_18x64")), lambda _: None)
    assert [finding.shadow for finding in found.findings] == ["failed"]
    assert np.array_equal(found.findings[0].inputs["flow"], expected)


def test_a_pair_of_pictures_is_seen_by_the_shadow_too(stages, frames, png):
    """Two stills give the inputs of both models."""
    pictures = (png(frames[33]), png(frames[39]), LIMITS)
    found = stages(PairJob(*pictures, "flow_uvs_28", "accurate", _shadowed("flow_dual_227")), lambda _: None)
    alone = stages(PairJob(*pictures, "flow_dual_227", "accurate"), lambda _: None)
    assert all(np.array_equal(values, found.shadow[name]) for name, values in alone.inputs.items())


def test_a_pair_of_pictures_tells_its_stage_too(stages, frames, png):
    """So that a deadline can name it."""
    told = []
    stages(PairJob(png(frames[33]), png(frames[39]), LIMITS, "flow_uvs_28", "accurate"), told.append)
    assert [progress.stage for progress in told] == ["decode", "faces"]


def test_progress_covers_every_stage(alone):
    """Long work reports how far it is, and never beyond its total."""
    _, told = alone("flow_uvs_28", "accurate")
    assert {progress.stage for progress in told} == {"decode", "faces", "spotting", "flow"}
    assert told[0].stage == "decode"
    assert all(progress.done <= progress.total for progress in told if progress.total)


def test_a_recipe_may_ask_for_what_was_tracked(stages):
    """The offset's picture, times after the onset, and how far the regions went: the ones that moved most are told."""
    (finding,) = stages(_job(recipe="mllm_frames"), lambda _: None).findings
    interval = finding.interval
    wanted = [1000 * (interval.apex_s - interval.onset_s), 1000 * (interval.offset_s - interval.onset_s), 30]
    np.testing.assert_allclose(finding.inputs["timing"], wanted, atol=1)
    went = np.linalg.norm(finding.inputs["displacement"], axis=1)
    assert REGIONS[int(went.argmax())] in interval.regions
    onset, apex, offset = finding.inputs["pictures"]
    assert np.abs(apex - onset).mean() > np.abs(offset - onset).mean() > 0


def test_the_largest_face_wins_even_if_it_comes_later(stages, frames):
    """A small face from the start, a large one from the second half second on: the large one is reported."""
    late = [GREY] * 15 + frames[15:]
    found = stages(_job(_beside(_smaller(frames[::-1], 0.5), late)), lambda _: None)
    assert [round(face.quality.iod_px) > 70 for face in found.faces] == [True]
    assert {finding.track_id for finding in found.findings} == {found.faces[0].track_id}
    assert found.findings[0].interval.apex_frame == pytest.approx(39, abs=2)


def test_somebody_who_follows_is_seen_too(stages, frames):
    """One face leaves, another comes: never two at a time, so both are the largest in their time."""
    second = [frame[:, ::-1] for frame in frames]
    played = _beside([*frames, *[GREY] * 75], [*[GREY] * 75, *second])
    found = stages(_job(played), lambda _: None)
    assert len(found.faces) == 2
    assert [round(finding.interval.apex_s, 1) for finding in found.findings] == pytest.approx([1.3, 3.8], abs=0.1)
    assert found.coverage > 0.9


def test_a_passer_by_does_not_fail_the_others(stages, frames):
    """With all faces and a given event, a face that was not there then is left out."""
    passing = [*[GREY] * 50, *frames[50:]]
    found = stages(_job(_beside(frames, passing), faces="all", onset_s=1.1, apex_s=1.3), lambda _: None)
    assert len(found.findings) == 1
    assert len(found.faces) == 2


def test_a_given_time_without_any_face_is_an_error(stages, frames):
    """Nobody was in view at the apex that was asked for."""
    with pytest.raises(FaceLost):
        stages(_job([*frames[:37], *[GREY] * 38], onset_s=0.5, apex_s=2.2), lambda _: None)


def test_a_short_absence_is_told(stages, frames):
    """A second without the face is a warning with its times; what comes after is still analysed."""
    played = [*frames[:20], *[GREY] * 20, *frames[20:]]
    found = stages(_job(played), lambda _: None)
    assert [warning.code for warning in found.warnings] == ["face-lost"]
    assert "0.6" in found.warnings[0].message
    assert len(found.findings) == 1


def test_evidence_tells_what_is_poor(stages, frames):
    """A small face at a low rate has its reasons in words."""
    found = stages(_job(_smaller(frames, 0.45)), lambda _: None)
    (finding,) = found.findings
    assert finding.evidence.grade != "good"
    assert any("small" in reason for reason in finding.evidence.reasons)
    assert any("frame rate" in reason for reason in finding.evidence.reasons)


def test_stills_name_the_picture_without_a_face(stages, frames, png):
    """The error says whether the onset or the apex is at fault."""
    good, blank = png(frames[0]), png(GREY)
    for onset, apex, picture in ((blank, good, "onset"), (good, blank, "apex")):
        job = PairJob(onset, apex, LIMITS, "flow_uvs_28", "accurate")
        with pytest.raises(Exception, match=f"{picture} picture") as caught:
            stages(job, lambda _: None)
        assert caught.value.details["picture"] == picture


def test_a_moved_head_does_not_change_the_tensors_of_stills(stages, frames, png):
    """The apex picture shifted by 20 px gives nearly the same motion as the unshifted one."""
    onset = png(frames[33])
    shift = np.array([[1, 0, 17], [0, 1, -11]], np.float32)
    moved = cv2.warpAffine(frames[39], shift, (640, 480), borderMode=cv2.BORDER_REPLICATE)
    plain, other = (
        stages(PairJob(onset, png(apex), LIMITS, "flow_uvs_28", "accurate"), lambda _: None).inputs["flow"]
        for apex in (frames[39], moved)
    )
    centre = (slice(0, 2), slice(3, 25), slice(3, 25))
    assert np.corrcoef(plain[centre].ravel(), other[centre].ravel())[0, 1] > 0.9


def test_a_movement_that_cannot_be_measured_costs_a_warning_only(stages, monkeypatch):
    """The head turns away during one of six movements: the other five are reported, and the sixth is named."""
    job = _job(data=INTERVIEW)
    calls = []

    def turned_away(*args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            raise FaceLost("turned away", stage="faces", frame=1)
        return align_to(*args, **kwargs)

    monkeypatch.setattr("server.pipeline.measure.align_to", turned_away)
    found = stages(job, lambda _: None)
    assert len(found.findings) == 5
    assert [warning.code for warning in found.warnings] == ["movement-unmeasured"]
    assert "from 5.5" in found.warnings[0].message


def test_a_given_event_that_cannot_be_measured_is_an_error(stages, monkeypatch):
    """The caller asked for this one, so there is nothing else to answer with."""

    def turned_away(*args, **kwargs):
        raise FaceLost("turned away", stage="faces", frame=1)

    monkeypatch.setattr("server.pipeline.measure.align_to", turned_away)
    with pytest.raises(FaceLost):
        stages(_job(onset_s=1.1, apex_s=1.3), lambda _: None)
