"""What the sandbox of a worker costs: `python -m bench.sandbox [--runs N]`.

Pairs, one with the sandbox and one without, in turn: the time until a worker for clips is ready, that of one clip in
it and of the next, and the processor time of all of it, which says more on a busy machine. Medians, and the median of
the differences within pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import resource
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path

from bench.pipeline import job
from server.pipeline.stages import Stages
from server.pipeline.workers import WorkerPool
from server.sandbox.confinement import Bounds, Mode

CLIP = Path("samples/positive.mp4")
ROWS = ("until ready", "first clip", "second clip", "processor time")


async def measured(mode: Mode, data: bytes) -> tuple[float, ...]:
    """Seconds of each row."""
    pool = WorkerPool(Stages, workers=1, queue=1, bounds=Bounds(2**31, 120.0, mode))
    marks, before = [time.perf_counter()], _processor_time_s()
    try:
        await pool.start()
        marks.append(time.perf_counter())
        for _ in range(2):
            await pool.run(job(data), deadline=time.monotonic() + 120)
            marks.append(time.perf_counter())
    finally:
        await pool.close(0)
    return (*(later - earlier for earlier, later in pairwise(marks)), _processor_time_s() - before)


def _processor_time_s() -> float:
    """Of all workers that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="pairs (default: %(default)s)")
    runs = parser.parse_args().runs
    data = CLIP.read_bytes()
    logging.disable(logging.WARNING)
    asyncio.run(measured("auto", data))
    pairs: list[tuple[tuple[float, ...], tuple[float, ...]]] = []
    for number in range(runs):
        sys.stderr.write(f"\rpair {number + 1} of {runs}")
        first, second = ("auto", "off") if number % 2 else ("off", "auto")
        taken = {mode: asyncio.run(measured(mode, data)) for mode in (first, second)}  # type: ignore[arg-type]
        pairs.append((taken["auto"], taken["off"]))
    sys.stderr.write("\n")
    print(f"{'seconds, median of ' + str(runs):<22} {'sandbox':>9} {'without':>9} {'difference':>11}")
    for index, row in enumerate(ROWS):
        with_it, without = ([pair[side][index] for pair in pairs] for side in (0, 1))
        difference = statistics.median(a - b for a, b in zip(with_it, without, strict=True))
        print(f"{row:<22} {statistics.median(with_it):>9.3f} {statistics.median(without):>9.3f} {difference:>+11.3f}")


if __name__ == "__main__":
    main()
