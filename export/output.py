"""What the commands show and write: progress and messages on stderr, results on stdout and in files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from export.data.flow_images import FlowImages
from export.evaluation import Evaluation
from export.labels import LABELS
from export.loso import FoldReport
from export.repository import replace_file
from export.training_progress import EpochReport


def message(text: str) -> None:
    """One line for the person at the terminal."""
    Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, driven by calls of (done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def show_epoch(report: EpochReport) -> None:
    """One line per epoch."""
    held_out = report.held_out
    scores = {"UF1": held_out.uf1, "UAR": held_out.uar, "action-unit F1": held_out.unit_f1}
    figures = {**scores, **held_out.further}
    told = "".join(f", {name} {value:.4f}" for name, value in figures.items() if value is not None)
    parts = "".join(f", {name} {loss:.4f}" for name, loss in report.parts.items())
    message(
        f"epoch {report.epoch}/{report.epochs}: loss {report.loss:.4f}{parts}, "
        f"held-out accuracy {held_out.accuracy:.4f}{told}, {report.remaining_s:.0f} s left"
    )


def show_fold(report: FoldReport) -> None:
    """One line per fold."""
    message(
        f"fold {report.done}/{report.total}: seed {report.seed}, without {report.fold.dataset} {report.fold.subject}, "
        f"{report.remaining_s:.0f} s left"
    )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, (json.dumps(content, indent=2) + "\n").encode())


def write_log(path: Path, data: FlowImages, evaluation: Evaluation) -> None:
    """One CSV line per sample: what it is, what was answered, and the probabilities."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "dataset", "subject", "label", "prediction", *LABELS])
    columns = (data.paths, data.datasets, data.subjects, data.labels, evaluation.predictions, evaluation.probabilities)
    for sample, dataset, subject, label, prediction, probabilities in zip(*columns, strict=True):
        row = [sample, dataset, subject, LABELS[label], LABELS[prediction]]
        writer.writerow([*row, *(f"{probability:.6f}" for probability in probabilities)])
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text.getvalue().encode())
