"""Writes the settings of the service into the chart's schema: `python -m helm.settings_schema`.

The part `$defs.settings` of `helm/glimpse/values.schema.json` says which settings `gateway.settings` may hold, and
within which bounds, as `server/settings` says it. Left out are secrets, and what other values of the chart decide.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from server.settings import Settings

SCHEMA = Path(__file__).parent / "glimpse" / "values.schema.json"

OWNED = {
    "access.keys_file": "auth.keys.existingSecret",
    "access.require_auth": "auth.required",
    "access.open_metrics": "metrics.open",
    "access.jwt_issuer": "auth.jwt.issuer",
    "access.jwt_audience": "auth.jwt.audience",
    "access.jwt_jwks": "auth.jwt.jwksUrl",
    "backend.kind": "triton.mode",
    "backend.repository": "modelRepository.source",
    "backend.triton_address": "triton.mode",
    "backend.triton_ca": "triton.tls.existingSecret",
    "backend.triton_certificate": "triton.tls.clientCertificate",
    "backend.triton_key": "triton.tls.clientCertificate",
    "mllm.api_key_file": "mllm.existingSecret",
    "server.grpc_port": "gateway.service.grpcPort",
    "server.host": "gateway.listenAddress",
    "server.port": "gateway.service.httpPort",
    "tls.certificate": "tls.existingSecret",
    "tls.client_ca": "tls.clientCa.existingSecret",
    "tls.key": "tls.existingSecret",
}
"""Settings that the chart gives itself, each with the value that decides it."""

ELSEWHERE = {"client"}
"""Groups that no service reads."""

NEEDED = {
    "server": ["drain_seconds"],
    "workers": ["count", "spare", "memory_bytes"],
    "limits": ["buffered_bytes"],
    "live": ["max_streams"],
}
"""What templates compute with, so that it must be there."""


def settings_schema() -> dict[str, Any]:
    """JSON Schema of the value `gateway.settings`, closed."""
    groups: dict[str, Any] = {}
    for group, info in Settings.model_fields.items():
        model = info.annotation
        if group in ELSEWHERE or not (isinstance(model, type) and issubclass(model, BaseModel)):
            continue
        fields = {
            name: _plain(schema)
            for name, schema in model.model_json_schema()["properties"].items()
            if f"{group}.{name}" not in OWNED and model.model_fields[name].annotation is not SecretStr
        }
        groups[group] = {
            "type": "object",
            "additionalProperties": False,
            **({"required": NEEDED[group]} if group in NEEDED else {}),
            "properties": fields,
        }
    return {"type": "object", "additionalProperties": False, "required": sorted(NEEDED), "properties": groups}


def with_settings(schema: dict[str, Any]) -> dict[str, Any]:
    """The chart's schema with the settings of this version of the service."""
    return {**schema, "$defs": {**schema["$defs"], "settings": settings_schema()}}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in {"title", "default"}}


def main() -> None:
    """Rewrite the schema in place."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    SCHEMA.write_text(json.dumps(with_settings(schema), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
