"""Spotting on motion signals whose events are known."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import FaceLost, OptionError
from server.spotting.given import given as point_at
from server.spotting.intervals import kind_of, spot
from server.spotting.signal import REGIONS
from server.testing import still_head

BROWS = [i for i, name in enumerate(REGIONS) if name.startswith("brow")]
CORNERS = [i for i, name in enumerate(REGIONS) if name.startswith("mouth_corner")]
LIDS = [i for i, name in enumerate(REGIONS) if name.startswith("lid")]


def _pulse(times, onset, rise, fall):
    up = np.clip((times - onset) / rise, 0, 1)
    down = np.clip((times - onset - rise) / fall, 0, 1)
    return np.sin(np.pi / 2 * up) ** 2 * np.cos(np.pi / 2 * down) ** 2


def _signal(times, *moves, noise=0.0008, seed=0, first_frame=0):
    """Motion of a resting face with `moves` of (regions, onset, rise, fall, peak in IOD, downwards)."""
    rng = np.random.default_rng(seed)
    displacement = noise * rng.standard_normal((len(times), len(REGIONS), 2))
    for regions, onset, rise, fall, peak, sign in moves:
        displacement[:, regions, 1] += sign * peak * _pulse(times, onset, rise, fall)[:, None]
    return still_head(times, displacement, first_frame)


def _iou(a, b):
    return max(0.0, min(a[1], b[1]) - max(a[0], b[0])) / (max(a[1], b[1]) - min(a[0], b[0]))


@settings(max_examples=60, deadline=None)
@given(
    fps=st.sampled_from([25, 30, 60, 100, 200]),
    onset=st.floats(0.6, 1.6),
    rise=st.floats(0.09, 0.22),
    fall=st.floats(0.09, 0.24),
    peak=st.floats(0.025, 0.06),
    regions=st.sampled_from([BROWS, CORNERS]),
    sign=st.sampled_from([-1, 1]),
    seed=st.integers(0, 1000),
)
def test_every_micro_expression_is_found_where_it_is(fps, onset, rise, fall, peak, regions, sign, seed):
    """One pulse gives one micro interval with IoU above one half and an apex within two frames (0.035 s at 200 fps)."""
    times = np.arange(round(3 * fps)) / fps
    events = spot(_signal(times, (regions, onset, rise, fall, peak, sign), seed=seed))
    assert [e.kind for e in events] == ["micro"]
    assert _iou((events[0].onset_s, events[0].offset_s), (onset, onset + rise + fall)) > 0.5
    assert abs(events[0].apex_s - (onset + rise)) <= max(2 / fps, 0.035)
    assert events[0].onset_frame < events[0].apex_frame <= events[0].offset_frame


def test_a_resting_face_has_no_event():
    """Noise alone is never an event, at any rate and length."""
    for fps in (25, 200):
        for seconds in (1, 12):
            assert spot(_signal(np.arange(seconds * fps) / fps, noise=0.002)) == []


def test_blinks_are_not_events():
    """Lids that close, and the slight pull on the brows that comes with it, are nothing to report."""
    times = np.arange(120) / 30
    blink = [(LIDS, t, 0.08, 0.15, 0.09, 1) for t in (0.8, 2.4)]
    pull = [(BROWS, t, 0.08, 0.15, 0.018, 1) for t in (0.8, 2.4)]
    assert spot(_signal(times, *blink, *pull)) == []


def test_a_blink_does_not_explain_what_lasts():
    """A weak expression that is held for a second is found although the lids close once meanwhile."""
    times = np.arange(4 * 60) / 60
    smile = _signal(times, (CORNERS, 1.0, 0.6, 0.8, 0.034, -1), (LIDS, 1.5, 0.08, 0.15, 0.11, 1))
    (event,) = spot(smile)
    assert _iou((event.onset_s, event.offset_s), (1.0, 2.4)) > 0.5


def test_a_head_that_has_just_turned_raises_no_brow():
    """What moves within a fifth of a second of a turn is put down to the head; a second later it is an expression."""
    times = np.arange(5 * 60) / 60
    signal = _signal(times, (BROWS, 3.0, 0.1, 0.15, 0.04, -1))
    for start, events in ((2.6, 0), (1.4, 1)):
        turn = np.zeros((len(times), 2), np.float32)
        turn[:, 0] = np.radians(12) * np.clip((times - start) / 0.35, 0, 1)
        assert len(spot(replace(signal, turn=turn))) == events


def test_an_expression_during_a_blink_is_still_found():
    """A brow raise is not swallowed by a blink that happens with it."""
    times = np.arange(120) / 30
    events = spot(_signal(times, (LIDS, 1.0, 0.08, 0.15, 0.09, 1), (BROWS, 0.95, 0.16, 0.2, 0.045, -1)))
    assert len(events) == 1


def test_a_slow_smile_is_macro():
    """What lasts longer than half a second is a macro-expression."""
    times = np.arange(300) / 30
    events = spot(_signal(times, (CORNERS, 4.0, 0.5, 0.8, 0.1, -1)))
    assert [e.kind for e in events] == ["macro"]


def test_two_expressions_in_a_row_are_two_events():
    """Movements 0.1 s apart are told apart."""
    times = np.arange(600) / 200
    events = spot(_signal(times, (BROWS, 0.8, 0.15, 0.15, 0.05, -1), (BROWS, 1.2, 0.15, 0.15, 0.04, -1)))
    assert len(events) == 2
    assert events[0].offset_s <= events[1].apex_s


def test_a_clip_cut_to_one_expression_is_one_event():
    """Onset at frame 0, offset at the last frame: the first picture is the resting face."""
    times = np.arange(80) / 200
    events = spot(_signal(times, (BROWS, 0.0, 0.18, 0.22, 0.04, 1)))
    assert len(events) == 1
    assert abs(events[0].apex_s - 0.18) < 0.035
    assert events[0].onset_s < 0.06


def test_a_clip_that_ends_at_the_apex_still_has_its_event():
    """The movement need not be over when the clip is."""
    times = np.arange(12) / 30
    events = spot(_signal(times, (CORNERS, 0.0, 0.35, 0.3, 0.05, -1)))
    assert len(events) == 1
    assert events[0].offset_frame == 11


def test_slow_drift_is_not_an_event():
    """A level that creeps by 0.05 IOD in 20 s is drift."""
    times = np.arange(600) / 30
    signal = _signal(times)
    signal.displacement[:, :, 0] += (0.05 * times / 20)[:, None]
    assert spot(signal) == []


def test_variable_frame_rate_does_not_move_events():
    """Times, not frame numbers, say when: half the frames of the clip are missing at random."""
    rng = np.random.default_rng(4)
    times = np.sort(rng.choice(np.arange(240) / 60, 120, replace=False))
    events = spot(_signal(times, (BROWS, 1.5, 0.2, 0.2, 0.045, -1)))
    assert len(events) == 1
    assert abs(events[0].apex_s - 1.7) < 0.05


def test_unsteady_stretches_are_not_trusted():
    """A movement while the head turns away is not reported."""
    times = np.arange(120) / 30
    signal = _signal(times, (BROWS, 1.5, 0.2, 0.2, 0.045, -1))
    signal.unsteady[40:65] = True
    assert spot(signal) == []


def test_single_unsteady_frames_are_bridged():
    """Every third frame is burnt out and shows nonsense: the movement between them is found where it is."""
    times = np.arange(180) / 60
    signal = _signal(times, (BROWS, 1.5, 0.2, 0.2, 0.045, -1))
    signal.unsteady[::3] = True
    signal.displacement[::3] += 0.05
    (event,) = spot(signal)
    assert event.apex_s == pytest.approx(1.7, abs=0.04)


def test_frames_are_those_of_the_clip():
    """A face that comes into view late keeps the clip's frame numbers."""
    times = 2.0 + np.arange(90) / 30
    events = spot(_signal(times, (BROWS, 3.0, 0.2, 0.2, 0.045, -1), first_frame=60))
    assert events[0].apex_frame == pytest.approx(96, abs=2)


def test_given_onset_and_apex_are_kept():
    """What the caller knows is not spotted again."""
    times = np.arange(90) / 30
    event = point_at(_signal(times, (BROWS, 1.0, 0.2, 0.2, 0.045, -1)), 1.0, 1.2, 3.0)
    assert (event.onset_frame, event.apex_frame) == (30, 36)
    assert 36 < event.offset_frame <= 43


def test_a_given_onset_alone_finds_its_apex():
    """The apex is where the face is farthest from the given onset."""
    times = np.arange(90) / 30
    event = point_at(_signal(times, (BROWS, 1.0, 0.2, 0.2, 0.045, -1)), 1.0, None, 3.0)
    assert abs(event.apex_frame - 36) <= 1


def test_a_given_apex_alone_finds_its_onset():
    """The onset is that of the movement in which the apex lies."""
    times = np.arange(90) / 30
    event = point_at(_signal(times, (BROWS, 1.0, 0.2, 0.2, 0.045, -1)), None, 1.2, 3.0)
    assert abs(event.onset_frame - 30) <= 2


@pytest.mark.parametrize(("onset", "apex"), [(1.2, 1.0), (1.0, 1.0), (1.0, 7.0), (-0.1, 1.0)])
def test_impossible_times_are_refused(onset, apex):
    """An apex before its onset, or a time outside the clip, is an option error."""
    with pytest.raises(OptionError):
        point_at(_signal(np.arange(90) / 30), onset, apex, 3.0)


def test_a_time_without_a_face_is_refused():
    """A given apex at which the face had left is a lost face, with the time in the details."""
    with pytest.raises(FaceLost) as caught:
        point_at(_signal(np.arange(60) / 30), 1.0, 2.9, 3.0)
    assert caught.value.details["at_s"] == 2.9


def test_micro_ends_at_half_a_second():
    """Up to the precision of the boundaries, a frame, half a second divides micro from macro."""
    lengths = (0.2, 0.5, 0.51, 0.6, 2.0)
    assert [kind_of(length, 1 / 30) for length in lengths] == ["micro", "micro", "micro", "macro", "macro"]
    assert (kind_of(0.54, 1 / 30), kind_of(0.54, 1 / 200)) == ("micro", "macro")


def test_a_given_event_that_never_returns_is_bounded():
    """The offset is at most four seconds after the onset, and a movement that is none scores 0."""
    times = np.arange(300) / 30
    signal = _signal(times)
    signal.displacement[times > 2.5, :, 1] += 0.05
    event = point_at(signal, 2.0, 3.0, 10.0)
    assert event.offset_s - event.onset_s <= 4.0 + 1 / 30
    assert point_at(_signal(times), 2.0, 2.2, 10.0).score == 0


def test_a_cut_or_a_key_frame_is_not_an_expression():
    """The face is elsewhere from one frame to the next and stays there until the clip ends."""
    times = np.arange(300) / 30
    signal = _signal(times)
    signal.displacement[times > 8.3, :, 1] += 0.03
    assert spot(signal) == []


def test_one_face_does_one_thing_at_a_time():
    """Regions that move at overlapping times, each by its own, never give events whose apexes lie in one another."""
    times = np.arange(600) / 200
    events = spot(
        _signal(
            times, (BROWS, 0.8, 0.2, 0.2, 0.05, -1), (CORNERS, 1.1, 0.2, 0.2, 0.04, -1), (BROWS, 1.4, 0.2, 0.2, 0.04, 1)
        )
    )
    for one, other in itertools.pairwise(events):
        assert one.offset_s <= other.onset_s
    assert len(events) >= 2


def test_a_trace_that_a_codec_leaves_behind_does_not_make_it_macro():
    """An eighth of the movement lingers until the end of the clip: the event ends where the movement did."""
    times = np.arange(90) / 30
    signal = _signal(times, (BROWS, 1.0, 0.17, 0.2, 0.05, -1))
    signal.displacement[times > 1.3, :, 1] -= 0.006
    (event,) = spot(signal)
    assert event.kind == "micro"
    assert event.offset_s == pytest.approx(1.37, abs=0.12)


def test_a_slowly_turning_head_hides_no_expression():
    """A level that creeps by 0.03 IOD a second neither is an event nor raises the threshold for one."""
    times = np.arange(180) / 60
    signal = _signal(times, (BROWS, 1.5, 0.2, 0.2, 0.03, -1))
    signal.displacement[:, :8, 0] += (0.03 * times)[:, None]
    (event,) = spot(signal)
    assert event.kind == "micro"
    assert event.apex_s == pytest.approx(1.7, abs=0.05)


def test_a_small_movement_shows_in_a_clean_picture():
    """Where nothing else moves, 0.014 IOD is enough; in a noisy picture it is not."""
    times = np.arange(180) / 60
    small = (BROWS, 1.5, 0.15, 0.15, 0.014, -1)
    assert len(spot(_signal(times, small, noise=0.0002))) == 1
    assert spot(_signal(times, small, noise=0.004)) == []


def test_a_held_expression_is_one_macro_event():
    """A smile that stays for two seconds is not a new resting face."""
    times = np.arange(300) / 30
    events = spot(_signal(times, (CORNERS, 3.0, 0.4, 2.5, 0.08, -1)))
    assert [e.kind for e in events] == ["macro"]


def test_a_weak_smile_of_both_corners_is_found_however_slow():
    """On one side alone, the same is what a head that turns does."""
    times = np.arange(300) / 30
    assert [e.kind for e in spot(_signal(times, (CORNERS, 3.0, 0.5, 0.7, 0.025, -1)))] == ["macro"]
    assert spot(_signal(times, (CORNERS[:1], 3.0, 0.5, 0.7, 0.025, -1))) == []


def test_bare_skin_alone_is_not_believed():
    """One cheek that moves by itself is an error of measurement."""
    cheek = [REGIONS.index("cheek_left")]
    assert spot(_signal(np.arange(120) / 30, (cheek, 2.0, 0.2, 0.2, 0.03, 1))) == []


def test_a_turning_head_does_not_raise_the_brow():
    """What shifts the temples sideways is a head that turns; the same distance upwards is an outer brow raise."""
    times = np.arange(120) / 30
    upward = _signal(times, (BROWS, 1.2, 0.16, 0.2, 0.016, -1))
    outer = [i for i in BROWS if not REGIONS[i].startswith("brow_inner")]
    sideways = np.zeros_like(upward.displacement)
    sideways[:, outer, 0] = upward.displacement[:, outer, 1]
    assert len(spot(upward)) == 1
    assert spot(replace(upward, displacement=sideways)) == []
