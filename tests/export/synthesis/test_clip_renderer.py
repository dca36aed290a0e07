"""The quick renderer: what a performance says is what the pixels do."""

import cv2
import numpy as np
import pytest

from export.synthesis.clip_renderer import ClipRenderer
from export.synthesis.identities import default_face, draw_identity, make_identity, read_face
from export.synthesis.mesh_motion import FaceFrame
from export.synthesis.performance import Expression, HeadTurn, LightChange, Performance
from export.synthesis.script import Blink
from export.synthesis.speech import Phrase, Speech
from server.errors import InputError, NoFace
from server.flow.estimate import estimate

SIZE = 400


@pytest.fixture(scope="module")
def face():
    return default_face()


@pytest.fixture(scope="module")
def identity(face):
    return make_identity(face, draw_identity([face], 3, 77), size=SIZE, iod_px=100)


@pytest.fixture(scope="module")
def renderer(identity):
    return ClipRenderer(identity)


def _expression(units, side="both", weak=1.0):
    sides = dict.fromkeys(units, side)
    return Expression("negative", "anger", "expert", "micro", units, sides, weak, 0.1, 0.3, 0.0, 0.5)


def _luma(planes):
    return planes[:SIZE].astype(np.float32)


def _frames(renderer, fps=10, **changes):
    return list(renderer.frames(Performance(**({"duration_s": 0.6, "noise": 0.0} | changes)), fps))


def _motion_at(frames, landmark, apex=3):
    u, v = estimate(_luma(frames[0]), _luma(frames[apex]), "accurate")
    x, y = np.round(landmark).astype(int)
    return np.array([field[y - 3 : y + 4, x - 3 : x + 4].mean() for field in (u, v)])


def test_an_identity_keeps_its_frame_and_changes_its_face(face, identity):
    """The face is where the landmarks say, at about the size that was asked for, and people differ."""
    assert FaceFrame.of(identity.landmarks).iod_px == pytest.approx(100, rel=0.12)
    assert np.all((identity.landmarks > 0) & (identity.landmarks < SIZE))
    other = make_identity(face, draw_identity([face], 4, 77), size=SIZE, iod_px=100)
    assert np.abs(other.landmarks - identity.landmarks).max() > 3
    assert np.isfinite(identity.luma).all()


def test_the_same_number_is_the_same_person(face):
    """Person and picture follow from seed and number alone."""
    assert draw_identity([face], 5, 1) == draw_identity([face], 5, 1)
    assert draw_identity([face], 5, 1) != draw_identity([face], 5, 2)


def test_pixels_move_as_the_performance_says(renderer, identity):
    """AU 4 pulls both inner brows down by about its table; the chin stays."""
    frames = _frames(renderer, expressions=(_expression({4: 0.5}),))
    for index in (107, 336):
        assert 0.5 * 0.035 < _motion_at(frames, identity.landmarks[index])[1] / 100 < 1.4 * 0.035
    assert np.linalg.norm(_motion_at(frames, identity.landmarks[17])) < 0.4


def test_a_one_sided_expression_moves_one_side(renderer, identity):
    """The weak side moves by its share."""
    frames = _frames(renderer, expressions=(_expression({12: 0.5}, "left", 0.1),))
    left, right = (np.linalg.norm(_motion_at(frames, identity.landmarks[index])) for index in (61, 291))
    assert left > 3 * right


def test_a_jaw_that_drops_takes_the_chin_along_and_leaves_the_nose(renderer, identity):
    """AU 26 lowers the chin by its table and does not stretch the upper face."""
    frames = _frames(renderer, expressions=(_expression({26: 0.3}),))
    assert _motion_at(frames, identity.landmarks[200])[1] == pytest.approx(0.3 * 19, rel=0.3)
    assert np.linalg.norm(_motion_at(frames, identity.landmarks[4])) < 0.4


def test_speech_darkens_the_opening_between_the_lips(renderer, identity):
    """An open mouth shows something darker than lips and teeth."""
    levels = np.array([[0.0] * 4, [0.6, 0.5, 0.0, 0.0], [0.0] * 4])
    frames = _frames(renderer, speech=Speech((Phrase((0.1, 0.3, 0.5), levels),)))
    x, y = np.round(identity.landmarks[14]).astype(int)
    spot = np.s_[y : y + 9, x - 8 : x + 9]
    assert _luma(frames[3])[spot].min() < _luma(frames[0])[spot].min() - 20


def test_a_blink_touches_the_eyes_alone(renderer, identity):
    """Half-way closed, only pixels near an eye have changed."""
    frames = _frames(renderer, fps=25, blinks=(Blink(0.3),))
    changed = np.abs(_luma(frames[0]) - _luma(frames[9])) > 8
    rows, columns = np.nonzero(changed)
    eyes = np.stack([identity.landmarks[[33, 133]].mean(axis=0), identity.landmarks[[263, 362]].mean(axis=0)])
    distance = np.hypot(columns[:, None] - eyes[:, 0], rows[:, None] - eyes[:, 1]).min(axis=1)
    assert changed.sum() > 200
    assert distance.max() < 0.4 * 100


def test_the_same_performance_gives_the_same_bytes(renderer):
    """Rendering is deterministic, noise included."""
    first, again, other = (
        np.stack(_frames(renderer, noise=1.5, seed=seed, duration_s=0.2)).tobytes() for seed in (5, 5, 6)
    )
    assert first == again
    assert first != other


def test_planes_are_video(renderer):
    """Frames are 4:2:0 planes that a picture of the face comes out of."""
    (planes,) = _frames(renderer, duration_s=0.1)
    assert planes.shape == (SIZE * 3 // 2, SIZE)
    assert cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420).shape == (SIZE, SIZE, 3)
    assert planes[:SIZE].std() > 20


def test_a_picture_without_a_face_is_refused(tmp_path):
    """The message names the picture."""
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((200, 200, 3), 90, np.uint8))
    with pytest.raises(NoFace, match="wall"):
        read_face(tmp_path / "wall.png")


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_an_unreadable_picture_is_refused(tmp_path, content):
    """A file that is missing or no picture is an input error that names it."""
    path = tmp_path / "face.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"face\.jpg"):
        read_face(path)


@pytest.mark.parametrize(("yaw", "pitch"), [(20.0, 0.0), (-12.0, 0.0), (0.0, 8.0)])
def test_a_turning_head_takes_the_nose_along(renderer, identity, yaw, pitch):
    """The tip of the nose goes where the head turns to, farther than the bridge, and the border of the head stays."""
    turn = HeadTurn(0.0, yaw, pitch, 0.1, 1.0, 0.1)
    still, turned = (_frames(renderer, turns=turns)[3][None] for turns in ((), (turn,)))
    frames = [still[0], turned[0]]
    tip, bridge = (_motion_at(frames, identity.landmarks[index], apex=1) for index in (1, 168))
    axis, way = (0, yaw) if yaw else (1, pitch)
    assert np.sign(tip[axis]) == np.sign(way)
    assert abs(tip[axis]) > abs(bridge[axis]) > 2
    assert np.array_equal(frames[0][:8, :40], frames[1][:8, :40])


def test_light_that_changes_darkens_the_whole_picture(renderer):
    """A lamp at seven tenths leaves seven tenths of what is above black."""
    bright, dark = (
        _luma(_frames(renderer, light_changes=changes)[3]) for changes in ((), (LightChange(0.0, 0.1, 0.7),))
    )
    assert (dark - 16).mean() == pytest.approx(0.7 * (bright - 16).mean(), rel=0.01)
