"""What a shadow model costs the worker: time to the findings of a clip without one, and with one of each recipe.

Usage: `python -m bench.shadow [--runs 5]`. One core; the answering model is fed `flow_uvs_28`. Runs without and with
take turns, so that both see the same machine.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from bench.pipeline import job
from server.pipeline.jobs import ClipFindings, ClipJob, ShadowJob
from server.pipeline.stages import Stages
from server.recipes.registry import RECIPES

CLIPS = (Path("samples/surprise.mp4"), Path("samples/surprise_200fps.mp4"))
SHADOWS = (*((recipe, "accurate") for recipe in RECIPES), ("flow_uvs_28", "tvl1"))


def timed(stages: Stages, work: ClipJob) -> tuple[float, ClipFindings]:
    """Seconds, and what was found."""
    start = time.perf_counter()
    found = stages(work, lambda _: None)
    assert isinstance(found, ClipFindings)
    return time.perf_counter() - start, found


def compare(stages: Stages, clip: Path, runs: int) -> None:
    """Print a line for each shadow: medians of `runs`."""
    alone = job(clip.read_bytes())
    timed(stages, alone)
    for recipe, flow in SHADOWS:
        shadowed = replace(alone, shadow=ShadowJob(recipe, flow, 60.0))
        rows = []
        for _ in range(runs):
            before, _found = timed(stages, alone)
            after, found = timed(stages, shadowed)
            rows.append((before, after, found.shadow_s))
            assert all(not isinstance(finding.shadow, str) for finding in found.findings)
        before, after, extra = 1e3 * np.median(rows, axis=0)
        events = len(found.findings)
        print(f"{clip.name:22}{events:7d}  {recipe + ' ' + flow:30}{before:10.1f}{after:10.1f}{extra:12.1f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    print(f"{'clip':22}{'events':>7}  {'shadow':30}{'alone ms':>10}{'with ms':>10}{'shadow ms':>12}")
    stages = Stages()
    for clip in CLIPS:
        compare(stages, clip, options.runs)


if __name__ == "__main__":
    main()
