"""The settings of who may ask for what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from server.settings.group import Group, Names, split, variable

ACCESS = "access"
Algorithms = Annotated[
    tuple[Literal["RS256", "ES256", "EdDSA"], ...], NoDecode, BeforeValidator(split), Field(min_length=1)
]


class AccessSettings(Group):
    """Who may ask. Without a file of keys and without an issuer of tokens, everybody may."""

    require_auth: bool = Field(
        default=False, description="Refuse to start without a file of keys or an issuer of tokens."
    )
    keys_file: str = Field(
        default="",
        pattern=r"^[^\x00-\x1f]*$",
        description="File of API keys, as `glimpse keys` writes it; empty: no keys.",
    )
    open_metrics: bool = Field(default=False, description="Whether /metrics is for everybody, without a credential.")
    reload_seconds: float = Field(
        default=2.0,
        ge=0.1,
        le=3600,
        description="How often files of keys are looked at, and streams whose credential no longer holds are ended.",
    )
    jwt_issuer: str = Field(
        default="", pattern=r"^\S{0,2048}$", description="Issuer (iss) whose tokens are taken; empty: no tokens."
    )
    jwt_audience: str = Field(default="", pattern=r"^\S{0,2048}$", description="Audience (aud) that tokens must name.")
    jwt_jwks: str = Field(
        default="",
        pattern=r"^(https?://[^\s@#]+|/.+)?$",
        description="Public keys of the issuer, a JSON Web Key Set: https address, or absolute path of a file.",
    )
    jwt_algorithms: Algorithms = Field(
        default=("RS256", "ES256", "EdDSA"), description="Algorithms of signatures, of RS256, ES256 and EdDSA."
    )
    jwt_leeway_seconds: float = Field(
        default=30.0, ge=0, le=600, description="How far the clock of the issuer may be off."
    )
    jwt_require_nbf: bool = Field(default=False, description="Refuse tokens that do not say from when they hold (nbf).")
    jwt_scope_claims: Names = Field(
        default=("scope", "scp"),
        min_length=1,
        description="Claims that may hold the scopes; the first that is there does.",
    )
    jwt_scope_prefix: str = Field(
        default="", pattern=r"^\S{0,256}$", description="What stands before our scopes in that claim, such as glimpse:."
    )
    jwt_requests_per_second: float = Field(
        default=0.0, ge=0, le=1e6, description="Requests of one subject of tokens in the long run; 0: not bounded."
    )
    jwt_burst: int = Field(
        default=0, ge=0, le=1_000_000, description="Requests of one subject at once; 0: those of a second."
    )
    jwt_live_streams: int = Field(
        default=0, ge=0, le=1_000_000, description="Live streams of one subject at a time; 0: not bounded."
    )
    jwks_fresh_seconds: float = Field(
        default=300.0, ge=1, le=86400, description="Age from which keys from an address are asked for anew."
    )
    jwks_stale_seconds: float = Field(
        default=86400.0, ge=1, le=30 * 86400, description="How long they serve while nobody answers there."
    )
    jwks_pause_seconds: float = Field(
        default=10.0, ge=1, le=3600, description="Least time between two questions to that address."
    )
    jwks_timeout_seconds: float = Field(default=5.0, gt=0, le=60, description="Longest time that it gets to answer.")

    @property
    def on(self) -> bool:
        """Whether anybody has to say who they are."""
        return bool(self.keys_file or self.jwt_issuer)

    @model_validator(mode="after")
    def _whole(self) -> AccessSettings:
        given = [bool(value) for value in (self.jwt_issuer, self.jwt_audience, self.jwt_jwks)]
        if any(given) and not all(given):
            raise _wrong(
                f"{variable(ACCESS, 'jwt_issuer')}: issuer, audience and jwks of tokens belong together; give all three"
            )
        if self.jwks_stale_seconds < self.jwks_fresh_seconds:
            raise _wrong(
                f"{variable(ACCESS, 'jwks_stale_seconds')}: must be at least {variable(ACCESS, 'jwks_fresh_seconds')}"
            )
        return self


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("access", "{message}", {"message": message})
