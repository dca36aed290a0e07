"""What a service may answer to anything at all, and under which name it is counted."""

from __future__ import annotations

import json
from dataclasses import dataclass

_TYPED = {"overloaded", "deadline-exceeded", "worker-crashed", "backend-unavailable", "backend-error"}
"""Codes with which a service error may be answered; `internal` is one that nobody foresaw."""
_PLAIN = {400, 403, 405, 426}
"""Statuses of what never became a request: no HTTP, or a handshake of WebSocket that is none or leads nowhere."""
_OF_THE_LIBRARY = {"RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "CANCELLED", "DEADLINE_EXCEEDED"}
"""Statuses that gRPC's library answers by itself, before anything of ours sees the call."""

_MADE_UP = "Internal error from Core"
"""What grpcio's client says by itself in place of the service's status, where a call ends while it still writes (grpcio
1.85, `StreamRequestMixin._write`).
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`name` is what became of a request, `fault` why that must not be, empty where it may."""

    name: str
    fault: str = ""


SILENT = Outcome("silent", "neither answered nor closed in time")


def of_http(status: int, media_type: str, body: bytes) -> Outcome:
    """An answer of REST: problems are problem documents, but for what never became a request."""
    if status < 400:
        return Outcome(str(status))
    if media_type != "application/problem+json":
        plain = status in _PLAIN and media_type.startswith("text/plain")
        return Outcome(f"{status} {media_type}", "" if plain else "not a problem document")
    try:
        problem = json.loads(body)
    except ValueError:
        return Outcome(f"{status} broken", "the problem document is no JSON")
    return of_problem(status, str(problem.get("code")))


def of_problem(status: int, code: str) -> Outcome:
    """A problem by its code."""
    fault = f"status {status} with {code}" if status >= 500 and code not in _TYPED else ""
    return Outcome(f"{status} {code}", fault)


def of_grpc(status: str, code: str, details: str) -> Outcome:
    """The end of a call; `code` is that of the metadata, empty where there is none, `details` the message."""
    if status == "OK" or status in _OF_THE_LIBRARY:
        return Outcome(f"{status} {code}".strip())
    if status == "INTERNAL" and not code and details == _MADE_UP:
        return Outcome("lost by the client")
    typed = code and (status != "INTERNAL" or code in _TYPED)
    return Outcome(f"{status} {code}".strip(), "" if typed else f"status {status} with no typed code")


def of_close(code: int) -> Outcome:
    """A WebSocket's close code; 1006 is a connection that ended without one."""
    return Outcome(f"closed {code}", "status of a defect" if code == 1011 else "")
