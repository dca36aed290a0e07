"""How long after the truth `bench.live` is told of candidates and events, and how much of that is computing."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from bench.live_figures import (
    CANDIDATE_FRAMES,
    CANDIDATE_S,
    COMPUTING_FRAMES,
    EVENT_FRAMES,
    EVENT_S,
    Delay,
    bound_s,
    delays,
    movements,
    quantile,
)
from bench.live_footage import SAMPLES, Footage, footage, pictures
from bench.live_service import Client, Service, client, run, service
from bench.live_tables import Check, lags_s, lost, milliseconds, say, show, spread
from bench.live_throughput import order

RATES = (30, 60, 200)
_RULES = {
    "candidate": f"candidate at most {1e3 * CANDIDATE_S:.0f} ms or {CANDIDATE_FRAMES} frames after the apex, p95",
    "event": f"event at most {1e3 * EVENT_S:.0f} ms or {EVENT_FRAMES} frames after the offset, p95",
}


class _Session:
    """The session of a stream without a service: what is told, with the frame that decides it."""

    def __init__(self) -> None:
        import cv2

        from server.faces.detect import FaceDetector
        from server.faces.landmarks import FaceLandmarker

        cv2.setNumThreads(1)
        self._networks = FaceDetector(), FaceLandmarker()

    def steps(self, source: Footage) -> list[dict[str, Any]]:
        """Steps of all movements, `at_s` being the capture time of the frame with which each was decided."""
        from server.media.limits import MediaLimits
        from server.pipeline.live_jobs import LiveOpen
        from server.pipeline.live_measuring import at_once
        from server.pipeline.live_session import LiveSession
        from server.streams import FrameEncoding, LiveFrame, StreamOptions

        limits = MediaLimits(600.0, 200_000, source.width * source.height)
        opened = LiveOpen(StreamOptions(), limits, "flow_uvs_28", "accurate", max_faces=16, store_bytes=2**26)
        session = LiveSession(*self._networks, opened, run=at_once)
        steps = []
        for number, data in enumerate(pictures(source)):
            encoding: FrameEncoding = "gray8" if source.encoding == "gray8" else "jpeg"
            capture_us = round(number / source.rate * 1e6)
            frame = LiveFrame(number, capture_us, encoding, data, source.width, source.height)
            for told in session.push(frame).told:
                where = told.interval
                times = {"onset_s": where.onset_s, "apex_s": where.apex_s, "offset_s": where.offset_s}
                steps.append({"step": told.step, "movement": told.movement, "at_s": capture_us / 1e6, **times})
        return steps


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], list[Check]]:
    """Rendered clips and samples at each rate."""
    rows: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    with (
        service(GLIMPSE_LIVE__MAX_STREAMS="1", GLIMPSE_LIVE__FRAMES_PER_SECOND="100000") as running,
        client(running.grpc) as driver,
    ):
        session = _Session()
        for rate in RATES:
            clips = footage(640, 480, rate, "jpeg")[: options.clips]
            for group, sources in (("rendered", clips), ("samples", _samples(rate))):
                for source in sources:
                    say(f"{group} at {rate}: {Path(source.path).name}")
                    rows[group, rate].append(_one(running, driver, source, session))
    _show(rows)
    checks = [check for rate in RATES for check in _checks(rows["rendered", rate], rate)]
    figures = {f"{group} {rate}": found for (group, rate), found in rows.items()}
    return {**figures, "default": {"encoding": "jpeg", "policy": "drop_oldest"}}, checks


def _samples(rate: int) -> list[Footage]:
    return [
        Footage(str(truth.with_suffix(".mp4")), rate, 640, 480, "jpeg")
        for truth in sorted(SAMPLES.glob("*.json"))
        if json.loads(truth.read_text(encoding="utf-8"))["fps"] == rate
    ]


def _one(running: Service, driver: Client, source: Footage, session: _Session) -> dict[str, Any]:
    true = json.loads(Path(source.path).with_suffix(".json").read_text(encoding="utf-8"))["events"]
    played = run(running, driver, [order(source, "drop_oldest", seconds=None, paced=True)], pin=None)
    told, due = played["streams"][0]["steps"], session.steps(source)
    return {
        "clip": source.path,
        "true": len(true),
        "told": len(movements(told)),
        "told_by_session": len(movements(due)),
        "delays": [vars(delay) for delay in delays(true, told, due, source.rate)],
        "played": played,
    }


def _of(rows: list[dict[str, Any]], step: str) -> list[Delay]:
    return [Delay(**each) for row in rows for each in row["delays"] if each["step"] == step]


def _checks(rows: list[dict[str, Any]], rate: int) -> list[Check]:
    checks = []
    true = sum(row["true"] for row in rows)
    for step, rule in _RULES.items():
        found = _of(rows, step)
        due = [delay.due_s for delay in found if delay.due_s is not None]
        computing = [delay.computing_frames for delay in found if delay.computing_frames is not None]
        busy = quantile(computing, 0.95)
        for what, late in ((f"{rule}, without computing", due), (rule, [delay.total_s for delay in found])):
            p95 = quantile(late, 0.95)
            measured = f"{milliseconds(p95)} ms over {len(late)} of {true}"
            checks.append(Check(f"{rate} fps: {what}", measured, p95 is not None and p95 <= bound_s(step, rate)))
        what = f"{rate} fps: computing adds at most {COMPUTING_FRAMES} frames to a {step}, p95"
        measured = "-" if busy is None else f"{busy:.2f} frames over {len(computing)} of {true}"
        checks.append(Check(what, measured, busy is not None and busy <= COMPUTING_FRAMES))
    return checks


def _show(rows: dict[tuple[str, int], list[dict[str, Any]]]) -> None:
    cells = []
    for (group, rate), found in rows.items():
        true, told = sum(row["true"] for row in found), sum(row["told"] for row in found)
        lags = [lag for row in found for lag in lags_s(row["played"])]
        gone = lost({"streams": [stream for row in found for stream in row["played"]["streams"]]})
        for step in _RULES:
            late = _of(found, step)
            totals = [delay.total_s for delay in late]
            computing = [delay.computing_frames for delay in late if delay.computing_frames is not None]
            due = [delay.due_s for delay in late if delay.due_s is not None]
            p95, busy = quantile(totals, 0.95), quantile(computing, 0.95)
            cells.append(
                [
                    f"{group} {rate} fps",
                    step,
                    f"{len(late)} of {true}",
                    str(told),
                    *spread(totals, 0.5, 0.95, 0.99),
                    "-" if p95 is None else f"{p95 * rate:.1f}",
                    *spread(due, 0.5, 0.95),
                    *spread([value / rate for value in computing], 0.5, 0.95),
                    "-" if busy is None else f"{busy:.2f}",
                    *spread(lags, 0.5, 0.99),
                    gone,
                ]
            )
    show(
        "Delay at the rate of the camera, 640x480 JPEG, DROP_OLDEST, one stream on all cores",
        (
            "clips", "step", "true events found", "events told", "delay p50 ms", "p95", "p99", "p95 frames",
            "without computing p50 ms", "p95", "computing p50 ms", "p95", "p95 frames",
            "frame lag p50 ms", "p99", "lost",
        ),
        cells,
    )  # fmt: skip
