"""The certificate in use, as gRPC is handed it, and that of a client, as gRPC tells it."""

from __future__ import annotations

from typing import Any

import grpc

from server.tls.identity import certificate_name
from server.tls.material import Material
from server.tls.watch import Certificates


def credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """What a port is opened with. Each new connection sees the certificate that is in use when it comes."""
    shown = certificates.material
    required = bool(shown.client_ca) and certificates.files.client_mode == "required"

    def changed() -> grpc.ServerCertificateConfiguration | None:
        # Called by the library on threads of its own, once for each connection.
        nonlocal shown
        current = certificates.material
        if current is shown:
            return None
        shown = current
        return _configuration(current)

    return grpc.dynamic_ssl_server_credentials(_configuration(shown), changed, required)


def peer_name(context: Any) -> str:
    """The name of the client of a call by its certificate, see `certificate_name`; empty where it has shown none."""
    return certificate_name(next(iter(context.auth_context().get("x509_pem_cert", ())), b""))


def _configuration(material: Material) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(material.key, material.chain)], material.client_ca or None)
