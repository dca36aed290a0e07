"""Asks a model for its outputs through torch, through ONNX Runtime in this process, or through a real Triton."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from export.checkpoint import Checkpoint, load_checkpoint
from export.evaluation import Score
from export.networks.outputs import answers_of
from export.networks.registry import find_network
from export.onnx import served_graph
from export.repository import read_published
from server.predict.base import Predictor
from server.predict.local import LocalPredictor
from server.predict.repository import ModelRepository
from server.predict.triton import TritonPredictor
from server.predict.tritonserver import TritonServer
from server.recipes.registry import RECIPES
from server.types import Float32Array

Backend: TypeAlias = Literal["torch", "local", "triton"]
ANSWER_TIMEOUT_S = 60.0
STARTUP_TIMEOUT_S = 300.0
"""A Triton that serves one model per subject starts a process for each."""


class VersionScore(Protocol):
    """Outputs float32 [N, ...] by name of a model for inputs float32 [N, ...] by name."""

    def __call__(
        self, model: str, inputs: Mapping[str, Float32Array], version: str | None = None
    ) -> Mapping[str, Float32Array]:
        """By `version`, and without one by that which answers requests."""
        ...


@contextmanager
def open_backend(
    backend: Backend, repository: Path, *, triton_address: str | None = None, report: Callable[[str], None]
) -> Iterator[VersionScore]:
    """A function that scores samples with the models of `repository`.

    `triton` asks the server at `triton_address`, or starts the local one on `repository`, saying so to `report`.
    Raises what the predictors raise.
    """
    if backend == "torch":
        yield _torch_score(repository)
    elif backend == "local":
        yield from _ask(lambda: LocalPredictor(ModelRepository(repository, RECIPES), threads=1))
    elif triton_address:
        yield from _ask(lambda: TritonPredictor(triton_address, recipes=RECIPES))
    else:
        with TritonServer(repository, startup_timeout_s=STARTUP_TIMEOUT_S, report=report) as server:
            yield from _ask(lambda: TritonPredictor(server.grpc_address, recipes=RECIPES))


def torch_score(checkpoints: Mapping[str, Checkpoint]) -> Score:
    """Answers of the graphs of `checkpoints` in torch, by name."""
    graphs = {name: served_graph(checkpoint) for name, checkpoint in checkpoints.items()}

    def score(model: str, inputs: Mapping[str, Float32Array]) -> Mapping[str, Float32Array]:
        order = find_network(checkpoints[model].network).inputs
        return answers_of(graphs[model], *[inputs[spec.name] for spec in order])

    return score


def published_checkpoint(repository: Path, name: str, version: str | None = None) -> Checkpoint:
    """The checkpoint beside the graph of `name` that answers, or of its `version`.

    Raises as `read_published` and `load_checkpoint` do, `InputError` where the checkpoint is not shipped, and
    `OptionError` for an ensemble, which has none.
    """
    published = read_published(repository, name, version)
    return load_checkpoint(published.shipped_weights(), published.contract.provenance.network)


def _torch_score(repository: Path) -> VersionScore:
    graphs: dict[tuple[str, str | None], Score] = {}

    def score(model: str, inputs: Mapping[str, Float32Array], version: str | None = None) -> Mapping[str, Float32Array]:
        if (model, version) not in graphs:
            graphs[model, version] = torch_score({model: published_checkpoint(repository, model, version)})
        return graphs[model, version](model, inputs)

    return score


def _ask(connect: Callable[[], Predictor]) -> Iterator[VersionScore]:
    """Drives an asynchronous predictor from ordinary code, in one event loop, which its channel is bound to."""
    with asyncio.Runner() as runner:

        async def build() -> Predictor:
            return connect()

        predictor = runner.run(build())

        def score(
            model: str, inputs: Mapping[str, Float32Array], version: str | None = None
        ) -> Mapping[str, Float32Array]:
            deadline = time.monotonic() + ANSWER_TIMEOUT_S
            return runner.run(predictor.predict(model, inputs, version=version, deadline=deadline))

        try:
            yield score
        finally:
            runner.run(predictor.close())
