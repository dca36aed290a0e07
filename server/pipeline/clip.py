"""A clip in, a report out: the one path that REST, gRPC and the command line share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from server.errors import BackendError, FaceLost, GlimpseError, OptionError
from server.media.limits import MediaLimits
from server.pipeline.base import Observer, OnProgress, Readiness, check_options
from server.pipeline.jobs import ClipFindings, ClipJob, Movement, PairFindings, PairJob
from server.pipeline.served import Served, choose
from server.pipeline.shadow import Shadow, Shadowed
from server.pipeline.workers import WorkerPool
from server.predict.base import Predictor
from server.recipes.registry import RECIPES
from server.report.build import event, predictions
from server.report.export import as_dict
from server.report.minimal import minimal_classification, minimal_report
from server.types import (
    AnalyzeOptions,
    Classification,
    Encoded,
    ModelInfo,
    Prediction,
    Progress,
    Report,
)

READY_FOR_S = 5.0
"""How long one real inference vouches for the backend."""
_PROBE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class ClipPolicy:
    """What the operator decides. `min_face_coverage` is the share of frames, 0..1, below which a clip is refused."""

    default_model: str
    limits: MediaLimits
    max_faces: int
    min_face_coverage: float


class ClipPipeline:
    """Implements `server.pipeline.base.Analyzer` over a worker pool (pixels) and a predictor (networks)."""

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
        self._probe_lock = asyncio.Lock()
        self._probed_at = float("-inf")
        self._probe_failure = ""

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
        served = await self._served(options)
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
        )
        found = cast("ClipFindings", await self._pool.run(job, deadline=deadline, on_progress=on_progress))
        if on_progress is not None and found.findings:
            on_progress(Progress("inference", 0, len(found.findings)))
        classified, inference_s = await self._classify(served, found.findings, deadline)
        report = Report(
            id=request_id,
            clip=found.clip,
            faces=found.faces,
            events=[
                event(finding.track_id, finding.interval, finding.evidence, prediction)
                for finding, prediction in zip(found.findings, classified, strict=True)
            ],
            model=served.reference,
            timings_ms=_milliseconds({**found.timings_s, "inference": inference_s}, started),
            warnings=(*found.warnings, *(served.info.warnings if found.findings else ())),
        )
        self._observe(found.timings_s, inference_s)
        if options.detail == "minimal":
            report = minimal_report(report)
        if found.coverage < self._policy.min_face_coverage:
            raise _face_lost(found, report)
        self._observer.observe_report(report)
        self._ask_shadow(shadowed, classified, found.findings, found.shadow_s)
        return report

    async def classify(
        self, onset: Encoded, apex: Encoded, options: AnalyzeOptions, *, request_id: str, deadline: float
    ) -> Classification:
        """Classify the movement between two pictures of one face. Raises any `GlimpseError`."""
        started = time.monotonic()
        served = await self._served(options)
        info, contract = served.info, served.contract
        if RECIPES[contract.recipe].frames:
            message = f"model {info.name!r} looks at the whole movement, which two pictures do not show; send a clip"
            raise OptionError(message, option="model")
        shadowed = self._shadow.sees(contract, deadline, pair=True) if self._shadow else None
        wanted = shadowed.job if shadowed else None
        job = PairJob(onset, apex, self._policy.limits, contract.recipe, contract.flow, wanted)
        found = cast("PairFindings", await self._pool.run(job, deadline=deadline))
        (prediction,), inference_s = await self._classify(served, [found], deadline)
        self._observe(found.timings_s, inference_s)
        self._ask_shadow(shadowed, [prediction], [found], found.shadow_s)
        answer = Classification(
            id=request_id,
            label=prediction.label,
            probabilities=prediction.probabilities,
            confidence=prediction.confidence,
            abstained=prediction.abstained,
            action_units=prediction.action_units,
            evidence=found.evidence,
            model=served.reference,
            timings_ms=_milliseconds({**found.timings_s, "inference": inference_s}, started),
            warnings=info.warnings,
        )
        return minimal_classification(answer) if options.detail == "minimal" else answer

    async def models(self) -> Sequence[ModelInfo]:
        """Every model of the repository, sorted by name."""
        return await self._predictor.models()

    async def model(self, name: str) -> ModelInfo:
        """One model. Raises `UnknownModel`."""
        return await self._predictor.model(name)

    async def readiness(self) -> Readiness:
        """Whether the default model answers a real inference; one probe serves every caller for a few seconds."""
        if self._pool.alive == 0:
            return Readiness(ready=False, reasons=("no worker process is running",))
        if self._shadow is not None:
            self._shadow.look_again()
        async with self._probe_lock:
            if time.monotonic() - self._probed_at > READY_FOR_S:
                self._probe_failure = await self._probe()
                self._probed_at = time.monotonic()
                self._observer.set_backend_up(not self._probe_failure)
        return Readiness(ready=not self._probe_failure, reasons=(self._probe_failure,) if self._probe_failure else ())

    async def _probe(self) -> str:
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                await self._predictor.probe(self._policy.default_model)
        except GlimpseError as error:
            return f"model {self._policy.default_model!r}: {error.message}"
        except TimeoutError:
            return f"model {self._policy.default_model!r}: no answer within {_PROBE_TIMEOUT_S:g} s"
        return ""

    async def _served(self, options: AnalyzeOptions) -> Served:
        return await choose(self._predictor, options.model or self._policy.default_model, options.version)

    async def _classify(
        self, served: Served, samples: Sequence[Movement], deadline: float
    ) -> tuple[list[Prediction], float]:
        """All events of a clip as one batch; no event costs no call, and an answer made of noise is withheld."""
        if not samples:
            return [], 0.0
        info, contract = served.info, served.contract
        batch = {name: np.stack([sample.inputs[name] for sample in samples]) for name in samples[0].inputs}
        started = time.monotonic()
        try:
            outputs = await self._predictor.predict(contract.name, batch, version=served.version, deadline=deadline)
        except GlimpseError as error:
            self._observer.count_inference_error(contract.name, error.code)
            if isinstance(error, BackendError) and info.backend == self._predictor.backend:
                # What a caller has just seen fail must not be called ready for some more seconds.
                self._probed_at = float("-inf")
            raise
        seconds = time.monotonic() - started
        self._observer.observe_inference(contract.name, info.backend, seconds)
        answers = predictions(outputs, contract, [sample.contraction for sample in samples])
        return [
            replace(answer, abstained=answer.abstained or sample.still)
            for answer, sample in zip(answers, samples, strict=True)
        ], seconds

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

    def _observe(self, timings_s: Mapping[str, float], inference_s: float) -> None:
        for stage, seconds in {**timings_s, "inference": inference_s}.items():
            self._observer.observe_stage(stage, seconds)


def _face_lost(found: ClipFindings, report: Report) -> FaceLost:
    details: dict[str, Any] = {
        "coverage": round(found.coverage, 4),
        "lost_at_s": round(found.last_face_s, 4),
        "setting": "GLIMPSE_ANALYSIS__MIN_FACE_COVERAGE",
        "report": as_dict(report),
    }
    return FaceLost(
        f"a face is in view in only {found.coverage:.0%} of the frames (last at {found.last_face_s:.2f} s); "
        "what was found until then is in `report`",
        stage="faces",
        **details,
    )


def _milliseconds(timings_s: Mapping[str, float], started: float) -> dict[str, float]:
    stages = {stage: round(seconds * 1000, 3) for stage, seconds in timings_s.items()}
    return {**stages, "total": round((time.monotonic() - started) * 1000, 3)}
