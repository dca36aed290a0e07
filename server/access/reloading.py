"""What can be read anew while the service runs: keys, sets of keys of issuers, certificates.

Files are looked at every few seconds (a look is one `stat`), and all of them are read anew on SIGHUP or where an
operator asks. Whatever is wrong with the new one, the old one serves on, and log and metrics say so.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from server.errors import GlimpseError

_log = logging.getLogger(__name__)

State = tuple[int, ...] | None


class Watched:
    """One thing: `reload` reads it anew and raises a `GlimpseError` where it cannot; `files` are what it is made of."""

    def __init__(self, name: str, reload: Callable[[], Awaitable[None]], files: tuple[Path, ...] = ()) -> None:
        self.name = name
        self.reload = reload
        self.files = files
        self.seen = self.look()

    def look(self) -> tuple[State, ...]:
        """What tells one state of the files from another."""
        return tuple(_state(path) for path in self.files)


def _state(path: Path) -> State:
    try:
        found = path.stat()
    except OSError:
        return None
    # The time of the last change of rights too: a file that could not be read may be readable now.
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


class Reloader:
    """All that can be read anew. `count` is told each attempt, by name and whether it succeeded."""

    def __init__(self, count: Callable[[str, bool], None], *, every_s: float) -> None:
        self._count = count
        self._every_s = every_s
        self._watched: list[Watched] = []
        self._afterwards: list[Callable[[], None]] = []
        self._turn = asyncio.Lock()

    def add(self, name: str, reload: Callable[[], Awaitable[None]], *files: Path) -> None:
        """Watch `files`, and call `reload` where one has changed; without files, only where all is read anew."""
        self._watched.append(Watched(name, reload, files))

    def afterwards(self, call: Callable[[], None]) -> None:
        """Call this after every look."""
        self._afterwards.append(call)

    async def reload(self) -> Mapping[str, str]:
        """Read all anew; by name, what was wrong, or nothing."""
        async with self._turn:
            told = {each.name: await self._read(each) for each in self._watched}
        self._finish()
        return told

    async def look(self) -> None:
        """Read anew what has changed."""
        async with self._turn:
            for each in self._watched:
                if each.files and await asyncio.to_thread(each.look) != each.seen:
                    await self._read(each)
        self._finish()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look, every so often and on SIGHUP, inside the block."""
        if not self._watched:
            # The signal of a terminal that is closed then ends the service, as it does any other.
            yield
            return
        loop = asyncio.get_running_loop()
        hung_up = asyncio.Event()
        # Only the main thread hears signals; elsewhere the service is somebody else's.
        with suppress(ValueError, RuntimeError, NotImplementedError):
            loop.add_signal_handler(signal.SIGHUP, hung_up.set)
        task = loop.create_task(self._run(hung_up))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            with suppress(ValueError, RuntimeError, NotImplementedError):
                loop.remove_signal_handler(signal.SIGHUP)

    async def _run(self, hung_up: asyncio.Event) -> None:
        while True:
            try:
                async with asyncio.timeout(self._every_s):
                    await hung_up.wait()
            except TimeoutError:
                await self.look()
            else:
                hung_up.clear()
                await self.reload()

    async def _read(self, each: Watched) -> str:
        # Before it is read: what changes meanwhile is read again.
        each.seen = await asyncio.to_thread(each.look)
        try:
            await each.reload()
        except GlimpseError as error:
            extra = {"what": each.name, "reason": error.message}
            _log.error("what was read anew is wrong; the old one serves on", extra=extra)
            self._count(each.name, False)  # noqa: FBT003 - the only thing there is to say
            return error.message
        _log.info("read anew", extra={"what": each.name})
        self._count(each.name, True)  # noqa: FBT003 - likewise
        return ""

    def _finish(self) -> None:
        for call in self._afterwards:
            call()
