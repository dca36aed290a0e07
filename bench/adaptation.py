"""Does adaptation help? From SMIC to CASME II and back: `python -m bench.adaptation`.

One data set is the labelled source, the other the target, whose labels are used for scoring alone, but in the rows
marked as bounds. Seeds, epochs, grids and features are fixed beforehand; every row is printed. Each adapted row has its
difference in UF1 to the row that it was made from, on the same draws of target subjects.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from export.adaptation.adapt import probabilities
from export.adaptation.flow_tgsr import KAPPAS, XIS, Choice, answers, choose, fit_flow, region_features
from export.adaptation.priors import Float64Array, estimate_priors, maximise, reweighted
from export.bootstrap import paired_difference, subject_intervals
from export.data.flow_images import FlowImages, read_flow_images
from export.evaluation import Int64Array, confusion_matrix, measure
from export.labels import LABELS
from export.scoring import published_checkpoint
from export.training import train
from export.training_data import TrainingData
from export.training_plan import FOLDER_PLAN
from server.errors import InputError

NETWORK = "ststnet"
REPOSITORY = Path("model_repository")


@dataclass(frozen=True)
class Row:
    """What one way of answering gave: `predictions` int64 [N] for each run; `base` is the row that it adapts."""

    name: str
    predictions: Sequence[Int64Array]
    base: str = ""


def only(data: FlowImages, dataset: str) -> FlowImages:
    """The samples of one data set."""
    chosen = np.array([name == dataset for name in data.datasets])
    kept = np.flatnonzero(chosen)
    return replace(
        data,
        images=data.images[chosen],
        labels=data.labels[chosen],
        datasets=tuple(data.datasets[i] for i in kept),
        subjects=tuple(data.subjects[i] for i in kept),
        paths=tuple(data.paths[i] for i in kept),
        sha256=f"{data.sha256} {dataset}",
    )


def shares(labels: Int64Array) -> Float64Array:
    """How frequent each class is."""
    counted: Float64Array = np.bincount(labels, minlength=len(LABELS)) / len(labels)
    return counted


def trained_on(source: FlowImages, target: FlowImages, seed: int) -> Float64Array:
    """What a network trained on the source by the fixed plan answers to the target."""
    print(f"training on {source.datasets[0]}, seed {seed}", file=sys.stderr, flush=True)
    data = TrainingData(source.images, source.labels, source.images, source.labels, "source", source.sha256)
    checkpoint = train(NETWORK, data, replace(FOLDER_PLAN, seed=seed), command="python -m bench.adaptation")
    return probabilities(checkpoint, target.images).astype(float)


def with_priors(name: str, runs: Sequence[Float64Array], trained: Float64Array, truth: Int64Array) -> list[Row]:
    """A model as it is, and with class shares estimated by the command, by the paper, and taken from the labels."""
    guarded, plain, known = [], [], []
    for run in runs:
        mle = maximise(run, trained)
        try:
            estimate = estimate_priors(run, trained.tolist())
            note = f"estimated {numbers(estimate.shares)}, p = {estimate.p_value:.1e}"
            guarded.append(reweighted(run, estimate.ratio))
        except InputError as error:
            note = f"refused: {error}"
            guarded.append(run)
        others = f"by plain EM {numbers(mle)}, true {numbers(shares(truth))}"
        print(f"{name}: trained with {numbers(trained)}; {note}, {others}")
        plain.append(reweighted(run, mle / trained))
        known.append(reweighted(run, shares(truth) / trained))
    labels = {
        name: runs,
        f"{name}, priors as `adapt` does": guarded,
        f"{name}, priors by plain EM": plain,
        f"{name}, true shares (bound: target labels)": known,
    }
    return [
        Row(label, [each.argmax(1) for each in found], "" if label == name else name) for label, found in labels.items()
    ]


def linear(source: FlowImages, target: FlowImages) -> list[Row]:
    """Regression of region statistics without and with sparse groups and the target's mean, and the oracle."""
    features, to = region_features(source.images), region_features(target.images)

    def show(done: int, total: int) -> None:
        if done % 100 == 0 or done == total:
            print(f"choosing on {source.datasets[0]}: {done} of {total} fits", file=sys.stderr, flush=True)

    choice = choose(source, features, on_progress=show)
    grid = {
        (kappa, xi): answers(to, fit_flow(features, source.labels, to, kappa=kappa, xi=xi).coefficients).argmax(1)
        for kappa in KAPPAS
        for xi in XIS
    }
    target_uf1 = {settings: measure(confusion_matrix(target.labels, found)).uf1 for settings, found in grid.items()}
    oracle = max(target_uf1, key=target_uf1.__getitem__)
    without = max((settings for settings in grid if settings[1] == 0), key=choice.uf1.__getitem__)
    print_grid(choice, target_uf1)
    plain = f"regression, kappa {KAPPAS[0]}, xi 0"
    sparse = f"group sparse, kappa {without[0]} (source), xi 0"
    return [
        Row(plain, [grid[KAPPAS[0], 0.0]]),
        Row(sparse, [grid[without]], plain),
        Row(f"TGSR, kappa {choice.kappa}, xi {choice.xi:g} (source)", [grid[choice.kappa, choice.xi]], sparse),
        Row(f"TGSR, kappa {oracle[0]}, xi {oracle[1]:g} (bound: target labels)", [grid[oracle]], sparse),
    ]


def print_grid(choice: Choice, target_uf1: dict[tuple[int, float], float]) -> None:
    """UF1 on left-out source subjects, by which is chosen, and on the target, by which is not."""
    print("UF1 on left-out source subjects | on the target")
    print("kappa \\ xi " + "".join(f"{xi:>15g}" for xi in XIS))
    for kappa in KAPPAS:
        cells = (f"{choice.uf1[kappa, xi]:.3f} | {target_uf1[kappa, xi]:.3f}" for xi in XIS)
        print(f"{kappa:>10} " + "".join(f"{cell:>15}" for cell in cells))
    print(f"median over the grid on the target {np.median(list(target_uf1.values())):.4f}")


def print_table(title: str, target: FlowImages, rows: Sequence[Row]) -> None:
    """UF1 and UAR of every row with intervals, its accuracy, and the difference to its base."""
    columns = (title, "UF1 (95 %)", "UAR (95 %)", "accuracy", "UF1 gained (95 %)", "UAR gained (95 %)")
    print("\n| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    named = {row.name: row for row in rows}
    for row in rows:
        measures = [measure(confusion_matrix(target.labels, run)) for run in row.predictions]
        interval = subject_intervals(target.labels, row.predictions, target.subjects)
        uf1, uar = np.mean([m.uf1 for m in measures]), np.mean([m.uar for m in measures])
        accuracy = np.mean([m.accuracy for m in measures])
        cells = [
            f"{uf1:.4f} ({bounds(interval.uf1)})",
            f"{uar:.4f} ({bounds(interval.uar)})",
            f"{accuracy:.4f}",
            "",
            "",
        ]
        if row.base:
            base = named[row.base].predictions
            found = paired_difference(target.labels, row.predictions, base, target.subjects)
            cells[3:] = [
                f"{gained:+.4f} ({low:+.3f} to {high:+.3f})"
                for gained, (low, high) in ((found.uf1, found.intervals.uf1), (found.uar, found.intervals.uar))
            ]
        print(f"| {row.name} | " + " | ".join(cells) + " |", flush=True)
    print()


def numbers(values: Float64Array) -> str:
    """Shares of the classes, short."""
    return "/".join(f"{value:.2f}" for value in values)


def bounds(interval: tuple[float, float]) -> str:
    """An interval, short."""
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


def main() -> None:
    """Print both directions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/megc2019_flow"))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    options = parser.parse_args()
    seeds = [int(part) for part in options.seeds.split(",")]
    data = read_flow_images(options.data)
    shipped = published_checkpoint(REPOSITORY, NETWORK)
    equal = np.full(len(LABELS), 1 / len(LABELS))
    for first, second in (("smic", "casme2"), ("casme2", "smic")):
        source, target = only(data, first), only(data, second)
        print(f"{first} ({len(source.labels)} samples) to {second} ({len(target.labels)} samples)")
        zero_shot = [probabilities(shipped, target.images).astype(float)]
        learnt = [trained_on(source, target, seed) for seed in seeds]
        rows = [
            *with_priors(f"shipped {NETWORK}, zero-shot", zero_shot, equal, target.labels),
            *with_priors(
                f"{NETWORK} trained on {first}, mean of {len(seeds)} seeds",
                learnt,
                shares(source.labels),
                target.labels,
            ),
            *linear(source, target),
        ]
        print_table(f"{first} to {second}", target, rows)


if __name__ == "__main__":
    main()
