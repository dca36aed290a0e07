"""Where live pictures wait."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.media.buffer import LiveBuffer


@dataclass(frozen=True)
class Item:
    """Something of a size."""

    name: int
    size: int = 10


def _filled(policy, count, most_items=3, most_bytes=1000):
    buffer = LiveBuffer(policy, most_items, most_bytes)
    gone = [[each.name for each in buffer.add(Item(name))] for name in range(count)]
    return buffer, gone


def test_the_oldest_make_room():
    """Under `drop_oldest` what has waited longest goes, one for one, and the order stays."""
    buffer, gone = _filled("drop_oldest", 5)
    assert gone == [[], [], [], [0], [1]]
    assert [item.name for item in buffer.take(9)] == [2, 3, 4]


def test_the_latest_goes():
    """Under `drop_latest` what comes while the buffer is full goes itself."""
    buffer, gone = _filled("drop_latest", 5)
    assert gone == [[], [], [], [3], [4]]
    assert [item.name for item in buffer.take(2)] == [0, 1]
    assert buffer.add(Item(5)) == []


def test_whoever_waits_is_told_when():
    """Under `wait` nothing goes; whether there is room can be asked."""
    buffer, gone = _filled("wait", 3)
    assert gone == [[], [], []]
    assert not buffer.fits(Item(3))
    buffer.take(1)
    assert buffer.fits(Item(3))


def test_one_alone_may_be_larger():
    """A picture larger than the whole buffer goes through it, alone."""
    buffer, _ = _filled("drop_oldest", 2, most_bytes=25)
    assert [item.name for item in buffer.add(Item(2, size=500))] == [0, 1]
    assert len(buffer) == 1
    assert [item.name for item in buffer.add(Item(3))] == [2]


@settings(max_examples=200, deadline=None)
@given(
    policy=st.sampled_from(["drop_oldest", "drop_latest"]),
    most_items=st.integers(1, 6),
    most_bytes=st.integers(1, 120),
    steps=st.lists(st.one_of(st.integers(1, 60), st.none()), max_size=60),
)
def test_the_bounds_hold(policy, most_items, most_bytes, steps):
    """Whatever comes and goes, bounds hold, order is kept, and each item comes out once, taken or dropped."""
    buffer = LiveBuffer(policy, most_items, most_bytes)
    put, out, taken = 0, [], []
    for size in steps:
        if size is None:
            taken += buffer.take(2)
        else:
            out += buffer.add(Item(put, size))
            put += 1
        assert len(buffer) <= most_items
        assert buffer.bytes <= most_bytes or len(buffer) == 1
    taken += buffer.take(most_items)
    assert buffer.bytes == len(buffer) == 0
    names = [item.name for item in taken]
    assert names == sorted(names)
    assert sorted(names + [item.name for item in out]) == list(range(put))


@pytest.mark.parametrize("policy", ["wait", "drop_oldest", "drop_latest"])
def test_an_empty_buffer_gives_nothing(policy):
    """Taking from it is no error."""
    assert LiveBuffer(policy, 1, 1).take(4) == []
