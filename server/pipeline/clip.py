"""A clip in, a report out: the one path that REST, gRPC and the command line share."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from server.errors import BackendError, GlimpseError, OptionError
from server.media.limits import MediaLimits
from server.pipeline.base import Observer, OnProgress, Readiness, check_options
from server.pipeline.coverage import face_lost
from server.pipeline.drawable import places_alone
from server.pipeline.explained import Explainer
from server.pipeline.jobs import AnnotateJob, ClipFindings, ClipJob, Movement, PairFindings, PairJob
from server.pipeline.probing import Prober
from server.pipeline.served import Served, ask, choose, inference_span
from server.pipeline.shadow import Shadow, Shadowed
from server.pipeline.staged import stage_events, stage_spans
from server.pipeline.workers import WorkerPool
from server.predict.base import Predictor, StandIn
from server.recipes.registry import RECIPES
from server.report.build import event, predictions
from server.report.minimal import minimal_classification, minimal_report
from server.spans import span
from server.types import (
    AnalyzeOptions,
    Classification,
    Encoded,
    ModelInfo,
    Prediction,
    Progress,
    Report,
)


@dataclass(frozen=True, slots=True)
class ClipPolicy:
    """What the operator decides. `min_face_coverage` is the share of frames, 0..1, below which a clip is refused;
    `required_models` are those besides the default without which the service is not ready.
    """

    default_model: str
    limits: MediaLimits
    max_faces: int
    min_face_coverage: float
    required_models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of the inference of a clip: by which backend, and in how many seconds."""

    served: Served
    predictions: Sequence[Prediction]
    seconds: float = 0.0


class ClipPipeline:
    """Implements `server.pipeline.base.Analyzer` over a worker pool (pixels) and a predictor (networks).

    `prober` says whether the predictor answers; let it run where probes must be cheap.
    """

    def __init__(
        self,
        *,
        predictor: Predictor,
        pool: WorkerPool,
        policy: ClipPolicy,
        observer: Observer,
        shadow: Shadow | None = None,
    ) -> None:
        self._shadow = shadow
        self._predictor = predictor
        self._pool = pool
        self._policy = policy
        self._observer = observer
        self._explainer = Explainer(predictor)
        self.prober = Prober(predictor, (policy.default_model, *policy.required_models), observer)

    async def analyze(
        self,
        data: Encoded,
        options: AnalyzeOptions,
        *,
        request_id: str,
        deadline: float,
        on_progress: OnProgress | None = None,
    ) -> Report:
        """Find and classify the expressions of one clip.

        Raises any `GlimpseError`. A clip in which faces are in view for less than `min_face_coverage` raises
        `FaceLost`, with the report of what was seen until then as `report` in its details, so that nothing is lost.
        """
        started = time.monotonic()
        check_options(options)
        served = await self._served(options, deadline)
        contract = served.contract
        shadowed = self._shadow.sees(contract, deadline) if self._shadow else None
        job = ClipJob(
            data=data,
            limits=self._policy.limits,
            recipe=contract.recipe,
            flow=contract.flow,
            faces=options.faces,
            max_faces=self._policy.max_faces,
            kinds=options.kinds,
            onset_s=options.onset_s,
            apex_s=options.apex_s,
            shadow=shadowed.job if shadowed else None,
            include=options.include,
            explain=self._explainer.job(options, served, deadline),
        )
        found = cast("ClipFindings", await self._looked(job, deadline, on_progress))
        if on_progress is not None and found.findings:
            on_progress(Progress("inference", 0, len(found.findings)))
        answer = await self._classify(served, found.findings, deadline)
        served = answer.served
        explained = await self._explainer.explain(
            job, found, served, answer.predictions, deadline=deadline, on_progress=on_progress
        )
        timings_s = {**found.timings_s, "inference": answer.seconds, **explained.timings_s}
        report = Report(
            id=request_id,
            clip=found.clip,
            faces=found.faces,
            events=[
                event(
                    finding.track_id,
                    finding.interval,
                    finding.evidence,
                    prediction,
                    pictures=finding.pictures,
                    explanation=why,
                )
                for finding, prediction, why in zip(
                    found.findings, answer.predictions, explained.explanations, strict=True
                )
            ],
            model=served.reference,
            timings_ms=_milliseconds(timings_s, started),
            warnings=(*found.warnings, *(served.info.warnings if found.findings else ()), *explained.warnings),
            signals=found.signals,
        )
        self._observe(timings_s)
        if options.detail == "minimal":
            report = minimal_report(report)
        if found.coverage < self._policy.min_face_coverage:
            raise face_lost(found, report)
        self._observer.observe_report(report)
        self._ask_shadow(shadowed, answer.predictions, found.findings, found.shadow_s)
        return report

    async def classify(
        self, onset: Encoded, apex: Encoded, options: AnalyzeOptions, *, request_id: str, deadline: float
    ) -> Classification:
        """Classify the movement between two pictures of one face. Raises any `GlimpseError`."""
        started = time.monotonic()
        served = await self._served(options, deadline)
        info, contract = served.info, served.contract
        if RECIPES[contract.recipe].frames:
            message = f"model {info.name!r} looks at the whole movement, which two pictures do not show; send a clip"
            raise OptionError(message, option="model")
        shadowed = self._shadow.sees(contract, deadline, pair=True) if self._shadow else None
        wanted = shadowed.job if shadowed else None
        job = PairJob(onset, apex, self._policy.limits, contract.recipe, contract.flow, wanted)
        found = cast("PairFindings", await self._looked(job, deadline))
        answer = await self._classify(served, [found], deadline)
        (prediction,) = answer.predictions
        timings_s = {**found.timings_s, "inference": answer.seconds}
        self._observe(timings_s)
        self._ask_shadow(shadowed, [prediction], [found], found.shadow_s)
        classification = Classification(
            id=request_id,
            label=prediction.label,
            probabilities=prediction.probabilities,
            confidence=prediction.confidence,
            abstained=prediction.abstained,
            action_units=prediction.action_units,
            evidence=found.evidence,
            model=answer.served.reference,
            timings_ms=_milliseconds(timings_s, started),
            warnings=answer.served.info.warnings,
        )
        return minimal_classification(classification) if options.detail == "minimal" else classification

    async def annotate(
        self, data: Encoded, report: Report, slow: float, *, deadline: float, on_progress: OnProgress | None = None
    ) -> bytes:
        """What `report` says drawn into its clip, as MP4. Raises any `GlimpseError`."""
        job = AnnotateJob(data, self._policy.limits, places_alone(report), slow)
        started = time.monotonic()
        with span("worker") as work:
            told = stage_events(work, on_progress)
            annotated = cast("Encoded", await self._pool.run(job, deadline=deadline, on_progress=told))
        self._observer.observe_stage("annotation", time.monotonic() - started)
        return bytes(annotated)

    async def models(self) -> Sequence[ModelInfo]:
        """Every model of the repository, sorted by name."""
        return await self._predictor.models()

    async def model(self, name: str) -> ModelInfo:
        """One model. Raises `UnknownModel`."""
        return await self._predictor.model(name)

    async def readiness(self) -> Readiness:
        """Whether workers run, and the last probe found that the models answer."""
        if self._pool.alive == 0:
            return Readiness(ready=False, reasons=("no worker process is running",))
        if self._shadow is not None:
            self._shadow.look_again()
        return await self.prober.readiness()

    async def _served(self, options: AnalyzeOptions, deadline: float) -> Served:
        with span("model") as told:
            wanted = options.model or self._policy.default_model
            served = await choose(self._predictor, wanted, options.version, deadline)
            told.set({"glimpse.model": served.info.name, "glimpse.model_version": served.version})
        return served

    async def _looked(
        self, job: ClipJob | PairJob, deadline: float, on_progress: OnProgress | None = None
    ) -> ClipFindings | PairFindings:
        """What a worker finds; its passes and stages become spans."""
        with span("worker") as work:
            sent = time.monotonic()
            told = stage_events(work, on_progress)
            found = cast("ClipFindings | PairFindings", await self._pool.run(job, deadline=deadline, on_progress=told))
            stage_spans(work, found.timeline, sent=sent, answered=time.monotonic())
            if isinstance(found, ClipFindings):
                work.set({"glimpse.clip.frames": found.clip.frames, "glimpse.clip.movements": len(found.findings)})
        return found

    async def _classify(self, served: Served, samples: Sequence[Movement], deadline: float) -> _Answer:
        """All events of a clip as one batch; no event costs no call, and an answer made of noise is withheld."""
        if not samples:
            return _Answer(served, ())
        info, contract = served.info, served.contract
        batch = {name: np.stack([sample.inputs[name] for sample in samples]) for name in samples[0].inputs}
        started = time.monotonic()
        try:
            with inference_span(served, len(samples)) as told:
                served, outputs = await ask(self._predictor, served, batch, deadline)
                told.set({"glimpse.model_version": served.version, "glimpse.backend": served.info.backend})
        except GlimpseError as error:
            self._observer.count_inference_error(contract.name, error.code)
            if isinstance(error, BackendError) and info.backend == self._predictor.backend:
                # What a caller has just seen fail must not be called ready for some more seconds.
                self.prober.suspect(contract.name)
            raise
        seconds = time.monotonic() - started
        if isinstance(outputs, StandIn):
            self.prober.look_again()
        self._observer.observe_inference(contract.name, served.info.backend, seconds)
        answers = predictions(outputs, served.contract, [sample.contraction for sample in samples])
        withheld = [
            replace(answer, abstained=answer.abstained or sample.still)
            for answer, sample in zip(answers, samples, strict=True)
        ]
        return _Answer(served, withheld, seconds)

    def _ask_shadow(
        self,
        shadowed: Shadowed | None,
        answers: Sequence[Prediction],
        movements: Sequence[Movement],
        extraction_s: float,
    ) -> None:
        if self._shadow is None or shadowed is None:
            return
        if shadowed.job is not None:
            self._observer.observe_stage("shadow", extraction_s)
        self._shadow.ask(shadowed, answers, movements)

    def _observe(self, timings_s: Mapping[str, float]) -> None:
        for stage, seconds in timings_s.items():
            self._observer.observe_stage(stage, seconds)


def _milliseconds(timings_s: Mapping[str, float], started: float) -> dict[str, float]:
    stages = {stage: round(seconds * 1000, 3) for stage, seconds in timings_s.items()}
    return {**stages, "total": round((time.monotonic() - started) * 1000, 3)}
