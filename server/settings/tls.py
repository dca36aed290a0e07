"""The settings of encryption: certificates of the service and of its clients."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from server.settings.group import ABSOLUTE_PATH, Group, split, variable

Scope = Annotated[str, Field(pattern=r"^[a-z][a-z_.\-]{0,63}$")]
Scopes = Annotated[tuple[Scope, ...], NoDecode, BeforeValidator(split)]


class TlsSettings(Group):
    """Which certificate REST, WebSocket and gRPC show, and which ones they ask for. No secret: files alone."""

    certificate: str = Field(
        default="",
        pattern=ABSOLUTE_PATH,
        description="Absolute path of the certificate chain, PEM, the service's own first. Empty: no encryption.",
    )
    key: str = Field(
        default="",
        pattern=ABSOLUTE_PATH,
        description="Absolute path of the certificate's private key, PEM, without a passphrase.",
    )
    client_ca: str = Field(
        default="",
        pattern=ABSOLUTE_PATH,
        description="Absolute path of the authorities, PEM, that clients' certificates must be of. Empty: none asked.",
    )
    client_mode: Literal["required", "optional"] = Field(
        default="required",
        description="Whether a client without a certificate is refused. With optional, gRPC asks for none.",
    )
    client_scopes: Scopes = Field(
        default=("analyze", "live", "models"),
        description="What a client may ask for that is known by its certificate alone, comma separated.",
    )
    minimum_version: Literal["1.2", "1.3"] = Field(default="1.2", description="Oldest version of TLS that is spoken.")
    handshake_seconds: float = Field(
        default=10.0, ge=0.1, le=120, description="Longest time from a connection to the end of its handshake."
    )

    @model_validator(mode="after")
    def _goes_together(self) -> TlsSettings:
        certificate, key = variable("tls", "certificate"), variable("tls", "key")
        if bool(self.certificate) != bool(self.key):
            raise _misfit(f"{key if self.certificate else certificate}: missing, and the two go together")
        if self.client_ca and not self.certificate:
            raise _misfit(f"{variable('tls', 'client_ca')}: needs {certificate} and {key}")
        return self


def _misfit(message: str) -> PydanticCustomError:
    return PydanticCustomError("tls", "{message}", {"message": message})
