"""How `bench.live` prints: markdown tables, and what was required of the service."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.live_figures import quantile

MIB = 2**20


@dataclass(frozen=True)
class Check:
    """One requirement: what was measured, in words, and whether that is enough."""

    what: str
    measured: str
    met: bool


def say(message: str) -> None:
    """Progress."""
    print(message, file=sys.stderr, flush=True)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    print(f"\n{title}\n")
    print(f"| {' | '.join(columns)} |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def show_checks(checks: Sequence[Check]) -> None:
    """Print what was required."""
    verdicts = [(check.what, check.measured, "met" if check.met else "missed") for check in checks]
    show("Required", ("requirement", "measured", ""), verdicts)


def frames_per_s(played: Mapping[str, Any]) -> float:
    """What all streams of a round were answered together."""
    return sum(
        float(stream["answered"]) / float(stream["seconds"]) for stream in played["streams"] if stream["answered"]
    )


def lags_s(played: Mapping[str, Any]) -> list[float]:
    """From when a camera would have sent a frame to its answer, over all streams."""
    return [lag for stream in played["streams"] for lag in stream["lags_s"]]


def lost(played: Mapping[str, Any]) -> str:
    """Frames without a result, by reason."""
    reasons: dict[str, int] = {}
    for stream in played["streams"]:
        for name, count in {**stream["dropped"], **stream["refused"]}.items():
            reasons[name] = reasons.get(name, 0) + count
        unanswered = (
            stream["sent"] - stream["answered"] - sum((*stream["dropped"].values(), *stream["refused"].values()))
        )
        if unanswered:
            reasons["unanswered"] = reasons.get("unanswered", 0) + unanswered
    return ", ".join(f"{count} {name}" for name, count in sorted(reasons.items())) or "0"


def milliseconds(seconds: float | None) -> str:
    """As a cell."""
    return "-" if seconds is None else f"{1e3 * seconds:.0f}"


def resources(played: Mapping[str, Any]) -> list[str]:
    """Cells: processor seconds of the service and of the client by second, and resident memory in MiB."""
    wall = played["wall_s"]
    return [
        f"{played['cpu_s'] / wall:.2f}",
        f"{played['client_cpu_s'] / wall:.2f}",
        *(f"{played['rss'][place][1] / MIB:.0f}" for place in (0, -1)),
    ]


RESOURCES = ("service CPU s/s", "client CPU s/s", "RSS start MiB", "RSS end MiB")


def spread(values: Sequence[float], *shares: float) -> list[str]:
    """Cells in milliseconds: these quantiles."""
    return [milliseconds(quantile(values, share)) for share in shares]
