"""The last pictures of a stream, in bounded memory."""

import numpy as np
import pytest

from server.errors import FaceLost
from server.media.limits import MediaLimits
from server.pipeline.frame_store import KEPT_S, FrameStore
from server.streams import LiveFrame

LIMITS = MediaLimits(1, 1, 1 << 16)
SIDE = 16


def _picture(index):
    return LiveFrame(index, 0, "gray8", bytes([index % 256]) * SIDE * SIDE, SIDE, SIDE)


def _played(seconds, fps=100, most_bytes=1 << 30, hold=None):
    """A store after `seconds`, holding `hold` from half a second after it, and the most bytes that it ever had."""
    store, most = FrameStore(LIMITS, most_bytes), 0
    for index in range(round(seconds * fps)):
        store.add(_picture(index), index / fps)
        if hold is not None and index / fps > hold + 0.5:
            store.hold([hold])
        most = max(most, store.bytes)
    return store, most


def _there(store, indices):
    return store.excerpt(indices, []).there(indices)


def test_pictures_come_back_as_they_were():
    """A kept picture is decoded to the frame that it was, with its index and time."""
    store, _ = _played(1)
    frame = store.excerpt([42], []).frame(42, 0.42)
    assert (frame.index, frame.time_s) == (42, 0.42)
    assert np.array_equal(np.unique(frame.luma), [round(16 + 42 * 219 / 255)])


def test_nothing_is_kept_for_longer_than_it_can_be_wanted():
    """Memory stays where it is once the longest movement fits in, however long the stream."""
    store, most = _played(30)
    assert len(store) == pytest.approx(KEPT_S * 100, abs=2)
    assert most == store.bytes


def test_bytes_are_bounded():
    """With room for a second and a half, the newest are dense, the oldest sparse, and the bound is never passed."""
    bound = 150 * (SIDE * SIDE + 512)
    store, most = _played(20, most_bytes=bound)
    assert most <= bound
    assert [frame.index for frame in _there(store, range(1925, 2000))] == list(range(1925, 2000))
    assert 0 < len(_there(store, range(1850, 1925))) < 75


def test_a_bound_below_one_picture_keeps_the_newest():
    """The newest picture is always there."""
    store, _ = _played(1, most_bytes=1)
    assert len(store) == 1
    assert _there(store, [99])[0].index == 99


def test_moments_that_are_held_outlast_others():
    """The pictures around an onset stay while the movement lasts, where all others of its age have gone."""
    bound = 100 * (SIDE * SIDE + 512)
    free, _ = _played(4, most_bytes=bound)
    held, most = _played(4, most_bytes=bound, hold=1.0)
    assert most <= bound
    assert not _there(free, range(96, 105))
    assert [frame.index for frame in _there(held, range(96, 105))] == list(range(96, 105))


def test_more_held_than_there_is_room_for_still_ends():
    """A bound is a bound: what is held goes too, the oldest first."""
    bound = 5 * (SIDE * SIDE + 512)
    held, most = _played(2, most_bytes=bound, hold=1.0)
    assert most <= bound + SIDE * SIDE + 512
    assert _there(held, [199])[0].index == 199


def test_the_nearest_stands_in_only_where_it_shows_the_same():
    """A picture that is gone is replaced by its neighbour, but never by another moment."""
    store = FrameStore(LIMITS, 1 << 20)
    for index in (0, 1, 2, 3, 5, 6):
        store.add(_picture(index), index / 30)
    excerpt = store.excerpt([4, 3, 9, 30], [4 / 30, 1.0])
    assert excerpt.frame(4, 4 / 30).index in (3, 5)
    assert [frame.index for frame in excerpt.frames([4, 3, 9], 4 / 30)][1:] == [3]
    with pytest.raises(FaceLost, match="frame 30"):
        excerpt.frame(30, 1.0)


def test_an_excerpt_outlasts_its_pictures_in_the_store():
    """What is to be measured is there when it is, whatever the store has let go of by then, and nothing else is."""
    store, _ = _played(1)
    excerpt = store.excerpt([10, 11], [0.5])
    store.clear()
    assert [frame.index for frame in excerpt.there(range(100))] == [10, 11, 50]


def test_everything_can_be_forgotten():
    """A picture of another size begins anew."""
    store, _ = _played(1)
    store.clear()
    assert (len(store), store.bytes) == (0, 0)
