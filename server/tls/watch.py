"""The certificate in use, and its exchange while the service runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol

from server.errors import ConfigurationError
from server.tls.material import Material, TlsFiles, read

_log = logging.getLogger(__name__)

Present = Callable[[ssl.SSLContext], Awaitable[None]]


class CertificateTelemetry(Protocol):
    """What is told to the metrics."""

    def set_certificate_expiry(self, timestamp_s: float) -> None:
        """When the certificate in use ends to be valid."""


class Certificates:
    """The set of files in use. Made anywhere, used on one event loop, but for `material`, which any thread may read.

    Raises `ConfigurationError` where they cannot be used at the start.
    """

    def __init__(self, files: TlsFiles, telemetry: CertificateTelemetry) -> None:
        self.files = files
        self._telemetry = telemetry
        self._presenters: list[Present] = []
        self._turn = asyncio.Lock()
        self.material = read(files)
        self._tell("certificate in use", self.material)

    async def present_by(self, present: Present) -> None:
        """Have `present` called with the context of new connections, now and at every change."""
        async with self._turn:
            await present(self.material.context)
            self._presenters.append(present)

    async def renew(self) -> None:
        """Take the files as they are now. Raises `ConfigurationError` where they cannot be used; what is in use stays
        then.
        """
        async with self._turn:
            try:
                await self._take(await asyncio.to_thread(read, self.files))
            except (OSError, ValueError) as error:
                raise ConfigurationError(f"the new certificate cannot be used: {error}") from error

    async def _take(self, fresh: Material) -> None:
        if fresh == self.material:
            return
        moment = datetime.now(UTC)
        if not fresh.valid_at(moment) and self.material.valid_at(moment):
            raise ConfigurationError(f"{self.files.certificate} is not valid now, by its dates")
        for present in self._presenters:
            await present(fresh.context)
        self.material = fresh
        self._tell("certificate exchanged", fresh)

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
