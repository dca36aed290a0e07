"""A second model on the same traffic: it is asked about what another has answered, and only metrics hear of it.

It is asked after the answer is there, one clip at a time, from a queue that drops what does not fit. It has a predictor
of its own, so that neither its load nor its failures reach the one that answers.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from server.contract import ModelContract
from server.errors import GlimpseError, ModelNotServable
from server.pipeline.base import Observer, ShadowOutcome
from server.pipeline.jobs import Movement, ShadowJob
from server.predict.base import Predictor
from server.recipes.registry import RECIPES
from server.report.build import predictions
from server.types import Float32Array, ModelInfo, Prediction

KNOWN_FOR_S = 30.0
"""How long what is known of the shadow model holds; then it is looked at again, in the background."""
_PAUSE_S = 1.0
"""How long after a failure it is left alone before it is looked at again."""
_SHARE_OF_REQUEST = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShadowPolicy:
    """Which model is asked, about what share of the requests (0..1), within how many seconds after the answer.

    `queue` clips may wait. `extraction_s` bounds the time that a worker spends on inputs which only the shadow needs; a
    request that leaves it less than ten times as long to answer is not shadowed. Unless `whole_movement`, a shadow is
    dropped that wants other pictures than the answer is made from, or another flow: the answer would wait for those.
    """

    model: str
    share: float
    deadline_s: float
    queue: int
    extraction_s: float
    whole_movement: bool = False


@dataclass(frozen=True, slots=True)
class Shadowed:
    """A request that the shadow sees. `job` is what the worker must make, None where the answer's inputs serve it too,
    or where `problem` says what becomes of the events instead.
    """

    answering: ModelContract
    shadow: ModelContract | None = None
    version: str = ""
    job: ShadowJob | None = None
    problem: ShadowOutcome | None = None


@dataclass(frozen=True, slots=True)
class _Question:
    """The events of one clip: the tensors of each by name, and what was answered about it."""

    request: Shadowed
    inputs: Sequence[Mapping[str, Float32Array]]
    answers: Sequence[Prediction]
    movements: Sequence[Movement]
    deadline: float


class Shadow:
    """`chance` gives numbers from 0 to 1, below `policy.share` for the requests that are shadowed."""

    def __init__(
        self,
        *,
        predictor: Predictor,
        policy: ShadowPolicy,
        observer: Observer,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._predictor = predictor
        self._policy = policy
        self._observer = observer
        self._chance = chance
        self._queue: asyncio.Queue[_Question] = asyncio.Queue(policy.queue)
        self._info: ModelInfo | None = None
        self._known_at = float("-inf")
        self._said = False
        self._said_dropped = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look whether the model is there, and begin to ask it. A model that is not there is no error."""
        await self._look()
        self._keep(self._ask_all())

    async def close(self) -> None:
        """Drop what waits, and stop what runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._queue.empty():
            question = self._queue.get_nowait()
            self._count(question.request, "dropped", len(question.answers))

    def look_again(self) -> None:
        """Look in the background whether the model is there, where the last look is long ago."""
        if time.monotonic() - self._known_at >= KNOWN_FOR_S and (self._looking is None or self._looking.done()):
            self._looking = self._keep(self._look())

    def sees(self, answering: ModelContract, deadline: float, *, pair: bool = False) -> Shadowed | None:
        """What the shadow needs of a request that `answering` answers until `deadline`; None where it does not see it.

        Never waits. Of a `pair` of pictures a model that looks at the whole movement has nothing to see.
        """
        if answering.name == self._policy.model or self._chance() >= self._policy.share:
            return None
        self.look_again()
        if self._info is None:
            return Shadowed(answering, problem="failed")
        shadow = ModelContract.model_validate(self._info.contract)
        if pair and RECIPES[shadow.recipe].frames:
            return None
        known = (answering, shadow, self._info.versions[-1])
        if set(shadow.labels) != set(answering.labels):
            return Shadowed(*known, problem="failed")
        if (shadow.recipe, shadow.flow) == (answering.recipe, answering.flow):
            return Shadowed(*known)
        if not self._policy.whole_movement and self._delays(answering, shadow):
            return Shadowed(*known, problem="dropped")
        if (deadline - time.monotonic()) * _SHARE_OF_REQUEST < self._policy.extraction_s:
            return Shadowed(*known, problem="dropped")
        return Shadowed(*known, job=ShadowJob(shadow.recipe, shadow.flow, self._policy.extraction_s))

    def _delays(self, answering: ModelContract, shadow: ModelContract) -> bool:
        """Whether the answer would wait for more than a moment; said once, since nothing of it is in an answer."""
        more = RECIPES[shadow.recipe].needs_more_than(RECIPES[answering.recipe])
        if not more and shadow.flow == answering.flow:
            return False
        if not self._said_dropped:
            what = f"the recipe {shadow.recipe!r}" if more else f"the flow {shadow.flow!r}"
            reason = f"{what} is not made from what the answer needs; GLIMPSE_SHADOW__WHOLE_MOVEMENT=true allows it"
            _log.warning("the shadow model is left out", extra={"model": self._policy.model, "reason": reason})
        self._said_dropped = True
        return True

    def ask(self, request: Shadowed, answers: Sequence[Prediction], movements: Sequence[Movement]) -> None:
        """Have the shadow answer about `movements` too, which got `answers`. Never waits, never fails."""
        if request.problem is not None:
            self._count(request, request.problem, len(answers))
            return
        pairs = []
        for answer, movement in zip(answers, movements, strict=True):
            inputs = movement.inputs if request.job is None else movement.shadow
            if inputs is None or isinstance(inputs, str):
                self._count(request, inputs or "failed", 1)
            else:
                pairs.append((answer, movement, inputs))
        if not pairs:
            return
        question = _Question(
            request=request,
            inputs=[inputs for _, _, inputs in pairs],
            answers=[answer for answer, _, _ in pairs],
            movements=[movement for _, movement, _ in pairs],
            deadline=time.monotonic() + self._policy.deadline_s,
        )
        try:
            self._queue.put_nowait(question)
        except asyncio.QueueFull:
            self._count(request, "dropped", len(pairs))

    async def _ask_all(self) -> None:
        while True:
            question = await self._queue.get()
            outcome: ShadowOutcome = "dropped"
            try:
                if time.monotonic() < question.deadline:
                    outcome = "failed"
                    self._compare(question, await self._answers(question))
                    continue
            except GlimpseError:
                self._known_at = time.monotonic() - KNOWN_FOR_S + _PAUSE_S
            except asyncio.CancelledError:
                self._count(question.request, "dropped", len(question.answers))
                raise
            except Exception as error:  # noqa: BLE001 - a defect here must not end the comparison of all later clips
                _log.error("an answer of the shadow model cannot be compared: %s", type(error).__name__)
            self._count(question.request, outcome, len(question.answers))

    async def _answers(self, question: _Question) -> list[Prediction]:
        request = question.request
        assert request.shadow is not None
        names = [spec.name for spec in request.shadow.inputs]
        batch = {name: np.stack([inputs[name] for inputs in question.inputs]) for name in names}
        started = time.monotonic()
        outputs = await self._predictor.predict(
            request.shadow.name, batch, version=request.version, deadline=question.deadline
        )
        seconds = time.monotonic() - started
        self._observer.observe_inference(request.shadow.name, self._predictor.backend, seconds)
        return predictions(outputs, request.shadow, [movement.contraction for movement in question.movements])

    def _compare(self, question: _Question, seconds: Sequence[Prediction]) -> None:
        request = question.request
        for first, second, movement in zip(question.answers, seconds, question.movements, strict=True):
            distance = sum(abs(share - second.probabilities[label]) for label, share in first.probabilities.items()) / 2
            self._observer.observe_shadow_distance(request.answering.name, self._policy.model, distance)
            withheld = first.abstained or second.abstained or movement.still
            agreed: ShadowOutcome = "agree" if first.label == second.label else "disagree"
            self._count(request, "abstained" if withheld else agreed, 1)

    def _count(self, request: Shadowed, outcome: ShadowOutcome, events: int) -> None:
        if events:
            self._observer.count_shadow_events(request.answering.name, self._policy.model, outcome, events)

    async def _look(self) -> None:
        """Ask for the model's contract, and the model for an answer on zeros."""
        name = self._policy.model
        try:
            info = await self._predictor.model(name)
            if not info.servable:
                raise ModelNotServable(info.reason)
            await self._predictor.probe(name)
        except GlimpseError as error:
            self._info = None
            if not self._said:
                _log.warning("the shadow model cannot be asked", extra={"model": name, "reason": error.message})
            self._said = True
        else:
            self._info = info
            if self._said:
                _log.info("the shadow model can be asked again", extra={"model": name})
            self._said = False
        self._known_at = time.monotonic()
        self._observer.set_shadow_up(name, self._info is not None)

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
