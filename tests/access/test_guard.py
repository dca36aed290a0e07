"""The door: who is let in, who is not, and whose streams end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.access.caller import Caller
from server.access.credentials import SOCKET_PREFIX, Offered, in_address
from server.access.guard import Guard
from server.access.jwks import KeySet
from server.access.keys import Key, KeyRing, digest, new_key
from server.access.rates import Rate
from server.access.scopes import SCOPES, SOCKET, Rule
from server.access.tokens import ALGORITHMS, TokenPolicy, TokenVerifier
from server.errors import PermissionDenied, RateLimited, Unauthenticated
from tests.issuer import AUDIENCE, ISSUER, jwk, key_set, token

KEY, KEY_ID = new_key()
ANALYZE = Rule("/v1/analyze", ("analyze",))


class Wall:
    now = 0.0

    def __call__(self):
        return self.now


def ring(scopes=("analyze", "live"), **how):
    return KeyRing([Key(KEY_ID, "lab", digest(KEY), frozenset(scopes), **how)])


def tokens(rate=None):
    async def fetch():
        return key_set(jwk("RS256", "one"))

    keys = KeySet(fetch, algorithms=ALGORITHMS, fresh_s=300, stale_s=3600, pause_s=10)
    return TokenVerifier(TokenPolicy(ISSUER, AUDIENCE, rate=rate or Rate()), keys)


def bearer(credential):
    return Offered(authorization=[f"Bearer {credential}"])


async def test_without_keys_everybody_is_let_in_by_their_address():
    """Nobody has a name then, and nobody is bounded."""
    grant = await Guard().admit(Offered(authorization=["nonsense"]), ANALYZE, "10.0.0.1")
    assert grant.caller == Caller("", frozenset(SCOPES), "10.0.0.1")
    assert (grant.caller.tenant, grant.caller.label, grant.quota) == ("anonymous:10.0.0.1", "anonymous", None)


@pytest.mark.parametrize(
    "offered",
    [
        bearer(KEY),
        Offered(authorization=[f"bearer  {KEY} "]),
        Offered(api_key=[KEY]),
        Offered(subprotocols=[f"{SOCKET_PREFIX}{KEY}"]),
    ],
)
async def test_a_key_is_taken_in_each_of_its_places(offered):
    """Authorization, X-API-Key, and the subprotocol of a page."""
    caller = (await Guard(keys=ring()).admit(offered, ANALYZE, "10.0.0.1")).caller
    assert (caller.name, caller.tenant, caller.label, caller.address) == ("lab", "key:lab", "lab", "10.0.0.1")


async def test_a_token_is_taken_beside_keys_and_its_subject_is_not_told():
    """It may be a person: labels and what is printed do not name it, and no key can be its tenant."""
    guard = Guard(keys=ring(), tokens=tokens())
    caller = (await guard.admit(bearer(token(sub="ada@example.org")), ANALYZE, "10.0.0.1")).caller
    assert (caller.tenant, caller.label) == ("token:ada@example.org", "jwt")
    assert "ada" not in repr(caller)
    assert "10.0.0.1" not in repr(caller)


@pytest.mark.parametrize(
    ("offered", "reason"),
    [
        (Offered(), "missing"),
        (Offered(authorization=[f"Bearer {KEY}"] * 2), "several"),
        (Offered(authorization=[f"Bearer {KEY}"], api_key=[KEY]), "several"),
        (Offered(api_key=[KEY, KEY]), "several"),
        (Offered(authorization=[f"Bearer {KEY}"], subprotocols=[f"{SOCKET_PREFIX}{KEY}"]), "several"),
        (Offered(authorization=[f"Basic {KEY}"]), "malformed"),
        (Offered(authorization=["Bearer"]), "malformed"),
        (Offered(authorization=["Bearer  "]), "malformed"),
        (Offered(authorization=[KEY]), "malformed"),
        (Offered(authorization=[f"Bearer {KEY}, Bearer {KEY}"]), "malformed"),
        (Offered(api_key=["x"]), "malformed"),
        (Offered(api_key=[""]), "malformed"),
        (Offered(subprotocols=[SOCKET_PREFIX]), "malformed"),
        (Offered(authorization=[f"Bearer {KEY}"], in_address=True), "in-address"),
        (bearer(new_key()[0]), "unknown-key"),
        (bearer("a.b.c"), "malformed"),
    ],
)
async def test_what_is_no_single_credential_that_holds_is_refused(offered, reason):
    """Each for its own reason, which nobody reads the credential in."""
    with pytest.raises(Unauthenticated) as refused:
        await Guard(keys=ring()).admit(offered, ANALYZE, "")
    assert refused.value.details == {"reason": reason}
    assert KEY not in refused.value.message
    assert KEY not in repr(offered)


async def test_a_key_is_refused_where_tokens_alone_are_taken():
    """And told so."""
    with pytest.raises(Unauthenticated, match="no keys"):
        await Guard(tokens=tokens()).admit(bearer(KEY), ANALYZE, "")


async def test_a_scope_that_lacks_is_named():
    """Any one of those that a method takes will do; where none is asked for, any credential."""
    guard = Guard(keys=ring(("live",)))
    with pytest.raises(PermissionDenied, match="needs the scope analyze") as refused:
        await guard.admit(bearer(KEY), ANALYZE, "")
    assert refused.value.details["scope"] == "analyze"
    await guard.admit(bearer(KEY), Rule("", ("models", "live")), "")
    await guard.admit(bearer(KEY), Rule(""), "")


async def test_a_key_has_its_own_rate_and_each_subject_theirs():
    """What is left is told; a refusal says when to come back."""
    guard = Guard(keys=ring(rate=Rate(per_s=0.5, burst=2)), tokens=tokens(Rate(per_s=0.5, burst=1)))
    assert [(await guard.admit(bearer(KEY), ANALYZE, "")).quota.remaining for _ in range(2)] == [1, 0]
    with pytest.raises(RateLimited) as refused:
        await guard.admit(bearer(KEY), ANALYZE, "")
    assert 1.5 < refused.value.details["retry_after_s"] <= 2
    ada, bob = token(sub="ada"), token(sub="bob")
    await guard.admit(bearer(ada), ANALYZE, "")
    await guard.admit(bearer(bob), ANALYZE, "")
    with pytest.raises(RateLimited):
        await guard.admit(bearer(token(sub="ada", jti="2")), ANALYZE, "")


async def test_a_request_without_the_scope_costs_nothing_of_the_rate():
    """Nor does one that holds no credential."""
    guard = Guard(keys=ring(rate=Rate(per_s=0.001, burst=1)))
    for _ in range(3):
        with pytest.raises(PermissionDenied):
            await guard.admit(bearer(KEY), Rule("", ("admin",)), "")
    await guard.admit(bearer(KEY), ANALYZE, "")


async def test_a_caller_holds_so_many_streams_and_no_more():
    """One that ends makes room."""
    guard = Guard(keys=ring(rate=Rate(streams=2)))
    caller = (await guard.admit(bearer(KEY), SOCKET, "")).caller
    with guard.lease(caller), guard.lease(caller):
        with pytest.raises(RateLimited, match="2 live streams"), guard.lease(caller):
            pass
        assert guard.leases == 2
    with guard.lease(caller), guard.lease(caller):
        pass
    assert guard.leases == 0


async def test_streams_of_a_revoked_key_end_and_no_others():
    """At the next look."""
    guard = Guard(keys=ring())
    caller = (await guard.admit(bearer(KEY), SOCKET, "")).caller
    with guard.lease(caller) as lease, guard.lease(Caller(address="x")) as other:
        guard.end_leases()
        assert not lease.ended.is_set()
        guard.keys = KeyRing()
        guard.end_leases()
        assert lease.ended.is_set()
        assert (lease.error.code, lease.error.details) == ("credential-ended", {"reason": "ended"})
        assert not other.ended.is_set()


async def test_a_key_made_anew_under_the_same_name_keeps_no_stream_of_the_old_one():
    """It is the credential that was revoked."""
    guard = Guard(keys=ring())
    caller = (await guard.admit(bearer(KEY), SOCKET, "")).caller
    with guard.lease(caller) as lease:
        other, other_id = new_key()
        guard.keys = KeyRing([Key(other_id, "lab", digest(other), frozenset({"live"}))])
        guard.end_leases()
        assert lease.ended.is_set()


@pytest.mark.parametrize("kind", ["key", "token"])
async def test_streams_end_when_their_credential_expires(kind):
    """A token's with its leeway."""
    wall = Wall()
    guard = Guard(keys=ring(expires=100.0), tokens=tokens(), wall=wall)
    caller = (await guard.admit(bearer(KEY if kind == "key" else token()), SOCKET, "")).caller
    with guard.lease(caller) as lease:
        wall.now = caller.expires - 0.1
        guard.end_leases()
        assert not lease.ended.is_set()
        wall.now = caller.expires
        guard.end_leases()
        assert "expired" in lease.error.message


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ([("api_key", "x")], True),
        ([("ACCESS_TOKEN", "x")], True),
        ([("model", KEY)], True),
        ([("model", f"..{KEY}..")], True),
        ([("model", "ststnet"), ("faces", "all")], False),
        ([], False),
    ],
)
def test_a_credential_in_an_address_is_noticed(query, found):
    """By its name, or by its form."""
    assert in_address(query) is found


@given(st.lists(st.text(max_size=60), max_size=3), st.lists(st.text(max_size=60), max_size=3))
async def test_nothing_but_the_key_opens(authorization, api_key):
    """Whatever comes in the headers."""
    with pytest.raises(Unauthenticated):
        await Guard(keys=ring()).admit(Offered(authorization, api_key), Rule(""), "")
