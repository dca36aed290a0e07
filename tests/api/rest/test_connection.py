"""What a connection may take, on raw sockets."""

import asyncio
import json
import socket

import httpx
import pytest
import trustme
from uvicorn import Config
from uvicorn.server import ServerState
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from client import Tls
from server.api.rest.connection import ConnectionBounds, protocol
from server.api.ws.listening import socket_options
from server.tls.material import TlsFiles, read
from tests.tls.conftest import Office

LIVE = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"


def rest_of(connection):
    """Everything until the other side closes."""
    with connection.makefile("rb") as stream:
        return stream.read()


@pytest.mark.parametrize("begun", [b"", LIVE[:-2]])
@pytest.mark.parametrize("requests", [0, 1])
def test_headers_that_do_not_end_close_the_connection(start, begun, requests):
    """Also those of a second request, and where nothing was sent at all."""
    gateway = start(server={"header_seconds": 0.2})
    with socket.create_connection(gateway.address, timeout=20) as connection:
        for _ in range(requests):
            connection.sendall(LIVE)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.sendall(begun)
        assert b"HTTP/1.1" not in rest_of(connection)


def test_the_time_for_headers_is_over_once_they_are_there(start, fake_analyzer):
    """A body and an analysis may take longer."""
    gateway = start(fake_analyzer(held=True), server={"header_seconds": 0.1})
    with socket.create_connection(gateway.address, timeout=20) as connection:
        connection.sendall(b"POST /v1/analyze HTTP/1.1\r\nhost: localhost\r\ncontent-type: video/mp4\r\n")
        connection.sendall(b"content-length: 3\r\nconnection: close\r\n\r\nabc")
        assert gateway.analyzer.started.acquire(timeout=20)
        assert not gateway.analyzer.cancelled.wait(0.3)
        gateway.analyzer.release()
        assert b"HTTP/1.1 200" in rest_of(connection)


def test_a_client_that_only_stops_sending_is_answered_where_that_costs_nothing(gateway):
    """A half-closed connection gets the answer to its GET."""
    with socket.create_connection(gateway.address, timeout=20) as connection:
        connection.sendall(LIVE)
        connection.shutdown(socket.SHUT_WR)
        assert rest_of(connection).endswith(b'{"status":"ok"}')


async def test_the_state_names_the_client_by_its_certificate(tmp_path):
    """Of requests and handshakes of WebSocket alike; empty without a certificate, not there without TLS."""
    office = Office(tmp_path, trustme.CA(), trustme.CA())
    office.issue()
    files = TlsFiles(tmp_path / "tls.crt", tmp_path / "tls.key", office.client_ca_file, "optional")
    names = []

    async def application(scope, receive, send):
        names.append(scope["state"].get("certificate_name"))
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
            return
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    listening = {
        "http": protocol(ConnectionBounds(10.0, 32768, 15.0, 64)),
        "lifespan": "off",
        "log_config": None,
        **socket_options(2**16),
    }
    config = Config(application, **listening)
    config.load()
    loop, state = asyncio.get_running_loop(), ServerState()
    for context in (read(files).context, None):
        server = await loop.create_server(
            lambda: config.http_protocol_class(config, state, {}), "127.0.0.1", 0, ssl=context
        )
        port = server.sockets[0].getsockname()[1]
        trusts = (office.client("camera.example").context(), Tls(office.ca_file).context()) if context else (None,)
        for trust in trusts:
            scheme = "https" if trust else "http"
            async with httpx.AsyncClient(verify=trust or True, trust_env=False) as client:
                await client.get(f"{scheme}://127.0.0.1:{port}/")
            with pytest.raises(InvalidStatus):
                await connect(f"{scheme.replace('http', 'ws')}://127.0.0.1:{port}/", ssl=trust, proxy=None)
        server.close()
    named = "camera.example"
    assert names == [named, named, "", "", None, None]


def problem_of(answer):
    """Status and document of a raw answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize("sent", [b"\x16\x03\x01 is TLS\r\n\r\n", b"no request\r\n\r\n"])
def test_what_is_no_request_is_answered_with_a_problem(gateway, sent):
    """As everything else that is refused."""
    with socket.create_connection(gateway.address, timeout=20) as connection:
        connection.sendall(sent)
        status, problem = problem_of(rest_of(connection))
    assert (status, problem["code"]) == (400, "malformed-request")


@pytest.mark.parametrize(
    "large",
    [
        b"GET /livez?" + b"x" * 10_000 + b" HTTP/1.1\r\n",
        LIVE[:-2] + b"x: " + b"y" * 10_000,
        LIVE[:-2] + b"a: b\r\n" * 2000,
    ],
    ids=["address", "field", "fields"],
)
def test_a_header_that_is_too_large_is_refused_while_it_comes(start, large):
    """By name of the setting, before its end is there."""
    gateway = start(server={"header_bytes": 4096})
    with socket.create_connection(gateway.address, timeout=20) as connection:
        connection.sendall(large)
        status, problem = problem_of(rest_of(connection))
    assert (status, problem["code"], problem["limit"]) == (431, "header-too-large", 4096)
    assert problem["setting"] == "GLIMPSE_SERVER__HEADER_BYTES"


def test_connections_are_counted(start):
    """One too many is told to come back, and there is room again when another is closed."""
    gateway = start(server={"connections": 2})
    with socket.create_connection(gateway.address, timeout=20) as first:
        first.sendall(LIVE)
        assert first.recv(4096).startswith(b"HTTP/1.1 200")
        with socket.create_connection(gateway.address, timeout=20) as second:
            second.sendall(LIVE)
            assert second.recv(4096).startswith(b"HTTP/1.1 200")
            with socket.create_connection(gateway.address, timeout=20) as third:
                status, problem = problem_of(rest_of(third))
        assert (status, problem["code"]) == (429, "overloaded")
        assert "GLIMPSE_SERVER__CONNECTIONS" in problem["detail"]
    while gateway.client.get("/livez").status_code != 200:
        gateway.client.close()


@pytest.mark.parametrize("accept", ["application/json", "text/csv", "text/event-stream"])
def test_who_does_not_read_its_answer_is_given_up(start, monkeypatch, accept):
    """Whatever form it has; nothing is held for such a client, and others are served meanwhile."""
    large = "x" * 2**24
    monkeypatch.setattr("server.api.rest.answers.report_json", lambda _: large.encode())
    monkeypatch.setattr("server.api.rest.events.report_json", lambda _: large.encode())
    gateway = start(server={"answer_seconds": 0.2}, limits={"inflight": 1, "queued": 0})
    gateway.server.lifespan.state["gateway"].renderers["text/csv"] = lambda _: large.encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(gateway.address)
        connection.sendall(b"POST /v1/analyze HTTP/1.1\r\nhost: localhost\r\ncontent-type: video/mp4\r\naccept: ")
        connection.sendall(accept.encode() + b"\r\ncontent-length: 3\r\n\r\nabc")
        while gateway.metric("glimpse_requests_total", route="/v1/analyze") != 1:
            pass
        while len(gateway.server.server_state.connections) > 1:
            gateway.client.get("/livez")
        with pytest.raises(ConnectionResetError):
            rest_of(connection)
    answer = gateway.client.post("/v1/classify", files={"onset": b"a", "apex": b"b"})
    assert answer.status_code == 200


def test_a_slow_reader_gets_all_of_its_answer(start, monkeypatch):
    """However long it takes, as long as it goes on."""
    large = b"x" * 2**23
    monkeypatch.setattr("server.api.rest.answers.report_json", lambda _: large)
    gateway = start(server={"answer_seconds": 0.3})
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.connect(gateway.address)
        connection.sendall(
            b"POST /v1/analyze HTTP/1.1\r\nhost: localhost\r\ncontent-type: video/mp4\r\nconnection: close\r\n"
        )
        connection.sendall(b"content-length: 3\r\n\r\nabc")
        heard = 0
        while piece := connection.recv(2**18):
            heard += len(piece)
            gateway.client.get("/livez")
    assert heard > len(large)


def test_an_annotated_clip_is_accounted_for_until_it_was_read(start, monkeypatch):
    """Many slow readers of large clips are refused as too many uploads are, and who leaves is not counted any more."""

    async def annotate(*_, **__):
        return bytes(2**24)

    gateway = start(limits={"buffered_bytes": 2**25})
    state = gateway.server.lifespan.state["gateway"]
    monkeypatch.setattr(state.analyzer, "annotate", annotate)
    asked = {"accept": "video/mp4", "content-type": "video/mp4"}
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(gateway.address)
        connection.sendall(b"POST /v1/analyze HTTP/1.1\r\nhost: localhost\r\ncontent-type: video/mp4\r\n")
        connection.sendall(b"accept: video/mp4\r\ncontent-length: 3\r\n\r\nabc")
        connection.recv(1)
        assert state.admission.buffered == 2**24
        answer = gateway.client.post("/v1/analyze", content=b"abc", headers=asked)
        assert (answer.status_code, answer.json()["code"]) == (429, "overloaded")
    while state.admission.buffered:
        gateway.client.get("/livez")
    assert len(gateway.client.post("/v1/analyze", content=b"abc", headers=asked).content) == 2**24
