"""An ensemble behind the endpoint of every model, and a shadow beside it: in-process and on the real Triton."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from export.ensemble import publish_ensemble
from server.predict.tritonserver import TritonServer
from tests.end_to_end.conftest import ROOT, SAMPLES, Service

CLIP = (SAMPLES / "surprise.mp4").read_bytes()
MEMBERS = {"glimpse_flow": 2.0, "microexpstcnn": 1.0}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of different recipes as they ship, their mean, and an ensemble that lost a member."""
    folder = tmp_path_factory.mktemp("ensemble")
    for name in (*MEMBERS, "ststnet"):
        shutil.copytree(ROOT / "model_repository" / name, folder / name)
    publish_ensemble(folder, "together", MEMBERS, command="a test")
    publish_ensemble(folder, "bereft", {"glimpse_flow": 1.0, "ststnet": 1.0}, command="a test")
    shutil.rmtree(folder / "ststnet")
    return folder


@pytest.fixture(scope="module")
def server(models: Path, triton_server_factory: Callable[..., TritonServer]) -> TritonServer:
    """The real Triton on the same folder."""
    return triton_server_factory(models)


@pytest.fixture(scope="module", params=["local", "triton"])
def backend(request: pytest.FixtureRequest, models: Path, server: TritonServer) -> dict[str, str]:
    """The settings of each backend."""
    return {
        "GLIMPSE_BACKEND__KIND": request.param,
        "GLIMPSE_BACKEND__TRITON_ADDRESS": server.grpc_address,
        "GLIMPSE_BACKEND__REPOSITORY": str(models),
    }


@pytest.fixture(scope="module")
def plain(backend: dict[str, str], start_service: Callable[..., object]) -> Iterator[Service]:
    """A service that has no shadow, and the ensemble for its default model."""
    with start_service(GLIMPSE_BACKEND__DEFAULT_MODEL="together", **backend) as service:
        yield service


def _events(answer: httpx.Response) -> list[dict[str, float]]:
    assert answer.status_code == 200, answer.text
    return [event["probabilities"] for event in answer.json()["events"]]


def _until(service: Service, events: int, **labels: str) -> dict[str, float]:
    """Events that the shadow has dealt with, by outcome; each look is a request, which gives it time."""
    outcomes = ("agree", "disagree", "abstained", "failed", "dropped")
    for _ in range(2000):
        counted = {each: service.metric("glimpse_shadow_events_total", outcome=each, **labels) for each in outcomes}
        if sum(counted.values()) >= events:
            return counted
    raise AssertionError(f"the shadow has dealt with {counted} only")


def test_the_ensemble_answers_the_mean_of_its_members(plain: Service) -> None:
    """A clip gets the weighted mean of what each member says; a part is not listed, a loss is, with its reason."""
    assert plain.client.get("/readyz").json() == {"ready": True, "reasons": []}
    listed = {model["name"]: model for model in plain.client.get("/v1/models").json()["models"]}
    assert sorted(set(listed) - {"mllm"}) == ["bereft", "glimpse_flow", "microexpstcnn", "together"]
    assert listed["bereft"]["reason"] == "its member 'ststnet' is not there"
    assert listed["together"]["recipe"] == "flow_uvs_28+clip_gray_18x64"
    (mean,) = _events(plain.analyze(CLIP))
    first, second = (_events(plain.analyze(CLIP, model=name))[0] for name in MEMBERS)
    assert mean == pytest.approx({label: (2 * first[label] + second[label]) / 3 for label in first}, abs=1e-4)
    refused = plain.analyze(CLIP, model="bereft")
    assert (refused.status_code, refused.json()["code"]) == (409, "model-not-servable")


def test_a_shadow_sees_the_same_events_and_changes_nothing(
    plain: Service, backend: dict[str, str], start_service: Callable[..., object]
) -> None:
    """With an ensemble of other inputs as the shadow, answers are what they were, and the metrics tell of both."""
    environment = {**backend, "GLIMPSE_BACKEND__DEFAULT_MODEL": "glimpse_flow"}
    expected = plain.analyze(CLIP, model="glimpse_flow").json()
    assert plain.metric("glimpse_shadow_up") == 0
    allowed = {"GLIMPSE_SHADOW__MODEL": "together", "GLIMPSE_SHADOW__WHOLE_MOVEMENT": "true"}
    with start_service(**allowed, **environment) as service:
        answer = service.analyze(CLIP)
        report = answer.json()
        counted = _until(service, 1, model="glimpse_flow", shadow="together")
        assert sum(counted.values()) == 1
        assert counted["failed"] == counted["dropped"] == 0
        assert service.metric("glimpse_shadow_up", shadow="together") == 1
        assert service.metric("glimpse_shadow_distance_count", model="glimpse_flow", shadow="together") == 1
        assert service.metric("glimpse_stage_seconds_count", stage="shadow") == 1
        said = service.log.read_text(encoding="utf-8")
    assert "together" not in answer.text + str(answer.headers) + said
    assert report["events"] == expected["events"]
    assert report["warnings"] == expected["warnings"]
    assert set(report["timings_ms"]) == set(expected["timings_ms"])


def test_a_shadow_that_cannot_be_served_is_told_once(
    backend: dict[str, str], start_service: Callable[..., object]
) -> None:
    """The service starts and is ready; the reason is in the log, once, and a metric says that it is down."""
    with start_service(
        GLIMPSE_SHADOW__MODEL="bereft", GLIMPSE_BACKEND__DEFAULT_MODEL="glimpse_flow", **backend
    ) as service:
        assert service.client.get("/readyz").status_code == 200
        for _ in range(2):
            assert len(_events(service.analyze(CLIP))) == 1
        assert _until(service, 2, shadow="bereft")["failed"] == 2
        assert service.metric("glimpse_shadow_up", shadow="bereft") == 0
        families = service.client.get("/metrics").text
        assert 'glimpse_shadow_up{shadow="bereft"} 0.0' in families
        said = service.log.read_text(encoding="utf-8")
    assert said.count("the shadow model cannot be asked") == 1
    assert "its member 'ststnet' is not there" in said
