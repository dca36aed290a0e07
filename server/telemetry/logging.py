"""Logs: one JSON object per line with the request id, and nothing personal.

What is written is chosen field by field: file names, addresses of clients, options and bytes of requests are never
among them. The text of an exception that is none of ours may hold what was in a request, so its type and place are
written without it, and of records of libraries only the first line of their template.
"""

from __future__ import annotations

import json
import logging
import logging.config
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

from server.errors import GlimpseError
from server.spans import current
from server.telemetry.context import REQUEST_ID

FIELDS = frozenset(
    {
        *("method", "route", "status", "duration_ms", "code", "stage", "reason", "reasons", "caller"),
        *("version", "backend", "model", "target", "state", "layers", "lacks", "what", "said"),
        *("url", "grpc", "hosts", "serial", "expires"),
        *("trace_id", "span_id"),
        *("outcomes", "agreement", "request_sha256", "answer_sha256", "input_tokens", "output_tokens"),
    }
)
"""Every extra field that a record may have; others are not written."""
_LONGEST_FOREIGN = 200


class JsonFormatter(logging.Formatter):
    """Time (UTC), level, logger, message, request id, ids of the trace where there is one, and the extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        return json.dumps(_fields(record), default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The same for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of text, and the stack trace where there is one."""
        fields = _fields(record)
        trace = fields.pop("exception", "")
        head = f"{fields.pop('time')} {fields.pop('level'):<7} {fields.pop('message')}"
        fields.pop("logger")
        rest = " ".join(f"{name}={value}" for name, value in fields.items())
        return "\n".join(part for part in (f"{head} {rest}".rstrip(), trace) if part)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": _message(record),
    }
    if request_id := REQUEST_ID.get():
        fields["request_id"] = request_id
    if trace_id := current().trace_id:
        fields |= {"trace_id": trace_id, "span_id": current().span_id}
    fields.update((name, value) for name, value in record.__dict__.items() if name in FIELDS)
    if record.exc_info:
        fields["exception"] = _trace(record.exc_info[1])
    return fields


def _message(record: logging.LogRecord) -> str:
    if record.name.partition(".")[0] == "server":
        return record.getMessage()
    lines = str(record.msg).splitlines() if isinstance(record.msg, str) else [type(record.msg).__name__]
    return lines[0][:_LONGEST_FOREIGN] if lines else ""


def _trace(error: BaseException | None) -> str:
    """Where an exception comes from, and what it was caused by, first."""
    parts: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = f": {error.message}" if isinstance(error, GlimpseError) else ""
        parts.insert(0, f"{_places(error.__traceback__)}{type(error).__qualname__}{text}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(parts)


def _places(trace: TracebackType | None) -> str:
    return "".join(traceback.format_tb(trace))


def configure(level: str, log_format: Literal["auto", "json", "text"]) -> None:
    """Send the records of this process to stderr, and silence what others say of each request."""
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": TextFormatter if as_text else JsonFormatter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"level": "WARNING", "handlers": ["stderr"]},
            "loggers": {
                "server": {"level": level.upper()},
                "uvicorn": {"level": "WARNING"},
                # Both speak about the bytes of requests; the problem document and our own record say enough.
                "uvicorn.access": {"level": "CRITICAL"},
                "python_multipart": {"level": "CRITICAL"},
                # It complains of an endpoint with each export; we say once that it does not answer.
                "opentelemetry": {"level": "CRITICAL"},
            },
        }
    )
