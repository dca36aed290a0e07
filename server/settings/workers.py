"""The settings of the worker processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from server.settings.group import MIB, Group


def available_cpus(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """How many processors this process may use: those that it may run on, or the whole ones of a smaller quota.

    `quota` is where cgroup v2 says how many microseconds of processors a container gets in how many of time.
    """
    allowed = len(os.sched_getaffinity(0))
    try:
        share, period = quota.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return allowed
    return allowed if share == "max" else max(1, min(allowed, int(share) // int(period)))


class WorkerSettings(Group):
    """The processes in which clips are decoded and pixels are computed."""

    count: int = Field(
        default_factory=available_cpus, ge=1, le=256, description="Worker processes; by default one per processor."
    )
    spare: int = Field(
        default=1,
        ge=0,
        le=256,
        description="Further processes of the service, for tenants of which no other worker has a request; the others"
        " then give way to them on the processors.",
    )
    memory_bytes: int = Field(
        default=2048 * MIB, ge=256 * MIB, le=2**40, description="Address space that one worker may use."
    )
    cpu_seconds: float = Field(
        default=180.0,
        ge=1,
        le=86400,
        description="Processor time of one clip, or of a live stream between two of its frames.",
    )
    sandbox: Literal["auto", "required", "off"] = Field(
        default="auto",
        description="What the kernel refuses workers: `auto` what it can, `required` all or no start, `off` nothing.",
    )
