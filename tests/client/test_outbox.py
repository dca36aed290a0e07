"""Frames on their way to the service."""

import asyncio

import pytest

import client
from client import ForeignAnswer, Frame, FrameDropped, FrameResult
from client.outbox import Outbox

FRAME = Frame("jpeg", bytes(10), 0)


@pytest.fixture
def outbox():
    """Makes outboxes for three frames; `delivered` collects what they deliver."""

    def make(policy, **bounds):
        box = Outbox(
            policy, lambda reply, _: box.delivered.append(reply), **{"most_frames": 3, "most_bytes": 100, **bounds}
        )
        box.delivered = []
        return box

    return make


def result(index):
    return FrameResult(index, 0, 0.0, (), 0.0)


async def test_whoever_waits_goes_on_when_there_is_room(outbox):
    """Under `wait` no frame goes."""
    box = outbox("wait")
    for _ in range(3):
        await box.put(FRAME)
    fourth = asyncio.create_task(box.put(FRAME))
    await asyncio.sleep(0)
    assert not fourth.done()
    assert await box.take() == (0, FRAME)
    assert await fourth == 3


async def test_bytes_are_bounded_too(outbox):
    """One frame alone may be larger."""
    box = outbox("drop_oldest", most_bytes=5)
    await box.put(FRAME)
    await box.put(FRAME)
    assert box.delivered == [FrameDropped(0, 0, "unsent")]


async def test_a_drop_is_told_in_its_place(outbox):
    """After the answers to the frames before it."""
    box = outbox("drop_latest")
    for _ in range(4):
        await box.put(FRAME)
    assert box.delivered == []
    for index in range(3):
        await box.take()
        box.answer(result(index))
    assert [reply.frame_index for reply in box.delivered] == [0, 1, 2, 3]


async def test_an_answer_out_of_turn_is_foreign(outbox):
    """To a frame that was not sent, or before another's."""
    box = outbox("wait")
    await box.put(FRAME)
    with pytest.raises(ForeignAnswer, match="frame 0 out of turn"):
        box.answer(result(0))
    await box.take()
    with pytest.raises(ForeignAnswer, match="frame 1 out of turn"):
        box.answer(result(1))


async def test_what_a_broken_connection_had_is_lost_and_the_rest_waits(outbox):
    """Its number is told once."""
    box = outbox("wait")
    for _ in range(3):
        await box.put(FRAME)
    await box.take()
    assert (box.lost(), box.lost()) == ((0,), ())
    assert await box.take() == (1, FRAME)
    assert box.lost(waiting=True) == (1, 2)
    box.finish()
    assert await box.take() is None


def test_everything_public_is_listed():
    """Sorted, and there."""
    assert client.__all__ == sorted(client.__all__)
    assert [name for name in client.__all__ if not hasattr(client, name)] == []
