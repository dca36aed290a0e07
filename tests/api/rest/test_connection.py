"""What a connection may take, on raw sockets."""

import socket

import pytest

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
