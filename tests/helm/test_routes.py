"""Routes of the Gateway API (v1) and Ingresses, of which no package has a schema: what the specification asks for."""

from __future__ import annotations

import re

from tests.helm.chart import case, case_objects, objects, only

ROUTE_FIELDS = {"parentRefs", "hostnames", "rules"}
RULE_FIELDS = {"HTTPRoute": {"name", "matches", "filters", "backendRefs", "timeouts", "retry", "sessionPersistence"},
               "GRPCRoute": {"name", "matches", "filters", "backendRefs", "sessionPersistence"}}  # fmt: skip
DURATION = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")


def _routes():
    return [each for each in case_objects("gateway-api") if each["kind"] in RULE_FIELDS]


def test_routes_have_the_fields_of_the_specification():
    """Both routes are v1, name their gateways, and have no field that their kind lacks."""
    routes = _routes()
    assert {each["kind"] for each in routes} == set(RULE_FIELDS)
    for route in routes:
        assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
        assert set(route["spec"]) <= ROUTE_FIELDS
        assert route["spec"]["parentRefs"] == case("gateway-api")["route"]["parentRefs"]
        for rule in route["spec"]["rules"]:
            assert set(rule) <= RULE_FIELDS[route["kind"]]
            assert all(DURATION.fullmatch(each) for each in rule.get("timeouts", {}).values())


def test_routes_lead_to_ports_of_the_service():
    """REST and WebSocket go to the port of REST, calls to that of gRPC."""
    ports = {port["name"]: port["port"] for port in only(case_objects("gateway-api"), "Service")["spec"]["ports"]}
    for route in _routes():
        wanted = ports["http" if route["kind"] == "HTTPRoute" else "grpc"]
        for rule in route["spec"]["rules"]:
            assert rule["backendRefs"] == [{"name": "demo-glimpse", "port": wanted}]


def test_calls_are_those_of_the_interface():
    """The route of gRPC has the service of the interface and health, and not reflection."""
    from server.api.grpc.calls import SERVICE
    from server.api.grpc.health import NAME

    (rule,) = only(case_objects("gateway-api"), "GRPCRoute")["spec"]["rules"]
    assert [match["method"]["service"] for match in rule["matches"]] == [SERVICE, NAME]


def test_live_streams_have_no_time_out():
    """Neither a live stream of WebSocket nor a call of gRPC is ended by the proxy while it goes on."""
    live, rest = only(case_objects("gateway-api"), "HTTPRoute")["spec"]["rules"]
    assert live["matches"] == [{"path": {"type": "Exact", "value": "/v1/live"}}]
    assert live["timeouts"] == {"request": "0s"}
    assert rest["timeouts"] == {"request": "195s"}
    policy = only(case_objects("gateway-api"), "BackendTrafficPolicy")["spec"]
    (target,) = policy["targetRefs"]
    assert target["name"] == only(case_objects("gateway-api"), "GRPCRoute")["metadata"]["name"]
    assert policy["timeout"]["http"] == {
        "requestTimeout": "0s", "maxStreamDuration": "0s", "streamIdleTimeout": "60s"
    }  # fmt: skip


def test_the_proxy_waits_longer_than_the_service():
    """The time-out of the route follows the deadline of the settings, so that the service's own answer arrives."""
    given = case("gateway-api", gateway={"settings": {"server": {"request_deadline_seconds": 20.5}}})
    rules = only(objects(given), "HTTPRoute")["spec"]["rules"]
    assert rules[1]["timeouts"] == {"request": "36s"}


def test_ingresses_know_their_protocol():
    """An nginx gets one Ingress for each protocol, spools no upload, and lets in what the service lets in."""
    found = case_objects("ingress")
    for name, protocol, port in (("demo-glimpse", "HTTP", 8080), ("demo-glimpse-grpc", "GRPC", 8081)):
        ingress = only(found, "Ingress", name)
        annotations = ingress["metadata"]["annotations"]
        assert annotations["nginx.ingress.kubernetes.io/backend-protocol"] == protocol
        assert annotations["nginx.ingress.kubernetes.io/proxy-request-buffering"] == "off"
        assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == str(256 * 2**20)
        (rule,) = ingress["spec"]["rules"]
        assert rule["http"]["paths"][0]["backend"]["service"]["port"]["number"] == port
