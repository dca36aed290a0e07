"""Scores on the real optical-flow samples: `python -m bench.accuracy`, or `make bench-accuracy`.

Trains the default network once for each seed, on synthetic data alone, and scores it on the real samples beside the
published checkpoints, each of which answers for the one subject that it never saw. Seeds are named beforehand, every
one is reported, and nothing is chosen on the real samples. Takes about two minutes a seed on two cores.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from export.data.flow_images import FlowImages, read_flow_images
from export.evaluation import Evaluation, Measures, evaluate
from export.protocol import evaluate_per_subject
from export.scoring import torch_score
from export.training import SYNTHETIC_SAMPLES, EpochReport, plan_for, train
from export.training_data import synthetic_data

NETWORK = "ststnet"


def trained(data: FlowImages, seed: int, samples: int) -> Evaluation:
    """The network of one seed, trained without any real sample, on all real samples."""

    def show(epoch: EpochReport) -> None:
        print(f"seed {seed}: epoch {epoch.epoch} of {epoch.epochs}, loss {epoch.loss:.3f}", file=sys.stderr)

    made = synthetic_data(samples, seed, processes=2)
    plan = plan_for(synthetic=True, seed=seed, epochs=None)
    checkpoint = train(NETWORK, made, plan, command="python -m bench.accuracy", on_epoch=show)
    return evaluate(data, [NETWORK] * len(data.labels), torch_score({NETWORK: checkpoint}))


def row(name: str, overall: Measures, datasets: dict[str, Measures]) -> str:
    """One line of the table."""
    cells = [f"{m.uf1:.4f} / {m.uar:.4f}" for m in (overall, *(datasets[key] for key in sorted(datasets)))]
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/megc2019_flow"))
    parser.add_argument("--published", type=Path, default=Path("../shared/data/ststnet_weights"))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--samples", type=int, default=SYNTHETIC_SAMPLES)
    options = parser.parse_args()
    data = read_flow_images(options.data)
    names = sorted(set(data.datasets))
    print(
        f"| UF1 / UAR | all {len(data.labels)} | " + " | ".join(f"{n} {data.datasets.count(n)}" for n in names) + " |"
    )
    print("|---" * (2 + len(names)) + "|")
    published = evaluate_per_subject(data, NETWORK, options.published, "torch")
    print(row("published checkpoints, each on its own subject", published.overall, dict(published.datasets)))
    scores = []
    for seed in (int(part) for part in options.seeds.split(",")):
        result = trained(data, seed, options.samples)
        scores.append([[m.uf1, m.uar] for m in (result.overall, *(result.datasets[n] for n in names))])
        print(row(f"trained on synthetic data, seed {seed}", result.overall, dict(result.datasets)), flush=True)
    mean, spread = np.mean(scores, axis=0), np.std(scores, axis=0)
    cells = [f"{m[0]:.4f} / {m[1]:.4f} (sd {s[0]:.3f} / {s[1]:.3f})" for m, s in zip(mean, spread, strict=True)]
    print(f"| mean of {len(scores)} seeds | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
