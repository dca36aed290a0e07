"""The id of the request that is being worked on, for logs and problem documents."""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")

_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,128}")


def accepted_or_new(offered: str) -> str:
    """The caller's id where it is short and harmless to print, else a new one."""
    return offered if _ACCEPTED.fullmatch(offered) else uuid.uuid4().hex
