"""Rendered clips: what the script says is what the pixels do."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.synthesis.clips import RATES, SAMPLES, encode, portrait
from export.synthesis.mesh_motion import ACTION_UNITS, MIRROR, FaceFrame, motion_field, peak_displacement
from export.synthesis.render import Renderer
from export.synthesis.script import Blink, Movement, Script, Sway, expression
from server.flow.estimate import estimate

SAMPLES_FOLDER = Path(__file__).parents[3] / "samples"


@pytest.fixture(scope="module")
def subject():
    return portrait()


@pytest.fixture(scope="module")
def renderer(subject):
    return Renderer(subject)


def _gray(rgb):
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _still(**changes):
    return Script(**({"duration_s": 1.0, "sway": Sway(), "noise": 0.0, "flicker": 0.0} | changes))


def test_the_portrait_is_framed_for_the_service(subject):
    """640x480 with the eyes 96 px apart, give or take the landmarks' own error."""
    assert subject.rgb.shape == (480, 640, 3)
    assert FaceFrame.of(subject.landmarks).iod_px == pytest.approx(96, rel=0.03)


@given(rise=st.floats(0.05, 0.4), fall=st.floats(0.05, 0.4), start=st.floats(0, 2))
def test_a_movement_peaks_at_its_apex_and_only_there(rise, fall, start):
    """Level 1 at the apex, 0 outside onset to offset, monotonic on both sides."""
    movement = Movement("x", "micro", {4: 0.3}, start, start + rise, start + rise + fall)
    assert movement.level(start + rise) == pytest.approx(1)
    assert movement.level(start) == movement.level(start + rise + fall) == 0
    up = [movement.level(start + rise * k / 10) for k in range(11)]
    down = [movement.level(start + rise + fall * k / 10) for k in range(11)]
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)


@pytest.mark.parametrize("units", [(4,), (6, 12), (1, 2)])
def test_an_expression_has_the_peak_that_was_asked_for(units):
    """`peak_iod` is the largest displacement of any landmark."""
    movement = expression("x", units, at_s=0, rise_s=0.2, fall_s=0.2, peak_iod=0.04)
    assert peak_displacement(movement.action_units) == pytest.approx(0.04)


@pytest.mark.parametrize("au", ACTION_UNITS)
def test_every_action_unit_is_symmetric_unless_told_otherwise(au, subject):
    """On a mirror-symmetric face both sides move alike; one-sided motion leaves the other side nearly still."""
    mesh = subject.landmarks.copy()
    for left, right in MIRROR.items():
        mesh[right] = (640 - mesh[left][0], mesh[left][1])
    frame = FaceFrame.of(mesh)
    points = np.stack([mesh[list(MIRROR)], mesh[list(MIRROR.values())]])
    both = motion_field(au, "both", mesh, points) / frame.iod_px
    midline = np.abs(points[0, :, 0] - 320) < 0.35 * frame.iod_px
    assert np.allclose(both[0][~midline][:, 0], -both[1][~midline][:, 0], atol=0.02)
    assert np.allclose(both[0][~midline][:, 1], both[1][~midline][:, 1], atol=0.02)
    left_only = motion_field(au, "left", mesh, points) / frame.iod_px
    assert np.abs(left_only[0]).sum() > np.abs(left_only[1]).sum() or np.abs(both).max() < 1e-3


def test_pixels_move_as_the_script_says(renderer, subject):
    """Dense flow between rest and apex finds AU 4 pulling both inner brows down by the scripted amount."""
    movement = expression("negative", (4,), at_s=0.2, rise_s=0.2, fall_s=0.2, peak_iod=0.04)
    script = _still(movements=(movement,))
    frames = list(renderer.frames(script, 30))
    u, v = estimate(_gray(frames[0]), _gray(frames[12]), "accurate")
    iod = FaceFrame.of(subject.landmarks).iod_px
    for index in (107, 336):
        x, y = subject.landmarks[index].astype(int)
        assert 0.5 * 0.04 * iod < v[y - 3 : y + 4, x - 3 : x + 4].mean() < 1.3 * 0.04 * iod
    x, y = subject.landmarks[17].astype(int)
    assert np.hypot(u, v)[y - 3 : y + 4, x - 3 : x + 4].mean() < 0.3


def test_a_blink_touches_the_eyes_alone(renderer, subject):
    """Half-way closed, only pixels within a third of an IOD of an eye have changed."""
    frames = list(renderer.frames(_still(blinks=(Blink(0.3),)), 25))
    changed = np.abs(frames[0].astype(int) - frames[9].astype(int)).max(axis=-1) > 8
    assert changed.sum() > 200
    rows, columns = np.nonzero(changed)
    eyes = np.stack([subject.landmarks[[33, 133]].mean(axis=0), subject.landmarks[[263, 362]].mean(axis=0)])
    distance = np.hypot(columns[:, None] - eyes[:, 0], rows[:, None] - eyes[:, 1]).min(axis=1)
    assert distance.max() < FaceFrame.of(subject.landmarks).iod_px / 3


def test_the_same_script_gives_the_same_pictures(renderer):
    """Rendering is deterministic, noise included; another seed gives other noise."""
    first, again, other = (np.stack(list(renderer.frames(Script(0.2, seed=seed), 30))).tobytes() for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_an_encoded_clip_shows_what_was_rendered(renderer, tmp_path):
    """The file's pictures differ from the rendered ones by compression only."""
    frames = list(renderer.frames(_still(), 10))
    encode(frames, tmp_path / "clip.mp4", 10)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(decoded) == len(frames)
    assert max(float(np.abs(a.astype(int) - b).mean()) for a, b in zip(frames, decoded, strict=True)) < 3


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_committed_samples_follow_their_scripts(name):
    """Every committed clip has the frames, the rate and the ground truth of its script."""
    for fps in RATES[name]:
        stem = name if fps == RATES[name][0] else f"{name}_{fps}fps"
        truth = json.loads((SAMPLES_FOLDER / f"{stem}.json").read_text(encoding="utf-8"))
        assert truth == {"clip": f"{stem}.mp4", **SAMPLES[name].ground_truth(fps)}
        with av.open(str(SAMPLES_FOLDER / f"{stem}.mp4")) as container:
            stream = container.streams.video[0]
            assert stream.frames == round(SAMPLES[name].duration_s * fps)
            assert stream.average_rate == fps


def test_micro_samples_are_of_micro_scale():
    """0.02 to 0.06 IOD and 0.15 to 0.5 s, as real micro-expressions are."""
    for script in SAMPLES.values():
        for movement in script.movements:
            if movement.kind == "micro":
                assert 0.02 <= peak_displacement(movement.action_units) <= 0.06
                assert 0.15 <= movement.offset_s - movement.onset_s <= 0.5
