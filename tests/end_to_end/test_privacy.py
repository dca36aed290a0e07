"""What is left of a clip, of stills and of live streams, wherever a running service could leave it."""

from __future__ import annotations

import base64
import os
import re
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests import residue
from tests.end_to_end.conftest import ROOT, STARTUP_S, Service, serving
from tests.end_to_end.watched import Watched
from tests.otlp_sink import sinking
from tests.secret_clip import FIELD_NAME, FILE_NAME, Secrets, secret_clip

SHARED = tuple(Path(place) for place in ("/tmp", "/var/tmp", "/dev/shm"))
SPELLED = 24
"""Bytes of a secret that would be recognised in a text."""


def _places(folder: Path, fonts: Path) -> dict[str, str]:
    homes = ("TMPDIR", "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
    everything = {"GLIMPSE_TELEMETRY__LOG_LEVEL": "debug", "MPLCONFIGDIR": str(fonts)}
    return {name: str(folder) for name in homes} | everything


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A service with nothing but a folder of its own, at the most talkative level of its log, after all requests."""
    base = tmp_path_factory.mktemp("privacy")
    folder = base / "home"
    folder.mkdir()
    clip, live, other = secret_clip(1, frames=16), secret_clip(2, frames=12), secret_clip(3, frames=12)
    secrets = Secrets.of((clip, live), other)
    since_ns = time.time_ns()
    # ONNX Runtime keeps its telemetry quiet by itself where it sees a CI machine; an operator's machine is none.
    with (
        sinking() as sink,
        serving(
            base / "log",
            cwd=folder,
            without=("CI",),
            GLIMPSE_TELEMETRY__OTLP_ENDPOINT=f"http://{sink.address}",
            **_places(folder, base / "fonts"),
        ) as service,
    ):
        watched = Watched(service, folder, since_ns, clip, live, secrets, sink)
        watched.ask_rest()
        readable = os.geteuid() == 0
        if readable:
            watched.look("after REST")
        watched.ask_grpc()
        watched.ask_socket()
        if readable:
            watched.look("after streams")
        yield watched


def _texts(watched: Watched) -> dict[str, bytes]:
    client = watched.service.client
    log = watched.service.log.read_bytes()
    request_id = client.get("/v1/models").headers["x-request-id"]
    watched.sink.request(request_id)
    return {
        "log": log,
        "metrics": client.get("/metrics").content,
        "answers": b"\n".join(watched.told),
        "traces": b"\n".join(watched.sink.received),
    }


def _in_text(text: bytes, watched: Watched) -> list[str]:
    """Which secrets a text holds, as bytes or spelled out."""
    found = ["bytes"] if watched.secrets.any.count(text) else []
    for clip in (watched.clip, watched.live):
        for secret in (clip.data[len(clip.data) // 2 :][:4000], clip.pictures[-1], clip.decoded[0][-1].tobytes()):
            for start in range(len(secret) // 8, len(secret) - SPELLED, len(secret) // 8):
                spelled = residue.spelled(secret[start : start + SPELLED])
                found += [form for form in spelled if form.encode() in text]
    landmarks, _ = watched.clip.face
    for x, y in landmarks[::9]:
        pair = rf"{_number(x)}\D{{1,4}}{_number(y)}".encode()
        found += [str(pair)] if re.search(pair, text) else []
    return found


def _number(value: float) -> str:
    """As a pattern, whether it was rounded or cut."""
    return rf"(?:{re.escape(f'{value:.1f}')}|{re.escape(f'{value:.4f}'[:-3])}\d*)"


def _in_files(watched: Watched, places: tuple[Path, ...]) -> dict[str, int]:
    secrets = watched.secrets.any | watched.search
    found = {path: secrets.of(residue.content(path)) for path in residue.written(places, watched.since_ns)}
    for pid in watched.processes:
        found |= {path: secrets.of(residue.content(path)) for path in residue.opened(pid)}
    return {str(path): hits for path, hits in found.items() if hits}


def test_no_file_holds_anything_of_a_frame(watched):
    """No file appears where the service may write, no file anywhere that changed or that it holds open has a byte of
    an upload, a picture, an aligned face or landmarks, and workers write to no disk at all.
    """
    assert [str(path) for path in watched.folder.rglob("*")] == []
    assert _in_files(watched, (*SHARED, watched.folder, ROOT / "model_repository", ROOT / "server")) == {}
    for worker in watched.processes[1:]:
        assert "\nwrite_bytes: 0\n" in Path(f"/proc/{worker}/io").read_text(encoding="ascii")


def test_no_text_shows_anything_of_a_frame(watched):
    """Neither the log at debug level, nor metrics, nor traces, nor answers and their headers: not as bytes, not spelled
    out, no landmarks; and log, metrics and traces know no name of a file or of an unknown part, and no address.
    """
    texts = _texts(watched)
    found = {name: _in_text(text, watched) for name, text in texts.items()}
    assert found == {"log": [], "metrics": [], "answers": [], "traces": []}
    assert watched.sink.names.count("POST /v1/analyze") == 10
    assert b"127.0.0.1" not in texts["traces"]
    assert texts["log"].count(b'"route": "/v1/analyze"') == 10
    for name in (FILE_NAME, FILE_NAME.removesuffix(".mp4"), FIELD_NAME):
        assert name.encode() not in texts["log"] + texts["metrics"] + texts["traces"], name
    requests = [line for line in texts["log"].splitlines() if b'"request"' in line]
    assert requests
    assert not [line for line in requests if b"127.0.0.1" in line]


def test_pictures_are_in_the_answer_to_who_asks_and_nowhere_else(watched):
    """The face of the clip is what that answer shows; no other answer, no log, metric, trace or file has any of it, as
    bytes or as text.
    """
    gray, text = watched.shown[0]
    assert base64.b64decode(text) == gray
    _, face = watched.clip.face
    seen = np.frombuffer(gray, np.uint8).reshape(256, 256)
    assert np.corrcoef(seen.ravel(), face[:256].ravel())[0, 1] > 0.9
    assert watched.search.count(b"".join(text for _, text in watched.shown)) > 0
    for name, told in _texts(watched).items():
        assert watched.search.of(told[shift:] for shift in range(residue.WIDTH)) == 0, name
    assert _in_files(watched, (*SHARED, watched.folder)) == {}


def test_memory_is_wiped_after_the_answer(watched):
    """After answers over REST neither gateway nor idle worker holds any of the uploads or of the pictures, though the
    connection is still open; after streams the gateway holds less than a hundredth of what it was sent.
    """
    if not watched.left:
        pytest.skip("reading the memory of another process needs an administrator")
    sent = len(watched.secrets.uploaded)
    little = {name: hits for name, hits in watched.left.items() if hits}
    assert set(little) <= {"after streams: gateway"}, little
    assert sum(little.values()) < sent / residue.WIDTH / 100


def test_processes_cannot_be_dumped_or_read(watched):
    """No core dump of any process, and another process of the same user cannot read one."""
    for pid in watched.processes:
        assert re.search(r"Max core file size +0 +0 ", Path(f"/proc/{pid}/limits").read_text(encoding="ascii"))
        assert not residue.can_be_read(pid)


def test_what_is_planted_is_found(watched, tmp_path):
    """In a file, in an open file without a name, in a text in each spelling, and in memory: the search can fail."""
    clip, plane = watched.clip, watched.clip.decoded[0]
    landmarks, crop = clip.face
    places = (tmp_path,)
    for secret in (clip.data[-60_000:-59_800], plane[-4].tobytes(), crop[128].tobytes(), landmarks[:40].tobytes()):
        (tmp_path / "left").write_bytes(b"abc" + secret)
        assert _in_files(watched, places) != {}
    secret = clip.pictures[-1][len(clip.pictures[-1]) // 8 :]
    for form in residue.spelled(secret[:SPELLED]):
        assert _in_text(f"before {form} after".encode(), watched) == [form]
    assert _in_text(b"x" + clip.data[-60_000:-59_800], watched) == ["bytes"]
    x, y = landmarks[9]
    assert _in_text(f'"landmark": [{x:.3f}, {y:.3f}]'.encode(), watched) != []
    hidden = os.memfd_create("left")
    os.write(hidden, clip.pictures[3])
    held = residue.opened(os.getpid())
    assert any(watched.secrets.any.of(residue.content(path)) for path in held)
    os.close(hidden)
    if os.geteuid() == 0:
        assert watched.secrets.uploaded.of(residue.memory(os.getpid())) > 0


def _at_work(service: Service, clip: bytes, then: signal.Signals, victim: int) -> None:
    """Send a clip, and a signal to `victim` as soon as its frames are looked at."""
    part, accept = {"clip": (FILE_NAME, clip)}, {"accept": "text/event-stream"}
    with service.client.stream("POST", "/v1/analyze", files=part, headers=accept) as answer:
        for line in answer.iter_lines():
            if line.startswith("event: progress") and victim:
                os.kill(victim, then)
                victim = 0


def test_a_crash_leaves_nothing(tmp_path):
    """A worker that dies of a broken decoder and a gateway that aborts, each in the midst of a clip, leave no core dump
    and nothing of the clip in the log; no worker outlives the gateway.
    """
    folder = tmp_path / "home"
    folder.mkdir()
    clip, other = secret_clip(4, frames=48), secret_clip(5, frames=12)
    secrets = Secrets.of((clip,), other)
    since_ns = time.time_ns()
    places = _places(folder, tmp_path / "fonts")
    with serving(tmp_path / "log", cwd=folder, ends=-signal.SIGABRT, **places) as service:
        gateway, *workers = residue.family(service.process.pid)
        # One of them is for live streams and knows nothing of clips; it is replaced all the same.
        for worker in workers:
            _at_work(service, clip.data, signal.SIGSEGV, worker)
        assert service.metric("glimpse_worker_restarts_total", reason="crash") == len(workers)
        workers = [os.pidfd_open(worker) for worker in residue.family(gateway)[1:]]
        with pytest.raises(httpx.TransportError):
            _at_work(service, clip.data, signal.SIGABRT, gateway)
        service.process.wait(30)
    for worker in workers:
        assert select.select([worker], [], [], STARTUP_S)[0]
        os.close(worker)
    log = (tmp_path / "log").read_bytes()
    assert b"Segmentation fault" in log
    assert FILE_NAME.encode() not in log
    assert secrets.any.count(log) == 0
    pattern = Path(Path("/proc/sys/kernel/core_pattern").read_text(encoding="ascii").strip())
    dumps = pattern.parent if pattern.is_absolute() else folder
    assert [path for path in residue.written((dumps,), since_ns) if "core" in path.name] == []
    assert list(folder.rglob("*")) == []
