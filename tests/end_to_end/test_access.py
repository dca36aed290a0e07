"""`glimpse serve` with keys and tokens, as an operator runs it, asked by the client and by strangers."""

import asyncio
import itertools
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from client import AccessRefused, AsyncClient, Client, Frame, FrameResult, RestClient, StreamOptions
from tests.callers import Keys
from tests.issuer import AUDIENCE, ISSUER, address, confused, jwk, key_set, token, unsigned
from tests.ws_calls import END, lived, socket, told, types

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "samples" / "positive.mp4"
PERSON = "ada.lovelace@example.org"


@pytest.fixture(scope="module")
def issuer():
    """Where the issuer of tokens has its public keys."""
    with address(key_set(jwk("RS256", "one"))) as at:
        yield at


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Keys as `glimpse keys` makes them."""
    made = Keys(tmp_path_factory.mktemp("keys") / "keys.json")
    for scope in ("analyze", "live", "models", "metrics", "admin"):
        made.make(scope, scope)
    made.make("all", "analyze", "live", "models")
    made.make("leaving", "live", "models")
    return made


@pytest.fixture(scope="module")
def service(start_service, keys, issuer):
    """A service that takes both, and logs all that it may."""
    settings = {
        "GLIMPSE_ACCESS__REQUIRE_AUTH": "true",
        "GLIMPSE_ACCESS__KEYS_FILE": str(keys.path),
        "GLIMPSE_ACCESS__RELOAD_SECONDS": "0.1",
        "GLIMPSE_ACCESS__JWT_ISSUER": ISSUER,
        "GLIMPSE_ACCESS__JWT_AUDIENCE": AUDIENCE,
        "GLIMPSE_ACCESS__JWT_JWKS": issuer.url,
        "GLIMPSE_ACCESS__JWKS_PAUSE_SECONDS": "1",
        "GLIMPSE_ADMIN__PORT": "0",
        "GLIMPSE_TELEMETRY__LOG_LEVEL": "debug",
        "GLIMPSE_LIVE__FRAMES_PER_SECOND": "10000",
    }
    with start_service(**settings) as running:
        yield running


def bearer(text):
    return {"authorization": f"Bearer {text}"}


def grey(number):
    return Frame("gray8", bytes([128]) * 64 * 64, 10_000 * number, 64, 64)


def test_the_client_says_who_asks_by_every_protocol(service, keys):
    """A key, or a function that gives a token; without them it is refused with the code of the service."""
    url = str(service.client.base_url)
    everything = keys.by_name["all"]
    with RestClient(url, api_key=everything) as rest, Client(service.grpc, api_key=everything) as rpc:
        report = rest.analyze(SAMPLE)
        assert [event.label for event in rpc.analyze(SAMPLE).events] == [event.label for event in report.events]
        assert [model.name for model in rest.models()] == [model.name for model in rpc.models()]
        with rpc.stream(StreamOptions(policy="wait")) as stream:
            assert [type(reply).__name__ for reply in stream.follow(map(grey, range(3)))][-1] == "StreamStats"
    given = []

    def fresh():
        given.append(token(scope="models", sub=PERSON))
        return given[-1]

    with RestClient(url, token=fresh) as rest, Client(service.grpc, token=fresh) as rpc:
        assert rest.models()
        assert rpc.models()
        assert len(given) == 2
        with pytest.raises(AccessRefused) as refused:
            rpc.analyze(SAMPLE)
        assert refused.value.code == "permission-denied"
    for nobody in (RestClient(url), Client(service.grpc)):
        with nobody, pytest.raises(AccessRefused) as refused:
            nobody.models()
        assert (refused.value.code, refused.value.retryable) == ("unauthenticated", False)


async def test_a_stream_of_a_revoked_key_ends_for_good(service, keys):
    """The client opens it once more, which is refused, and says so; what was answered until then is there."""

    async def follow():
        async with (
            asyncio.timeout(30),
            AsyncClient(service.grpc, api_key=keys.by_name["leaving"]) as client,
            client.stream(StreamOptions(policy="wait")) as stream,
        ):
            async for reply in stream.follow(map(grey, itertools.count())):
                if isinstance(reply, FrameResult) and reply.frame_index == 0:
                    keys.revoke("leaving")

    with pytest.raises(AccessRefused) as refused:
        await follow()
    assert refused.value.code == "unauthenticated"


async def test_a_stream_over_a_websocket_is_for_whoever_has_a_key(service, keys):
    """As a page gives it."""
    url = str(service.client.base_url).rstrip("/")
    subprotocols = ["glimpse.v1", f"glimpse.key.{keys.by_name['live']}"]
    async with socket(url, subprotocols=subprotocols, origin=url) as connection:
        await connection.send(END)
        answers, code, _ = await told(connection)
    assert (types(answers), code) == (["opened", "stats"], 1000)
    answers, code, _ = await lived(url, [], origin=url)
    assert ([each["code"] for each in answers], code) == (["unauthenticated"], 4401)


def test_keys_of_the_issuer_may_change_and_its_address_may_be_away(service, issuer):
    """A new one is asked for when a token names it; while nobody answers, the known ones serve."""

    def status(text):
        return service.client.get("/v1/models", headers=bearer(text)).status_code

    assert status(token(scope="models")) == 200
    issuer.document = key_set(jwk("RS256", "one"), jwk("ES256", "two"))
    while status(token("ES256", "two", scope="models")) != 200:
        pass
    issuer.status = 500
    assert [status(token(scope="models")) for _ in range(5)] == [200] * 5
    assert status(token("RS256", "three", scope="models")) == 401
    asked = issuer.asked
    assert [status(token("RS256", f"kid-{number}", scope="models")) for number in range(20)] == [401] * 20
    assert issuer.asked - asked <= 2
    issuer.status = 200


def test_a_signal_has_the_keys_read_anew_and_operators_see_it(service, keys):
    """On their own port alone."""
    url = re.search(r'"calls of operators are served", "url": "([^"]+)"', service.log.read_text("utf-8"))[1]
    metrics = bearer(keys.by_name["metrics"])

    def reloads():
        text = service.client.get("/metrics", headers=metrics).text
        found = re.search(r'glimpse_reloads_total\{outcome="success",what="keys"\} (\d+)', text)
        return int(found[1]) if found else 0

    before = reloads()
    service.process.send_signal(signal.SIGHUP)
    while reloads() == before:
        pass
    with httpx.Client(base_url=url, trust_env=False, headers=bearer(keys.by_name["admin"])) as operator:
        state = operator.get("/admin/state").json()
        assert state["ready"] is True
        assert state["access"]["tokens"] is True
        assert operator.post("/admin/reload").json() == {"reloaded": ["keys", "jwks"], "failed": {}}
    assert service.client.get("/admin/state", headers=bearer(keys.by_name["admin"])).status_code == 404


def test_the_command_line_asks_with_the_key_of_the_settings(service, keys):
    """And is told plainly where there is none."""
    url = str(service.client.base_url)

    def models(**environment):
        command = [sys.executable, "-m", "server", "models", "--url", url]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)

    answered = models(GLIMPSE_CLIENT__API_KEY=keys.by_name["models"])
    assert (answered.returncode, "servable" in answered.stdout or "glimpse" in answered.stdout) == (0, True)
    refused = models()
    assert refused.returncode == 1
    assert "unauthenticated" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_secrets_are_in_no_log_answer_or_metric(service, keys):
    """Right keys, wrong ones, broken files, tokens of every kind, by header and by address, at the most talkative."""
    forged = keys.by_name["all"][:-1] + "!"
    secret = [*keys.by_name.values(), forged, token(sub=PERSON, scope="models metrics"), token(exp=1), confused()]
    secret.append(unsigned())
    seen = []
    for text in secret:
        for headers in (bearer(text), {"x-api-key": text}, {"authorization": text}, {"authorization": f"Basic {text}"}):
            for path in ("/v1/models", "/nothing", f"/v1/models?api_key={text}", f"/{text}"):
                answer = service.client.get(path, headers=headers)
                seen.append(str(answer.headers))
                document = answer.json()
                document.pop("instance", None)
                seen.append(json.dumps(document))
        with Client(service.grpc, api_key=text) as client:
            try:
                client.models()
            except AccessRefused as error:
                seen.append(f"{error!r} {error}")
            seen.append(repr(client))
    whole = keys.path.read_text("utf-8")
    keys.path.write_text(json.dumps({"keys": [{"id": secret[0], secret[1]: secret[2]}]}), "utf-8")
    while "the old one serves on" not in service.log.read_text("utf-8"):
        pass
    keys.path.write_text(whole, "utf-8")
    seen.append(service.client.get("/metrics", headers=bearer(keys.by_name["metrics"])).text)
    seen.append(service.log.read_text("utf-8"))
    everything = "\n".join(seen)
    assert '"caller": "models"' in everything
    assert '"caller": "jwt"' in everything
    assert 'caller="models"' in everything
    for text in secret:
        part = text.rsplit("_", 1)[-1] if text.startswith("glimpse_") else text.rsplit(".", 1)[0]
        assert text not in everything
        assert part not in everything
    assert PERSON not in everything
    assert "ada.lovelace" not in everything


def test_what_must_not_be_served_does_not_start():
    """One sentence, and exit status 1."""
    command = [sys.executable, "-m", "server", "serve", "--port", "0", "--grpc-port", "0", "--require-auth"]
    ended = subprocess.run(command, capture_output=True, text=True, env={}, cwd=ROOT, check=False, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.startswith("glimpse: credentials are required")
    assert len(ended.stderr.splitlines()) == 1
