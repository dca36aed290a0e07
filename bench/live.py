"""Live streams through the whole service: `python -m bench.live`.

Starts `glimpse serve` and drives it by gRPC from a process of its own, in four parts (`--only`):

- throughput: frames are sent as fast as they are taken, under the policy WAIT; then at the rate of the camera, under
  the policies that drop. First one stream whose worker is kept on one core, the gateway and the client on another;
  then several streams on all cores;
- delay: clips are sent at the rate of the camera, and each candidate and event is compared with the true apex and
  offset. What the method itself waits for is found by the same session without a service: the rest is computing;
- soak: eight streams at 25 frames per second for `--soak` seconds;
- load: `bench/k6/live.js` by k6, a client in another language.

Tables go to stdout, progress to stderr. A line "met" or "missed" follows each requirement.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import live_delay, live_k6, live_soak, live_throughput
from bench.live_tables import Check, say, show_checks
from export.output import write_json

PARTS: dict[str, Callable[[argparse.Namespace], tuple[dict[str, Any], list[Check]]]] = {
    "throughput": live_throughput.measure,
    "delay": live_delay.measure,
    "soak": live_soak.measure,
    "load": live_k6.measure,
}


def main() -> None:
    """Run the parts, print tables and what was required."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="parts to run; all where not given")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each run of throughput")
    parser.add_argument("--streams", type=int, nargs="*", default=[2, 4, 8], help="numbers of streams of throughput")
    parser.add_argument("--clips", type=int, help="rendered clips of each rate for delay; all where not given")
    parser.add_argument("--soak", type=float, default=600.0, help="length of the soak in seconds")
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, {len(os.sched_getaffinity(0))} for this; load {_load()} at the start")
    figures, checks = {}, []
    for name in options.only or PARTS:
        say(f"{name} ...")
        figures[name], required = PARTS[name](options)
        checks += required
    show_checks(checks)
    print(f"\nload {_load()} at the end")
    if options.json:
        write_json(options.json, {**figures, "checks": [vars(check) for check in checks]})
    if not all(check.met for check in checks):
        sys.exit(1)


def _load() -> str:
    return f"{os.getloadavg()[0]:.2f}"


if __name__ == "__main__":
    main()
