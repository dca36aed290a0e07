"""The public keys of whoever issues tokens."""

import asyncio
import json

import pytest

from server.access import jwks
from server.access.jwks import MOST_BYTES, KeySet, from_file, from_url, parsed
from server.errors import BackendUnavailable, ConfigurationError, Unauthenticated
from tests.issuer import address, jwk, key_set

EVERY = ("RS256", "ES256", "EdDSA")


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Source:
    """A fetch that counts, and fails where `document` is None."""

    def __init__(self, *kids):
        self.asked = 0
        self.serve(*kids)
        self.released = asyncio.Event()
        self.released.set()

    def serve(self, *kids):
        self.document = key_set(*(jwk("ES256", kid) for kid in kids)) if kids else None

    async def __call__(self):
        self.asked += 1
        await self.released.wait()
        if self.document is None:
            raise ConfigurationError("nobody answers")
        return self.document


def keys_of(source, clock, **how):
    return KeySet(source, algorithms=EVERY, clock=clock, **{"fresh_s": 300, "stale_s": 3600, "pause_s": 10, **how})


def test_keys_of_each_kind_are_read():
    """By their names, with the algorithm that each is for."""
    found = parsed(key_set(jwk("RS256", "r"), jwk("ES256", "e"), jwk("EdDSA", "d")), EVERY)
    assert {kid: key.algorithm_name for kid, key in found.items()} == {"r": "RS256", "e": "ES256", "d": "EdDSA"}
    assert set(parsed(key_set(jwk("RS256", "r"), jwk("ES256", "e")), ("ES256",))) == {"e"}


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "x", "alg": "HS256"},
        jwk("RS256", "x", alg="HS256"),
        jwk("RS256", "x", alg="PS256"),
        jwk("RS256", "x", use="enc"),
        jwk("weak", "x"),
        jwk("ES256", "x", crv="P-521"),
        jwk("EdDSA", "x", crv="Ed448"),
        jwk("RS256", "x", d="AQAB"),
        jwk("RS256", "x", n="!"),
        {"kty": "RSA"},
        {"kid": "x"},
        {},
        "key",
        None,
        7,
    ],
)
def test_what_is_no_public_key_for_signatures_is_passed_over(entry):
    """Secrets, private halves, weak keys, other uses; the others of the set serve."""
    assert set(parsed(key_set(entry, jwk("ES256", "good")), EVERY)) == {"good"}
    with pytest.raises(ConfigurationError, match="none of its keys"):
        parsed(key_set(entry), EVERY)


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 10**5, b'{"keys": 1}', b'{"keys": {}}'])
def test_what_is_no_set_is_refused(document):
    """In a sentence."""
    with pytest.raises(ConfigurationError):
        parsed(document, EVERY)


async def test_a_new_key_is_asked_for_at_once_but_not_by_everybody():
    """The issuer has changed its keys; strangers who name one that is not there cause no second question."""
    clock, source = Clock(), Source("one")
    keys = keys_of(source, clock)
    assert (await keys.find("one")).key_id == "one"
    source.serve("one", "two")
    clock.now += 11
    assert (await keys.find("two")).key_id == "two"
    assert source.asked == 2
    for number in range(50):
        with pytest.raises(Unauthenticated) as refused:
            await keys.find(f"stranger-{number}")
        assert refused.value.details["reason"] == "unknown-kid"
    assert source.asked == 2
    clock.now += 11
    with pytest.raises(Unauthenticated):
        await keys.find("stranger")
    assert source.asked == 3


async def test_many_who_wait_for_one_fetch_wait_for_the_same():
    """One question, whoever leaves meanwhile."""
    clock, source = Clock(), Source("one")
    source.released.clear()
    keys = keys_of(source, clock)
    finding = [asyncio.ensure_future(keys.find("one")) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    finding[0].cancel()
    source.released.set()
    assert [key.key_id for key in await asyncio.gather(*finding[1:])] == ["one"] * 19
    assert source.asked == 1


async def test_old_keys_serve_while_new_ones_are_asked_for():
    """A request does not wait for what is only old."""
    clock, source = Clock(), Source("one")
    keys = keys_of(source, clock)
    await keys.find("one")
    clock.now += 301
    source.released.clear()
    assert (await keys.find("one")).key_id == "one"
    await asyncio.sleep(0)
    assert source.asked == 2
    source.released.set()
    await keys.reload()


async def test_old_keys_serve_while_nobody_answers_until_they_are_too_old():
    """A revoked key of an issuer that is away does not serve for ever."""
    clock, source, told = Clock(), Source("one"), []
    keys = keys_of(source, clock, on_fetched=told.append)
    await keys.find("one")
    source.serve()
    for _ in range(11):
        clock.now += 301
        assert (await keys.find("one")).key_id == "one"
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert told[:2] == [True, False]
    clock.now += 3600
    with pytest.raises(BackendUnavailable) as unavailable:
        await keys.find("one")
    assert unavailable.value.details["retry_after_s"] == 10
    source.serve("one")
    clock.now += 11
    assert (await keys.find("one")).key_id == "one"


async def test_while_the_keys_were_never_there_nobody_is_called_a_stranger():
    """Not the caller is wrong; and the address is not flooded."""
    clock, source = Clock(), Source()
    keys = keys_of(source, clock)
    for _ in range(20):
        with pytest.raises(BackendUnavailable):
            await keys.find("one")
    assert source.asked == 1


async def test_a_token_without_a_name_of_its_key_is_of_the_only_one():
    """Of several, it could be any."""
    assert (await keys_of(Source("one"), Clock()).find(None)).key_id == "one"
    with pytest.raises(Unauthenticated):
        await keys_of(Source("one", "two"), Clock()).find(None)


async def test_a_set_is_read_from_a_file(tmp_path):
    """One that is not there, or too large, is a sentence."""
    path = tmp_path / "jwks.json"
    with pytest.raises(ConfigurationError, match="No such file"):
        await from_file(path)()
    path.write_bytes(key_set(jwk("ES256", "one")))
    assert set(parsed(await from_file(path)(), EVERY)) == {"one"}
    path.write_bytes(b" " * (MOST_BYTES + 1))
    with pytest.raises(ConfigurationError, match="larger than"):
        await from_file(path)()


async def test_a_set_is_asked_for_at_an_address():
    """Bounded in size and time, and without following to another place."""
    with address(key_set(jwk("ES256", "one"))) as at:
        assert set(parsed(await from_url(at.url, 10)(), EVERY)) == {"one"}
        at.status = 302
        with pytest.raises(ConfigurationError, match="HTTP 302"):
            await from_url(at.url, 10)()
        at.status, at.document = 200, b" " * (MOST_BYTES + 1)
        with pytest.raises(ConfigurationError, match="larger than"):
            await from_url(at.url, 10)()
        at.waits.clear()
        with pytest.raises(ConfigurationError, match=r"within 0\.1 s"):
            await from_url(at.url, 0.1)()
    with pytest.raises(ConfigurationError, match="does not answer: ConnectError"):
        await from_url(at.url, 10)()


async def test_a_broken_set_keeps_the_old_keys():
    """Whoever reloads is told."""
    source = Source("one")
    keys = keys_of(source, Clock())
    await keys.reload()
    source.document = json.dumps({"keys": []}).encode()
    with pytest.raises(ConfigurationError):
        await keys.reload()
    assert (await keys.find("one")).key_id == "one"
    assert jwks.MOST_BYTES == 2**20
