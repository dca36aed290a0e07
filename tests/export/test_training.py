"""Training: reproducible, last epoch, and able to learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from export.checkpoint import Checkpoint
from export.training import check_trainable, seen_data, train
from export.training_data import TrainingData, synthetic_data
from export.training_plan import FOLDER_PLAN, SYNTHETIC_PLAN, TUNING_PLAN, TrainingPlan, plan_for
from export.training_progress import EpochReport
from server.errors import ConfigurationError, OptionError


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """A little synthetic data."""
    with pytest.MonkeyPatch.context() as fewer:
        fewer.setattr("export.training_data.VALIDATION_SAMPLES", 300)
        return synthetic_data(1024, seed=0)


PLAN = TrainingPlan(epochs=2, batch_size=64)


@pytest.fixture(scope="module")
def learned(data: TrainingData) -> tuple[Checkpoint, list[EpochReport]]:
    """What four epochs come to, and what was reported meanwhile."""
    reports: list[EpochReport] = []
    return train("ststnet", data, replace(PLAN, epochs=4), command="the command", on_epoch=reports.append), reports


def test_same_plan_same_weights(data: TrainingData) -> None:
    """Two runs agree in every bit, whatever the global generator did before, and leave it as it was."""
    torch.manual_seed(1)
    first = train("ststnet", data, PLAN, command="c")
    torch.manual_seed(2)
    expected = torch.rand(1, generator=torch.Generator().manual_seed(2))
    second = train("ststnet", data, PLAN, command="c")
    assert torch.equal(torch.rand(1), expected)
    assert first.sha256 == second.sha256
    assert all(torch.equal(first.state[name], second.state[name]) for name in first.state)


def test_seed_changes_the_weights(data: TrainingData) -> None:
    """Another seed is another run."""
    one = train("ststnet", data, replace(PLAN, epochs=1), command="c")
    two = train("ststnet", data, replace(PLAN, epochs=1, seed=1), command="c")
    assert not torch.equal(one.state["fc.weight"], two.state["fc.weight"])


def test_training_learns_and_reports(data: TrainingData, learned: tuple[Checkpoint, list[EpochReport]]) -> None:
    """Within a few epochs held-out synthetic samples are told apart, and each epoch is reported once."""
    checkpoint, reports = learned
    assert [report.epoch for report in reports] == [1, 2, 3, 4]
    assert reports[-1].held_out.accuracy > 0.75
    assert reports[-1].loss < reports[0].loss
    assert reports[-1].remaining_s == 0
    assert checkpoint.training["validation"]["accuracy"] == pytest.approx(reports[-1].held_out.accuracy, abs=1e-4)
    assert checkpoint.training["command"] == "the command"
    assert checkpoint.training["data_sha256"] == data.sha256
    assert checkpoint.weights.preparation == "nose_centred"


def test_training_goes_on_from_weights(data: TrainingData, learned: tuple[Checkpoint, list[EpochReport]]) -> None:
    """Fine-tuning starts where the checkpoint stands, and says which one that was."""
    start, _ = learned
    reports: list[EpochReport] = []
    tuned = train(
        "ststnet", data, TrainingPlan(epochs=1, batch_size=64), command="c", start=start, on_epoch=reports.append
    )
    assert reports[0].loss < 0.7
    assert tuned.training["start_sha256"] == start.sha256
    other = train("ststnet", replace(data, sha256="e" * 64), replace(PLAN, epochs=1), command="c", start=tuned)
    assert seen_data(other.training) == {data.sha256, "e" * 64}


def test_published_weights_cannot_be_tuned(data: TrainingData, imported_checkpoint: Checkpoint) -> None:
    """Weights that want another input are refused: mirroring would be wrong for them."""
    with pytest.raises(OptionError, match="nose_centred, not published_order"):
        train("ststnet", data, PLAN, command="c", start=imported_checkpoint)


@pytest.mark.usefixtures("few_held_out")
def test_training_learns_from_motion_that_keeps_its_magnitude() -> None:
    """The network whose recipe does so trains on such data with the preparation of its weights."""
    reports: list[EpochReport] = []
    plan = TrainingPlan(epochs=2, batch_size=32)
    data = synthetic_data(512, seed=0, recipe="flow_uvs_28_iod")
    checkpoint = train("glimpse_flow_iod", data, plan, command="c", on_epoch=reports.append)
    assert reports[-1].held_out.accuracy > 0.6
    assert checkpoint.weights.preparation == "in_iod"


@pytest.mark.parametrize(("network", "recipe"), [("glimpse_flow_iod", "flow_uvs_28"), ("ststnet", "flow_uvs_28_iod")])
def test_data_of_another_recipe_is_refused(network: str, recipe: str, data: TrainingData) -> None:
    """Shapes fit, but what the numbers mean does not."""
    with pytest.raises(OptionError, match="is trained on"):
        train(network, replace(data, recipe=recipe), PLAN, command="c")


@pytest.mark.parametrize("plan", [TrainingPlan(epochs=0), TrainingPlan(batch_size=1)])
def test_plan_out_of_range_is_refused(data: TrainingData, plan: TrainingPlan) -> None:
    """No epoch, and batches of one, are refused before anything runs."""
    with pytest.raises(OptionError):
        train("ststnet", data, plan, command="c")


def test_plans_differ_by_data() -> None:
    """Synthetic data and folders have plans of their own; a number of epochs replaces that of the plan."""
    assert plan_for(synthetic=True, seed=3, epochs=None) == replace(SYNTHETIC_PLAN, seed=3)
    assert plan_for(synthetic=False, seed=0, epochs=None) == FOLDER_PLAN
    assert plan_for(synthetic=False, seed=0, epochs=9).epochs == 9
    assert plan_for(synthetic=True, seed=0, epochs=None, tuned=True) == TUNING_PLAN


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_gpu_is_said(data: TrainingData) -> None:
    """Asking for CUDA where there is none is a problem of the installation, not a traceback."""
    with pytest.raises(ConfigurationError, match="no CUDA device"):
        train("ststnet", data, PLAN, command="c", device="cuda")


def test_trainable_networks_are_told_from_others(tiny: str) -> None:
    """Ensembles are asked in their own way; what cannot be trained is refused, and the generator stays as it was."""
    torch.manual_seed(2)
    check_trainable(tiny)
    check_trainable("ststnet")
    with pytest.raises(OptionError, match="not trained"):
        check_trainable("tgsr_flow")
    assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(2)))


def test_labels_have_an_effect(data: TrainingData) -> None:
    """With shuffled labels nothing can be learned, so the accuracy above is not an accident of the measure."""
    shuffled = replace(data, labels=np.random.default_rng(0).permutation(data.labels))
    checkpoint = train("ststnet", shuffled, replace(PLAN, epochs=4), command="c")
    assert checkpoint.training["validation"]["accuracy"] < 0.5
