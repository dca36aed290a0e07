"""The service over a real Triton that stands still, dies and comes back: probes, answers and metrics."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.grpc_calls import connected, parts, told
from tests.live_frames import SAMPLES, WAIT, requests, sample

ROOT = Path(__file__).parents[2]
CLIP = (SAMPLES / "positive.mp4").read_bytes()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The default model alone, so that Triton starts in a moment."""
    folder = tmp_path_factory.mktemp("outage")
    (folder / "glimpse_flow").symlink_to(ROOT / "model_repository" / "glimpse_flow")
    return folder


@pytest.fixture(scope="module")
def lives(triton_server_factory, repository):
    """The Triton that lives at the moment, on ports that stay the same."""
    server = triton_server_factory(repository)
    return {"now": server, "port": int(server.grpc_address.rpartition(":")[2])}


@pytest.fixture(scope="module")
def over(start_service, repository, lives):
    """Starts services over that Triton."""

    def start(**settings):
        names = {
            "KIND": "triton",
            "TRITON_ADDRESS": f"127.0.0.1:{lives['port']}",
            "REPOSITORY": str(repository),
            **settings,
        }
        return start_service(**{f"GLIMPSE_BACKEND__{name}": value for name, value in names.items()})

    return start


@pytest.fixture(scope="module")
def plain(over):
    """Without a fall-back."""
    with over() as service:
        yield service


@pytest.fixture(scope="module")
def cautious(over):
    """With the local models in reserve."""
    with over(FALLBACK="local", FALLBACK_AFTER_SECONDS="1") as service:
        yield service


@contextlib.contextmanager
def frozen(server):
    """Neither the server nor its models get processor time."""
    os.killpg(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(server.pid, signal.SIGCONT)


def revived(lives, triton_server_factory, repository):
    """Start it where it has ended: its Python backend aborts now and then when it goes on after standing still."""
    if os.waitid(os.P_PID, lives["now"].pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
        lives["now"].stop()
        lives["now"] = triton_server_factory(repository, grpc_port=lives["port"])


@contextlib.contextmanager
def killed(lives, triton_server_factory, repository):
    """Gone without a word, and back on the same port afterwards."""
    os.killpg(lives["now"].pid, signal.SIGKILL)
    lives["now"].stop()
    try:
        yield
    finally:
        lives["now"] = triton_server_factory(repository, grpc_port=lives["port"])


def readyz(service):
    """Status and reasons."""
    answer = service.client.get("/readyz")
    return answer.status_code, answer.json()["reasons"]


def until(met):
    """Ask until it is so; the time limit of the test bounds it."""
    while not met():
        pass


def health(service):
    """What grpc.health.v1 says."""
    with grpc.insecure_channel(service.grpc) as channel:
        return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()).status


SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.timeout(120)
def test_a_backend_that_stands_still(plain, cautious, lives, triton_server_factory, repository):
    """Liveness answers as ever; readiness and the health of gRPC fall, each at once when asked, and rise by themselves;
    a request ends at its own deadline and names the stage, or is answered by the local copy long before it.
    """
    for service in (plain, cautious):
        until(lambda service=service: readyz(service) == (200, []))
    with frozen(lives["now"]):
        assert plain.client.get("/livez").status_code == 200
        late = plain.analyze(CLIP, deadline_s="5")
        assert (late.status_code, late.json()["stage"]) == (504, "inference")
        assert cautious.analyze(CLIP, deadline_s="60").json()["model"]["backend"] == "local"
        until(lambda: readyz(plain)[0] == 503)
        assert "glimpse_flow" in readyz(plain)[1][0]
        assert health(plain) == NOT_SERVING
        assert plain.client.get("/livez").status_code == 200
        assert plain.metric("glimpse_backend_up") == 0
    while readyz(plain) != (200, []):
        revived(lives, triton_server_factory, repository)
    assert health(plain) == SERVING
    assert plain.analyze(CLIP).json()["model"]["backend"] == "triton"


@pytest.mark.timeout(120)
def test_a_backend_that_dies(plain, cautious, lives, triton_server_factory, repository):
    """Without a fall-back 503 with Retry-After, and not ready; with one the same answer from the local copy, said in
    the report, in the readiness and in the metrics. When Triton is back both ask it again, without a restart.
    """
    for service in (plain, cautious):
        until(lambda service=service: readyz(service) == (200, []))
    before = cautious.analyze(CLIP).json()
    assert (before["model"]["backend"], before["warnings"]) == ("triton", [])
    with killed(lives, triton_server_factory, repository):
        away = plain.analyze(CLIP)
        assert (away.status_code, away.json()["code"]) == (503, "backend-unavailable")
        assert int(away.headers["retry-after"]) >= 1
        until(lambda: readyz(plain)[0] == 503)
        instead = cautious.analyze(CLIP).json()
        assert instead["model"]["backend"] == "local"
        assert [warning["code"] for warning in instead["warnings"]] == ["fallback"]
        (old,), (new,) = before["events"], instead["events"]
        assert (old["label"], old["apex_s"]) == (new["label"], new["apex_s"])
        assert new["probabilities"] == pytest.approx(old["probabilities"], abs=1e-4)
        until(lambda: readyz(cautious)[1])
        assert readyz(cautious)[0] == 200
        assert "the local copy answers" in readyz(cautious)[1][0]
        assert cautious.metric("glimpse_fallbacks_total", model="glimpse_flow", reason="unavailable") >= 1
        assert cautious.metric("glimpse_backend_up") == 0
        answers = asyncio.run(streamed(cautious))
        assert "event" in parts(answers)
        assert answers[-1].stats.model.backend == "local"
        until(lambda: plain.metric("glimpse_breaker_state", target="connection") > 0)
    for service in (plain, cautious):
        until(lambda service=service: readyz(service) == (200, []))
        assert service.analyze(CLIP).json()["model"]["backend"] == "triton"
        assert service.metric("glimpse_breaker_state", target="connection") == 0


async def streamed(service):
    """All answers to a live stream of the clip."""
    async with connected(service.grpc) as stub:
        answers, error = await told(stub.Live(requests(sample("positive.mp4"), policy=WAIT)))
    assert error is None
    return answers
