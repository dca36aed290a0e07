"""Options that several commands have, or that are a choice of words."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Backend(StrEnum):
    """Who runs the models."""

    LOCAL = "local"
    TRITON = "triton"


class HowMuch(StrEnum):
    """How much of a face is told."""

    FULL = "full"
    MINIMAL = "minimal"


class Faces(StrEnum):
    """Whose expressions."""

    LARGEST = "largest"
    ALL = "all"


UrlOption = Annotated[str | None, typer.Option(help="Ask the running service at this URL instead.")]
BackendOption = Annotated[Backend | None, typer.Option(help="Who runs the models.")]
AddressOption = Annotated[str | None, typer.Option(help="gRPC address of Triton, host:port.")]
