"""Soak: `python -m bench.soak [--seconds 600]`, mixed traffic against a service of its own.

Clips, stills, requests that are wrong, clients that leave in the midst of an upload or of an analysis, live streams:
all at once and for long. Memory is judged after a warm-up; at the end all that requests took must be given back.
Exit status 1 where something that is promised is not kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from bench import trust_figures as figures
from bench.live_figures import GROWTH
from bench.live_footage import Footage, pictures
from bench.live_service import Service
from bench.live_tables import MIB, Check, say, show, show_checks
from bench.trust_figures import Mark
from bench.trust_live import Streams
from bench.trust_service import (
    CORES,
    SAMPLES,
    analyses,
    clips,
    driver,
    gauges,
    group,
    look,
    metrics,
    on_cores,
    running,
    total,
)

_WARM_SHARE, _LAST_SHARE = 0.25, 0.25
_EVERY_S = 2.0
_QUIET_S = 30.0
_BOUNDARY = "soak"
_PROCESSES = CORES + 2
"""For each core a worker of clips, a spare one, and one that waits for a live stream."""
_WRONG = {
    "no video": (415, {"type": "video/mp4", "hex": b"this is no clip".hex()}),
    "empty": (400, {"type": "video/mp4", "hex": ""}),
    "cut off": (422, {"type": "video/mp4", "hex": ""}),
    "option": (422, {"path": "/v1/analyze?faces=none", "type": "video/mp4", "hex": "00"}),
    "type": (415, {"type": "text/plain", "hex": "00"}),
    "multipart": (400, {"type": "multipart/form-data; boundary=x", "hex": b"--y".hex()}),
    "path": (404, {"path": "/v1/nothing", "type": "text/plain", "hex": ""}),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--streams", type=int, default=2, help="live streams at a time, at 30 frames per second each")
    options = parser.parse_args(arguments)
    with on_cores():
        checks = _soak(options.seconds, options.streams)
    show_checks(checks)
    return 0 if all(check.met for check in checks) else 1


def _soak(seconds: float, count: int) -> list[Check]:
    footage = Footage(str(SAMPLES / "positive.mp4"), 30, 640, 480, "jpeg")
    marks: list[Mark] = []
    with (
        tempfile.TemporaryDirectory() as scratch,
        running(GLIMPSE_LIVE__FRAMES_PER_SECOND="100000") as service,
        driver(service.url) as clients,
    ):
        wrong = _wrong(Path(scratch))
        groups = _groups(footage, wrong, Path(scratch))
        streams = Streams(service.grpc, footage, count, paced=True)
        # Once around, so that everything that is made at first is there.
        clients.play(None, group("warm", CORES, analyses(clips("positive.mp4")), most=1))
        streams.play()
        _settled(service)
        quiet = look(service, 0.0)
        say(f"soak of {seconds:g} s")
        with streams.playing():
            clients.begin(seconds, *groups)
            start = time.monotonic()
            while (at := time.monotonic() - start) < seconds:
                marks.append(look(service, at))
                time.sleep(min(_EVERY_S, max(0.0, seconds - at)))
            played = clients.result()
        held = _settled(service)
        end = look(service, seconds)
        failures = _failures(service)
    _show(played, streams, marks, quiet, end)
    return [
        *_answer_checks(played, [status for status, _ in wrong], failures),
        *_stream_checks(streams),
        *_memory_checks(marks, seconds),
        Check("places, queues, uploads and streams are given back", _spelled(held) or "nothing is held", not held),
        Check("file descriptors of the gateway are given back", f"{quiet.files} before, {end.files} after",
              end.files <= quiet.files + figures.FILES_SPARE),
        Check("threads of the gateway are given back", f"{quiet.threads} before, {end.threads} after",
              end.threads <= quiet.threads + figures.THREADS_SPARE),
        Check("as many processes as before", f"{quiet.processes} before, {end.processes} after",
              end.processes == quiet.processes),
    ]  # fmt: skip


def _wrong(scratch: Path) -> list[tuple[int, dict[str, Any]]]:
    """Requests that cannot be answered, and the status of each."""
    cut = scratch / "cut.mp4"
    whole = clips("positive.mp4")[0].read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    found = []
    for name, (status, given) in _WRONG.items():
        request = {"path": "/v1/analyze", **given}
        if name == "cut off":
            del request["hex"]
            request["file"] = str(cut)
        found.append((status, request))
    return found


def _groups(footage: Footage, wrong: Sequence[tuple[int, dict[str, Any]]], scratch: Path) -> list[dict[str, Any]]:
    whole = analyses(clips("*e.mp4"))
    return [
        group("clips", 2, whole, pause_s=0.2),
        group("stills", 1, [_stills(footage, scratch)], pause_s=0.5),
        group("wrong", 1, [request for _, request in wrong], pause_s=0.2),
        group("left while uploading", 1, whole, pause_s=0.5, leave_after=50_000),
        group("left while analysed", 1, whole, pause_s=1.0, leave_after_s=0.3),
    ]


def _stills(footage: Footage, scratch: Path) -> dict[str, Any]:
    """Rest and height of a movement, as `POST /v1/classify` takes them."""
    frames = pictures(footage)
    parts = b""
    for name, picture in (("onset", frames[0]), ("apex", frames[len(frames) // 2])):
        parts += (
            f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"; filename="{name}.jpg"\r\n\r\n'.encode()
            + picture
            + b"\r\n"
        )
    body = scratch / "stills"
    body.write_bytes(parts + f"--{_BOUNDARY}--\r\n".encode())
    return {"path": "/v1/classify", "type": f"multipart/form-data; boundary={_BOUNDARY}", "file": str(body)}


def _settled(service: Service) -> dict[str, float]:
    """What is still held when the service has had time to come to rest; nothing, if all is well."""
    end = time.monotonic() + _QUIET_S
    while ((held := gauges(service.url)) or len(service.workers) != _PROCESSES) and time.monotonic() < end:
        time.sleep(0.2)
    return held


def _failures(service: Service) -> float:
    """Answers that blame the service: 5xx of REST, and of gRPC what is the same."""
    samples = metrics(service.url)
    codes = [str(status) for status in range(500, 600)] + ["INTERNAL", "UNKNOWN", "DATA_LOSS", "UNAVAILABLE"]
    return sum(total(samples, "glimpse_requests_total", status=code) for code in codes)


def _show(played: Mapping[str, Any], streams: Streams, marks: Sequence[Mark], quiet: Mark, end: Mark) -> None:
    rows = []
    for name, answers in played["groups"].items():
        counts = figures.statuses(answers)
        told = ", ".join(f"{count} x {'left' if status < 0 else status}" for status, count in sorted(counts.items()))
        rows.append([name, str(len(answers)), told])
    rows.append(["live streams", str(len(streams.played)), f"{sum(each.sent for each in streams.played)} frames"])
    show(f"Mixed traffic on {CORES} cores for {played['seconds']:g} s", ("traffic", "requests", "answers"), rows)
    rows = [
        [name, f"{mark.gateway_bytes / MIB:.0f}", f"{mark.workers_bytes / MIB:.0f}", str(mark.processes),
         str(mark.files), str(mark.threads)]
        for name, mark in (("before", quiet), ("in the midst", marks[len(marks) // 2]), ("after", end))
    ]  # fmt: skip
    show("The service", ("", "gateway MiB", "workers of clips MiB", "processes", "files", "threads"), rows)


def _answer_checks(played: Mapping[str, Any], wanted: Sequence[int], failures: float) -> list[Check]:
    groups = played["groups"]
    good = figures.broken([*groups["clips"], *groups["stills"]])
    other = [answer["status"] for answer in groups["wrong"] if answer["status"] not in {wanted[answer["request"]], 429}]
    return [
        Check("clips and stills are answered", _spelled(good) or "all", not good),
        Check("what is wrong is told so, each with its status", f"{len(other)} others {other[:5]}", not other),
        Check("no answer blames the service (5xx)", f"{failures:.0f}", not failures),
    ]


def _stream_checks(streams: Streams) -> list[Check]:
    broken = [each for each in streams.played if each.status != "OK" or each.answered != each.sent]
    return [Check("every stream is answered frame by frame", f"{len(broken)} of {len(streams.played)} not", not broken)]


def _memory_checks(marks: Sequence[Mark], seconds: float) -> list[Check]:
    checks = []
    for name, sizes in (
        ("the gateway", [(mark.at_s, mark.gateway_bytes) for mark in marks]),
        ("the workers of clips", [(mark.at_s, mark.workers_bytes) for mark in marks]),
    ):
        grown = figures.grown(sizes, seconds, warm=_WARM_SHARE, last=_LAST_SHARE)
        told = "too few samples" if grown is None else f"{grown:+.2%}"
        checks.append(
            Check(f"memory of {name} grows at most {GROWTH:.0%}", told, grown is not None and grown <= GROWTH)
        )
    return checks


def _spelled(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{count:g} x {name}" for name, count in counts.items())


if __name__ == "__main__":
    cv2.setNumThreads(1)
    sys.exit(main())
