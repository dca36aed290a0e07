"""Problem documents (RFC 9457): every error as application/problem+json, and a page that explains each code."""

from __future__ import annotations

import html
import http
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from server.api.gateway import Telemetry
from server.api.rest.access import headers_of
from server.api.rest.headers import DEFAULTS
from server.api.status import TABLE, status_of
from server.errors import BackendUnavailable, GlimpseError, OptionError, Overloaded
from server.spans import ERROR_TYPE, current
from server.telemetry.context import REQUEST_ID

MEDIA_TYPE = "application/problem+json"

_LATER = True
_NEVER = False

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a problem code means to its reader."""

    code: str
    title: str
    status: int
    retryable: bool
    advice: str


HTTP_PROBLEMS: Mapping[int, Explanation] = MappingProxyType(
    {
        row.status: row
        for row in (
            Explanation("malformed-request", "The request is malformed", 400, _NEVER, "Correct the form of the body."),
            Explanation(
                "foreign-origin",
                "The page may not open this",
                403,
                _NEVER,
                "Have the operator allow the page's origin.",
            ),
            Explanation("not-found", "There is nothing here", 404, _NEVER, "See /docs for the addresses."),
            Explanation("method-not-allowed", "The method is not allowed", 405, _NEVER, "See the Allow header."),
            Explanation("not-acceptable", "No such representation", 406, _NEVER, "Ask for a type that `offers` lists."),
            Explanation(
                "upload-stalled",
                "The upload stood still or was too slow",
                408,
                _LATER,
                "Send the request again, over a faster connection or with a smaller clip.",
            ),
            Explanation(
                "unsupported-content-type",
                "The body has a wrong type",
                415,
                _NEVER,
                "Send a type that the detail names.",
            ),
            Explanation(
                "foreign-host",
                "The service is not known by this name",
                421,
                _NEVER,
                "Use its address, or have the operator allow the name.",
            ),
            Explanation(
                "header-too-large",
                "The header is too large",
                431,
                _NEVER,
                "Send fewer or shorter header fields, or have the operator raise `setting`.",
            ),
            Explanation("upgrade-required", "This is a WebSocket", 426, _NEVER, "Open the address as a WebSocket."),
        )
    }
)
"""Problems of the protocol itself, which no other protocol has."""


class ProtocolError(HTTPException):
    """A problem of HTTP alone; `members` are added to its document."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(status, detail, headers)
        self.members = members


def explanations() -> Mapping[str, Explanation]:
    """Every code that an answer can carry."""
    rows = {row.code: row for row in HTTP_PROBLEMS.values()}
    for error, status in TABLE.items():
        # A class without a code of its own shares its parent's, and the child's words are the closer ones.
        rows[error.code] = Explanation(error.code, error.title, status.http, status.retryable, status.advice)
    return rows


def document(error: Exception, instance: str) -> dict[str, Any]:
    """The members of the problem of any exception; one that nobody foresaw tells nothing of itself."""
    if isinstance(error, HTTPException):
        row = HTTP_PROBLEMS.get(error.status_code) or _plain(error.status_code)
        detail = error.detail or row.advice
        members = error.members if isinstance(error, ProtocolError) else {}
        return _document(row, detail=str(detail), instance=instance, **members)
    known = error if isinstance(error, GlimpseError) else GlimpseError("")
    status = status_of(known)
    row = Explanation(known.code, known.title, status.http, status.retryable, status.advice)
    detail = status.advice if status.private else known.message
    members = {} if status.private else known.details
    return _document(row, detail=detail, stage=known.stage, instance=instance, **members)


def _plain(status: int) -> Explanation:
    phrase = http.HTTPStatus(status).phrase
    return Explanation(phrase.lower().replace(" ", "-"), phrase, status, status >= 500, phrase)


def _document(row: Explanation, *, detail: str, instance: str, stage: str = "", **members: Any) -> dict[str, Any]:
    return {
        **members,
        "type": f"/problems/{row.code}",
        "title": row.title,
        "status": row.status,
        "detail": detail,
        "instance": instance,
        "code": row.code,
        "stage": stage,
        "request_id": REQUEST_ID.get(),
        "retryable": row.retryable,
    }


def response(error: Exception, instance: str, telemetry: Telemetry) -> Response:
    """The problem of an exception as an answer, with the headers that belong to it."""
    body = noted(error, instance, telemetry)
    headers = {**(getattr(error, "headers", None) or {}), **headers_of(error)}
    if isinstance(error, Overloaded | BackendUnavailable):
        headers["Retry-After"] = str(max(1, math.ceil(float(error.details.get("retry_after_s", 1.0)))))
    return Response(encode(body), status_code=body["status"], headers=headers, media_type=MEDIA_TYPE)


def last_words(error: Exception) -> bytes:
    """The problem of an exception as a whole answer on a connection, of no request that anybody saw."""
    body = document(error, "")
    content = encode(body)
    head = (
        f"HTTP/1.1 {body['status']} {body['title']}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(content)}",
        *(f"{name.lower()}: {value}" for name, value in DEFAULTS.items()),
        *(("retry-after: 1",) if body["retryable"] else ()),
        "connection: close",
    )
    return "\r\n".join((*head, "", "")).encode() + content


def encode(body: Mapping[str, Any]) -> bytes:
    """Strict JSON of a problem; a detail that JSON does not know is spelled out."""
    return json.dumps(body, default=str).encode()


def from_validation(error: RequestValidationError) -> OptionError:
    """The framework's refusal of parameters in our terms; the refused values are not echoed."""
    return option_error([(str(item["loc"][-1]), str(item["msg"])) for item in error.errors()])


def option_error(findings: list[tuple[str, str]]) -> OptionError:
    """One `OptionError` for all wrong options; the first is named in `option`."""
    message = "; ".join(f"{option}: {reason}" for option, reason in findings)
    return OptionError(
        message,
        stage="options",
        option=findings[0][0],
        errors=[{"option": option, "message": reason} for option, reason in findings],
    )


def noted(error: Exception, instance: str, telemetry: Telemetry) -> dict[str, Any]:
    """The document of an exception that is about to be answered, after it was counted or logged."""
    shown = from_validation(error) if isinstance(error, RequestValidationError) else error
    body = document(shown, instance)
    if body["status"] < 500:
        # A refusal is no failure of the service, and so none of its span (semantic conventions of OpenTelemetry).
        current().set({ERROR_TYPE: body["code"]})
        telemetry.count_rejected(body["code"])
        return body
    current().fail(body["code"])
    if isinstance(shown, GlimpseError):
        _log.warning("request failed", extra={"code": shown.code, "stage": shown.stage, "reason": shown.message})
    else:
        _log.error("unforeseen error", exc_info=shown)
    return body


def install(app: FastAPI, telemetry: Telemetry) -> None:
    """Make `app` answer every exception with a problem document, and count what it refuses."""

    async def answer(request: Request, error: Exception) -> Response:
        return response(error, request.url.path, telemetry)

    for kind in (GlimpseError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, answer)


def router() -> APIRouter:
    """The pages behind the `type` of every problem."""
    routes = APIRouter(include_in_schema=False)
    rows = explanations()

    @routes.get("/problems")
    async def index() -> HTMLResponse:
        items = "".join(
            f'<li><a href="/problems/{code}">{code}</a>: {html.escape(rows[code].title)}</li>' for code in sorted(rows)
        )
        return _page("Problems", f"<ul>{items}</ul>")

    @routes.get("/problems/{code}")
    async def explain(code: str) -> HTMLResponse:
        row = rows.get(code)
        if row is None:
            raise HTTPException(404, "no problem has this code")
        again = "The same request may succeed later." if row.retryable else "The same request will fail again."
        text = f"<p>HTTP status {row.status}. {again}</p><p>{html.escape(row.advice)}</p>"
        return _page(row.title, text)

    return routes


def _page(title: str, body: str) -> HTMLResponse:
    title = html.escape(title)
    return HTMLResponse(f'<!doctype html><html lang="en"><title>{title}</title><h1>{title}</h1>{body}</html>')
