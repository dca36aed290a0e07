"""The zero-shot protocol: which model answers which sample, and through which backend it is asked."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from export.build import publish_checkpoint
from export.checkpoint import Checkpoint
from export.data.dual_images import DUAL_RECIPE
from export.data.flow_images import FlowImages, check_takes_images
from export.evaluation import Evaluation, evaluate
from export.networks.registry import find_network
from export.onnx_series import OnnxSeries
from export.per_subject import load_per_subject, model_names
from export.repository import read_published
from export.scoring import Backend, open_backend, torch_score

Report = Callable[[str], None]
Progress = Callable[[int, int], None]


def evaluate_model(
    data: FlowImages,
    repository: Path,
    name: str,
    backend: Backend,
    *,
    triton_address: str | None = None,
    report: Report = lambda _: None,
    on_progress: Progress | None = None,
) -> Evaluation:
    """All samples by one published model. `report` hears of slow steps, `on_progress(done, total)` counts samples.

    Raises `UnknownModel`, and as `check_takes_images`, `open_backend` and `evaluate` do.
    """
    recipe = read_published(repository, name).contract.recipe
    dual = recipe == DUAL_RECIPE
    if dual:
        report(f"{name} is fed an estimate: the images have lost the strength of motion, which {DUAL_RECIPE} shows")
    else:
        check_takes_images(name, recipe)
    with open_backend(backend, repository, triton_address=triton_address, report=report) as score:
        return evaluate(data, [name] * len(data.labels), score, on_progress, dual=dual)


def evaluate_per_subject(
    data: FlowImages,
    network: str,
    folder: Path,
    backend: Backend,
    *,
    report: Report = lambda _: None,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Each sample by the weights in `folder` that never saw its subject.

    For `local` and `triton` the weights are published, one model each, into a repository that lives as long as the
    evaluation. Raises as `check_takes_images`, `load_per_subject`, `open_backend` and `evaluate` do.
    """
    check_takes_images(network, find_network(network).recipe)
    checkpoints = load_per_subject(folder, network, data.subjects)
    names = model_names(network, data.subjects)
    models = [names[subject] for subject in data.subjects]
    if backend == "torch":
        return evaluate(data, models, torch_score({names[s]: c for s, c in checkpoints.items()}), on_progress)
    with tempfile.TemporaryDirectory() as temporary:
        repository = Path(temporary)
        publish_per_subject(checkpoints, names, repository, report=report)
        with open_backend(backend, repository, report=report) as score:
            return evaluate(data, models, score, on_progress)


def publish_per_subject(
    checkpoints: Mapping[str, Checkpoint],
    names: Mapping[str, str],
    repository: Path,
    *,
    report: Report = lambda _: None,
) -> None:
    """One model for each subject of `checkpoints`, which are of one network, called as `names` says, into an empty
    `repository`.
    """
    series = OnnxSeries()
    for count, (subject, checkpoint) in enumerate(checkpoints.items(), start=1):
        report(f"exporting weights {count} of {len(checkpoints)}: {subject}")
        publish_checkpoint(checkpoint, repository, name=names[subject], command="", exported=series)
