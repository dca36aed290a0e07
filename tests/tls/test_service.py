"""Both ports of a running service under TLS, asked by real clients, honest and not."""

import asyncio
import os
import signal
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import trustme
import websockets

from client import (
    AsyncClient,
    CertificateError,
    Client,
    Frame,
    FrameResult,
    RestClient,
    StreamOptions,
    Tls,
    Unreachable,
)
from server.app import create_app
from server.service import Service, listen
from server.settings import load
from tests.conftest import FakeAnalyzer
from tests.fake_live import FakeLive
from tests.tls.conftest import Office, ports, read_all, shown, until

HANDSHAKE_S = 0.5
QUICK, SLOW = {"reload_seconds": 0.1}, {"reload_seconds": 3600}


@pytest.fixture(scope="module")
def service(office, start_once):
    """One that shows a certificate and asks for none."""
    tls = office.settings | {"handshake_seconds": HANDSHAKE_S}
    return start_once(tls=tls, verify=office.trusting())


def test_both_ports_and_all_clients(service, office):
    """REST, its live streams, gRPC, blocking or not, and the metrics say when the certificate ends."""
    tls = Tls(office.ca_file)
    assert service.url.startswith("https://")
    with RestClient(service.url, tls=tls) as rest, Client(service.grpc, tls=tls) as rpc:
        assert [model.name for model in rest.models()] == [model.name for model in rpc.models()] == ["ststnet"]
        assert rest.analyze(b"clip").id
        with rpc.stream(StreamOptions(policy="wait")) as stream:
            replies = list(stream.follow([Frame("jpeg", b"x", 0)]))
        assert isinstance(replies[0], FrameResult)
    with Client(f"grpcs://{service.grpc}", tls=tls) as rpc:
        assert rpc.models()
    assert service.metric("glimpse_certificate_expiry_timestamp_seconds") > 1.7e9


async def test_a_page_speaks_over_an_encrypted_websocket(service, office):
    """As `wss://`."""
    url = service.url.replace("https://", "wss://") + "/v1/live"
    async with websockets.connect(url, ssl=office.trusting(), proxy=None) as socket_:
        assert '"opened"' in await socket_.recv()


@pytest.mark.parametrize("tls", [Tls(), "other", "plain"])
def test_a_client_that_cannot_verify_the_service_sends_nothing(service, tls, tmp_path):
    """Whether it trusts others, or was told to speak in the open."""
    if tls == "plain":
        addresses, tls = (service.url.replace("https", "http"), service.grpc), None
    else:
        addresses = (service.url, service.grpc)
        if tls == "other":
            other = Office(tmp_path, trustme.CA(), trustme.CA())
            tls = Tls(other.ca_file)
    with RestClient(addresses[0], tls=tls) as rest, pytest.raises(Unreachable) as refused:
        rest.models()
    assert refused.value.retryable is (tls is None)
    with Client(addresses[1], tls=tls or False, timeout_s=5) as rpc, pytest.raises(Unreachable):
        rpc.models()


def test_old_versions_and_weak_suites_are_not_spoken(service, office):
    """1.2 only with forward secrecy, nothing before it."""
    for address in ports(service):
        weak = office.trusting()
        weak.maximum_version = ssl.TLSVersion.TLSv1_2
        weak.set_ciphers("AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
        with pytest.raises(OSError, match=r"(?i)handshake|eof|reset"):
            shown(address, weak)
        strong = office.trusting()
        strong.maximum_version = ssl.TLSVersion.TLSv1_2
        assert shown(address, strong)[1] == "TLSv1.2"
        assert shown(address, office.trusting())[1] == "TLSv1.3"


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(20)])
def test_who_does_not_end_the_handshake_is_sent_away(service, office, said, caplog):
    """Silent, or with half a hello; others are answered meanwhile, and the log stays quiet."""
    connections = [socket.create_connection(address, 10) for address in ports(service)]
    for connection in connections:
        connection.sendall(said)
    assert service.client.get("/livez").status_code == 200
    assert [read_all(connection) for connection in connections] == [b"", b""]
    for connection in connections:
        connection.close()
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []


def test_plain_http_to_an_encrypted_port_is_closed(service, caplog):
    """Without a trace in the log; nothing of the request was understood."""
    for address in ports(service):
        with socket.create_connection(address, 10) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert b"HTTP/1.1" not in read_all(connection)
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []


def test_encryption_to_a_plain_port_is_refused(start_once, office):
    """The client learns that nobody there speaks TLS; the service goes on."""
    plain = start_once()
    for address in ports(plain):
        with pytest.raises(ssl.SSLError):
            shown(address, office.trusting())
    assert plain.client.get("/livez").status_code == 200


def test_a_client_that_closes_its_half_gets_no_trace_in_the_log(service, office, caplog):
    """A connection that is encrypted has no halves: it ends."""
    with socket.create_connection(service.address, 10) as plain:
        tls = office.trusting().wrap_socket(plain, server_hostname="localhost")
        tls.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(b'"ok"}'):
            answer += tls.recv(4096)
        tls.unwrap().close()
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []


async def test_a_new_certificate_is_shown_while_a_stream_goes_on(start, own):
    """On both ports, by itself; the streams that are open notice nothing."""
    service = start(tls=own.settings, access=QUICK, verify=own.trusting())
    before = shown(service.address, own.trusting())[0]
    url = service.url.replace("https://", "wss://") + "/v1/live"
    frame = bytes(16) + b"x"
    async with (
        AsyncClient(service.grpc, tls=Tls(own.ca_file)) as rpc,
        rpc.stream(StreamOptions(policy="wait")) as stream,
        websockets.connect(url, ssl=own.trusting(), proxy=None) as page,
    ):
        assert '"opened"' in await page.recv()
        after = own.issue()
        assert after != before
        for address in ports(service):
            await asyncio.to_thread(until, lambda at=address: shown(at, own.trusting())[0], after)
        await page.send(frame)
        assert '"frame_result"' in await page.recv()
        await stream.send(Frame("jpeg", b"x", 0))
        stream.finish()
        replies = [reply async for reply in stream]
        assert isinstance(replies[0], FrameResult)
    fresh = httpx.Client(base_url=service.url, verify=own.trusting(), trust_env=False)
    with fresh:
        service.client = fresh
        assert service.metric("glimpse_reloads_total", what="certificate", outcome="success") == 1


def test_links_are_followed_as_kubernetes_swaps_them(start, tmp_path):
    """A whole set is exchanged by one rename of the link that all files hang on."""
    authority, clients = trustme.CA(), trustme.CA()
    sets = []
    for name in ("..one", "..two"):
        (tmp_path / name).mkdir()
        sets.append(Office(tmp_path / name, authority, clients))
    serials = [each.issue() for each in sets]
    (tmp_path / "..data").symlink_to("..one")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    mounted = Office(tmp_path, authority, clients)
    service = start(tls=mounted.settings, access=QUICK, verify=mounted.trusting())
    assert shown(service.address, mounted.trusting())[0] == serials[0]
    (tmp_path / "..data_tmp").symlink_to("..two")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    for address in ports(service):
        until(lambda at=address: shown(at, mounted.trusting())[0], serials[1])


def test_a_set_that_does_not_fit_changes_nothing(start, own, caplog):
    """The one before stays on both ports, and the log and the metrics say so; the next good one is taken."""
    service = start(tls=own.settings, access=QUICK, verify=own.trusting())
    before = shown(service.address, own.trusting())[0]
    other = own.authority.issue_cert("localhost")
    secret = other.private_key_pem.bytes()
    (own.folder / "tls.key").write_bytes(secret)
    until(lambda: service.metric("glimpse_reloads_total", what="certificate", outcome="failure"), 1)
    assert [shown(address, own.trusting())[0] for address in ports(service)] == [before, before]
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "tls.key" in record.reason
    assert "is not the key of" in record.reason
    assert secret.decode().splitlines()[1] not in caplog.text + str(record.__dict__)
    after = own.issue()
    for address in ports(service):
        until(lambda at=address: shown(at, own.trusting())[0], after)


async def test_an_operator_may_ask_for_it_at_once(own):
    """By SIGHUP, which a service without certificates is ended by as ever."""
    tree = load({}, server={"port": 0, "grpc_port": 0}, tls=own.settings, access=SLOW)
    ready = asyncio.Event()
    listener = listen(tree)
    service = Service(create_app(tree, (FakeAnalyzer(), FakeLive())), tree, listener, lambda *_: ready.set())
    address = listener.getsockname()
    serving = asyncio.create_task(service.serve())
    await asyncio.wait_for(ready.wait(), 20)
    assert signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL
    after = own.issue()
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.to_thread(until, lambda: shown(address, own.trusting())[0], after)
    service.should_exit = True
    await serving


@pytest.mark.parametrize(
    "tls",
    [Tls("nowhere.pem"), Tls(__file__), Tls(None, "a.crt", "a.key"), Tls(None, "a.crt"), Tls(None, None, "a.key")],
)
def test_files_of_a_client_that_cannot_be_used_are_named(tls):
    """At once, by both clients."""
    with pytest.raises(CertificateError):
        RestClient("https://127.0.0.1:1", tls=tls)
    with pytest.raises(CertificateError):
        Client("127.0.0.1:1", tls=tls)


def test_encryption_that_was_wanted_is_never_left_out():
    """`tls` for an address that says otherwise is a mistake, and nothing is sent."""
    with pytest.raises(CertificateError, match="https://"):
        RestClient("http://127.0.0.1:1", tls=Tls())


def test_nobody_is_lost_while_certificates_change(start, own):
    """Whoever connects in that very moment gets one or the other."""
    service = start(tls=own.settings, access=SLOW, verify=own.trusting())
    certificates = service.server.lifespan.state["certificates"]
    [loop] = {server.get_loop() for server in service.server.servers}
    serials, done = {certificates.material.serial}, threading.Event()

    def connect():
        seen = []
        while not done.is_set():
            seen.append(f"{shown(service.address, own.trusting())[0]:x}")
        return seen

    with ThreadPoolExecutor(4) as threads:
        connecting = [threads.submit(connect) for _ in range(4)]
        for _ in range(10):
            own.issue()
            asyncio.run_coroutine_threadsafe(certificates.renew(), loop).result(20)
            serials.add(certificates.material.serial)
        done.set()
        seen = {serial for each in connecting for serial in each.result(20)}
    assert len(serials) == 11
    assert seen <= serials
