"""What is asked of a worker's sandbox, and what came of it: plain values that cross from process to process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["auto", "required", "off"]
LIMITS, PRIVILEGES, FILES, NETWORK, SIGNALS, SYSCALLS = LAYERS = (
    "limits", "privileges", "files", "network", "signals", "syscalls",
)  # fmt: skip
REQUIRED = (LIMITS, PRIVILEGES, FILES, SYSCALLS)
"""`network` and `signals` need newer kernels and are not among them: `syscalls` refuses the same things."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one worker: bytes of address space, processor seconds for each job, and the sandbox; None: no bound."""

    memory_bytes: int | None = None
    job_cpu_s: float | None = None
    sandbox: Mode = "auto"


@dataclass(frozen=True, slots=True)
class Confinement:
    """Why layers do not apply to a worker, by name; those that are not named do."""

    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def applied(self) -> tuple[str, ...]:
        """The layers that are there."""
        return tuple(layer for layer in LAYERS if layer not in self.missing)

    @property
    def lacking(self) -> str:
        """The layers that ought to be there and are not, with the reasons; empty when none is missing."""
        return "; ".join(f"{layer}: {self.missing[layer]}" for layer in REQUIRED if layer in self.missing)
