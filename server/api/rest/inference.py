"""`POST /v1/analyze` and `POST /v1/classify`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from server.api.gateway import Gateway, until
from server.api.limits import Ticket
from server.api.rest import answers, openapi, upload
from server.api.rest.events import EventStream
from server.api.rest.negotiate import choose, plain, with_columns
from server.api.rest.options import AnalyzeParameters, ModelParameters, merged
from server.errors import OptionError
from server.pipeline.base import OnProgress, with_all
from server.spans import span
from server.telemetry.context import REQUEST_ID
from server.types import AnalyzeOptions, Report


def router() -> APIRouter:
    """The two routes that infer."""
    routes = APIRouter(tags=["inference"])

    @routes.post("/v1/analyze", summary="Find and classify the expressions of a clip", **openapi.ANALYZE)
    async def analyze(request: Request, query: Annotated[AnalyzeParameters, Query()]) -> Response:
        """Send a clip, get its events. A clip in which nothing moves gets a report without events."""
        gateway: Gateway = request.state.gateway
        media_type = choose(_accept(request), _offers(gateway))
        with ExitStack() as holding:
            ticket = holding.enter_context(gateway.admission.enter("analyze"))
            form = await _read(request, gateway, ticket, ("clip",), query)
            holding.callback(form.wipe)
            parameters = merged(AnalyzeParameters, request, form.fields)
            chosen = with_columns(media_type, parameters.columns, gateway.renderers)
            if media_type == answers.VIDEO:
                return await _annotated(request, gateway, ticket, form.files["clip"], parameters)
            work = _Analysis(request, gateway, ticket, form.files["clip"], parameters, drawn=gateway.draws(media_type))
            if media_type == answers.EVENT_STREAM:
                return EventStream(work, holding=holding.pop_all(), telemetry=gateway.telemetry)
            report = await until(lambda: upload.gone(request), work())
            if report is None:
                raise upload.ClientGone("analyze")
            return await answers.report_response(gateway, report, chosen, work.deadline)

    @routes.post("/v1/classify", summary="Classify the movement between two pictures", **openapi.CLASSIFY)
    async def classify(request: Request, query: Annotated[ModelParameters, Query()]) -> Response:
        """Send one face before and at the height of a movement, get its class."""
        gateway: Gateway = request.state.gateway
        choose(_accept(request), (answers.JSON,))
        with ExitStack() as holding:
            ticket = holding.enter_context(gateway.admission.enter("classify"))
            form = await _read(request, gateway, ticket, ("onset", "apex"), query)
            holding.callback(form.wipe)
            parameters = merged(ModelParameters, request, form.fields)
            work = gateway.classify(
                ticket,
                form.files["onset"],
                form.files["apex"],
                AnalyzeOptions(model=parameters.model, version=parameters.version, detail=parameters.detail),
                request_id=REQUEST_ID.get(),
                deadline=gateway.deadline(request.state.arrived, parameters.deadline_s),
            )
            answer = await until(lambda: upload.gone(request), work)
            if answer is None:
                raise upload.ClientGone("classify")
            return answers.classification_response(answer)

    return routes


class _Analysis:
    """One analysis, ready to run, with or without somebody who follows its progress."""

    def __init__(
        self,
        request: Request,
        gateway: Gateway,
        ticket: Ticket,
        clip: bytearray,
        parameters: AnalyzeParameters,
        *,
        drawn: bool,
    ) -> None:
        self._gateway = gateway
        self._ticket = ticket
        self._clip = clip
        options = parameters.options()
        self._options = with_all(options) if drawn else options
        self.deadline = gateway.deadline(request.state.arrived, parameters.deadline_s)

    async def __call__(self, on_progress: OnProgress | None = None) -> Report:
        return await self._gateway.analyze(
            self._ticket,
            self._clip,
            self._options,
            request_id=REQUEST_ID.get(),
            deadline=self.deadline,
            on_progress=on_progress,
        )


async def _annotated(
    request: Request, gateway: Gateway, ticket: Ticket, clip: bytearray, parameters: AnalyzeParameters
) -> Response:
    options = parameters.options()
    if options.detail == "minimal":
        raise OptionError("an annotated clip shows the face, which detail=minimal leaves out", option="detail")
    work = gateway.annotate(
        ticket,
        clip,
        replace(options, include=options.include | {"signals", "pictures"}),
        slow=parameters.slow,
        request_id=REQUEST_ID.get(),
        deadline=gateway.deadline(request.state.arrived, parameters.deadline_s),
    )
    answer = await until(lambda: upload.gone(request), work)
    if answer is None:
        raise upload.ClientGone("analyze")
    report, annotated = answer
    with ExitStack() as holding:
        # Slow readers of clips are bounded by memory, as slow uploads are: the request itself is done.
        holding.enter_context(ticket.answer(len(annotated)))
        return answers.VideoResponse(report, annotated, holding.pop_all())


async def _read(
    request: Request, gateway: Gateway, ticket: Ticket, files: Sequence[str], query: ModelParameters
) -> upload.Form:
    # A deadline among the parts of the body is known only once they are there.
    deadline = gateway.deadline(request.state.arrived, query.deadline_s)
    fields = list(type(query).model_fields)
    with span("upload") as told:
        form = await upload.read(request, gateway, ticket, files=files, fields=fields, deadline=deadline)
        told.set({"glimpse.upload.bytes": sum(map(len, form.files.values()))})
    return form


def _accept(request: Request) -> str:
    return ",".join(request.headers.getlist("accept"))


def _offers(gateway: Gateway) -> tuple[str, ...]:
    return (answers.JSON, *plain(gateway.renderers), answers.EVENT_STREAM, answers.VIDEO)
