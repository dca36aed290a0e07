"""What a container asks of itself: the probes of the service that these settings start, over loopback."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from server.errors import ConfigurationError
from server.settings import Settings
from server.settings.group import variable

LIVE, READY = "/livez", "/readyz"
_BODY_BYTES = 64 * 1024
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict of one probe; `says` is what is wrong or was not asked, empty where there is nothing to say."""

    well: bool
    says: str = ""


def ask(
    settings: Settings, probe: str, *, timeout_s: float, certificate: Path | None = None, key: Path | None = None
) -> Health:
    """Ask `probe`, `LIVE` or `READY`, of the service on this machine; each step of it takes `timeout_s` at most.

    Where clients must show a certificate and none is given, a service that shows its own is alive, and not known to be
    ready. Raises `ConfigurationError` where the settings leave the port open, and for a certificate or key
    that cannot be used.
    """
    port, tls = settings.server.port, settings.tls
    if port == 0:
        raise ConfigurationError(f"{variable('server', 'port')} is 0, so that nobody knows where to ask")
    host = _ANYWHERE.get(settings.server.host, settings.server.host)
    context = _context(certificate, key) if tls.certificate else None
    try:
        if context and tls.client_ca and tls.client_mode == "required" and certificate is None:
            return _shaken(context, host, port, timeout_s) if probe == LIVE else _UNKNOWN
        return _asked(context, host, port, timeout_s, probe)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        return Health(well=False, says=f"{host}:{port} does not answer: {reason}")


_UNKNOWN = Health(
    well=False,
    says="whether it is ready is said to clients with a certificate alone: give --client-certificate and --client-key",
)


def _context(certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nobody is trusted: no secret is sent, and on loopback nobody else can have the port. Verified, a certificate whose
    # dates are over, or one that is being exchanged, would have a service restarted that answers as well as it can.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        try:
            # A key that turned out encrypted would be asked for at the terminal.
            context.load_cert_chain(certificate, key, password="")
        except OSError as error:
            reason = getattr(error, "reason", None) or error.strerror
            raise ConfigurationError(f"{certificate} and its key cannot be used: {reason}") from None
    return context


def _asked(context: ssl.SSLContext | None, host: str, port: int, timeout_s: float, probe: str) -> Health:
    connection = (
        http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
        if context
        else http.client.HTTPConnection(host, port, timeout=timeout_s)
    )
    try:
        connection.request("GET", probe)
        answer = connection.getresponse()
        body = answer.read(_BODY_BYTES)
    finally:
        connection.close()
    if answer.status == http.client.OK:
        return Health(well=True)
    return Health(well=False, says=f"{probe} answers {answer.status}{_reasons(body)}")


def _shaken(context: ssl.SSLContext, host: str, port: int, timeout_s: float) -> Health:
    """Well once the service has done its part of the handshake, which its event loop does. Then it refuses."""
    with socket.create_connection((host, port), timeout_s) as plain, context.wrap_socket(plain, server_hostname=host):
        return Health(well=True, says="clients must show a certificate: the handshake alone was looked at")


def _reasons(body: bytes) -> str:
    try:
        return f": {'; '.join(map(str, json.loads(body)['reasons']))}"
    except (ValueError, KeyError, TypeError):
        return ""
