"""What each address and method needs, and whether an address is this machine's."""

import pytest
from glimpse.v1 import micro_expressions_pb2 as pb

from server.access.addresses import is_loopback, peer
from server.access.guard import Guard
from server.access.scopes import METHODS, OPEN, OPEN_FOLDERS, rule_of_method, rule_of_path
from server.app import create_app
from server.settings import load

PUBLISHED = {"/", "/livez", "/readyz", "/openapi.json", "/docs", "/docs/start.js", "/docs/{name}", "/problems"} | {
    "/problems/{code}",
    "/v1/live",
    "/web/{name:path}",
    "/samples",
    "/samples/{file}",
}


def routes(routes_of):
    """Every route, also of routers that are included lazily."""
    for route in routes_of:
        if hasattr(route, "path") and not hasattr(route, "routes"):
            yield route.path
        else:
            inner = getattr(route, "original_router", route)
            yield from routes(inner.routes)


def test_every_address_of_the_service_is_open_on_purpose_or_needs_a_scope():
    """A new route is closed until somebody says otherwise, and closed with a scope of its own."""
    paths = set(routes(create_app(load({})).routes))
    assert {"/v1/analyze", "/v1/classify", "/v1/models", "/v1/models/{name}", "/metrics"} <= paths
    for path in paths:
        rule = rule_of_path(path)
        assert (rule is None) == (path in PUBLISHED), path
        assert rule is None or rule.scopes, path


def test_every_method_of_the_interface_needs_a_scope():
    """Health and reflection do not."""
    service = pb.DESCRIPTOR.services_by_name["MicroExpressions"]
    assert set(METHODS) == {f"/{service.full_name}/{method.name}" for method in service.methods}
    assert all(rule.scopes for rule in METHODS.values())
    assert rule_of_method("/grpc.health.v1.Health/Check") is None
    assert rule_of_method("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo") is None
    assert rule_of_method("/grpc.health.v1.Healthy/Check").scopes == ()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/analyze/",
        "//v1/analyze",
        "/V1/analyze",
        "/docs/../v1/x",
        "/metrics/",
        "/x",
        "",
        "/livez/",
        "/admin/x",
    ],
)
def test_what_nobody_has_thought_of_is_closed(path):
    """Except below the folders that are open, where nothing else is routed."""
    assert (rule_of_path(path) is None) == path.startswith(OPEN_FOLDERS)
    assert path not in OPEN


def test_metrics_are_open_where_the_setting_says_so():
    """And closed otherwise."""
    assert Guard().rule_of_path("/metrics").scopes == ("metrics",)
    assert Guard(open_metrics=True).rule_of_path("/metrics") is None
    assert Guard(open_metrics=True).rule_of_path("/v1/analyze") is not None


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("169.254.1.1", False),
        ("fe80::1%lo", False),
        ("", False),
        ("no such host", False),
    ],
)
def test_an_address_is_this_machines_alone(host, local):
    """127.0.0.0/8, ::1, and names that lead nowhere else."""
    assert is_loopback(host) is local


def test_a_name_with_one_address_elsewhere_is_not_this_machines(monkeypatch):
    """All of its addresses must be."""
    found = [(2, 1, 6, "", ("127.0.0.1", 0)), (2, 1, 6, "", ("10.0.0.1", 0))]
    monkeypatch.setattr("server.access.addresses.socket.getaddrinfo", lambda *_, **__: found)
    assert not is_loopback("both.example")


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("ipv4:10.0.0.1:5000", "10.0.0.1"),
        ("ipv6:[::1]:5000", "::1"),
        ("ipv6:%5B::1%5D:5000", "::1"),
        ("unix:", "unix"),
        ("", ""),
    ],
)
def test_the_peer_of_a_call_is_an_address_without_its_port(told, address):
    """As gRPC names it."""
    assert peer(told) == address
