"""A service that asks its clients for certificates."""

import socket

import httpx
import pytest
import trustme
import websockets

from client import AccessRefused, Client, RestClient, StreamOptions, Tls, Unreachable
from tests.tls.conftest import Office, read_all, until

QUICK = {"reload_seconds": 0.1}


def asked(address, context, session):
    """The session after a request, whether it was an earlier one, and whether the request was answered."""
    with (
        socket.create_connection(address, 10) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as tls,
    ):
        tls.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        answered = read_all(tls).startswith(b"HTTP/1.1 200")
        return tls.session, tls.session_reused, answered


@pytest.fixture(scope="module")
def mutual(office, start_once):
    """One that refuses who has none."""
    tls = office.settings | {"client_ca": str(office.client_ca_file)}
    context = office.client("prober.example").context()
    return start_once(tls=tls, verify=context)


def test_who_has_a_certificate_is_served(mutual, office):
    """On both ports, blocking or not."""
    tls = office.client("camera.example")
    with RestClient(mutual.url, tls=tls) as rest, Client(mutual.grpc, tls=tls) as rpc:
        assert rest.models()
        assert rpc.models()


def test_who_has_none_or_a_foreign_one_is_refused(mutual, office):
    """Before a request is read, on both ports; also where the other authority is that of the service itself."""
    foreign = Office(office.folder, office.authority, office.authority).client("camera.example")
    for tls in (Tls(office.ca_file), foreign):
        with RestClient(mutual.url, tls=tls) as rest, pytest.raises(Unreachable):
            rest.models()
        with Client(mutual.grpc, tls=tls, timeout_s=5) as rpc, pytest.raises(Unreachable):
            rpc.models()


def test_another_authority_is_taken_while_the_service_runs(start, own):
    """Who was trusted before is not any more, not even by a ticket of an earlier connection."""
    old = own.client("camera.example").context()
    ca = str(own.client_ca_file)
    service = start(tls=own.settings | {"client_ca": ca}, access=QUICK, verify=old)
    assert service.client.get("/livez").status_code == 200
    ticket, reused, answered = asked(service.address, old, None)
    assert (ticket.has_ticket, reused, answered) == (True, False, True)
    assert asked(service.address, old, ticket)[1:] == (True, True)
    renewed = Office(own.folder, own.authority, trustme.CA())
    new = renewed.client("camera.example").context()
    assert str(renewed.client_ca_file) == ca

    def served(context):
        try:
            with httpx.Client(base_url=service.url, verify=context, trust_env=False) as client:
                return client.get("/livez").status_code
        except httpx.HTTPError:
            return 0

    until(lambda: served(new), 200)
    assert served(old) == 0
    assert asked(service.address, old, ticket)[1:] == (False, False)


def test_where_none_is_needed_rest_takes_both(start, own):
    """A certificate that is shown must still be of the authority."""
    tls = own.settings | {"client_ca": str(own.client_ca_file), "client_mode": "optional"}
    service = start(tls=tls, verify=own.trusting())
    assert service.client.get("/livez").status_code == 200
    with RestClient(service.url, tls=own.client("camera.example")) as rest:
        assert rest.models()
    foreign = Office(own.folder, own.authority, own.authority).client("camera.example")
    with RestClient(service.url, tls=foreign) as rest, pytest.raises(Unreachable):
        rest.models()
    with RestClient(service.url, tls=Tls(own.ca_file)) as rest, pytest.raises(AccessRefused):
        rest.models()
    with Client(service.grpc, tls=own.client("camera.example")) as rpc, pytest.raises(AccessRefused):
        rpc.models()


def test_a_certificate_may_ask_what_the_setting_says(start, own):
    """By REST, gRPC and their streams; the service logs no name of a holder, who may be a person."""
    tls = own.settings | {"client_ca": str(own.client_ca_file), "client_scopes": "models"}
    service = start(tls=tls, verify=own.client("prober.example").context())
    client = own.client("camera.example")
    with RestClient(service.url, tls=client) as rest, Client(service.grpc, tls=client) as rpc:
        assert rest.models()
        assert rpc.models()
        for ask in (rest.analyze, rpc.analyze):
            with pytest.raises(AccessRefused) as refused:
                ask(b"clip")
            assert refused.value.code == "permission-denied"
        with pytest.raises(AccessRefused), rpc.stream(StreamOptions()):
            pass
    assert service.analyzer.calls == []
    service.client.get("/v1/models")


async def test_a_page_is_let_in_by_the_certificate_of_its_browser(start, own):
    """Where it has the scope."""
    tls = own.settings | {"client_ca": str(own.client_ca_file)}
    trust = own.client("camera.example").context()
    service = start(tls=tls, verify=trust)
    url = service.url.replace("https://", "wss://") + "/v1/live"
    async with websockets.connect(url, ssl=trust, proxy=None) as page:
        assert '"opened"' in await page.recv()


def test_a_credential_counts_before_the_certificate(start, own):
    """Whoever sends one that does not hold is refused, and is not who the certificate says."""
    tls = own.settings | {"client_ca": str(own.client_ca_file)}
    service = start(tls=tls, verify=own.client("prober.example").context())
    client = own.client("camera.example")
    for kind, address in ((RestClient, service.url), (Client, service.grpc)):
        with kind(address, tls=client, token="nobody's") as asking, pytest.raises(AccessRefused) as refused:
            asking.models()
        assert refused.value.code == "unauthenticated"
