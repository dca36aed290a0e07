"""Calls that are given up because their client takes not even its status.

The library waits for the end of a call as long as its client keeps the connection, whether anybody still serves it or
not (grpcio 1.85, `_schedule_rpc_coro`). Cancelling the task that waits lets go of the call; its stream alone is reset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any
from weakref import WeakKeyDictionary

_KEEPERS: WeakKeyDictionary[asyncio.Task[Any], asyncio.Task[Any]] = WeakKeyDictionary()


class WatchedLoop:
    """An event loop that remembers which task began which."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def create_task(self, work: Coroutine[Any, Any, Any], **named: Any) -> asyncio.Task[Any]:
        """As that of the loop."""
        task = self._loop.create_task(work, **named)
        if (keeper := asyncio.current_task(self._loop)) is not None:
            _KEEPERS[task] = keeper
        return task


def give_up(after_s: float = 0.0) -> None:
    """Let go of the call that the current task serves, unless its client has taken its end within so many seconds."""
    task = asyncio.current_task()
    keeper = _KEEPERS.get(task) if task is not None else None
    if keeper is not None:
        due = asyncio.get_running_loop().call_later(after_s, keeper.cancel)
        keeper.add_done_callback(lambda _: due.cancel())
