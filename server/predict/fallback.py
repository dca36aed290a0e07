"""The local copy of a model in place of the backend that does not answer.

Only where both are known to be the same: the contract that the backend told, checkpoint hash included, must be that of
the local repository, and the version must be there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

from server.errors import BackendError, BackendFailed, BackendUnavailable, DeadlineExceeded, GlimpseError
from server.predict.base import UNWATCHED, BackendWatch, Predictor, StandIn
from server.spans import current
from server.types import Float32Array, ModelInfo, ReportWarning

CODE = "fallback"
_BACKEND_SHARE = 0.5

_log = logging.getLogger(__name__)


class FallbackPredictor:
    """The models of `main`; where it cannot be reached, fails or is late, `local` answers with the same model.

    `main` gets half of the time that a request has left, and at most `patience_s` seconds. At most `concurrency`
    requests are with `local` at a time; one more gets what `main` said. Errors of a request are never answered
    elsewhere. `watch` counts each answer of `local`, with `unavailable`, `failed` or `deadline` as the reason.
    """

    def __init__(
        self,
        main: Predictor,
        local: Predictor,
        *,
        patience_s: float,
        concurrency: int,
        watch: BackendWatch = UNWATCHED,
    ) -> None:
        self.backend = main.backend
        self._main = main
        self._local = local
        self._patience_s = patience_s
        self._concurrency = concurrency
        self._watch = watch
        self._running = 0
        self._seen: dict[str, ModelInfo] = {}

    async def models(self) -> Sequence[ModelInfo]:
        """Those of `main`; while it does not answer, those of them that `local` can stand in for.

        Raises `BackendUnavailable` where there are none.
        """
        try:
            listed = await self._main.models()
        except BackendUnavailable:
            left = [info for name, info in sorted(self._seen.items()) if await self._same(name, info.versions[-1])]
            if not left:
                raise
            return left
        for info in listed:
            self._remember(info)
        return listed

    async def model(self, name: str, version: str | None = None) -> ModelInfo:
        """As `main` describes it, or last did where `local` can stand in. Raises what `main` raises."""
        try:
            async with asyncio.timeout(self._patience_s):
                info = await self._main.model(name, version)
        except (BackendError, TimeoutError) as error:
            seen = self._seen.get(name)
            if seen is not None and await self._same(name, version or seen.versions[-1]):
                return seen
            if isinstance(error, TimeoutError):
                message = f"the inference server did not describe model {name!r} in time"
                raise BackendUnavailable(message, stage="inference") from None
            raise
        self._remember(info)
        return info

    async def predict(
        self, model: str, inputs: Mapping[str, Float32Array], *, version: str | None = None, deadline: float
    ) -> Mapping[str, Float32Array]:
        """Run a batch, inputs and outputs float32 [N, ...]; a `StandIn` where `local` answered.

        Raises what `main` raises where nothing stands in, or `local` fails as well.
        """
        now = time.monotonic()
        patience = min(deadline, now + min(self._patience_s, _BACKEND_SHARE * (deadline - now)))
        try:
            return await self._main.predict(model, inputs, version=version, deadline=patience)
        except (BackendError, DeadlineExceeded) as error:
            outputs = await self._stand_in(model, inputs, version, deadline)
            if outputs is None:
                raise
            reason = _reason(error)
            self._watch.count_fallback(model, reason)
            current().event("fallback", {"glimpse.fallback.reason": reason})
            return StandIn(outputs, self._local.backend, _warning(model, error))

    async def probe(self, model: str) -> str:
        """Whether a request would be answered, with the reason where it would be by `local`.

        Raises what the probe of `main` raises where nothing stands in.
        """
        try:
            said = await self._main.probe(model)
        except (BackendError, DeadlineExceeded) as error:
            seen = self._seen.get(model)
            if seen is None or not await self._same(model, seen.versions[-1]):
                raise
            try:
                await self._local.probe(model)
            except GlimpseError:
                raise error from None
            return f"the local copy answers in place of {self.backend}: {error.message}"
        if model not in self._seen:
            self._remember(await self._main.model(model))
        return said

    async def close(self) -> None:
        """Release what both hold."""
        await asyncio.gather(self._main.close(), self._local.close())

    def _remember(self, info: ModelInfo) -> None:
        if info.servable:
            self._seen[info.name] = info
        else:
            self._seen.pop(info.name, None)

    async def _same(self, name: str, version: str) -> bool:
        """Whether `local` has just what `main` served."""
        seen = self._seen.get(name)
        try:
            info = await self._local.model(name, version)
        except GlimpseError:
            return False
        return bool(info.servable and seen is not None and info.contract == seen.contract)

    async def _stand_in(
        self, model: str, inputs: Mapping[str, Float32Array], version: str | None, deadline: float
    ) -> Mapping[str, Float32Array] | None:
        seen = self._seen.get(model)
        if seen is None or self._running >= self._concurrency:
            return None
        version = version or seen.versions[-1]
        self._running += 1
        try:
            if not await self._same(model, version):
                return None
            return await self._local.predict(model, inputs, version=version, deadline=deadline)
        except DeadlineExceeded:
            raise
        except GlimpseError as error:
            _log.warning("the local copy of model %s cannot stand in: %s", model, error.message)
            return None
        finally:
            self._running -= 1


def _reason(error: GlimpseError) -> str:
    if isinstance(error, DeadlineExceeded):
        return "deadline"
    return "failed" if isinstance(error, BackendFailed) else "unavailable"


def _warning(model: str, error: GlimpseError) -> ReportWarning:
    return ReportWarning(CODE, f"the local copy of model {model!r} answered, since {error.message}")
