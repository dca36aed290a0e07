"""Who may ask by HTTP."""

import socket

import pytest

from server.access.caller import CALLER
from tests.callers import Keys
from tests.issuer import AUDIENCE, ISSUER, confused, jwk, key_set, token, unsigned

VIDEO = {"content-type": "video/mp4"}
CHALLENGE = 'Bearer realm="glimpse"'


def _made(folder):
    made = Keys(folder / "keys.json")
    for scope in ("analyze", "live", "models", "metrics", "admin"):
        made.make(scope, scope)
    made.make("slow", "analyze", "models", requests_per_second=0.01, burst=2)
    return made


def _access(keys):
    path = keys.path.with_name("jwks.json")
    path.write_bytes(key_set(jwk("RS256", "one")))
    return {**keys.settings, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks": str(path)}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """One key for each scope, and one with a rate."""
    return _made(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def guarded(start_once, keys):
    """A gateway that takes these keys, and tokens."""
    return start_once(access=_access(keys))


@pytest.fixture
def own_keys(tmp_path):
    """The same for a test that changes them."""
    return _made(tmp_path)


@pytest.fixture
def own(start, own_keys):
    """A gateway that takes those."""
    return start(access=_access(own_keys))


def problem(answer, status, code):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["code"] == code
    assert document["request_id"] == answer.headers["x-request-id"]
    return document


def test_who_says_nothing_is_asked_to(guarded):
    """The challenge names the scheme, and blames nobody."""
    answer = guarded.client.get("/v1/models")
    document = problem(answer, 401, "unauthenticated")
    assert document["reason"] == "missing"
    assert answer.headers["www-authenticate"] == CHALLENGE


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/docs", "/openapi.json", "/problems", "/problems/unauthenticated"]
)
def test_probes_and_manuals_are_open(guarded, path):
    """Whoever asks; so is the explanation of the refusal."""
    assert guarded.client.get(path).status_code == 200


def test_each_address_has_its_scope(guarded, keys):
    """Every key opens what it is for and nothing else; the scope that lacks is named."""
    wanted = {"/v1/models": "models", "/v1/models/ststnet": "models", "/metrics": "metrics"}
    for path, scope in wanted.items():
        for name in ("analyze", "live", "models", "metrics", "admin"):
            answer = guarded.client.get(path, headers=keys.bearer(name))
            if name == scope:
                assert answer.status_code == 200, (path, name)
            else:
                assert problem(answer, 403, "permission-denied")["scope"] == scope
                assert answer.headers["www-authenticate"] == f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'
    for path in ("/v1/analyze", "/v1/classify", "/v1/render"):
        refused = guarded.client.post(path, content=b"x", headers={**VIDEO, **keys.bearer("models")})
        assert problem(refused, 403, "permission-denied")["scope"] == "analyze"
    answer = guarded.client.post("/v1/analyze", content=b"x", headers={**VIDEO, **keys.bearer("analyze")})
    assert answer.status_code == 200


def test_a_key_may_come_as_x_api_key(guarded, keys):
    """As many clients do."""
    assert guarded.client.get("/v1/models", headers={"x-api-key": keys.by_name["models"]}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([("authorization", "Bearer {models}"), ("authorization", "Bearer {models}")], "several"),
        ([("authorization", "Bearer {models}"), ("x-api-key", "{models}")], "several"),
        ([("authorization", "Basic {models}")], "malformed"),
        ([("authorization", "Bearer {models}x")], "malformed"),
        ([("authorization", "Bearer")], "malformed"),
        ([("x-api-key", "x" * 20_000)], "malformed"),
        ([("authorization", "Bearer " + "x" * 20_000)], "malformed"),
    ],
)
def test_what_is_no_single_credential_is_refused(guarded, keys, headers, reason):
    """Two of them as well, also where both are right."""
    sent = [(name, value.replace("{models}", keys.by_name["models"])) for name, value in headers]
    answer = guarded.client.get("/v1/models", headers=sent)
    assert problem(answer, 401, "unauthenticated")["reason"] == reason
    assert answer.headers["www-authenticate"] == f'{CHALLENGE}, error="invalid_token"'
    assert keys.by_name["models"] not in answer.text


def test_a_key_in_the_address_is_refused_and_not_repeated(guarded, keys):
    """Addresses are kept in logs and histories; also beside a right one."""
    key = keys.by_name["models"]
    for query in ({"api_key": key}, {"access_token": token()}, {"anything": key}):
        for headers in ({}, keys.bearer("models")):
            answer = guarded.client.get("/v1/models", params=query, headers=headers)
            assert problem(answer, 401, "unauthenticated")["reason"] == "in-address"
            assert key not in answer.text


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        ("", 200, ""),
        ("scope", 403, ""),
        ("exp", 401, "expired"),
        ("iss", 401, "issuer"),
        ("aud", 401, "audience"),
        ("kid", 401, "unknown-kid"),
        ("none", 401, "algorithm"),
        ("confused", 401, "algorithm"),
        ("huge", 401, "malformed"),
    ],
)
def test_a_token_is_taken_only_where_all_of_it_is_right(guarded, sent, status, reason):
    """As unit tests of each kind have it, over the wire."""
    texts = {
        "": lambda: token(scope="models"),
        "scope": lambda: token(scope="live"),
        "exp": lambda: token(exp=1, scope="models"),
        "iss": lambda: token(iss="https://evil.example", scope="models"),
        "aud": lambda: token(aud="other", scope="models"),
        "kid": lambda: token(kid="two", scope="models"),
        "none": unsigned,
        "confused": confused,
        "huge": lambda: token(padding="x" * 9000, scope="models"),
    }
    answer = guarded.client.get("/v1/models", headers={"authorization": f"Bearer {texts[sent]()}"})
    assert answer.status_code == status, answer.text
    if reason:
        assert problem(answer, 401, "unauthenticated")["reason"] == reason


def test_who_asks_too_often_is_told_when_to_come_back(guarded, keys):
    """And how much of the rate is left, before; others are not bounded by it."""
    slow = keys.bearer("slow")
    left = [guarded.client.get("/v1/models", headers=slow) for _ in range(2)]
    assert [answer.headers["ratelimit"].split(";")[1] for answer in left] == ["r=1", "r=0"]
    assert left[0].headers["ratelimit-policy"] == '"caller";q=2;w=200'
    answer = guarded.client.get("/v1/models", headers=slow)
    problem(answer, 429, "rate-limited")
    assert 90 < int(answer.headers["retry-after"]) <= 100
    assert answer.headers["ratelimit"].startswith('"caller";r=0;t=')
    other = guarded.client.get("/v1/models", headers=keys.bearer("models"))
    assert other.status_code == 200
    assert "ratelimit" not in other.headers


def test_a_refusal_comes_before_the_body_is_read(guarded, keys):
    """No byte of it has to be sent for the answer, and one who sends it all the same still reads the answer."""
    calls = len(guarded.analyzer.calls)
    for header in ("", f"X-API-Key: {keys.by_name['live']}\r\n"):
        with socket.create_connection(guarded.address, timeout=20) as client:
            client.sendall(
                f"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n{header}\r\n".encode()
            )
            answer = client.recv(4096)
            assert answer.startswith(b"HTTP/1.1 40")
            assert b"connection: close" in answer.lower()
    answer = guarded.client.post("/v1/analyze", content=bytes(3_000_000), headers=VIDEO)
    problem(answer, 401, "unauthenticated")
    assert len(guarded.analyzer.calls) == calls


def test_an_unknown_address_is_closed_too(guarded, keys):
    """Who is somebody learns that nothing is there; calls of operators are not here for anybody."""
    problem(guarded.client.get("/nothing"), 401, "unauthenticated")
    problem(guarded.client.get("/nothing", headers=keys.bearer("live")), 404, "not-found")
    problem(guarded.client.get("/admin/state", headers=keys.bearer("live")), 403, "permission-denied")
    problem(guarded.client.get("/admin/state", headers=keys.bearer("admin")), 404, "not-found")
    problem(guarded.client.post("/admin/reload", headers=keys.bearer("admin")), 404, "not-found")


def test_a_revoked_key_is_refused_within_moments(own, own_keys):
    """And one that was made since is taken, without a restart."""
    bearer = own_keys.bearer("models")
    assert own.client.get("/v1/models", headers=bearer).status_code == 200
    own_keys.make("new", "models")
    own_keys.revoke("models")
    while own.client.get("/v1/models", headers=bearer).status_code == 200:
        pass
    assert own.client.get("/v1/models", headers=own_keys.bearer("new")).status_code == 200


def test_a_broken_file_keeps_the_old_keys(own, own_keys):
    """The metric says so, and once it is whole again it is taken."""
    whole = own_keys.path.read_text("utf-8")
    own_keys.path.write_text(whole[:-20], "utf-8")
    metrics = {"headers": own_keys.bearer("metrics")}
    while 'glimpse_reloads_total{outcome="failure",what="keys"}' not in own.client.get("/metrics", **metrics).text:
        pass
    own_keys.path.write_text(whole, "utf-8")
    while 'glimpse_reloads_total{outcome="success",what="keys"}' not in own.client.get("/metrics", **metrics).text:
        pass


def test_requests_are_counted_by_the_name_of_the_key(own, own_keys):
    """Tokens are all one, and those whom nobody knows are another; refusals by their code, with their address."""
    for headers in (
        own_keys.bearer("models"),
        own_keys.bearer("models"),
        own_keys.bearer("live"),
        {},
        {"x-api-key": "x"},
    ):
        own.client.get("/v1/models", headers=headers)
    own.client.get("/v1/models", headers={"authorization": f"Bearer {token(scope='models', sub='ada')}"})
    text = own.client.get("/metrics", headers=own_keys.bearer("metrics")).text
    counted = [line for line in text.splitlines() if line.startswith("glimpse_requests_by_caller_total")]
    assert sorted(counted) == [
        'glimpse_requests_by_caller_total{caller="anonymous",outcome="refused"} 2.0',
        'glimpse_requests_by_caller_total{caller="jwt",outcome="answered"} 1.0',
        'glimpse_requests_by_caller_total{caller="live",outcome="refused"} 1.0',
        'glimpse_requests_by_caller_total{caller="models",outcome="answered"} 2.0',
    ]
    assert 'glimpse_rejected_total{reason="unauthenticated"} 2.0' in text
    assert 'glimpse_rejected_total{reason="permission-denied"} 1.0' in text
    assert 'glimpse_requests_total{route="/v1/models",status="401"} 2.0' in text
    assert "ada" not in text


@pytest.mark.parametrize("on", [True, False])
def test_the_caller_reaches_whoever_answers(start, keys, fake_analyzer, on):
    """Their name, scopes and address; without keys, the address alone."""
    seen = []

    class Watching(fake_analyzer):
        async def models(self):
            seen.append(CALLER.get())
            return await super().models()

        async def _work(self):
            seen.append(CALLER.get())

    gateway = start(Watching(), access=keys.settings if on else {})
    gateway.client.get("/v1/models", headers=keys.bearer("models"))
    gateway.client.post("/v1/analyze", content=b"x", headers={**VIDEO, **keys.bearer("analyze")})
    assert [caller.address for caller in seen] == ["127.0.0.1"] * 2
    tenants = [caller.tenant for caller in seen]
    assert tenants == (["key:models", "key:analyze"] if on else ["anonymous:127.0.0.1"] * 2)
    assert CALLER.get().address == ""


def test_the_document_says_how_to_say_who_asks(guarded, start):
    """Where keys are asked for, and of those addresses alone that need one."""
    document = guarded.client.get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "api_key"}
    closed = {
        path for path, operations in document["paths"].items() for each in operations.values() if "security" in each
    }
    assert closed == {"/v1/analyze", "/v1/classify", "/v1/render", "/v1/models", "/v1/models/{name}", "/metrics"}
    for path in closed:
        for operation in document["paths"][path].values():
            assert {"401", "403", "429"} <= set(operation["responses"])
    assert "securitySchemes" not in start().client.get("/openapi.json").json()["components"]


def test_metrics_may_be_for_everybody(start, keys):
    """Where the setting says so, and nothing else is."""
    gateway = start(access={**keys.settings, "open_metrics": True})
    assert gateway.client.get("/metrics").status_code == 200
    assert gateway.client.get("/v1/models").status_code == 401
