"""Every registered network in one repository, behind the same endpoint: in-process and on the real Triton.

Those that ship are served as they ship, the others with random weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from export.build import publish_checkpoint
from export.checkpoint import Checkpoint
from export.networks.registry import NETWORKS
from export.repository import published_names
from export.verify import verify
from server.predict.tritonserver import TritonServer
from tests.end_to_end.conftest import SAMPLES, decode, encode

MODELS = SAMPLES.parent / "model_repository"
SHIPPED = published_names(MODELS)
CLIP = encode(decode(SAMPLES / "surprise.mp4")[12:47])
"""The movement and what is needed around it: it is analysed by each network twice."""
STARTUP_TIMEOUT_S = 300.0
BATCHES = (1, 9)
"""One sample, and more than a backend takes of large inputs at once; the 33 of `verify` take torch long."""
TEST_TIMEOUT_S = 900
"""All networks are exported, loaded and asked twice: minutes, where something else uses the machine."""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, operators: None) -> Path:
    """A repository with every network."""
    folder = tmp_path_factory.mktemp("zoo")
    for name in SHIPPED:
        shutil.copytree(MODELS / name, folder / name)
    for network in NETWORKS.values():
        if network.name in SHIPPED:
            continue
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            state = network.build(**network.trained.arguments()).state_dict()
        checkpoint = Checkpoint(network.name, "trained", network.trained, state, {"data": "none"}, sha256="0" * 64)
        publish_checkpoint(checkpoint, folder, name=network.name, command="a test")
    return folder


@pytest.mark.timeout(TEST_TIMEOUT_S)
def test_every_network_answers_alike_everywhere(
    zoo: Path,
    start_service: Callable[..., object],
    triton_server_factory: Callable[..., TritonServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torch, where there is a checkpoint, ONNX Runtime and Triton agree on every network, and /v1/analyze answers the
    same by each with either.
    """
    monkeypatch.setattr("export.agreement._BATCHES", BATCHES)
    server = triton_server_factory(zoo, startup_timeout_s=STARTUP_TIMEOUT_S)
    for name in NETWORKS:
        failed = [check for check in verify(zoo, name, triton_address=server.grpc_address) if not check.passed]
        assert not failed, name
    answers = {}
    backends = {
        "local": {"GLIMPSE_BACKEND__KIND": "local"},
        "triton": {"GLIMPSE_BACKEND__KIND": "triton", "GLIMPSE_BACKEND__TRITON_ADDRESS": server.grpc_address},
    }
    for kind, environment in backends.items():
        with start_service(GLIMPSE_BACKEND__REPOSITORY=str(zoo), **environment) as service:
            listed = {model["name"]: model["servable"] for model in service.client.get("/v1/models").json()["models"]}
            assert listed == {**dict.fromkeys(NETWORKS, True), "mllm": False}
            for name in NETWORKS:
                report = service.analyze(CLIP, model=name).json()
                assert (report["model"]["name"], report["model"]["backend"]) == (name, kind)
                answers[kind, name] = [
                    [event["apex_frame"], *event["probabilities"].values()] for event in report["events"]
                ]
    server.stop()
    for name in NETWORKS:
        assert answers["local", name] == [pytest.approx(each, abs=1e-4) for each in answers["triton", name]]
        assert len(answers["local", name]) == 1
