"""The loop of a training: resumable to the last bit, members apart, units on their side, sources in proportion."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import export.training_run
from export.augmentation import Varied
from export.checkpoint import Checkpoint, checkpoint_bytes, load_checkpoint
from export.synthesis.action_units import UNITS
from export.synthesis.flow_fields import synthesize_flow
from export.training import train
from export.training_data import TrainingData, mixed_data
from export.training_plan import TrainingPlan
from export.training_progress import EpochReport
from export.training_run import TrainingRun, _epoch_order, batches_of
from export.training_state import LOG_FILE, STATE_FILE
from server.errors import InputError

PLAN = TrainingPlan(epochs=3, batch_size=64)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """A little synthetic data."""
    made = synthesize_flow(406, seed=0)
    return TrainingData(
        images=made.images[:256],
        labels=made.labels[:256],
        validation_images=made.images[256:],
        validation_labels=made.labels[256:],
        description="",
        sha256=made.sha256(),
        action_units=made.action_units[:256],
        validation_action_units=made.action_units[256:],
    )


class Interrupted(Exception):
    """Stands for a process that is killed."""


def _stopped_after(epoch: int, network: str, data: TrainingData, folder: Path, plan: TrainingPlan = PLAN) -> None:
    def stop(report: EpochReport) -> None:
        if report.epoch == epoch:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(network, data, plan, command="c", folder=folder, on_epoch=stop)


def _log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / LOG_FILE).read_text().splitlines()]


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("network", ["ststnet", "tiny"])
def test_resumed_run_is_the_uninterrupted_one(
    network: str, epoch: int, data: TrainingData, tmp_path: Path, tiny: str
) -> None:
    """Stopped after any epoch and taken up again, it gives the same file, byte for byte, and the same log."""
    whole = train(network, data, PLAN, command="c", folder=tmp_path / "whole")
    _stopped_after(epoch, network, data, tmp_path / "stopped")
    assert [line["epoch"] for line in _log(tmp_path / "stopped")] == list(range(1, epoch + 1))
    torch.manual_seed(99)
    resumed = train(network, data, PLAN, command="c", folder=tmp_path / "stopped", resume=True)
    assert checkpoint_bytes(resumed) == checkpoint_bytes(whole)
    timeless = [[{**line, "seconds": 0} for line in _log(tmp_path / name)] for name in ("whole", "stopped")]
    assert timeless[0] == timeless[1]


def test_calibrated_network_resumes_to_the_same_answers(data: TrainingData, tmp_path: Path) -> None:
    """Calibration follows the last epoch, whether the run was interrupted or not, and again where it had ended."""
    calibrated = replace(data, calibration=synthesize_flow(60, seed=9))
    plan = replace(PLAN, epochs=2)

    def run(folder: str, *, resume: bool = False) -> Checkpoint:
        return train("glimpse_flow", calibrated, plan, command="c", folder=tmp_path / folder, resume=resume)

    whole = run("whole")
    _stopped_after(1, "glimpse_flow", calibrated, tmp_path / "stopped", plan)
    assert checkpoint_bytes(run("stopped", resume=True)) == checkpoint_bytes(whole)
    assert checkpoint_bytes(run("whole", resume=True)) == checkpoint_bytes(whole)
    (tmp_path / "weights.pth").write_bytes(checkpoint_bytes(whole))
    loaded = load_checkpoint(tmp_path / "weights.pth", "glimpse_flow")
    assert checkpoint_bytes(loaded) == checkpoint_bytes(whole)
    assert float(whole.state["temperature"]) != 1


@pytest.mark.parametrize("network", ["ststnet", "tiny"])
def test_finished_run_is_not_repeated(network: str, data: TrainingData, tmp_path: Path, tiny: str) -> None:
    """Resuming what has ended gives the same weights without an epoch; without resuming it begins anew."""
    plan = replace(PLAN, epochs=1)
    first = train(network, data, plan, command="c", folder=tmp_path)
    reports: list[EpochReport] = []
    again = train(network, data, plan, command="c", folder=tmp_path, resume=True, on_epoch=reports.append)
    assert reports == []
    assert again.sha256 == first.sha256
    train(network, data, plan, command="c", folder=tmp_path, on_epoch=reports.append)
    assert len(reports) == 1


def test_resuming_where_nothing_is_begins(data: TrainingData, tmp_path: Path) -> None:
    """The first run and those after it may be one command."""
    reports: list[EpochReport] = []
    train("ststnet", data, PLAN, command="c", folder=tmp_path, resume=True, on_epoch=reports.append)
    assert len(reports) == 3


def test_state_of_another_run_is_refused(data: TrainingData, tmp_path: Path, checkpoint: Checkpoint) -> None:
    """Another plan, other data or another start would not continue that run; the message says what differs."""
    _stopped_after(1, "ststnet", data, tmp_path)
    other = replace(data, labels=np.roll(data.labels, 1))

    def resumed(data: TrainingData = data, plan: TrainingPlan = PLAN, start: Checkpoint | None = None) -> None:
        train("ststnet", data, plan, command="c", start=start, folder=tmp_path, resume=True)

    with pytest.raises(InputError, match="epochs is 3 there and 4 here"):
        resumed(plan=replace(PLAN, epochs=4))
    with pytest.raises(InputError, match="content_sha256 is"):
        resumed(data=other)
    with pytest.raises(InputError, match="start_sha256 is '' there"):
        resumed(start=checkpoint)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04"])
def test_damaged_state_is_refused(content: bytes, data: TrainingData, tmp_path: Path) -> None:
    """A file that is no state gives an error that names it."""
    (tmp_path / STATE_FILE).write_bytes(content)
    with pytest.raises(InputError, match=STATE_FILE):
        train("ststnet", data, PLAN, command="c", folder=tmp_path, resume=True)


def test_checkpoint_is_no_state(data: TrainingData, tmp_path: Path, checkpoint: Checkpoint) -> None:
    """Weights in the place of a state are refused."""
    (tmp_path / STATE_FILE).write_bytes(checkpoint_bytes(checkpoint))
    with pytest.raises(InputError, match="is not the state of a training"):
        train("ststnet", data, PLAN, command="c", folder=tmp_path, resume=True)


def test_log_has_a_line_for_each_epoch(data: TrainingData, tmp_path: Path, tiny: str) -> None:
    """Loss and held-out scores, with that of the action units where there is a head, and the seconds."""
    reports: list[EpochReport] = []
    checkpoint = train(tiny, data, PLAN, command="c", folder=tmp_path, on_epoch=reports.append)
    lines = _log(tmp_path)
    assert lines == [report.record() for report in reports]
    assert lines[0].keys() == {"epoch", "epochs", "loss", "accuracy", "uf1", "uar", "unit_f1", "seconds"}
    assert checkpoint.training["validation"]["unit_f1"] == lines[-1]["unit_f1"]
    assert checkpoint.training["validation"]["units"].keys() == {str(unit) for unit in UNITS}
    assert checkpoint.training["device"] == "cpu"


def test_ensemble_learns_classes_and_units(data: TrainingData, tiny: str) -> None:
    """Both heads get better, and neither needs the other's members."""
    reports: list[EpochReport] = []
    train(tiny, data, replace(PLAN, epochs=12, batch_size=32), command="c", on_epoch=reports.append)
    first, last = reports[0], reports[-1]
    assert last.loss < first.loss
    assert last.held_out.accuracy > 0.6
    assert last.held_out.unit_f1 > first.held_out.unit_f1


def test_folder_data_trains_a_network_with_a_head(data: TrainingData, tiny: str) -> None:
    """Where units are not known, classes alone are learnt and no unit score is made up."""
    plain = replace(data, action_units=None, validation_action_units=None)
    reports: list[EpochReport] = []
    train(tiny, plain, replace(PLAN, epochs=1), command="c", on_epoch=reports.append)
    assert reports[0].held_out.unit_f1 is None


def _run(data: TrainingData, model: torch.nn.Module) -> TrainingRun:
    return TrainingRun(model, data, PLAN, None, "cpu", preparation="nose_centred")


def test_every_member_sees_its_own_variation(data: TrainingData, tiny: str) -> None:
    """One batch reaches the members as different variations of the same samples."""
    model = export.training.find_network(tiny).build(padding=2).train()
    _run(data, model)._step(torch.arange(8), 0)
    assert model.seen.shape == (2, 8, 3, 28, 28)
    assert not torch.equal(model.seen[0], model.seen[1])


def test_who_starts_from_weights_learns_in_every_step(data: TrainingData) -> None:
    """Members take turns on plenty of synthetic samples, not on the few that they are tuned on."""
    model = export.training.find_network("glimpse_flow").build(padding=2).train()
    seen: list[int] = []
    for turns in (True, False):
        run = TrainingRun(model, data, PLAN, None, "cpu", preparation="nose_centred", turns=turns)
        run._loss = lambda outputs, labels, strengths: seen.append(len(outputs.logits)) or outputs.logits.sum()
        run._step(torch.arange(4), 0)
    assert seen == [3, 5]


def test_units_change_sides_with_the_image(data: TrainingData, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of a mirrored sample is its units with left and right exchanged."""
    turned = torch.tensor([True, False, True, False])
    asked: list[torch.Tensor] = []

    def loss(outputs: object, labels: object, strengths: torch.Tensor) -> torch.Tensor:
        asked.append(strengths)
        return outputs.logits.sum()

    monkeypatch.setattr(export.training_run, "augment", lambda images, share: Varied(images, turned))
    run = _run(data, export.training.find_network(tiny).build(padding=2).train())
    run._loss = loss
    run._step(torch.arange(4), 0)
    units = torch.from_numpy(data.action_units[:4])
    assert torch.equal(asked[0][0, turned], units[turned].flip(1))
    assert torch.equal(asked[0][1, ~turned], units[~turned])


def test_epoch_draws_sources_in_their_shares(data: TrainingData) -> None:
    """Sources give their share of an epoch in whole passes and a rest; without shares each sample comes once."""
    few = replace(data, images=data.images[:20], labels=data.labels[:20], action_units=None, sha256="f" * 64)
    mixed = mixed_data([("many", data), ("few", few)], [2, 1])
    torch.manual_seed(0)
    counts = np.bincount(_epoch_order(mixed).numpy(), minlength=276)
    assert (counts[:256].sum(), counts[256:].sum()) == (184, 92)
    assert set(counts[:256]) == {0, 1}
    assert set(counts[256:]) == {4, 5}
    plain = mixed_data([("many", data), ("few", few)])
    assert sorted(_epoch_order(plain).tolist()) == list(range(276))


def test_mixed_sources_are_trained_and_told_apart(data: TrainingData, tiny: str, tmp_path: Path) -> None:
    """Samples without known units take part in the classes; the log has each source's own score."""
    few = replace(
        data,
        images=data.images[:20],
        labels=data.labels[:20],
        action_units=None,
        validation_action_units=None,
        sha256="f" * 64,
    )
    checkpoint = train(tiny, mixed_data([("many", data), ("few", few)], [3, 1]), PLAN, command="c", folder=tmp_path)
    last = _log(tmp_path)[-1]
    assert last["sources"].keys() == {"many", "few"}
    assert last["sources"]["few"]["unit_f1"] is None
    assert last["sources"]["many"]["unit_f1"] == last["unit_f1"]
    assert [source["drawn"] for source in checkpoint.training["sources"]] == [207, 69]
    assert set(checkpoint.training["seen_sha256"]) >= {data.sha256, "f" * 64}
    assert all(bool(torch.isfinite(value).all()) for value in checkpoint.state.values())


@pytest.mark.parametrize(("samples", "sizes"), [(5, [2, 3]), (4, [2, 2]), (1, [1])])
def test_no_batch_is_left_with_one_sample(samples: int, sizes: list[int]) -> None:
    """Batch normalisation has no spread over one sample, so it joins the batch before."""
    assert [len(batch) for batch in batches_of(torch.arange(samples), 2)] == sizes
