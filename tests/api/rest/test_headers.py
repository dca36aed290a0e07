"""What browsers are told: by security headers, to pages of other addresses, and under foreign names."""

import socket

import pytest
import trustme
import websockets

from tests.tls.conftest import Office

LAB = "https://lab.example"
STRICT = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
CLIP = {"clip": ("clip", b"abc", "video/mp4")}


@pytest.fixture(scope="module")
def service(start_once):
    """One that pages of one other address may ask."""
    return start_once(server={"allowed_origins": LAB})


@pytest.fixture(scope="module")
def closed(start_once):
    """One with default settings."""
    return start_once()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/livez", 200),
        ("HEAD", "/readyz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/v1/models", 200),
        ("POST", "/v1/analyze", 415),
        ("GET", "/nope", 404),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/live", 426),
        ("GET", "/", 200),
        ("GET", "/web/page.css", 200),
        ("GET", "/samples", 200),
        ("GET", "/docs", 200),
        ("GET", "/docs/swagger-ui.css", 200),
        ("GET", "/problems", 200),
        ("GET", "/openapi.json", 200),
    ],
)
def test_every_answer_has_them(closed, method, path, status):
    """Pages, errors and the empty ones too; nothing promises encryption that there is none of."""
    answer = closed.client.request(method, path)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in STRICT} == STRICT
    assert "default-src" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "camera=(self)" in answer.headers["permissions-policy"]
    assert "strict-transport-security" not in answer.headers
    assert "server" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers


def test_results_are_not_kept(closed):
    """Neither reports nor their streams nor problems; what is everybody's may be."""
    answers = [
        closed.client.post("/v1/analyze", files=CLIP),
        closed.client.post("/v1/analyze", files=CLIP, headers={"accept": "text/event-stream"}),
        closed.client.post("/v1/analyze", files=CLIP, params={"faces": "none"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 422]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert "max-age" in closed.client.get("/docs/swagger-ui.css").headers["cache-control"]


def test_an_unforeseen_error_has_them_too(start):
    """Also where nothing else went right."""
    service = start()
    service.analyzer.error = RuntimeError("unforeseen")
    answer = service.client.get("/v1/models")
    assert answer.status_code == 500
    assert {name: answer.headers.get(name) for name in STRICT} == STRICT


def test_what_is_no_http_has_them_too(closed):
    """It is answered before there is a request."""
    with socket.create_connection(closed.address, 10) as connection:
        connection.sendall(b"NONSENSE\r\n\r\n")
        connection.settimeout(10)
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"x-content-type-options: nosniff\r\n" in answer
    assert b"frame-ancestors 'none'" in answer


def test_under_tls_browsers_are_told_to_stay_there(start, tmp_path):
    """But for addresses and localhost, where the promise would bind every service of the machine."""
    office = Office(tmp_path, trustme.CA(), trustme.CA())
    office.issue()
    service = start(tls=office.settings, server={"allowed_hosts": "glimpse.example"}, verify=office.trusting())
    asked = {
        host: service.client.get("/nope", headers={"host": host}).headers.get("strict-transport-security")
        for host in ("glimpse.example:8080", "127.0.0.1:8080", "localhost", "[::1]")
    }
    assert asked.pop("glimpse.example:8080") == "max-age=31536000"
    assert set(asked.values()) == {None}


def test_a_page_that_is_allowed_may_ask_and_read(service):
    """Its browser asks first, and is told which headers it may send and read; keys travel only by hand."""
    preflight = service.client.options(
        "/v1/analyze",
        headers={
            "origin": LAB,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,x-api-key,content-type",
        },
    )
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == LAB
    assert "access-control-allow-credentials" not in preflight.headers
    answers = [
        service.client.post("/v1/analyze", files=CLIP, headers={"origin": LAB}),
        service.client.get("/nope", headers={"origin": LAB}),
    ]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == LAB
        assert {"X-Request-ID", "Retry-After"} <= set(answer.headers["access-control-expose-headers"].split(", "))
        assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://lab.example", LAB + ".evil.example"])
def test_other_pages_may_not(service, origin):
    """Neither ask first nor read."""
    asked = {"origin": origin, "access-control-request-method": "POST"}
    assert service.client.options("/v1/analyze", headers=asked).status_code == 400
    answer = service.client.get("/v1/models", headers={"origin": origin})
    assert "access-control-allow-origin" not in answer.headers


def test_by_default_no_page_may(closed):
    """There is no answer for a browser that asks first."""
    asked = {"origin": LAB, "access-control-request-method": "POST"}
    answer = closed.client.options("/v1/analyze", headers=asked)
    assert answer.status_code == 405
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_a_star_is_never_joined_by_credentials(start):
    """Any page may read what anybody may."""
    answer = start(server={"allowed_origins": "*"}).client.get("/v1/models", headers={"origin": LAB})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/docs", "/nope"])
def test_a_foreign_name_is_refused(closed, path):
    """By 421, with a problem that names the setting and not the name; nothing else is done."""
    answer = closed.client.get(path, headers={"host": "evil.example:8080"})
    assert (answer.status_code, answer.json()["code"]) == (421, "foreign-host")
    assert "GLIMPSE_SERVER__ALLOWED_HOSTS" in answer.json()["detail"]
    assert "evil" not in answer.text
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


def test_a_clip_under_a_foreign_name_is_not_looked_at(start):
    """The page gets no report."""
    service = start()
    answer = service.client.post("/v1/analyze", files=CLIP, headers={"host": "evil.example"})
    assert answer.status_code == 421
    assert service.analyzer.calls == []
    assert service.metric("glimpse_rejected_total", reason="foreign-host") == 1


async def test_a_stream_under_a_foreign_name_is_refused(closed):
    """Although, to the browser, page and service have one origin."""
    host, port = closed.address
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        await websockets.connect(
            f"ws://evil.example:{port}/v1/live", host=host, origin=f"http://evil.example:{port}", proxy=None
        )
    assert refused.value.response.status_code == 421
    assert refused.value.response.headers["x-content-type-options"] == "nosniff"
    assert b"foreign-host" in refused.value.response.body
