"""In the gateway: the same model asked again, with parts of each movement hidden, for answers that are explained."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from server.contract import PROBABILITIES
from server.errors import DeadlineExceeded, GlimpseError
from server.explanation.account import account
from server.pipeline.base import OnProgress
from server.pipeline.jobs import ExplainJob, Finding
from server.pipeline.served import Served, inference_span
from server.predict.base import Predictor
from server.types import AnalyzeOptions, Prediction, Progress, ReportWarning
from server.visuals import Explanation

STAGE = "explanation"
_MAKING_SHARE, _ASKING_SHARE = 0.7, 0.95
"""Of what is left of a request's time: by then inputs must be made, and answers there. The answer itself comes first."""

_UNAVAILABLE = ReportWarning("explain-unavailable", "this model gives no explanations; the option had no effect")


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation for each event, None where there is none, and what the reader must know of that."""

    explanations: Sequence[Explanation | None]
    seconds: float = 0.0
    warnings: tuple[ReportWarning, ...] = ()


class Explainer:
    """Asks `predictor`. Of models that live elsewhere than its backend, every question of which may cost money, nothing
    is asked.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def job(self, options: AnalyzeOptions, served: Served, deadline: float) -> ExplainJob | None:
        """What a worker is to make for it, if anything."""
        if not options.explain or not self._can(served):
            return None
        now = time.monotonic()
        return ExplainJob(until=now + _MAKING_SHARE * (deadline - now))

    async def explain(
        self,
        options: AnalyzeOptions,
        served: Served,
        findings: Sequence[Finding],
        answers: Sequence[Prediction],
        deadline: float,
        on_progress: OnProgress | None = None,
    ) -> Explained:
        """What drove each of `answers`, which `served` gave to `findings`.

        Never raises a `GlimpseError`: an answer is not lost because it cannot be explained.
        """
        none = (None,) * len(findings)
        if not options.explain:
            return Explained(none)
        if not self._can(served):
            return Explained(none, warnings=(_UNAVAILABLE,))
        started = time.monotonic()
        until = started + _ASKING_SHARE * (deadline - started)
        told: list[Explanation | None] = []
        reason = "there was no time or no room for more"
        for number, (finding, answer) in enumerate(zip(findings, answers, strict=True)):
            if on_progress is not None:
                on_progress(Progress(STAGE, number, len(findings)))
            try:
                told.append(await self._explanation(served, finding, answer, until))
            except GlimpseError as error:
                if not isinstance(error, DeadlineExceeded):
                    reason = f"the model failed while it was asked again ({error.code})"
                told += none[number:]
                break
        return Explained(told, time.monotonic() - started, _incomplete(told, reason))

    async def _explanation(
        self, served: Served, finding: Finding, answer: Prediction, until: float
    ) -> Explanation | None:
        occlusion = finding.occlusion
        if occlusion is None:
            return None
        inputs = dict(occlusion.inputs)
        with inference_span(served, len(next(iter(inputs.values())))):
            outputs = await self._predictor.predict(
                served.contract.name, inputs, version=served.version, deadline=until
            )
        column = served.contract.labels.index(answer.label)
        answers = np.asarray(outputs[PROBABILITIES][:, column])
        return account(occlusion, answers, answer.label, answer.probabilities[answer.label])

    def _can(self, served: Served) -> bool:
        return served.info.backend == self._predictor.backend


def _incomplete(told: Sequence[Explanation | None], reason: str) -> tuple[ReportWarning, ...]:
    missing = sum(each is None for each in told)
    if not missing:
        return ()
    return (ReportWarning("explain-incomplete", f"{missing} of {len(told)} events are not explained: {reason}"),)
