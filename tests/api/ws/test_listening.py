"""One connection, against a transport that notes what is done with it."""

import asyncio
import socket
from unittest.mock import Mock

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from server.api.ws.listening import SocketProtocol, socket_options

HANDSHAKE = (
    b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PING = b"\x89\x80\x00\x00\x00\x00"
FRAME = b"\x82\x81\x00\x00\x00\x00x"


@pytest.fixture
async def connection():
    """One that was accepted, by an application that reads when it is told to."""
    reading = asyncio.Event()
    accepted = asyncio.Event()

    async def application(scope, receive, send):
        await send({"type": "websocket.accept"})
        accepted.set()
        await reading.wait()
        while (await receive())["type"] != "websocket.disconnect":
            pass

    config = Config(application, log_config=None, **socket_options(2**16))
    config.load()
    protocol = SocketProtocol(config, ServerState(), {})
    transport = Mock(spec=asyncio.Transport)
    transport.is_closing.return_value = False
    transport.get_extra_info.return_value = None
    protocol.connection_made(transport)
    protocol.data_received(HANDSHAKE)
    await accepted.wait()
    transport.write.reset_mock()
    yield protocol, transport
    protocol.connection_lost(None)
    reading.set()
    await asyncio.gather(*protocol.tasks)


async def test_who_does_not_read_gets_no_answers_to_pings(connection):
    """They would pile up before the connection."""
    protocol, transport = connection
    protocol.data_received(PING)
    assert transport.write.call_count == 1
    protocol.pause_writing()
    protocol.data_received(PING * 1000)
    assert transport.write.call_count == 1
    protocol.resume_writing()
    protocol.data_received(PING)
    assert transport.write.call_count == 2


async def test_pictures_are_a_sign_of_life(connection):
    """A pong may wait behind them; who is silent altogether is given up."""
    protocol, transport = connection
    protocol.data_received(PING)
    protocol.keepalive_timeout()
    assert not transport.close.called
    protocol._heard_at -= 11
    protocol.keepalive_timeout()
    assert transport.close.called


async def test_who_is_held_up_is_not_given_up(connection):
    """While nothing is read, nothing can be known of the other side."""
    protocol, transport = connection
    protocol.data_received(FRAME)
    assert transport.pause_reading.called
    protocol._heard_at -= 1000
    protocol.keepalive_timeout()
    assert not transport.close.called


async def test_a_shutdown_leaves_the_end_to_whoever_serves_the_stream(connection):
    """It has answers to send and a reason to give."""
    protocol, transport = connection
    protocol.shutdown()
    assert not transport.close.called
    assert not transport.write.called


@pytest.mark.parametrize(
    "broken", [b"x: a\x01b\r\n", b"".join(b"x%d: y\r\n" % i for i in range(200)), b"x: " + b"y" * 9000 + b"\r\n"]
)
def test_a_handshake_that_the_library_refuses_is_answered_and_closed(gateway, broken):
    """Signs that no header may have, more fields or longer ones than it takes: nothing would be heard of it again."""
    with socket.create_connection(gateway.address, timeout=20) as connection:
        connection.sendall(b"GET /v1/live HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: websocket\r\n")
        connection.sendall(
            b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" + broken + b"\r\n"
        )
        with connection.makefile("rb") as stream:
            answer = stream.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"malformed-request" in answer
