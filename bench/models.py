"""What a model costs: `python -m bench.models`.

For every registered network: parameters, size of the graph, and milliseconds per event in ONNX Runtime on one thread,
at a batch of 1 and of 32, beside the graph of the network as it is written, without the rewriting that serving does
(`for_serving`). Both are timed in turns, so that what else the machine does falls on both; the median of the ratios is
printed, and where the graph prepares its input, below the table, that of the networks alone. With `--triton` the
milliseconds that the local Triton takes for the same, by gRPC, with all models loaded, and the memory of all of its
processes. Weights are random: they make no difference to the time.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from export.build import publish_checkpoint
from export.checkpoint import Checkpoint
from export.networks.blocks import graph_of
from export.networks.network import Network
from export.networks.registry import NETWORKS
from export.onnx import onnx_bytes, served_graph
from export.random_inputs import random_inputs
from export.repository import read_published
from server.predict.triton import TritonPredictor
from server.predict.tritonserver import TritonServer
from server.recipes.registry import RECIPES
from server.types import Float32Array

BATCHES = (1, 32)
ROUNDS = 25
SECONDS = 4.0
"""Rounds end after this long."""


@dataclass(frozen=True)
class Row:
    """Figures of one network; `milliseconds` per event and `ratio` naive : served by batch, `alone` without what graphs
    do to the input first.
    """

    name: str
    parameters: int
    megabytes: float
    milliseconds: Mapping[int, float]
    ratio: Mapping[int, float | None]
    alone: Mapping[int, float]


def random_checkpoint(network: Network) -> Checkpoint:
    """The network as it is built, with batch statistics of a fresh one."""
    torch.manual_seed(0)
    state = network.build(**network.trained.arguments()).state_dict()
    return Checkpoint(network.name, "trained", network.trained, state, {"data": "none"}, sha256="0" * 64)


def measure(network: Network, repository: Path) -> Row:
    """Publish the network into `repository` and time it there and as it is written."""
    checkpoint = random_checkpoint(network)
    publish_checkpoint(checkpoint, repository, name=network.name, command="python -m bench.models", overwrite=True)
    published = read_published(repository, network.name)
    model = checkpoint.build()
    served = published.model_file.read_bytes()
    rewritten = hasattr(model, "for_serving")
    naive = onnx_bytes(graph_of(model, network.trained.preparation), network.inputs) if rewritten else served
    sessions = [session_of(served), session_of(naive)] if rewritten else [session_of(served)]
    milliseconds, ratio = {}, {}
    for batch in BATCHES:
        inputs = random_inputs(published.contract, batch, 0)
        times = in_turns([partial(session.run, None, inputs) for session in sessions])
        milliseconds[batch] = float(np.median(times[0])) / batch * 1e3
        ratio[batch] = _ratio(times) if rewritten else None
    return Row(
        name=network.name,
        parameters=sum(value.numel() for value in model.parameters()),
        megabytes=len(onnx_bytes(served_graph(checkpoint), network.inputs)) / 1e6,
        milliseconds=milliseconds,
        ratio=ratio,
        alone=_alone(network, model) if rewritten and network.trained.preparation != "as_is" else {},
    )


def _alone(network: Network, model: Any) -> dict[int, float]:
    graphs = [graph_of(each, "as_is") for each in (model.for_serving(), model)]
    sessions = [session_of(onnx_bytes(graph, network.inputs)) for graph in graphs]
    random = np.random.default_rng(0)
    shapes = {spec.name: spec.dims for spec in network.inputs}
    found = {}
    for batch in BATCHES:
        inputs = {name: random.random((batch, *dims), dtype=np.float32) for name, dims in shapes.items()}
        found[batch] = _ratio(in_turns([partial(session.run, None, inputs) for session in sessions]))
    return found


def _ratio(times: list[list[float]]) -> float:
    served, naive = times
    return float(np.median(np.divide(naive, served)))


def session_of(data: bytes) -> onnxruntime.InferenceSession:
    """A graph in ONNX Runtime on one thread of the processor."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def in_turns(runs: list[Callable[[], object]]) -> list[list[float]]:
    """Seconds of each of `runs`, one after the other in every round."""
    for run in runs:
        run()
    times: list[list[float]] = [[] for _ in runs]
    began = time.monotonic()
    for _ in range(ROUNDS):
        for own, run in zip(times, runs, strict=True):
            started = time.perf_counter()
            run()
            own.append(time.perf_counter() - started)
        if time.monotonic() - began > SECONDS:
            break
    return times


async def ask_triton(address: str, repository: Path, names: list[str]) -> dict[str, dict[int, float]]:
    """Milliseconds per event of each model at the Triton on `address`, by batch."""
    predictor = TritonPredictor(address, recipes=RECIPES)
    found: dict[str, dict[int, float]] = {}
    try:
        for name in names:
            contract = read_published(repository, name).contract
            found[name] = {}
            for batch in BATCHES:
                inputs = random_inputs(contract, batch, 0)
                await _infer(predictor, name, inputs)
                times = [await _infer(predictor, name, inputs) for _ in range(ROUNDS // 2)]
                found[name][batch] = float(np.median(times)) / batch * 1e3
    finally:
        await predictor.close()
    return found


async def _infer(predictor: TritonPredictor, name: str, inputs: Mapping[str, Float32Array]) -> float:
    started = time.perf_counter()
    await predictor.predict(name, inputs, deadline=time.monotonic() + 60)
    return time.perf_counter() - started


def memory_gib(pid: int) -> float:
    """Proportional set size of a process and of all below it: memory that is shared counts once."""
    total, waiting = 0, [pid]
    while waiting:
        process = waiting.pop()
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
            children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8")
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        waiting += [int(child) for child in children.split()]
    return total / 2**20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triton", action="store_true", help="time the local Triton as well")
    parser.add_argument("names", nargs="*", help="networks; all unless given")
    options = parser.parse_args()
    names = options.names or sorted(NETWORKS)
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder)
        print("| model | parameters | graph MB | ms, batch 1 | ms an event, batch 32 | naive : served, 1 | 32 |")
        print("|---" * 7 + "|")
        rows = []
        for name in names:
            row = measure(NETWORKS[name], repository)
            times = " | ".join(f"{row.milliseconds[batch]:.3f}" for batch in BATCHES)
            ratios = " | ".join("" if (r := row.ratio[batch]) is None else f"{r:.2f}" for batch in BATCHES)
            print(f"| {name} | {row.parameters:,} | {row.megabytes:.2f} | {times} | {ratios} |", flush=True)
            rows.append(row)
        for row in rows:
            if row.alone:
                ratios = ", ".join(f"{ratio:.2f} at {batch}" for batch, ratio in row.alone.items())
                print(f"\n{row.name} without the preparation of its input, naive : served: {ratios}")
        if options.triton:
            with TritonServer(repository, startup_timeout_s=600, report=lambda text: None) as server:
                found = asyncio.run(ask_triton(server.grpc_address, repository, names))
                held = memory_gib(server.pid)
            print("\n| model | Triton ms, batch 1 | an event, batch 32 |\n|---|---|---|")
            for name, by_batch in found.items():
                print(f"| {name} | " + " | ".join(f"{by_batch[batch]:.3f}" for batch in BATCHES) + " |")
            print(f"\nTriton holds {held:.2f} GiB with {len(names)} models loaded")


if __name__ == "__main__":
    main()
