"""The clip pipeline on one core: `python -m bench.pipeline`.

First table: decode to network input of each sample, frames per second and milliseconds per frame and stage, median of
several runs. Second table: peak memory of a fresh process that analyses the 200 fps sample looped to 10 s and to 120 s
(looped without re-encoding), and the same with the bytes of the clip itself taken off.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np

from server.media.limits import MediaLimits
from server.pipeline.jobs import ClipFindings, ClipJob
from server.pipeline.stages import Stages
from server.predict.local import LocalPredictor
from server.predict.repository import ModelRepository
from server.recipes.registry import RECIPES

SAMPLES = Path("samples")
MODEL = "ststnet"
LOOPED = SAMPLES / "positive_200fps.mp4"
LENGTHS_S = (10, 120)
STAGES = ("decode", "faces", "spotting", "flow", "recipes", "inference")


def job(data: bytes) -> ClipJob:
    """The job that an upload with default options becomes."""
    limits = MediaLimits(clip_seconds=600, clip_frames=200_000, frame_pixels=4096 * 2304)
    kinds = frozenset({"micro", "macro"})
    return ClipJob(data, limits, "flow_uvs_28", "accurate", "largest", 16, kinds, None, None)


def looped(seconds: float) -> bytes:
    """The 200 fps sample over and over, as one MP4 of `seconds`, its packets copied."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as target:
        stream, shift = None, 0
        while shift < seconds:
            with av.open(str(LOOPED)) as source:
                video = source.streams.video[0]
                if stream is None:
                    stream = target.add_stream_from_template(video)
                length = float(video.duration * video.time_base)
                for packet in source.demux(video):
                    if packet.dts is None:
                        continue
                    ticks = round(shift / packet.time_base)
                    packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                    packet.stream = stream
                    target.mux(packet)
            shift += length
    return out.getvalue()


async def infer(predictor: LocalPredictor, found: ClipFindings) -> float:
    """Seconds of inference for what was found."""
    if not found.findings:
        return 0.0
    batch = np.stack([finding.inputs["flow"] for finding in found.findings])
    start = time.perf_counter()
    await predictor.predict(MODEL, {"flow": batch}, deadline=time.monotonic() + 60)
    return time.perf_counter() - start


async def speeds(clips: list[Path], runs: int) -> None:
    """Print frames per second of each sample."""
    predictor = LocalPredictor(ModelRepository(Path("model_repository"), RECIPES), threads=1)
    stages = Stages()
    print(
        f"{'sample':26}{'frames':>7}{'fps':>8}{'x real':>8}" + "".join(f"{s:>11}" for s in STAGES) + "   (ms a frame)"
    )
    for clip in clips:
        data, rows = clip.read_bytes(), []
        for _ in range(runs):
            start = time.perf_counter()
            found = stages(job(data), lambda _: None)
            assert isinstance(found, ClipFindings)
            inference = await infer(predictor, found)
            total = time.perf_counter() - start
            rows.append([total, *(found.timings_s.get(s, 0.0) for s in STAGES[:-1]), inference])
        medians = np.median(rows, axis=0)
        frames = found.clip.frames
        print(
            f"{clip.name:26}{frames:7d}{frames / medians[0]:8.0f}{found.clip.duration_s / medians[0]:8.1f}"
            + "".join(f"{1e3 * value / frames:11.3f}" for value in medians[1:])
        )
    await predictor.close()


def peak_mib() -> float:
    """Peak resident memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory_of(seconds: float) -> None:
    """Analyse a looped clip in this process and print its frames, its size and the peak memory."""
    data = looped(seconds)
    start = time.perf_counter()
    found = Stages()(job(data), lambda _: None)
    assert isinstance(found, ClipFindings)
    took = time.perf_counter() - start
    print(f"{found.clip.frames} {len(data) / 2**20:.1f} {peak_mib():.1f} {found.clip.frames / took:.0f}")


def memory() -> None:
    """Print peak memory against clip length."""
    print(f"{'clip s':>8}{'frames':>8}{'fps':>7}{'clip MiB':>10}{'peak MiB':>10}{'peak less clip':>16}")
    for seconds in LENGTHS_S:
        command = [sys.executable, "-m", "bench.pipeline", "--memory-of", str(seconds)]
        line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        frames, size, peak, fps = (float(x) for x in line)
        print(f"{seconds:8d}{frames:8.0f}{fps:7.0f}{size:10.1f}{peak:10.1f}{peak - size:16.1f}")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--memory-of", type=float)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    if options.memory_of is not None:
        memory_of(options.memory_of)
        return
    print("One core, decode to probabilities")
    asyncio.run(speeds(sorted(SAMPLES.glob("*.mp4")), options.runs))
    print("\nMemory against length")
    memory()


if __name__ == "__main__":
    main()
