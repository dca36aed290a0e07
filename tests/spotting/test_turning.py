"""What a head that turns leaves in the regions of a face, and that it hides no expression."""

from dataclasses import replace

import numpy as np
import pytest

from server.spotting.intervals import spot
from server.spotting.signal import LIDS, REGIONS
from server.spotting.turning import doubts, without_turns
from server.testing import still_head

FACE = np.flatnonzero(~np.array(LIDS))
CORNERS = [i for i, name in enumerate(REGIONS) if name.startswith("mouth_corner")]
TIMES = np.arange(8 * 30) / 30


def _there_and_back(start, way, away):
    """Share of a turn that begins at `start`, takes `way` seconds and stays for `away`."""
    gone, back = (TIMES - start) / way, (start + 2 * way + away - TIMES) / way
    return np.sin(np.pi / 2 * np.clip(np.minimum(gone, back), 0, 1)) ** 2


def _pulse(onset, offset):
    inside = np.clip((TIMES - onset) / (offset - onset), 0, 1)
    return np.sin(np.pi * inside) ** 2


def _turned(share, *, yaw, left, seed=0):
    """A face of which a turn by `yaw` leaves `left` IOD per radian, to a side of its own in each region."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, len(FACE))
    sides = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    displacement = 0.0005 * rng.standard_normal((len(TIMES), len(REGIONS), 2))
    displacement[:, FACE] += left * yaw * share[:, None, None] * sides
    turn = np.stack([yaw * share, np.zeros(len(TIMES))], axis=1).astype(np.float32)
    return replace(still_head(TIMES, displacement), turn=turn)


def test_what_a_turn_leaves_is_taken_out():
    """Most of what goes with the turn is gone, and what a mouth does meanwhile by itself stays."""
    signal = _turned(_there_and_back(2.0, 0.8, 1.0), yaw=0.15, left=0.4)
    before = np.abs(np.diff(signal.displacement[:, FACE], axis=0)).sum(axis=(0, 2))
    after = np.abs(np.diff(without_turns(TIMES, signal.displacement, signal.turn)[:, FACE], axis=0)).sum(axis=(0, 2))
    noise = np.abs(np.diff(signal.displacement[TIMES > 5][:, FACE], axis=0)).mean(axis=(0, 2)) * 2 * len(TIMES)
    assert np.all(after - noise < 0.35 * np.maximum(before - noise, 0.01))
    signal.displacement[:, CORNERS, 1] -= (0.04 * _pulse(3.1, 3.5))[:, None]
    smile = without_turns(TIMES, signal.displacement, signal.turn)[:, CORNERS, 1]
    rest, apex = (int(np.searchsorted(TIMES, t)) for t in (3.0, 3.3))
    assert smile[rest] - smile[apex] == pytest.approx(0.04, abs=0.008)


def test_a_head_that_holds_still_changes_nothing():
    """Nothing is taken out, and nothing is in doubt, as long as no turn is larger than what expressions feign."""
    signal = _turned(_there_and_back(2.0, 0.8, 1.0), yaw=0.009, left=0.4)
    assert np.array_equal(without_turns(TIMES, signal.displacement, signal.turn), signal.displacement)
    assert not doubts(TIMES, signal.turn).any()


def test_movements_are_in_doubt_while_the_head_turns():
    """More at the end of a brow than beside the nose, the more the further it turns, and not half a second later."""
    small, large = (doubts(TIMES, _turned(_there_and_back(2.0, 0.5, 2.0), yaw=x, left=0.0).turn) for x in (0.05, 0.1))
    now, then = (int(np.searchsorted(TIMES, t)) for t in (2.25, 3.0))
    brow, nose = REGIONS.index("brow_outer_left"), REGIONS.index("nose_wing_left")
    assert large[now, brow] > large[now, nose] > small[now, nose] > 0
    assert not large[then].any()


@pytest.mark.parametrize("seed", range(4))
def test_a_turn_alone_is_no_expression(seed):
    """Whatever the face, and however far or fast the head goes."""
    for yaw, way in ((0.08, 0.4), (0.15, 0.8), (0.25, 0.6)):
        assert spot(_turned(_there_and_back(2.0, way, 1.0), yaw=yaw, left=0.4, seed=seed)) == []


@pytest.mark.parametrize("seed", range(4))
def test_a_smile_at_the_end_of_a_turn_is_found(seed):
    """What the turn leaves is not taken for the beginning of the smile, nor the smile for the head's doing."""
    signal = _turned(_there_and_back(2.0, 0.6, 1.5), yaw=0.14, left=0.4, seed=seed)
    signal.displacement[:, CORNERS, 1] -= (0.09 * _pulse(4.0, 5.6))[:, None]
    (event,) = spot(signal)
    assert event.onset_s == pytest.approx(4.0, abs=0.35)
    assert event.offset_s == pytest.approx(5.6, abs=0.35)


def test_a_micro_expression_while_the_head_is_turned_is_found():
    """The head stays where it has gone to, so nothing is in doubt, and the mouth moves as it would in front."""
    signal = _turned(_there_and_back(2.0, 0.5, 2.0), yaw=0.14, left=0.4)
    signal.displacement[:, CORNERS, 1] -= (0.03 * _pulse(3.3, 3.65))[:, None]
    (event,) = spot(signal)
    assert event.kind == "micro"
    assert event.peak_iod == pytest.approx(0.03, abs=0.006)
