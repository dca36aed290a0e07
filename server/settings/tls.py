"""The settings of encryption: certificates of the service and of its clients."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from server.settings.group import Group, Names


class TlsSettings(Group):
    """Which certificate REST, WebSocket and gRPC show, and which ones they ask for. No secret: files alone."""

    certificate: str = Field(
        default="", description="File of the certificate chain, PEM, the service's own first. Empty: no encryption."
    )
    key: str = Field(default="", description="File of the certificate's private key, PEM, not encrypted.")
    client_ca: str = Field(
        default="",
        description="File of the authorities, PEM, that clients' certificates must be of. Empty: none asked.",
    )
    client_mode: Literal["required", "optional"] = Field(
        default="required",
        description="Whether a client without a certificate is refused. With optional, gRPC asks for none.",
    )
    client_scopes: Names = Field(
        default=("analyze", "live", "models"),
        description="What a client may ask for that is known by its certificate alone, comma separated.",
    )
    minimum_version: Literal["1.2", "1.3"] = Field(default="1.2", description="Oldest version of TLS that is spoken.")
    handshake_seconds: float = Field(
        default=10.0, ge=0.1, le=120, description="Longest time from a connection to the end of its handshake."
    )
    reload_seconds: float = Field(
        default=10.0,
        ge=0.05,
        le=86400,
        description="How often the files are looked at; changed ones are taken once they stood still for so long.",
    )

    @model_validator(mode="after")
    def _goes_together(self) -> TlsSettings:
        if bool(self.certificate) != bool(self.key):
            missing = "GLIMPSE_TLS__KEY" if self.certificate else "GLIMPSE_TLS__CERTIFICATE"
            raise PydanticCustomError("tls", "{message}", {"message": f"{missing} is missing: they go together"})
        if self.client_ca and not self.certificate:
            message = "GLIMPSE_TLS__CLIENT_CA needs GLIMPSE_TLS__CERTIFICATE and GLIMPSE_TLS__KEY"
            raise PydanticCustomError("tls", "{message}", {"message": message})
        return self
