"""What ends a live stream before its client does: the service goes down, or the credential no longer holds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from server.access.guard import Lease


@dataclass(frozen=True, slots=True)
class Ending:
    """Both reasons of one stream; `lease.error` says the second one."""

    shutdown: asyncio.Event
    lease: Lease

    async def wait(self) -> None:
        """Return once there is a reason."""
        waiting = [asyncio.ensure_future(event.wait()) for event in (self.shutdown, self.lease.ended)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
