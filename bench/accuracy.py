"""Scores on the real optical-flow samples: `python -m bench.accuracy`, or `make bench-accuracy`.

Trains the default network once for each seed, on synthetic data alone, and scores it on the real samples beside STSTNet
trained the same way and the published checkpoints, each of which answers for the one subject that it never saw. Then
action units, on synthetic people whom no training has seen and by rank on the real samples, and calibration on the real
samples before and after. Seeds are named beforehand, every one is reported, nothing is chosen on the real samples.

A run is kept in `--runs` and used again if it is of the same plan, from random weights, on as many synthetic samples
of our own table; after a change of the generator it has to be removed. The first time takes about a quarter of an hour
for each seed of the default network on a free core, two minutes for one of STSTNet.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export.calibration import measure_abstention, measure_reliability
from export.cards import ABSTAIN_BELOW, SYNTHETIC_DATA
from export.checkpoint import Checkpoint, checkpoint_bytes, load_checkpoint
from export.data.flow_images import FlowImages, read_flow_images
from export.evaluation import Evaluation, Measures, evaluate
from export.networks.network import FLOW_INPUT
from export.networks.outputs import ACTION_UNITS
from export.networks.registry import find_network
from export.protocol import evaluate_per_subject
from export.repository import replace_file
from export.scoring import torch_score
from export.synthesis.flow_fields import synthesize_flow
from export.training import train
from export.training_data import synthetic_data
from export.training_plan import plan_for
from export.training_progress import EpochReport
from export.unit_measures import UnitMeasures, measure_units, rank_units

NETWORK, BASELINE = "glimpse_flow", "ststnet"
UNSEEN_SAMPLES, UNSEEN_SEED = 6000, 1 << 40
"""Synthetic people for the action units: those of no training and of no calibration."""


def trained(network: str, seed: int, runs: Path, processes: int) -> Checkpoint:
    """The network of one seed, trained on synthetic data alone, or the same from an earlier run."""

    def show(epoch: EpochReport) -> None:
        print(f"{network}, seed {seed}: epoch {epoch.epoch} of {epoch.epochs}", file=sys.stderr, flush=True)

    registered = find_network(network)
    plan = plan_for(synthetic=True, seed=seed, epochs=None, changes=registered.plan)
    file = runs / f"{network}-seed{seed}" / "weights.pth"
    if file.exists():
        known = load_checkpoint(file, network)
        wanted = {**asdict(plan), "data": SYNTHETIC_DATA, "samples": registered.samples, "start_sha256": ""}
        if wanted.items() <= known.training.items():
            return known
    data = synthetic_data(registered.samples, seed, calibration=registered.calibrated, processes=processes)
    command = f"glimpse-export train {network} --data synthetic --seed {seed}"
    checkpoint = train(network, data, plan, command=command, on_epoch=show, folder=file.parent, resume=True)
    replace_file(file, checkpoint_bytes(checkpoint))
    return checkpoint


def uncalibrated(checkpoint: Checkpoint) -> Checkpoint:
    """The same with a temperature of 1."""
    return Checkpoint(
        checkpoint.network,
        checkpoint.source,
        checkpoint.weights,
        {**checkpoint.state, "temperature": torch.ones(())},
        checkpoint.training,
        sha256="",
    )


def scored(checkpoint: Checkpoint, data: FlowImages) -> Evaluation:
    """All real samples."""
    name = checkpoint.network
    return evaluate(data, [name] * len(data.labels), torch_score({name: checkpoint}))


def unseen_units(checkpoints: Sequence[Checkpoint]) -> list[UnitMeasures]:
    """F1 of the action units of each network on the same new people."""
    samples = synthesize_flow(UNSEEN_SAMPLES, UNSEEN_SEED, processes=2)
    images = samples.images.astype(np.float32)
    found = []
    for checkpoint in checkpoints:
        scores = torch_score({"": checkpoint})("", {FLOW_INPUT.name: images})[ACTION_UNITS]
        measures = measure_units(scores, samples.action_units)
        assert measures is not None
        found.append(measures)
    return found


def row(name: str, results: Sequence[dict[str, Measures]]) -> str:
    """One line of the table: mean over runs, with the standard deviation where there are several."""
    cells = []
    for key in results[0]:
        values = np.array([[result[key].uf1, result[key].uar] for result in results])
        uf1, uar = values.mean(axis=0)
        spread = " (sd {:.3f} / {:.3f})".format(*values.std(axis=0)) if len(results) > 1 else ""
        cells.append(f"{uf1:.4f} / {uar:.4f}{spread}")
    return f"| {name} | " + " | ".join(cells) + " |"


def parts(result: Evaluation) -> dict[str, Measures]:
    """All samples, then each data set."""
    return {"all": result.overall, **result.datasets}


def print_scores(data: FlowImages, published: Path, runs: dict[str, list[Evaluation]], seeds: Sequence[int]) -> None:
    """UF1 and UAR of every run."""
    names = sorted(set(data.datasets))
    counts = " | ".join(f"{name} {data.datasets.count(name)}" for name in names)
    print(f"| UF1 / UAR | all {len(data.labels)} | {counts} |\n" + "|---" * (2 + len(names)) + "|")
    per_subject = evaluate_per_subject(data, BASELINE, published, "torch")
    print(row("published STSTNet checkpoints, each on its own subject", [parts(per_subject)]))
    for network, results in runs.items():
        for seed, result in zip(seeds, results, strict=True):
            print(row(f"{network}, seed {seed}", [parts(result)]))
        print(row(f"{network}, mean of {len(results)} seeds", [parts(result) for result in results]))


def print_units(data: FlowImages, results: list[Evaluation], measures: list[UnitMeasures]) -> None:
    """F1 on synthetic people, ranks on real samples."""
    print(f"\nAction units, mean of {len(measures)} seeds, on {measures[0].samples} unseen synthetic samples:")
    print(f"mean F1 of the 12 commonest {np.mean([m.mean_f1 for m in measures]):.4f}", end="")
    print(f" (by side {np.mean([m.mean_side_f1 for m in measures]):.4f})")
    ranked = sorted(measures[0].units, key=lambda each: -each.shown)
    for each in ranked:
        f1 = np.mean([next(u.f1 for u in m.units if u.unit == each.unit) for m in measures])
        print(f"  AU {each.unit}: F1 {f1:.3f}, shown by {each.shown}")
    ranks = [rank_units(result.extras[ACTION_UNITS], data.labels) for result in results]
    for same in zip(*ranks, strict=True):
        shares = [each.share for each in same]
        units = " or ".join(str(unit) for unit in same[0].units)
        print(f"real, {same[0].label}: AU {units} ranks first or second in {np.mean(shares):.1%} of {same[0].samples}")


def print_calibration(data: FlowImages, before: list[Evaluation], after: list[Evaluation]) -> None:
    """Reliability on the real samples, on which nothing was fitted."""
    print(f"\nCalibration on the {len(data.labels)} real samples, mean of {len(before)} seeds:")
    for name, results in (("before", before), ("after", after)):
        found = [measure_reliability(data.labels, result.probabilities) for result in results]
        figures = {key: np.mean([getattr(each, key) for each in found]) for key in ("ece", "adaptive_ece", "nll")}
        print(f"  {name}: " + ", ".join(f"{key} {value:.4f}" for key, value in figures.items()))
    kept = [measure_abstention(data.labels, result.probabilities, ABSTAIN_BELOW) for result in after]
    right = np.mean([each.accuracy for each in kept])
    print(
        f"  answered with confidence of {ABSTAIN_BELOW} and more: {np.mean([each.coverage for each in kept]):.1%}",
        end="",
    )
    print(f", {right:.1%} of them right; {np.mean([result.overall.accuracy for result in after]):.1%} of all")


def summary(results: dict[str, list[Evaluation]], measures: list[UnitMeasures]) -> dict[str, Any]:
    """All runs as JSON."""
    return {
        "runs": {name: [result.summary() for result in every] for name, every in results.items()},
        "action_units": [each.summary() for each in measures],
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/megc2019_flow"))
    parser.add_argument("--published", type=Path, default=Path("../shared/data/ststnet_weights"))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = read_flow_images(options.data)
    seeds = [int(part) for part in options.seeds.split(",")]
    checkpoints = {
        network: [trained(network, seed, options.runs, options.processes) for seed in seeds]
        for network in (BASELINE, NETWORK)
    }
    results = {name: [scored(each, data) for each in every] for name, every in checkpoints.items()}
    print_scores(data, options.published, results, seeds)
    measures = unseen_units(checkpoints[NETWORK])
    print_units(data, results[NETWORK], measures)
    print_calibration(data, [scored(uncalibrated(each), data) for each in checkpoints[NETWORK]], results[NETWORK])
    if options.json:
        replace_file(options.json, (json.dumps(summary(results, measures), indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
