"""Live streams over WebSocket to a service as an operator starts it, with the real pipeline."""

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from glimpse.v1 import micro_expressions_pb2 as pb

from tests.grpc_calls import connected, options
from tests.grpc_calls import told as told_by_grpc
from tests.ws_calls import END, frame, lived, socket, told, types

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "samples" / "positive.mp4"
ANSWERS = ("frame_result", "frame_dropped", "frame_refused")
STEPS = ("onset", "candidate", "event", "withdrawn")
MANUAL = (ROOT / "docs" / "websocket.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def small(start_service):
    """A service that serves two streams at a time, each with room for eight frames, and has little patience."""
    limits = {"MAX_STREAMS": "2", "BUFFER_FRAMES": "8", "IDLE_SECONDS": "8", "FRAMES_PER_SECOND": "1000"}
    with start_service(**{f"GLIMPSE_LIVE__{name}": value for name, value in limits.items()}) as service:
        yield service


@pytest.fixture(scope="module")
def pictures():
    """A sample with one movement: capture time in microseconds and JPEG of each frame."""
    with av.open(str(SAMPLE)) as source:
        return [
            (round(picture.time * 1e6), _jpeg(picture.to_ndarray(format="bgr24"))) for picture in source.decode(video=0)
        ]


def _jpeg(bgr):
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def _messages(pictures, start=0):
    return [frame(index, data, capture_us) for index, (capture_us, data) in enumerate(pictures, start)]


def _url(service):
    return str(service.client.base_url).rstrip("/")


def _answers(answers):
    return [answer for answer in answers if answer["type"] in ANSWERS]


@pytest.mark.parametrize("policy", ["wait", "drop_oldest", "drop_latest"])
async def test_every_frame_has_one_answer_in_order(small, pictures, policy):
    """Whatever the policy; under `wait` none is dropped, and each drop under the others is told."""
    answers, code, _ = await lived(_url(small), [*_messages(pictures), END], f"?policy={policy}")
    assert code == 1000
    assert [(a["frame_index"], a["capture_time_us"]) for a in _answers(answers)] == [
        (index, capture_us) for index, (capture_us, _) in enumerate(pictures)
    ]
    stats = answers[-1]
    assert stats["received"] == len(pictures) == stats["analysed"] + stats["dropped"]
    assert (stats["dropped"] == 0) == (policy == "wait")


async def test_a_stream_tells_what_grpc_tells(small, pictures):
    """The same frames by both: the same steps in the same order, with the same numbers."""
    answers, _, _ = await lived(_url(small), [*_messages(pictures), END], "?policy=wait&motion=true")
    requests = [options(policy=1, motion=True)]
    for index, (capture_us, data) in enumerate(pictures):
        picture = pb.Frame(frame_index=index, capture_time_us=capture_us, encoding=pb.FRAME_ENCODING_JPEG, data=data)
        requests.append(pb.LiveRequest(frame=picture))
    async with connected(small.grpc) as stub:
        by_grpc, error = await told_by_grpc(stub.Live(iter(requests)))
    assert error is None
    steps = [answer for answer in answers if answer["type"] in STEPS]
    of_grpc = [answer for answer in by_grpc if answer.WhichOneof("part") in STEPS]
    assert types(steps) == [answer.WhichOneof("part") for answer in of_grpc]
    assert {"onset", "candidate", "event"} <= set(types(steps))
    event, other = steps[-1]["event"], of_grpc[-1].event.event
    for name in ("track_id", "onset_frame", "apex_frame", "offset_frame", "onset_s", "apex_s", "offset_s"):
        assert event[name] == getattr(other, name)
    assert (event["kind"], event["label"]) == ("micro", other.prediction.label) == ("micro", "positive")
    assert event["probabilities"] == pytest.approx(dict(other.prediction.probabilities))
    assert event["evidence"]["grade"].upper() in pb.Grade.Name(other.evidence.grade)
    result, its = answers[30], by_grpc[30].frame_result
    assert (result["type"], result["time_s"]) == ("frame_result", pytest.approx(its.time_s, abs=1e-4))
    assert _flat(result["faces"][0]["eyes_px"]) == pytest.approx(list(its.faces[0].eyes_px), abs=1e-4)
    assert _flat(result["faces"][0]["motion_iod"]) == pytest.approx(list(its.faces[0].motion_iod), abs=1e-4)
    assert set(result["faces"][0]["quality"]) == {field.name for field in pb.Quality.DESCRIPTOR.fields}


def _flat(points):
    return [coordinate for point in points for coordinate in point]


async def test_what_is_wrong_with_a_frame_costs_that_frame(small, pictures):
    """Garbage, nothing, time and numbers that go back: the stream goes on."""
    good = _messages(pictures[:8])
    capture_us, data = pictures[8]
    wrong = [
        frame(8, b"garbage", capture_us),
        frame(9, b"", capture_us + 1),
        frame(10, data, pictures[1][0]),
        frame(2, data, capture_us + 2),
        frame(2**63 - 1, b"\x00" * 100, 2**63 - 1),
    ]
    answers, code, _ = await lived(_url(small), [*good[:4], *wrong, *good[4:], END], "?policy=wait")
    assert code == 1000
    kinds = types(_answers(answers))
    assert kinds == ["frame_result"] * 4 + ["frame_refused"] * 5 + ["frame_result"] * 4
    refused = [answer for answer in answers if answer["type"] == "frame_refused"]
    assert all(answer["goes_on"] and answer["message"] for answer in refused)
    assert [answer["code"] for answer in refused][:1] == ["unreadable-media"]


async def test_nothing_but_refusals_ends_the_stream(small):
    """After twenty in a row; every frame until then has its answer, and the reason comes last."""
    async with socket(_url(small), "?policy=wait") as connection:
        for index in range(20):
            await connection.send(frame(index, b"garbage"))
        answers, code, _ = await told(connection)
    assert types(_answers(answers)) == ["frame_refused"] * 20
    assert types(answers)[-2:] == ["stats", "error"]
    assert (answers[-1]["code"], code) == ("unreadable-media", 1008)


async def test_another_resolution_begins_anew(small, pictures):
    """Faces are found again, as others, and nothing is taken for a movement."""
    half = [(capture_us, _half(data)) for capture_us, data in pictures[8:16]]
    messages = [*_messages(pictures[:8]), *_messages(half, 8), END]
    answers, code, _ = await lived(_url(small), messages, "?policy=wait")
    assert code == 1000
    tracks = [{face["track_id"] for face in answer["faces"]} for answer in _answers(answers)]
    assert len(tracks) == 16
    assert not tracks[0] & tracks[-1]
    assert "event" not in types(answers)


def _half(data):
    return _jpeg(cv2.resize(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), None, fx=0.5, fy=0.5))


async def test_raw_pictures_need_their_size(small, pictures):
    """Which is an option of the stream; those of another size are refused, and the stream goes on."""
    gray = bytes(320 * 240)
    (refusal,), code, _ = await lived(_url(small), [], "?encoding=gray8")
    assert ("width and height" in refusal["message"], code) == (True, 1008)
    answers, code, _ = await lived(
        _url(small), [frame(0, gray), frame(1, gray[1:]), END], "?encoding=gray8&width=320&height=240&policy=wait"
    )
    assert (types(_answers(answers)), code) == (["frame_result", "frame_refused"], 1000)


async def test_a_stream_that_stands_still_is_closed(small, pictures):
    """What came is answered, the statistics come, and the reason names the setting."""
    async with socket(_url(small), "?policy=wait") as connection:
        for message in _messages(pictures[:3]):
            await connection.send(message)
        answers, code, reason = await told(connection)
    assert types(answers) == ["opened", *["frame_result"] * 3, "stats", "error"]
    assert "GLIMPSE_LIVE__IDLE_SECONDS" in answers[-1]["message"]
    assert (code, reason, answers[-1]["retryable"]) == (4408, "deadline-exceeded", True)


async def test_one_stream_too_many_is_refused_at_once(small, pictures):
    """Whichever protocol the others speak; they go on."""
    async with connected(small.grpc) as stub, socket(_url(small), "?policy=wait") as connection:
        call = stub.Live()
        await call.write(options(policy=1))
        assert (await call.read()).WhichOneof("part") == "opened"
        await connection.recv()
        (refusal,), code, _ = await lived(_url(small), [])
        assert (refusal["code"], code) == ("overloaded", 1013)
        assert "GLIMPSE_LIVE__MAX_STREAMS" in refusal["message"]
        assert refusal["retry_after_s"] >= 1
        await connection.send(_messages(pictures)[0])
        await connection.send(END)
        assert types((await told(connection))[0]) == ["frame_result", "stats"]
        await call.done_writing()
        await told_by_grpc(call)


async def test_a_client_that_vanishes_disturbs_nobody(small, pictures):
    """Its connection is cut in the middle; its place is free again, and the stream beside it has all its answers."""
    async with socket(_url(small)) as vanishing:
        for message in _messages(pictures[:10]):
            await vanishing.send(message)
        beside = asyncio.ensure_future(lived(_url(small), [*_messages(pictures[:30]), END], "?policy=wait"))
        await vanishing.recv()
        vanishing.transport.abort()
        answers, code, _ = await beside
    assert (types(_answers(answers)), code) == (["frame_result"] * 30, 1000)
    await asyncio.to_thread(_none_open, small)
    assert "Traceback" not in small.log.read_text(encoding="utf-8")


def _none_open(service):
    while service.metric("glimpse_live_streams"):
        pass


def _example(language):
    (code,) = re.findall(rf"```{language}\n(.*?)```", MANUAL, re.DOTALL)
    return code


def test_the_example_in_python_runs(small, tmp_path):
    """As the manual shows it, but for the address."""
    program = tmp_path / "example.py"
    program.write_text(_example("python").replace("ws://127.0.0.1:8080", _url(small).replace("http", "ws", 1)))
    said = subprocess.run(
        [sys.executable, str(program)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert "positive" in said
    assert "stats" in said


DRIVER = """
import { readFileSync, readdirSync } from "node:fs";
const [address, folder] = process.argv.slice(2);
let closed;
const ended = new Promise((resolve) => { closed = resolve; });
const stream = openLive(address, { policy: "wait" }, (reply) => {
  if (reply.type === "opened") {
    for (const name of readdirSync(folder).sort()) {
      stream.send(new Blob([readFileSync(`${folder}/${name}`)]), parseInt(name, 10));
    }
    stream.end();
  }
  if (reply.type === "event") console.log("event", reply.event.label);
  if (reply.type === "stats") console.log("stats", reply.analysed, reply.refused);
}, (code, reason) => { console.log("closed", code, reason); closed(); });
await ended;
"""


def test_the_example_for_browsers_runs(small, pictures, tmp_path):
    """The script of the manual, in the engine and with the WebSocket of a browser, without a camera."""
    node = _node_or_skip()
    frames = tmp_path / "frames"
    frames.mkdir()
    for capture_us, data in pictures:
        (frames / f"{capture_us:09}.jpg").write_bytes(data)
    program = tmp_path / "example.mjs"
    program.write_text(_example("javascript") + DRIVER)
    command = [*node, str(program), _url(small).replace("http", "ws", 1), str(frames)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "event positive" in said
    assert f"stats {len(pictures)} 0" in said
    assert "closed 1000" in said


def test_the_example_with_a_camera_is_a_program(tmp_path):
    """There is no camera here, so it is only read."""
    node = _node_or_skip()
    program = tmp_path / "camera.mjs"
    program.write_text(_example("javascript") + _example("js"))
    subprocess.run([*node, "--check", str(program)], capture_output=True, timeout=60, check=True)


def _node_or_skip():
    node = shutil.which("node")
    command = [str(node), "--experimental-websocket"]
    probe = [*command, "--eval", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
    if node is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no Node.js with a WebSocket is installed")
    return command
