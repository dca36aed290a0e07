"""Tokens of somebody else's."""

import base64
import json
import time

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.access.jwks import KeySet
from server.access.tokens import ALGORITHMS, MOST_CHARACTERS, TokenPolicy, TokenVerifier
from server.errors import Unauthenticated
from tests.issuer import AUDIENCE, ISSUER, confused, jwk, key_set, private_key, token, unsigned

SET = key_set(jwk("RS256", "one"), jwk("ES256", "two"), jwk("EdDSA", "three"))


def verifier(document=SET, algorithms=ALGORITHMS, **policy):
    async def fetch():
        return document

    keys = KeySet(fetch, algorithms=algorithms, fresh_s=300, stale_s=3600, pause_s=1e9)
    return TokenVerifier(TokenPolicy(ISSUER, AUDIENCE, **policy), keys)


async def refusal(text, **how):
    with pytest.raises(Unauthenticated) as refused:
        await verifier(**how).verify(text)
    assert text not in refused.value.message or len(text) < 3
    return refused.value


@pytest.mark.parametrize(("kind", "kid"), [("RS256", "one"), ("ES256", "two"), ("EdDSA", "three")])
async def test_a_token_of_the_issuer_is_taken(kind, kid):
    """By each of the three algorithms; it is taken until it expires, and the leeway longer."""
    bearer = await verifier().verify(token(kind, kid))
    assert (bearer.subject, bearer.scopes) == ("ada", {"analyze", "live"})
    assert 0 < bearer.expires - 30 - time.time() <= 60


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": int(time.time()) - 31}, "expired"),
        ({"exp": None}, "claims"),
        ({"iss": "https://login.example/"}, "issuer"),
        ({"iss": None}, "claims"),
        ({"aud": "another"}, "audience"),
        ({"aud": []}, "claims"),
        ({"aud": None}, "claims"),
        ({"sub": None}, "claims"),
        ({"sub": ""}, "claims"),
        ({"sub": "x" * 257}, "claims"),
        ({"nbf": int(time.time()) + 3600}, "not-yet-valid"),
        ({"iat": int(time.time()) + 3600}, "not-yet-valid"),
    ],
)
async def test_a_token_whose_claims_are_wrong_is_refused(claims, reason):
    """Each for its own reason."""
    assert (await refusal(token(**claims))).details["reason"] == reason


async def test_the_clock_of_the_issuer_may_be_off_a_little():
    """By the leeway, and no more."""
    late = int(time.time()) - 20
    assert (await verifier().verify(token(exp=late))).subject == "ada"
    assert (await refusal(token(exp=late), leeway_s=5)).details["reason"] == "expired"


async def test_several_audiences_may_be_named():
    """If this is one of them."""
    assert (await verifier().verify(token(aud=["another", AUDIENCE]))).subject == "ada"


async def test_a_beginning_may_be_required():
    """Where the setting says so."""
    assert (await refusal(token(), require_nbf=True)).details["reason"] == "claims"
    assert (await verifier(require_nbf=True).verify(token(nbf=int(time.time())))).subject == "ada"


@pytest.mark.parametrize(
    "text",
    [
        unsigned(),
        unsigned("None"),
        unsigned("NONE"),
        confused(),
        jwt.encode({"sub": "x"}, "s" * 32, algorithm="HS256", headers={"kid": "one"}),
        jwt.encode({"sub": "x"}, private_key("RS256"), algorithm="PS256", headers={"kid": "one"}),
        jwt.encode({"sub": "x"}, private_key("RS256"), algorithm="RS512", headers={"kid": "one"}),
    ],
    ids=["none", "None", "NONE", "public key as secret", "secret", "PS256", "RS512"],
)
async def test_algorithms_that_strangers_could_use_are_refused(text):
    """None, and HS256 with the public key as its secret, above all."""
    assert (await refusal(text)).details["reason"] == "algorithm"


async def test_a_key_serves_its_own_algorithm_alone():
    """The header does not decide."""
    assert (await refusal(token("ES256", "one"))).details["reason"] == "algorithm"
    assert (await refusal(token("ES256", "two"), algorithms=("RS256",))).details["reason"] == "unknown-kid"


async def test_a_token_of_another_key_is_refused():
    """Of one that the issuer does not have, or that lies about which it is."""
    assert (await refusal(token("RS256", "four"))).details["reason"] == "unknown-kid"
    assert (await refusal(token("RS256", "one", number=1))).details["reason"] == "signature"
    assert (await refusal(token("RS256", None))).details["reason"] == "unknown-kid"


async def test_a_changed_token_is_refused():
    """In its claims or its signature."""
    head, body, signature = token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "scope": "admin"}).encode()).rstrip(b"=").decode()
    assert (await refusal(f"{head}.{forged}.{signature}")).details["reason"] == "signature"
    assert (await refusal(f"{head}.{body}.")).details["reason"] == "signature"


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": ["b64"], "b64": False},
        {"kid": 7},
        {"kid": None, "jku": "https://evil.example/jwks"},
        {"kid": "../../etc/passwd"},
        {"kid": "x" * 5000},
    ],
)
async def test_a_header_that_wants_something_else_is_refused(header):
    """What is not understood and must be, keys from elsewhere, names that are no names."""
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": int(time.time()) + 60}
    head = {"alg": "RS256", "typ": "JWT", "kid": "one", **header}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (head, said)]
    signature = jwt.get_algorithm_by_name("RS256").sign(".".join(parts).encode(), private_key("RS256"))
    await refusal(".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=").decode()]))


async def test_a_huge_token_is_not_even_read():
    """Its length is enough."""
    assert str(MOST_CHARACTERS) in (await refusal(token(padding="x" * MOST_CHARACTERS))).message
    nested = base64.urlsafe_b64encode(b"[" * 6000).rstrip(b"=").decode()[:MOST_CHARACTERS]
    assert (await refusal(f"{nested}.e30.")).details["reason"] == "malformed"


@pytest.mark.parametrize(
    ("claims", "policy", "scopes"),
    [
        ({"scope": "analyze  models"}, {}, {"analyze", "models"}),
        ({"scope": ["analyze", "models", 7, None]}, {}, {"analyze", "models"}),
        ({"scope": None, "scp": "live"}, {}, {"live"}),
        ({"scope": "analyze", "scp": "admin"}, {}, {"analyze"}),
        ({"scope": "root openid analyze.all"}, {}, set()),
        ({"scope": {"analyze": True}}, {}, set()),
        ({"scope": 7}, {}, set()),
        ({"scope": None}, {}, set()),
        ({"scope": "admin glimpse:live"}, {"scope_prefix": "glimpse:"}, {"live"}),
        ({"scope": "admin", "roles": ["metrics"]}, {"scope_claims": ("roles",)}, {"metrics"}),
    ],
)
async def test_scopes_are_those_that_this_service_knows(claims, policy, scopes):
    """Of the first claim that is there; a prefix sets ours apart from those of others."""
    assert (await verifier(**policy).verify(token(**claims))).scopes == scopes


@given(
    st.one_of(
        st.text(max_size=300),
        st.binary(max_size=100).map(lambda raw: f"{base64.urlsafe_b64encode(raw).decode()}.e30.e30"),
        st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5).map(
            lambda header: base64.urlsafe_b64encode(json.dumps(header).encode()).decode() + ".e30.e30"
        ),
    )
)
@example("a.b.c")
@example(".")
@example("..")
async def test_nothing_that_is_sent_breaks_anything(text):
    """Whatever it is, it is refused as a credential that does not hold."""
    with pytest.raises(Unauthenticated):
        await verifier().verify(text)
