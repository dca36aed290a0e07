"""`glimpse health`: the probe of a container, which needs neither curl nor a shell."""

from __future__ import annotations

from typing import Annotated

import typer

from server import console
from server.cli_tls import CertificateOption, KeyOption
from server.errors import OptionError
from server.settings import load


def health(
    ready: Annotated[bool, typer.Option("--ready", help="Ask /readyz instead of /livez.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds for each step of it.")] = 5.0,
    client_certificate: CertificateOption = None,
    client_key: KeyOption = None,
) -> None:
    """Ask the service of these settings on this machine: 0 where it lives (or is ready), 1 where not."""
    from server.health import LIVE, READY, ask

    if (client_certificate is None) != (client_key is None):
        raise OptionError("--client-certificate and --client-key go together", option="client_certificate")
    verdict = ask(load(), READY if ready else LIVE, timeout_s=timeout, certificate=client_certificate, key=client_key)
    if verdict.says:
        console.say(f"glimpse: {verdict.says}")
    if not verdict.well:
        raise typer.Exit(1)
