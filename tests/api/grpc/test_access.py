"""Who may ask by gRPC."""

import asyncio

import grpc
import pytest
from glimpse.v1 import micro_expressions_pb2 as pb
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.access.caller import CALLER
from tests.callers import Keys
from tests.grpc_calls import connected, facts, frames, options, parts, told
from tests.issuer import AUDIENCE, ISSUER, jwk, key_set, token


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """One key for each scope, one with a rate, and one that is revoked."""
    made = Keys(tmp_path_factory.mktemp("keys") / "keys.json")
    for scope in ("analyze", "live", "models", "metrics"):
        made.make(scope, scope)
    made.make("slow", "models", requests_per_second=0.01, burst=1)
    made.make("few", "live", live_streams=1)
    made.make("leaving", "live")
    made.path.with_name("jwks.json").write_bytes(key_set(jwk("RS256", "one")))
    return made


@pytest.fixture(scope="module")
def guarded(start_once, keys):
    """A gateway that takes these keys, and tokens."""
    jwks = str(keys.path.with_name("jwks.json"))
    jwt = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks": jwks, "open_metrics": True}
    return start_once(access={**keys.settings, **jwt})


def bearer(text):
    return (("authorization", f"Bearer {text}"),)


async def call(gateway, name, metadata):
    """The error of a method, None where it is let in."""
    async with connected(gateway.grpc) as stub:
        if name == "Live":
            _, error = await told(stub.Live(iter([options(), *frames(1)]), metadata=metadata))
        elif name == "Analyze":
            sent = iter([pb.AnalyzeRequest(options=pb.AnalyzeOptions()), pb.AnalyzeRequest(data=b"x")])
            _, error = await told(stub.Analyze(sent, metadata=metadata))
        else:
            try:
                await getattr(stub, name)(getattr(pb, f"{name}Request")(), metadata=metadata)
            except grpc.aio.AioRpcError as failed:
                return failed
            return None
        return error


METHODS = {"Analyze": "analyze", "Live": "live", "ListModels": "models"}


async def test_each_method_has_its_scope(guarded, keys):
    """With the details of every other error; the scope that lacks is named."""
    for method, wanted in METHODS.items():
        for name in ("analyze", "live", "models", "metrics"):
            error = await call(guarded, method, bearer(keys.by_name[name]))
            if name == wanted:
                assert error is None, (method, name)
                continue
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED
            assert error.details() == f"this needs the scope {wanted}"
            told_of = facts(error)
            assert told_of["glimpse-code"] == "permission-denied"
            assert (told_of["glimpse-scope"], told_of["glimpse-stage"]) == (wanted, "access")
            assert len(told_of["glimpse-request-id"]) == 32


async def test_whoever_may_send_something_may_know_the_limits(guarded, keys):
    """They are asked for before a clip or a stream."""
    for name in ("analyze", "live", "models"):
        assert await call(guarded, "GetServerInfo", bearer(keys.by_name[name])) is None
    error = await call(guarded, "GetServerInfo", bearer(keys.by_name["metrics"]))
    assert facts(error)["glimpse-scope"] == "models analyze live"


@pytest.mark.parametrize("method", [*METHODS, "GetServerInfo"])
@pytest.mark.parametrize("sent", ["none", "wrong", "two", "both", "binary", "huge", "expired"])
async def test_who_is_nobody_is_refused(guarded, keys, method, sent):
    """UNAUTHENTICATED, whatever the kind of the method."""
    key = keys.by_name[METHODS.get(method, "models")]
    metadata = {
        "none": (),
        "wrong": bearer(key[:-1] + ("A" if key[-1] != "A" else "B")),
        "two": bearer(key) * 2,
        "both": (*bearer(key), ("x-api-key", key)),
        "binary": (("authorization-bin", f"Bearer {key}".encode()),),
        "huge": bearer("x" * 7000),
        "expired": bearer(token(exp=1, scope="analyze live models")),
    }[sent]
    error = await call(guarded, method, metadata)
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert facts(error)["glimpse-code"] == "unauthenticated"
    assert facts(error)["glimpse-retryable"] == "false"
    assert key not in error.details()


async def test_keys_and_tokens_are_taken_in_the_metadata(guarded, keys):
    """As `authorization`, or as `x-api-key`."""
    for metadata in (bearer(token(scope="models")), (("x-api-key", keys.by_name["models"]),)):
        assert await call(guarded, "ListModels", metadata) is None


async def test_who_asks_too_often_is_told_when_to_come_back(guarded, keys):
    """RESOURCE_EXHAUSTED."""
    slow = bearer(keys.by_name["slow"])
    assert await call(guarded, "ListModels", slow) is None
    error = await call(guarded, "ListModels", slow)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert facts(error)["glimpse-code"] == "rate-limited"
    assert 90 < int(facts(error)["glimpse-retry-after-s"]) <= 100


async def test_health_and_reflection_are_open_and_what_is_not_there_is_closed(guarded, keys):
    """A probe has no key."""
    async with grpc.aio.insecure_channel(guarded.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == 1
        reflect = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        assert (await told(reflect(iter([])))) == ([], None)
        nothing = channel.unary_unary("/glimpse.v1.MicroExpressions/Nothing")
        for metadata, code in (((), "UNAUTHENTICATED"), (bearer(keys.by_name["live"]), "UNIMPLEMENTED")):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await nothing(b"", metadata=metadata)
            assert failed.value.code().name == code


async def test_no_message_of_whoever_is_refused_is_read(guarded):
    """A first message that never comes is not waited for, and one of no interface is not looked at."""
    calls = len(guarded.analyzer.calls)
    async with connected(guarded.grpc) as stub, asyncio.timeout(20):
        _, error = await told(stub.Live())
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    async with grpc.aio.insecure_channel(guarded.grpc) as channel:
        for method in ("Live", "ListModels"):
            junk = channel.stream_stream(f"/glimpse.v1.MicroExpressions/{method}")
            _, error = await told(junk(iter([b"\xff" * 1000])))
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert len(guarded.analyzer.calls) == calls


async def test_streams_of_one_key_are_bounded(guarded, keys):
    """The next one is told to come back; another key has room."""
    few = bearer(keys.by_name["few"])
    async with connected(guarded.grpc) as stub:
        first = stub.Live(metadata=few)
        await first.write(options())
        await first.read()
        error = await call(guarded, "Live", few)
        assert (error.code().name, facts(error)["glimpse-code"]) == ("RESOURCE_EXHAUSTED", "rate-limited")
        assert await call(guarded, "Live", bearer(keys.by_name["live"])) is None
        await first.done_writing()
        await told(first)
        while await call(guarded, "Live", few) is not None:
            pass


async def test_a_stream_of_a_revoked_key_ends_with_its_statistics(guarded, keys):
    """Within moments, and may be opened again with another."""
    async with connected(guarded.grpc) as stub, asyncio.timeout(20):
        stream = stub.Live(metadata=bearer(keys.by_name["leaving"]))
        await stream.write(options())
        await stream.write(next(frames(1)))
        await stream.read()
        keys.revoke("leaving")
        answers, error = await told(stream)
        assert parts(answers) == ["frame_result", "stats"]
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert (facts(error)["glimpse-code"], facts(error)["glimpse-retryable"]) == ("credential-ended", "true")
        assert error.details() == "the key of this stream was revoked"


@pytest.mark.parametrize("on", [True, False])
async def test_the_caller_reaches_whoever_answers(start, keys, fake_analyzer, on):
    """Set before the method, seen in it and in every task that it starts; the next call has its own."""
    seen = []

    class Watching(fake_analyzer):
        async def models(self):
            seen.append(await asyncio.create_task(self._caller()))
            return await super().models()

        async def _work(self):
            seen.append(CALLER.get())

        async def _caller(self):
            return CALLER.get()

    gateway = start(Watching(), access=keys.settings if on else {})
    await call(gateway, "ListModels", bearer(keys.by_name["models"]))
    await call(gateway, "Analyze", bearer(keys.by_name["analyze"]))
    assert [caller.address for caller in seen] == ["127.0.0.1"] * 2
    tenants = ["key:models", "key:analyze"] if on else ["anonymous:127.0.0.1"] * 2
    assert [caller.tenant for caller in seen] == tenants


async def test_calls_are_counted_by_the_name_of_the_key(guarded, keys):
    """As requests by REST are."""
    name = "glimpse_requests_by_caller_total"

    def counted():
        return [
            guarded.metric(name, caller=caller, outcome=outcome)
            for caller, outcome in (("models", "answered"), ("jwt", "answered"), ("anonymous", "refused"))
        ]

    before = counted()
    for metadata in (bearer(keys.by_name["models"]), bearer(token(scope="models", sub="ada")), ()):
        await call(guarded, "ListModels", metadata)
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 1, 1]
