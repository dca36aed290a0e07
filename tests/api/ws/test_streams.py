"""Live streams over WebSocket, on a real socket, with an analyzer that does what the test says."""

import asyncio
import json
import logging
from contextlib import asynccontextmanager

import pytest
from websockets.exceptions import InvalidStatus
from websockets.frames import Opcode

from server.errors import BackendUnavailable, ModelNotServable, Overloaded, UnknownModel, WorkerCrashed
from server.pipeline.base import LiveBounds
from tests.fake_live import FakeLive
from tests.ws_calls import END, frame, lived, socket, told, types

ROUTE = "/v1/live"


def counted(gateway, status, streams=1):
    """Wait until so many streams have ended with it."""
    while gateway.metric("glimpse_requests_total", route=ROUTE, status=status) < streams:
        pass


async def test_a_stream_opens_answers_each_frame_and_ends_with_statistics(gateway):
    """In the order of the frames, under their numbers; the model, the regions and every limit come first."""
    messages = [*(frame(index) for index in range(3)), frame(3, b""), END]
    answers, code, _ = await lived(gateway.url, messages, additional_headers={"x-request-id": "mine"})
    assert types(answers) == ["opened", *["frame_result"] * 3, "frame_refused", "stats"]
    assert code == 1000
    opened, limits = answers[0], answers[0]["limits"]
    assert (opened["stream_id"], opened["model"]["name"], opened["regions"]) == ("mine", "ststnet", ["brow", "mouth"])
    assert (limits["max_message_bytes"], limits["max_live_streams"], limits["live_streams"]) == (16 * 2**20, 4, 1)
    assert limits["live_idle_seconds"] == 5
    assert [(a["frame_index"], a["capture_time_us"]) for a in answers[1:5]] == [(i, i * 10_000) for i in range(4)]
    assert answers[2] == {
        "type": "frame_result", "frame_index": 1, "capture_time_us": 10_000, "time_s": 0.01, "lag_s": 0.0, "faces": [],
    }  # fmt: skip
    assert (answers[4]["code"], answers[4]["goes_on"]) == ("invalid-option", True)
    assert answers[5]["received"] == 4
    assert gateway.metric("glimpse_requests_total", route=ROUTE, status="1000") == 1


async def test_the_options_of_a_stream_are_as_they_were_meant(gateway):
    """And those that are not given are the defaults."""
    chosen = "?model=net&version=2&faces=all&kinds=macro&policy=wait&frame_rate=60&clock_zero_us=-5&motion=true"
    await lived(gateway.url, [END], chosen)
    await lived(gateway.url, [END])
    first, second = gateway.live.asked
    assert (first.model, first.version, first.faces, first.kinds) == ("net", "2", "all", {"macro"})
    assert (first.policy, first.frame_rate, first.clock_zero_us, first.motion) == ("wait", 60.0, -5, True)
    assert second == type(second)()


WRONG = {
    "?colour=red": "colour",
    "?faces=some": "faces",
    "?faces=all&faces=all": "faces",
    "?kinds=nano": "kinds",
    "?frame_rate=0": "frame_rate",
    "?frame_rate=nan": "frame_rate",
    "?model=../x": "model",
    "?clock_zero_us=9223372036854775808": "clock_zero_us",
    "?encoding=gray8": "width",
    "?encoding=gray8&width=4": "width",
    "?encoding=png&width=4&height=4": "width",
}


async def test_a_stream_that_begins_wrongly_takes_nothing(gateway):
    """The message before the close names the option, and not what it was given."""
    for query, option in WRONG.items():
        (answer,), code, reason = await lived(gateway.url, [], query)
        told_of = (answer["type"], answer["code"], answer["option"], answer["retryable"])
        assert told_of == ("error", "invalid-option", option, False), query
        assert option in answer["message"]
        assert (code, reason) == (1008, "invalid-option")
    assert gateway.live.asked == []


GARBAGE = {
    "hello": "the only text message",
    "[" * 900: "the only text message",
    '{"type":"start"}': "the only text message",
    "x" * 70_000: "the only text message",
    b"": "begins with 16 bytes",
    b"\xff" * 15: "begins with 16 bytes",
}


async def test_what_is_no_frame_ends_the_stream(gateway):
    """It cannot be answered under a number; what came before it is, with statistics and then the reason."""
    for garbage, says in GARBAGE.items():
        answers, code, _ = await lived(gateway.url, [frame(0), frame(1), garbage, frame(2)])
        assert types(answers) == ["opened", "frame_result", "frame_result", "stats", "error"]
        assert says in answers[-1]["message"]
        assert (code, answers[-1]["code"]) == (1008, "invalid-option")


REFUSALS = (
    (Overloaded("4 streams are open (GLIMPSE_LIVE__MAX_STREAMS)", stage="live"), 1013, True),
    (BackendUnavailable("down"), 1013, True),
    (UnknownModel("no such"), 1008, False),
    (ModelNotServable("clips alone"), 1008, False),
    (RuntimeError("unforeseen"), 1011, False),
)


async def test_a_stream_that_is_not_let_in_is_refused_at_once(start):
    """With the reason and, where that helps, when to come back; a defect tells nothing of itself."""
    live = FakeLive()
    gateway = start(live=live)
    for error, code, retryable in REFUSALS:
        live.error = error
        (answer,), closed, _ = await lived(gateway.url, [])
        assert (closed, answer["retryable"]) == (code, retryable)
        assert ("unforeseen" in answer["message"]) is False
        assert answer["request_id"]
        if isinstance(error, Overloaded):
            assert (answer["message"], answer["retry_after_s"]) == (error.message, 1.0)
    assert gateway.metric("glimpse_rejected_total", reason="overloaded") == 1


async def test_what_ends_a_stream_is_its_last_message(start):
    """After its statistics."""
    gateway = start(live=FakeLive(failure=WorkerCrashed("died", stage="live")))
    answers, code, reason = await lived(gateway.url, [frame(0), END])
    assert types(answers) == ["opened", "frame_result", "stats", "error"]
    assert (answers[-1]["stage"], code, reason) == ("live", 1011, "worker-crashed")


async def test_a_message_that_is_too_large_is_refused_with_the_setting(start):
    """Frames until then have their answers. One far above the limit is refused by its announced length alone."""
    gateway = start(server={"socket_message_bytes": 2**16})
    answers, code, _ = await lived(gateway.url, [frame(0), frame(1, b"x" * 2**16), frame(2)])
    assert types(answers) == ["opened", "frame_result", "stats", "error"]
    assert (answers[-1]["setting"], answers[-1]["limit"]) == ("GLIMPSE_SERVER__SOCKET_MESSAGE_BYTES", 2**16)
    assert (code, answers[-1]["code"]) == (1009, "limit-exceeded")
    answers, code, _ = await lived(gateway.url, [b"x" * 2**20])
    assert (types(answers), code) == (["opened"], 1009)
    await asyncio.to_thread(counted, gateway, "1009", 2)
    assert gateway.live.streams == 0


async def test_a_message_in_very_many_pieces_is_refused(gateway):
    """Empty ones cost the sender nothing, and the limit in bytes does not see them."""
    async with socket(gateway.url) as connection:
        connection.transport.write(_masked(Opcode.TEXT, 0) + _masked(Opcode.CONT, 0) * 5000)
        _, code, _ = await told(connection)
    assert code == 1009


def _masked(opcode, length, *, last=False):
    return bytes([opcode | (0x80 if last else 0), 0x80 | length]) + bytes(4) + bytes(length)


async def test_a_client_that_does_not_read_gives_its_place_back(start):
    """Its answers would fill the memory; the stream ends after the longest pause, whatever else it sends."""
    live = FakeLive(bounds=LiveBounds(4, 200.0, 0.5, 16), message="x" * 2**20)
    gateway = start(live=live)
    async with socket(gateway.url) as connection:
        connection.transport.pause_reading()
        for index in range(32):
            await connection.send(frame(index, b""))
        connection.transport.write(_masked(Opcode.PING, 100, last=True) * 1000)
        await asyncio.to_thread(counted, gateway, "4408")
        assert gateway.live.streams == 0
        connection.transport.abort()


async def test_a_client_that_vanishes_gives_its_place_back(gateway, caplog):
    """Without a close frame, or with one: nothing of it stays open, and it is counted as one who left."""
    async with socket(gateway.url) as connection:
        assert types([json.loads(await connection.recv())]) == ["opened"]
        assert gateway.live.streams == 1
        connection.transport.abort()
    await asyncio.to_thread(counted, gateway, "499")
    assert gateway.live.streams == 0
    async with socket(gateway.url) as connection:
        await connection.recv()
    await asyncio.to_thread(counted, gateway, "499", 2)
    for count in range(20):
        async with socket(gateway.url) as connection:
            for index in range(count):
                await connection.send(frame(index))
            connection.transport.abort()
    await asyncio.to_thread(counted, gateway, "499", 22)
    assert gateway.metric("glimpse_cancelled_total", kind="live") == 22
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert gateway.live.streams == 0


async def test_a_shutdown_ends_streams_with_their_statistics(gateway):
    """They are told to come back, and the connection says that the service restarts."""
    async with socket(gateway.url) as connection:
        for index in range(2):
            await connection.send(frame(index))
        assert [json.loads(await connection.recv())["type"] for _ in range(3)] == [
            "opened",
            "frame_result",
            "frame_result",
        ]
        gateway.server.should_exit = True
        answers, code, _ = await told(connection)
    assert types(answers) == ["stats", "error"]
    assert (answers[-1]["message"], answers[-1]["retryable"], code) == ("the service is shutting down", True, 1012)


class Endless(FakeLive):
    """Streams that are never done."""

    @asynccontextmanager
    async def open(self, options):
        async with super().open(options) as stream:
            stream.finish = asyncio.Event().wait
            yield stream


async def test_a_stream_that_does_not_end_is_cut_off_at_shutdown(start, caplog):
    """The drain time bounds the wait; the client is told to come back, and no stack trace is logged."""
    gateway = start(live=Endless(), server={"drain_seconds": 1})
    async with socket(gateway.url) as connection:
        await connection.recv()
        gateway.server.should_exit = True
        answers, code, _ = await told(connection)
    assert (types(answers), code) == (["error"], 1012)
    assert "Traceback" not in caplog.text


async def test_pages_of_other_addresses_are_refused(start):
    """Before the handshake ends; pages of this service, pages that are allowed, and programs are not."""
    gateway = start(server={"allowed_origins": ["https://lab.example"]})
    for admitted in (None, gateway.url, "https://lab.example"):
        headers = {} if admitted is None else {"Origin": admitted}
        assert (await lived(gateway.url, [END], additional_headers=headers))[1] == 1000
    for foreign in ("https://evil.example", "null", "", "http://127.0.0.1", "https://lab.example.evil.example"):
        with pytest.raises(InvalidStatus) as refusal:
            await lived(gateway.url, [END], additional_headers={"Origin": foreign})
        assert refusal.value.response.status_code == 403
        assert json.loads(refusal.value.response.body)["code"] == "foreign-origin"
    assert len(gateway.live.asked) == 3
    assert gateway.metric("glimpse_requests_total", route=ROUTE, status="403") == 5


async def test_the_language_is_agreed_upon(gateway):
    """Ours among several, or none where none is asked for; who speaks another one is told."""
    async with socket(gateway.url, subprotocols=["other", "glimpse.v1"]) as connection:
        assert connection.subprotocol == "glimpse.v1"
    async with socket(gateway.url, subprotocols=None) as connection:
        assert connection.subprotocol is None
    (answer,), code, _ = await lived(gateway.url, [], subprotocols=["glimpse.v9"])
    assert ("glimpse.v1" in answer["message"], answer["option"], code) == (True, "subprotocol", 1008)


async def test_nothing_is_compressed(gateway):
    """Also where the client offers it."""
    async with socket(gateway.url, compression="deflate") as connection:
        assert connection.protocol.extensions == []


async def test_an_address_without_an_upgrade_says_what_it_is(gateway):
    """And a WebSocket to any other address is refused."""
    answer = gateway.client.get(ROUTE)
    assert (answer.status_code, answer.headers["upgrade"], answer.json()["code"]) == (
        426, "websocket", "upgrade-required",
    )  # fmt: skip
    with pytest.raises(InvalidStatus):
        async with socket(gateway.url + "/nowhere"):
            pytest.fail("opened")


async def test_each_stream_is_one_record_in_the_log(gateway, caplog):
    """With its id and how it ended; nothing of its options, address or frames."""
    caplog.set_level(logging.INFO, "server")
    await lived(gateway.url, [END], "?model=jane", additional_headers={"x-request-id": "the-id"})
    await asyncio.to_thread(counted, gateway, "1000")
    (record,) = [record for record in caplog.records if getattr(record, "method", "") == "WEBSOCKET"]
    assert (record.route, record.status) == (ROUTE, 1000)
    assert "jane" not in str(vars(record))


async def test_garbage_instead_of_frames_of_the_protocol_closes_the_connection(gateway):
    """The stream ends, and others go on."""
    async with socket(gateway.url) as beside, socket(gateway.url) as connection:
        connection.transport.write(b"\x7f" * 200)
        _, code, _ = await told(connection)
        assert code == 1002
        await beside.send(END)
        assert (await told(beside))[1] == 1000
    await asyncio.to_thread(counted, gateway, "499")
    assert gateway.live.streams == 0
