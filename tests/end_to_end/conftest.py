"""The service as an operator starts it, and clips that the wild will bring."""

from __future__ import annotations

import io
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
STARTUP_S = 120


@dataclass
class Service:
    """A running `glimpse serve`: a client, everything it logged so far, and its address of gRPC."""

    client: httpx.Client
    process: subprocess.Popen[str]
    log: Path
    grpc: str

    def analyze(self, clip: bytes, *, accept: str = "application/json", **options: str) -> httpx.Response:
        """Post a clip as a browser would."""
        files = {"clip": ("private name.mp4", clip, "video/mp4")}
        return self.client.post("/v1/analyze", files=files, params=options, headers={"accept": accept})

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples of a metric that carry the labels."""
        from prometheus_client.parser import text_string_to_metric_families

        families = text_string_to_metric_families(self.client.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples]
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


@contextmanager
def serving(
    log: Path,
    cwd: Path = ROOT,
    without: tuple[str, ...] = (),
    *,
    ends: int = 0,
    asking: Mapping[str, Any] | None = None,
    **environment: str,
) -> Iterator[Service]:
    """Run the service on a free port, in a process of its own, and stop it as an operator would; it `ends` with that
    status. `asking` are further arguments of its `httpx.Client`.
    """
    command = [sys.executable, "-m", "server", "serve", "--port", "0", "--grpc-port", "0"]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GLIMPSE_") and k not in without}
    extra = {
        "GLIMPSE_WORKERS__COUNT": "1",
        # All tests are one tenant.
        "GLIMPSE_WORKERS__SPARE": "0",
        "GLIMPSE_LIVE__TENANT_SHARE": "1",
        "GLIMPSE_BACKEND__REPOSITORY": str(ROOT / "model_repository"),
    }
    with log.open("w", encoding="utf-8") as sink:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**inherited, **extra, **environment},
            stdout=sink,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        try:
            url, grpc = _addresses(process, sink)
        except BaseException:
            process.kill()
            process.wait()
            process.stderr.close()
            raise
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=sink)
        try:
            with httpx.Client(base_url=url, timeout=60, trust_env=False, **asking or {}) as client:
                yield Service(client, process, log, grpc)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == ends
            drain.wait(10)
            process.stderr.close()


def _addresses(process: subprocess.Popen[str], sink: io.TextIOBase) -> tuple[str, str]:
    """The URL and the address of gRPC that the service announces on standard error."""
    assert process.stderr is not None
    descriptor = process.stderr.fileno()
    selector = selectors.DefaultSelector()
    selector.register(descriptor, selectors.EVENT_READ)
    deadline = time.monotonic() + STARTUP_S
    told = ""
    while selector.select(deadline - time.monotonic()):
        # Not by line: a second line that came with the first would wait in the reader's own buffer, where nobody looks.
        piece = os.read(descriptor, 1 << 16).decode()
        sink.write(piece)
        sink.flush()
        told += piece
        if found := re.search(r'"url": "(https?://[\d.]+:\d+)", "grpc": "([\d.]+:\d+)"', told):
            return found[1], found[2]
        assert piece, "the service ended before it listened"
    raise AssertionError("the service did not start in time")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with the local backend."""
    with serving(tmp_path_factory.mktemp("service") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def start_service(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., object]:
    """Starts further services with variables of their own, as a context manager."""
    return lambda **kwargs: serving(tmp_path_factory.mktemp("service") / "log", **kwargs)


def encode(
    frames: list[np.ndarray],
    fps: int = 30,
    *,
    codec: str = "libx264",
    container: str = "mp4",
    preset: str = "veryfast",
) -> bytes:
    """RGB frames uint8 [H, W, 3] as a video file; `preset` is of libx264."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as target:
        stream = target.add_stream(codec, rate=fps)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "16", "preset": preset, "bf": "3"}
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return out.getvalue()


def decode(path: Path) -> list[np.ndarray]:
    """The frames of a sample, RGB uint8 [H, W, 3]."""
    with av.open(str(path)) as source:
        return [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]


@pytest.fixture(scope="session")
def negative() -> list[np.ndarray]:
    """Frames of a sample with one movement: onset at frame 33, apex at 39, offset at 45."""
    return decode(SAMPLES / "negative.mp4")
