"""Bodies of requests: their limits, their form, and where they are kept."""

import itertools
import os
import select
import socket
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.api.rest.upload import _Reader

BOUNDARY = "b0undary"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(name, content=b"abc", filename=None):
    tail = f'; filename="{filename}"' if filename else ""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{tail}\r\n\r\n'.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def head(*lines):
    return "\r\n".join(("POST /v1/analyze HTTP/1.1", "host: localhost", *lines, "", "")).encode()


def answer_of(connection):
    """Read one answer from a raw socket: status and body."""
    with connection.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        length = 0
        while line := stream.readline().strip().lower():
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return status, stream.read(length).decode()


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (part("clip") + part("faces", b"all") + END, 200, ""),
        (part("faces", b"all") + END, 422, "clip"),
        (END, 422, "clip"),
        (part("clip") + part("clip") + END, 422, "clip"),
        (part("clip") + part("faces", b"all") + part("faces", b"all") + END, 422, "faces"),
        (part("clip") + part("video") + END, 422, "video"),
        (part("clip") + part("model", b"a" * 2000) + END, 422, "model"),
        (part("clip") + part("model", b"\xff\xfe") + END, 422, "model"),
        (part("clip"), 400, "boundary"),
        (part("clip")[:-10], 400, ""),
        (b"no form at all", 400, ""),
        (part("") + END, 400, "name"),
        (b"", 400, ""),
        (f"--{BOUNDARY}\r\n\r\nabc\r\n".encode() + END, 400, "name"),
        (f"--{BOUNDARY}\r\n{'x' * 9000}: y\r\n\r\nabc\r\n".encode() + END, 400, ""),
    ],
)
def test_only_the_agreed_parts_are_taken(gateway, body, status, named):
    """Missing, doubled, unknown, oversized and malformed parts are refused, and the part is named."""
    answer = gateway.client.post("/v1/analyze", content=body, headers=FORM)
    assert answer.status_code == status
    assert named in answer.text
    assert len(gateway.analyzer.calls) == (status == 200)


def test_both_pictures_are_needed(gateway):
    """A classification without its apex names the apex."""
    answer = gateway.client.post("/v1/classify", content=part("onset") + END, headers=FORM)
    assert (answer.status_code, answer.json()["option"]) == (422, "apex")


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/v1/analyze", "application/json"),
        ("/v1/analyze", "application/x-www-form-urlencoded"),
        ("/v1/analyze", None),
        ("/v1/classify", "video/mp4"),
    ],
)
def test_a_body_of_another_type_is_415(gateway, path, content_type):
    """The detail says which type is wanted."""
    headers = {"content-type": content_type} if content_type else {}
    answer = gateway.client.post(path, content=b"abc", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-content-type")
    assert "multipart/form-data" in answer.json()["detail"]


def test_a_form_without_boundary_is_malformed(gateway):
    """Nothing can be told apart without it."""
    answer = gateway.client.post("/v1/analyze", content=END, headers={"content-type": "multipart/form-data"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed-request")


def test_a_body_announced_too_large_is_refused_before_it_comes(start):
    """413 by Content-Length alone: the client has not sent one byte of the body."""
    gateway = start(limits={"upload_bytes": 4096})
    with socket.create_connection(gateway.address, timeout=20) as connection:
        connection.sendall(head("content-type: video/mp4", "content-length: 4097"))
        status, body = answer_of(connection)
    assert status == 413
    assert "GLIMPSE_LIMITS__UPLOAD_BYTES" in body


def test_a_client_that_asks_first_is_not_told_to_continue(start):
    """Expect: 100-continue gets the refusal instead of 100."""
    gateway = start(limits={"upload_bytes": 4096})
    with socket.create_connection(gateway.address, timeout=20) as connection:
        connection.sendall(head("content-type: video/mp4", "content-length: 4097", "expect: 100-continue"))
        assert answer_of(connection)[0] == 413


def send_forever(connection, piece):
    while True:
        connection.sendall(piece)


@pytest.mark.parametrize("opening", [b"", part("clip", b"")[:-2]])
def test_a_body_of_unknown_length_is_cut_off_while_it_comes(start, opening):
    """An endless chunked body is answered 413 as soon as the limit is passed, and then closed."""
    gateway = start(limits={"upload_bytes": 65536})
    kind = FORM["content-type"] if opening else "video/mp4"
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with socket.create_connection(gateway.address, timeout=20) as connection:
        connection.sendall(head(f"content-type: {kind}", "transfer-encoding: chunked"))
        if opening:
            connection.sendall(f"{len(opening):x}\r\n".encode() + opening + b"\r\n")
        connection.sendall(piece + piece)
        status, body = answer_of(connection)
        assert (status, "limit-exceeded" in body) == (413, True)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_forever(connection, piece)
    assert gateway.analyzer.calls == []


def test_an_ordinary_client_reads_the_refusal_of_a_streamed_body(start):
    """A client that writes all before it reads still gets its 413, not a broken pipe."""
    gateway = start(limits={"upload_bytes": 65536})
    pieces = (b"x" * 65536 for _ in range(64))
    answer = gateway.client.post("/v1/analyze", content=pieces, headers={"content-type": "video/mp4"})
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")


def test_an_upload_that_stands_still_is_ended(start):
    """408 after the idle time, and the place is free again."""
    gateway = start(limits={"upload_idle_seconds": 0.1, "inflight": 1, "queued": 0})
    with socket.create_connection(gateway.address, timeout=20) as connection:
        connection.sendall(head("content-type: video/mp4", "content-length: 100") + b"some")
        status, body = answer_of(connection)
    assert status == 408
    assert "upload-stalled" in body
    assert gateway.client.post("/v1/analyze", content=b"a", headers={"content-type": "video/mp4"}).status_code == 200


def test_an_upload_that_drips_is_ended_by_the_deadline(start):
    """504 in stage upload when bytes keep coming but never end."""
    gateway = start(server={"request_deadline_seconds": 0.3})
    with socket.create_connection(gateway.address, timeout=20) as connection:
        connection.sendall(head("content-type: video/mp4", "content-length: 100") + b"some")
        status, body = answer_of(connection)
    assert status == 504
    assert '"stage": "upload"' in body


def test_an_upload_that_drips_is_ended(start):
    """408 where the rate is too low, though no pause is long; the upload shows in its gauge until then."""
    gateway = start(limits={"upload_idle_seconds": 0.4, "upload_bytes_per_second": 1000})
    with socket.create_connection(gateway.address, timeout=20) as connection:
        connection.sendall(head("content-type: video/mp4", "content-length: 100000") + b"x" * 1000)
        while gateway.metric("glimpse_inflight", kind="upload") != 1:
            pass
        while not select.select([connection], [], [], 0.05)[0]:
            connection.sendall(b"x")
        status, body = answer_of(connection)
    assert (status, "upload-stalled" in body) == (408, True)
    assert "GLIMPSE_LIMITS__UPLOAD_BYTES_PER_SECOND" in body
    assert gateway.metric("glimpse_inflight", kind="upload") == 0


def test_a_steady_upload_is_not_too_slow(start):
    """Far above the rate, however long it takes in all."""
    gateway = start(limits={"upload_idle_seconds": 0.4, "upload_bytes_per_second": 100})
    with socket.create_connection(gateway.address, timeout=20) as connection:
        connection.sendall(head("content-type: video/mp4", "content-length: 1000"))
        for _ in range(10):
            assert not select.select([connection], [], [], 0.08)[0]
            connection.sendall(b"x" * 100)
        assert answer_of(connection)[0] == 200


def test_slow_uploads_lock_nobody_out(start):
    """More of them than requests may be inside, and a whole clip is answered all the same."""
    gateway = start(limits={"inflight": 1, "queued": 0, "uploads": 4})
    with ExitStack() as stack:
        for _ in range(3):
            connection = stack.enter_context(socket.create_connection(gateway.address, timeout=20))
            connection.sendall(head("content-type: video/mp4", "content-length: 1000") + b"x")
        while gateway.metric("glimpse_inflight", kind="upload") != 3:
            pass
        answer = gateway.client.post("/v1/analyze", content=b"a", headers={"content-type": "video/mp4"})
        assert answer.status_code == 200


def test_a_client_that_leaves_during_its_upload_is_counted(start):
    """Its place is given back and nothing is analysed."""
    gateway = start(limits={"uploads": 1})
    with socket.create_connection(gateway.address, timeout=20) as connection:
        connection.sendall(head("content-type: video/mp4", "content-length: 100") + b"some")
        while gateway.client.post("/v1/analyze", content=b"", headers=FORM).status_code != 429:
            pass
    while gateway.metric("glimpse_cancelled_total", kind="upload") != 1:
        pass
    assert gateway.metric("glimpse_requests_total", route="/v1/analyze", status="499") == 1
    assert gateway.analyzer.calls == []


def test_all_uploads_together_are_bounded(start, fake_analyzer):
    """A second upload that would pass the total is refused as overload, and fits once the first is done."""
    gateway = start(fake_analyzer(held=True), limits={"buffered_bytes": 10_000})
    body = {"content": b"x" * 6000, "headers": {"content-type": "video/mp4"}}
    with socket.create_connection(gateway.address, timeout=20) as connection:
        connection.sendall(head("content-type: video/mp4", "content-length: 6000") + b"x" * 6000)
        assert gateway.analyzer.started.acquire(timeout=20)
        assert gateway.client.post("/v1/analyze", **body).status_code == 429
        gateway.analyzer.release()
        assert answer_of(connection)[0] == 200
    assert gateway.client.post("/v1/analyze", **body).status_code == 200


def test_nothing_of_an_upload_is_written_to_disk(tmp_path):
    """A service that may not write one byte to any file takes a clip of 8 MiB all the same."""
    script = """
        import os, resource, socket, sys, threading
        import httpx
        from server.app import create_app
        from server.service import Service, listen
        from server.settings import load
        from tests_conftest import FakeAnalyzer, FakeLive

        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        tree = load({}, server={"port": 0, "grpc_port": 0})
        listener = listen(tree)
        up = threading.Event()
        app = create_app(tree, (FakeAnalyzer(), FakeLive()), renderings={"x/y": repr})
        service = Service(app, tree, listener, lambda *_: up.set())
        thread = threading.Thread(target=service.run)
        thread.start()
        assert up.wait(20)
        url = "http://127.0.0.1:%d/v1/analyze" % listener.getsockname()[1]
        answer = httpx.post(url, files={"clip": ("a.mp4", b"x" * 2**23)}, trust_env=False)
        service.should_exit = True
        thread.join()
        print(answer.status_code)
    """
    (tmp_path / "tests_conftest.py").symlink_to(Path(__file__).resolve().parents[2] / "conftest.py")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {
        **os.environ,
        "TMPDIR": str(scratch),
        "PYTHONPATH": f"{tmp_path}:{Path.cwd()}:{Path.cwd() / 'stubs'}",
    }
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "200", done.stderr
    assert list(scratch.iterdir()) == []


@given(content=st.binary(max_size=300), cuts=st.lists(st.integers(0, 600), max_size=8))
@settings(max_examples=100, deadline=None)
def test_the_pieces_in_which_a_form_arrives_do_not_matter(content, cuts):
    """Any content that does not hold the boundary is read back unchanged, however the network cut it."""
    body = part("clip", content, "a.mp4") + part("faces", b"all") + END
    reader = _Reader(BOUNDARY.encode(), ["clip"], ["faces"])
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    for start, end in itertools.pairwise(edges):
        reader.write(body[start:end])
    form = reader.form()
    assert form.files == {"clip": content}
    assert form.fields == {"faces": "all"}
