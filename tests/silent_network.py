"""A network between a client and a service that goes silent: bytes vanish, and nobody is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress


class Network:
    """Passes bytes on both ways between whoever comes to `address` and the service at `target`, until it is cut."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.address = ""
        self.cut = False
        self.given_up = asyncio.Event()
        """The service has closed a connection."""

    async def enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take in one connection."""
        host, port = self._target.rsplit(":", 1)
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        self._writers |= {writer, inner_writer}
        self._begin(self._pass_on(reader, inner_writer))
        self._begin(self._until_closed(inner_reader, writer))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _until_closed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._pass_on(reader, writer)
        self.given_up.set()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if not self.cut:
                    writer.write(data)
                    await writer.drain()

    def end(self) -> None:
        """Break what is left."""
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def network_to(target: str) -> AsyncIterator[Network]:
    """A network to the service at `target`, `host:port`."""
    network = Network(target)
    server = await asyncio.start_server(network.enter, "127.0.0.1", 0)
    network.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield network
    finally:
        server.close()
        network.end()
