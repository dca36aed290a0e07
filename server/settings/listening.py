"""The settings of where the service listens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from server.settings.group import ABSOLUTE_PATH, MIB, Group, split

Origin = Annotated[str, Field(pattern=r"^(\*|null|[a-z][a-z0-9+.\-]*://[^\s/?#@,]+)$")]
Host = Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9]([A-Za-z0-9_.\-]{0,252}))$")]
Hosts = Annotated[tuple[Host, ...], NoDecode, BeforeValidator(split)]
Origins = Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(split)]


def default_samples() -> str:
    """`samples` beside the package, as in a checkout; nothing where there is none."""
    beside = Path(__file__).resolve().parents[2] / "samples"
    return str(beside) if beside.is_dir() else ""


class ServerSettings(Group):
    """Where the service listens and how long it waits."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 in a container.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port of REST; 0 takes a free one.")
    grpc_port: int = Field(default=8081, ge=0, le=65535, description="Port of gRPC; 0 takes a free one.")
    grpc_message_bytes: int = Field(
        default=32 * MIB, ge=64 * 1024, le=512 * MIB, description="Largest message of gRPC, such as one live frame."
    )
    grpc_keepalive_seconds: float = Field(
        default=20.0,
        ge=0.1,
        le=3600,
        description="After so much silence a connection of gRPC is probed; half as long after that it is given up.",
    )
    grpc_reflection: bool = Field(default=True, description="Whether gRPC tells its interface to whoever asks.")
    socket_message_bytes: int = Field(
        default=16 * MIB,
        ge=64 * 1024,
        le=512 * MIB,
        description="Largest message of WebSocket, such as one frame.",
    )
    allowed_origins: Origins = Field(
        default=(),
        description="Web pages of other addresses that may open live streams and read answers, comma separated, such as"
        " https://lab.example; * for all.",
    )
    allowed_hosts: Hosts = Field(
        default=(),
        description="Names by which the service may be asked, comma separated, beside addresses and localhost; * for"
        " all. Empty: all, but none on loopback.",
    )
    request_deadline_seconds: float = Field(
        default=180.0, gt=0, le=3600, description="Longest time from the arrival of a request to its answer."
    )
    drain_seconds: float = Field(
        default=30.0, ge=0, le=3600, description="Time that requests in flight get to finish at shutdown."
    )
    header_seconds: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="Longest wait for the whole header of a request, and for the first bytes of a connection of gRPC.",
    )
    header_bytes: int = Field(
        default=32 * 1024,
        ge=4096,
        le=MIB,
        description="Largest header of a request, its address included, and largest metadata of a call of gRPC.",
    )
    answer_seconds: float = Field(
        default=15.0, gt=0, le=600, description="Longest time in which a client takes nothing of its answer."
    )
    connections: int = Field(
        default=1024,
        ge=1,
        le=65536,
        description="Connections of REST and WebSocket at a time; one more is answered 429.",
    )
    samples: str = Field(
        default_factory=default_samples,
        pattern=ABSOLUTE_PATH,
        description="Absolute path of a folder of clips that the page offers to everybody to try; by default that of"
        " the checkout. Empty: none.",
    )
    grpc_idle_seconds: float = Field(
        default=300.0, ge=0.1, le=86400, description="After so long without a call a connection of gRPC is closed."
    )
