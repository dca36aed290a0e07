"""`glimpse live`: what it prints, where, and how it ends."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from glimpse.v1 import micro_expressions_pb2 as pb

from client import FrameResult, LiveFace, Onset, Quality, StreamEvent, Tally
from client.messages import event
from server import live_meter
from server.cli import main
from server.live_meter import Meter
from server.notice import NOTICE
from tests.client.conftest import EVENT, Refusal

TOLD = {
    2: [
        pb.LiveResponse(onset=pb.Onset(movement=1, track_id=1)),
        pb.LiveResponse(candidate=pb.Candidate(movement=1, track_id=1, apex_s=0.2)),
        pb.LiveResponse(event=pb.StreamEvent(movement=1, event=EVENT)),
        pb.LiveResponse(withdrawn=pb.Withdrawn(movement=2, track_id=1, reason=pb.WITHDRAW_REASON_FACE_LOST)),
    ]
}


@pytest.fixture
def glimpse(capsys):
    """Run a command: its exit status, stdout and stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(["live", *(str(argument) for argument in arguments)])
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run


@pytest.fixture
def video(tmp_path):
    """A small film of 5 pictures at 50 frames per second."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=50)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in range(5):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level * 40, np.uint8), format="bgr24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def test_events_are_lines_on_stdout(glimpse, service, video):
    """Candidates, events and withdrawals as they come; the statistics are a message."""
    service.fake.told = TOLD
    status, out, err = glimpse(video, "--target", service.target)
    assert status == 0
    candidate, told, withdrawn = out.splitlines()
    assert candidate.split() == ["0.200", "s", "candidate", "face", "1"]
    assert told.split()[:8] == ["0.300", "s", "event", "face", "1", "micro", "positive", "0.80"]
    assert withdrawn.split() == ["withdrawn", "face", "1", "face-lost"]
    assert err.startswith(f"{NOTICE}\n5 frames: 5 analysed, 0 dropped, 0 refused, 0 unanswered; lag ")
    assert err.endswith("; 1 events, 1 withdrawn, 0 reconnections\n")


def test_json_is_one_object_per_reply(glimpse, service, video):
    """What was opened, every step of a movement, every drop, and the statistics; no result of a frame."""
    service.fake.told, service.fake.dropped = TOLD, {1}
    status, out, _ = glimpse(video, "--target", service.target, "--json")
    replies = [json.loads(line) for line in out.splitlines()]
    kinds = ["opened", "frame_dropped", "onset", "candidate", "event", "withdrawn", "stats"]
    assert status == 0
    assert [reply["type"] for reply in replies] == kinds
    assert replies[1] == {"type": "frame_dropped", "frame_index": 1, "capture_us": 20000, "reason": "oldest"}
    assert replies[4]["event"]["probabilities"] == {"negative": 0.2, "positive": 0.8}


def test_options_reach_the_service(glimpse, service, video):
    """Model, faces, kinds, policy and detail; the rate is that of the file, and so are the times."""
    options = ["--model", "m", "--model-version", 3, "--faces", "all", "--kinds", "micro", "--policy", "wait"]
    options += ["--detail", "minimal"]
    status, _, _ = glimpse(video, "--target", service.target, "--pictures", "gray", *options)
    [sent] = service.fake.options
    assert status == 0
    assert (sent.model, sent.version, sent.faces, list(sent.kinds)) == ("m", "3", pb.FACE_CHOICE_ALL, [1])
    assert (sent.policy, sent.frame_rate, sent.detail) == (pb.BUFFER_POLICY_WAIT, 50.0, pb.DETAIL_MINIMAL)
    assert [frame.capture_time_us for frame in service.fake.frames] == [0, 20000, 40000, 60000, 80000]
    assert {(frame.encoding, frame.width) for frame in service.fake.frames} == {(pb.FRAME_ENCODING_GRAY8, 64)}


def test_jpegs_come_from_stdin(glimpse, service, monkeypatch):
    """As they are, at the rate that was given."""
    jpeg = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(jpeg * 3)))
    status, _, err = glimpse("-", "--target", service.target, "--rate", 100)
    assert (status, err.splitlines()[-1][:8]) == (0, "3 frames")
    assert [(frame.capture_time_us, frame.data) for frame in service.fake.frames] == [
        (number * 10_000, jpeg) for number in range(3)
    ]


def test_a_camera_that_is_not_there(glimpse, service):
    """A sentence, after the service was reached."""
    status, out, err = glimpse(997, "--target", service.target)
    assert (status, out) == (1, "")
    assert "camera 997 cannot be opened" in err


def test_refused_pictures_are_told_once(glimpse, service, video):
    """With the number of the first one, and all in the statistics."""
    service.fake.refused = {1, 2, 3}
    status, _, err = glimpse(video, "--target", service.target)
    assert status == 0
    assert err.count("was refused") == 1
    assert "frame 1 was refused: no picture (unreadable-media)" in err
    assert "3 refused" in err


def test_nobody_at_the_address(glimpse, video):
    """A plain sentence instead of a stack trace."""
    status, out, err = glimpse(video, "--target", "127.0.0.1:9")
    assert (status, out) == (1, "")
    assert err.startswith("glimpse: 127.0.0.1:9 does not answer")
    assert len(err.splitlines()) == 1


def test_a_service_that_is_full(glimpse, service, video):
    """Its reason and the request, so that the log can be searched."""
    service.fake.openings = [Refusal()]
    status, out, err = glimpse(video, "--target", service.target)
    assert (status, out, err) == (1, "", "glimpse: 2 streams are open (overloaded, request abc123)\n")


@pytest.mark.parametrize(
    "arguments",
    [[], ["no-such-file.mp4"], [__file__, "--rate", 30], [__file__, "--kinds", "nano"], [__file__, "--policy", "x"]],
)
def test_wrong_use_ends_with_2(glimpse, arguments):
    """Never a stack trace."""
    status, out, err = glimpse(*arguments)
    assert (status, out) == (2, "")
    assert "Traceback" not in err


def test_a_file_that_is_no_video(glimpse):
    """Named, with status 1."""
    status, _, err = glimpse(__file__)
    assert status == 1
    assert err.startswith(f"glimpse: {__file__}: ")


def test_an_interrupt_ends_with_the_statistics(service):
    """What was sent is answered first, and the status is that of success."""
    jpeg = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    service.fake.told = {0: TOLD[2]}
    command = [sys.executable, "-m", "server", "live", "-", "--target", service.target, "--json"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=os.environ
    ) as live:
        live.stdin.write(jpeg)
        live.stdin.flush()
        for line in live.stdout:
            if b'"event"' in line:
                break
        live.send_signal(signal.SIGINT)
        rest = live.stdout.read()
        err = live.stderr.read().decode()
        assert live.wait(20) == 0, err
    assert json.loads(rest.splitlines()[-1])["type"] == "stats"
    assert err.splitlines()[-1].startswith("1 frames: 1 analysed")
    assert "Traceback" not in err


ROOT = Path(__file__).parents[2]
FACE = LiveFace(1, "moving", (), Quality(60.0, 100.0, 0.0, 0.0, 0.0, 1.0))


def drawn(meter):
    from rich.console import Console

    console = Console(width=120, file=io.StringIO())
    console.print(meter)
    return console.file.getvalue()


def test_the_meter_shows_rate_lag_drops_faces_and_the_last_events():
    """The rate is that of the last two seconds."""
    now, tally = [0.0], Tally()
    meter = Meter(tally, events=True, clock=lambda: now[0])
    assert "no face" in drawn(meter)
    for number in range(200):
        now[0] = number / 50
        reply = FrameResult(number, number * 20_000, number / 50, (FACE,), 0.01)
        tally.add(reply)
        tally.note_lag(0.012)
        meter.take(reply)
    meter.take(Onset(1, 1, 0.0, 0))
    for _ in range(7):
        meter.take(StreamEvent(1, event(EVENT)))
    text = drawn(meter)
    assert "50.5 frames/s" in text
    assert "lag 12 ms (99 %: 12 ms)" in text
    assert "dropped 0" in text
    assert "face 1: moving" in text
    assert text.count("positive 0.80") == 5


def test_a_meter_is_for_terminals():
    """Elsewhere there is none; and lines that stand above it are not repeated in it."""
    with live_meter.shown(Tally(), lines=True) as meter:
        assert meter is None
    quiet = Meter(Tally(), events=False)
    quiet.take(StreamEvent(1, event(EVENT)))
    assert "positive" not in drawn(quiet)
