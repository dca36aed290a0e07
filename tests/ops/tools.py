"""Programs of the system, which a desk may lack and CI may not."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(*programs: str) -> None:
    """Skip where one of them is not installed, and fail instead where CI is set."""
    missing = [program for program in programs if shutil.which(program) is None]
    if not missing:
        return
    reason = f"not installed: {', '.join(missing)}"
    if os.environ.get("CI"):
        pytest.fail(f"CI must have it; {reason}")
    pytest.skip(reason)
