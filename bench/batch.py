"""A corpus against clips one by one: `python -m bench.batch`.

The same copies of a sample, by `glimpse batch` with all processors and by `glimpse analyze` in one command, in turns;
both with the default model alone. Prints clips per second of each pair of runs, from the start of the command to its
end, and the median of the ratios.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLE = Path("samples/positive.mp4")
MODEL = Path("model_repository/glimpse_flow")


def corpus_of(folder: Path, clips: int) -> Path:
    """So many copies of the sample, and the model beside them."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for number in range(clips):
        shutil.copy(SAMPLE, corpus / f"{number:04}.mp4")
    shutil.copytree(MODEL, folder / "models" / MODEL.name)
    return corpus


def seconds_of(folder: Path, *arguments: str | Path) -> float:
    """How long a command takes."""
    environment = {**os.environ, "GLIMPSE_BACKEND__REPOSITORY": str(folder / "models")}
    start = time.perf_counter()
    command = [sys.executable, "-m", "server", *arguments]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print(f"{options.clips} copies of {SAMPLE}, {len(os.sched_getaffinity(0))} processors")
    print(f"{'run':>4}{'batch clips/s':>15}{'one by one clips/s':>20}{'ratio':>7}")
    ratios = []
    for run in range(options.runs):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            corpus = corpus_of(folder, options.clips)
            batch_s = seconds_of(folder, "batch", corpus, "--out", folder / "results")
            single_s = seconds_of(folder, "analyze", "--json", *sorted(corpus.iterdir()))
        ratios.append(single_s / batch_s)
        print(f"{run:4d}{options.clips / batch_s:15.2f}{options.clips / single_s:20.2f}{ratios[-1]:7.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
