"""Logs: one JSON object per line with the request id, and nothing personal.

What is written is chosen field by field where a record is made; file names, addresses of clients and options of
requests are never among them.
"""

from __future__ import annotations

import json
import logging
import logging.config
import sys
from datetime import UTC, datetime
from typing import Any, Literal

from server.telemetry.context import REQUEST_ID

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message", "taskName"}


class JsonFormatter(logging.Formatter):
    """Time (UTC), level, logger, message, request id, and the record's extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        return json.dumps(_fields(self, record), default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The same for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of text, and the stack trace where there is one."""
        fields = _fields(self, record)
        trace = fields.pop("exception", "")
        head = f"{fields.pop('time')} {fields.pop('level'):<7} {fields.pop('message')}"
        fields.pop("logger")
        rest = " ".join(f"{name}={value}" for name, value in fields.items())
        return "\n".join(part for part in (f"{head} {rest}".rstrip(), trace) if part)


def _fields(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
    }
    if request_id := REQUEST_ID.get():
        fields["request_id"] = request_id
    fields.update((name, value) for name, value in record.__dict__.items() if name not in _STANDARD)
    if record.exc_info:
        fields["exception"] = formatter.formatException(record.exc_info)
    return fields


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
            },
        }
    )
