"""Inference in this process with ONNX Runtime."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from server.contract import ModelContract
from server.errors import BackendFailed, BackendUnavailable, ConfigurationError, ModelNotServable
from server.predict.catalogue import Catalogue
from server.predict.deadline import out_of_time, remaining_s
from server.predict.engine import NEEDS_TRITON
from server.predict.members import with_members_checked
from server.predict.repository import ModelRepository
from server.predict.steps import Chain, Step
from server.predict.tensors import batches, check_inputs, check_outputs, joined, zeros
from server.types import Float32Array, ModelInfo

_PROBE_TIMEOUT_S = 30.0
_ERRORS_ONLY = 3
_FATAL_ONLY = 4


class LocalPredictor:
    """Runs the models of `repository` on `threads` threads, one core for each.

    A session is loaded once, on first use or by `load`, and warmed with the contract's shapes before it answers.
    TensorRT plans are listed as not servable.
    `providers` are ONNX Runtime execution providers in order of preference. Raises `ConfigurationError` where
    ONNX Runtime is not installed or lacks a provider.
    """

    backend = "local"

    def __init__(
        self, repository: ModelRepository, *, threads: int = 1, providers: Sequence[str] = ("CPUExecutionProvider",)
    ) -> None:
        self._ort = _onnxruntime(providers)
        self._providers = list(providers)
        self._repository = repository
        self._entries = {
            name: entry.withdrawn(NEEDS_TRITON) if entry.contract and entry.contract.engine else entry
            for name, entry in repository.catalogue.entries.items()
        }
        self._sessions: dict[tuple[str, str], Any] = {}
        # An ensemble loads its members while it is loaded itself.
        self._loading = threading.RLock()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="inference")
        self._closed = False

    async def load(self) -> None:
        """Load and warm every servable version now, so that no request waits for it.

        A model that does not load is listed as not servable from then on.
        """
        for info in await self.models():
            for version in info.versions if info.servable else ():
                await asyncio.get_running_loop().run_in_executor(self._executor, self._try_load, info.name, version)

    async def models(self) -> Sequence[ModelInfo]:
        """Every model of the repository, servable or not, sorted by name."""
        return self._catalogue().models()

    async def model(self, name: str, version: str | None = None) -> ModelInfo:
        """One model, with its versions oldest first. Raises `UnknownModel`."""
        entry = self._catalogue().entry(name)
        if version is not None:
            entry.chosen(version)
        return entry.info

    async def predict(
        self, model: str, inputs: Mapping[str, Float32Array], *, version: str | None = None, deadline: float
    ) -> Mapping[str, Float32Array]:
        """Run a batch: inputs and outputs float32 [N, ...], split where N passes the model's `max_batch_size`.

        Work that nobody waits for any more, after the deadline or a cancellation, is stopped. Raises `UnknownModel`,
        `ModelNotServable`, `BackendFailed`, `BackendUnavailable` after `close`, `DeadlineExceeded`.
        """
        entry = self._catalogue().entry(model)
        contract, version = entry.servable(version)
        size = check_inputs(contract, inputs)
        parts = []
        for part in batches(inputs, size, entry.max_batch_size):
            outputs = await self._run(contract, version, part, deadline)
            parts.append(check_outputs(contract, outputs, next(iter(part.values())).shape[0]))
        return joined(parts)

    async def probe(self, model: str) -> str:
        """Infer once on zeros. Raises what `predict` raises where the model would not answer."""
        contract, _ = self._catalogue().entry(model).servable(None)
        await self.predict(model, zeros(contract), deadline=time.monotonic() + _PROBE_TIMEOUT_S)
        return ""

    async def close(self) -> None:
        """Release the sessions once what is running has ended."""
        self._closed = True
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)
        self._sessions.clear()

    def _catalogue(self) -> Catalogue:
        """What can be asked now: a model that did not load takes the ensembles with it that it is a member of."""
        return Catalogue(with_members_checked(self._entries))

    async def _run(
        self, contract: ModelContract, version: str, feed: Mapping[str, Float32Array], deadline: float
    ) -> Mapping[str, Any]:
        left_s = remaining_s(contract.name, deadline)
        if self._closed:
            raise BackendUnavailable("the predictor is closed", stage="inference")
        options = self._ort.RunOptions()
        options.log_severity_level = _FATAL_ONLY  # what fails is raised, and a stopped run is no news
        job = asyncio.get_running_loop().run_in_executor(self._executor, self._infer, contract, version, feed, options)
        try:
            async with asyncio.timeout(left_s):
                return await job
        except TimeoutError:
            raise out_of_time(contract.name) from None
        finally:
            options.terminate = True

    def _infer(
        self, contract: ModelContract, version: str, feed: Mapping[str, Float32Array], options: Any
    ) -> Mapping[str, Any]:
        session = self._session(contract.name, version)
        names = [spec.name for spec in contract.outputs]
        try:
            return dict(zip(names, session.run(names, dict(feed), options), strict=True))
        except Exception as error:  # ONNX Runtime's errors share no other base class
            raise BackendFailed(f"model {contract.name!r} failed: {error}", stage="inference") from error

    def _session(self, name: str, version: str) -> Any:
        with self._loading:
            session = self._sessions.get((name, version))
            if session is None:
                session = self._sessions[name, version] = self._loaded(name, version)
            return session

    def _try_load(self, name: str, version: str) -> None:
        with contextlib.suppress(ModelNotServable):  # the catalogue has the reason by then
            self._session(name, version)

    def _loaded(self, name: str, version: str) -> Any:
        entry = self._entries[name]
        contract = entry.contract
        assert contract is not None
        try:
            session = self._chain(entry.steps) if entry.steps else self._open(name, version)
            names = [spec.name for spec in contract.outputs]
            warm = dict(zip(names, session.run(names, zeros(contract)), strict=True))
            check_outputs(contract, warm, 1)
        except Exception as error:
            self._entries[name] = self._entries[name].without(version, f"version {version} does not run: {error}")
            raise ModelNotServable(f"model {name!r} cannot be loaded: {error}", stage="inference") from error
        return session

    def _open(self, name: str, version: str) -> Any:
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        path = self._repository.model_file(name, version)
        return self._ort.InferenceSession(str(path), options, providers=self._providers)

    def _chain(self, steps: Sequence[Step]) -> Chain:
        return Chain(steps, [self._session(step.model, step.version) for step in steps])


def _onnxruntime(providers: Sequence[str]) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigurationError(
            "inference in this process needs ONNX Runtime: install the extra 'runtime' (processor) or 'gpu'"
        ) from error
    offered = onnxruntime.get_available_providers()
    missing = [provider for provider in providers if provider not in offered]
    if missing:
        raise ConfigurationError(
            f"this ONNX Runtime has no {', '.join(missing)}: it offers {', '.join(offered)}"
            " (CUDA and TensorRT come with the extra 'gpu' in place of 'runtime')"
        )
    return onnxruntime
