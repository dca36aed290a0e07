"""Leave one subject out: a network is trained without a subject and answers that subject's samples, for each in turn.

Nothing is chosen by a score: the epochs are fixed, the answers are those of the last one. The input normalisation looks
at one image alone, and class weights come from the training fold.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from export.calibration import Reliability, mean_reliability, measure_reliability
from export.checkpoint import Checkpoint
from export.data.flow_images import FlowImages, check_takes_images
from export.evaluation import Evaluation, Measures, evaluate_answers, score_predictions
from export.labels import LABELS
from export.networks.registry import find_network
from export.training import samples_seen, train
from export.training_data import TrainingData
from export.training_plan import FOLDER_PLAN, TUNING_PLAN, TrainingPlan
from export.training_progress import EpochReport
from server.errors import InputError, OptionError
from server.types import Float32Array

_WEIGHT_POWER = 0.5
"""Class weights are frequencies to the power of -0.5: full compensation makes rare classes guesses of doubt."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One subject of one data set; `test` bool [N] marks its samples, all others are trained on."""

    dataset: str
    subject: str
    test: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FoldReport:
    """After a fold: which one it was, counted over all seeds, and the time the rest will take."""

    seed: int
    fold: Fold
    done: int
    total: int
    remaining_s: float


@dataclass(frozen=True, slots=True)
class SeedResult:
    """The answers of the last epoch, and what choosing each fold's best epoch on its test samples would have given.

    `best_epoch_uf1` is no result: it says how far such a choice inflates.
    """

    seed: int
    evaluation: Evaluation
    best_epoch_uf1: float
    reliability: Reliability


@dataclass(frozen=True, slots=True)
class LosoResult:
    """All seeds of one plan."""

    plan: TrainingPlan
    folds: int
    runs: tuple[SeedResult, ...]

    @property
    def inflation(self) -> float:
        """UF1 that choosing the epoch on the test fold would have added, mean over seeds."""
        return float(np.mean([run.best_epoch_uf1 - run.evaluation.overall.uf1 for run in self.runs]))

    @property
    def reliability(self) -> Reliability:
        """The mean over seeds."""
        return mean_reliability([run.reliability for run in self.runs])

    def summary(self) -> dict[str, Any]:
        """JSON-able, four decimals: mean and population standard deviation over seeds, and each seed."""
        names = self.runs[0].evaluation.datasets
        return {
            **mean_and_sd([run.evaluation.overall for run in self.runs]),
            "datasets": {name: mean_and_sd([run.evaluation.datasets[name] for run in self.runs]) for name in names},
            "calibration": self.reliability.summary(),
            "folds": self.folds,
            "epochs": self.plan.epochs,
            "best_epoch_on_test_fold_would_add_uf1": round(self.inflation, 4),
            "runs": [
                {"seed": run.seed, **run.evaluation.summary(), "calibration": run.reliability.summary()}
                for run in self.runs
            ],
        }


def mean_and_sd(measures: Sequence[Measures]) -> dict[str, Any]:
    """Samples, and UF1, UAR and accuracy as mean and population standard deviation over runs."""
    summary: dict[str, Any] = {"samples": measures[0].samples}
    for name in ("uf1", "uar", "accuracy"):
        values = [getattr(each, name) for each in measures]
        summary[name] = round(float(np.mean(values)), 4)
        summary[f"{name}_sd"] = round(float(np.std(values)), 4)
    return summary


def loso_plan(*, tuned: bool, epochs: int | None) -> TrainingPlan:
    """The plan from given or from random weights, with a number of epochs where one is asked for."""
    plan = TUNING_PLAN if tuned else FOLDER_PLAN
    return replace(plan, epochs=epochs or plan.epochs)


def subject_folds(data: FlowImages) -> tuple[Fold, ...]:
    """A fold for each subject of each data set: the same name in two data sets is two subjects.

    Raises `InputError` where fewer than two subjects are, and where the others lack a class that is to be learnt.
    """
    people = list(zip(data.datasets, data.subjects, strict=True))
    distinct = sorted(set(people))
    if len(distinct) < 2:
        raise InputError("leaving one subject out needs at least two subjects")
    folds = tuple(Fold(*person, np.array([each == person for each in people])) for person in distinct)
    for fold in folds:
        trained = data.labels[~fold.test]
        others = f"the samples without {fold.dataset} {fold.subject}"
        absent = [label for i, label in enumerate(LABELS) if i not in trained]
        if absent:
            raise InputError(f"none of {others} is {' or '.join(absent)}, so it cannot be learnt")
    return folds


def class_weights(labels: npt.NDArray[np.int64]) -> tuple[float, ...]:
    """A weight for each label, from its share of `labels` int64 [N], of mean 1 over the samples."""
    counts = np.bincount(labels, minlength=len(LABELS))
    weights = counts**-_WEIGHT_POWER
    return tuple((weights * len(labels) / (weights * counts).sum()).tolist())


def leave_one_subject_out(
    network: str,
    data: FlowImages,
    plan: TrainingPlan,
    seeds: Sequence[int],
    *,
    start: Checkpoint | None = None,
    processes: int = 1,
    on_fold: Callable[[FoldReport], None] | None = None,
) -> LosoResult:
    """Train and answer every fold once for each of `seeds` (which replace that of `plan`), from `start` where given.

    The same plan, data and seeds give the same answers, for any number of `processes`. Raises `OptionError` as `train`
    and `check_takes_images` do, without seeds, and for a `start` that was trained on these samples; `InputError` as
    `subject_folds` and `measure` do, before any training.
    """
    check_takes_images(network, find_network(network).recipe)
    if not seeds or len(set(seeds)) < len(seeds):
        raise OptionError("seeds must be given, each once", option="seeds")
    if processes < 1:
        raise OptionError("processes must be at least 1", option="processes")
    if start and (seen := samples_seen(start.training, data)):
        message = f"these weights were trained on {seen} of the {len(data.labels)} samples to be scored"
        raise OptionError(message, option="weights")
    folds = subject_folds(data)
    score_predictions(data.labels, data.labels, data.datasets)
    started = time.monotonic()
    tasks = [(seed, fold) for seed in seeds for fold in folds]
    answer = partial(_answers, network, data, plan, _Start(start) if start else None)
    probabilities = {seed: np.zeros((plan.epochs, len(data.labels), len(LABELS)), np.float32) for seed in seeds}
    for count, ((seed, fold), found) in enumerate(zip(tasks, _run(answer, tasks, processes), strict=True), start=1):
        probabilities[seed][:, fold.test] = found
        if on_fold:
            remaining_s = (time.monotonic() - started) / count * (len(tasks) - count)
            on_fold(FoldReport(seed, fold, count, len(tasks), remaining_s))
    runs = []
    for seed, answers in probabilities.items():
        best = evaluate_answers(data, _best_epochs(answers, data, folds))
        reliability = measure_reliability(data.labels, answers[-1])
        runs.append(SeedResult(seed, evaluate_answers(data, answers[-1]), best.overall.uf1, reliability))
    return LosoResult(plan, len(folds), tuple(runs))


class _Start:
    """A checkpoint that crosses to another process by value: PyTorch would send its tensors as shared memory."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._bare = replace(checkpoint, state={})
        self._state = {name: value.numpy() for name, value in checkpoint.state.items()}

    def checkpoint(self) -> Checkpoint:
        """What it was made of."""
        return replace(self._bare, state={name: torch.from_numpy(value) for name, value in self._state.items()})


def _run(
    answer: Callable[[tuple[int, Fold]], Float32Array], tasks: Sequence[tuple[int, Fold]], processes: int
) -> Iterator[Float32Array]:
    """`answer` to each task in their order; each runs on one thread, so several fill as many cores."""
    if processes == 1:
        yield from map(answer, tasks)
        return
    with ProcessPoolExecutor(min(processes, len(tasks)), mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            yield from pool.map(answer, tasks)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _answers(
    network: str, data: FlowImages, plan: TrainingPlan, start: _Start | None, task: tuple[int, Fold]
) -> Float32Array:
    """Probabilities float32 [epochs, samples of the fold, classes] after each epoch."""
    seed, fold = task
    reports: list[EpochReport] = []
    labels = data.labels[~fold.test]
    prepared = TrainingData(
        images=data.images[~fold.test],
        labels=labels,
        validation_images=data.images[fold.test],
        validation_labels=data.labels[fold.test],
        description=f"without {fold.dataset} {fold.subject}",
        sha256=data.sha256,
    )
    train(
        network,
        prepared,
        replace(plan, seed=seed),
        command="",
        start=start.checkpoint() if start else None,
        class_weights=class_weights(labels),
        on_epoch=reports.append,
    )
    return np.stack([report.held_out.probabilities for report in reports])


def _best_epochs(probabilities: Float32Array, data: FlowImages, folds: Sequence[Fold]) -> Float32Array:
    chosen: Float32Array = probabilities[-1].copy()
    hits = probabilities.argmax(2) == data.labels
    for fold in folds:
        chosen[fold.test] = probabilities[hits[:, fold.test].sum(1).argmax()][fold.test]
    return chosen
