"""What a credential may allow, and what each method of the service asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

ANALYZE, LIVE, MODELS, METRICS, ADMIN = "analyze", "live", "models", "metrics", "admin"
METRICS_PATH = "/metrics"
SCOPES = (ANALYZE, LIVE, MODELS, METRICS, ADMIN)


@dataclass(frozen=True, slots=True)
class Rule:
    """What one address needs: any one of `scopes`; `path` is its template. Without scopes, any credential does."""

    path: str
    scopes: tuple[str, ...] = ()


OPEN = frozenset({"/", "/livez", "/readyz", "/openapi.json", "/docs", "/problems", "/v1/live", "/favicon.ico"})
"""Addresses of REST that tell nothing but what the project publishes, and whether the service is well. `/v1/live` is
one of them without an upgrade; a WebSocket is another thing.
"""
OPEN_FOLDERS = ("/docs/", "/problems/")

_RULES = {
    "/v1/analyze": Rule("/v1/analyze", (ANALYZE,)),
    "/v1/classify": Rule("/v1/classify", (ANALYZE,)),
    "/v1/render": Rule("/v1/render", (ANALYZE,)),
    "/v1/models": Rule("/v1/models", (MODELS,)),
    METRICS_PATH: Rule(METRICS_PATH, (METRICS,)),
}
_FOLDERS = {"/v1/models/": Rule("/v1/models/{name}", (MODELS,)), "/admin/": Rule("/admin", (ADMIN,))}
_UNKNOWN = Rule("unmatched")

SOCKET = Rule("/v1/live", (LIVE,))

_SERVICE = "/glimpse.v1.MicroExpressions/"
METHODS: Mapping[str, Rule] = MappingProxyType(
    {
        rule.path: rule
        for rule in (
            Rule(f"{_SERVICE}Analyze", (ANALYZE,)),
            Rule(f"{_SERVICE}Live", (LIVE,)),
            Rule(f"{_SERVICE}ListModels", (MODELS,)),
            # The limits are asked for before a clip or a stream is sent, so whoever may send one may know them.
            Rule(f"{_SERVICE}GetServerInfo", (MODELS, ANALYZE, LIVE)),
        )
    }
)
OPEN_SERVICES = ("/grpc.health.v1.Health/", "/grpc.reflection.")
"""Reflection is not served at all where the setting says so."""


def rule_of_path(path: str) -> Rule | None:
    """What an address of REST needs; None for one that is open. What nobody has thought of needs a credential."""
    if path in OPEN or path.startswith(OPEN_FOLDERS):
        return None
    if path in _RULES:
        return _RULES[path]
    return next((rule for folder, rule in _FOLDERS.items() if path.startswith(folder)), _UNKNOWN)


def rule_of_method(method: str) -> Rule | None:
    """What a method of gRPC needs; None for one that is open."""
    if method.startswith(OPEN_SERVICES):
        return None
    return METHODS.get(method, _UNKNOWN)
