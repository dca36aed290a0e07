"""Why movements are no expressions, and how far each region is from rest, on motion signals that are known."""

from dataclasses import replace

import numpy as np
import pytest

from server.spotting.intervals import spot
from server.spotting.signal import REGIONS
from server.spotting.survey import survey
from server.testing import still_head

TIMES = np.arange(5 * 60) / 60
BROWS, CORNERS, LIDS, MOUTH = (
    [i for i, name in enumerate(REGIONS) if name.startswith(start)]
    for start in ("brow", "mouth_corner", "lid", ("lip", "mouth", "chin"))
)


def _signal(*moves, noise=0.0008):
    """A resting face with `moves` of (regions, onset, rise, fall, peak in IOD), downwards."""
    displacement = noise * np.random.default_rng(0).standard_normal((len(TIMES), len(REGIONS), 2))
    for regions, onset, rise, fall, peak in moves:
        up, down = (np.clip(x, 0, 1) for x in ((TIMES - onset) / rise, (TIMES - onset - rise) / fall))
        displacement[:, regions, 1] += peak * (np.sin(np.pi / 2 * up) ** 2 * np.cos(np.pi / 2 * down) ** 2)[:, None]
    return still_head(TIMES, displacement)


def _reasons(signal):
    return [why for _, why in survey(signal).dismissed]


def test_each_blink_is_named_where_it_was():
    """Also where it pulls the brows along, once; its regions are the lids."""
    blinks = [(LIDS, start, 0.08, 0.15, 0.09) for start in (1.0, 3.0)]
    found = survey(_signal(*blinks, (BROWS, 3.0, 0.08, 0.15, 0.018))).dismissed
    assert [why for _, why in found] == ["blink", "blink"]
    for (interval, _), start in zip(found, (1.0, 3.0), strict=True):
        assert interval.onset_s == pytest.approx(start, abs=0.05)
        assert interval.apex_s == pytest.approx(start + 0.08, abs=0.03)
        assert interval.offset_s == pytest.approx(start + 0.23, abs=0.06)
        assert set(interval.regions) == {"lid_left", "lid_right"}
        assert interval.peak_iod == pytest.approx(0.09, abs=0.02)


def test_eyes_that_stay_closed_do_not_blink():
    """A second is no blink, nor is a lid that hardly moves."""
    assert _reasons(_signal((LIDS, 1.0, 0.5, 0.6, 0.09), (LIDS, 3.5, 0.08, 0.15, 0.02))) == []


def test_what_a_turn_puts_in_doubt_is_named():
    """A brow that moves while the head turns is told with its reason; a second later it is an expression."""
    signal = _signal((BROWS, 3.0, 0.1, 0.15, 0.04))
    for start, reasons in ((2.6, ["head-turn"]), (1.4, [])):
        turn = np.zeros((len(TIMES), 2), np.float32)
        turn[:, 0] = np.radians(12) * np.clip((TIMES - start) / 0.35, 0, 1)
        turned = replace(signal, turn=turn)
        assert _reasons(turned) == reasons
        assert len(spot(turned)) == 1 - len(reasons)


def test_syllables_are_named_speech():
    """Where they are, and nothing else."""
    found = survey(_signal(*((MOUTH, 2 + each / 5, 0.1, 0.1, 0.04) for each in range(8)))).dismissed
    assert {why for _, why in found} == {"speech"}
    assert all(1.8 < interval.apex_s < 3.8 for interval, _ in found)


def test_a_cut_is_named():
    """The face is elsewhere from one frame to the next, and stays there until the clip ends."""
    signal = _signal()
    displacement = signal.displacement.copy()
    displacement[-10:, CORNERS, 1] += 0.05
    assert _reasons(replace(signal, displacement=displacement)) == ["cut"]


def test_one_unsure_region_alone_is_named():
    """A cheek that moves while nothing else of that half does."""
    assert _reasons(_signal(([REGIONS.index("cheek_left")], 2.0, 0.1, 0.15, 0.04))) == ["unsupported"]


def test_an_expression_is_not_dismissed_and_its_motion_is_told():
    """The ways of its regions rise to its peak, as spotting measures it; at rest they are nearly nothing."""
    signal = _signal((CORNERS, 2.0, 0.15, 0.2, 0.04))
    found, [event] = survey(signal), spot(signal)
    assert found.dismissed == []
    assert found.ways_iod.shape == (len(TIMES), len(REGIONS))
    assert found.ways_iod.max() == pytest.approx(event.peak_iod, rel=0.02)
    assert TIMES[found.ways_iod[:, CORNERS[0]].argmax()] == pytest.approx(event.apex_s, abs=0.02)
    assert found.ways_iod[TIMES < 1.8].max() < 0.005


def test_what_is_not_steady_is_not_known():
    """Frames in which the head turns away have no motion; a stretch without steady frames has none at all."""
    signal = _signal()
    unsteady = np.zeros(len(TIMES), dtype=np.bool_)
    unsteady[100:120] = True
    ways = survey(replace(signal, unsteady=unsteady)).ways_iod
    assert np.isnan(ways[100:120]).all()
    assert not np.isnan(ways[:100]).any()
    nothing = survey(replace(signal, unsteady=~np.zeros_like(unsteady)))
    assert np.isnan(nothing.ways_iod).all()
    assert nothing.dismissed == []


def test_no_clip_has_more_candidates_than_can_be_read():
    """Of a face that jerks all the time the 500 largest movements are told, in their order."""
    times = np.arange(40_000) / 60
    rng = np.random.default_rng(1)
    displacement = 0.0008 * rng.standard_normal((len(times), len(REGIONS), 2))
    for start, peak in zip(np.arange(1.0, 660.0, 1.0), np.linspace(0.05, 0.09, 659), strict=True):
        window = slice(round(start * 60), round(start * 60) + 14)
        displacement[window, LIDS, 1] += peak * np.sin(np.linspace(0, np.pi, 14))[:, None] ** 2
    found = survey(still_head(times, displacement)).dismissed
    assert len(found) == 500
    onsets = [interval.onset_s for interval, _ in found]
    assert onsets == sorted(onsets)
    assert min(onsets) > 100
