"""Three services share two real Tritons: the load is even, and one of the two may die and come back."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
GATEWAYS = 3
MODEL = "glimpse_flow"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The default model alone, so that Triton starts in a moment."""
    folder = tmp_path_factory.mktemp("scale-out")
    (folder / MODEL).symlink_to(ROOT / "model_repository" / MODEL)
    return folder


@pytest.fixture(scope="module")
def tritons(triton_server_factory, repository):
    """Both, at the moment."""
    with ThreadPoolExecutor() as both:
        return list(both.map(lambda _: triton_server_factory(repository), range(2)))


@pytest.fixture(scope="module")
def gateways(tritons, repository, start_service):
    """Three services over both."""
    settings = {
        "GLIMPSE_BACKEND__KIND": "triton",
        "GLIMPSE_BACKEND__TRITON_ADDRESS": ",".join(server.grpc_address for server in tritons),
        "GLIMPSE_BACKEND__REPOSITORY": str(repository),
        # Nothing is streamed here, so that nothing need be rehearsed.
        "GLIMPSE_LIVE__FRAMES_PER_SECOND": "100",
    }
    with ExitStack() as running, ThreadPoolExecutor() as together:
        started = together.map(lambda _: running.enter_context(start_service(**settings)), range(GATEWAYS))
        yield list(started)


@pytest.fixture(scope="module")
def pair(negative):
    """Onset and apex of a sample, as PNG."""
    frames = (cv2.cvtColor(negative[index], cv2.COLOR_RGB2BGR) for index in (33, 39))
    return dict(zip(("onset", "apex"), (cv2.imencode(".png", frame)[1].tobytes() for frame in frames), strict=True))


def asked(gateway, pair):
    """Status, and what was found or went wrong."""
    answer = gateway.client.post("/v1/classify", files={name: (name, data) for name, data in pair.items()})
    body = answer.json()
    return answer.status_code, (body["label"], body["model"]["backend"]) if answer.status_code == 200 else body


def served(server):
    """How many inferences a Triton has answered, probes included, as it counts them itself."""
    text = httpx.get(f"http://{server.metrics_address}/metrics", trust_env=False).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    counted = "nv_inference_request_success"
    return sum(s.value for s in samples if s.name.startswith(counted) and s.labels["model"] == MODEL)


def assert_even(gateways, tritons, pair, calls):
    """Each gateway asks in turn, so its own calls differ by one at most. A round of its probes counts once at each
    Triton, maybe not yet at one of them; while it is under way at one alone, the next call goes to the other.
    """
    before = [served(server) for server in tritons]
    for number in range(calls):
        assert asked(gateways[number % len(gateways)], pair)[0] == 200
    first, second = (served(server) - start for server, start in zip(tritons, before, strict=True))
    probes = first + second - calls
    assert abs(first - second) <= len(gateways) + probes


@contextmanager
def load(gateways, pair):
    """A client in a closed loop for each service, which also asks whether it is ready; what they were told."""
    over, answers, ready = threading.Event(), [[] for _ in gateways], []

    def ask(number):
        while not over.is_set():
            answers[number].append(asked(gateways[number], pair))
            ready.append(gateways[number].client.get("/readyz").status_code)

    with ThreadPoolExecutor(len(gateways)) as clients:
        done = [clients.submit(ask, number) for number in range(len(gateways))]
        try:
            yield answers, ready
        finally:
            over.set()
            for client in done:
                client.result(60)


def until(met):
    """Ask until it is so; the time limit of the test bounds it."""
    while not met():
        pass


@pytest.mark.timeout(120)
def test_one_of_two_dies_under_load_and_comes_back(gateways, tritons, pair, triton_server_factory, repository):
    """Both get the same load; when one is killed in the midst no request is lost, every answer is the same, all
    services stay ready, and no circuit opens; when it is back the load is even again.
    """
    for gateway in gateways:
        until(lambda gateway=gateway: gateway.metric("glimpse_triton_replicas", state="answering") == 2)
    expected = asked(gateways[0], pair)
    assert expected == (200, ("negative", "triton"))
    assert_even(gateways, tritons, pair, calls=18)
    port = int(tritons[0].grpc_address.rpartition(":")[2])
    with load(gateways, pair) as (answers, ready):
        until(lambda: min(map(len, answers)) >= 2)
        os.killpg(tritons[0].pid, signal.SIGKILL)
        tritons[0].stop()
        seen = [len(told) for told in answers]
        until(lambda: all(len(told) >= before + 3 for told, before in zip(answers, seen, strict=True)))
        tritons[0] = triton_server_factory(repository, grpc_port=port)
        for gateway in gateways:
            until(lambda gateway=gateway: gateway.metric("glimpse_triton_replicas", state="answering") == 2)
    assert [told for each in answers for told in each if told != expected] == []
    assert set(ready) == {200}
    assert {gateway.metric("glimpse_breaker_state") for gateway in gateways} == {0}
    assert_even(gateways, tritons, pair, calls=18)
