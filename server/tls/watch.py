"""The certificate in use, and its exchange while the service runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from server.errors import ConfigurationError
from server.tls.material import Material, TlsFiles, read

_log = logging.getLogger(__name__)

Present = Callable[[ssl.SSLContext], Awaitable[None]]
Signature = tuple[tuple[int, ...], ...]


class CertificateTelemetry(Protocol):
    """What is told to the metrics."""

    def set_certificate_expiry(self, timestamp_s: float) -> None:
        """When the certificate in use ends to be valid."""

    def count_certificate_reload(self, outcome: str) -> None:
        """Changed files were `loaded`, or `failed` and the certificate in use stays."""


class Certificates:
    """The set of files in use. Made anywhere, used on one event loop, but for `material`, which any thread may read.

    The files are looked at every `every_s` seconds. Raises `ConfigurationError` where they cannot be used at the start.
    """

    def __init__(self, files: TlsFiles, telemetry: CertificateTelemetry, *, every_s: float) -> None:
        self.files = files
        self._telemetry = telemetry
        self._every_s = every_s
        self._presenters: list[Present] = []
        self._turn = asyncio.Lock()
        self._tried = _signature(files)
        self.material = read(files)
        self._tell("certificate in use", self.material)

    async def present_by(self, present: Present) -> None:
        """Have `present` called with the context of new connections, now and at every change."""
        async with self._turn:
            await present(self.material.context)
            self._presenters.append(present)

    async def watch(self) -> None:
        """Take changed files once they have stood still, until cancelled. A set that does not fit changes nothing."""
        seen = self._tried
        while True:
            await asyncio.sleep(self._every_s)
            before, seen = seen, await asyncio.to_thread(_signature, self.files)
            # Whoever copies one file after the other is not caught between them.
            if seen == before and seen != self._tried:
                await self.reload()

    async def reload(self) -> str:
        """Take the files as they are now; where they cannot be used, what is in use stays, and the reason is told."""
        async with self._turn:
            self._tried = await asyncio.to_thread(_signature, self.files)
            try:
                await self._take(await asyncio.to_thread(read, self.files))
            except (ConfigurationError, OSError, ValueError) as error:
                self._telemetry.count_certificate_reload("failed")
                reason = str(error)
                extra = {"reason": reason, "serial": self.material.serial}
                _log.error("the new certificate cannot be used; the one before stays", extra=extra)
                return reason
        return ""

    async def _take(self, fresh: Material) -> None:
        if fresh == self.material:
            return
        moment = datetime.now(UTC)
        if not fresh.valid_at(moment) and self.material.valid_at(moment):
            raise ConfigurationError(f"{self.files.certificate} is not valid now, by its dates")
        for present in self._presenters:
            await present(fresh.context)
        self.material = fresh
        self._telemetry.count_certificate_reload("loaded")
        self._tell("certificate reloaded", fresh)

    def _tell(self, message: str, material: Material) -> None:
        self._telemetry.set_certificate_expiry(material.expires.timestamp())
        expires = material.expires.isoformat(timespec="seconds")
        _log.info(message, extra={"serial": material.serial, "hosts": ",".join(material.hosts), "expires": expires})
        if not material.valid_at(datetime.now(UTC)):
            _log.error(
                "the certificate is not valid now, by its dates; clients will refuse it", extra={"expires": expires}
            )
        for warning in material.warnings:
            _log.warning("%s", warning)


def _signature(files: TlsFiles) -> Signature:
    return tuple(_marks(path) for path in files.paths)


def _marks(path: Path) -> tuple[int, ...]:
    """What changes with the file or with a link on the way to it; nothing where it is missing."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
