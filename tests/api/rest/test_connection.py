"""What a connection may take, on raw sockets."""

import asyncio
import socket

import httpx
import pytest
import trustme
from uvicorn import Config
from uvicorn.server import ServerState
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from client import Tls
from server.api.rest.connection import protocol
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

    listening = {"http": protocol(10), "lifespan": "off", "log_config": None, **socket_options(2**16)}
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
