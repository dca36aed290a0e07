"""Reports and classifications as HTTP answers."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager

from pydantic import TypeAdapter
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.api.gateway import Gateway
from server.documents import report_json
from server.spans import span
from server.types import Classification, ModelRef, Report

JSON = "application/json"
EVENT_STREAM = "text/event-stream"
VIDEO = "video/mp4"

CLASSIFICATION: TypeAdapter[Classification] = TypeAdapter(Classification)


def classification_response(answer: Classification) -> Response:
    """A classification as JSON."""
    return Response(CLASSIFICATION.dump_json(answer), headers=_headers(answer), media_type=JSON)


async def report_response(gateway: Gateway, report: Report, media_type: str, deadline: float) -> Response:
    """A report in the negotiated form, which may have parameters. Raises `DeadlineExceeded` (stage `rendering`)."""
    with span("report", {"glimpse.media_type": media_type.partition(";")[0]}):
        body = report_json(report) if media_type == JSON else await gateway.render(report, media_type, deadline)
    return Response(body, headers=_headers(report), media_type=media_type.partition(";")[0])


class VideoResponse(Response):
    """An annotated clip; `holding` is left when the client has it, or has gone."""

    media_type = VIDEO

    def __init__(self, report: Report, clip: bytes, holding: AbstractContextManager[object]) -> None:
        super().__init__(clip, headers=_headers(report))
        self._holding = holding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of it."""
        with self._holding:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
            # The server takes this one when nearly all of what was sent before has been read.
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _headers(answer: Report | Classification) -> dict[str, str]:
    return {
        "Glimpse-Model": _model(answer.model),
        "Glimpse-Notice": answer.notice,
        "Server-Timing": ", ".join(
            f"{re.sub('[^A-Za-z0-9_-]', '-', stage)};dur={ms:.1f}" for stage, ms in answer.timings_ms.items()
        ),
        "Vary": "Accept",
    }


def _model(model: ModelRef) -> str:
    return f"{model.name}; version={model.version}; backend={model.backend}"
