"""Performances: what is drawn, when it happens, and what the ground truth says of it."""

import json

import numpy as np
import pytest

from export.synthesis.performance import Gaze, Light, gaze_at
from export.synthesis.scenes import APART_S, SceneOptions, draw_performance, draw_timing
from export.synthesis.speech import ARTICULATORS, draw_speech


def _performance(seed=0, **options):
    return draw_performance(np.random.default_rng(seed), SceneOptions(**options))


def test_micro_expressions_last_as_real_ones_do():
    """At most half a second in all and a third of one from onset to apex."""
    rng = np.random.default_rng(1)
    timings = np.array([draw_timing(rng) for _ in range(1000)])
    totals = timings.sum(axis=1)
    assert totals.max() <= 0.5
    assert timings[:, 0].max() <= 0.3301
    assert timings.min() >= 0
    assert totals.mean() == pytest.approx(0.35, abs=0.03)


@pytest.mark.parametrize("seed", range(8))
def test_expressions_keep_apart_and_inside(seed):
    """Two expressions have rest before, between and after them."""
    performance = _performance(seed, expressions=(2, 2), seconds=(2.5, 4))
    first, second = performance.expressions
    assert first.onset_s >= APART_S - 1e-3
    assert second.onset_s - first.offset_s >= APART_S - 1e-3
    assert performance.duration_s - second.offset_s >= APART_S - 0.01


def test_an_expression_rises_stays_and_falls():
    """Level 1 from the apex for as long as it is held, 0 at onset and offset."""
    (expression,) = _performance(3).expressions
    assert expression.level(expression.apex_s) == pytest.approx(1)
    assert expression.level(expression.apex_s + 0.9 * expression.hold_s) == pytest.approx(1)
    assert expression.level(expression.onset_s) == expression.level(expression.offset_s) == 0


def test_peaks_are_scaled_but_no_muscle_exceeds_its_most():
    """Intensities stay at or below 1 whatever peak was asked for."""
    for seed in range(60):
        (expression,) = _performance(seed, peak_iod=(0.05, 0.06)).expressions
        assert max(expression.action_units.values()) <= 1
        assert expression.truth(30)["peak_iod"] <= 0.0601


def test_speech_opens_the_mouth_several_times_a_second():
    """Syllables of 3 to 6 a second: the jaw goes up and down, and stays shut in the pauses."""
    speech = draw_speech(np.random.default_rng(2), 0.0, 10.0)
    times = np.arange(0, 10, 0.005)
    jaw = np.array([speech.action_units(t).get(26, 0.0) for t in times])
    peaks = np.sum((jaw[1:-1] > jaw[:-2]) & (jaw[1:-1] >= jaw[2:]) & (jaw[1:-1] > 0.02))
    spoken = sum(stop - start for start, stop in speech.intervals())
    assert 2.5 < peaks / spoken < 6.5
    silent = [t for t in times if not any(start <= t <= stop for start, stop in speech.intervals())]
    assert silent
    assert all(not speech.action_units(t) for t in silent)
    assert set(ARTICULATORS) >= {au for t in times for au in speech.action_units(t)}


def test_there_is_no_speech_without_room_for_it():
    """Half a second holds no phrase."""
    assert draw_speech(np.random.default_rng(0), 0.0, 0.5).intervals() == []


def test_eyes_go_where_they_are_sent_and_stay():
    """A gaze shift is over within 0.04 s."""
    gazes = (Gaze(1.0, 0.03, 0.0), Gaze(2.0, -0.02, 0.01))
    assert gaze_at(gazes, 0.9) == (0.0, 0.0)
    assert gaze_at(gazes, 1.5) == pytest.approx((0.03, 0.0))
    assert gaze_at(gazes, 2.05) == pytest.approx((-0.02, 0.01))


def test_light_stays_near_one():
    """Drift and flicker are shares of the light."""
    light = Light(slope=0.1, drift=0.03, flicker=0.005, mains_hz=10, seed=1)
    planes = np.array([light.plane(t) for t in np.linspace(0, 20, 200)])
    assert np.abs(planes[:, 0] - 1).max() <= 0.0351
    assert np.hypot(planes[:, 1], planes[:, 2]).max() <= 0.1001


def test_the_ground_truth_is_complete_and_plain():
    """Events with frames, units with sides, blinks, speech and head motion, as JSON."""
    performance = _performance(5, speech=1, blinks=1, gaze=1)
    truth = json.loads(json.dumps(performance.ground_truth(60)))
    (event,) = truth["events"]
    assert event["apex_frame"] == round(event["apex_s"] * 60)
    assert all(set(unit) == {"au", "intensity", "side"} for unit in event["action_units"])
    assert truth["blinks"]
    assert truth["speech"]
    assert set(truth["head"]) == {"sway", "turn"}
