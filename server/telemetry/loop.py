"""How late the event loop is: what holds it up holds up every request, also those that only wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

_EVERY_S = 0.25


@asynccontextmanager
async def watched_loop(
    observe: Callable[[float], None], *, every_s: float = _EVERY_S, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[None]:
    """While the block runs, tell `observe` by how many seconds each timer of `every_s` went off too late."""
    task = asyncio.get_running_loop().create_task(_watch(observe, every_s, clock))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _watch(observe: Callable[[float], None], every_s: float, clock: Callable[[], float]) -> None:
    while True:
        due = clock() + every_s
        await asyncio.sleep(every_s)
        observe(max(0.0, clock() - due))
