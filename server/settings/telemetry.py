"""The settings of what the service tells about itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from server.settings.address import is_loopback, web_address
from server.settings.group import ABSOLUTE_PATH, Group, variable

TELEMETRY = "telemetry"
_HEADER_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_HEADERS_CHARACTERS = 8192
_ATTRIBUTE = re.compile(r"[a-z][a-z0-9_.]{0,63}=[\x21-\x2b\x2d-\x7e]([\x20-\x2b\x2d-\x7e]{0,126}[\x21-\x2b\x2d-\x7e])?")


class TelemetrySettings(Group):
    """What the service tells about itself, and to whom."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least severe record.")
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="One JSON object per line, or text; auto is text on a terminal, else JSON."
    )
    otlp_endpoint: str = Field(
        default="",
        max_length=2048,
        repr=False,
        description="Where traces go by OTLP over gRPC: http://host:4317, or https:// to encrypt. Empty: no traces.",
    )
    otlp_ca: str = Field(
        default="",
        pattern=ABSOLUTE_PATH,
        description="Absolute path of the authorities, PEM, of an https endpoint. Empty: those of the gRPC library.",
    )
    otlp_headers: SecretStr = Field(
        default=SecretStr(""),
        repr=False,
        description="Headers of each export, name=value, comma separated, such as credentials; never shown.",
    )
    otlp_headers_file: str = Field(
        default="", pattern=ABSOLUTE_PATH, description="Absolute path of a file that holds otlp_headers instead."
    )
    otlp_insecure: bool = Field(
        default=False, description="Send the headers to another machine without encryption as well."
    )
    otlp_timeout_seconds: float = Field(
        default=10.0, ge=0.1, le=120, description="Longest time of one export, its retries included."
    )
    otlp_flush_seconds: float = Field(
        default=3.0,
        ge=0,
        le=60,
        description="Longest time that the end of the service waits for spans to be delivered.",
    )
    trace_share: float = Field(
        default=1.0, ge=0, le=1, description="Share of requests that are traced, unless their caller's trace decides."
    )
    trace_context: Literal["ignore", "link", "continue"] = Field(
        default="link",
        description="What a caller's traceparent does: nothing, a link, or its trace and decision go on here.",
    )
    trace_queue_spans: int = Field(
        default=4096, ge=512, le=1_000_000, description="Spans that may wait to be exported; further ones are dropped."
    )
    service_name: str = Field(
        default="",
        pattern=r"^[\x21-\x7e]{0,128}$",
        description="Name of the service in traces; else OTEL_SERVICE_NAME, else glimpse.",
    )
    resource_attributes: str = Field(
        default="",
        max_length=8192,
        description="Attributes of the service in traces, name=value, comma separated; over OTEL_RESOURCE_ATTRIBUTES.",
    )

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value:
            return value
        parts = web_address(value)
        if parts is None:
            raise _wrong("must be a URL that begins with http:// or https:// and names a host")
        if parts.username is not None or parts.password is not None or parts.path not in {"", "/"} or parts.query:
            raise _wrong("must hold neither user, password, path nor query")
        return value.rstrip("/")

    @field_validator("otlp_headers")
    @classmethod
    def _are_headers(cls, value: SecretStr) -> SecretStr:
        headers(value.get_secret_value())
        return value

    @field_validator("resource_attributes")
    @classmethod
    def _are_attributes(cls, value: str) -> str:
        for item in filter(None, value.split(",")):
            if not _ATTRIBUTE.fullmatch(item):
                raise _wrong("must be name=value, with a name of a-z, 0-9, _ and ., comma separated")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> TelemetrySettings:
        endpoint = variable(TELEMETRY, "otlp_endpoint")
        named = [name for name in ("otlp_headers", "otlp_headers_file") if _given(getattr(self, name))]
        if len(named) == 2:
            raise _wrong(f"{variable(TELEMETRY, named[1])}: give the headers or the file that holds them, not both")
        if self.otlp_ca and not self.otlp_endpoint.startswith("https:"):
            raise _wrong(f"{variable(TELEMETRY, 'otlp_ca')}: needs {endpoint} with https://")
        plain = self.otlp_endpoint.startswith("http:") and not is_loopback(self.otlp_endpoint)
        if named and plain and not self.otlp_insecure:
            message = f"{endpoint}: headers may hold credentials and would travel unencrypted; use https, or set "
            raise _wrong(message + f"{variable(TELEMETRY, 'otlp_insecure')}=true")
        return self


def headers(text: str) -> Mapping[str, str]:
    """The headers that `name=value,name=value` holds. Raises `PydanticCustomError`, which does not repeat any."""
    found: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in item.partition("="))
        name = name.lower()
        if not equals or not _HEADER_NAME.fullmatch(name) or not value or not all(" " <= c <= "~" for c in value):
            raise _wrong("must be name=value, comma separated, of printable ASCII")
        if name.endswith("-bin") or name.startswith("grpc-"):
            raise _wrong("must not name headers of gRPC itself")
        found[name] = value
    if len(text) > _HEADERS_CHARACTERS:
        raise _wrong(f"must be at most {_HEADERS_CHARACTERS} characters")
    return found


def _given(value: str | SecretStr) -> bool:
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("telemetry", "{message}", {"message": message})
