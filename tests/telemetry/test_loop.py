"""The lag of the event loop."""

import asyncio

from server.telemetry.loop import watched_loop


async def test_late_timers_are_told():
    """By how much each was late, nothing where it was early by the rounding of clocks, until the block is left."""
    moments = iter([10.0, 10.251, 11.0, 11.0005, 12.0, 14.0, 15.0])
    lags, heard = [], asyncio.Event()

    def observe(seconds):
        lags.append(round(seconds, 6))
        if len(lags) == 3:
            heard.set()

    async with watched_loop(observe, every_s=0.001, clock=lambda: next(moments)):
        await heard.wait()
    assert lags == [0.25, 0.0, 1.999]
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
