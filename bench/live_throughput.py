"""How many frames per second `bench.live` can make the service look at."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.live_footage import Footage, footage
from bench.live_service import client, run, service
from bench.live_tables import RESOURCES, Check, frames_per_s, lags_s, lost, resources, say, show, spread

_MOST_PICTURES = 500
"""Of a clip, so that raw pictures fit into memory; they are played forward and backward."""
_UNLIMITED = "100000"


@dataclass(frozen=True)
class _Case:
    width: int
    height: int
    rate: int
    encoding: str
    required: float | None = None
    paced: bool = True


_PINNED = (
    _Case(640, 480, 200, "gray8", 1.5),
    _Case(640, 480, 200, "jpeg", 1.0),
    _Case(1280, 720, 60, "jpeg", 1.5),
    _Case(640, 480, 60, "jpeg", paced=False),
    _Case(640, 480, 30, "jpeg", paced=False),
)
_SHARED = (_Case(640, 480, 200, "gray8"), _Case(640, 480, 25, "jpeg"), _Case(1280, 720, 60, "jpeg"))


def order(source: Footage, policy: str, *, seconds: float | None, paced: bool, first: int = 0) -> dict[str, Any]:
    """One stream, as `bench.live_drive` takes it, from picture `first` on; a whole clip where `seconds` is None."""
    most = None if seconds is None else _MOST_PICTURES
    return {
        "footage": source.record(), "most": most, "paced": paced, "policy": policy, "seconds": seconds, "first": first,
    }  # fmt: skip


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], list[Check]]:
    """Both tables of throughput."""
    pinned, checks = _pinned(options.seconds)
    return {"one_stream": pinned, "streams": _shared(options.seconds, options.streams)}, checks


def _pinned(seconds: float) -> tuple[list[dict[str, Any]], list[Check]]:
    """One stream, its worker alone on a core."""
    cores = sorted(os.sched_getaffinity(0))
    worker, rest = cores[0], cores[-1]
    rows: list[dict[str, Any]] = []
    checks: list[Check] = []
    # With room for one stream, no process is made ready for the next one while it is measured.
    with (
        service(GLIMPSE_LIVE__MAX_STREAMS="1", GLIMPSE_LIVE__FRAMES_PER_SECOND=_UNLIMITED) as running,
        client(running.grpc, rest) as driver,
    ):
        for case in _PINNED:
            source = footage(case.width, case.height, case.rate, case.encoding)[0]
            for policy in ("wait", "drop_oldest", "drop_latest") if case.paced else ("wait",):
                paced = policy != "wait"
                say(f"one stream, {source.name}, {policy}")
                played = run(running, driver, [order(source, policy, seconds=seconds, paced=paced)], pin=(worker, rest))
                rows.append({"source": source.name, "rate": source.rate, "policy": policy, **played})
                if case.required is not None:
                    checks.append(_check(source, policy, case.required, played))
    where = f"worker on core {worker}, gateway and client on core {rest}"
    _show(f"One stream, {where}; GLIMPSE_LIVE__FRAMES_PER_SECOND={_UNLIMITED}", rows)
    return rows, checks


def _shared(seconds: float, counts: list[int]) -> list[dict[str, Any]]:
    """Several streams on all cores."""
    rows: list[dict[str, Any]] = []
    for count in counts:
        settings = {"GLIMPSE_LIVE__MAX_STREAMS": str(count), "GLIMPSE_LIVE__FRAMES_PER_SECOND": _UNLIMITED}
        with service(**settings) as running, client(running.grpc) as driver:
            for case in _SHARED:
                source = footage(case.width, case.height, case.rate, case.encoding)[0]
                say(f"{count} streams, {source.name}")
                orders = [order(source, "wait", seconds=seconds, paced=False)] * count
                played = run(running, driver, orders, pin=None)
                rows.append({"source": source.name, "rate": source.rate, "policy": "wait", **played})
    if rows:
        _show(f"Several streams on all cores; GLIMPSE_LIVE__FRAMES_PER_SECOND={_UNLIMITED}", rows)
    return rows


def _check(source: Footage, policy: str, required: float, played: Mapping[str, Any]) -> Check:
    gone = lost(played)
    if policy == "wait":
        ratio = frames_per_s(played) / source.rate
        what = f"{source.name}, one worker on one core: at least {required:g} x real time, no drops"
        return Check(what, f"{ratio:.2f} x, {gone} lost", ratio >= required and gone == "0")
    return Check(f"{source.name} as it comes from a camera, {policy}: no drops", f"{gone} lost", gone == "0")


def _show(title: str, rows: list[dict[str, Any]]) -> None:
    cells = []
    for row in rows:
        count, speed = len(row["streams"]), frames_per_s(row)
        cells.append(
            [
                str(count),
                row["source"],
                "as fast as taken" if row["policy"] == "wait" else f"camera, {row['policy']}",
                f"{speed:.0f}",
                f"{speed / count / row['rate']:.2f}",
                *spread(lags_s(row), 0.5, 0.99),
                lost(row),
                *resources(row),
            ]
        )
    show(
        title,
        ("streams", "pictures", "sent", "frames/s", "x real time each", "lag p50 ms", "p99", "lost", *RESOURCES),
        cells,
    )
