"""What clips, streams and inferences cost on this machine: `python -m bench.costs [--json docs/costs.json]`.

Starts a service of its own and counts processor time and memory of its processes; `glimpse-export capacity` reckons
with the file. Processor time depends less on what else runs than time of day does, and is not free of it: caches and
hyper-threads are shared. Each figure is the median of `--runs`; the load of the machine is kept with them.

Clips: a picture of a clip without a movement, at each rate of `samples/`, at two sizes; a movement, by a clip that has
one less the pictures of that clip; and what the gateway takes for a request. Streams: a picture under the policy WAIT,
in which every frame is looked at. Inference: in the process, and, with `--triton`, on a real Triton.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import av
import httpx

from bench.live_footage import Footage
from bench.live_service import SAMPLE_S, Service, client, cpu_of, rss_of, run, service
from bench.live_tables import MIB, say, show
from bench.live_throughput import order
from bench.trust_service import clip_workers
from export.output import write_json
from server import __version__
from server.predict.base import Predictor
from server.predict.local import LocalPredictor
from server.predict.repository import ModelRepository
from server.predict.tensors import zeros
from server.predict.triton import TritonPredictor
from server.predict.tritonserver import TritonServer
from server.recipes.registry import RECIPES

SAMPLES = Path("samples")
REPOSITORY = Path("model_repository")
RATES = {30: "", 60: "_60fps", 200: "_200fps"}
STILL, MOVING = "neutral_blink", "positive"
NARROW, WIDER = (640, 480), (1280, 960)
INFERENCES = 100
STREAM_S = 6.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    options = _options(arguments)
    began = os.getloadavg()[0]
    with service(GLIMPSE_WORKERS__SPARE="1", GLIMPSE_LIVE__FRAMES_PER_SECOND="100000") as running:
        idle = rss_of(running.process.pid)
        clips, movements, gateway_s, memory = _clips(running, options.runs)
        streams, memory["stream_bytes"] = _streams(running, options.runs)
        memory["gateway_bytes"] = max(idle, rss_of(running.process.pid))
    found = {
        "made": {
            "command": f"python -m bench.costs {' '.join(sys.argv[1:] if arguments is None else arguments)}".strip(),
            "version": __version__,
            "processors": len(os.sched_getaffinity(0)),
            "runs": options.runs,
            "load_before": round(began, 2),
            "load_after": round(os.getloadavg()[0], 2),
        },
        "clip_pictures": clips,
        "movements": movements,
        "request_gateway_s": gateway_s,
        "stream_pictures": streams,
        "inferences": _inferences(options),
        "memory": memory,
    }
    _print(found)
    if options.json:
        write_json(options.json, found)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.costs", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["glimpse_flow"], help="models whose inference is measured")
    parser.add_argument("--triton", action="store_true", help="measure inference on a real Triton as well")
    parser.add_argument("--json", type=Path, help="also write what was measured there")
    return parser.parse_args(arguments)


def _clips(running: Service, runs: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]], float, dict[str, Any]]:
    """Pictures and movements of clips, the gateway's part of a request, and the memory of a worker."""
    pictures, movements, gateway = [], [], []
    with httpx.Client(base_url=running.url, timeout=300.0, trust_env=False) as asking:
        _analyzed(running, asking, (SAMPLES / f"{MOVING}.mp4").read_bytes())
        for rate, suffix in RATES.items():
            still = (SAMPLES / f"{STILL}{suffix}.mp4").read_bytes()
            sizes = [still, *([_wider(still)] if rate == min(RATES) else [])]
            for data in sizes:
                say(f"clips of {rate} frames per second, {len(pictures) + 1}")
                rounds = [_analyzed(running, asking, data) for _ in range(runs)]
                clip, worker_s = rounds[0][0]["clip"], median(each[1] for each in rounds)
                pictures.append(
                    {"fps": rate, "pixels": clip["width"] * clip["height"], "worker_s": worker_s / clip["frames"]}
                )
                gateway += [each[2] for each in rounds]
            moving = [_analyzed(running, asking, (SAMPLES / f"{MOVING}{suffix}.mp4").read_bytes()) for _ in range(runs)]
            report = moving[0][0]
            plain_s = pictures[-len(sizes)]["worker_s"] * report["clip"]["frames"]
            more_s = max(0.0, median(each[1] for each in moving) - plain_s)
            movements.append({"fps": rate, "worker_s": more_s / len(report["events"])})
        worker = max(rss_of(pid) for pid in clip_workers(running.workers))
    return pictures, movements, median(gateway), {"worker_bytes": worker}


def _analyzed(running: Service, asking: httpx.Client, data: bytes) -> tuple[Mapping[str, Any], float, float]:
    """The report of a clip, and the processor time that workers and gateway spent on it."""
    before, own_before = running.cpu_s(), cpu_of(running.process.pid)
    report = asking.post("/v1/analyze", files={"clip": ("clip.mp4", data, "video/mp4")}).raise_for_status().json()
    own_s = cpu_of(running.process.pid) - own_before
    return report, running.cpu_s() - before - own_s, own_s


def _wider(data: bytes) -> bytes:
    """The same clip in larger pictures."""
    out = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(out, "w", format="mp4") as target:
        video = source.streams.video[0]
        rate = Fraction(video.average_rate or min(RATES))
        stream = target.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height = WIDER
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(source.decode(video)):
            larger = frame.reformat(*WIDER, format="yuv420p")
            larger.pts, larger.time_base = number, 1 / rate
            target.mux(stream.encode(larger))
        target.mux(stream.encode(None))
    return out.getvalue()


def _streams(running: Service, runs: int) -> tuple[list[dict[str, Any]], int]:
    """A picture of a stream, workers and gateway together, and the memory of its process."""
    found, sizes = [], [0]
    with client(running.grpc) as driver, _watched(running, sizes):
        for rate, suffix in RATES.items():
            source = Footage(str(SAMPLES / f"{STILL}{suffix}.mp4"), rate, *NARROW, "jpeg")
            costs = []
            for _ in range(runs):
                say(f"a stream of {rate} frames per second")
                played = run(running, driver, [order(source, "wait", seconds=STREAM_S, paced=False)], pin=None)
                (stream,) = played["streams"]
                costs.append(played["cpu_s"] / stream["answered"])
            found.append({"fps": rate, "pixels": NARROW[0] * NARROW[1], "processor_s": median(costs)})
    return found, max(sizes)


@contextmanager
def _watched(running: Service, sizes: list[int]) -> Iterator[None]:
    """Note the memory of the largest process that is no worker of clips: that of the stream, since the others wait."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_S):
            pids = running.workers
            sizes.append(max((rss_of(pid) for pid in set(pids) - set(clip_workers(pids))), default=0))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _inferences(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Processor time of one movement, as a batch of one."""
    local = LocalPredictor(ModelRepository(REPOSITORY, RECIPES), threads=1)
    found = [
        {"model": name, "backend": "local", "processor_s": asyncio.run(_asked(local, name, time.process_time, options))}
        for name in options.models
    ]
    if options.triton:
        with TritonServer(REPOSITORY) as server:
            for name in options.models:
                predictor = TritonPredictor(server.grpc_address, recipes=RECIPES)

                def used() -> float:
                    return cpu_of(server.pid) + sum(cpu_of(child) for child in Service.children_of(server.pid))

                cost = asyncio.run(_asked(predictor, name, used, options))
                found.append({"model": name, "backend": "triton", "processor_s": cost})
    return found


async def _asked(predictor: Predictor, name: str, used: Callable[[], float], options: argparse.Namespace) -> float:
    try:
        info = await predictor.model(name)
        contract = ModelRepository(REPOSITORY, RECIPES).catalogue.entry(info.name).contract
        assert contract is not None
        one = zeros(contract)
        await predictor.predict(name, one, deadline=time.monotonic() + 60)
        costs = []
        for _ in range(options.runs):
            before = used()
            for _ in range(INFERENCES):
                await predictor.predict(name, one, deadline=time.monotonic() + 60)
            costs.append((used() - before) / INFERENCES)
        return median(costs)
    finally:
        await predictor.close()


def _print(found: Mapping[str, Any]) -> None:
    made = found["made"]
    print(
        f"Processor time on {made['processors']} processors; load {made['load_before']} before,"
        f" {made['load_after']} after; medians of {made['runs']}"
    )
    rows = [
        *(
            [f"a picture of a clip, {each['fps']} fps, {each['pixels']} pixels", f"{1e3 * each['worker_s']:.2f}"]
            for each in found["clip_pictures"]
        ),
        *([f"a movement of a clip, {each['fps']} fps", f"{1e3 * each['worker_s']:.2f}"] for each in found["movements"]),
        ["a request, in the gateway", f"{1e3 * found['request_gateway_s']:.2f}"],
        *(
            [f"a picture of a stream, {each['fps']} fps, {each['pixels']} pixels", f"{1e3 * each['processor_s']:.2f}"]
            for each in found["stream_pictures"]
        ),
        *(
            [f"an inference of {each['model']}, {each['backend']}", f"{1e3 * each['processor_s']:.2f}"]
            for each in found["inferences"]
        ),
    ]
    show("Processor time", ("of", "ms"), rows)
    memory = [[name.removesuffix("_bytes"), f"{size / MIB:.0f}"] for name, size in found["memory"].items()]
    show("Resident memory, what processes share counted for each", ("of a", "MiB"), memory)


if __name__ == "__main__":
    sys.exit(main())
