"""What MOL is taught besides the class."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from export.landmarks_68 import LEFT_EYE, RIGHT_EYE, of_mesh
from export.mol_targets import joint_targets
from export.networks.mol import NETWORKS
from export.synthesis.events import EventSamples, render_events
from server.types import CROP_EYE_Y_PX, CROP_IOD_PX, EventSample, FlowField

RIGHT_PX, DOWN_PX = 0.5, -0.25


def _event() -> EventSample:
    """Skin that moves by the same half px of the frames, a whole one of the crop, in each of seven steps."""
    rng = np.random.default_rng(0)
    skin = cv2.GaussianBlur(rng.uniform(0, 255, (320, 320)).astype(np.float32), (0, 0), 4.0)
    skin = np.clip((skin - skin.mean()) * 6 + 128, 0, 255).astype(np.float32)
    course = []
    for frame in range(8):
        move = np.array([[1, 0, -32 + 2 * RIGHT_PX * frame], [0, 1, -32 + 2 * DOWN_PX * frame]], np.float32)
        course.append(cv2.warpAffine(skin, move, (256, 256), flags=cv2.INTER_CUBIC))
    mesh = rng.uniform(40, 216, (468, 2)).astype(np.float32)
    nothing = np.zeros((256, 256), np.float32)
    return EventSample(course[0], course[4], mesh, FlowField(nothing, nothing, nothing), np.stack(course))


@pytest.fixture(scope="module")
def samples() -> EventSamples:
    """Two rendered expressions of one person, told as to MOL."""
    return render_events("frames_8x128", 2, seed=0, extras=NETWORKS[0].extras)


def test_flow_goes_from_each_frame_to_the_next() -> None:
    """U to the right and v down, in px of the frames, of each of seven pairs."""
    flow = joint_targets(_event())["flow"]
    assert flow.shape == (2, 128, 128, 7)
    inner = flow[:, 24:-24, 24:-24].astype(np.float32)
    np.testing.assert_allclose(inner.mean((1, 2)), np.array([[RIGHT_PX], [DOWN_PX]]).repeat(7, 1), atol=0.06)


def test_landmarks_move_with_the_skin() -> None:
    """Those of the onset in px of the frames, and then where the flow from the onset carries them."""
    event = _event()
    landmarks = joint_targets(event)["landmarks"].reshape(68, 2, 8)
    onset = (of_mesh(event.landmarks_crop) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(landmarks[..., 0], onset, atol=1e-4)
    moved = landmarks - landmarks[..., :1]
    expected = np.array([[RIGHT_PX], [DOWN_PX]]) * np.arange(8)
    np.testing.assert_allclose(moved.mean(0), expected, atol=0.15)


def test_rendered_faces_are_told(samples: EventSamples) -> None:
    """The eyes stay where alignment puts them, something moves, and most of the skin hardly does."""
    flow, landmarks = samples.extras["flow"], samples.extras["landmarks"]
    assert (flow.shape, flow.dtype) == ((2, 2, 128, 128, 7), np.float16)
    assert (landmarks.shape, landmarks.dtype) == ((2, 136, 8), np.float32)
    assert np.median(np.abs(flow)) < 0.5 < np.abs(flow).max()
    points = landmarks.reshape(2, 68, 2, 8)
    left, right = (points[:, eye].mean(1) for eye in (LEFT_EYE, RIGHT_EYE))
    assert np.abs(right[:, 0] - left[:, 0] - CROP_IOD_PX / 2).max() < 4
    assert np.abs((left + right)[:, 1] / 2 - CROP_EYE_Y_PX / 2).max() < 3
    assert np.abs(points - points[..., :1]).max() > 0.3


def test_nobody_pays_who_does_not_ask(samples: EventSamples) -> None:
    """Told or not, inputs are the same; the hash names what was told."""
    plain = render_events("frames_8x128", 2, seed=0)
    assert plain.extras == {}
    assert np.array_equal(plain.inputs["video"], samples.inputs["video"])
    assert plain.sha256() != samples.sha256()
