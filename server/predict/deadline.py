"""Time left for an inference."""

from __future__ import annotations

import time

from server.errors import DeadlineExceeded


def remaining_s(model: str, deadline: float) -> float:
    """Seconds until `deadline`, a `time.monotonic()` value. Raises `DeadlineExceeded` where none are left."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise out_of_time(model)
    return left


def out_of_time(model: str) -> DeadlineExceeded:
    """The error of an inference that did not end in time."""
    return DeadlineExceeded(f"model {model!r} did not answer before the deadline", stage="inference")
