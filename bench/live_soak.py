"""The soak of `bench.live`: eight streams at 25 frames per second for as long as is wanted."""

from __future__ import annotations

import argparse
import os
from typing import Any

from bench.live_figures import GROWTH, LAG_P99_S, growth, quantile
from bench.live_footage import footage
from bench.live_service import client, run, service
from bench.live_tables import MIB, Check, lost, milliseconds, say, show, spread
from bench.live_throughput import order

STREAMS, RATE, CORES = 8, 25, 2
APART = 50
"""Pictures by which a stream is ahead of the one before it in its clip, forward and backward, of 500."""


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], list[Check]]:
    """Run it; memory is sampled every five seconds."""
    everywhere = os.sched_getaffinity(0)
    # Workers, gateway and client inherit it.
    os.sched_setaffinity(0, set(sorted(everywhere)[:CORES]))
    try:
        played, served = _played(options.soak)
    finally:
        os.sched_setaffinity(0, everywhere)
    rows, checks = [], []
    for number, stream in enumerate(played["streams"], start=1):
        p99 = quantile(stream["lags_s"], 0.99)
        gone = lost({"streams": [stream]})
        rows.append(
            [str(number), str(stream["answered"]), *spread(stream["lags_s"], 0.5, 0.99), gone, stream["status"]]
        )
        what = f"stream {number} of {STREAMS}: p99 lag under {1e3 * LAG_P99_S:.0f} ms"
        checks.append(Check(what, f"{milliseconds(p99)} ms", p99 is not None and p99 < LAG_P99_S))
    show(f"{STREAMS} streams of 640x480 JPEG at {RATE} fps for {options.soak:g} s on {CORES} cores; {served}",
         ("stream", "frames answered", "lag p50 ms", "p99", "lost", "status"), rows)  # fmt: skip
    grown = growth(played["rss"])
    sizes = [size / MIB for _, size in played["rss"]]
    print(
        f"\nResident memory of all processes of the service: {sizes[0]:.0f} MiB at the start, {sizes[-1]:.0f} at the"
        f" end, {max(sizes):.0f} at most; service {played['cpu_s'] / played['wall_s']:.2f} CPU s/s, client"
        f" {played['client_cpu_s'] / played['wall_s']:.2f}"
    )
    what = f"memory grows at most {GROWTH:.0%} from the second minute to the last"
    checks.append(Check(what, "shorter than three minutes" if grown is None else f"{grown:+.2%}", _small(grown)))
    all_gone = lost(played)
    checks.append(Check(f"{STREAMS} streams: no drops", f"{all_gone} lost", all_gone == "0"))
    return {**played, "growth": grown, "admission": served}, checks


def _played(seconds: float) -> tuple[dict[str, Any], str]:
    """The measured capacity is kept where it lets all streams in, else set for this run."""
    needed = STREAMS * RATE
    clips = footage(640, 480, RATE, "jpeg")
    # Eight people do not make their expressions at one moment.
    orders = [
        order(clips[n % len(clips)], "drop_oldest", seconds=seconds, paced=True, first=n * APART)
        for n in range(STREAMS)
    ]
    with service() as running:
        measured = running.frames_per_s()
        if measured >= needed:
            say(f"soak of {seconds:g} s; {measured:g} frames per second are served")
            with client(running.grpc) as driver:
                return run(running, driver, orders, pin=None), f"admission as measured at start, {measured:g} frames/s"
    with service(GLIMPSE_LIVE__FRAMES_PER_SECOND=str(needed)) as running, client(running.grpc) as driver:
        say(f"soak of {seconds:g} s; {measured:g} frames per second were measured, {needed} are set")
        told = f"GLIMPSE_LIVE__FRAMES_PER_SECOND={needed}, since {measured:g} was measured at start"
        return run(running, driver, orders, pin=None), told


def _small(grown: float | None) -> bool:
    return grown is not None and grown <= GROWTH
