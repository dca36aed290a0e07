"""Which source of action units teaches what? `python -m bench.sources`.

STSTNet is trained on synthetic flow from each of the three sources of MiE-X alone (Liu et al., ECCV 2022, section 3:
expert rules, early macro-expressions, statistics of real micro-expressions), from all three and from the recipe that
the shipped networks were trained on, with the same plan, number of samples and seeds, and scored on the real samples.
Every run is reported, nothing is chosen by it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.accuracy import parts, row, scored
from export.checkpoint import Checkpoint
from export.data.flow_images import read_flow_images
from export.networks.registry import find_network
from export.synthesis.sources import SOURCES, Source
from export.training import train
from export.training_data import synthetic_data
from export.training_plan import plan_for

NETWORK = "ststnet"
MIXES: dict[str, tuple[Source, ...]] = {**{name: (name,) for name in SOURCES}, "all three": SOURCES, "recipe": ()}


def trained(mix: tuple[Source, ...], seed: int, processes: int) -> Checkpoint:
    """The network of one seed on samples from `mix`; the recipe's own where it is empty."""
    network = find_network(NETWORK)
    data = synthetic_data(network.samples, seed, sources=mix, processes=processes)
    plan = plan_for(synthetic=True, seed=seed, epochs=None, changes=network.plan)
    return train(NETWORK, data, plan, command="python -m bench.sources")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/megc2019_flow"))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    data = read_flow_images(options.data)
    seeds = [int(part) for part in options.seeds.split(",")]
    names = sorted(set(data.datasets))
    counts = " | ".join(f"{name} {data.datasets.count(name)}" for name in names)
    print(f"| UF1 / UAR, mean of {len(seeds)} seeds | all {len(data.labels)} | {counts} |")
    print("|---" * (2 + len(names)) + "|")
    for name, mix in MIXES.items():
        found = []
        for seed in seeds:
            print(f"{name}: seed {seed}", file=sys.stderr, flush=True)
            found.append(parts(scored(trained(mix, seed, options.processes), data)))
        print(row(name, found), flush=True)


if __name__ == "__main__":
    main()
