"""Leaving one subject out: folds, fixed epochs, reproducible answers, and nothing of the test fold in the training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import export.loso
from export.checkpoint import Checkpoint
from export.cli import main
from export.data.flow_images import INDEX, FlowImages, write_flow_images
from export.loso import FoldReport, class_weights, leave_one_subject_out, loso_plan, subject_folds
from export.synthesis.flow_fields import synthesize_flow
from export.training import train
from export.training_data import TrainingData, folder_data
from export.training_plan import TrainingPlan
from server.errors import InputError, OptionError

PLAN = TrainingPlan(epochs=3, batch_size=16)
PEOPLE = (("a", "s1"), ("a", "s2"), ("b", "s1"), ("b", "s3"))


@pytest.fixture(scope="module")
def data() -> FlowImages:
    """Four subjects with nine samples each; two of them share a name in different data sets."""
    made = synthesize_flow(36, 0)
    people = [PEOPLE[i // 9] for i in range(36)]
    labels = np.arange(36) % 3
    paths = tuple(f"{i}.png" for i in range(36))
    datasets, subjects = zip(*people, strict=True)
    return FlowImages(made.images, labels, datasets, subjects, paths, "d" * 64)


def test_folds_are_disjoint_and_complete(data: FlowImages) -> None:
    """Each sample is in the test part of one fold, which holds one subject of one data set and all of it."""
    folds = subject_folds(data)
    assert [(fold.dataset, fold.subject) for fold in folds] == list(PEOPLE)
    np.testing.assert_array_equal(np.sum([fold.test for fold in folds], axis=0), np.ones(36))
    people = np.array([f"{d}/{s}" for d, s in zip(data.datasets, data.subjects, strict=True)])
    for fold in folds:
        assert set(people[fold.test]) == {f"{fold.dataset}/{fold.subject}"}
        assert not set(people[fold.test]) & set(people[~fold.test])


def test_training_sees_its_fold_alone_for_all_epochs(data: FlowImages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fold trains on the other subjects for as many epochs as were asked for, weighted by its own classes."""
    seen: list[tuple[TrainingData, TrainingPlan, tuple[float, ...]]] = []

    def watched(network: str, prepared: TrainingData, plan: TrainingPlan, **options: object) -> Checkpoint:
        seen.append((prepared, plan, options["class_weights"]))
        return train(network, prepared, plan, **options)

    monkeypatch.setattr(export.loso, "train", watched)
    labels = data.labels.copy()
    labels[:4] = 0
    skewed = replace(data, labels=labels)
    leave_one_subject_out("ststnet", skewed, PLAN, [3])
    for (prepared, plan, weights), fold in zip(seen, subject_folds(skewed), strict=True):
        np.testing.assert_array_equal(prepared.images, data.images[~fold.test])
        assert (plan.epochs, plan.seed) == (3, 3)
        assert weights == class_weights(labels[~fold.test])
    assert seen[0][2] == pytest.approx((1, 1, 1))
    assert seen[1][2][0] < 1 < seen[1][2][1]


def test_test_labels_change_no_answer(data: FlowImages) -> None:
    """Other labels on the samples that a fold is asked about leave its answers as they were."""
    changed = data.labels.copy()
    changed[:9] = np.roll(changed[:9], 1)
    plain = leave_one_subject_out("ststnet", data, PLAN, [0]).runs[0].evaluation
    other = leave_one_subject_out("ststnet", replace(data, labels=changed), PLAN, [0]).runs[0].evaluation
    np.testing.assert_array_equal(plain.probabilities[:9], other.probabilities[:9])
    assert not np.array_equal(plain.probabilities[9:], other.probabilities[9:])


def test_same_seed_same_answers(data: FlowImages) -> None:
    """A seed gives the same answers alone and among others; another seed gives others."""
    reports: list[FoldReport] = []
    both = leave_one_subject_out("ststnet", data, PLAN, [1, 0], on_fold=reports.append)
    alone = leave_one_subject_out("ststnet", data, PLAN, [0])
    np.testing.assert_array_equal(both.runs[1].evaluation.probabilities, alone.runs[0].evaluation.probabilities)
    assert not np.array_equal(both.runs[0].evaluation.probabilities, both.runs[1].evaluation.probabilities)
    assert [(report.done, report.total, report.seed) for report in reports[3:5]] == [(4, 8, 1), (5, 8, 0)]
    assert reports[-1].remaining_s == 0
    summary = both.summary()
    scores = [run.evaluation.overall.uf1 for run in both.runs]
    assert summary["uf1"] == pytest.approx(np.mean(scores), abs=1e-4)
    assert summary["uf1_sd"] == pytest.approx(abs(scores[0] - scores[1]) / 2, abs=1e-4)


def test_number_of_processes_changes_no_answer(data: FlowImages) -> None:
    """Folds that are trained side by side, here from weights, give what they give one by one, in the same order."""
    parts = (data.images, data.labels, data.images, data.labels)
    start = train("ststnet", TrainingData(*parts, "", "e" * 64), PLAN, command="")
    reports: tuple[list[FoldReport], list[FoldReport]] = ([], [])
    alone, beside = (
        leave_one_subject_out(
            "ststnet", data, PLAN, [0, 1], start=start, processes=processes, on_fold=reports[processes - 1].append
        )
        for processes in (1, 2)
    )
    for one, other in zip(alone.runs, beside.runs, strict=True):
        np.testing.assert_array_equal(one.evaluation.probabilities, other.evaluation.probabilities)
    told = [[(report.seed, report.fold.subject, report.done) for report in half] for half in reports]
    assert told[0] == told[1]


def test_ensembles_with_a_head_leave_subjects_out(data: FlowImages, tiny: str) -> None:
    """Members and an action-unit head need no units: folds know classes alone."""
    result = leave_one_subject_out(tiny, data, PLAN, [0])
    np.testing.assert_allclose(result.runs[0].evaluation.probabilities.sum(1), 1, rtol=1e-5)
    assert result.summary()["calibration"]["nll"] > 0


def test_answers_are_those_of_the_last_epoch(data: FlowImages) -> None:
    """A fold's answers are what its network, trained without it, says in the end; the best epoch stays a warning."""
    result = leave_one_subject_out("ststnet", data, PLAN, [0])
    run, test = result.runs[0], subject_folds(data)[0].test
    parts = (data.images[~test], data.labels[~test], data.images[test], data.labels[test])
    reports = []
    weights = class_weights(data.labels[~test])
    prepared = TrainingData(*parts, "", "")
    train("ststnet", prepared, PLAN, command="", class_weights=weights, on_epoch=reports.append)
    np.testing.assert_array_equal(run.evaluation.probabilities[test], reports[-1].held_out.probabilities)
    one_epoch = leave_one_subject_out("ststnet", data, replace(PLAN, epochs=1), [0])
    assert one_epoch.inflation == 0
    assert result.inflation == run.best_epoch_uf1 - run.evaluation.overall.uf1


def test_start_is_used_and_must_not_know_the_samples(data: FlowImages) -> None:
    """Fine-tuning differs from training anew; weights made from these very samples are refused."""
    parts = (data.images, data.labels, data.images, data.labels)
    start = train("ststnet", TrainingData(*parts, "", "e" * 64), PLAN, command="")
    tuned = leave_one_subject_out("ststnet", data, PLAN, [0], start=start)
    fresh = leave_one_subject_out("ststnet", data, PLAN, [0])
    assert not np.array_equal(tuned.runs[0].evaluation.probabilities, fresh.runs[0].evaluation.probabilities)
    leaked = replace(start, training={**start.training, "data_sha256": data.sha256})
    earlier = replace(start, training={**start.training, "seen_sha256": [data.sha256]})
    for weights in (leaked, earlier):
        with pytest.raises(OptionError, match=f"trained on {len(data.labels)} of the {len(data.labels)} samples"):
            leave_one_subject_out("ststnet", data, PLAN, [0], start=weights)


def test_samples_are_known_again_in_another_folder(data: FlowImages, tmp_path: Path) -> None:
    """A part of the samples under other names is still a part of them."""
    write_flow_images(tmp_path, data.images[::2], data.labels[::2], "copied")
    copied = folder_data(tmp_path, seed=0)
    start = train("ststnet", copied, replace(PLAN, epochs=1), command="")
    assert copied.sha256 != data.sha256
    message = f"trained on {len(data.labels[::2])} of the {len(data.labels)} samples"
    with pytest.raises(OptionError, match=message):
        leave_one_subject_out("ststnet", data, PLAN, [0], start=start)
    again = train("ststnet", TrainingData(*[data.images, data.labels] * 2, "", "f" * 64), PLAN, command="", start=start)
    assert again.training["seen_images"] == start.training["seen_images"]


def test_network_that_sees_magnitude_is_refused(data: FlowImages) -> None:
    """Folders hold stretched images; that is said before any fold is trained."""
    with pytest.raises(OptionError, match="glimpse_flow_iod takes flow_uvs_28_iod"):
        leave_one_subject_out("glimpse_flow_iod", data, PLAN, (0,))


def test_plans_are_fixed() -> None:
    """From given weights there are fewer epochs; a number asked for replaces either."""
    assert loso_plan(tuned=False, epochs=None).epochs == 60
    assert loso_plan(tuned=True, epochs=None).epochs == 14
    assert loso_plan(tuned=True, epochs=2).epochs == 2


def test_absent_class_is_noticed_before_training(data: FlowImages) -> None:
    """A class that a data set lacks, or that only the left-out subject shows, costs no training."""
    reports: list[FoldReport] = []
    one_sided = np.where(np.array(data.datasets) == "b", data.labels % 2, data.labels)
    with pytest.raises(InputError, match="no sample of b is surprise"):
        leave_one_subject_out("ststnet", replace(data, labels=one_sided), PLAN, [0], on_fold=reports.append)
    single = np.where(np.arange(36) < 9, data.labels, data.labels % 2)
    with pytest.raises(InputError, match="without a s1 is surprise"):
        leave_one_subject_out("ststnet", replace(data, labels=single), PLAN, [0], on_fold=reports.append)
    with pytest.raises(InputError, match="two subjects"):
        subject_folds(replace(data, datasets=("a",) * 36, subjects=("s",) * 36))
    assert reports == []


@pytest.fixture
def folder(data: FlowImages, tmp_path: Path) -> Path:
    """The samples as a folder of one data set, `x`, with four subjects."""
    write_flow_images(tmp_path / "data", data.images, data.labels, "x")
    index = tmp_path / "data" / INDEX
    lines = index.read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    named = [f"{row[0]},x,s{i // 9},{row[3]}" for i, row in enumerate(rows)]
    index.write_text("\n".join([lines[0], *named]) + "\n")
    return tmp_path / "data"


def test_command_scores_logs_and_warns(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the table, writes JSON and one log per seed, and tells what cheating would have given."""
    report, log = tmp_path / "out.json", tmp_path / "log.txt"
    options = ["--protocol", "loso", "--seeds", "0, 1", "--epochs", "2", "--json", str(report), "--megc-log", str(log)]
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "ststnet", "--data", str(folder), *options])
    assert not end.value.code
    printed = capsys.readouterr()
    assert "fold 8/8: seed 1, without x s3" in printed.err
    assert "warning: choosing each fold's epoch" in printed.err
    assert "over seeds 0, 1" in printed.out
    summary = json.loads(report.read_text())
    assert (summary["protocol"], summary["epochs"], summary["folds"], summary["samples"]) == ("loso", 2, 4, 36)
    low, high = summary["intervals"]["uf1"]
    assert low <= summary["uf1"] <= high
    for seed in (0, 1):
        assert len((tmp_path / f"log-seed{seed}.txt").read_text().splitlines()) == 40
        with pytest.raises(SystemExit):
            main(["score", str(tmp_path / f"log-seed{seed}.txt")])
        printed_uf1 = capsys.readouterr().out.splitlines()[2].split()[2]
        assert float(printed_uf1) == pytest.approx(summary["runs"][seed]["uf1"], abs=1e-4)


def test_baseline_is_trained_beside(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both tables and the paired difference are printed and written; two equal trainings do not differ."""
    report, plot = tmp_path / "out.json", tmp_path / "plot.png"
    options = ["--protocol", "loso", "--seeds", "0", "--epochs", "2", "--baseline", "ststnet", "--baseline-epochs"]
    files = ["--json", str(report), "--plot", str(plot)]
    printed, differences = [], []
    for epochs in ("2", "3"):
        with pytest.raises(SystemExit) as end:
            main(["evaluate", "ststnet", "--data", str(folder), *options, epochs, *files])
        assert not end.value.code
        printed.append(capsys.readouterr().out)
        summary = json.loads(report.read_text())
        differences.append(summary["difference"]["uf1"])
        assert summary["difference"]["uf1"] == pytest.approx(summary["uf1"] - summary["baseline"]["uf1"], abs=2e-4)
        assert summary["baseline"]["epochs"] == int(epochs)
    assert differences[0] == 0
    assert "baseline ststnet" in printed[0]
    assert "ststnet minus ststnet" in printed[0]
    assert "calibration error" in printed[0]
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_baseline_that_cannot_be_trained_says_so_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is trained in vain for the sake of a comparison that cannot be made."""
    with pytest.raises(SystemExit):
        main(["evaluate", "ststnet", "--data", str(folder), "--protocol", "loso", "--baseline", "tgsr_flow"])
    printed = capsys.readouterr().err
    assert "tgsr_flow is solved for, not trained" in printed
    assert "fold" not in printed
