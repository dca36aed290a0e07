"""Speech: when a mouth articulates, and that it makes no expression."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.spotting.intervals import spot
from server.spotting.signal import REGIONS
from server.spotting.speech import speaking, turning_points
from server.testing import still_head

MOUTH = [i for i, name in enumerate(REGIONS) if name.startswith(("lip", "chin", "mouth"))]
CORNERS = [i for i, name in enumerate(REGIONS) if name.startswith("mouth_corner")]
BROWS = [i for i, name in enumerate(REGIONS) if name.startswith("brow")]


def _signal(fps, seconds, *, syllables=(), regions=MOUTH, brow_at=None, rate=4.5, seed=0):
    rng = np.random.default_rng(seed)
    times = np.arange(round(fps * seconds)) / fps
    displacement = 0.0008 * rng.standard_normal((len(times), len(REGIONS), 2))
    for start, stop in syllables:
        inside = (times >= start) & (times <= stop)
        wave = 0.05 * np.sin(np.pi * rate * (times - start)) ** 2 * inside
        displacement[:, regions, 1] += wave[:, None]
    if brow_at is not None:
        level = np.clip(1 - np.abs(times - brow_at) / 0.18, 0, 1)
        displacement[:, BROWS, 1] -= 0.04 * (np.sin(np.pi / 2 * level) ** 2)[:, None]
    return still_head(times, displacement)


@pytest.mark.parametrize("fps", [25, 30, 60, 200])
@pytest.mark.parametrize("rate", [3.2, 4.5, 5.8])
def test_syllables_are_speech_and_no_expressions(fps, rate):
    """A mouth that opens and closes several times a second speaks; nothing else is reported."""
    length = 6 / rate
    signal = _signal(fps, 6, syllables=[(2.0, 2.0 + length)], rate=rate)
    ((start, stop),) = speaking(signal)
    assert start <= 2.1
    assert stop >= 1.9 + length
    assert spot(signal) == []


def test_a_lip_that_goes_to_and_fro_alone_is_lost_from_sight():
    """It is no speech, and no expression, but what the corners of the mouth do meanwhile may be one."""
    alone = _signal(60, 6, syllables=[(2.0, 3.5)], regions=[REGIONS.index("lip_lower")])
    assert speaking(alone) == []
    assert spot(alone) == []
    smile = _signal(60, 6, syllables=[(2.6, 2.9)], regions=CORNERS, rate=1 / 0.3)
    both = replace(alone, displacement=alone.displacement + smile.displacement)
    (event,) = spot(both)
    assert all(region.startswith("mouth_corner") for region in event.regions)


@pytest.mark.parametrize("onset", [1.3, 4.0])
def test_a_smile_beside_speech_is_believed(onset):
    """Within a second of speech, one syllable is still speech; corners that rise while the jaw stays are a smile."""
    spoken = _signal(60, 6, syllables=[(2.0, 3.5)])
    alone = _signal(60, 6, syllables=[(onset, onset + 0.3)], rate=1 / 0.3)
    smile = _signal(60, 6, syllables=[(onset, onset + 0.3)], regions=CORNERS, rate=1 / 0.3)
    assert spot(replace(spoken, displacement=spoken.displacement + alone.displacement)) == []
    (event,) = spot(replace(spoken, displacement=spoken.displacement + smile.displacement))
    assert event.apex_s == pytest.approx(onset + 0.15, abs=0.05)


def test_a_chin_that_goes_to_and_fro_is_speech():
    """The jaw takes it along, also where the lips hardly part."""
    assert len(speaking(_signal(60, 6, syllables=[(2.0, 3.5)], regions=[REGIONS.index("chin")]))) == 1


def test_one_opening_of_the_mouth_is_not_speech():
    """Lips that part once may be an expression, and are reported as one."""
    signal = _signal(60, 4, syllables=[(2.0, 2.3)], rate=1 / 0.3)
    assert speaking(signal) == []
    assert len(spot(signal)) == 1


def test_brows_are_believed_while_the_mouth_speaks():
    """A brow raise during speech is found, and its regions are the brows."""
    signal = _signal(60, 6, syllables=[(1.0, 1.0 + 12 / 4.5)], brow_at=2.5)
    (event,) = spot(signal)
    assert event.apex_s == pytest.approx(2.5, abs=0.05)
    assert all(region.startswith("brow") for region in event.regions)


def test_a_resting_face_does_not_speak():
    """Noise does not turn back far enough."""
    assert speaking(_signal(30, 10)) == []


def test_turning_points_are_where_the_way_back_begins():
    """Swings below the given size do not count."""
    place = np.array([0, 1, 2, 3, 2.9, 3.1, 2, 1, 0, 1, 2, 3], dtype=np.float32)
    assert turning_points(place, 1.0) == [0, 5, 8, 11]
    assert turning_points(place, 10.0) == []


@settings(max_examples=100, deadline=None)
@given(place=st.lists(st.integers(0, 6), min_size=1, max_size=40), swing=st.integers(1, 4))
def test_turning_points_are_extremes_in_turn(place, swing):
    """Minima and maxima alternate, each at least a swing from the next, and no swing between two is left out."""
    points = turning_points(np.array(place, dtype=np.float32), swing)
    assert bool(points) == (max(place) - min(place) >= swing)
    ways = [place[later] - place[earlier] for earlier, later in itertools.pairwise(points)]
    assert all(abs(way) >= swing for way in ways)
    assert all(one * other < 0 for one, other in itertools.pairwise(ways))
    for earlier, later in itertools.pairwise(points):
        between = np.array(place[earlier : later + 1]) * np.sign(place[later] - place[earlier])
        assert np.max(np.maximum.accumulate(between) - between) < swing


def test_spans_of_speech_do_not_overlap():
    """Two sentences with a short pause between them are one span, so that no second is counted twice."""
    signal = _signal(60, 8, syllables=[(1.0, 2.4), (3.6, 5.0)])
    assert len(speaking(signal)) == 1
