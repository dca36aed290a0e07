"""From settings to the certificate in use, and what gRPC must be told before it is loaded."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from server.settings.tls import TlsSettings
from server.telemetry.certificates import CertificateMetrics
from server.telemetry.metrics import Metrics
from server.tls.material import TlsFiles
from server.tls.watch import Certificates

# The library speaks TLS 1.2 too and has no option against it. These suites of 1.2 need a key that both sides were given
# beforehand, which nobody has, so that what remains is 1.3; of its suites the variable says nothing.
_SUITES = "GRPC_SSL_CIPHER_SUITES"
_NONE_OF_1_2 = "ECDHE-PSK-AES128-CBC-SHA"

_log = logging.getLogger(__name__)


def prepare_grpc(wanted: TlsSettings) -> None:
    """Set what gRPC reads from the environment when it is imported, where the operator did not."""
    # Else its core writes a line to stderr, past the log, for every handshake that fails: anyone can make it do so.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if wanted.minimum_version == "1.3":
        os.environ.setdefault(_SUITES, _NONE_OF_1_2)


def certificates_of(wanted: TlsSettings, metrics: Metrics) -> Certificates | None:
    """The certificate that the settings name, None where they name none. Raises `ConfigurationError`."""
    files = files_of(wanted)
    if files is None:
        return None
    if wanted.minimum_version == "1.3" and _SUITES not in os.environ:
        _log.warning("gRPC speaks TLS 1.2 too: set GRPC_SSL_CIPHER_SUITES=%s before it is loaded", _NONE_OF_1_2)
    if files.client_ca and files.client_mode == "optional":
        _log.warning("gRPC asks clients for no certificate: its library knows none that is optional")
    return Certificates(files, CertificateMetrics(metrics.registry))


def files_of(wanted: TlsSettings) -> TlsFiles | None:
    """The files that the settings name, None where they name none."""
    if not wanted.certificate:
        return None
    return TlsFiles(
        certificate=Path(wanted.certificate),
        key=Path(wanted.key),
        client_ca=Path(wanted.client_ca) if wanted.client_ca else None,
        client_mode=wanted.client_mode,
        minimum_version=wanted.minimum_version,
    )
