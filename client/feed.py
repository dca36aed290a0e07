"""Iterables that block, such as cameras and pipes, read by a thread of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import CancelledError
from typing import TypeVar

T = TypeVar("T")


class _End:
    """The iterable is over, by `error` or by itself."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


async def pulled(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, one read ahead. The thread is left behind where it blocks when nobody wants more."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[T | _End] = asyncio.Queue(1)
    stopped = threading.Event()

    def hand_over(item: T | _End) -> bool:
        try:
            asyncio.run_coroutine_threadsafe(queue.put(item), loop).result()
        except (RuntimeError, CancelledError):  # the loop has ended
            return False
        return not stopped.is_set()

    def read() -> None:
        error = None
        try:
            for item in items:
                if not hand_over(item):
                    return
        except BaseException as raised:  # noqa: BLE001 - raised again by whoever reads
            error = raised
        hand_over(_End(error))

    threading.Thread(target=read, name="frames", daemon=True).start()
    try:
        while not isinstance(item := await queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        while not queue.empty():
            queue.get_nowait()
