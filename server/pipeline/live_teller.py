"""Steps of movements to what a client is told of them, with the model's answer where there is one."""

from __future__ import annotations

import time
from dataclasses import replace

from server.errors import GlimpseError
from server.pipeline.base import Observer
from server.pipeline.live_jobs import Told
from server.pipeline.served import Served, ask, inference_span
from server.pipeline.staged import stage_spans, within
from server.predict.base import Predictor, StandIn
from server.report.build import event, predictions
from server.report.minimal import minimal_event
from server.spans import Span, current, entered
from server.streams import Candidate, LiveEvent, Onset, Withdrawn
from server.types import Detail, Prediction


class Teller:
    """One per stream. `served` is what answers: with the backend that stood in, from the first time one did."""

    def __init__(
        self,
        predictor: Predictor,
        served: Served,
        observer: Observer,
        *,
        inference_s: float,
        detail: Detail = "full",
    ) -> None:
        self._predictor = predictor
        self.served = served
        self._backend = served.info.backend
        self._observer = observer
        self._inference_s = inference_s
        self._opened_at = time.monotonic()
        self._detail = detail

    async def tell(self, told: Told) -> Onset | Candidate | LiveEvent | Withdrawn:
        """One step. An event that cannot be classified, since the backend fails, is withdrawn."""
        movement, track_id, where = told.movement, told.track_id, told.interval
        match told.step:
            case "onset":
                return Onset(movement, track_id, round(where.onset_s, 4), where.onset_frame)
            case "candidate":
                moments = (round(where.onset_s, 4), round(where.apex_s, 4), where.onset_frame, where.apex_frame)
                return Candidate(movement, track_id, *moments)
            case "withdrawn":
                return Withdrawn(movement, track_id, told.reason)
        with entered(self._span(told)) as span:
            prediction = await self._predict(told)
            span.set({"glimpse.live.outcome": "event" if prediction else "withdrawn"})
        if prediction is None:
            return Withdrawn(movement, track_id, "not-classified")
        assert told.evidence is not None
        found = replace(prediction, abstained=prediction.abstained or told.still)
        ended = event(track_id, where, told.evidence, found)
        self._observer.observe_event(self.served.info.name, ended)
        return LiveEvent(movement, minimal_event(ended) if self._detail == "minimal" else ended)

    def _span(self, told: Told) -> Span:
        """With a trace of its own: that of a stream would grow for as long as the stream lasts."""
        now = time.monotonic()
        began = min([within(each.began, self._opened_at, now) for each in told.timeline] + [now])
        span = current().linked("movement", {"glimpse.live.movement": told.movement}, began=began)
        stage_spans(span, told.timeline, sent=began, answered=now)
        return span

    async def _predict(self, told: Told) -> Prediction | None:
        """The model's answer to what was measured of a movement; None where the backend fails."""
        assert told.inputs is not None
        assert told.contraction is not None
        contract = self.served.contract
        batch = {name: values[None] for name, values in told.inputs.items()}
        started = time.monotonic()
        try:
            with inference_span(self.served, 1):
                served, outputs = await ask(self._predictor, self.served, batch, started + self._inference_s)
        except GlimpseError as error:
            self._observer.count_inference_error(contract.name, error.code)
            return None
        backend = outputs.backend if isinstance(outputs, StandIn) else self._backend
        self._observer.observe_inference(contract.name, backend, time.monotonic() - started)
        # Who stood in once stays told: what is said at the end is said of the whole stream.
        told_of = backend if backend != self._backend else self.served.info.backend
        self.served = replace(served, info=replace(served.info, backend=told_of))
        (found,) = predictions(outputs, served.contract, [told.contraction])
        return found
