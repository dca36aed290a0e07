"""The zero-shot protocol on real samples, and through all backends."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest

from export.data.flow_images import FlowImages, read_flow_images
from export.evaluation import Evaluation, evaluate
from export.per_subject import load_per_subject, model_names
from export.protocol import evaluate_model, evaluate_per_subject, publish_per_subject
from export.scoring import STARTUP_TIMEOUT_S, open_backend
from server.errors import OptionError, UnknownModel
from server.predict.tritonserver import TritonServer


def _noise(samples: int) -> FlowImages:
    images = np.random.default_rng(0).integers(0, 256, (samples, 3, 28, 28)).astype(np.uint8)
    names = tuple(f"{i}" for i in range(samples))
    return FlowImages(images, np.arange(samples) % 3, ("noise",) * samples, names, names, "")


def _assert_same_answers(first: Evaluation, second: Evaluation) -> None:
    np.testing.assert_array_equal(first.predictions, second.predictions)
    np.testing.assert_allclose(first.probabilities, second.probabilities, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["ours", "theirs"])
def test_torch_and_local_agree(repository: Path, name: str) -> None:
    """ONNX Runtime gives every sample the label that torch gives it."""
    data = _noise(70)
    _assert_same_answers(
        evaluate_model(data, repository, name, "torch"), evaluate_model(data, repository, name, "local")
    )


def test_triton_agrees(repository: Path, triton_server_factory: Callable[..., TritonServer]) -> None:
    """The real Triton serves the published folders as they are, and answers like torch, also for two full batches."""
    server = triton_server_factory(repository)
    data = _noise(130)
    for name in ("ours", "theirs"):
        served = evaluate_model(data, repository, name, "triton", triton_address=server.grpc_address)
        _assert_same_answers(evaluate_model(data, repository, name, "torch"), served)


def test_unknown_model_is_refused_before_a_server_starts(repository: Path) -> None:
    """A wrong name costs no server start."""
    with pytest.raises(UnknownModel, match="no model 'nobody'"):
        evaluate_model(_noise(3), repository, "nobody", "triton")


def test_stretched_images_are_not_for_a_network_that_sees_magnitude(magnitude_repository: Path, tmp_path: Path) -> None:
    """A folder cannot be scored with it, by whatever protocol; the message names both recipes."""
    with pytest.raises(OptionError, match=r"strength takes flow_uvs_28_iod; the images of a folder are flow_uvs_28,"):
        evaluate_model(_noise(3), magnitude_repository, "strength", "torch")
    with pytest.raises(OptionError, match="takes flow_uvs_28_iod"):
        evaluate_per_subject(_noise(3), "glimpse_flow_iod", tmp_path, "torch")


def test_published_weights_reach_their_published_scores(shared: Path) -> None:
    """Each subject by its own weights: 309 samples, UF1 .7525, UAR .7530, and the scores of both data sets."""
    data = read_flow_images(shared / "megc2019_flow")
    summary = evaluate_per_subject(data, "ststnet", shared / "ststnet_weights", "torch").summary()
    assert (summary["samples"], summary["uf1"], summary["uar"]) == (309, 0.7525, 0.7530)
    scores = {name: (part["samples"], part["uf1"], part["uar"]) for name, part in summary["datasets"].items()}
    assert scores == {"smic": (164, 0.6871, 0.6876), "casme2": (145, 0.8304, 0.8304)}


def test_committed_model_is_better_than_published_weights(shared: Path, pytestconfig: pytest.Config) -> None:
    """The model that ships, which saw no real sample, scores above the weights that were trained on real ones."""
    data = read_flow_images(shared / "megc2019_flow")
    result = evaluate_model(data, pytestconfig.rootpath / "model_repository", "ststnet", "local")
    assert result.overall.uf1 > 0.7525
    assert result.overall.uar > 0.7530


def test_published_weights_answer_alike_everywhere(
    shared: Path, tmp_path: Path, triton_server_factory: Callable[..., TritonServer]
) -> None:
    """All 309 samples, each by its subject's weights, get the same labels from torch and ONNX Runtime, and those of
    every sixth subject from the real Triton, which starts a process for each model.
    """
    data = read_flow_images(shared / "megc2019_flow")
    checkpoints = load_per_subject(shared / "ststnet_weights", "ststnet", data.subjects)
    names = model_names("ststnet", data.subjects)
    everyone, served = tmp_path / "everyone", tmp_path / "served"
    publish_per_subject(checkpoints, names, everyone)
    models = [names[subject] for subject in data.subjects]
    with open_backend("torch", everyone, report=print) as score:
        reference = evaluate(data, models, score)
    with open_backend("local", everyone, report=print) as score:
        _assert_same_answers(reference, evaluate(data, models, score))
    assert reference.summary()["uf1"] == 0.7525
    chosen = sorted(set(data.subjects))[::6]
    for subject in chosen:
        shutil.copytree(everyone / names[subject], served / names[subject])
    few = _of_subjects(data, set(chosen))
    models = [names[subject] for subject in few.subjects]
    with open_backend("torch", served, report=print) as score:
        reference = evaluate(few, models, score)
    server = triton_server_factory(served, startup_timeout_s=STARTUP_TIMEOUT_S)
    with open_backend("triton", served, triton_address=server.grpc_address, report=print) as score:
        _assert_same_answers(reference, evaluate(few, models, score))
    server.stop()


def test_weights_per_subject_are_served_locally(shared: Path) -> None:
    """The command's way publishes the weights of the subjects at hand into a repository of its own, and says so."""
    data = read_flow_images(shared / "megc2019_flow")
    few = _of_subjects(data, {"s01", "s05", "sub09"})
    said: list[str] = []
    weights = shared / "ststnet_weights"
    local = evaluate_per_subject(few, "ststnet", weights, "local", report=said.append)
    _assert_same_answers(evaluate_per_subject(few, "ststnet", weights, "torch"), local)
    assert said[0] == "exporting weights 1 of 3: s01"


def _of_subjects(data: FlowImages, subjects: set[str]) -> FlowImages:
    chosen = [i for i, subject in enumerate(data.subjects) if subject in subjects]
    pick = itemgetter(*chosen)
    return FlowImages(
        data.images[chosen], data.labels[chosen], ("all",) * len(chosen), pick(data.subjects), pick(data.paths), ""
    )
