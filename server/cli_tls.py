"""Options of the command line for a service that is reached under TLS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from client import Tls

CaFileOption = Annotated[
    Path | None, typer.Option(metavar="PEM", help="Authorities that the service's certificate must be of.")
]
CertificateOption = Annotated[
    Path | None, typer.Option(metavar="PEM", help="Certificate to show the service, where it asks for one.")
]
KeyOption = Annotated[Path | None, typer.Option(metavar="PEM", help="Private key of that certificate.")]


def tls_of(ca_file: Path | None, certificate: Path | None, key: Path | None) -> Tls | None:
    """What the options say, None where they say nothing."""
    if ca_file is certificate is key is None:
        return None
    from client import Tls

    return Tls(ca_file, certificate, key)
