"""In the gateway: the same model asked again, with parts of each movement hidden, where answers are to be explained."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from server.contract import ATTENTION, PROBABILITIES
from server.errors import DeadlineExceeded, GlimpseError
from server.explanation.account import account, attention_field
from server.explanation.parts import Occlusion
from server.pipeline.base import OnProgress
from server.pipeline.jobs import ClipFindings, ClipJob, ExplainJob
from server.pipeline.served import Served, inference_span
from server.predict.base import Predictor
from server.recipes.registry import RECIPES
from server.types import AnalyzeOptions, Prediction, Progress, ReportWarning
from server.visuals import Explanation

STAGE = "explanation"
_MAKING_SHARE, _ASKING_SHARE = 0.7, 0.95
"""Of what is left of the time of a request: by then inputs must be made, and answers there. The report comes first."""
_NO_ROOM = "there was no time or no room for them"


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation for each event, None where there is none; what that took, worker and model together, under the
    name of its stage; and what the reader must know.
    """

    explanations: Sequence[Explanation | None]
    timings_s: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[ReportWarning, ...] = ()


class Explainer:
    """Asks `predictor`, but not again for models that live elsewhere than its backend: there a question has a price."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def job(self, options: AnalyzeOptions, served: Served, deadline: float) -> ExplainJob | None:
        """What a worker shall make, so that what `served` answers by `deadline` can be explained; None where nobody
        asked for that.
        """
        if not options.explain:
            return None
        now = time.monotonic()
        possible = served.info.backend == self._predictor.backend
        return ExplainJob(now + _MAKING_SHARE * (deadline - now) if possible else None)

    async def explain(
        self,
        job: ClipJob,
        found: ClipFindings,
        served: Served,
        answers: Sequence[Prediction],
        *,
        deadline: float,
        on_progress: OnProgress | None = None,
    ) -> Explained:
        """What drove each of `answers`, which `served` gave to what a worker had `found`.

        Raises no `GlimpseError`: no answer is lost because it cannot be explained.
        """
        if job.explain is None:
            return Explained((None,) * len(answers))
        if job.explain.until is None:
            message = f"model {served.info.name!r} is not asked for explanations; the option had no effect"
            return Explained((None,) * len(answers), warnings=(ReportWarning("explain-unavailable", message),))
        started = time.monotonic()
        until = started + _ASKING_SHARE * (deadline - started)
        told: list[Explanation | None] = []
        reason = _NO_ROOM
        for number, (finding, answer) in enumerate(zip(found.findings, answers, strict=True)):
            if on_progress is not None:
                on_progress(Progress(STAGE, number, len(answers)))
            why = None
            if finding.occlusion is not None and reason == _NO_ROOM:
                try:
                    why = await self._explanation(served, finding.occlusion, answer, until)
                except DeadlineExceeded:
                    reason = "there was no time for them"
                except GlimpseError as error:
                    reason = f"the model failed when it was asked again ({error.code})"
            told.append(why)
        seconds = found.timings_s.get(STAGE, 0.0) + time.monotonic() - started
        return Explained(told, {STAGE: seconds}, _incomplete(told, reason))

    async def _explanation(self, served: Served, occlusion: Occlusion, answer: Prediction, until: float) -> Explanation:
        contract = served.contract
        with inference_span(served, len(next(iter(occlusion.inputs.values())))):
            outputs = await self._predictor.predict(
                contract.name, occlusion.inputs, version=served.version, deadline=until
            )
        answers = outputs[PROBABILITIES][:, contract.labels.index(answer.label)]
        attention, shows = None, RECIPES[contract.recipe].shows
        if ATTENTION in outputs and shows is not None:
            # The first row is the movement as it is.
            attention = attention_field(outputs[ATTENTION][0], shows)
        return account(occlusion, answers, answer.label, answer.probabilities[answer.label], attention)


def _incomplete(told: Sequence[Explanation | None], reason: str) -> tuple[ReportWarning, ...]:
    missing = sum(each is None for each in told)
    if not missing:
        return ()
    return (ReportWarning("explain-incomplete", f"{missing} of {len(told)} events are not explained: {reason}"),)
