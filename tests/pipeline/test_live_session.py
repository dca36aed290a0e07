"""A live stream inside its worker, on the pictures of samples and of made-up scenes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from server.contract import ModelContract
from server.errors import FaceLost
from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.pipeline.jobs import ClipJob, Finding
from server.pipeline.live_jobs import LiveOpen
from server.pipeline.live_measuring import at_once, beside
from server.pipeline.live_session import LiveSession
from server.pipeline.live_teller import Served, Teller
from server.pipeline.stages import Stages
from server.predict.local import LocalPredictor
from server.predict.repository import ModelRepository
from server.recipes.registry import RECIPES
from server.report.build import predictions
from server.spotting.intervals import spot
from server.spotting.signal import REGIONS
from server.streams import FrameRefused, FrameResult, LiveEvent, LiveFrame, StreamOptions
from server.telemetry.metrics import Metrics
from tests.end_to_end.conftest import ROOT, SAMPLES, decode
from tests.pipeline.conftest import LIMITS, Held

MODEL = "glimpse_flow"
GREY = np.full((480, 640, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def networks():
    return FaceDetector(), FaceLandmarker()


@pytest.fixture(scope="module")
def positive():
    """75 pictures, RGB, at 30 per second: onset at 0.9 s, apex at 1.07 s, offset at 1.27 s."""
    return decode(SAMPLES / "positive.mp4")


@pytest.fixture
def start(networks):
    """Opens sessions."""

    def begin(recipe="flow_uvs_28", store_bytes=64 << 20, run=at_once, **options):
        opened = LiveOpen(StreamOptions(**options), LIMITS, recipe, "accurate", 4, store_bytes)
        return LiveSession(*networks, opened, run=run)

    return begin


def _live(rgb, index, capture_us, encoding="gray8"):
    height, width = rgb.shape[:2]
    if encoding == "jpeg":
        data = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
        return LiveFrame(index, capture_us, "jpeg", data)
    if encoding == "bgr8":
        return LiveFrame(index, capture_us, "bgr8", np.ascontiguousarray(rgb[..., ::-1]).tobytes(), width, height)
    gray = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    return LiveFrame(index, capture_us, "gray8", gray.tobytes(), width, height)


def _play(session, pictures, fps=30, encoding="gray8", first=0):
    """All answers and all steps of movements, the end's included."""
    looked = [
        session.push(_live(rgb, first + number, round((first + number) * 1e6 / fps), encoding))
        for number, rgb in enumerate(pictures)
    ]
    return [each.answer for each in looked], [step for each in looked for step in each.told]


def _job(name, recipe="flow_uvs_28"):
    data = (SAMPLES / f"{name}.mp4").read_bytes()
    everything = frozenset({"micro", "macro"})
    return ClipJob(data, LIMITS, recipe, "accurate", "largest", 4, everything, None, None)


@dataclass(frozen=True)
class Clip:
    """A sample: its file, its rate, and the one movement that its analysis as a clip finds."""

    path: Path
    fps: float
    finding: Finding


@pytest.fixture
async def served():
    """The default model and its predictor."""
    predictor = LocalPredictor(
        ModelRepository(ROOT / "model_repository", RECIPES), threads=1, providers=("CPUExecutionProvider",)
    )
    info = await predictor.model(MODEL)
    yield predictor, Served(info, ModelContract.model_validate(info.contract), info.versions[-1])
    await predictor.close()


@pytest.fixture(scope="module", params=["positive", "negative_60fps", "surprise_200fps"])
def clip(request):
    """One sample for each rate."""
    found = Stages()(_job(request.param), lambda _: None)
    (finding,) = found.findings
    return Clip(SAMPLES / f"{request.param}.mp4", found.clip.fps, finding)


def _pictures(path):
    """One after the other, since all of them together are half a gigabyte."""
    with av.open(str(path)) as container:
        for picture in container.decode(video=0):
            yield picture.to_ndarray(format="rgb24")


@pytest.mark.parametrize("encoding", ["gray8", "jpeg"])
async def test_live_is_what_the_clip_is(start, clip, served, encoding):
    """One file, as a clip and picture by picture: the same event, its times within two frames, the same label."""
    predictor, model = served
    session = start()
    answers, steps = _play(session, _pictures(clip.path), clip.fps, encoding)
    assert all(isinstance(answer, FrameResult) for answer in answers)
    assert [step.step for step in steps] == ["onset", "candidate", "event"]
    assert session.end() == ()
    live, whole = steps[-1].interval, clip.finding.interval
    for moment in ("onset_s", "apex_s", "offset_s"):
        assert abs(getattr(live, moment) - getattr(whole, moment)) <= 2 / clip.fps, moment
    assert live.kind == whole.kind
    teller = Teller(predictor, model, Metrics(), inference_s=60.0)
    *_, event = [await teller.tell(step) for step in steps]
    assert isinstance(event, LiveEvent)
    batch = {name: values[None] for name, values in clip.finding.inputs.items()}
    outputs = await predictor.predict(MODEL, batch, deadline=float("inf"))
    (answer,) = predictions(outputs, model.contract, [clip.finding.contraction])
    assert event.event.label == answer.label


def test_each_picture_is_answered_with_its_faces(start, positive):
    """State, place of the eyes and quality with every picture; motion where it was asked for."""
    answers, _ = _play(start(motion=True), positive[:45])
    assert [answer.index for answer in answers] == list(range(45))
    assert answers[30].time_s == pytest.approx(1.0)
    states = [answer.faces[0].state for answer in answers]
    assert states[0] == "starting"
    assert {"resting", "moving"} <= set(states)
    face = answers[-1].faces[0]
    (left, top), (right, bottom) = face.eyes
    assert face.quality.iod_px == pytest.approx(np.hypot(right - left, bottom - top), rel=0.1)
    assert len(face.motion) == len(REGIONS)
    assert all(len(xy) == 2 for xy in face.motion)
    assert _play(start(), positive[:1])[0][0].faces[0].motion == ()


def test_a_stream_that_is_behind_hurries(start, positive):
    """Far behind, pictures are looked at two by two, and each is answered; what happens is told all the same."""
    session = start(policy="drop_oldest")
    looked = [session.push(_live(rgb, n, round(n * 1e6 / 30)), behind_s=0.1) for n, rgb in enumerate(positive)]
    answers = [each.answer for each in looked]
    assert [(type(answer), answer.index) for answer in answers] == [(FrameResult, n) for n in range(len(positive))]
    # Those between repeat the faces of the last look.
    assert [a.faces is b.faces for a, b in zip(answers[1::2], answers[2::2], strict=False)] == [True] * 37
    steps = [step for each in looked for step in each.told] + list(session.end())
    assert [step.step for step in steps] == ["onset", "candidate", "event"]
    assert steps[-1].interval.apex_s == pytest.approx(1.07, abs=0.07)


def test_a_stream_that_waits_for_us_is_not_hurried(start, positive):
    """Under WAIT every picture is looked at, however many are here already."""
    told = {}
    for behind_s in (0.0, 0.1):
        session = start(policy="wait")
        looked = [session.push(_live(rgb, n, round(n * 1e6 / 30)), behind_s=behind_s) for n, rgb in enumerate(positive)]
        told[behind_s] = [(step.step, step.interval) for each in looked for step in each.told]
    assert told[0.0] == told[0.1]
    assert [step for step, _ in told[0.0]] == ["onset", "candidate", "event"]


def test_unwanted_kinds_are_withdrawn(start, positive):
    """Only at its end is it known whether a movement was of a kind that the client wants."""
    _, steps = _play(start(kinds=frozenset({"macro"})), positive)
    assert [step.step for step in steps] == ["onset", "candidate", "withdrawn"]


def test_models_of_a_whole_movement_wait_for_its_end(start, positive):
    """Nothing is measured before the offset is known; then it is as in the clip: as many frames, the same moments."""
    recipe = "clip_gray_18x64"
    measured = []

    def run(work):
        measured.append(work)
        return at_once(work)

    _, steps = _play(start(recipe, run=run), positive, encoding="bgr8")
    (finding,) = Stages()(_job("positive", recipe), lambda _: None).findings
    _, _, event = steps
    assert len(measured) == 1
    assert set(event.inputs) == set(finding.inputs)
    for name, values in finding.inputs.items():
        assert event.inputs[name].shape == values.shape
        assert np.corrcoef(event.inputs[name].ravel(), values.ravel())[0, 1] > 0.97


def test_pictures_do_not_wait_for_a_measurement(start, positive):
    """The candidate is told before it is measured, and the event with the first picture after it was, of the pictures
    that the store no longer has.
    """
    held = Held()
    session = start(run=held)
    answers, steps = _play(session, positive)
    assert len(answers) == 75
    assert [step.step for step in steps] == ["onset", "candidate"]
    session._store.clear()
    held.go_on()
    _, (event,) = _play(session, positive[-1:], first=75)
    prompt = _play(start(), positive)[1][-1]
    assert (event.step, event.interval) == ("event", prompt.interval)
    assert np.allclose(event.inputs["flow"], prompt.inputs["flow"], atol=0.05)


def test_a_movement_that_cannot_be_measured_is_withdrawn(start, positive, monkeypatch):
    """Once it is over, since until then it may still be seen."""

    def fail(*_):
        raise FaceLost("turned away")

    session = start()
    monkeypatch.setattr(session._measuring._measurer, "movement", fail)
    _, steps = _play(session, positive)
    assert [step.step for step in steps] == ["onset", "candidate", "withdrawn"]
    assert steps[-1].reason == "unmeasured"


def test_the_end_waits_for_what_is_measured(start, positive):
    """In a thread beside it, so that no event is lost for want of another picture."""
    session = start(run=beside)
    at = _until_candidate(session, positive)
    (event,) = session.end()
    assert (event.step, event.movement) == ("event", 1)
    assert event.interval.offset_s <= at / 30
    assert event.inputs["flow"].shape == (3, 28, 28)


def test_a_full_store_keeps_what_is_under_way(start, positive):
    """With room for ten pictures only, the onset is still there when the event is measured."""
    size = 640 * 480 + 512
    session = start(store_bytes=10 * size)
    _, steps = _play(session, positive)
    assert [step.step for step in steps] == ["onset", "candidate", "event"]
    roomy = _play(start(), positive)[1]
    assert np.allclose(steps[-1].inputs["flow"], roomy[-1].inputs["flow"], atol=0.05)
    assert session._store.bytes <= 10 * size


def test_what_cannot_be_looked_at_changes_nothing(start, positive):
    """Refused pictures, each with its reason, leave the stream as it was: the same event comes of the others."""
    session, steps, refusals = start(), [], []
    for number, rgb in enumerate(positive):
        good = _live(rgb, 10 * number, round(number * 1e6 / 30))
        for bad in (
            replace(good, index=10 * number - 5, data=good.data[:-1]),
            replace(good, index=10 * number - 5, encoding="jpeg", data=b"\xff\xd8\xff no picture"),
            replace(good, index=10 * number - 10),
            replace(good, index=10 * number - 5, capture_us=good.capture_us - 40_000),
        ):
            answer = session.push(bad).answer if number else None
            refusals.append(answer)
        looked = session.push(good)
        assert isinstance(looked.answer, FrameResult)
        steps += looked.told
    refusals = refusals[4:]
    assert all(isinstance(answer, FrameRefused) and answer.goes_on for answer in refusals)
    assert "bytes, not" in refusals[0].message
    assert refusals[1].code in ("unreadable-media", "truncated-media")
    assert "frame_index must rise" in refusals[2].message
    assert "is not after" in refusals[3].message or "before the stream's zero" in refusals[3].message
    assert [step.step for step in steps] == ["onset", "candidate", "event"]


def test_the_first_picture_that_can_be_read_is_the_zero(start, positive):
    """Garbage before it, whatever time it claims, does not set the clock."""
    session = start()
    garbage = LiveFrame(0, 2**62, "jpeg", b"\xff\xd8\xff")
    assert isinstance(session.push(garbage).answer, FrameRefused)
    answer = session.push(_live(positive[0], 1, 5_000_000)).answer
    assert (answer.time_s, answer.capture_us) == (0.0, 5_000_000)
    early = session.push(_live(positive[1], 2, 4_000_000)).answer
    assert "before the stream's zero" in early.message


def test_a_stream_may_go_on_with_the_clock_of_another(start, positive):
    """A client that connects again keeps its times."""
    session = start(clock_zero_us=1_000_000)
    assert session.push(_live(positive[0], 500, 3_000_000)).answer.time_s == 2.0


@pytest.mark.parametrize(("index", "capture_us"), [(-1, 0), (2**63, 0), (2**200, 0), (1, 2**200), (1, -(2**200))])
def test_numbers_of_no_camera_are_refused(start, positive, index, capture_us):
    """Indices and times beyond any clock are errors of the frame, not of the worker."""
    session = start(clock_zero_us=0)
    answer = session.push(_live(positive[0], index, capture_us)).answer
    assert isinstance(answer, FrameRefused)
    assert answer.code == "invalid-option"


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 300), (3, 2), (40, 40)])
def test_pictures_of_any_size_are_looked_at(start, width, height):
    """The smallest ones show nobody, which is an answer."""
    session = start()
    for index in range(3):
        picture = LiveFrame(index, 1000 * index, "gray8", bytes(width * height), width, height)
        assert session.push(picture).answer.faces == ()


def _until_candidate(session, pictures):
    for number, rgb in enumerate(pictures):
        looked = session.push(_live(rgb, number, round(number * 1e6 / 30)))
        if any(step.step == "candidate" for step in looked.told):
            return number
    raise AssertionError("no candidate")


def test_another_size_begins_anew(start, positive):
    """A camera that changes its resolution in a movement: that is no event, and the face is found again as another."""
    session = start()
    at = _until_candidate(session, positive)
    smaller = [cv2.resize(rgb, (480, 360), interpolation=cv2.INTER_AREA) for rgb in positive]
    answers, steps = _play(session, smaller[at + 1 :], first=at + 1)
    assert [(step.step, step.reason) for step in steps if step.movement == 1] == [("withdrawn", "face-lost")]
    assert "event" not in {step.step for step in steps}
    assert {face.track_id for answer in answers for face in answer.faces} == {2}
    assert all(answer.faces for answer in answers)
    assert session.end() == ()


def test_a_minute_without_pictures(start, positive):
    """After a long gap in the midst of a movement that is withdrawn, and the face goes on without a false event."""
    session = start()
    at = _until_candidate(session, positive)
    looked = [
        session.push(_live(rgb, at + 1 + number, round(60e6 + (at + 1 + number) * 1e6 / 30)))
        for number, rgb in enumerate([*positive[:25], *positive])
    ]
    steps = [step for each in looked for step in each.told]
    assert [(step.movement, step.step) for step in steps if step.movement == 1] == [(1, "withdrawn")]
    assert [step.step for step in steps if step.movement != 1] == ["onset", "candidate", "event"]
    assert len(session._watches) == 1


def test_the_end_ends_what_is_under_way(start, positive):
    """A stream that is over in the midst of a movement reports it as far as it went, as a clip that ends there does."""
    session = start()
    _until_candidate(session, positive)
    log = session._watches[1].log
    (whole,) = spot(log.signal())
    (last,) = session.end()
    assert last.step == "event"
    for moment in ("onset_s", "apex_s", "offset_s"):
        assert abs(getattr(last.interval, moment) - getattr(whole, moment)) <= 2 / 30, moment


def test_the_end_of_a_stream_whose_face_is_gone(start, positive):
    """What a face that is out of view had begun is taken back."""
    session = start()
    at = _until_candidate(session, positive)
    away = [np.full_like(positive[0], 90)] * 12
    _play(session, away, first=at + 1)
    assert [(step.step, step.reason) for step in session.end()] == [("withdrawn", "stream-ended")]


def test_a_face_that_leaves_is_let_go(start, positive):
    """A movement of somebody who left is withdrawn within a second or so, and nothing is kept of the face."""
    session = start()
    at = _until_candidate(session, positive)
    answers, steps = _play(session, [GREY] * 40, first=at + 1)
    assert [(step.step, step.reason) for step in steps] == [("withdrawn", "face-lost")]
    assert not any(answer.faces for answer in answers)
    assert session._watches == {}


def test_a_larger_face_takes_over_in_the_midst_of_a_movement(start, positive):
    """Whose expressions are told changes within 2.5 s; what the other had begun is withdrawn with the same picture."""
    far = [cv2.resize(rgb, (320, 240), interpolation=cv2.INTER_AREA) for rgb in [*positive[:1] * 25, *positive]]
    near = [cv2.resize(rgb, (560, 420), interpolation=cv2.INTER_AREA) for rgb in positive[:75]]
    canvas = np.full((420, 880, 3), 90, np.uint8)
    pictures = []
    for number in range(75):
        canvas[:240, :320] = far[number]
        if number >= 20:
            canvas[:, 320:] = near[number - 20]
        pictures.append(canvas.copy())
    session = start()
    looked = [session.push(_live(rgb, n, round(n * 1e6 / 30))) for n, rgb in enumerate(pictures)]
    ids = [[face.track_id for face in each.answer.faces] for each in looked]
    taken = ids.index([2])
    assert taken / 30 < 20 / 30 + 2.5
    assert ids == [[1]] * taken + [[2]] * (75 - taken)
    assert looked[taken - 1].answer.faces[0].state == "moving"
    assert [(step.track_id, step.step, step.reason) for step in looked[taken].told] == [(1, "withdrawn", "face-lost")]
    assert list(session._watches) == list(session._following.logs) == [2]


def test_two_faces_keep_their_names_behind_a_hand(start, positive):
    """One hides for a third of a second while the other moves: both stay who they are, and each event has its face."""
    size = (400, 300)
    left = [cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) for rgb in positive]
    right = [np.ascontiguousarray(rgb[:, ::-1]) for rgb in [*left[:5], *left[:-5]]]
    for number in range(15, 25):
        right[number] = np.full_like(right[number], 90)
    pictures = [np.hstack(pair) for pair in zip(left, right, strict=True)]
    answers, steps = _play(start(faces="all"), pictures)
    place = {face.track_id: face.eyes[0][0] < size[0] for face in answers[5].faces}
    assert len(place) == 2
    for answer in answers:
        assert all(place[face.track_id] == (face.eyes[0][0] < size[0]) for face in answer.faces)
    assert {len(answer.faces) for answer in answers[16:24]} == {1}
    assert len(answers[-1].faces) == 2
    events = [step for step in steps if step.step == "event"]
    assert sorted(step.track_id for step in events) == sorted(place)
    assert len({step.movement for step in steps}) == len(events) == 2


def test_memory_is_bounded(start, positive, monkeypatch):
    """After a few thousand pictures the log, the store and what is watched are as large as after the first seconds."""
    session = start(store_bytes=20 * 640 * 480)
    first = _live(positive[0], 0, 0)
    session.push(first)
    (face,) = session._following._tracker.update(_frame(session, first))
    monkeypatch.setattr(session._following._tracker, "update", lambda _: [face])
    sizes = []
    for number in range(1, 2500):
        looked = session.push(replace(first, index=number, capture_us=round(number * 1e6 / 60)))
        assert looked.told == ()
        (watch,) = session._watches.values()
        kept = len(session._measuring) + len(watch.numbers)
        sizes.append((len(watch.log), len(watch.log._qualities), session._store.bytes, kept))
    log, qualities, store, kept = (max(column) for column in zip(*sizes, strict=True))
    assert log <= 6.6 * 60
    assert qualities <= 70 * 6
    assert store <= 20 * 640 * 480
    assert kept == 0
    assert sizes[-1] <= (log, qualities, store, kept)


def _frame(session, picture):
    from server.media.stream import read_frame

    return read_frame(replace(picture, index=1), 0.001, session._opened.limits)
