"""Who may open a live stream over WebSocket."""

import asyncio

import pytest
from websockets.exceptions import InvalidStatus

from server.access.caller import CALLER
from tests.callers import Keys
from tests.fake_live import FakeLive
from tests.issuer import AUDIENCE, ISSUER, jwk, key_set, token
from tests.ws_calls import END, frame, lived, socket, told, types


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Keys that may and one that may not, one with a rate, and one that is revoked."""
    made = Keys(tmp_path_factory.mktemp("keys") / "keys.json")
    made.make("live", "live")
    made.make("analyze", "analyze")
    made.make("slow", "live", requests_per_second=0.01, burst=1)
    made.make("few", "live", live_streams=1)
    made.make("leaving", "live")
    made.path.with_name("jwks.json").write_bytes(key_set(jwk("ES256", "one")))
    return made


@pytest.fixture(scope="module")
def guarded(start_once, keys):
    """A gateway that takes these keys, and tokens, and pages of one other address."""
    jwks = str(keys.path.with_name("jwks.json"))
    jwt = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks": jwks}
    return start_once(access={**keys.settings, **jwt}, server={"allowed_origins": "https://lab.example"})


def page(credential):
    """How a page says who asks: it can set no header."""
    return {"subprotocols": ["glimpse.v1", f"glimpse.key.{credential}"], "origin": "https://lab.example"}


def header(credential):
    return {"additional_headers": {"authorization": f"Bearer {credential}"}}


@pytest.mark.parametrize("way", [page, header])
async def test_a_credential_comes_as_a_subprotocol_or_in_the_header(guarded, keys, way):
    """Keys and tokens; the answer names the protocol, never the credential."""
    for credential in (keys.by_name["live"], token("ES256", scope="live")):
        async with socket(guarded.url, **way(credential)) as connection:
            assert connection.subprotocol == "glimpse.v1"
            assert credential not in str(connection.response.headers)
            await connection.send(frame(0))
            await connection.send(END)
            answers, code, _ = await told(connection)
        assert types(answers) == ["opened", "frame_result", "stats"]
        assert code == 1000


@pytest.mark.parametrize(
    ("credential", "code", "close"),
    [
        (lambda _: "nonsense", "unauthenticated", 4401),
        (lambda _: token("ES256", exp=1), "unauthenticated", 4401),
        (lambda keys: keys.by_name["analyze"], "permission-denied", 4403),
    ],
)
async def test_a_page_is_told_over_the_connection_why_it_is_refused(guarded, keys, credential, code, close):
    """It cannot read a refused handshake; no frame of it is read."""
    opened = len(guarded.live.asked)
    answers, closed, reason = await lived(guarded.url, [frame(0)], **page(credential(keys)))
    assert [(each["type"], each["code"]) for each in answers] == [("error", code)]
    assert (closed, reason) == (close, code)
    assert len(guarded.live.asked) == opened


async def test_whatever_is_no_page_is_refused_in_the_handshake(guarded, keys):
    """With the status and the problem document of REST."""
    for headers, status, code in (
        ({}, 401, "unauthenticated"),
        (header("nonsense"), 401, "unauthenticated"),
        (header(keys.by_name["analyze"]), 403, "permission-denied"),
    ):
        with pytest.raises(InvalidStatus) as refused:
            async with socket(guarded.url, **headers):
                pass
        answer = refused.value.response
        assert answer.status_code == status
        assert f'"code": "{code}"'.encode() in answer.body
        assert answer.headers["www-authenticate"].startswith('Bearer realm="glimpse"')


async def test_a_credential_in_the_address_or_twice_is_refused(guarded, keys):
    """Addresses are kept in logs."""
    key = keys.by_name["live"]
    for query, how in ((f"?key={key}", {}), (f"?model={key}", header(key)), ("", {**page(key), **header(key)})):
        answers, code, _ = await lived(guarded.url, [], query, **{**how, "origin": "https://lab.example"})
        assert [each["code"] for each in answers] == ["unauthenticated"]
        assert code == 4401
        assert key not in str(answers)


async def test_a_page_of_another_address_is_refused_whatever_its_key(guarded, keys):
    """Before its key is looked at."""
    with pytest.raises(InvalidStatus) as refused:
        async with socket(guarded.url, **{**page(keys.by_name["live"]), "origin": "https://evil.example"}):
            pass
    assert refused.value.response.status_code == 403
    assert b"foreign-origin" in refused.value.response.body


async def test_a_client_that_offers_its_key_alone_is_told_the_protocol(guarded, keys):
    """A browser would close a connection whose answer names none of what it offered."""
    how = {**page(keys.by_name["live"]), "subprotocols": [f"glimpse.key.{keys.by_name['live']}"]}
    answers, code, _ = await lived(guarded.url, [], **how)
    assert ([each["code"] for each in answers], code) == (["invalid-option"], 1008)


async def test_who_opens_too_many_streams_is_told_when_to_come_back(guarded, keys):
    """By rate, and by number."""
    await lived(guarded.url, [END], **page(keys.by_name["slow"]))
    answers, code, _ = await lived(guarded.url, [END], **page(keys.by_name["slow"]))
    assert [(each["code"], each["retryable"]) for each in answers] == [("rate-limited", True)]
    assert answers[0]["retry_after_s"] > 90
    assert code == 1013
    async with socket(guarded.url, **page(keys.by_name["few"])) as connection:
        await connection.recv()
        answers, code, _ = await lived(guarded.url, [END], **page(keys.by_name["few"]))
        assert ([each["code"] for each in answers], code) == (["rate-limited"], 1013)


async def test_a_stream_of_a_revoked_key_ends_with_its_statistics(guarded, keys):
    """Within moments, and is told why."""
    async with socket(guarded.url, **page(keys.by_name["leaving"])) as connection, asyncio.timeout(20):
        await connection.send(frame(0))
        await connection.recv()
        keys.revoke("leaving")
        answers, code, reason = await told(connection)
    assert types(answers) == ["frame_result", "stats", "error"]
    assert (answers[-1]["code"], answers[-1]["retryable"]) == ("credential-ended", True)
    assert (code, reason) == (4401, "credential-ended")


@pytest.mark.parametrize("on", [True, False])
async def test_the_caller_reaches_the_stream(start, keys, on):
    """Where it is opened."""
    seen = []

    class Watching(FakeLive):
        def open(self, options):
            seen.append(CALLER.get())
            return super().open(options)

    gateway = start(live=Watching(), access=keys.settings if on else {})
    await lived(gateway.url, [END], **({"origin": None, **header(keys.by_name["live"])}))
    [caller] = seen
    assert (caller.address, caller.tenant) == ("127.0.0.1", "key:live" if on else "anonymous:127.0.0.1")
