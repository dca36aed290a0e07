"""Clients that break the rules or their connection: what each is told, and that nobody beside them notices."""

import asyncio
import struct
import zlib
from contextlib import asynccontextmanager, suppress

import grpc
import numpy as np
import pytest
from glimpse.v1 import micro_expressions_pb2 as pb

from client import AsyncClient, Frame, Overloaded, RequestRefused, StreamOptions
from tests import http2
from tests.grpc_calls import connected, facts, options, parts, told
from tests.live_frames import (
    DROP_LATEST,
    DROP_OLDEST,
    WAIT,
    answers_to_frames,
    changed,
    raw,
    requests,
    sample,
    then_silence,
)
from tests.processes import children
from tests.silent_network import network_to

LIVE = "/glimpse.v1.MicroExpressions/Live"
MESSAGE_BYTES = 2**20
RATE_HZ = 30
PATIENCE_S = 2
"""Longer than a client of ours is kept from answering on a machine that is busy."""
SETTINGS = {
    "GLIMPSE_LIVE__MAX_STREAMS": "5",
    "GLIMPSE_LIVE__BUFFER_FRAMES": "8",
    "GLIMPSE_LIVE__IDLE_SECONDS": str(PATIENCE_S),
    "GLIMPSE_LIVE__FRAMES_PER_SECOND": "10000",
    "GLIMPSE_SERVER__GRPC_MESSAGE_BYTES": str(MESSAGE_BYTES),
    "GLIMPSE_SERVER__GRPC_KEEPALIVE_SECONDS": str(2 * PATIENCE_S),
}


@pytest.fixture(scope="module")
def pictures():
    """A sample with one movement, as raw frames."""
    return sample("positive.mp4")


@pytest.fixture(scope="module")
def service(start_service):
    """A service with little patience."""
    with start_service(**SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def alone(service, pictures):
    """What a stream is told that has the service for itself, and the processes behind the service."""
    enough = asyncio.Event()
    enough.set()
    seen = asyncio.run(_watch(service, pictures, enough))
    assert [kind for kind, _ in seen][-1] == "event"
    asyncio.run(_given_back(service, None))
    return seen, children(service.process.pid)


@pytest.fixture
def beside(service, pictures, alone):
    """A block beside which another stream runs, and is told what it is told alone; then all that was taken is back."""

    @asynccontextmanager
    async def watching():
        expected, processes = alone
        enough = asyncio.Event()
        watch = asyncio.ensure_future(_watch(service, pictures, enough))
        try:
            yield
        finally:
            enough.set()
            seen = await watch
        assert seen == expected
        await _given_back(service, processes)

    return watching


async def _watch(service, pictures, enough):
    """Frame after frame, each with its answer; after the last one, the same picture again, as a camera that sends no
    more than its rate, until it is enough.
    """
    answers = []
    async with connected(service.grpc) as stub:
        call = stub.Live()
        await call.write(options(policy=WAIT))
        still = 0
        for frame in _and_on(pictures):
            if frame.frame_index >= len(pictures):
                with suppress(TimeoutError):
                    await asyncio.wait_for(enough.wait(), 1 / RATE_HZ)
                if enough.is_set():
                    break
            await call.write(pb.LiveRequest(frame=frame))
            still += 1
            while not answers or len(answers_to_frames(answers)) < still:
                answers.append(await call.read())
        await call.done_writing()
        rest, error = await told(call)
    assert error is None
    every = answers_to_frames(answers)
    assert [(kind, a.frame_index) for kind, a in every] == [("frame_result", index) for index in range(still)]
    movements = [a.event.event for a in (*answers, *rest) if a.WhichOneof("part") == "event"]
    return [
        *((kind, [face.track_id for face in a.faces]) for kind, a in every[: len(pictures)]),
        *(("event", (e.onset_frame, e.apex_frame, e.offset_frame, e.prediction.label)) for e in movements),
    ]


def _and_on(pictures):
    yield from pictures
    last = pictures[-1]
    for more in range(1, 100_000):
        yield changed(
            last, frame_index=last.frame_index + more, capture_time_us=last.capture_time_us + 10**6 // RATE_HZ * more
        )


async def _given_back(service, processes):
    """Until no stream is open, one process waits ready again, and the one for clips is that of before."""
    async with asyncio.timeout(20):
        while await asyncio.to_thread(service.metric, "glimpse_live_streams"):
            pass
        while len(now := children(service.process.pid)) != 2:
            await asyncio.to_thread(service.metric, "glimpse_live_streams")
    assert processes is None or now[0] == processes[0]
    assert service.metric("glimpse_worker_restarts_total") == 0
    async with connected(service.grpc) as stub:
        assert (await stub.GetServerInfo(pb.GetServerInfoRequest())).live_streams == 0


async def _live(service, messages, **how):
    async with connected(service.grpc) as stub:
        return await told(stub.Live(messages, **how))


def _jpeg(width, height):
    """A few hundred bytes that claim to be a picture of that size."""
    size = height.to_bytes(2) + width.to_bytes(2)
    start = b"\xff\xd8\xff\xc0\x00\x11\x08" + size + b"\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"
    return start + b"\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00" + bytes(200) + b"\xff\xd9"


def _png(width, height, pixels):
    """A grey picture that claims to be of that size."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts_of_it = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(pixels, 9)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts_of_it)


JPEG, PNG, BGR = pb.FRAME_ENCODING_JPEG, pb.FRAME_ENCODING_PNG, pb.FRAME_ENCODING_BGR8
WRONG = [
    ({"encoding": JPEG, "data": b"junk"}, "unreadable-media"),
    ({"encoding": JPEG, "data": b"\xff\xd8\xff\xe0" + bytes(range(256))}, "unreadable-media"),
    ({"encoding": JPEG, "data": b""}, "empty-media"),
    ({"encoding": JPEG, "data": _jpeg(30_000, 30_000)}, "limit-exceeded"),
    ({"encoding": JPEG, "data": _jpeg(65_535, 65_535)}, "limit-exceeded"),
    ({"encoding": PNG, "data": _png(30_000, 30_000, bytes(1000))}, "limit-exceeded"),
    ({"encoding": PNG, "data": _png(2**31 - 1, 2**31 - 1, b"")}, "limit-exceeded"),
    ({"encoding": PNG, "data": _png(64, 64, b"\7" * 100)[:-12]}, "truncated-media"),
    ({"encoding": BGR}, "invalid-option"),
    ({"width": 639}, "invalid-option"),
    ({"width": 0}, "invalid-option"),
    ({"width": 0, "height": 0, "data": b""}, "invalid-option"),
    ({"width": -640, "height": -480}, "invalid-option"),
    ({"width": 2**31 - 1, "height": 2**31 - 1}, "limit-exceeded"),
    ({"width": -(2**31), "height": -(2**31)}, "limit-exceeded"),
    ({"encoding": 77}, "invalid-option"),
    ({"encoding": -1}, "invalid-option"),
]
WRONG_TIMES = [
    ({"capture_time_us": 0}, "invalid-option"),
    ({"capture_time_us": -(2**63)}, "invalid-option"),
    ({"capture_time_us": 2**63 - 1}, "invalid-option"),
    ({"frame_index": 9}, "invalid-option"),
    ({"frame_index": 3}, "invalid-option"),
    ({"frame_index": -(2**63)}, "invalid-option"),
]


async def test_a_frame_that_is_wrong_costs_itself(service, beside, pictures):
    """Each has its code and the stream goes on; equal times are as wrong as those that go back."""
    ten, eleven = pictures[10], pictures[11]
    wrong = [changed(ten, **changes) for changes, _ in WRONG]
    late = [changed(eleven, **changes) for changes, _ in [*WRONG_TIMES, ({"capture_time_us": ten.capture_time_us}, "")]]
    # A picture between them, since twenty refusals in a row are too many; the bomb is one that does not go off.
    bomb = changed(eleven, encoding=PNG, data=_png(640, 480, bytes(10**8)))
    sent = [*pictures[:10], *wrong, ten, *late, bomb, *pictures[12:20]]
    async with beside():
        answers, error = await _live(service, requests(sent, policy=WAIT))
    assert error is None
    every = answers_to_frames(answers)
    assert [a.frame_index for _, a in every] == [frame.frame_index for frame in sent]
    refused = [a for kind, a in every if kind == "frame_refused"]
    assert [a.code for a in refused] == [code for _, code in (*WRONG, *WRONG_TIMES)] + ["invalid-option"]
    assert all(a.goes_on and a.message for a in refused)
    assert answers[-1].stats.refused == len(refused) == answers[-1].stats.received - answers[-1].stats.analysed


async def test_junk_on_the_wire_ends_what_it_came_by(service, beside, pictures):
    """Bytes of no protocol, messages of no interface, frames after the end, a cable that is cut: each for itself."""
    async with beside():
        ends = await asyncio.gather(
            _no_http2(service),
            _junk_messages(service),
            _frames_after_the_end(service, pictures),
            _cut_cable(service, pictures),
        )
    assert ends[0][0] == http2.SETTINGS
    assert ends[1] == ("INVALID_ARGUMENT", "invalid-input")
    # HTTP/2 lets the service break such a stream wherever it is.
    assert ends[2] == ["opened", "frame_result", "stats"][: len(ends[2])]


async def _no_http2(service):
    reader, writer = await asyncio.open_connection(*service.grpc.split(":"))
    writer.write(b"\x16\x03\x01 is no HTTP/2, but looks like TLS" + bytes(200))
    kinds = [kind async for kind, _ in http2.frames(reader)]
    writer.close()
    return kinds


async def _junk_messages(service):
    async with grpc.aio.insecure_channel(service.grpc) as channel:
        call = channel.stream_stream(LIVE)()
        await call.write(options().SerializeToString())
        await call.read()
        await call.write(b"\xff" * 100)
        _, error = await told(call)
    return error.code().name, facts(error)["glimpse-code"]


async def _frames_after_the_end(service, pictures):
    """The second frame comes after the mark that nothing more comes, which only a broken library sends."""
    first, second = (pb.LiveRequest(frame=frame).SerializeToString() for frame in (_dot(1), _dot(2)))
    reader, writer = await asyncio.open_connection(*service.grpc.split(":"))
    writer.write(http2.PREFACE + http2.frame(http2.SETTINGS) + http2.call(LIVE))
    writer.write(http2.message(options().SerializeToString()) + http2.message(first, flags=http2.END_STREAM))
    writer.write(http2.message(second, flags=http2.END_STREAM))
    heard = b""
    answers = []
    async for kind, payload in http2.frames(reader):
        heard += payload if kind == http2.DATA else b""
        while len(heard) >= 5 and len(heard) >= (size := 5 + int.from_bytes(heard[1:5])):
            answers.append(pb.LiveResponse.FromString(heard[5:size]))
            heard = heard[size:]
        if answers and answers[-1].WhichOneof("part") == "stats":
            break
    writer.close()
    return parts(answers)


async def _cut_cable(service, pictures):
    async with network_to(service.grpc) as network, connected(network.address) as stub:
        call = stub.Live()
        await call.write(options(policy=WAIT))
        await call.write(pb.LiveRequest(frame=pictures[0]))
        assert (await call.read()).WhichOneof("part") == "opened"
        network.end()
        await told(call)


async def test_who_stands_still_is_sent_away(service, beside, pictures):
    """Who says nothing at all, who opens a stream and sends nothing, who sends and stops, who does not read, whose
    network is silent: after `idle_seconds` their places are free. As long as all are taken, one more is refused.
    """
    async with beside():
        mute = asyncio.ensure_future(_live(service, then_silence([])))
        idle = asyncio.ensure_future(_live(service, then_silence([options(policy=WAIT)])))
        stopped = asyncio.ensure_future(_live(service, then_silence(requests(pictures[:3], policy=WAIT))))
        unread = asyncio.ensure_future(_unread(service, _sent_away(service) + 5))
        silent = asyncio.ensure_future(_silent(service, pictures))
        refused = asyncio.ensure_future(_one_too_many(service))
        answers, error = await mute
        assert answers == []
        assert error.code().name == "DEADLINE_EXCEEDED"
        for call, kinds in ((idle, ["opened", "stats"]), (stopped, ["opened", *["frame_result"] * 3, "stats"])):
            answers, error = await call
            assert parts(answers) == kinds
            assert error.code().name == "DEADLINE_EXCEEDED"
            assert error.details() == f"no frame came for {PATIENCE_S} s (GLIMPSE_LIVE__IDLE_SECONDS)"
            assert facts(error)["glimpse-retryable"] == "true"
        await unread
        await silent
        refusal = await refused
        assert refusal.message == "5 streams are open, as many as are served (GLIMPSE_LIVE__MAX_STREAMS)"
        assert (refusal.retryable, refusal.retry_after_s) == (True, 1.0)


async def _unread(service, ended):
    """Sends without reading, until `ended` streams have been sent away; a small window is full sooner."""
    window = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1024)]
    async with grpc.aio.insecure_channel(service.grpc, options=window) as channel:
        call = channel.stream_stream(LIVE, request_serializer=pb.LiveRequest.SerializeToString)()
        await call.write(options(policy=DROP_OLDEST))
        writing = asyncio.ensure_future(_write_on(call))
        while await asyncio.to_thread(_sent_away, service) < ended:
            pass
        writing.cancel()


def _sent_away(service):
    """Streams that ended by a timeout, or with their connection."""
    ended = [service.metric("glimpse_requests_total", route=LIVE, status=s) for s in ("DEADLINE_EXCEEDED", "CANCELLED")]
    return sum(ended)


async def _write_on(call):
    for index in range(10**9):
        await call.write(pb.LiveRequest(frame=_dot(index)))


async def _silent(service, pictures):
    async with network_to(service.grpc) as network, connected(network.address) as stub:
        call = stub.Live()
        await call.write(options(policy=WAIT))
        await call.write(pb.LiveRequest(frame=pictures[0]))
        assert (await call.read()).WhichOneof("part") == "opened"
        network.cut = True
        await network.given_up.wait()
        call.cancel()


async def _one_too_many(service):
    """Asks as soon as every place is taken."""
    while await asyncio.to_thread(service.metric, "glimpse_live_streams") < int(SETTINGS["GLIMPSE_LIVE__MAX_STREAMS"]):
        pass
    async with AsyncClient(service.grpc) as client:
        with pytest.raises(Overloaded) as caught:
            await client.stream().__aenter__()
    return caught.value


def _dot(index):
    """A picture of a few bytes."""
    return raw(index, index * 1000, np.full((2, 2), 90, np.uint8))


async def test_who_sends_too_much_is_bounded(service, beside, pictures):
    """A burst of a thousand frames is answered to the last, each drop with its reason; a message that is too large
    ends its stream.
    """
    burst = [_dot(index) for index in range(1000)]
    async with beside():
        *bursts, large, huge = await asyncio.gather(
            *(_live(service, requests(burst, policy=policy)) for policy in (DROP_OLDEST, DROP_LATEST)),
            _live(service, then_silence(requests([_dot(0), changed(_dot(1), data=bytes(MESSAGE_BYTES))]))),
            _live(service, then_silence(requests([_dot(0), changed(_dot(1), data=bytes(2 * MESSAGE_BYTES))]))),
        )
    reasons = (pb.DROP_REASON_OLDEST, pb.DROP_REASON_LATEST)
    for (answers, error), reason in zip(bursts, reasons, strict=True):
        assert error is None
        every = answers_to_frames(answers)
        assert [a.frame_index for _, a in every] == list(range(1000))
        dropped = [a.reason for kind, a in every if kind == "frame_dropped"]
        assert set(dropped) == {reason}
        stats = answers[-1].stats
        assert (stats.received, stats.analysed, stats.dropped) == (1000, 1000 - len(dropped), len(dropped))
    answers, error = large
    assert parts(answers) == ["opened", "frame_result", "stats"]
    assert (error.code().name, facts(error)["glimpse-limit"]) == ("INVALID_ARGUMENT", str(MESSAGE_BYTES))
    _, error = huge
    assert (error.code().name, facts(error)) == ("RESOURCE_EXHAUSTED", {})


async def _all_refused(service):
    """The client that writes as fast as it can learns why its stream ended."""
    async with AsyncClient(service.grpc) as client, client.stream(StreamOptions(policy="wait")) as stream:
        frames = (Frame("jpeg", b"garbage", index * 1000) for index in range(10**9))
        with pytest.raises(RequestRefused, match="20 frames in a row were refused") as caught:
            async for _ in stream.follow(frames):
                pass
    return caught.value


async def test_who_leaves_is_not_waited_for(service, beside, pictures):
    """A call that is cancelled, one whose deadline comes, a channel that is closed; who sends nothing but garbage as
    fast as it can is sent away, and told why.
    """
    async with beside():
        assert (await _all_refused(service)).code == "unreadable-media"
        async with connected(service.grpc) as stub:
            left = []
            for _ in range(2):
                left.append(call := stub.Live())
                await call.write(options(policy=WAIT))
                await call.write(pb.LiveRequest(frame=pictures[0]))
                assert (await call.read()).WhichOneof("part") == "opened"
            left[0].cancel()
            answers, error = await told(stub.Live(then_silence(requests(pictures[:3], policy=WAIT)), timeout=0.9))
        assert error.code().name == "DEADLINE_EXCEEDED"
        assert set(parts(answers)) <= {"opened", "frame_result", "stats"}
    assert service.metric("glimpse_cancelled_total", kind="live") >= 2
