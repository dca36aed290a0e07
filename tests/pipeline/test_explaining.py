"""Are explanations true? Rendered clips in which it is known what moved, and the network that answers by default."""

from __future__ import annotations

import base64
import time

import numpy as np
import pytest
import torch

from export.checkpoint import Checkpoint
from export.networks.outputs import answers_of
from export.networks.registry import find_network
from export.onnx import served_graph
from server.explanation.account import account
from server.pipeline.jobs import ExplainJob
from server.pipeline.stages import Stages
from server.predict.local import LocalPredictor
from server.predict.repository import ModelRepository
from server.visuals import Explanation
from tests.end_to_end.conftest import ROOT, SAMPLES
from tests.pipeline.test_stages import _job

LABELS = ("negative", "positive", "surprise")
MOVED = {
    "negative": ("upper_face", "brow", "AU4"),
    "positive": ("lower_face", "mouth_corner", "AU12"),
    "surprise": ("upper_face", "brow", "AU1"),
}
STILL = {"upper_face": "lower_face", "lower_face": "upper_face"}


@pytest.fixture(scope="module")
def occlusions():
    """What explains an answer to the movement of each sample."""
    stages = Stages()
    found = {}
    for label in LABELS:
        job = _job(data=(SAMPLES / f"{label}.mp4").read_bytes(), explain=ExplainJob(time.monotonic() + 600))
        (finding,) = stages(job, lambda _: None).findings
        found[label] = finding.occlusion
    return found


@pytest.fixture(scope="module")
def predictor():
    return LocalPredictor(ModelRepository(ROOT / "model_repository", ["flow_uvs_28"]))


async def _why(predictor, occlusion, label, model="glimpse_flow") -> Explanation:
    told = (await predictor.predict(model, occlusion.inputs, deadline=time.monotonic() + 60))["probabilities"]
    assert LABELS[told[0].argmax()] == label
    return account(occlusion, told[:, LABELS.index(label)], label, float(told[0].max()))


def _drops(parts) -> dict[str, float]:
    return {part.name: part.drop for part in parts if part.side == "both"}


def _map(why: Explanation) -> np.ndarray:
    assert why.map is not None
    values = np.frombuffer(base64.b64decode(why.map.values), "<i2")
    return values.reshape(why.map.height, why.map.width) * why.map.scale


@pytest.mark.parametrize("model", ["glimpse_flow", "ststnet"])
@pytest.mark.parametrize("label", LABELS)
async def test_hiding_what_moved_changes_the_answer_and_hiding_what_did_not_does_not(
    occlusions, predictor, label, model
):
    """Without the half of the face that moved the label loses a fifth of its probability or more; without the other
    half, less than a twentieth.
    """
    why = await _why(predictor, occlusions[label], label, model)
    half, region, _ = MOVED[label]
    drops = _drops(why.regions)
    assert drops[half] >= 0.2
    assert abs(drops[STILL[half]]) < 0.05
    assert drops[region] >= 0.05
    assert drops[region] == max(drop for name, drop in drops.items() if name not in STILL)


@pytest.mark.parametrize("label", LABELS)
async def test_the_unit_that_was_rendered_drove_the_class(occlusions, predictor, label):
    """Of the action units, hiding the one that the sample shows costs most."""
    why = await _why(predictor, occlusions[label], label)
    assert why.action_units[0].name == MOVED[label][2]
    assert [each.drop for each in why.action_units] == sorted((each.drop for each in why.action_units), reverse=True)


@pytest.mark.parametrize("label", LABELS)
async def test_the_map_is_darkest_where_the_face_moved(occlusions, predictor, label):
    """The place that costs most lies in the half of the face that moved."""
    why = await _why(predictor, occlusions[label], label)
    row = int(_map(why).max(1).argmax())
    assert (row < 8) == (MOVED[label][0] == "upper_face")


async def test_the_same_movement_has_the_same_explanation(occlusions, predictor):
    """Bit for bit."""
    assert await _why(predictor, occlusions["negative"], "negative") == await _why(
        predictor, occlusions["negative"], "negative"
    )


async def test_another_network_has_another_explanation(occlusions, predictor):
    """It is the network that is explained, not the movement: one with random weights does not give the same map."""
    network = find_network("ststnet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = network.build(**network.trained.arguments()).state_dict()
    graph = served_graph(Checkpoint("ststnet", "trained", network.trained, state, {"data": "none"}, sha256="0" * 64))
    occlusion = occlusions["negative"]
    random = answers_of(graph, occlusion.inputs["flow"])["probabilities"][:, LABELS.index("negative")]
    trained = await _why(predictor, occlusion, "negative", "ststnet")
    maps = [_map(each).ravel() for each in (trained, account(occlusion, random, "negative", float(random[0])))]
    assert np.corrcoef(*maps)[0, 1] < 0.5
