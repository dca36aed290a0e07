"""Reports and classifications as HTTP answers."""

from __future__ import annotations

import re
from dataclasses import replace

from pydantic import TypeAdapter
from starlette.responses import Response

from server.api.gateway import Gateway
from server.documents import report_json
from server.spans import span
from server.types import Classification, ModelRef, Report, ReportWarning

JSON = "application/json"
EVENT_STREAM = "text/event-stream"

CLASSIFICATION: TypeAdapter[Classification] = TypeAdapter(Classification)

_UNEXPLAINED = ReportWarning("explain-unavailable", "this model gives no explanations; the option had no effect")


def with_explain_warning(report: Report) -> Report:
    """The report, saying that an explanation was asked for and could not be given."""
    return replace(report, warnings=(*report.warnings, _UNEXPLAINED))


def classification_response(answer: Classification) -> Response:
    """A classification as JSON."""
    return Response(CLASSIFICATION.dump_json(answer), headers=_headers(answer), media_type=JSON)


async def report_response(gateway: Gateway, report: Report, media_type: str, deadline: float) -> Response:
    """A report in the negotiated form. Raises `DeadlineExceeded` (stage `rendering`)."""
    with span("report", {"glimpse.media_type": media_type}):
        body = report_json(report) if media_type == JSON else await gateway.render(report, media_type, deadline)
    return Response(body, headers=_headers(report), media_type=media_type)


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
