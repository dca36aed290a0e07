"""Whether the backend answers: real inferences in the background, so that who asks never waits for one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from server.errors import GlimpseError
from server.pipeline.base import Observer, Readiness
from server.predict.base import Predictor

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds between two probes while all is well, and while something is not; what one may take, for all models
    together; and the age at which the last answer vouches for nothing any more.
    """

    calm_s: float = 3.0
    worried_s: float = 0.5
    timeout_s: float = 5.0
    stale_s: float = 15.0


class Prober:
    """Asks each of `models` for an inference: again and again while `running`, else when somebody wants to know.

    `clock` gives seconds that never go back.
    """

    def __init__(
        self,
        predictor: Predictor,
        models: Sequence[str],
        observer: Observer,
        *,
        rhythm: Rhythm | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._predictor = predictor
        self._models = tuple(dict.fromkeys(models))
        self._observer = observer
        self._rhythm = rhythm or Rhythm()
        self._clock = clock
        self._wanted = asyncio.Event()
        self._probing = asyncio.Lock()
        self._runs = False
        self._failures: tuple[str, ...] = ()
        self._remarks: tuple[str, ...] = ()
        self._rounds = 0
        self._probed_at = float("-inf")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Probe until the block is left."""
        self._runs = True
        task = asyncio.get_running_loop().create_task(self._probe_for_ever())
        try:
            yield
        finally:
            self._runs = False
            task.cancel()
            await asyncio.wait({task})

    async def readiness(self) -> Readiness:
        """What the last probe found, at once; the first one is waited for, and each that nobody makes by itself."""
        if not self._rounds or (not self._runs and self._age_s() > self._rhythm.calm_s):
            await self.probe()
        age_s = self._age_s()
        if not self._failures and age_s > self._rhythm.stale_s:
            return Readiness(ready=False, reasons=(f"no probe of the backend has ended for {age_s:.0f} s",))
        return Readiness(ready=not self._failures, reasons=self._failures or self._remarks)

    def suspect(self, model: str) -> None:
        """A caller has just seen `model` fail: where it is one of ours, not ready until a probe finds otherwise."""
        if model in self._models:
            self._failures = self._failures or (f"model {model!r}: it has just failed a request",)
            self._observer.set_backend_up(False)
            self._probed_at = float("-inf")
            self.look_again()

    def look_again(self) -> None:
        """Probe soon, whatever was found last."""
        self._wanted.set()

    async def probe(self) -> None:
        """One round, now; who comes while one is under way waits for that."""
        rounds = self._rounds
        async with self._probing:
            if self._rounds != rounds:
                return
            self._wanted.clear()
            found = await asyncio.gather(*(self._ask(model) for model in self._models))
            self._failures = tuple(failure for failure, _ in found if failure)
            self._remarks = tuple(remark for _, remark in found if remark)
            self._rounds, self._probed_at = self._rounds + 1, self._clock()
            self._observer.set_backend_up(not (self._failures or self._remarks))

    def _age_s(self) -> float:
        return self._clock() - self._probed_at

    async def _ask(self, model: str) -> tuple[str, str]:
        try:
            async with asyncio.timeout(self._rhythm.timeout_s):
                remark = await self._predictor.probe(model)
        except GlimpseError as error:
            return f"model {model!r}: {error.message}", ""
        except TimeoutError:
            return f"model {model!r}: no answer within {self._rhythm.timeout_s:g} s", ""
        except Exception as error:  # noqa: BLE001 - a defect here must not end the probes
            _log.error("a probe failed", exc_info=error)
            return f"model {model!r}: the probe failed", ""
        return "", f"model {model!r}: {remark}" if remark else ""

    async def _probe_for_ever(self) -> None:
        rhythm = self._rhythm
        while True:
            await self.probe()
            # Without this pause a backend that fails under load would be probed as often as it fails.
            await asyncio.sleep(rhythm.worried_s)
            if not (self._failures or self._remarks):
                with suppress(TimeoutError):
                    async with asyncio.timeout(rhythm.calm_s - rhythm.worried_s):
                        await self._wanted.wait()
