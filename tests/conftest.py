"""Shared by many tests: a gateway on a real socket with an analyzer that does what the test says, a real Triton."""

from __future__ import annotations

import asyncio
import fcntl
import functools
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from server.app import create_app
from server.errors import ConfigurationError, UnknownModel
from server.pipeline.base import OnProgress, Readiness
from server.predict.triton_install import ensure_installed
from server.predict.tritonserver import TritonServer
from server.service import Service, listen
from server.settings import load
from server.types import (
    AnalyzeOptions,
    Classification,
    ClipInfo,
    Event,
    Evidence,
    FaceQuality,
    FaceSummary,
    ModelInfo,
    ModelRef,
    Progress,
    Report,
)
from tests import shown
from tests.fake_live import FakeLive

MODEL = ModelInfo("ststnet", ("1",), "flow_uvs_28", ("negative", "positive", "surprise"), "fake", servable=True)
REF = ModelRef("ststnet", "1", "flow_uvs_28", "fake")
EVENT = Event(
    track_id=1,
    kind="micro",
    onset_s=0.5,
    apex_s=0.6,
    offset_s=0.8,
    onset_frame=50,
    apex_frame=60,
    offset_frame=80,
    label="positive",
    probabilities={"negative": 0.1, "positive": 0.8, "surprise": 0.1},
    confidence=0.8,
    abstained=False,
    regions=("mouth_corner_left",),
    action_units=(),
    evidence=Evidence("good"),
)


READY = Readiness(ready=True)
LONG_FILES = (
    "tests/end_to_end/test_zoo.py",
    "tests/page/test_clip.py",
    "tests/end_to_end/test_verdicts.py",
    "tests/end_to_end/test_mllm.py",
    "tests/docs/test_tutorials.py",
    "tests/test_adding_a_model.py",
    "tests/end_to_end/test_wild.py",
    "tests/end_to_end/test_privacy.py",
    "tests/end_to_end/test_hostile_clients.py",
    "tests/end_to_end/test_scale_out.py",
    "tests/end_to_end/test_ensemble_and_shadow.py",
    "tests/end_to_end/test_dying_workers.py",
    "tests/end_to_end/test_triton_outage.py",
    "tests/end_to_end/test_fuzz.py",
    "tests/end_to_end/test_live_socket.py",
    "tests/end_to_end/test_live.py",
    "tests/predict/test_triton_failures.py",
    "tests/export/test_cli.py",
    "tests/export/test_generator_export.py",
    "tests/export/networks/test_mol.py",
    "tests/export/test_ensemble.py",
    "tests/export/test_training.py",
    "tests/export/networks/test_apex_graphs.py",
    "tests/export/test_protocol.py",
    "tests/export/test_loso.py",
    "tests/export/test_keras_file.py",
    "tests/export/synthesis/test_events.py",
    "tests/export/test_versions.py",
    "tests/export/test_acceleration.py",
    "tests/export/synthesis/test_flow_fields.py",
    "tests/export/test_training_run.py",
    "tests/page/test_page.py",
    "tests/pipeline/test_live_session.py",
    "tests/pipeline/test_stages.py",
    "tests/faces/test_track.py",
    "tests/spotting/test_causal.py",
    "tests/export/networks/test_dssn.py",
    "tests/export/test_cli_zoo.py",
    "tests/pipeline/test_workers.py",
    "tests/api/rest/test_docs.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files go first: processes share whole files, and for one that begins last all the others wait."""
    places = {name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))


def report(request_id: str) -> Report:
    quality = FaceQuality(iod_px=60.0, sharpness=100.0, yaw_deg=0.0, pitch_deg=0.0, roll_deg=0.0, inside=1.0)
    return Report(
        id=request_id,
        clip=ClipInfo(2.0, 200, 100.0, 640, 480, "h264"),
        faces=(FaceSummary(1, 0.0, 2.0, quality, Evidence("good")),),
        events=(EVENT,),
        model=REF,
        timings_ms={"decode": 12.5, "inference": 1.0},
    )


@dataclass
class FakeAnalyzer:
    """Answers at once, raises `error`, or, where `held`, waits until it is released or cancelled."""

    error: Exception | None = None
    held: bool = False
    ready: Readiness | Exception = READY
    progress: Sequence[Progress] = ()
    calls: list[dict[str, Any]] = field(default_factory=list)
    started: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    cancelled: threading.Event = field(default_factory=threading.Event)
    _releases: list[Callable[[], None]] = field(default_factory=list)

    async def analyze(
        self,
        data: bytes,
        options: AnalyzeOptions,
        *,
        request_id: str,
        deadline: float,
        on_progress: OnProgress | None = None,
    ) -> Report:
        self.calls.append({"data": bytes(data), "options": options, "request_id": request_id, "deadline": deadline})
        for progress in self.progress if on_progress else ():
            on_progress(progress)
        await self._work()
        found = report(request_id)
        pictures = shown.PICTURES if "pictures" in options.include else None
        explanation = shown.EXPLANATION if options.explain else None
        found = replace(found, events=(replace(EVENT, pictures=pictures, explanation=explanation),))
        return replace(found, signals=(shown.SIGNALS,)) if "signals" in options.include else found

    async def annotate(
        self, data: bytes, report: Report, slow: float, *, deadline: float, on_progress: OnProgress | None = None
    ) -> bytes:
        self.calls.append({"data": bytes(data), "report": report, "slow": slow, "deadline": deadline})
        await self._work()
        return b"annotated"

    async def classify(
        self, onset: bytes, apex: bytes, options: AnalyzeOptions, *, request_id: str, deadline: float
    ) -> Classification:
        self.calls.append({"onset": bytes(onset), "apex": bytes(apex), "options": options, "deadline": deadline})
        await self._work()
        return Classification(
            request_id, "positive", EVENT.probabilities, 0.8, False, (), Evidence("good"), REF, {"inference": 1.0}
        )

    async def models(self) -> Sequence[ModelInfo]:
        if self.error:
            raise self.error
        return (MODEL,)

    async def model(self, name: str) -> ModelInfo:
        if name != MODEL.name:
            raise UnknownModel(f"no model is named {name!r}", stage="inference")
        return MODEL

    async def readiness(self) -> Readiness:
        if isinstance(self.ready, Exception):
            raise self.ready
        return self.ready

    async def _work(self) -> None:
        self.started.release()
        if self.held:
            released = asyncio.Event()
            loop = asyncio.get_running_loop()
            self._releases.append(lambda: loop.call_soon_threadsafe(released.set))
            try:
                await released.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if self.error:
            raise self.error

    def release(self) -> None:
        """Let every waiting call go on, and hold no more."""
        self.held = False
        while self._releases:
            # A gateway that has ended by itself has closed its loop.
            with suppress(RuntimeError):
                self._releases.pop()()


@dataclass
class Running:
    """A gateway that listens."""

    url: str
    grpc: str
    analyzer: FakeAnalyzer
    live: FakeLive
    client: httpx.Client
    server: Service

    @property
    def address(self) -> tuple[str, int]:
        url = httpx.URL(self.url)
        return url.host, url.port or 80

    def metric(self, name: str, **labels: str) -> float:
        """The value of one sample, 0 where there is none yet."""
        from prometheus_client.parser import text_string_to_metric_families

        families = text_string_to_metric_families(self.client.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples]
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


Start = Callable[..., Running]


@contextmanager
def starting() -> Iterator[Start]:
    """Starts gateways with settings by group, and stops them."""
    with ExitStack() as stack:

        def begin(
            analyzer: FakeAnalyzer | None = None, live: FakeLive | None = None, **settings: Mapping[str, Any]
        ) -> Running:
            fake, streams = analyzer or FakeAnalyzer(), live or FakeLive()
            verify = settings.pop("verify", True)
            server = {"port": 0, "grpc_port": 0, "drain_seconds": 5.0, **settings.pop("server", {})}
            tree = load({}, server=server, **settings)
            listener = stack.enter_context(listen(tree))
            addresses: list[str] = []
            up = threading.Event()

            def ready(url: str, grpc: str) -> None:
                addresses.extend((url, grpc))
                up.set()

            renderings = {"text/csv": lambda r: f"id\n{r.id}\n".encode(), "image/png": lambda _: b"\x89PNG"}
            service = Service(create_app(tree, (fake, streams), renderings=renderings), tree, listener, ready)
            thread = threading.Thread(target=service.run, daemon=True)
            thread.start()
            assert up.wait(20)

            def stop() -> None:
                fake.release()
                service.should_exit = True
                thread.join(20)
                assert not thread.is_alive()

            stack.callback(stop)
            client = stack.enter_context(
                httpx.Client(base_url=addresses[0], timeout=20, trust_env=False, verify=verify)
            )
            return Running(*addresses, fake, streams, client, service)

        yield begin


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts gateways for one test."""
    with starting() as begin:
        yield begin


@pytest.fixture(scope="module")
def start_once() -> Iterator[Start]:
    """Starts gateways for all tests of a file."""
    with starting() as begin:
        yield begin


@pytest.fixture
def fake_analyzer() -> type[FakeAnalyzer]:
    """The class of analyzers that do what the test says."""
    return FakeAnalyzer


@pytest.fixture
def gateway(start: Start) -> Running:
    """A gateway with default settings."""
    return start()


@pytest.fixture(scope="session")
def png() -> Callable[[np.ndarray], bytes]:
    """RGB picture (uint8 [H, W, 3]) to PNG bytes."""
    return lambda rgb: cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Makes a folder that all processes of this run read: `once(name, make)`, of which the first one calls `make`."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def made(name: str, make: Callable[[Path], None]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                # What a process left behind that failed is made anew.
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def operators() -> Iterator[None]:
    """What the exporter knows of operators, read once: for each graph it would parse the source of hundreds anew."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    read = functools.cache(ONNXRegistry.from_torchlib)
    with pytest.MonkeyPatch.context() as once:
        once.setattr(ONNXRegistry, "from_torchlib", staticmethod(read))
        yield


@pytest.fixture(scope="session")
def triton_server_factory(pytestconfig: pytest.Config) -> Iterator[Callable[..., TritonServer]]:
    """Starts real Triton servers: `factory(repository, **options of TritonServer)`; all end with the session, killed
    unless `stop_timeout_s` is given: for a clean end each takes seconds.

    Skips where the binary cannot run on this machine, and fails instead where CI is set.
    """
    home = pytestconfig.rootpath / ".triton"
    try:
        ensure_installed(home)
    except ConfigurationError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must run the real Triton: {error}")
        pytest.skip(f"the real Triton cannot run here: {error}")
    with ExitStack() as running:

        def begin(repository: Path, **options: Any) -> TritonServer:
            return running.enter_context(TritonServer(repository, home=home, **{"stop_timeout_s": 0.0, **options}))

        yield begin
