"""With which credential a service is asked, and to whom it is not sent."""

import pickle

import httpx
import pytest

from client import AsyncClient, AsyncRestClient, Client, CredentialError, RestClient
from client.credentials import Credential, host_of_target

KEY = "glimpse_secret"
MAKERS = (AsyncRestClient, RestClient, AsyncClient, Client)


def asked_with(**credential):
    """The header of each request that reaches a service."""
    seen = []

    def answer(request):
        seen.append(request.headers.get("authorization"))
        return httpx.Response(200, json={"models": []})

    return seen, AsyncRestClient(transport=httpx.MockTransport(answer), **credential)


async def test_a_key_a_token_or_a_function_is_sent():
    """A function before each request, also one that must be waited for."""
    numbers = iter(range(10))

    async def later():
        return f"token-{next(numbers)}"

    for credential, headers in (
        ({"api_key": KEY}, [f"Bearer {KEY}"] * 2),
        ({"token": lambda: "fresh"}, ["Bearer fresh"] * 2),
        ({"token": later}, ["Bearer token-0", "Bearer token-1"]),
        ({}, [None, None]),
    ):
        seen, client = asked_with(**credential)
        async with client:
            await client.models()
            await client.models()
        assert seen == headers


@pytest.mark.parametrize("wrong", ["", "two words", "line\nbreak", "ü", "x" * 8193, 7, None, b"key"])
async def test_what_cannot_be_a_credential_is_not_sent(wrong):
    """And not repeated."""
    seen, client = asked_with(token=lambda: wrong)
    async with client:
        with pytest.raises(CredentialError) as refused:
            await client.models()
    assert seen == []
    assert "two" not in str(refused.value)


@pytest.mark.parametrize("make", [AsyncRestClient, RestClient])
@pytest.mark.parametrize("url", ["http://10.0.0.1:8080", "http://lab.example", "http://localhost.example:8080"])
def test_a_credential_does_not_travel_unencrypted_by_rest(make, url):
    """Unless somebody says that it may; without one there is nothing to lose."""
    with pytest.raises(CredentialError, match="unencrypted"):
        make(url, api_key=KEY)
    make(url)
    make(url, api_key=KEY, allow_plaintext=True)
    make(url.replace("http:", "https:"), api_key=KEY)


@pytest.mark.parametrize("target", ["10.0.0.1:8081", "lab.example:8081", "dns:///lab.example:8081", "[fe80::1]:8081"])
async def test_a_credential_does_not_travel_unencrypted_by_grpc(target):
    """Likewise."""
    import grpc

    with pytest.raises(CredentialError, match="unencrypted"):
        AsyncClient(target, token=KEY)
    for how in ({}, {"token": KEY, "allow_plaintext": True}):
        async with AsyncClient(target, **how):
            pass
    async with AsyncClient(target, token=KEY, credentials=grpc.ssl_channel_credentials()):
        pass
    with pytest.raises(CredentialError, match="unencrypted"):
        Client(target, token=KEY)


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:8081", "localhost:8081", "[::1]:8081", "dns:///localhost:8081", "ipv4:127.0.0.1:8081", "unix:/run/x"],
)
async def test_on_this_machine_it_may(target):
    """Nobody else is on the way."""
    async with AsyncClient(target, api_key=KEY):
        pass


@pytest.mark.parametrize("make", MAKERS)
def test_a_key_and_a_token_are_one_too_many(make):
    """Which of them would be meant?"""
    with pytest.raises(CredentialError, match="not both"):
        make(api_key=KEY, token=KEY)


async def test_a_credential_is_not_printed_and_not_stored():
    """Neither its own, nor the client's, nor what went wrong with it."""
    credential = Credential(api_key=KEY)
    assert repr(credential) == "Credential(hidden)"
    assert repr(Credential()) == "Credential(none)"
    with pytest.raises(TypeError):
        pickle.dumps(credential)
    async with AsyncRestClient("http://127.0.0.1:1", api_key=KEY) as client:
        with pytest.raises(Exception, match="does not answer") as failed:
            await client.models()
        assert KEY not in repr(client) + repr(failed.value) + str(failed.value)


def test_the_host_of_a_target_is_found():
    """With and without a resolver."""
    assert host_of_target("lab.example:8081") == "lab.example"
    assert host_of_target("dns:///[::1]:8081") == "::1"
