"""Following faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from server.faces.align import apply, compose, invert
from server.faces.detect import FaceDetector
from server.faces.identity import centre_px
from server.faces.landmarks import FaceLandmarker
from server.faces.track import FaceTracker
from server.types import Float64Array, Frame, TrackedFace

Script = Callable[[float], list[Any]]
_TICKS = np.linspace(40, 216, 9)
GRID = np.stack(np.meshgrid(_TICKS, _TICKS + 16), axis=-1).reshape(-1, 2)


def _misalignment(faces: Sequence[TrackedFace], heads: Sequence[Any]) -> Float64Array:
    """Per frame, the mean distance between where the face is in the crop and where it was in the first, crop px."""
    back = apply(invert(compose(faces[0].transform, heads[0].truth)), GRID)
    pairs = zip(faces, heads, strict=True)
    return np.array(
        [np.linalg.norm(apply(compose(f.transform, h.truth), back) - GRID, axis=1).mean() for f, h in pairs]
    )


class Stage:
    """Plays a script to a tracker."""

    def __init__(self, studio: Any, detector: FaceDetector, landmarker: FaceLandmarker) -> None:
        self.studio, self.detector, self.landmarker = studio, detector, landmarker

    def tracker(self, max_faces: int = 3) -> FaceTracker:
        return FaceTracker(self.detector, self.landmarker, max_faces=max_faces, detect_interval_s=0.5)

    def frame(self, heads: list[Any], index: int, fps: float, **light: float) -> Frame:
        return self.studio.shoot(heads, index, index / fps, **light)

    def largest(self) -> FaceTracker:
        """The tracker of a live stream with `faces=largest`."""
        return FaceTracker(self.detector, self.landmarker, max_faces=1, thorough=False, prefer_larger=True)

    def play(
        self,
        script: Script,
        seconds: float,
        fps: float = 30,
        max_faces: int = 3,
        tracker: FaceTracker | None = None,
    ) -> list[tuple[float, list[TrackedFace]]]:
        tracker = tracker or self.tracker(max_faces)
        times = [index / fps for index in range(round(seconds * fps))]
        return [(t, tracker.update(self.frame(script(t), i, fps))) for i, t in enumerate(times)]


@pytest.fixture
def stage(studio: Any, detector: FaceDetector, landmarker: FaceLandmarker) -> Stage:
    """A stage with the session's networks."""
    return Stage(studio, detector, landmarker)


@pytest.mark.parametrize(("fps", "seconds"), [(30, 3), (200, 0.6)])
def test_a_sway_is_taken_out(stage: Stage, make_head: Any, fps: float, seconds: float) -> None:
    """A rigid sway leaves at most 0.2 px of the 256 px crop on average, under one anchor."""

    def sway(t: float) -> list[Any]:
        x, y = 320 + 9 * np.sin(2 * np.pi * 0.47 * t), 240 + 6 * np.sin(2 * np.pi * 0.37 * t + 1)
        size, angle = 68 * (1 + 0.03 * np.sin(2 * np.pi * 0.23 * t)), 0.04 * np.sin(2 * np.pi * 0.31 * t)
        return [make_head(stage.studio.head, x, y, size, angle)]

    seen = stage.play(sway, seconds, fps)
    faces = [found[0] for _, found in seen]
    errors = _misalignment(faces, [sway(t)[0] for t, _ in seen])
    assert errors.mean() < 0.2
    assert errors.max() < 0.5
    assert {(face.track_id, face.anchor_id) for face in faces} == {(1, 1)}
    assert max(face.residual_iod for face in faces) < 0.005


def test_light_does_not_move_the_crop(stage: Stage, make_head: Any) -> None:
    """When the light changes by 10 % up and down, the crop of a still face stays within 0.1 px."""
    head, tracker = make_head(stage.studio.head, 320, 240, 68), stage.tracker()
    gains = [1.0, 0.9, 1.1, 0.95, 1.05] * 3
    faces = [tracker.update(stage.frame([head], i, 30, gain=gain))[0] for i, gain in enumerate(gains)]
    assert _misalignment(faces, [head] * len(faces)).max() < 0.1


def test_a_fast_head_keeps_its_anchor(stage: Stage, make_head: Any) -> None:
    """A head that goes to and fro at six eye distances a second is neither lost nor anchored anew."""

    def path(t: float) -> list[Any]:
        return [make_head(stage.studio.head, 320 + 60 * np.sin(2 * np.pi * t), 240, 60)]

    seen = stage.play(path, 1.5)
    assert {(face.track_id, face.anchor_id) for _, found in seen for face in found} == {(1, 1)}
    errors = _misalignment([found[0] for _, found in seen], [path(t)[0] for t, _ in seen])
    assert errors.mean() < 0.3


def test_two_faces_keep_their_names_when_they_cross(stage: Stage, make_head: Any) -> None:
    """Two people who pass each other, one hidden for a while, are told apart before and after."""

    def cross(t: float) -> list[Any]:
        return [
            make_head(stage.studio.head, 120 + 150 * t, 220, 50),
            make_head(stage.studio.other, 520 - 150 * t, 250, 60),
        ]

    seen = stage.play(cross, 2.7)
    start = {face.track_id: centre_px(face.transform)[0] for face in seen[0][1]}
    end = {face.track_id: centre_px(face.transform)[0] for face in seen[-1][1]}
    assert sorted(start) == sorted(end) == [1, 2]
    assert all((start[name] < 320) != (end[name] < 320) for name in start)
    assert {face.track_id for _, found in seen for face in found} == {1, 2}


def test_a_short_absence_keeps_the_name_and_the_anchor(stage: Stage, make_head: Any) -> None:
    """A face that is hidden for half a second is gone from the answer meanwhile, and comes back as itself."""
    seen = stage.play(lambda t: [] if 0.5 < t < 1 else [make_head(stage.studio.head, 320, 240, 60)], 1.5)
    assert all(not found for t, found in seen if 0.5 < t < 1)
    assert {(face.track_id, face.anchor_id) for _, found in seen for face in found} == {(1, 1)}
    assert all(found for t, found in seen if t > 1.15)


def test_a_long_absence_ends_an_identity(stage: Stage, make_head: Any) -> None:
    """After more than a second nobody can say that it is the same person."""
    seen = stage.play(lambda t: [] if 0.3 < t < 1.5 else [make_head(stage.studio.head, 320, 240, 60)], 2, fps=15)
    assert [found[0].track_id for _, found in (seen[0], seen[-1])] == [1, 2]


def test_a_newcomer_is_seen_within_the_interval(stage: Stage, make_head: Any) -> None:
    """A second face that enters gets its own identity, and the first one keeps its anchor."""
    head, other = make_head(stage.studio.head, 200, 240, 60), make_head(stage.studio.other, 480, 240, 50)
    seen = stage.play(lambda t: [head, other] if t >= 0.3 else [head], 1.2, fps=15)
    assert [face.track_id for face in seen[0][1]] == [1]
    assert [(face.track_id, face.anchor_id) for face in seen[-1][1]] == [(1, 1), (2, 2)]
    assert all(len(found) == 2 for t, found in seen if t > 0.85)
    chosen = max(seen[-1][1], key=lambda face: face.quality.iod_px)
    assert chosen is not None
    assert chosen.track_id == 1


def test_the_largest_faces_are_followed_first(stage: Stage, make_head: Any) -> None:
    """With room for one, the larger of two faces is taken, wherever it stands."""
    heads = [make_head(stage.studio.head, 150, 240, 40), make_head(stage.studio.other, 450, 240, 70)]
    seen = stage.play(lambda _t: heads, 0.3, fps=15, max_faces=1)
    assert all(len(found) == 1 and centre_px(found[0].transform)[0] > 300 for _, found in seen)


def _left(face: TrackedFace) -> bool:
    return bool(centre_px(face.transform)[0] < 300)


def test_a_much_larger_face_that_stays_takes_over(stage: Stage, make_head: Any) -> None:
    """Where one face is followed, one that comes later and is half as large again replaces it within 2.5 s, under a new
    name. The old one is not seen while the larger is there, and has a new name afterwards.
    """
    near, far = make_head(stage.studio.other, 450, 240, 72), make_head(stage.studio.head, 150, 240, 42)
    seen = stage.play(lambda t: [far, near] if 0.45 < t < 3.5 else [far], 5.5, fps=8, tracker=stage.largest())
    assert all(len(found) == 1 for t, found in seen if not 3.4 < t < 5)
    names = {(face.track_id, _left(face)) for _, found in seen for face in found}
    assert names == {(1, True), (2, False), (3, True)}
    of_near = [t for t, found in seen if found and found[0].track_id == 2]
    assert of_near[0] < 0.45 + 2.5
    assert of_near == [t for t, _ in seen if of_near[0] <= t < 3.5]


@pytest.mark.parametrize(("size", "seconds"), [(54, 9.0), (72, 0.9)], ids=["a-bit-larger", "passing-by"])
def test_others_do_not_take_over(stage: Stage, make_head: Any, size: float, seconds: float) -> None:
    """A face that is just a bit larger, or is gone within a second, changes nothing."""
    other, head = make_head(stage.studio.other, 450, 240, size), make_head(stage.studio.head, 150, 240, 42)
    script = lambda t: [head, other] if 0.45 < t < 0.45 + seconds else [head]  # noqa: E731 - as short as it is
    seen = stage.play(script, 4, fps=5, tracker=stage.largest())
    assert {(face.track_id, _left(face)) for _, found in seen for face in found} == {(1, True)}
    assert all(found for _, found in seen)


@pytest.mark.parametrize("hidden_s", [0.3, 0.8])
def test_a_bystander_gets_no_place_for_a_moment(stage: Stage, make_head: Any, hidden_s: float) -> None:
    """The one face that is followed comes back as itself from behind a hand, whoever else stands there."""
    head, other = make_head(stage.studio.head, 150, 240, 60), make_head(stage.studio.other, 470, 240, 55)
    script = lambda t: [other] if 0.5 < t < 0.5 + hidden_s else [head, other]  # noqa: E731 - as short as it is
    seen = stage.play(script, 1.7, fps=15, tracker=stage.largest())
    assert {(face.track_id, _left(face)) for _, found in seen for face in found} == {(1, True)}
    assert all(found for t, found in seen if t < 0.5 or t > 0.5 + hidden_s + 0.15)


def test_who_stays_away_frees_the_place(stage: Stage, make_head: Any) -> None:
    """A bystander is followed once the other has been out of sight for longer than anybody is remembered."""
    head, other = make_head(stage.studio.head, 150, 240, 60), make_head(stage.studio.other, 470, 240, 55)
    seen = stage.play(lambda t: [head, other] if t < 0.5 else [other], 2, fps=10, tracker=stage.largest())
    assert [face.track_id for face in seen[-1][1]] == [2]
    assert all(found for t, found in seen if t > 1.8)


@pytest.mark.parametrize("hidden_s", [0.3, 0.8])
def test_two_faces_keep_their_names_when_one_is_hidden(stage: Stage, make_head: Any, hidden_s: float) -> None:
    """First one and then the other is behind a hand; each comes back as itself, and the one in view stays."""
    head, other = make_head(stage.studio.head, 150, 240, 60), make_head(stage.studio.other, 470, 240, 55)

    def script(t: float) -> list[Any]:
        return [each for each, from_s in ((head, 0.25), (other, 1.45)) if not from_s < t < from_s + hidden_s]

    seen = stage.play(script, 2.7, fps=10)
    names = {(face.track_id, _left(face)) for _, found in seen for face in found}
    assert len({name for name, _ in names}) == len(names) == 2
    assert all(len(found) == len(script(t)) for t, found in seen if len(script(t)) == len(script(t - 0.2)))


@pytest.mark.parametrize(("larger", "looks"), [(False, [0]), (True, [0, 5, 10])])
def test_who_is_followed_alone_costs_a_look_a_second(
    stage: Stage, make_head: Any, monkeypatch: pytest.MonkeyPatch, larger: bool, looks: list[int]
) -> None:
    """With all places taken nobody is looked for, but once a second where a larger face is preferred; and no landmarks
    are taken of the face that is followed.
    """
    asked: list[tuple[str, int]] = []
    for part, name in (
        (stage.detector, "detect"),
        (stage.landmarker, "landmarks"),
        (stage.landmarker, "landmarks_near"),
    ):
        true = getattr(part, name)
        monkeypatch.setattr(part, name, lambda *a, n=name, f=true, **k: asked.append((n, index)) or f(*a, **k))
    tracker = FaceTracker(stage.detector, stage.landmarker, max_faces=1, thorough=False, prefer_larger=larger)
    head = make_head(stage.studio.head, 320, 240, 60)
    for index in range(12):
        assert len(tracker.update(stage.frame([head], index, 5))) == 1
    assert [at for name, at in asked if name == "detect"] == looks
    assert {at for name, at in asked if name != "detect"} == {0}


def test_a_face_that_leaves_the_picture_is_dropped(stage: Stage, make_head: Any) -> None:
    """Once half of the face is outside, it is no longer reported, and never reported far outside."""
    seen = stage.play(lambda t: [make_head(stage.studio.head, 400 + 250 * t, 240, 60)], 1.5)
    assert seen[5][1]
    assert not seen[-1][1]
    assert all(face.quality.inside >= 0.4 for _, found in seen for face in found)


def test_a_face_that_comes_close_gets_a_new_anchor(stage: Stage, make_head: Any) -> None:
    """When the face has grown too much for its anchor there is a new one, under the same identity."""
    seen = stage.play(lambda t: [make_head(stage.studio.head, 320, 240, 45 * (1 + 0.5 * t))], 2)
    assert {face.track_id for _, found in seen for face in found} == {1}
    assert seen[-1][1][0].anchor_id == 2
    assert all(len(found) == 1 for _, found in seen)


def test_an_anchor_is_renewed_on_demand(stage: Stage, make_head: Any) -> None:
    """The frame after the demand has a new anchor, the identity stays, and one demand is met once."""
    head, tracker = make_head(stage.studio.head, 320, 240, 60), stage.tracker()
    seen = []
    for index in range(6):
        (face,) = tracker.update(stage.frame([head], index, 30))
        seen.append((face.track_id, face.anchor_id))
        if index == 2:
            tracker.renew(face.track_id)
    assert seen == [(1, 1)] * 3 + [(1, 2)] * 3


def test_noise_is_never_tracked(stage: Stage) -> None:
    """A clip of noise has no face in any frame."""
    tracker = stage.tracker()
    for index in range(4):
        rgb = np.random.default_rng(index).integers(0, 256, (240, 320, 3)).astype(np.uint8)
        assert tracker.update(Frame(index, index * 0.3, rgb[..., 1].copy(), rgb.copy)) == []


def test_colour_is_asked_for_only_at_anchors(stage: Stage, make_head: Any) -> None:
    """Between anchors a single face is followed in the luma plane alone."""
    head, tracker, asked = make_head(stage.studio.head, 320, 240, 60), stage.tracker(max_faces=1), []
    for index in range(6):
        shot = stage.frame([head], index, 30)
        watched = Frame(shot.index, shot.time_s, shot.luma, lambda s=shot: asked.append(s.index) or s.rgb())
        assert len(tracker.update(watched)) == 1
    assert set(asked) == {0}


def test_a_reset_forgets_everyone(stage: Stage, make_head: Any) -> None:
    """After a reset the same face is a new clip's first face."""
    head, tracker = make_head(stage.studio.head, 320, 240, 60), stage.tracker()
    first = tracker.update(stage.frame([head], 0, 30))
    tracker.reset()
    again = tracker.update(stage.frame([head], 0, 30))
    assert [(f.track_id, f.anchor_id) for f in first + again] == [(1, 1), (1, 1)]
